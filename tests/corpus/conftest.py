"""One escape per file: each runs bare first (it must work there, or it proves nothing), then governed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

FS_IOC_GETFLAGS = 0x80086601
PYTHON = "/usr/bin/python3"
# A rule about content, for profiles.
ONE_CLIENT = """
[[dependency]]
id = "one-http-client"
why = "one client"
deny = ["pypi:requests", "npm:lodash"]
"""

# Raw calls for probes: `sc(nr, …)` answers "ok" or the errno's name; OUT is the folder outside the tree.
PRELUDE = """
import ctypes, errno, fcntl, json, os, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
OUT = os.environ["OUT"]
VICTIM = OUT + "/victim"
AT = -100
def word(number):
    return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode[number]
def c(text):
    return ctypes.c_char_p(os.fsencode(text))
def sc(nr, *args):
    ctypes.set_errno(0)
    got = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return "ok" if got != -1 else word(ctypes.get_errno())
def attempt(call, *args, **more):
    try:
        call(*args, **more)
    except OSError as error:
        return word(error.errno)
    return "ok"
def supervisor():
    pid = os.getpid()
    while True:
        with open(f"/proc/{pid}/stat") as source:
            pid = int(source.read().rsplit(")", 1)[1].split()[1])
        with open(f"/proc/{pid}/cmdline", "rb") as source:
            words = source.read()
        if b"supervisor" in words or b"govrun" in words:
            return pid
        if pid <= 1:
            raise SystemExit("no supervisor above this process")
"""


def _flags(path: Path) -> int:
    """Inode flags (ioctl_iflags(2)); 0 where the file system has none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        raw = fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, b"\0" * 8)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    return int(struct.unpack("l", raw)[0])


