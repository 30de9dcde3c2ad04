"""uv, poetry, pre-commit, direnv, Jupyter and the tools that look at Python: as bare, and under a rule about packages."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome
    from tests.e2e.conftest import Pair

pytestmark = [pytest.mark.needs("registry", "notify", landlock=2), pytest.mark.timeout(300)]
PACKAGES = (
    "uv==0.13.9",
    "poetry==2.5.1",
    "pre-commit==4.7.0",
    "ipykernel==7.4.0",
    "nbclient==0.11.0",
    "black==26.10.1",
)
PROFILE = """
version = 1
[[dependency]]
id   = "one-greeting"
why  = "one way to greet"
deny = ["pypi:greeting"]
use  = "print"
"""


@pytest.fixture(scope="session")
def programs(cache: Path) -> Path:
    """A folder for PATH with the programs, installed once."""
    folder = cache / "python-tools"
    wanted = " ".join((sys.version, *PACKAGES))
    told = folder / "wanted"
    if not told.exists() or told.read_text() != wanted:
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", str(folder)], check=True, capture_output=True)
        command = [str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", "--no-input", *PACKAGES]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
        told.write_text(wanted)
    return folder / "bin"


def wheel(folder: Path, name: str, module: str, requires: str = "") -> None:
    """A package with one module, which prints, and a program of its name."""
    info = f"{name}-1.0.dist-info"
    more = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{module}.py": f"def main() -> None:\n    print('{name}')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{more}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {module}:main\n",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD")))


@pytest.fixture
def index(pair: Pair, tmp_path: Path, programs: Path) -> Path:
    """A folder of wheels that is the only source: `greeting`, and `outer`, which needs it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "greeting", "greeting")
    wheel(folder, "plain", "plain")
    wheel(folder, "outer", "outer", "greeting")
    settings = tmp_path / "uv.toml"
    settings.write_text(
        f'no-index = true\nfind-links = ["{folder}"]\npython-downloads = "never"\npython-preference = "only-system"\n'
    )
    pair.env |= {"UV_CONFIG_FILE": str(settings), "PIP_FIND_LINKS": str(folder)}
    pair.env["PATH"] = f"{programs}:{pair.govrun.env['PATH']}"
    return folder


# ---- uv and poetry ----------------------------------------------------------------------------------------------


def test_uv(pair: Pair, index: Path) -> None:
    """Project, environment, lock, programs of packages. Its caches and tools lie beside the other caches."""
    pair.both("printf '.venv\\n' > .gitignore; git add -A; git commit -qm x")
    script = (
        "uv init -q --bare --name demo; uv venv -q; uv add -q plain; uv sync -q; uv run -q plain; uv lock -q --check;"
        "uv run -q python -c 'import plain; plain.main()'; uv tool run -q greeting; uv tool install -q outer;"
        '"$(uv tool dir --bin)/outer"; uv tool list -q; uv remove -q plain; uv pip install -q plain; uv pip list -q;'
        "cat uv.lock pyproject.toml; git status --short"
    )
    names = [
        "RECORD",
        "plain",
        "activate",
        "activate.csh",
        "activate.fish",
        "activate.nu",
        "activate.bat",
        "activate.ps1",
        "uv_cache.json",
        "CACHEDIR.TAG",
    ]
    pair.env["UV_NO_PROGRESS"] = "1"
    outcome = pair.same(
        script.replace("uv tool install -q outer;", "uv tool install -q outer 2>/dev/null;"), skip=names
    )
    assert outcome.stdout.startswith(b"plain\nplain\ngreeting\nouter\n")
    assert not (pair.home / ".local/share/uv").exists()


