"""Files that a run may not read, by name: in the tree, and single ones in the home folder.

The kernel hides whole folders outside the tree; which files of a folder are opened only the opens themselves tell, so
where there is such a rule they are judged one by one. What may not be read may not be written either, nor moved,
linked or removed: under another name it would be read after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from supervisor.invariants.globs import Globs
from supervisor.invariants.places import Zone, locate, names_of
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.model import Entry, Layers
from supervisor.vocabulary.events import Kind, Target
from supervisor.vocabulary.verdicts import Effect, Match

if TYPE_CHECKING:
    from supervisor.invariants.data import DataRules

FOLDERS, FILES, READ = "scope.hide", "scope.hide.files", "scope.read"


class Beside(NamedTuple):
    """Another tree, whose files stay as hidden as they are to its own run: the one that contracts are shown for."""

    tree: bytes
    home: bytes
    files: Hidden
    data: DataRules

    def hides(self, relative: bytes) -> bool:
        """Whether that run may not read this file of its tree."""
        path = self.tree + b"/" + relative
        at_home = path[len(self.home) + 1 :] if path.startswith(self.home + b"/") else None
        if self.files and not self.files.is_dull(relative, at_home):
            return True
        if not self.data:
            return False
        from supervisor.invariants.data import judge_file

        return any(True for _ in judge_file(self.data, path, relative, self.home, writes=False, reads=True))


class Hidden(NamedTuple):
    """``tree``: patterns of the tree; ``home``: of the home folder, without their ``~``. ``read``: one set for each
    layer that says what of the tree may be read: a file has to match in every one. ``beside``: None but in a run that
    another one makes."""

    tree: Globs = Globs(())
    home: Globs = Globs(())
    read: tuple[Globs, ...] = ()
    beside: Beside | None = None

    def __bool__(self) -> bool:
        return bool(self.tree or self.home or self.read or self.beside)

    def patterns(self) -> tuple[bytes, ...]:
        """Those of ``hide``, as they are written."""
        every = (*(e.value for e in self.tree.entries), *("~" + e.value for e in self.home.entries))
        return tuple(value.encode("utf-8", "surrogateescape") for value in every)

    def is_dull(self, relative: bytes, at_home: bytes | None) -> bool:
        """Whether no pattern speaks of this file of the tree. ``at_home``: its path from the home folder, None where it
        does not lie there."""
        if at_home is not None and self.home.match(at_home) is not None:
            return False
        return self.tree.match(relative) is None and all(layer.match(relative) is not None for layer in self.read)


def compile_hidden(entries: Iterable[Entry], read: Layers) -> Hidden:
    """``entries``: those of ``hide`` that are no whole folders outside the tree."""
    every = tuple(entries)
    return Hidden(
        Globs(entry for entry in every if not entry.value.startswith("~/")),
        Globs(entry._replace(value=entry.value[1:]) for entry in every if entry.value.startswith("~/")),
        tuple(Globs(entry for entry in layer if not entry.value.startswith("~/")) for layer in read),
    )


def beside_of(policy: CompiledPolicy) -> Beside:
    """What the run of ``policy`` may not read of its tree."""
    return Beside(policy.tree, policy.home, policy.hidden or Hidden(), policy.data)


def in_tree(policy: CompiledPolicy, target: Target, relative: bytes, *, directory: bool) -> Iterator[Match]:
    """Objections to touching a file of the tree in any way."""
    hidden = policy.hidden
    show = relative.decode("utf-8", "backslashreplace")
    entry = hidden.tree.match(relative, directory)
    if entry is not None:
        rule, effect = policy.rule(FILES, entry.source)
        yield Match(rule, effect, f"{show} is hidden from this run")
    else:
        yield from at_home(policy, target)
    if directory or target.ignored:
        return
    for layer in hidden.read:
        if layer.match(relative) is None:
            rule, effect = policy.rule(READ, layer.entries[0].source if layer else "")
            yield Match(rule, effect, f"{show} is outside the read scope")


def at_home(policy: CompiledPolicy, target: Target) -> Iterator[Match]:
    """The same for a file that a pattern of the home folder speaks of."""
    if policy.hidden.home and target.path.startswith(policy.home + b"/"):
        entry = policy.hidden.home.match(target.path[len(policy.home) + 1 :], target.kind is Kind.DIR)
        if entry is not None:
            rule, effect = policy.rule(FILES, entry.source)
            yield Match(rule, effect, f"{target.path.decode('utf-8', 'backslashreplace')} is hidden from this run")


def judge(policy: CompiledPolicy, target: Target) -> Iterator[Match]:
    """Objections to reading what lies at a path."""
    for path in names_of(target.path):
        place = locate(policy, path)
        if place.zone is Zone.TREE:
            yield from in_tree(policy, target._replace(path=path), place.relative, directory=target.kind is Kind.DIR)
        elif place.zone not in (Zone.STATE, Zone.HIDDEN, Zone.GIT):
            yield from at_home(policy, target._replace(path=path))
            beside = policy.hidden.beside
            if beside is None or target.kind is Kind.DIR or not path.startswith(beside.tree + b"/"):
                continue
            if beside.hides(path[len(beside.tree) + 1 :]):
                show = path.decode("utf-8", "backslashreplace")
                yield Match(policy.invariant(FOLDERS), Effect.DENY, f"{show} is hidden from this run")
