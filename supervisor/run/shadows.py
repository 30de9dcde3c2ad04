"""Whether a run could have a hand in a fetch by what git reads and starts: settings that it takes in, and programs that
stand ahead of the usual ones on PATH.

What was there for a moment counts as well: whatever is put into a folder, taken away or renamed has a newer ctime then,
which nobody sets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from supervisor.git import config as git_config
from supervisor.invariants.places import WRITABLE, is_under, locate
from supervisor.invariants.policy import CompiledPolicy
from supervisor.run.fresh import TICK
from supervisor.surfaces.applied import links
from supervisor.surfaces.contents import plain_content

Entries = Sequence[tuple[str, str]]

_MOST = 1 << 20
_MOST_FILES = 256
_STARTED = (b"ssh", b"sh")
_SCHEMES = frozenset(("http", "https", "ssh", "git", "file", "ftp", "ftps", "git+ssh", "ssh+git"))
_HELPER = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]*)(::|://)")  # git-remote-NAME, gitremote-helpers(7)
# A value that a shell takes as it is written, and a first word that starts no other program.
_WORDS = re.compile(r"[A-Za-z0-9_./~:@%+,= -]+")
_NAME = re.compile(
    r"(?!(?:env|exec|command|builtin|eval|nice|nohup|setsid|sudo|time|timeout|xargs|(?:ba|da|z)?sh)$)[\w+.-]+"
)

# An absolute path, alone, as the value of an option of one letter, or after `=`.
_PLACE = re.compile(r"(?:-[A-Za-z]|[^/]*=)?((?:~?/).*)")
_COMMAND = re.compile(r"command", re.IGNORECASE)  # ProxyCommand and others of ssh_config(5)
_LEADING = re.compile(r"(?i:control)|^-[FS].")


class Shadows:
    """``common``: the git directory; ``given``: variables as the run was given them."""

    def __init__(self, policy: CompiledPolicy, common: bytes, given: Mapping[bytes, bytes]) -> None:
        self._policy = policy
        self._common = common
        self._given = given
        self._home = given.get(b"HOME", b"")

    def fall(self, own: Entries, path: bytes, moment: float) -> bool:
        """Whether one could fall on a git that began at ``moment`` with this PATH, in a repository with these settings.
        Raises ``GovrunError``, OSError and ``ValueError`` where it cannot be told."""
        further = self._settings(own)
        if further is None:
            return True
        said = [*own, *further]
        started = [*_STARTED, *self._transports(said), *_helpers(said)]
        return any(self._may_shadow(folder, started, moment) for folder in self._ahead(path, started))

    def lies_outside(self, path: bytes) -> bool:
        """Whether the run can write neither there nor to a link on the way."""
        plain = os.path.normpath(path)
        return all(
            locate(self._policy, each).zone not in WRITABLE for each in (plain, os.path.realpath(path), *links(path))
        )

    def _settings(self, own: Entries) -> Entries | None:
        """What git reads besides the repository's own settings; None where the run can write a file of it."""
        xdg = self._given.get(b"XDG_CONFIG_HOME") or self._home + b"/.config"
        pending = [self._home + b"/.gitconfig", xdg + b"/git/config", b"/etc/gitconfig"]
        pending += filter(None, (self._given.get(b"GIT_CONFIG_GLOBAL"), self._given.get(b"GIT_CONFIG_SYSTEM")))
        pending += [os.path.join(self._common, name) for name in self._included(own)]
        if self._given.get(b"GIT_CONFIG_COUNT"):
            return None
        found: list[tuple[str, str]] = []
        seen: set[bytes] = set()
        while pending:
            path = pending.pop()
            if path in seen:
                continue
            seen.add(path)
            if len(seen) > _MOST_FILES or not self.lies_outside(path):
                return None
            content = plain_content(os.path.realpath(path), _MOST)
            said = entries(content)
            pending += [os.path.join(os.path.dirname(path), name) for name in self._included(said)]
            found += said
        return found

    def _included(self, said: Entries) -> Iterator[bytes]:
        """The files that they take in (git-config(1)), relative to the file of the entry."""
        for key, value in said:
            if key == "include.path" or (key.startswith("includeif.") and key.endswith(".path")):
                name = os.fsencode(value)
                yield self._home + name[1:] if name.startswith(b"~/") else name

    def _transports(self, said: Entries) -> Iterator[bytes]:
        """Names of programs that are to be started in place of ssh. Raises ``ValueError`` where a shell, or a file that
        the run can write, would say more."""
        told = [value for key, value in said if key in ("core.sshcommand", "core.gitproxy")]
        variables = (b"GIT_SSH", b"GIT_SSH_COMMAND", b"GIT_PROXY_COMMAND")
        told += [os.fsdecode(self._given.get(name, b"")) for name in variables]
        for value in filter(None, told):
            words = (value.split() if _WORDS.fullmatch(value) else []) or [""]
            if not _NAME.fullmatch(words[0].rpartition("/")[2]):
                raise ValueError(value)
            for before, word in pairwise(["", *words]):
                self._check(word, before)
                if "/" not in word and "=" not in word and not word.startswith("-"):
                    yield os.fsencode(word)  # after a word that starts another program, any may be one

    def _check(self, word: str, before: str) -> None:
        """Raises ``ValueError`` where a word of a command leads to what the run can write, or to another program."""
        found = _PLACE.fullmatch(word)
        if _COMMAND.search(word):
            raise ValueError(word)
        if found is None:
            if "/" in word or before in ("-F", "-S") or _LEADING.search(word):
                raise ValueError(word)
            return
        path = os.fsencode(found[1])
        path = self._home + path[1:] if path.startswith(b"~") else path
        if not self.lies_outside(path):
            raise ValueError(word)

    def _ahead(self, path: bytes, started: Sequence[bytes]) -> Iterator[bytes]:
        """The folders of PATH up to the one that has all of these programs."""
        for folder in path.split(b":"):
            yield folder
            if self.lies_outside(folder) and all(os.access(folder + b"/" + name, os.X_OK) for name in started):
                return

    def _may_shadow(self, folder: bytes, started: Sequence[bytes], moment: float) -> bool:
        if not folder.startswith(b"/"):
            return True
        if self.lies_outside(folder):
            return False
        if any(os.path.lexists(folder + b"/" + name) for name in started):
            return True
        real = os.path.realpath(folder)
        return any(self._has_changed(path, moment) for path in (real, *links(folder)))

    def _has_changed(self, path: bytes, moment: float) -> bool:
        """Whether what lies at a path, or should, or a folder above that the run can rename may have been another."""
        place = locate(self._policy, path)
        if place.zone not in WRITABLE:
            return False
        while not os.path.lexists(path):
            path = os.path.dirname(path)
        if not is_under(path, place.base):
            return True
        while True:
            if os.lstat(path).st_ctime >= moment - TICK:
                return True
            path = os.path.dirname(path)
            if path == place.base or not is_under(path, place.base):
                return False


@lru_cache(maxsize=32)
def entries(content: bytes) -> tuple[tuple[str, str], ...]:
    """What a file of settings with this content says: each ref that a fetch moves asks. Raises ``GovrunError``."""
    return tuple(git_config.entries(content)) if content else ()


def _helpers(said: Entries) -> Iterator[bytes]:
    for key, value in said:
        if key.startswith("remote.") and key.endswith(".vcs"):
            yield b"git-remote-" + os.fsencode(value)
        texts = (value, key.removeprefix("url.")) if key.startswith("url.") else (value,)
        for text in texts if key.startswith(("url.", "remote.")) else ():
            found = _HELPER.match(text)
            if found is not None and (found[2] == "::" or found[1].lower() not in _SCHEMES):
                yield b"git-remote-" + os.fsencode(found[1])


__all__ = ["Shadows", "entries"]