def test_poetry(pair: Pair, index: Path) -> None:
    """From a file, since its index is the public one; the environment is in the tree, as settings of the project say."""
    pair.both(f"printf '.venv\\n' > .gitignore; mkdir wheels; cp '{index}'/*.whl wheels; git add -A; git commit -qm x")
    script = (
        "printf '[virtualenvs]\\nin-project = true\\n' > poetry.toml; poetry new -q pkg; cp poetry.toml pkg; cd pkg;"
        "poetry add -q ../wheels/plain-1.0-py3-none-any.whl; poetry run plain;"
        "grep -v content-hash poetry.lock; cat pyproject.toml; git status --short"
    )
    # The lock has a digest of the manifest, which has the absolute name of the wheel.
    outcome = pair.same(script, skip=[".venv", "poetry.lock"])
    assert outcome.stdout.startswith(b"plain\n")
    assert (pair.tree / "pkg/.venv/bin/plain").exists()


@pytest.fixture
def ruled(pair: Pair, index: Path, govrun: Govrun) -> Pair:
    (pair.tree / "govrun.toml").write_text(PROFILE)
    (pair.tree / "pyproject.toml").write_text(
        '[project]\nname = "demo"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = []\n'
    )
    (pair.tree / ".gitignore").write_text(".venv\n")
    for words in (["add", "-A"], ["commit", "-qm", "rule"]):
        assert govrun.bare("git", *words).returncode == 0
    return pair


COMMANDS = {
    "uv": [
        "uv add greeting", "uv add --dev 'greeting>=1'", "uv pip install greeting", "uv tool run greeting", "uvx greeting",
        "uv tool install greeting", "uvx --with greeting plain", "uv run --with greeting plain", "uvx --from greeting x",
    ],
    "poetry": ["poetry add greeting", "poetry add --group dev greeting@^1", "poetry add 'greeting>=1'"],
}  # fmt: skip


@pytest.mark.parametrize("manager", COMMANDS)
def test_a_forbidden_package_is_not_added(ruled: Pair, manager: str) -> None:
    script = "; ".join(f"{words}; echo $?" for words in COMMANDS[manager])
    outcome = ruled.govrun("sh", "-c", script, env=ruled.env)
    assert outcome.stdout.split() == [b"126"] * len(COMMANDS[manager]), outcome.stderr
    assert outcome.stderr.count(f"{manager} names greeting") == len(COMMANDS[manager])
    assert "instead: print" in outcome.stderr


def test_one_that_comes_with_another_is_told(ruled: Pair) -> None:
    outcome = ruled.govrun("sh", "-c", "uv add -q outer && .venv/bin/outer", env=ruled.env).ok()
    assert outcome.stdout == b"outer\n"
    assert "pypi:greeting came with another package" in outcome.stderr


def test_one_that_comes_with_another_is_refused(ruled: Pair, govrun: Govrun) -> None:
    (ruled.tree / "govrun.toml").write_text(PROFILE + "transitive = true\n")
    assert govrun.bare("git", "commit", "-qam", "transitive").returncode == 0
    outcome = ruled.govrun(
        "sh", "-c", "uv venv -q; uv add outer; echo $?; uv pip install outer; echo $?", env=ruled.env
    )
    assert outcome.stdout.split() == [b"2", b"1"], outcome.stderr
    assert "pypi:greeting would come to lie in " in outcome.stderr
    assert "uv.lock locks greeting 1.0" in outcome.stderr
    assert not (ruled.tree / "uv.lock").exists()
    assert "outer" not in (ruled.tree / "pyproject.toml").read_text()


LOCKS = {
    "uv.lock": 'version = 1\nrequires-python = ">=3.11"\n\n[[package]]\nname = "greeting"\nversion = "1.0"\nsource = { registry = "wheels" }\n',
    "poetry.lock": '[[package]]\nname = "greeting"\nversion = "1.0"\ndescription = ""\noptional = false\npython-versions = "*"\nfiles = []\n\n[metadata]\nlock-version = "2.1"\n',
}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_that_names_it_is_taken_back(ruled: Pair, govrun: Govrun, tmp_path: Path, lock: str) -> None:
    (ruled.tree / "govrun.toml").write_text(PROFILE + "transitive = true\n")
    assert govrun.bare("git", "commit", "-qam", "transitive").returncode == 0
    (tmp_path / "lock").write_text(LOCKS[lock])
    outcome = ruled.govrun("sh", "-c", f"cat '{tmp_path}/lock' > {lock}; cat {lock}")
    assert b"greeting" not in outcome.stdout
    assert f"{lock} locks greeting 1.0" in outcome.stderr
    assert outcome.records(phase="outcome", outcome="reverted")


