"""`govrun init`: a first profile that loads without warnings and lets an ordinary run work."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisor.profile.load import load
from tests.e2e.rule_kit import git

if TYPE_CHECKING:
    from tests.conftest import Govrun

WORKS = "echo x > src/new.py && git add -A && git commit -qm x"


def test_then_a_run_works(repo: Path, govrun: Govrun) -> None:
    for name in ("LICENSE", "uv.lock", ".github/workflows/ci.yml", "docs/adr/0001-x.md", "Jenkinsfile"):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text("")
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "more")
    outcome = govrun.cli("init").ok()
    assert "govrun explain" in outcome.stdout.decode()
    assert "govrun -- COMMAND" in outcome.stdout.decode()
    text = (repo / "govrun.toml").read_text()
    profile = load(repo)
    assert not profile.warnings
    assert not profile.scope.write
    assert '#     "/docs/**",\n#     "/src/**",\n#     "/README.md", "/uv.lock",\n# ]' in text
    assert "/LICENSE" in {entry.value for entry in profile.scope.protect}
    assert 'adr_dir = "docs/adr"' in text
    assert "uv.lock names may arrive" in text
    assert ".github/workflows, Jenkinsfile" in text
    assert len(text.splitlines()) < 50
    govrun("sh", "-c", WORKS + " && echo x > top.md").ok()
    assert govrun("sh", "-c", "echo x > LICENSE").code != 0
    assert govrun("sh", "-c", "echo x > .github/workflows/ci.yml").code != 0


@pytest.mark.needs("npm")
def test_then_package_work_works(repo: Path, govrun: Govrun) -> None:
    """A package of the tree's own, so that nothing has to be fetched."""
    (repo / "lib").mkdir()
    (repo / "lib" / "package.json").write_text('{"name": "lib", "version": "1.0.0"}')
    (repo / "package.json").write_text('{"name": "app", "version": "1.0.0", "private": true}')
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "node")
    govrun.cli("init").ok()
    outcome = govrun("npm", "install", "--offline", "--no-audit", "--no-fund", "./lib").ok()
    assert not outcome.denied()
    assert (repo / "package-lock.json").exists()
    replaced = "echo y > .tmpAbCd && mv .tmpAbCd pyproject.toml"
    assert not govrun("sh", "-c", replaced).ok().denied()


def test_the_example_holds_when_it_is_taken(repo: Path, govrun: Govrun) -> None:
    (repo / "package-lock.json").write_text("{}")
    for name in ("a.ts", "b.ts"):
        (repo / "src" / name).write_text("")
    govrun.cli("init").ok()
    path = repo / "govrun.toml"
    lines = path.read_text().splitlines()
    at = lines.index("# [[dependency]]")
    taken = [line.removeprefix("# ") if "=" in line or "[[" in line else line for line in lines[at:]]
    path.write_text("\n".join([*lines[:at], *taken]) + "\n")
    govrun.cli("check").ok()
    assert [rule.id for rule in load(repo).rules if rule.layer == "govrun.toml"] == ["one-date-library"]
    assert govrun("true").ok()


def test_never_over_another(repo: Path, govrun: Govrun) -> None:
    (repo / "govrun.toml").write_text("mine\n")
    outcome = govrun.cli("init")
    assert outcome.code == 125
    assert "--force" in outcome.stderr
    assert (repo / "govrun.toml").read_text() == "mine\n"
    told = json.loads(govrun.cli("init", "--force", "--json").ok().stdout)
    assert told["path"] == str(repo / "govrun.toml")
    assert (repo / "govrun.toml").read_text() == told["text"]
    assert len(told["next"]) == 2
    assert [name for name in os.listdir(repo) if "govrun" in name] == ["govrun.toml"]


def test_a_link_is_not_written_through(repo: Path, govrun: Govrun, tmp_path: Path) -> None:
    (repo / "govrun.toml").symlink_to(tmp_path / "elsewhere")
    assert govrun.cli("init").code == 125
    govrun.cli("init", "--force").ok()
    assert not (tmp_path / "elsewhere").exists()
    assert not (repo / "govrun.toml").is_symlink()


def test_from_a_folder_inside(repo: Path, govrun: Govrun) -> None:
    govrun.cli("init", cwd=repo / "src").ok()
    assert (repo / "govrun.toml").exists()


