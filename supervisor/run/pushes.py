"""Whose push it is that a helper of git carries out, and whether remotes are what they were at the start."""

from __future__ import annotations

import os

from supervisor.commands.gitconfig import parsed
from supervisor.git.commandline import command_of
from supervisor.invariants.policy import GitDir
from supervisor.surfaces.contents import plain_content
from supervisor.vocabulary.events import Actor

_MOST = 1 << 20
_DEEPEST = 6
_KEYS = ("remote.", "remotes.", "url.", "push.", "include.", "includeif.", "extensions.")


class Remotes:
    """``git`` None: nobody asks."""

    def __init__(self, git: GitDir | None) -> None:
        self._path = git.common + b"/config" if git is not None else b""
        self._start = self._read()

    def _read(self) -> bytes:
        return plain_content(self._path, _MOST) if self._path else b""

    def same(self) -> bool:
        """Whether the repository's configuration says the same of remotes and pushes as at the start."""
        if not self._path:
            return False
        now = self._read()
        return now == self._start or _about(now) == _about(self._start)


def _about(config: bytes) -> list[tuple[str, str]]:
    """What a configuration says of remotes and pushes."""
    text = config.decode("utf-8", "surrogateescape")
    return [(key, value) for key, value in parsed(text) if key.startswith(_KEYS)]


def pushing(actor: Actor, git_tools: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], bytes]:
    """Arguments and program of the git that ``actor`` works for: of the ``git push`` above a helper that speaks http
    (gitremote-helpers(7)), else of itself. Those above wait for it, so that they are still there."""
    argv, exe, pid = actor.argv, actor.exe, actor.ppid
    for _ in range(_DEEPEST):
        if not command_of(argv).startswith(b"remote-") or not exe.startswith(git_tools):
            break
        try:
            exe = os.readlink(b"/proc/%d/exe" % pid)
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                argv = tuple(file.read(_MOST).removesuffix(b"\0").split(b"\0"))
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return actor.argv, actor.exe
    return (argv, exe) if exe.startswith(git_tools) else (actor.argv, actor.exe)
