"""Where a command acts, from its arguments, its variables and its small files.

A target of the catalogue is parts joined by `` / ``, of which the first has to be known: ``context / namespace`` gives
``prod-eu/payments``, or ``prod-eu``. A part is alternatives joined by ``|``, of which the first that is known counts:
``--option``, ``$VARIABLE``, ``%2`` (an operand after the verb, ``%*`` each of them, ``%0`` the first of all),
``^-c`` (an option before the verb), ``@reader``, ``=word``, ``?--option=word`` (that word if the option is given).
``~`` before it all: it may be missing.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple

from supervisor.commands.classify import Doing
from supervisor.commands.contexts import READERS
from supervisor.commands.parsing import Line
from supervisor.commands.toolfiles import Tool
from supervisor.commands.world import Found, Untold, World, noting
from supervisor.vocabulary.commands import Push

MOST = 64
_LONGEST = 512
_UNSURE = Found("")
_WORD = re.compile(r"[A-Za-z0-9._/@:-]{1,128}")
_OF_GIT = re.compile("@(?:forge|heroku)")
_USER = re.compile(r"^([a-z][a-z0-9+.-]{0,30}://)[^/@]*@")


class Where(NamedTuple):
    """``stands_for``: pairs of a target and what it is another name of. ``push``: what would be pushed there. ``read``:
    see ``Command``."""

    targets: tuple[str, ...] = ()
    resolved: bool = True
    source: str = ""
    stands_for: tuple[tuple[str, str], ...] = ()
    push: Push | None = None
    read: tuple[tuple[str, bytes], ...] = ()


def where(tool: Tool, line: Line, doing: Doing, world: World) -> Where:
    """The targets of a command that has a class."""
    specs = _specs(tool, line, doing)
    if not specs:
        return Where(resolved=False)
    targets: dict[str, None] = {}
    resolved, source = True, ""
    seen: dict[str, bytes] = {}
    for spec in specs:
        optional, bare = spec.startswith("~"), spec.removeprefix("~")
        if bare == "%*":
            found = [Found(word) for word in line.operands()[doing.start + doing.length :]]
        else:
            one = _one(tool, line, doing, world if _OF_GIT.search(bare) else noting(world, seen), bare)
            found = [] if one is None else [one]
        if not found and not optional:
            resolved = False
        for each in found:
            if each is _UNSURE or len(targets) >= MOST:
                resolved = False
                continue
            targets[cleaned(each.value)] = None
            source = source or each.source
    return Where(tuple(targets), resolved, source, read=tuple(seen.items()))


def _specs(tool: Tool, line: Line, doing: Doing) -> Sequence[str]:
    verb = line.operands()[doing.start : doing.start + doing.length]
    for end in range(len(verb), 0, -1):
        found = tool.targets.get(" ".join(verb[:end]))
        if found is not None:
            return found
    for name in doing.classes:
        if name in tool.targets:
            return tool.targets[name]
    return tool.targets.get("*", ())


def _one(tool: Tool, line: Line, doing: Doing, world: World, spec: str) -> Found | None:
    parts = [_part(line, doing, world, part.strip()) for part in spec.split(" / ")]
    first = parts[0]
    if any(part is _UNSURE for part in parts):
        return _UNSURE
    if first is None:
        return None
    if tool.database:
        return _database(first, parts[1] if len(parts) > 1 else None)
    value = "/".join(part.value for part in parts if part is not None)
    return Found(value, next((part.source for part in parts if part is not None and part.source), ""))


def _part(line: Line, doing: Doing, world: World, part: str) -> Found | None:
    for each in part.split("|"):
        found = _alternative(line, doing, world, each)
        if found is not None and (found.value or found is _UNSURE):
            return found
    return None


def _alternative(line: Line, doing: Doing, world: World, text: str) -> Found | None:
    mark, rest = text[0], text[1:]
    if mark == "$":
        return Found(world.variable(rest)) if world.told else _UNSURE
    if mark == "%":
        after = line.operands()[doing.start + doing.length if rest != "0" else 0 :]
        at = max(int(rest) - 1, 0)
        return Found(after[at]) if at < len(after) else None
    if mark == "@":
        try:
            read = READERS[rest](world, line) if world.told else _UNSURE
            # What a file says is shown: nothing but one short word of it.
            return _UNSURE if read is not None and read.source and _WORD.fullmatch(read.value) is None else read
        except Untold:
            return _UNSURE
    if mark == "=":
        return Found(rest)
    if mark == "?":
        option, _, word = rest.rpartition("=")
        return Found(word) if line.has(frozenset((option,))) else None
    end = len(line.arguments)
    if mark == "^":
        text, end = rest, line.words[doing.start][0] if line.words else end
    given = [option for option in line.options if option.name == text and option.value and option.at < end]
    if any(not option.sure for option in given):
        return _UNSURE
    return Found(given[-1].value or "") if given else None


def _database(server: Found, name: Found | None) -> Found:
    """``host/database``, from an address or from two words."""
    for each in (name, server):
        if each is not None and ("://" in each.value or re.match(r"\s*\w+\s*=", each.value)):
            return Found(_from_address(each.value), each.source)
    return Found(f"{server.value}/{name.value}" if name is not None else server.value)


def _from_address(text: str) -> str:
    """Host and name of a database that an address or a list of ``key=value`` names, without user and password."""
    if "://" in text:
        rest = text.partition("://")[2].partition("?")[0].partition("#")[0]
        return rest.rpartition("@")[2].strip("/")
    settings = dict(re.findall(r"(\w+)\s*=\s*'?([^'\s]*)'?", text[:512]))
    host = settings.get("hostaddr") or settings.get("host") or "local"
    name = settings.get("dbname", "")
    return f"{host}/{name}" if name else host


def cleaned(target: str) -> str:
    """A target as it may be told and compared: no user or password in an address, no way up in a path."""
    target = _USER.sub(r"\1", target)
    if "." in target and ("/." in target or target.startswith("./") or "%2e" in target.lower()):
        target = re.sub(r"(?i)%2e", ".", target)
        head, mark, path = target.partition("://")
        if mark:
            head, _, path = path.partition("/")
            return f"{target.partition('://')[0]}://{head}{posixpath.normpath('/' + path)}"[:_LONGEST]
        head, mark, path = target.partition(":")
        if mark and "/" not in head:
            return f"{head}:{posixpath.normpath(path)}"[:_LONGEST]
        return posixpath.normpath(target)[:_LONGEST]
    return target[:_LONGEST]


def image(word: str) -> str:
    """Registry and name of an image, without tag and digest."""
    word = re.sub(r"^[a-z-]{2,20}:(?://)?", "", word) if "://" in word else word
    word = word.partition("@")[0]
    folder, slash, last = word.rpartition("/")
    return folder + slash + last.partition(":")[0]
