"""Two equal trees: a script runs bare in one and governed in the other, and what is left must be the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

# Equal dates make equal commits: object names can be compared between the two trees.
DATES = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
# What the package clients of this machine need to reach the index they are configured for.
CLIENT = ("PIP_", "UV_", "npm_config_", "NPM_CONFIG_")
CLIENT_NAMES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "http_proxy", "https_proxy", "no_proxy")
GIT_STATE = (
    "git for-each-ref --format='%(objectname) %(refname)' --exclude=x 2>/dev/null || git show-ref;"
    "git symbolic-ref -q HEAD; git rev-parse HEAD; git status --porcelain; git stash list; git worktree list | wc -l;"
    "git config --list --local | sort; git fsck --full 2>&1 | grep -v dangling"
)


def listing(tree: Path, skip: Sequence[str]) -> dict[str, tuple[object, ...]]:
    """Kind, mode and content of every name in a tree; absolute names of the tree itself are read as `@TREE@`."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, names, files in os.walk(tree):
        names[:] = [name for name in names if name not in ("__pycache__", ".git", *skip)]
        for name in [*names, *files]:
            path = Path(folder) / name
            if name in skip:
                continue
            seen = path.lstat()
            content = b""
            if stat.S_ISLNK(seen.st_mode):
                content = os.fsencode(os.readlink(path))
            elif stat.S_ISREG(seen.st_mode):
                content = path.read_bytes()
            digest = hashlib.sha256(content.replace(os.fsencode(tree), b"@TREE@")).hexdigest()
            found[str(path.relative_to(tree))] = (oct(seen.st_mode), digest)
    return found


EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git hash-object -t tree /dev/null


@dataclass
class Pair:
    """The governed tree (the `repo` fixture) and its bare twin, each with a home of its own."""

    govrun: Govrun
    tree: Path
    home: Path
    twin_tree: Path
    twin_home: Path
    env: dict[str, str] = field(default_factory=lambda: dict(DATES))

    def _bare_env(self) -> dict[str, str]:
        return self.govrun.env | {"HOME": str(self.twin_home)} | self.env

    def profile(self, text: str) -> None:
        """Write the same govrun.toml into both trees, before the run."""
        for tree in (self.tree, self.twin_tree):
            (tree / "govrun.toml").write_text("version = 1\n" + text)

    def both(self, script: str) -> None:
        """Prepare both trees alike, ungoverned."""
        for tree, home in ((self.tree, self.home), (self.twin_tree, self.twin_home)):
            env = self.govrun.env | self.env | {"HOME": str(home)}
            done = subprocess.run(["bash", "-ec", script], cwd=tree, env=env, capture_output=True, timeout=300)
            assert done.returncode == 0, done.stderr

    def bare(self, script: str, timeout: float = 300) -> subprocess.CompletedProcess[bytes]:
        words = ["bash", "-ec", script]
        return subprocess.run(
            words,
            cwd=self.twin_tree,
            env=self._bare_env(),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )

    def same(self, script: str, *, code: int = 0, skip: Sequence[str] = (), timeout: float = 300) -> Outcome:
        """Assert that `script` ends alike, prints alike and leaves the same files and the same git state."""
        bare = self.bare(script, timeout)
        assert bare.returncode == code, f"bare: exit {bare.returncode}\n{bare.stderr.decode(errors='replace')}"
        outcome = self.govrun("bash", "-ec", script, env=self.env, timeout=timeout)
        assert outcome.code == code, f"exit {outcome.code}\n{outcome.stderr}"
        here = outcome.stdout.replace(os.fsencode(self.tree), b"@TREE@").replace(os.fsencode(self.home), b"@HOME@")
        there = bare.stdout.replace(os.fsencode(self.twin_tree), b"@TREE@")
        there = there.replace(os.fsencode(self.twin_home), b"@HOME@")
        assert here == there, f"{here!r}\n{there!r}\n{outcome.stderr}"
        assert not outcome.denied(), outcome.stderr
        assert [each.get("op") for each in outcome.records(kind="external")] == []  # nobody else is there
        left, right = listing(self.tree, skip), listing(self.twin_tree, skip)
        differing = {name for name in left.keys() | right.keys() if left.get(name) != right.get(name)}
        assert not differing, {name: (left.get(name), right.get(name)) for name in sorted(differing)[:10]}
        assert self.git_state(self.tree) == self.git_state(self.twin_tree)
        return outcome

    def git_state(self, tree: Path) -> list[str]:
        """Refs, HEAD, index against tree, stashes, worktrees, local configuration and health of a repository."""
        env = self.govrun.env | self.env
        shown = subprocess.run(["bash", "-c", GIT_STATE], cwd=tree, env=env, capture_output=True, text=True)
        gone = ["refs/notes/govrun"]
        if tree == self.twin_tree:  # a rebase that has ended leads to the empty tree, which the ledger has brought
            gone.append(f"missing tree {EMPTY_TREE}")
        lines = [line for line in shown.stdout.splitlines() if not any(each in line for each in gone)]
        return [line.replace(str(tree), "@TREE@") for line in lines if "refs/govrun/" not in line]

    def note(self, commit: str = "HEAD") -> str:
        """The run's note on a commit, empty when there is none."""
        shown = self.govrun.bare("git", "notes", "--ref", "govrun", "show", commit)
        return shown.stdout.decode()


@pytest.fixture
def pair(govrun: Govrun, repo: Path, home: Path, tmp_path: Path) -> Pair:
    twin = tmp_path / "twin"
    shutil.copytree(home, twin / "home", symlinks=True)
    shutil.copytree(repo, twin / "repo", symlinks=True)
    return Pair(govrun, repo, home, twin / "repo", twin / "home")


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A home of few letters, for who listens in it: the names of UNIX sockets are short (unix(7))."""
    folder = Path(tempfile.mkdtemp(prefix="h", dir=os.environ["PYTEST_DEBUG_TEMPROOT"]))
    (folder / ".gitconfig").write_text(
        "[user]\n\tname = Ada Example\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n"
    )
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def client_environment() -> dict[str, str]:
    """Variables that configure the package clients of this machine."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(CLIENT) or name in CLIENT_NAMES or name.upper() in CLIENT_NAMES
    }


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for downloads: GOVRUN_TEST_CACHE if it can be written, else one of this session."""
    given = os.environ.get("GOVRUN_TEST_CACHE")
    if given:
        folder = Path(given)
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def wheels(cache: Path) -> Path:
    """Wheels of two small pure packages, downloaded once (toolz carries its own tests)."""
    folder = cache / "wheels"
    if not (folder / "complete").exists():
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
        subprocess.run([*command, "iniconfig==2.0.0", "toolz==1.0.0"], check=True, capture_output=True, timeout=300)
        (folder / "complete").touch()
    return folder
