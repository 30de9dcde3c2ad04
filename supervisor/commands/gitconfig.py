"""What git's configuration says about remotes and branches, as far as a push needs it.

Includes are not followed: a repository's own file that has some says nothing for certain.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

from supervisor.commands.world import World

_HEADER = re.compile(r'\s*\[\s*([A-Za-z0-9.-]+)\s*(?:"((?:[^"\\\n]|\\.)*)")?\s*\]')
_KEY = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)[ \t]*(=?)[ \t]*")
_MOST_LINES = 20_000
_DEEPEST = 64
_SIGNS = frozenset('"\\#;')
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}


class Repository(NamedTuple):
    """``path``: the repository's own configuration file; ``folder``: this work tree's git directory, ``common`` the
    shared one. ``values``: (key, value) in order, keys as git spells them. ``plain``: nothing else may add to it."""

    path: str
    folder: str
    common: str
    values: tuple[tuple[str, str], ...]
    plain: bool = True

    def every(self, key: str) -> list[str]:
        return [value for name, value in self.values if name == key]

    def last(self, key: str) -> str:
        found = self.every(key)
        return found[-1] if found else ""

    def remotes(self) -> list[str]:
        names = (key[7:-4] for key, _ in self.values if key.startswith("remote.") and key.endswith(".url"))
        return list(dict.fromkeys(names))


def parsed(text: str) -> Iterator[tuple[str, str]]:
    """(key, value) of a configuration file; stops at what git would not read."""
    section = ""
    lines = iter(text.split("\n", _MOST_LINES)[:_MOST_LINES])
    for whole in lines:
        line = whole
        while (header := _HEADER.match(line)) is not None:
            name, sub = header[1].lower(), header[2]
            section = name if sub is None else name + "." + re.sub(r"\\(.)", r"\1", sub)
            line = line[header.end() :]
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        key = _KEY.match(line)
        if key is None or not section:
            return
        value = "true" if not key[2] else _value(line[key.end() :], lines)
        yield f"{section}.{key[1].lower()}", value


def _value(text: str, lines: Iterator[str]) -> str:
    if not _SIGNS.intersection(text):
        return text.strip(" \t\r")
    made: list[str] = []
    quoted, kept = False, 0
    while True:
        at, more = 0, False
        text = text.removesuffix("\r")
        while at < len(text):
            sign = text[at]
            at += 1
            if sign == "\\":
                if at == len(text):
                    more = True
                    break
                made.append(_ESCAPES.get(text[at], text[at]))
                at += 1
            elif sign == '"':
                quoted = not quoted
            elif sign in "#;" and not quoted:
                break
            else:
                made.append(sign)
                if not quoted and sign in " \t":
                    continue
            kept = len(made)
        if not more:
            return "".join(made[:kept])
        text = next(lines, "")


def repository(world: World, folder: str = "") -> Repository | None:
    """The repository of the working directory, or the one whose git directory is ``folder``; None if there is none."""
    found = _with_config(world, world.path(folder)) if folder else _above(world)
    if found is None:
        return None
    own, common, text = found
    values: list[tuple[str, str]] = []
    xdg = world.variable("XDG_CONFIG_HOME") or "~/.config"
    for path in ("/etc/gitconfig", xdg + "/git/config", "~/.gitconfig"):
        values.extend(parsed(world.text(world.path(path)) or ""))
    local = list(parsed(text))
    plain = not any(key.startswith(("include.", "includeif.")) for key, _ in local)
    plain = plain and not any(key == "extensions.worktreeconfig" for key, _ in local)
    return Repository(posixpath.join(common, "config"), own, common, (*values, *local), plain)


def _above(world: World) -> tuple[str, str, str] | None:
    at = world.cwd
    for _ in range(_DEEPEST):
        inside = posixpath.join(at, ".git")
        found = _with_config(world, inside)
        if found is not None:
            return found
        link = world.text(inside)
        if link is not None and link.startswith("gitdir:"):
            return _with_config(world, world.path(link[7:].strip(), at))
        if world.text(posixpath.join(at, "HEAD")) is not None:
            bare = _with_config(world, at)
            if bare is not None:
                return bare
        if at == "/":
            return None
        at = posixpath.dirname(at)
    return None


def _with_config(world: World, folder: str) -> tuple[str, str, str] | None:
    shared = world.text(posixpath.join(folder, "commondir"))
    common = posixpath.normpath(posixpath.join(folder, shared.strip())) if shared is not None else folder
    text = world.text(posixpath.join(common, "config"))
    return None if text is None else (folder, common, text)


def branch(world: World, found: Repository) -> str:
    """The ref that is checked out, empty for none."""
    text = (world.text(posixpath.join(found.folder, "HEAD")) or "").strip()
    return text[5:].strip() if text.startswith("ref: ") else ""


def has_ref(world: World, found: Repository, ref: str) -> bool:
    """Whether the repository has the ref, loose or packed."""
    if ".." in ref or world.text(posixpath.join(found.common, ref)) is not None:
        return ".." not in ref
    packed = world.text(posixpath.join(found.common, "packed-refs")) or ""
    return f" {ref}\n" in packed
