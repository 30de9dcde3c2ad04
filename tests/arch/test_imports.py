"""The import contracts of pyproject.toml hold, cover every package, and are able to fail."""

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "supervisor"
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = {each["name"]: each for each in CONFIG["contracts"]}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    # In a process of its own: import-linter imports the root package from the directory it is started in.
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from importlinter.cli import lint_imports_command as c; c()"
    )
    command = [
        sys.executable,
        "-I",
        "-c",
        program,
        str(folder),
        "--no-cache",
        "--config",
        str(folder / "pyproject.toml"),
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def broken(report: str) -> set[str]:
    """Names of broken contracts in a report; long names are wrapped by the terminal, so whitespace is folded."""
    folded = " ".join(report.split())
    return {name for name in CONTRACTS if f"{' '.join(name.split())} BROKEN" in folded}


def top_level() -> set[str]:
    names = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return names | {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}


def test_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room, name", [("kernel", "ctypes and libseccomp"), ("git", "processes of other programs")])
def test_a_room_contract_names_every_other_package(room: str, name: str) -> None:
    contract = next(each for title, each in CONTRACTS.items() if title.startswith(name))
    named = {source.removeprefix("supervisor.") for source in contract["source_modules"]}
    assert named == (top_level() | {"__main__"}) - {room}


def test_package_docstring_lists_the_layers_in_order() -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text())) or ""
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("    ")]
    rows = [row.split(" | ") for row in next(iter(CONTRACTS.values()))["layers"]]
    rank = {name: len(rows) - height for height, row in enumerate(rows) for name in row}
    assert [*listed, "__main__"] == sorted([*listed, "__main__"], key=lambda name: rank[name])
    assert {*listed, "__main__"} == set(rank)


PLANTED = {
    "surfaces/planted.py": "import ctypes\n",
    "journal/planted.py": "import subprocess\nimport supervisor.kernel\n",
    "enforce/planted.py": "import supervisor.surfaces\n",
    "surfaces/asks.py": "from supervisor import decide\n",
    "kernel/planted.py": "import supervisor.profile\n",
    "invariants/planted.py": "import os\n",
    "vocabulary/planted.py": "import time\n",
    "run/planted.py": "import asyncio\n",
    "surfaces/acts.py": "import supervisor.enforce\n",
    "utils.py": "",
}


def test_planted_violations_are_found(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "supervisor", ignore=shutil.ignore_patterns("__pycache__"))
    child = tmp_path / "supervisor" / "confine" / "child.py"
    child.write_text(child.read_text() + "\nimport json as planted  # noqa\n")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, text in PLANTED.items():
        (tmp_path / "supervisor" / name).write_text(text)
    with_stray = lint(tmp_path)
    assert "utils" in with_stray.stdout
    assert with_stray.returncode != 0
    (tmp_path / "supervisor" / "utils.py").unlink()
    assert broken(lint(tmp_path).stdout) == set(CONTRACTS)
