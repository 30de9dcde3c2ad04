"""Where a path lies, from the policy's point of view. Components are compared, never string prefixes."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from supervisor.invariants.policy import CompiledPolicy
from supervisor.vocabulary.events import Target


class Zone(IntEnum):
    STATE = 1
    HIDDEN = 2
    GIT = 3
    TREE = 4
    GRANTED = 5
    TEMP = 6
    OUTSIDE = 7


# Where a run could have put a program.
WRITABLE = frozenset({Zone.TREE, Zone.GRANTED, Zone.TEMP, Zone.GIT})


class Place(NamedTuple):
    """``relative`` is the path below ``base`` (the tree, a git directory, a grant), ``b""`` for ``base`` itself."""

    zone: Zone
    base: bytes
    relative: bytes
    detail: str = ""


def is_under(path: bytes, base: bytes) -> bool:
    """True for ``base`` and everything in it."""
    return path == base or path.startswith(base + b"/") or base == b"/"


def below(path: bytes, base: bytes) -> bytes:
    """``path`` relative to ``base``; only for paths that are under it."""
    return path[len(base) + 1 :] if path != base else b""


_GONE = b" (deleted)"


def names_of(path: bytes) -> tuple[bytes, ...]:
    """What the kernel says of an open file, and the name that it had if it has been removed or replaced since (proc(5),
    ``/proc/PID/fd``): a descriptor that only names a file outlives the name."""
    bare = path.removesuffix(_GONE)
    return (path,) if bare == path else (path, bare)


def _lies_beside(path: bytes, file: bytes) -> bool:
    return path.startswith(file + b".") and b"/" not in path[len(file) :]


def locate(policy: CompiledPolicy, path: bytes) -> Place:
    """The zone of ``path``. State and hidden folders lie outside the tree (compilation sees to it), so the common case
    is answered first."""
    tree = policy.tree
    if path.startswith(tree) and (path[len(tree) : len(tree) + 1] in (b"/", b"")):
        if b"/.git" in path:
            found = _git_zone(policy, path)
            if found is not None:
                return found
        return Place(Zone.TREE, tree, path[len(tree) + 1 :])
    if is_under(path, policy.state):
        return Place(Zone.STATE, policy.state, below(path, policy.state))
    for folder in policy.hide:
        if is_under(path, folder):
            return Place(Zone.HIDDEN, folder, below(path, folder))
    git = _git_zone(policy, path)
    if git is not None:
        return git
    temp = max((temp for temp in policy.temp if is_under(path, temp)), key=len, default=b"")
    for grant in policy.grants:
        if (
            path == grant.path
            or (grant.folder and is_under(path, grant.path))
            or (grant.beside and _lies_beside(path, grant.path))
        ) and not (
            is_under(temp, grant.path) and temp != grant.path
        ):  # sessions beside the run have files of theirs there
            return Place(Zone.GRANTED, grant.path, below(path, grant.path), grant.source)
    if temp:
        return Place(Zone.TEMP, temp, below(path, temp))
    for folder in policy.around:
        if is_under(path, folder):
            return Place(Zone.HIDDEN, folder, below(path, folder))
    return Place(Zone.OUTSIDE, b"/", path[1:])


def _git_zone(policy: CompiledPolicy, path: bytes) -> Place | None:
    git = policy.git
    if git is not None:
        for base in (git.path, git.common):
            if is_under(path, base):
                return Place(Zone.GIT, base, below(path, base))
    # Nested repositories and submodules checked out inside the tree: the part from their `.git` on.
    if is_under(path, policy.tree) and b".git" in (parts := below(path, policy.tree).split(b"/")):
        at = parts.index(b".git")
        base = policy.tree + b"/" + b"/".join(parts[: at + 1])
        return Place(Zone.GIT, base, b"/".join(parts[at + 1 :]))
    return None


def governed(policy: CompiledPolicy, target: Target) -> bytes | None:
    """The path in the tree of what is the project's; None for what lies elsewhere, is ignored or is git's own."""
    if target.ignored or not target.path.startswith(policy.tree + b"/"):
        return None
    place = locate(policy, target.path)
    return place.relative if place.zone is Zone.TREE else None
