"""argv -> what it does, in normal form: tool, verb, classes and targets. Pure but for what the caller lends it.

Shells are not read, since what they start is an exec of its own. So is most of what wrappers start: what is told of
it here is early, and left out where its words, variables or folder are not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from supervisor.commands.applying import applies
from supervisor.commands.classify import Doing, classified, is_one_of
from supervisor.commands.gitpush import untold
from supervisor.commands.installs import installation
from supervisor.commands.parsing import Line, take_apart
from supervisor.commands.proposals import proposals
from supervisor.commands.special import handled
from supervisor.commands.toolfiles import Tool, lookup, names, tool
from supervisor.commands.tools import TOOLS
from supervisor.commands.world import World
from supervisor.commands.wrappers import Inner, inner, is_wrapper
from supervisor.vocabulary.commands import Command

_DEEPEST = 8
_FOR_GOOD = frozenset(("vcs-remote", "publish", "deploy", "infra-mutate", "infra-destroy", "db-admin"))
# What git starts by itself, as a process of its own, for a verb that loses nothing (builtin/stash.c, gc.c, worktree.c).
_HELPERS = {
    "stash": ("reset", "clean", "checkout-index", "read-tree"),
    "gc": ("reflog", "prune", "repack"),
    "maintenance": ("gc", "reflog", "prune"),
    "worktree": ("reset",),
    "pull": ("reset", "read-tree"),
    "rebase": ("reset", "read-tree", "stash"),
    "merge": ("reset", "read-tree", "stash"),
}
_PYTHONS = re.compile(r"(?:python|pypy|pip)[-\d.]*[a-z]?|node|nodejs|corepack")


def commands(
    argv: tuple[bytes, ...],
    program: bytes,
    environ: Callable[[], Mapping[bytes, bytes]],
    cwd: bytes,
    read: Callable[[bytes], bytes | None],
    identity: str = "",
) -> tuple[Command, ...]:
    """What the exec does; empty where nothing is known of the program and no rule could speak of it but by its words,
    which one command then has. ``program``: the path that the kernel executes. ``identity``: the catalogue's name,
    where the program is known by its content. ``environ`` and ``read`` (None for no file, ``Untold`` for one
    that may not be read) are called when a target depends on them; ``cwd`` is absolute."""
    path = program.decode("utf-8", "surrogateescape")
    words = [word.decode("utf-8", "surrogateescape") for word in argv]
    if not words:
        words = [path]
    world = World(cache(environ), cwd.decode("utf-8", "surrogateescape") or "/", read)
    name = identity if identity in names() else _name(path, words[0])
    called = words[0].rpartition("/")[2]
    if name == "git" and called.startswith("git-"):  # git takes its verb from there (git.c, cmd_main), whoever links it
        name = called
    found = tuple(_of(name, [path, *words[1:]], world, 0))
    return _bringing(found) if _installs(path, words) else found


def _name(path: str, called: str) -> str:
    """The catalogue's name, or the base name. A program of many names goes by the one it is called by."""
    base = path.rpartition("/")[2]
    called_base = called.rpartition("/")[2].removeprefix("-")
    if base in ("busybox", "toybox"):
        return base if called_base in ("", base) else lookup(called) or called_base
    if base.startswith("git-"):
        return base
    listed = lookup(path)
    if listed:
        return listed
    if is_wrapper(base):
        return base
    return lookup(called) or (called_base if is_wrapper(called_base) else base)


def _installs(path: str, words: Sequence[str]) -> bool:
    for name in (path.rpartition("/")[2], words[0].rpartition("/")[2]):
        bare = name.partition(".")[0].removesuffix("-cli")
        if bare in TOOLS or _PYTHONS.fullmatch(name):
            argv = tuple(word.encode("utf-8", "surrogateescape") for word in words)
            return installation(argv, path.encode("utf-8", "surrogateescape")) is not None
    return False


def _bringing(found: tuple[Command, ...]) -> tuple[Command, ...]:
    first = found[0]
    if "package-install" in first.classes:
        return found
    return (first._replace(classes=(*first.classes, "package-install")), *found[1:])