@pytest.mark.parametrize(
    "table", ['[tool.poetry.group.dev.dependencies]\ngreeting = "*"\n', '[dependency-groups]\ndev = ["greeting"]\n']
)
def test_a_manifest_loses_the_entry(ruled: Pair, tmp_path: Path, table: str) -> None:
    (tmp_path / "table").write_text("\n" + table)
    outcome = ruled.govrun("sh", "-c", f"cat '{tmp_path}/table' >> pyproject.toml; cat pyproject.toml")
    assert b"greeting" not in outcome.stdout
    assert "pyproject.toml names greeting" in outcome.stderr


# ---- pre-commit -------------------------------------------------------------------------------------------------


@pytest.fixture
def checked(pair: Pair, programs: Path, govrun: Govrun, tmp_path: Path) -> Pair:
    """A repository with a hook of another repository, and one of its own."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / ".pre-commit-hooks.yaml").write_text(
        "- id: no-tabs\n  name: no tabs\n  entry: check.sh\n  language: script\n  files: \\.txt$\n"
    )
    (hooks / "check.sh").write_text('#!/bin/sh\n! grep -l "$(printf \'\\t\')" "$@"\n')
    (hooks / "check.sh").chmod(0o755)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "hooks"]):
        assert govrun.bare("git", *words, cwd=hooks).returncode == 0
    commit = govrun.bare("git", "rev-parse", "HEAD", cwd=hooks).stdout.decode().strip()
    config = f"""
repos:
- repo: {hooks}
  rev: {commit}
  hooks: [{{id: no-tabs}}]
- repo: local
  hooks:
  - {{id: end, name: end of file, language: system, entry: sh -c 'for f; do test -z "$(tail -c1 "$f")" || echo >> "$f"; done' --, files: \\.txt$}}
