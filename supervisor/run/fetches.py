"""Which git brings other people's commits: a plain fetch from a remote that is as it was at the start.

Every option, variable or path that could lead it to a repository of the run's own makes it a git like any other: what
it brings is then judged as the run's work.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from supervisor.git import config as git_config
from supervisor.invariants.places import WRITABLE, locate
from supervisor.invariants.policy import CompiledPolicy, GitDir
from supervisor.run.fresh import began, was_there
from supervisor.surfaces.contents import plain_content
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.events import FsEvent

_MOST = 1 << 20
_VERBS = (b"fetch", b"pull", b"remote")
_OPTIONS = frozenset(
    b"-q --quiet -v --verbose -p --prune -P --prune-tags -t --tags -n --no-tags --all --multiple --progress -4 --ipv4 "
    b"--no-progress -6 --ipv6 --ff --ff-only --no-ff --rebase --no-rebase -r --no-edit --autostash --no-autostash "
    b"--unshallow --update-head-ok -u --no-write-fetch-head --recurse-submodules=no --no-recurse-submodules -j1".split()
)
# Of git's variables those that cannot lead it elsewhere, and what git sets for its own children.
_HARMLESS = (
    b"GIT_AUTHOR_", b"GIT_COMMITTER_", b"GIT_EDITOR", b"GIT_PAGER", b"GIT_TERMINAL_PROMPT", b"GIT_REFLOG_ACTION",
    b"GIT_PREFIX", b"GIT_MERGE_AUTOEDIT", b"GIT_SEQUENCE_EDITOR", b"GIT_DIR=.git", b"GIT_EXEC_PATH=/usr/",
    b"GIT_INTERNAL_", b"GIT_OPTIONAL_LOCKS",
)  # fmt: skip
_LEADING = (
    b"GIT_", b"LD_", b"SSH_ASKPASS", b"http_proxy", b"https_proxy", b"all_proxy", b"HTTP", b"ALL_PROXY", b"CURL_",
)  # fmt: skip


class Fetches:
    """``environment``: variables as the run was given them."""

    def __init__(self, policy: CompiledPolicy, git: GitDir, environment: Mapping[str, str]) -> None:
        self._policy = policy
        self._git = git
        self._path = os.fsencode(environment.get("PATH", ""))
        self._given = {os.fsencode(f"{name}={value}") for name, value in environment.items()}
        self._config = self._read()

    def _read(self) -> tuple[bytes, bytes]:
        folders = (self._git.common + b"/config", self._git.path + b"/config.worktree")
        return plain_content(folders[0], _MOST), plain_content(folders[1], _MOST)

    def brings(self, event: FsEvent, commit: str) -> bool:
        """Whether ``commit``, which this act gives a remote's name, is other people's."""
        return self.is_plain(event) and not was_there(self._git.common, commit, began(event.actor.start))

    def is_plain(self, event: FsEvent) -> bool:
        """Whether git fetches from where it was told to at the start, and nothing of the run's has a hand in it."""
        if not event.git_tool or not _is_plain(event.actor.argv) or not self._is_clean(event.actor.pid):
            return False
        try:
            now = [entry for config in self._read() for entry in _sources(config)]
            then = [entry for config in self._config for entry in _sources(config)]
        except GovrunError:
            return False
        near = any(self._is_near(value) for key, value in then if key.startswith("remote."))
        return now == then and not near

    def _is_clean(self, pid: int) -> bool:
        """Whether nothing in its environment leads git, or what it starts, elsewhere."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = file.read().split(b"\0")
        except OSError:
            return False
        for each in variables:
            if each.startswith(b"PATH=") and not _same_path(each[5:], self._path):
                return False
            if each.startswith(_LEADING) and not each.startswith(_HARMLESS) and each not in self._given:
                return False
        return True

    def _is_near(self, value: str) -> bool:
        """Whether an address is a folder that the run can write."""
        place = os.fsencode(value.removeprefix("file://"))
        if b"://" in place or (b":" in place.split(b"/")[0]):
            return False
        real = os.path.realpath(place if place.startswith(b"/") else self._policy.tree + b"/" + place)
        return os.path.isdir(real) and locate(self._policy, real).zone in WRITABLE


def _same_path(found: bytes, given: bytes) -> bool:
    """Git puts its own folder first for what it starts."""
    return found == given or (found.startswith(b"/usr/") and found.endswith(b":" + given))


def _is_plain(argv: tuple[bytes, ...]) -> bool:
    words = list(argv[1:])
    if not words or words[0] not in _VERBS:
        return False
    options = [word for word in words[1:] if word.startswith(b"-")]
    names = [word for word in words[1:] if not word.startswith(b"-")]
    if words[0] == b"remote":
        if names[:1] != [b"update"]:
            return False
        names = names[1:]
    if not all(option in _OPTIONS or option.startswith((b"--depth=", b"--jobs=")) for option in options):
        return False
    remote = names[:1]
    return not any(b":" in name or b"+" in name or name.startswith(b".") for name in names) and not any(
        b"/" in name for name in remote
    )


def _sources(config: bytes) -> list[tuple[str, str]]:
    """What says where a remote lies, and how it is reached."""
    if not config:
        return []
    keys = ("remote.", "url.", "http.", "include", "core.ssh", "core.git", "ssh.", "protocol.", "transfer.")
    return [(key, value) for key, value in git_config.entries(config) if key.startswith(keys)]
