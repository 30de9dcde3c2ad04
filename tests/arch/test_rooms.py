"""Which library is imported in which package, and that what is declared is what is used."""

import ast
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# distribution -> (import name, the packages of supervisor that may import it)
ROOMS = {
    "cryptography": ("cryptography", {"provenance"}),
    "packaging": ("packaging", {"invariants", "inspection"}),
    "pathspec": ("pathspec", {"invariants", "profile"}),
    "psutil": ("psutil", {"enforce", "confine", "run", "surfaces"}),
    "pyseccomp": ("pyseccomp", {"kernel"}),
    "PyYAML": ("yaml", {"inspection", "profile"}),
    "rich": ("rich", {"cli"}),
    "sqlglot": ("sqlglot", {"inspection"}),
    "tree-sitter": ("tree_sitter", {"inspection"}),
    "tree-sitter-go": ("tree_sitter_go", {"inspection"}),
    "tree-sitter-hcl": ("tree_sitter_hcl", {"inspection"}),
    "tree-sitter-java": ("tree_sitter_java", {"inspection"}),
    "tree-sitter-javascript": ("tree_sitter_javascript", {"inspection"}),
    "tree-sitter-python": ("tree_sitter_python", {"inspection"}),
    "tree-sitter-rust": ("tree_sitter_rust", {"inspection"}),
    "tree-sitter-typescript": ("tree_sitter_typescript", {"inspection"}),
    "typer": ("typer", {"cli"}),
}
# The same for the extras.
EXTRAS = {"cel-expr-python": ("cel_expr_python", {"invariants"})}
# What development needs, and a folder or file that imports or runs it. GitPython, pyfakefs and watchdog
# get a room in the product with the features that read through them.
DEVELOPMENT = {
    "asyncssh": "asyncssh",
    "GitPython": "git",
    "hypothesis": "hypothesis",
    "pyfakefs": "pyfakefs",
    "watchdog": "watchdog",
    "import-linter": "importlinter",
    "pytest": "pytest",
}


def distribution(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return match.group()


def imported(folder: Path) -> dict[str, set[str]]:
    """Top-level module name -> files under `folder` (relative to it) that import it, lazily or not."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in folder.rglob("*.py"):
        where = str(path.relative_to(folder))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.name.partition(".")[0]].add(where)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module.partition(".")[0]].add(where)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "importlinter" in node.value:
                found["importlinter"].add(where)
    return found


def test_declared_dependencies_are_the_rooms() -> None:
    assert {distribution(each) for each in PROJECT["dependencies"]} == set(ROOMS)


def test_declared_extras_are_the_rooms() -> None:
    extras = {key: names for key, names in PROJECT["optional-dependencies"].items() if key != "dev"}
    assert {distribution(each) for names in extras.values() for each in names} == set(EXTRAS)
    assert {each for names in extras.values() for each in names} <= set(PROJECT["optional-dependencies"]["dev"])


@pytest.mark.parametrize("name", [*ROOMS, *EXTRAS])
def test_a_library_stays_in_its_room_and_is_used_there(name: str) -> None:
    module, rooms = (ROOMS | EXTRAS)[name]
    users = {path.partition("/")[0] for path in imported(ROOT / "supervisor")[module]}
    assert users, f"{name} is declared and imported nowhere"
    assert users <= rooms


@pytest.mark.parametrize("name", DEVELOPMENT)
def test_what_development_declares_is_used(name: str) -> None:
    assert name in {distribution(each) for each in PROJECT["optional-dependencies"]["dev"]}
    assert imported(ROOT / "tests")[DEVELOPMENT[name]], f"{name} is declared for development and imported by no test"


def test_nothing_else_is_imported() -> None:
    import sys

    known = (
        {module for module, _ in (ROOMS | EXTRAS).values()}
        | {"supervisor", "__future__"}
        | set(sys.stdlib_module_names)
    )
    strangers = {name: files for name, files in imported(ROOT / "supervisor").items() if name not in known}
    assert strangers == {}
