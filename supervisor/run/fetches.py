"""Which git brings other people's commits: a plain fetch from a remote that is as it was at the start.

Every option, variable or path that could lead it to a repository of the run's own makes it a git like any other: what
it brings is then judged as the run's work.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence

from supervisor.invariants.places import WRITABLE, locate
from supervisor.invariants.policy import CompiledPolicy, GitDir
from supervisor.run.fresh import began, was_there
from supervisor.run.shadows import Shadows, entries
from supervisor.surfaces.contents import plain_content
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.events import FsEvent

_MOST = 1 << 20
_VERBS = (b"fetch", b"pull", b"remote")
_OPTIONS = frozenset(
    b"-q --quiet -v --verbose -p --prune -P --prune-tags -t --tags -n --no-tags --all --multiple --progress -4 --ipv4 "
    b"--no-progress -6 --ipv6 --ff --ff-only --no-ff --rebase --no-rebase -r --no-edit --autostash --no-autostash "
    b"--append --no-auto-gc --no-auto-maintenance --no-write-commit-graph "
    b"--unshallow --update-head-ok -u --no-write-fetch-head --recurse-submodules=no --no-recurse-submodules -j1".split()
)
# Of git's variables those that cannot lead it elsewhere, and what git sets for its own children.
_HARMLESS = (
    b"GIT_AUTHOR_", b"GIT_COMMITTER_", b"GIT_EDITOR", b"GIT_PAGER", b"GIT_TERMINAL_PROMPT", b"GIT_REFLOG_ACTION",
    b"GIT_PREFIX", b"GIT_MERGE_AUTOEDIT", b"GIT_SEQUENCE_EDITOR", b"GIT_INTERNAL_", b"GIT_OPTIONAL_LOCKS",
)  # fmt: skip
_LEADING = (
    b"GIT_", b"LD_", b"SSH_ASKPASS", b"http_proxy", b"https_proxy", b"all_proxy", b"HTTP", b"ALL_PROXY", b"CURL_",
    b"no_proxy", b"NO_PROXY", b"SSL_CERT_", b"OPENSSL_", b"HOSTALIASES", b"LOCALDOMAIN", b"RES_OPTIONS", b"BASH_ENV",
    b"BASH_FUNC_", b"ENV=", b"SHELLOPTS", b"BASHOPTS", b"PS4",
)  # fmt: skip
_DECIDING = (b"HOME=", b"XDG_CONFIG_HOME=")  # which files of settings git reads: there or not as they were given
# Where git finds its own programs; it puts this first on PATH for what it starts.
_OWN = (b"/usr/lib/git-core", b"/usr/libexec/git-core", b"/usr/local/libexec/git-core")
_SET_BY_GIT = frozenset([b"GIT_DIR=.git", *(b"GIT_EXEC_PATH=" + folder for folder in _OWN)])


class Fetches:
    """``environment``: variables as the run was given them."""

    def __init__(self, policy: CompiledPolicy, git: GitDir, environment: Mapping[str, str]) -> None:
        self._policy = policy
        self._git = git
        self._path = os.fsencode(environment.get("PATH", ""))
        self._given = {os.fsencode(f"{name}={value}") for name, value in environment.items()}
        self._deciding = {each for each in self._given if each.startswith(_DECIDING)}
        self._config = self._read()
        given = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
        self._shadows = Shadows(policy, git.common, given)

    def _read(self) -> tuple[bytes, bytes]:
        folders = (self._git.common + b"/config", self._git.path + b"/config.worktree")
        return plain_content(folders[0], _MOST), plain_content(folders[1], _MOST)

    def brings(self, event: FsEvent, commit: str) -> bool:
        """Whether ``commit``, which this act gives a remote's name, is other people's."""
        return self.is_plain(event) and not was_there(self._git.common, commit, began(event.actor.start))

    def is_plain(self, event: FsEvent) -> bool:
        """Whether git fetches from where it was told to at the start, and nothing of the run's has a hand in it."""
        pid, argv, moment = event.actor.pid, event.actor.argv, began(event.actor.start)
        path = self._clean_path(pid) if event.git_tool and _is_plain(argv) else None
        if path is None:
            return False
        try:
            cwd, head, further = self._stands_in(pid, moment)
            now = [entry for config in self._read() for entry in entries(config)]
            then = [entry for config in self._config for entry in entries(config)]
            if _sources(now) != _sources(then) or _sources(own := list(entries(further))):
                return False
            if self._shadows.fall(then, path, moment):
                return False
        except (GovrunError, OSError, ValueError):
            return False
        near = any(
            self._is_near(cwd, value) for key, value in then if key.startswith("remote.") and key.endswith(".url")
        )
        names = _named(argv) or _by_default(now + own, then, head)
        return not near and all(self._is_configured(name, then) for name in names)

    def _stands_in(self, pid: int, moment: float) -> tuple[bytes, str, bytes]:
        """The work tree that git works in, what HEAD says there, and what is set for that one alone. OSError: it is
        none of this repository, or has come to be one after ``moment``."""
        cwd = os.readlink(b"/proc/%d/cwd" % pid)
        pointer = cwd + b"/.git"
        found = os.lstat(pointer)
        folder, own = pointer, b""
        if stat.S_ISREG(found.st_mode):
            said = plain_content(pointer, 1 << 12)
            if not said.startswith(b"gitdir: ") or found.st_ctime >= moment:
                raise OSError(f"{pointer!r} is not what it was")
            folder = os.path.realpath(os.path.join(cwd, said[8:].rstrip(b"\n")))
        if folder != self._git.path:
            if not stat.S_ISREG(found.st_mode) or os.path.dirname(folder) != self._git.common + b"/worktrees":
                raise OSError(f"{folder!r} is another repository")
            own = plain_content(folder + b"/config.worktree", _MOST)
        return cwd, os.fsdecode(plain_content(folder + b"/HEAD", 1 << 12).strip()), own

    def _is_configured(self, name: str, then: list[tuple[str, str]]) -> bool:
        """Whether a remote had an address at the start; no file of the old kinds may say another one."""
        old = (os.fsencode(f"/{kind}/{name}") for kind in ("remotes", "branches"))
        return any(key == f"remote.{name}.url" and value for key, value in then) and not any(
            os.path.lexists(self._git.common + each) for each in old
        )

    def _clean_path(self, pid: int) -> bytes | None:
        """PATH of a process whose environment leads git, and what it starts, nowhere else; None for any other."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = file.read().split(b"\0")
        except OSError:
            return None
        if {each for each in variables if each.startswith(_DECIDING)} != self._deciding:
            return None
        paths = [each[5:] for each in variables if each.startswith(b"PATH=")]
        for each in variables:
            known = each in self._given or each in _SET_BY_GIT or each.startswith(_HARMLESS)
            if each.startswith(_LEADING) and not known:
                return None
        return paths[0] if len(paths) == 1 and self._is_given(paths[0]) else None

    def _is_given(self, path: bytes) -> bool:
        """Git puts its own folder first for what it starts, once more for each git below another. Folders of the tree,
        as of an environment that is activated, may come before as well; what lies in them is looked at."""
        if path == self._path:
            return True
        first = path.removesuffix(b":" + self._path)
        return first != path and all(
            folder in _OWN or (folder.startswith(b"/") and not self._shadows.lies_outside(folder))
            for folder in first.split(b":")
        )

    def _is_near(self, cwd: bytes, value: str) -> bool:
        """Whether an address is, or was a moment ago, a folder that the run can write."""
        place = os.fsencode(value.removeprefix("file://"))
        if b"://" in place or (b":" in place.split(b"/")[0]):
            return False
        return locate(self._policy, os.path.realpath(os.path.join(cwd, place))).zone in WRITABLE


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


def _named(argv: tuple[bytes, ...]) -> list[str]:
    """The remotes in the words of a plain fetch; all of them where there may be more than one, else the first."""
    names = [os.fsdecode(word) for word in argv[2:] if not word.startswith(b"-")]
    if argv[1] == b"remote":
        return names[1:]
    return names if b"--multiple" in argv else names[:1]


def _by_default(now: list[tuple[str, str]], then: list[tuple[str, str]], head: str) -> list[str]:
    """What a fetch that names no remote could mean (git-fetch(1)): what is set for the branch that is checked out, and
    what the run has set for any other, which may have been checked out a moment ago."""
    found = []
    for key, value in now:
        section, _, rest = key.partition(".")
        branch, _, name = rest.rpartition(".")
        if section != "branch" or name != "remote":
            continue
        if head == f"ref: refs/heads/{branch}" or ((key, value) not in then and value != "."):
            found.append(value)
    return found or ["origin"]


def _sources(said: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What says where a remote lies, and how it is reached."""
    keys = ("remote.", "url.", "http.", "include", "core.ssh", "core.git", "ssh.", "protocol.", "transfer.")
    return [(key, value) for key, value in said if key.startswith(keys)]
