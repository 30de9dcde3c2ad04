"""Where the remotes of a repository are reached over ssh, and how git then starts ssh (its connect.c).

Asked before a run starts, outside of it, with the user's own settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from supervisor.git import signing
from supervisor.git.layout import read_small

_SCHEMES = ("ssh://", "git+ssh://", "ssh+git://")
_MOST_CONFIG = 1 << 20
_MOST = 64
# An address that ssh may be started for; ``[include`` and ``insteadof`` may lead to one.
_SPEAKS = re.compile(r"\bssh\b|insteadof|\[include|url\s*=\s*\"?(?:[^\s\"/:=]+|\S*\[[^\s/]*\]):(?!//)", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9._:%-]*")
_USER = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._:%+-]*)?")
_PUSH, _FETCH = "git-receive-pack", "git-upload-pack"


class Destination(NamedTuple):
    """One repository behind ssh. ``login`` is what ssh gets as its destination, ``user@`` included where the address
    has one; ``port`` is decimal, empty where the address has none."""

    login: str
    port: str
    path: str

    @property
    def host(self) -> str:
        return self.login.rpartition("@")[2]

    @property
    def user(self) -> str:
        return self.login.rpartition("@")[0]

    def words(self, *, push: bool) -> tuple[str, ...]:
        """The arguments of ssh after its options, with that of the port before them."""
        port = ("-p", self.port) if self.port else ()
        quoted = re.sub(r"['!]", lambda sign: f"'\\{sign[0]}'", self.path)
        return (*port, self.login, f"{_PUSH if push else _FETCH} '{quoted}'")


class Remotes(NamedTuple):
    """What the configured remotes are fetched from and pushed to."""

    fetched: tuple[Destination, ...] = ()
    pushed: tuple[Destination, ...] = ()


def destination(url: str) -> Destination | None:
    """The ssh destination of an address, None where there is none (git-fetch(1), GIT URLS)."""
    for scheme in _SCHEMES:
        if url.startswith(scheme):
            place, slash, path = unquote(url[len(scheme) :]).partition("/")
            return _made(place, slash + path, by_url=True)
    if "://" in url or "::" in url.partition("[")[0]:
        return None
    match = re.match(r"((?:[^/@:\[]*@)?\[[^\]/]*\]|[^/:\[]*):(.*)", url, re.DOTALL)
    return _made(match[1], match[2], by_url=False) if match is not None else None


def _made(place: str, path: str, *, by_url: bool) -> Destination | None:
    match = re.fullmatch(r"(?:([^@\[]*)@)?(?:\[(?:([^@\]]*)@)?(.*)\](?::(\d*))?|(.*))", place)
    if match is None:
        return None
    user, host, port = match[1] or match[2] or "", match[3] or match[5] or "", match[4] or ""
    if host.count(":") == 1 and (by_url or match[3]):  # [host:port]:path is an address too
        host, _, port = host.partition(":")
    if path[:1] == "/" and path[1:2] == "~":
        path = path[1:]
    known = _HOST.fullmatch(host) and _USER.fullmatch(user) and re.fullmatch(r"[0-9]*", port)
    if not known or len(path) <= by_url or "\0" in path or (match[1] and match[2]):
        return None
    return Destination(f"{user}@{host}" if user else host, port, path)


def over_ssh(tree: Path, git_dirs: Sequence[Path], environ: Mapping[str, str]) -> Remotes:
    """The destinations of ``tree``'s remotes, after ``insteadOf``. Costs a process only where a configuration file
    speaks of any; nothing where git does not answer."""
    if not any(map(_speaks_of_ssh, signing.config_files(git_dirs, environ))):
        return Remotes()
    from supervisor.git.program import find_git

    told = signing.ask([find_git(), "-C", str(tree), "remote", "-v"], environ) or b""
    found: dict[str, dict[Destination, None]] = {"(fetch)": {}, "(push)": {}}
    for line in told.decode("utf-8", "surrogateescape").splitlines()[:_MOST]:
        words = re.match(r"[^\t]*\t(.*) (\((?:fetch|push)\))", line)
        place = destination(words[1]) if words is not None else None
        if words is not None and place is not None:
            found[words[2]][place] = None
    return Remotes(tuple(found["(fetch)"]), tuple(found["(push)"]))


def _speaks_of_ssh(path: Path) -> bool:
    text = read_small(path, _MOST_CONFIG)
    return path.exists() if text is None else _SPEAKS.search(text) is not None