"""
    for tree in (pair.tree, pair.twin_tree):
        (tree / ".pre-commit-config.yaml").write_text(config)
    pair.both("git add -A; git commit -qm config")
    pair.env["PATH"] = f"{programs}:{pair.govrun.env['PATH']}"
    return pair


def test_pre_commit_runs(checked: Pair) -> None:
    script = (
        "printf x > a.txt; printf 'a\\tb\\n' > b.txt; git add -A; pre-commit run --color never || echo $?; cat a.txt;"
        "rm b.txt; git add -A; pre-commit run --color never --all-files; git commit -qm x; git log --format=%s"
    )
    outcome = checked.same(script)
    assert b"no tabs" in outcome.stdout
    assert b"files were modified by this hook" in outcome.stdout


def test_pre_commit_is_installed_by_its_user_and_then_runs_in_commits(checked: Pair, govrun: Govrun) -> None:
    inside = govrun("pre-commit", "install", env=checked.env)
    assert inside.code != 0
    assert inside.denied("git.internals")
    assert "ask the user to install the hook" in inside.stderr
    assert not (checked.tree / ".git/hooks/pre-commit").exists()

    assert govrun.bare("pre-commit", "install", env=checked.env).returncode == 0
    script = (
        "echo fine > a.txt; git add -A; git commit -qm fine; printf 'a\\tb\\n' > b.txt; git add -A; git commit -qm tabs"
    )
    outcome = govrun("sh", "-c", script, env=checked.env)
    assert outcome.code == 1
    assert "no tabs" in outcome.stderr
    assert govrun.bare("git", "log", "--format=%s").stdout.split() == [b"fine", b"config", b"base"]


# ---- direnv -----------------------------------------------------------------------------------------------------


@pytest.mark.needs("direnv")
def test_direnv_runs_what_its_user_allowed(pair: Pair) -> None:
    pair.both("echo 'export GREETING=hello' > .envrc; git add -A; git commit -qm x; direnv allow")
    assert pair.same("direnv exec . sh -c 'echo $GREETING'").stdout == b"hello\n"


@pytest.mark.needs("direnv")
def test_direnv_is_not_told_to_trust_what_a_run_wrote(pair: Pair, govrun: Govrun) -> None:
    """Not by the run's word, nor by a change of what was allowed, nor under another name of its settings."""
    pair.both("echo 'export GREETING=hello' > .envrc; git add -A; git commit -qm x")
    settings = pair.home / ".local/share/direnv"

    def refused(command: str) -> Outcome:
        outcome = govrun("sh", "-c", command)
        assert outcome.code != 0
        assert outcome.denied(), outcome.stderr
        return outcome

    assert "scope.write" in refused("direnv allow").stderr
    assert not settings.exists()
    assert "is protected (.envrc)" in refused("echo 'touch planted' >> .envrc").stderr
    refused("mkdir sub; echo 'touch planted' > sub/.envrc")
    refused("echo 'touch planted' > x; mv x sub/.envrc")
    refused("mkdir -p ~/.config/direnv && echo 'touch planted' > ~/.config/direnv/direnvrc")
    # Allowed somewhere else, it is not allowed for whoever enters the folder later.
    govrun("sh", "-c", "XDG_DATA_HOME=$PWD/data direnv allow").ok()
    entered = govrun.bare("direnv", "exec", ".", "sh", "-c", "echo $GREETING")
    assert entered.returncode != 0
    assert b"is blocked" in entered.stderr


# ---- Jupyter, black ---------------------------------------------------------------------------------------------

NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "a",
            "metadata": {},
            "outputs": [],
            "source": ["open('out', 'w').write('x'); print(6 * 7)"],
        }
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
KERNEL = """
import sys
from jupyter_client.manager import KernelManager
manager = KernelManager(transport=sys.argv[1])
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
client.execute("print(1 + 1); open('../outside', 'w')")
for wanted, key in (("stream", "text"), ("error", "ename")):
    while (message := client.get_iopub_msg(timeout=60))["msg_type"] != wanted:
        pass
    print(message["content"][key].strip())
client.stop_channels()
manager.shutdown_kernel()
"""


def test_a_notebook_is_executed(pair: Pair, programs: Path) -> None:
    """Its kernel is reached over loopback; the profile of IPython lies beside the other caches."""
    for tree in (pair.tree, pair.twin_tree):
        (tree / "n.ipynb").write_text(json.dumps(NOTEBOOK))
    pair.env["PATH"] = f"{programs}:{pair.govrun.env['PATH']}"
    script = "jupyter execute --inplace n.ipynb 2>/dev/null; grep -cF '\"42\\n\"' n.ipynb; cat out"
    outcome = pair.same(script, skip=["n.ipynb"])
    assert outcome.stdout == b"1\nx"
    assert not (pair.home / ".ipython").exists()


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_kernel_works_and_is_held_to_the_scope(govrun: Govrun, repo: Path, programs: Path, transport: str) -> None:
    (repo / "kernel.py").write_text(KERNEL)
    outcome = govrun(programs / "python", "kernel.py", transport).ok()
    assert outcome.stdout == b"2\nPermissionError\n"
    assert outcome.denied("scope.write")
    assert not (repo.parent / "outside").exists()


def test_black(pair: Pair, programs: Path) -> None:
    pair.env["PATH"] = f"{programs}:{pair.govrun.env['PATH']}"
    pair.same("printf 'def f( x ):\\n  return x\\n' > f.py; black -q f.py; black --check -q .; cat f.py")
    assert os.listdir(pair.tree / "src") == ["app.py"]