def facts(path: Path) -> tuple[object, ...]:
    """All that an escape could change at one name: kind, owner, mode, time, links, content, attributes, flags."""
    try:
        seen = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ("absent",)
    content = ""
    flags = 0
    attributes: list[tuple[str, bytes]] = []
    if stat.S_ISLNK(seen.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(seen.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    if stat.S_ISREG(seen.st_mode) or stat.S_ISDIR(seen.st_mode):
        flags = _flags(path)
        attributes = [(name, os.getxattr(path, name)) for name in sorted(os.listxattr(path))]
    links = seen.st_nlink if not stat.S_ISDIR(seen.st_mode) else 0
    return (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, links, content, tuple(attributes), flags)


def snapshot(roots: Sequence[Path]) -> dict[str, tuple[object, ...]]:
    """Facts of every name at or beneath `roots`."""
    seen: dict[str, tuple[object, ...]] = {}
    for root in roots:
        seen[str(root)] = facts(root)
        if root.is_dir() and not root.is_symlink():
            for folder, names, files in os.walk(root):
                for name in [*names, *files]:
                    path = Path(folder) / name
                    seen[str(path)] = facts(path)
    return seen


@dataclass
class Cage:
    """A tree, a folder outside it, and the same pair again for the bare run.

    Scripts start in the tree, with OUT = the outside folder (inside HOME: `victim`, `other`, `sub/deep`), and find an
    executable `evil` in the tree. Relative to the tree the outside folder is ../home/outside in both pairs.
    """

    govrun: Govrun
    tree: Path
    home: Path
    twin_tree: Path
    twin_home: Path
    env: dict[str, str] = field(default_factory=dict)

    WRITE = "scope.write"
    PROTECT = "scope.protect"
    HIDE = "scope.hide"
    HOSTS = "scope.hosts"
    COMMANDS = "scope.commands"
    GIT = "git."
    POLICY = "govrun.policy"
    PROCESS = "govrun.processes"
    EXEC = "govrun.exec"
    PATH = "govrun.path"
    STATE = "govrun.state"

    @property
    def outside(self) -> Path:
        return self.home / "outside"

    def profile(self, text: str) -> None:
        """Write the same govrun.toml into both trees, before the run."""
        for tree in (self.tree, self.twin_tree):
            (tree / "govrun.toml").write_text("version = 1\n" + text)

    def both(self, script: str) -> None:
        """Prepare both trees alike, ungoverned."""
        for tree, home in ((self.tree, self.home), (self.twin_tree, self.twin_home)):
            subprocess.run(["bash", "-ec", script], cwd=tree, env=self._env(home), check=True, capture_output=True)

    def _env(self, home: Path) -> dict[str, str]:
        return self.govrun.env | {"HOME": str(home), "OUT": str(home / "outside")} | self.env

    def run(self, script: str, **more: Any) -> Outcome:
        """The script under govrun."""
        return self.govrun("bash", "-c", script, env=self._env(self.home), **more)

    def bare(self, script: str, timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
        """The script in the twin pair, without govrun."""
        words = ["bash", "-c", script]
        return subprocess.run(
            words, cwd=self.twin_tree, env=self._env(self.twin_home), capture_output=True, timeout=timeout
        )

    def held(self, script: str, found: Callable[[Path], object], timeout: float = 60) -> Outcome:
        """Assert that `found` finds something in the tree after `script` bare, and nothing after it governed."""
        bare = self.bare(script, timeout)
        assert found(self.twin_tree), bare.stderr
        outcome = self.run(script, timeout=timeout)
        assert not found(self.tree), outcome.stderr[-2000:]
        return outcome

    def subjects(self, tree: Path) -> set[str]:
        """Subject and author of every commit that a ref or HEAD of `tree` leads to."""
        words = ["git", "log", "--format=%s %an", "--all", "HEAD", "--"]
        seen = subprocess.run(words, cwd=tree, env=self.govrun.env, capture_output=True, text=True)
        return set(seen.stdout.splitlines())

    def escape(
        self,
        script: str,
        invariant: str | tuple[str, ...] | None,
        *,
        guarded: Sequence[str] = (),
        told: bool = True,
        bare: bool = True,
    ) -> Outcome:
        """Assert that `script` changes the outside folder or a `guarded` path (relative to the tree) bare, and that
        governed nothing changes, the refusal of `invariant` (a prefix of its id) is journalled, and, if `told`, read
        on stderr. `invariant` None: the kernel refuses silently. `bare` False: it cannot work bare on this host."""
        if bare:
            twins = [self.twin_home / "outside", *(self.twin_tree / name for name in guarded)]
            before = snapshot(twins)
            ran = self.bare(script)
            assert snapshot(twins) != before, f"the escape does nothing even bare: {ran.stderr!r}"
        roots = [self.outside, *(self.tree / name for name in guarded)]
        before = snapshot(roots)
        outcome = self.run(script)
        after = snapshot(roots)
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        assert not changed, f"changed: {changed}\n{outcome.stderr}"
        assert outcome.run_dir is not None, outcome.stderr
        if invariant is not None:
            self.refused(outcome, invariant, told=told)
        return outcome

    def refused(self, outcome: Outcome, invariant: str | tuple[str, ...], *, told: bool = True) -> list[dict[str, Any]]:
        """The journal records of a refusal, after asserting that they and the told reason exist."""
        records = [each for each in outcome.denied() if str(each.get("invariant", "")).startswith(invariant)]
        seen = sorted({str(each.get("invariant")) for each in outcome.denied()})
        assert records, f"no refusal of {invariant}* in the journal (refused: {seen})\n{outcome.stderr}"
        if told:
            assert any(str(each["invariant"]) in outcome.stderr for each in records), f"not told:\n{outcome.stderr}"
        return records

    def probe(self, code: str, *, governed: bool = True, **more: Any) -> Any:
        """Run Python `code` (after PRELUDE) and return the JSON that it prints."""
        words = self.script(code)
        if not governed:
            return json.loads(self.bare(words).stdout)
        outcome = self.run(words, **more)
        assert outcome.stdout, f"exit {outcome.code}: {outcome.stderr}"
        return json.loads(outcome.stdout)

    def script(self, code: str) -> str:
        """Shell words that run Python `code` after PRELUDE; the program is a file in both trees."""
        for tree in (self.tree, self.twin_tree):
            (tree / "probe.py").write_text(PRELUDE + code)
        return f"{PYTHON} -I probe.py"


def _outside(home: Path) -> None:
    folder = home / "outside"
    (folder / "sub").mkdir(parents=True)
    for name in ("victim", "other", "sub/deep"):
        (folder / name).write_text(f"original {name}\n")
        (folder / name).chmod(0o644)


@pytest.fixture
def cage(govrun: Govrun, repo: Path, home: Path, tmp_path: Path) -> Cage:
    (repo / "evil").write_text("#!/bin/sh\necho evil\n")
    (repo / "evil").chmod(0o755)
    (repo / ".git/info").mkdir(exist_ok=True)
    _outside(home)
    twin = tmp_path / "twin"
    mapping: Mapping[Path, Path] = {home: twin / "home", repo: twin / "repo"}
    for source, target in mapping.items():
        shutil.copytree(source, target, symlinks=True)
    return Cage(govrun, repo, home, twin / "repo", twin / "home")
