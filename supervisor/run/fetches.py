"""Which git brings other people's commits: a plain fetch from a remote that is as it was at the start.

Every option, variable or path that could lead it to a repository of the run's own makes it a git like any other: what
it brings is then judged as the run's work.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence

from supervisor.git import config as git_config
from supervisor.invariants.places import WRITABLE, is_under, locate
from supervisor.invariants.policy import CompiledPolicy, GitDir
from supervisor.run.fresh import TICK, began, was_there
from supervisor.surfaces.applied import links
from supervisor.surfaces.contents import plain_content
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.events import FsEvent

_MOST = 1 << 20
_MOST_SETTINGS = 16
_STARTED = (b"ssh", b"sh")  # by name: all else git has in a folder of its own
_VERBS = (b"fetch", b"pull", b"remote")
_OPTIONS = frozenset(
    b"-q --quiet -v --verbose -p --prune -P --prune-tags -t --tags -n --no-tags --all --multiple --progress -4 --ipv4 "
    b"--no-progress -6 --ipv6 --ff --ff-only --no-ff --rebase --no-rebase -r --no-edit --autostash --no-autostash "
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

    def _read(self) -> tuple[bytes, bytes]:
        folders = (self._git.common + b"/config", self._git.path + b"/config.worktree")
        return plain_content(folders[0], _MOST), plain_content(folders[1], _MOST)

    def brings(self, event: FsEvent, commit: str) -> bool:
        """Whether ``commit``, which this act gives a remote's name, is other people's."""
        return self.is_plain(event) and not was_there(self._git.common, commit, began(event.actor.start))

    def is_plain(self, event: FsEvent) -> bool:
        """Whether git fetches from where it was told to at the start, and nothing of the run's has a hand in it."""
        pid, argv, moment = event.actor.pid, event.actor.argv, began(event.actor.start)
        if not event.git_tool or not _is_plain(argv) or not self._is_clean(pid):
            return False
        try:
            cwd, head, further = self._stands_in(pid, moment)
            now = [entry for config in self._read() for entry in _entries(config)]
            then = [entry for config in self._config for entry in _entries(config)]
            if _sources(now) != _sources(then) or _sources(own := _entries(further)):
                return False
            settings = self._settings(then)
            if settings is None:
                return False
            started = [*_STARTED, *self._transports(then + settings)]
            if any(self._may_shadow(folder, started, moment) for folder in self._ahead(started)):
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

    def _is_clean(self, pid: int) -> bool:
        """Whether nothing in its environment leads git, or what it starts, elsewhere."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = file.read().split(b"\0")
        except OSError:
            return False
        if {each for each in variables if each.startswith(_DECIDING)} != self._deciding:
            return False
        for each in variables:
            if each.startswith(b"PATH=") and not _same_path(each[5:], self._path):
                return False
            known = each in self._given or each in _SET_BY_GIT or each.startswith(_HARMLESS)
            if each.startswith(_LEADING) and not known:
                return False
        return True

    def _settings(self, then: list[tuple[str, str]]) -> list[tuple[str, str]] | None:
        """What git reads besides the repository's own settings; None where a file of it is one that the run can write.
        Raises ``GovrunError``, OSError."""
        home = self._value(b"HOME=")
        own = self._value(b"XDG_CONFIG_HOME=") or home + b"/.config"
        pending = [home + b"/.gitconfig", own + b"/git/config", b"/etc/gitconfig"]
        pending += filter(None, map(self._value, (b"GIT_CONFIG_GLOBAL=", b"GIT_CONFIG_SYSTEM=")))
        found: list[tuple[str, str]] = []
        if self._value(b"GIT_CONFIG_COUNT="):
            return None
        included = [_included(self._git.common, home, key, value) for key, value in then]
        for _ in range(_MOST_SETTINGS):
            pending += [each for each in included if each]
            if not pending:
                return found
            path = os.path.realpath(pending.pop())
            if locate(self._policy, path).zone in WRITABLE:
                return None
            here, entries = os.path.dirname(path), _entries(plain_content(path, _MOST))
            included = [_included(here, home, *each) for each in entries]
            found += entries
        return None

    def _transports(self, entries: list[tuple[str, str]]) -> Iterator[bytes]:
        """Names of programs that are to be started in place of ssh. Raises ``ValueError``."""
        told = [value for key, value in entries if key in ("core.sshcommand", "core.gitproxy")]
        told += [os.fsdecode(self._value(name)) for name in (b"GIT_SSH=", b"GIT_SSH_COMMAND=", b"GIT_PROXY_COMMAND=")]
        for words in filter(None, map(shlex.split, told)):
            yield os.fsencode(words[0])

    def _value(self, name: bytes) -> bytes:
        return next((each.removeprefix(name) for each in self._given if each.startswith(name)), b"")

    def _ahead(self, started: Sequence[bytes]) -> Iterator[bytes]:
        """The folders of PATH up to the one that has all of these programs."""
        for folder in self._path.split(b":"):
            yield folder
            real = os.path.realpath(folder)
            outside = locate(self._policy, real).zone not in WRITABLE
            if outside and all(os.access(real + b"/" + name, os.X_OK) for name in started):
                return

    def _may_shadow(self, folder: bytes, started: Sequence[bytes], moment: float) -> bool:
        """Whether the run could have a program there that git starts, or had one since ``moment``: whatever is put
        there or taken away, and whatever is renamed, has a newer ctime then, which nobody sets. OSError: unsure."""
        if not folder.startswith(b"/"):
            return True
        for link in links(folder):
            if locate(self._policy, link).zone in WRITABLE and os.lstat(link).st_ctime >= moment - TICK:
                return True
        real = os.path.realpath(folder)
        place = locate(self._policy, real)
        if place.zone not in WRITABLE:
            return False
        if any(os.path.lexists(real + b"/" + name) for name in started):
            return True
        while not os.path.lexists(real):  # it may have been there
            real = os.path.dirname(real)
        if not is_under(real, place.base):
            return True
        while True:
            if os.stat(real).st_ctime >= moment - TICK:
                return True
            real = os.path.dirname(real)
            if real == place.base or not is_under(real, place.base):
                return False

    def _is_near(self, cwd: bytes, value: str) -> bool:
        """Whether an address is, or was a moment ago, a folder that the run can write."""
        place = os.fsencode(value.removeprefix("file://"))
        if b"://" in place or (b":" in place.split(b"/")[0]):
            return False
        return locate(self._policy, os.path.realpath(os.path.join(cwd, place))).zone in WRITABLE


def _included(folder: bytes, home: bytes, key: str, value: str) -> bytes:
    """The file that an entry takes in, from a file in ``folder``; empty for any other entry (git-config(1))."""
    if key != "include.path" and not (key.startswith("includeif.") and key.endswith(".path")):
        return b""
    name = os.fsencode(value)
    if name.startswith(b"~/"):
        name = home + name[1:]
    return os.path.join(folder, name)


def _same_path(found: bytes, given: bytes) -> bool:
    """Git puts its own folder first for what it starts, once more for each git below another."""
    first = found.removesuffix(given)
    if found == given:
        return True
    return found.endswith(b":" + given) and all(folder in _OWN for folder in first[:-1].split(b":"))


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


def _entries(config: bytes) -> list[tuple[str, str]]:
    return git_config.entries(config) if config else []


def _sources(entries: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What says where a remote lies, and how it is reached."""
    keys = ("remote.", "url.", "http.", "include", "core.ssh", "core.git", "ssh.", "protocol.", "transfer.")
    return [(key, value) for key, value in entries if key.startswith(keys)]
