"""``git push`` and what git starts for it: to which repository, and which refs there.

A remote's name stands for its addresses; a rule may speak of either. Where the variables or ``-c`` give git more
configuration than its files, only what is written out is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from supervisor.commands.gitconfig import Repository, branch, has_ref, repository
from supervisor.commands.parsing import Line
from supervisor.commands.targets import MOST, Where, cleaned
from supervisor.commands.world import Untold, World
from supervisor.vocabulary.commands import Push, PushedRef

_BY_VARIABLE = ("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG")
_STEERS = re.compile(r"(?i)(?:remote|url|branch|push|include|includeif|remotes)\.")
_ALL = (("--all", "refs/heads/*"), ("--branches", "refs/heads/*"), ("--mirror", "refs/*"), ("--tags", "refs/tags/*"))
_FULL = re.compile(r"refs/")
_NAMES = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


_FORCES = frozenset(("-f", "--force", "--force-with-lease", "--mirror"))
_DELETES = frozenset(("-d", "--delete", "--prune", "--mirror"))
_TRUE = ("true", "yes", "on", "1")
# What pushes without saying what: a part of git, another tool, a request to a forge.
_UNTOLD = frozenset(
    (
        *("git http-push", "git svn dcommit", "git p4 submit", "git cvsexportcommit", "jj git push", "hg push"),
        *("gh repo sync", "hub sync"),
    )
)


class _Refs(NamedTuple):
    refs: tuple[PushedRef, ...]
    known: bool = True
    by_default: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(ref.name for ref in self.refs))


def untold(tool: str, verb: str) -> Push | None:
    """The push of a command that pushes and does not say what; None for every other one."""
    said = f"{tool} {verb}"
    return Push() if said in _UNTOLD or any(said.startswith(each + " ") for each in _UNTOLD) else None


def pushed(line: Line, world: World) -> Where:
    """Targets of a ``git push`` whose operands follow the verb."""
    try:
        return _pushed(line, world)
    except Untold:
        return Where(resolved=False, push=Push())


def _pushed(line: Line, world: World) -> Where:
    operands = line.operands()[1:]
    world = _at(line, world)
    found = repository(world, line.value(("--git-dir",)) or (world.variable("GIT_DIR") if world.told else ""))
    steered = not world.told or any(world.variable(name) for name in _BY_VARIABLE)
    steered |= any(
        _STEERS.match(option.value or "")
        for option in line.options
        if option.name == "-c" and option.at < line.words[0][0]
    )
    steered |= any(option.name == "--config-env" for option in line.options)
    steered |= found is not None and not found.plain
    name = operands[0] if operands else line.value(("--repo",)) or _default(found, world)
    refs = _refs(line, operands[1:], found, world, name)
    push = Push(name, refs.refs, refs.known and not steered, refs.by_default or not operands)
    if not name:
        return Where(refs.names, resolved=False, push=push)
    urls = _addresses(found, name)
    if not urls and not _is_address(name):
        return Where((name, *refs.names), resolved=False, push=push)
    told = [cleaned(url) for url in _rewritten(found, urls or [name], pushing=not _pushurls(found, name))]
    by_name = bool(urls)
    targets = (name,) if by_name else tuple(told)
    stands_for = tuple((name, url) for url in told) if by_name else ()
    source = found.path if found is not None else ""
    return Where((*targets, *refs.names)[:MOST], refs.known and not steered, source, stands_for, push)


def sent(line: Line, world: World) -> Where:
    """Targets of ``git send-pack``."""
    operands = line.operands()[1:]
    if not operands:
        return Where(resolved=False, push=Push())
    refs = [_spelt(spec, line, None, world) for spec in operands[1:]]
    given = bool(refs) and all(ref.name for ref in refs) and not line.has(frozenset(("--stdin", "--all")))
    told = [ref for ref in refs if ref.name]
    names = (cleaned(operands[0]), *(ref.name for ref in told))
    return Where(names[:MOST], resolved=given, push=Push(operands[0], tuple(told[:MOST]), given and len(names) <= MOST))


def _at(line: Line, world: World) -> World:
    for option in line.options:
        if option.name == "-C" and option.value and option.at < line.words[0][0]:
            world = world.in_folder(option.value)
    return world


def _is_address(name: str) -> bool:
    return "://" in name or name.startswith(("/", ".", "~")) or re.match(r"(?:[^/@:]+@)?[^/:]+:", name) is not None


def _default(found: Repository | None, world: World) -> str:
    if found is None:
        return ""
    head = branch(world, found).removeprefix("refs/heads/")
    names = (f"branch.{head}.pushremote", "remote.pushdefault", f"branch.{head}.remote")
    given = next((value for key in names if (value := found.last(key))), "")
    return given or ("".join(found.remotes()) if len(found.remotes()) == 1 else "origin")


def _pushurls(found: Repository | None, name: str) -> list[str]:
    return found.every(f"remote.{name}.pushurl") if found is not None else []


def _addresses(found: Repository | None, name: str) -> list[str]:
    """Where a push to the remote goes; none for a word that is no remote."""
    if found is None:
        return []
    return _pushurls(found, name) or found.every(f"remote.{name}.url")


def _rewritten(found: Repository | None, urls: Sequence[str], *, pushing: bool) -> Iterator[str]:
    """The addresses after ``url.<base>.insteadOf`` and ``pushInsteadOf``; the longest beginning counts."""
    rules = [] if found is None else [(key, value) for key, value in found.values if key.startswith("url.")]
    for url in urls:
        for kind in (".pushinsteadof", ".insteadof") if pushing else (".insteadof",):
            fitting = [(len(start), key) for key, start in rules if key.endswith(kind) and url.startswith(start)]
            if fitting:
                length, key = max(fitting)
                yield key[4 : -len(kind)] + url[length:]
                break
        else:
            yield url


# -------------------------------------------------------------------------------------------------------- refs


def _refs(line: Line, given: Sequence[str], found: Repository | None, world: World, remote: str) -> _Refs:
    forced, deleted = line.has(_FORCES), line.has(_DELETES)
    refs = [PushedRef(ref, forced, deleted) for option, ref in _ALL if line.has(frozenset((option,)))]
    follows = found is not None and found.last("push.followtags").lower() in _TRUE
    if line.has(frozenset(("--follow-tags",))) or (follows and not line.has_surely(frozenset(("--no-follow-tags",)))):
        refs.append(PushedRef("refs/tags/*", forced))
    words = iter(given)
    for word in words:
        if word == "tag":
            refs.append(PushedRef("refs/tags/" + next(words, "*"), forced, deleted))
        else:
            refs.append(_spelt(word, line, found, world))
    by_default = not given and not any(ref.name in ("refs/heads/*", "refs/*") for ref in refs)
    known = all(ref.name for ref in refs)
    if by_default:
        usual = _by_default(found, world, remote)
        known &= bool(usual) and all(ref.name for ref in usual)
        refs.extend(PushedRef(ref.name, ref.forced or forced, ref.deleted or deleted) for ref in usual)
    listed = tuple(dict.fromkeys(ref for ref in refs if ref.name))[:MOST]
    return _Refs(listed, known and len(listed) < MOST, by_default)


def _spelt(spec: str, line: Line, found: Repository | None, world: World) -> PushedRef:
    """The ref over there that a refspec of the command line means; no name where that cannot be told."""
    dropped = line.has(frozenset(("-d", "--delete")))
    name = _destination(spec, found, world, delete=dropped)
    bare = spec.removeprefix("+")
    gone = bare.startswith(":") and bare != ":"
    return PushedRef(name, spec.startswith("+") or line.has(_FORCES), gone or line.has(_DELETES))


def _by_default(found: Repository | None, world: World, remote: str) -> list[PushedRef]:
    if found is None:
        return []
    if found.last(f"remote.{remote}.mirror").lower() in _TRUE:
        return [PushedRef("refs/*", True, True)]
    listed = found.every(f"remote.{remote}.push")
    if listed:
        return [PushedRef(_destination(each, found, world), each.startswith("+"), each[:1] == ":") for each in listed]
    head = branch(world, found)
    how = found.last("push.default") or "simple"
    if how == "matching":
        return [PushedRef("refs/heads/*")]
    if how in ("upstream", "tracking"):
        merged = found.last(f"branch.{head.removeprefix('refs/heads/')}.merge")
        return [PushedRef(merged)] if merged else []
    return [PushedRef(head)] if head else []


def _destination(spec: str, found: Repository | None, world: World, *, delete: bool = False) -> str:
    """The ref that a refspec changes over there, empty where that cannot be told."""
    spec = spec.removeprefix("+")
    if spec == ":":
        return "refs/heads/*"
    source, colon, there = spec.partition(":")
    name = there if colon else source
    if _FULL.match(name):
        return name
    if not name or _NAMES.fullmatch(name):
        return ""
    if name in ("HEAD", "@"):
        return branch(world, found) if found is not None and not colon else ""
    if found is None or delete or (colon and not source):
        return ""  # over there it may be a branch or a tag
    for kind in ("heads/", "tags/"):
        if name.startswith(kind):
            return "refs/" + name
    # What is pushed to a name that nobody spelt out becomes what it is here.
    asked = source if colon else name
    if has_ref(world, found, f"refs/tags/{asked}") or has_ref(world, found, f"refs/tags/{name}"):
        known = name == asked and not has_ref(world, found, f"refs/heads/{asked}")
        return f"refs/tags/{name}" if known else ""
    return f"refs/heads/{name}"