def _of(name: str, argv: Sequence[str], world: World, depth: int) -> list[Command]:
    """The command and what it starts. ``argv[0]`` is the path or name that was executed."""
    base = argv[0].rpartition("/")[2]
    arguments = argv[1:]
    if name.startswith("git-") or (
        name == "git" and base.startswith("git-") and lookup(base) == "git" and base not in names()
    ):
        helper = name if name.startswith("git-") else base
        name, arguments = "git", [helper[4:], *arguments]
    listed = tool(name)
    own = _command(listed, arguments, world) if listed is not None else Command(name, "", (name, *arguments))
    started = inner(name, [name, *arguments]) if is_wrapper(name) else None
    if started is None or not started.argv:
        return [own]
    if depth >= _DEEPEST:
        return [own._replace(resolved=False)]
    return _with_inner(own, started, world, depth)


def _with_inner(own: Command, started: Inner, world: World, depth: int) -> list[Command]:
    around = _around(started, world)
    name = _name(started.argv[0], started.argv[0])
    found = _of(name, started.argv, around, depth + 1)
    if _installs(started.argv[0], started.argv):
        found = list(_bringing(tuple(found)))
    if started.direct:
        return found
    if not started.whole:  # its own exec will tell
        found = [each._replace(applies=()) for each in found if each.resolved]
    return [own, *(each for each in found if each.classes or not each.resolved)]


def _around(started: Inner, world: World) -> World:
    """The surroundings that a wrapper makes for what it starts."""
    world = world.in_folder(started.folder)
    if not started.whole:
        world = world._replace(told=False)
    if not started.variables and not started.bare:
        return world
    before = world.environ

    def environ() -> Mapping[bytes, bytes]:
        made = {} if started.bare else dict(before())
        for key, value in started.variables:
            if value is None:
                made.pop(key.encode("utf-8", "surrogateescape"), None)
            else:
                made[key.encode("utf-8", "surrogateescape")] = value.encode("utf-8", "surrogateescape")
        return made

    return world._replace(environ=environ)


def _command(listed: Tool, arguments: Sequence[str], world: World) -> Command:
    line = take_apart(listed, arguments)
    doing = classified(listed, line)
    classes, found = handled(listed, line, doing, world)
    operands = line.operands()
    words = operands[doing.start : doing.start + doing.length]
    # What a command does on this machine alone has no class, and applies files all the same.
    named, why = applies(listed, line, doing, world) if doing.classes else ((), "")
    verb = " ".join(words)
    push = found.push or (untold(listed.name, verb) if classes else None)
    return Command(
        listed.name,
        verb,
        (listed.name, *words, *_after(line, doing, arguments)),
        classes,
        found.targets,
        found.resolved and not (classes and why),
        named,
        irreversible=_is_for_good(listed, line, classes, words),
        source=found.source,
        stands_for=found.stands_for,
        unread=why if classes else "",
        push=push,
        proposals=tuple(proposals(listed.name, line)) if "vcs-remote" in classes else (),
        read=found.read if classes else (),
    )


def _after(line: Line, doing: Doing, arguments: Sequence[str]) -> Sequence[str]:
    """What follows the last word of the verb, as given."""
    end = doing.start + doing.length
    if end == 0 or not line.words:
        return arguments
    return arguments[line.words[min(end, len(line.words)) - 1][0] + 1 :]


def _is_for_good(listed: Tool, line: Line, classes: tuple[str, ...], words: Sequence[str]) -> bool:
    if not _FOR_GOOD.intersection(classes):
        return False
    return not is_one_of(listed.reversible, words or ("",), line)


def continues(parent: Command, child: Command) -> bool:
    """Whether the child is how git carries out what its parent was allowed: a push by a helper of its own or by ssh,
    which name no refs; what keeps or makes a tree by commands that alone would destroy one. For a child of the very
    process that ``parent`` was judged of."""
    if parent.tool == child.tool == "git" and child.classes == ("vcs-destroy",):
        return child.verb.partition(" ")[0] in _HELPERS.get(parent.verb.partition(" ")[0], ())
    if parent.tool != "git" or not parent.verb.startswith("push") or "vcs-remote" not in parent.classes:
        return False
    if child.classes != ("vcs-remote",):
        return False
    if child.tool == "git":
        return child.verb == "send-pack"
    return child.tool == "ssh" and not child.resolved
