"""Which files and folders a command would apply, as its command line names them. Nothing is opened here.

``[applies]`` of the catalogue: verb, class or ``*`` -> entries ``FORM: SOURCE|SOURCE…``. The first source that says
anything counts. Options (``-f|--filename``) are one source, each of their values; ``>-c``: only after the verb. ``%1``
is an operand after the verb, ``%*`` each of them, ``%-1`` the last; ``$VARIABLE`` names joined by ``:`` (or what
``COMPOSE_PATH_SEPARATOR`` says); ``=a,b`` the first of these that is there, ``=^a,b`` in the folders above too, ``=-``
what no file says; ``?--option=word`` that word if the option is given (``?`` for what is not followed); ``!`` before an
option or operand: nothing of this entry where it is given. Where no source says anything, nothing is applied from a
file. ``within``: options that name the folder which names start at; for Compose, ``project``: those of the folder which
names in its files start at, and ``settings``: of files with variables, which count where nothing else names its files
(``cli/options.go`` of compose-go).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from supervisor.commands.classify import Doing
from supervisor.commands.parsing import Line
from supervisor.commands.toolfiles import Tool
from supervisor.commands.world import World
from supervisor.vocabulary.applied import STDIN, Applies

_MOST = 64
_UNFOLLOWED = "?"
_ELSEWHERE = re.compile(
    r"(?:[a-z][a-z0-9+.-]{0,30}://|[^/@]+@[^/]+:|(?:git|github|oci|s3)::|github\.com/)", re.IGNORECASE
)
_DEEP = frozenset(("-R", "--recursive"))
# These take several names in one value.
_LISTS = frozenset(("manifests", "values"))
_ADDRESSED = frozenset(("template", "document", "job"))  # what may be named by a file:// address


def applies(tool: Tool, line: Line, doing: Doing, world: World) -> tuple[tuple[Applies, ...], str]:
    """What would be applied, and why that cannot be told from the command line (empty: it can)."""
    verb = line.operands()[doing.start : doing.start + doing.length]
    entries = _entries(tool, verb, doing)
    if not entries:
        return (), ""
    within = line.value(tool.applies.get("within", ())) or "."
    base, other = world.path(within), _other(within, world)
    found: dict[Applies, None] = {}
    why = ""
    for entry in entries:
        form, _, sources = entry.partition(":")
        for each in _named(form, sources.strip(), line, doing, world):
            if each.name == STDIN:
                why = why or ("no saved plan is named" if form == "plan" else "it is read from standard input")
            elif each.name == _UNFOLLOWED:
                why = why or "an option leads elsewhere"
            elif _ELSEWHERE.match(each.name):
                why = why or "it is read from an address"
            elif len(found) >= _MOST:
                why = why or f"more than {_MOST} files are named"
            else:
                found[each._replace(base=base, other=other)] = None
    if any(each.form == "compose" for each in found):
        return _composed(tuple(found), tool, line, doing, world, why)
    return tuple(found), why


def _other(name: str, world: World) -> str:
    """The same from ``PWD``, as it is given, by which programs in Go go up; empty where it is no other name."""
    given = world.variable("PWD") if world.told else ""
    return posixpath.join(given, name) if given.startswith("/") and given != world.cwd else ""


def _composed(
    found: tuple[Applies, ...], tool: Tool, line: Line, doing: Doing, world: World, why: str
) -> tuple[tuple[Applies, ...], str]:
    """Names in Compose files start at the folder of the project, which is that of the first file unless it is given.
    Where no option names the files, settings may, or say what parts their names."""
    last = line.words[doing.start + doing.length - 1][0]
    before = [option for option in line.options if option.value and option.at < last]
    project = next((o.value for o in reversed(before) if o.name in tool.applies.get("project", ())), "") or ""
    # An option that is not known may take the next word. For podman-compose there is a variable as well.
    unsure = any(not option.listed for option in line.options if option.at < last)
    if (_other(project, world) and ".." in project.split("/")) or unsure or world.variable("COMPOSE_PROJECT_DIR"):
        why = why or "an option leads elsewhere"
    also = [project or posixpath.dirname(found[0].name)] if project or not found[0].options else []
    settings = [str(option.value) for option in before if option.name in tool.applies.get("settings", ())]
    settings = settings or [name for name in world.variable("COMPOSE_ENV_FILES").split(",") if name]
    if any(name.startswith("~") for name in (project, *settings, *(each.name for each in found))):
        why = why or "whose home ~ means cannot be told"
    settings = settings or [posixpath.join(folder, ".env") for folder in (".", *also)]
    if any(line.value((name,)) for name in ("-f", "--file")):
        settings = []
    if project and found[0].options:
        found = (found[0]._replace(base=world.path(project), other=_other(project, world)),)
    folders, files = (tuple(dict.fromkeys(map(world.path, names))) for names in (also, settings))
    return tuple(each._replace(also=folders, settings=files) for each in found), why


def _entries(tool: Tool, verb: Sequence[str], doing: Doing) -> Sequence[str]:
    for end in range(len(verb), 0, -1):
        found = tool.applies.get(" ".join(verb[:end]))
        if found is not None:
            return found
    for name in doing.classes:
        if name in tool.applies:
            return tool.applies[name]
    return tool.applies.get("*", ())


def _named(form: str, sources: str, line: Line, doing: Doing, world: World) -> list[Applies]:
    deep = form != "manifests" or line.has(_DEEP)
    several = [part.strip() for part in sources.split("|")]
    options = frozenset(part for part in several if part[:1] in "->" and part != STDIN)
    for part in several:
        if part.startswith("!"):
            if _is_given(part[1:], line, doing, world):
                return []
        elif part.startswith("="):
            names = part[1:].removeprefix("^")
            return [Applies(form, names, options=names not in (STDIN, "."), up=part.startswith("=^"), deep=deep)]
        elif part in options:
            named = [name for value in _given(options, line, doing) for name in _split(form, value, options)]
            if named:
                return [Applies(form, name, deep=deep) for name in named]
        elif found := [_bare(form, name) for name in _values(part, line, doing, world)]:
            return [Applies(form, name, deep=deep) for name in found]
    return []


def _is_given(part: str, line: Line, doing: Doing, world: World) -> bool:
    if part.startswith("-"):
        return line.has_surely(frozenset((part,)))
    return any(_values(part, line, doing, world))


def _given(options: frozenset[str], line: Line, doing: Doing) -> Iterator[str]:
    """Each value of the options, in their order."""
    first = line.words[doing.start][0] if line.words else 0
    for option in line.options:
        if option.value and (option.name in options or (option.at > first and ">" + option.name in options)):
            yield option.value


def _split(form: str, value: str, options: frozenset[str]) -> list[str]:
    if form not in _LISTS and "--compose-file" not in options:
        return [_bare(form, value)]
    if '"' in value:  # which quotes names with a comma in them (pflag's StringSlice)
        return [_UNFOLLOWED]
    return [_bare(form, name) for name in value.split(",") if name]


def _bare(form: str, name: str) -> str:
    return name.removeprefix("file://") if form in _ADDRESSED else name


def _values(part: str, line: Line, doing: Doing, world: World) -> Iterator[str]:
    mark, rest = part[:1], part[1:]
    after = line.operands()[doing.start + doing.length :]
    if mark == "$":
        value = world.variable(rest) if world.told else STDIN
        yield from (name for name in value.split(world.variable("COMPOSE_PATH_SEPARATOR") or ":") if name)
    elif mark == "?":
        option, _, word = rest.rpartition("=")
        if line.has(frozenset((option,))):
            yield word
    elif rest == "*":
        yield from after
    elif rest == "-1":
        yield from after[-1:]
    else:
        yield from after[int(rest) - 1 : int(rest)]