def test_odd_names(repo: Path, govrun: Govrun) -> None:
    for name in (
        b"a\nb",
        b"\xff",
        "\u202eb".encode(),
        b'q"uote',
        b"st*r",
        b"[x]",
        b"!no",
        b"#no",
        b"back\\slash",
        b"a b",
    ):
        folder = os.fsencode(repo) + b"/" + name
        os.mkdir(folder)
        Path(os.fsdecode(folder + b"/f.py")).write_text("")
    govrun.cli("init").ok()
    profile = load(repo)
    assert not profile.warnings
    assert '#     "/a b/**",' in (repo / "govrun.toml").read_text()
    assert "9 more with unusual names" in (repo / "govrun.toml").read_text()
    govrun("sh", "-c", WORKS).ok()


def test_an_empty_repository(govrun: Govrun, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git(govrun, fresh, "init", "-q")
    govrun.cli("init", cwd=fresh).ok()
    assert not load(fresh).warnings
    govrun("sh", "-c", "mkdir src; " + WORKS, cwd=fresh).ok()


def test_without_git(govrun: Govrun, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    (plain / "src").mkdir(parents=True)
    (plain / "src" / "a.py").write_text("")
    (plain / "empty").mkdir()
    govrun.cli("init", cwd=plain).ok()
    assert not load(plain).scope.write
    assert '#     "/empty/**",\n#     "/src/**",\n# ]' in (plain / "govrun.toml").read_text()
    govrun("sh", "-c", "echo x > src/new.py", cwd=plain).ok()


@pytest.mark.parametrize("where", ["HOME", "/"])
def test_places_that_are_too_large(govrun: Govrun, where: str) -> None:
    place = Path(govrun.env.get(where, where))
    outcome = govrun.cli("init", cwd=place)
    assert outcome.code == 125
    assert "tree" in outcome.stderr
    assert not (place / "govrun.toml").exists()


def test_not_from_inside_a_run(repo: Path, govrun: Govrun) -> None:
    assert govrun(*govrun.argv("init")).code != 0
    assert not (repo / "govrun.toml").exists()


def commit(govrun: Govrun, tree: Path, files: dict[str, str]) -> Path:
    """A repository at `tree` with one commit of `files`."""
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    git(govrun, tree, "init", "-q", "-b", "trunk")
    git(govrun, tree, "add", "-A")
    git(govrun, tree, "commit", "-qm", "base")
    return tree


PYTHON = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "b"\n[project]\nname = "app"\nversion = "1"\n',
    "src/app/__init__.py": "ANSWER = 42\n",
    "tests/test_app.py": "def test_it(tmp_path):\n    (tmp_path / 'x').write_text('y')\n",
    ".gitignore": ".venv/\n__pycache__/\n.pytest_cache/\n",
    "LICENSE": "free\n",
}
NPM = {
    "package.json": '{"name": "app", "version": "1.0.0", "private": true, "workspaces": ["packages/*"]}',
    "packages/one/package.json": '{"name": "one", "version": "1.0.0"}',
    "packages/one/index.js": "module.exports = 1\n",
    "packages/two/package.json": '{"name": "two", "version": "1.0.0", "dependencies": {"one": "1.0.0"}}',
    "packages/two/index.ts": "export default 2\n",
    ".gitignore": "node_modules/\n",
    "LICENSE": "free\n",
}
TREES: dict[str, tuple[dict[str, str], str]] = {
    "Rust": ({"Cargo.toml": '[package]\nname = "a"\nversion = "1.0.0"\n', "src/main.rs": "fn main() {}\n"}, "Rust"),
    "Go": ({"go.mod": "module example.com/a\n", "main.go": "package main\n", "cmd/x/x.go": "package x\n"}, "Go"),
    "Java": ({"pom.xml": "<project/>\n", "src/main/java/A.java": "class A {}\n"}, "Java"),
    "Python": (PYTHON, "Python"),
    "workspaces": (NPM, "npm:moment"),
    "agents": ({"AGENTS.md": "", "CLAUDE.md": "", ".claude/settings.json": "{}"}, '"/AGENTS.md", "/CLAUDE.md"'),
    "records": ({"docs/adr/0001-x.md": "---\nstatus: accepted\n---\n# X\n", "a.py": ""}, 'adr_dir = "docs/adr"'),
}
REFUSED = (
    "echo exit > .git/hooks/pre-commit",
    "echo x >> govrun.toml",
    'echo x > "$HOME/outside"',
    "echo x > Jenkinsfile",
)


@pytest.mark.parametrize("name", TREES)
def test_trees(govrun: Govrun, tmp_path: Path, name: str) -> None:
    """What lies there is seen; the profile loads without a warning, holds nothing unjudged, and binds a run."""
    files, word = TREES[name]
    tree = commit(govrun, tmp_path / "tree", files)
    govrun.cli("init", cwd=tree).ok()
    text = (tree / "govrun.toml").read_text()
    assert word in text and "trunk" in text
    assert not load(tree).warnings
    explained = json.loads(govrun.cli("explain", "--json", cwd=tree).ok().stdout)
    assert not [each["invariant"] for each in explained["invariants"] if each["coverage"] == "unenforceable"]
    outcome = govrun("sh", "-c", "echo x > new && git add -A && git commit -qm x && echo ok", cwd=tree).ok()
    assert outcome.stdout == b"ok\n" and not outcome.denied()
    outcome = govrun("bash", "-c", "\n".join(REFUSED), cwd=tree)
    assert len({each["op"]["path"] for each in outcome.denied()}) == len(REFUSED), outcome.stderr
    assert (tree / "govrun.toml").read_text() == text and not (govrun.home / "outside").exists()


@pytest.mark.needs("registry")
@pytest.mark.timeout(300)
def test_python_work_goes_on(govrun: Govrun, tmp_path: Path, wheels: Path, client_environment: dict[str, str]) -> None:
    """An environment, an install, the tests, a commit; what `protect` names stays."""
    tree = commit(govrun, tmp_path / "tree", PYTHON)
    govrun.cli("init", cwd=tree).ok()
    work = (
        f"{govrun.interpreter} -I -B -m pytest -q -p no:cacheprovider tests && "
        f"/usr/bin/python3 -m venv .venv && .venv/bin/pip install -q --no-index --find-links {wheels} iniconfig && "
        ".venv/bin/python -c 'import iniconfig' && echo x >> src/app/__init__.py && git commit -qam work"
    )
    outcome = govrun("sh", "-c", work, cwd=tree, env=client_environment, timeout=200).ok()
    assert not outcome.denied(), outcome.stderr
    refused = govrun("sh", "-c", "echo x > LICENSE", cwd=tree)
    assert refused.denied("scope.protect") and (tree / "LICENSE").read_text() == "free\n"


@pytest.mark.needs("npm")
@pytest.mark.timeout(300)
def test_npm_work_goes_on(govrun: Govrun, tmp_path: Path) -> None:
    """Workspaces are linked, used and committed; nothing has to be fetched."""
    tree = commit(govrun, tmp_path / "tree", NPM)
    govrun.cli("init", cwd=tree).ok()
    work = (
        "npm install --offline --no-audit --no-fund && node -e 'require(\"one\")' && "
        "npm version --no-git-tag-version 1.0.1 && git add -A && git commit -qm work"
    )
    outcome = govrun("sh", "-c", work, cwd=tree, timeout=200).ok()
    assert not outcome.denied(), outcome.stderr
    assert (tree / "package-lock.json").exists()


def test_to_standard_output(repo: Path, govrun: Govrun) -> None:
    """What would be written, and nothing is; also where there is one already."""
    printed = govrun.cli("init", "--stdout").ok().stdout.decode()
    assert not (repo / "govrun.toml").exists() and not govrun.state.exists()
    told = json.loads(govrun.cli("init", "--stdout", "--json").ok().stdout)
    assert told["text"] == printed and told["written"] is False
    govrun.cli("init").ok()
    assert (repo / "govrun.toml").read_text() == printed
    assert (
        govrun.cli("init", "--stdout").ok().stdout.decode().partition("[scope]")[0] == printed.partition("[scope]")[0]
    )


def test_default_branch_of_the_remote(repo: Path, govrun: Govrun, tmp_path: Path) -> None:
    """origin/HEAD says it, wherever HEAD is."""
    git(govrun, repo, "branch", "-m", "stable")
    git(govrun, tmp_path, "clone", "-q", str(repo), "clone")
    git(govrun, tmp_path / "clone", "switch", "-qc", "agent/topic")
    assert "here: stable)" in govrun.cli("init", "--stdout", cwd=tmp_path / "clone").ok().stdout.decode()
    git(govrun, repo, "switch", "-qc", "od\u202ed")
    assert "\u202e" not in govrun.cli("init", "--stdout").ok().stdout.decode()
