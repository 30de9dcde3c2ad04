"""Refs that are about to move, judged as such: by name, and by what the commits say that come with them.

A ref has the value of its own file, else the one in ``packed-refs`` (gitrepository-layout(5)). So whoever takes the
file away may move the ref instead of deleting it, and whoever rewrites ``packed-refs`` moves what has no file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.decide import decide
from supervisor.git.base import Objects
from supervisor.git.commandline import FETCHING, command_of
from supervisor.git.commits import facts
from supervisor.git.layout import is_object_id, packed
from supervisor.invariants.gitdir import holds_history
from supervisor.invariants.policy import NO_STATE, CompiledPolicy, GitDir
from supervisor.run.brought import Ends, brought
from supervisor.run.commits import ref_at
from supervisor.run.fetches import Fetches
from supervisor.run.reached import Reached
from supervisor.run.refs import plain
from supervisor.surfaces.paths import Refused
from supervisor.vocabulary.acts import PathAct
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.events import CommitFacts, FsEvent, FsOp, Kind, RefEvent
from supervisor.vocabulary.verdicts import Verdict

_MOST_KNOWN = 100_000


class Spoken(NamedTuple):
    """The move that a rule speaks of."""

    event: RefEvent
    verdict: Verdict


class RefGuard:
    """``tips`` and ``reached``: of refs that hold history. ``learn`` takes up what others moved meanwhile, and says
    whether there was something."""

    def __init__(
        self,
        policy: CompiledPolicy,
        git: GitDir,
        objects: Objects,
        tips: Mapping[str, None],
        reached: Reached,
        fetches: Fetches,
        ends: Ends,
        learn: Callable[[], bool],
    ) -> None:
        self._policy = policy
        self._git = git
        self._objects, self._tips = objects, tips
        self._fetches, self._ends = fetches, ends
        self._learn = learn
        self._reached = reached
        self._passed: set[str] = set()
        self._packed: tuple[tuple[int, ...], Mapping[str, str]] = ((), {})

    def before(self, event: FsEvent, act: PathAct) -> Spoken | None:
        """The strictest that is said of the refs which an act would move; None where nothing is. ``act`` holds the
        value that will land. Raises ``Refused``."""
        found: Spoken | None = None
        try:
            for ref, old, new in self._moves(event, act):
                spoken = self._judge(event, ref, old, new)
                if spoken.verdict.matches and (found is None or spoken.verdict.effect > found.verdict.effect):
                    found = spoken
        except GovrunError as error:
            raise Refused(f"the refs that this moves cannot be judged: {error.what}: {error.why}") from error
        return found

    # -- what moves ---------------------------------------------------------------------------------------------

    def _moves(self, event: FsEvent, act: PathAct) -> Iterator[tuple[str, str, str]]:
        """(ref, old, new) of each ref whose value would change; empty: there is none."""
        source = ref_at(self._git, event.target.path)
        other = ref_at(self._git, event.other.path) if event.other is not None else ""
        if event.op is FsOp.RENAME and (event.exchange or event.makes is Kind.DIR) and (source or other):
            raise Refused("refs are moved one by one, through git's lock")
        if other == "packed-refs":
            yield from self._repacked(act.replace or b"")
            return
        if other:
            yield from self._changed(other, self._value(other), _said(act.replace or b""))
        if source and source != "packed-refs" and event.op in (FsOp.UNLINK, FsOp.RENAME):
            loose = self._loose(source)
            if loose:
                yield from self._changed(source, loose, self._in_packed().get(source, ""))

    @staticmethod
    def _changed(ref: str, old: str, new: str) -> Iterator[tuple[str, str, str]]:
        if old != new:
            yield ref, old, new

    def _repacked(self, content: bytes) -> Iterator[tuple[str, str, str]]:
        before, after = self._in_packed(), _lines(content)
        for ref in sorted(before.keys() | after.keys()):
            old, new = before.get(ref, ""), after.get(ref, "")
            if old != new and not self._loose(ref):
                yield ref, old, new

    def _value(self, ref: str) -> str:
        return self._loose(ref) or self._in_packed().get(ref, "")

    def _loose(self, ref: str) -> str:
        folder = self._git.path if ref == "HEAD" else self._git.common
        return _said(plain(folder + b"/" + os.fsencode(ref)).encode())

    def _in_packed(self) -> Mapping[str, str]:
        try:
            info = os.stat(self._git.common + b"/packed-refs")
        except FileNotFoundError:
            return {}
        state = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if state != self._packed[0]:  # replaced as a whole, never written in place
            self._packed = (state, packed(Path(os.fsdecode(self._git.common))))
        return self._packed[1]

    # -- judging ------------------------------------------------------------------------------------------------

    def _judge(self, event: FsEvent, ref: str, old: str, new: str) -> Spoken:
        move = RefEvent(event.actor, ref, old, new, self._is_exchanged(event, ref), landing=True)
        if self._policy.branching.commits is None or not holds_history(move.ref):
            return Spoken(move, decide(self._policy, NO_STATE, move))
        spoken = self._with_commits(event, move)
        if spoken.verdict.blocks and self._learn():
            spoken = self._with_commits(event, move)
        return spoken

    def _with_commits(self, event: FsEvent, move: RefEvent) -> Spoken:
        """One commit after the other, so that as much is kept as one says wrongly."""
        verdict = decide(self._policy, NO_STATE, move)
        if not is_object_id(move.new) or not move.new.strip("0"):
            return Spoken(move, verdict)
        passed: list[str] = []
        for commit in self._fresh(event, move.ref, move.new):
            each = move._replace(commits=(commit,))
            said = decide(self._policy, NO_STATE, each)
            if said.matches and len(said.matches) > len(verdict.matches) and not self._reached.has_after_all(commit.id):
                return Spoken(each, said)
            passed.append(commit.id)
        if len(self._passed) < _MOST_KNOWN:
            self._passed.update(passed)
        return Spoken(move, verdict)

    def _fresh(self, event: FsEvent, ref: str, tip: str) -> Iterator[CommitFacts]:
        """Each commit that ``tip`` leads to, no ref did at the start and that was not in order before."""

        def is_old(commit: str, parents: tuple[str, ...], date: int) -> bool:
            stands = parents and all(each in self._passed or each in self._tips for each in parents)
            return (self._reached.is_near or not stands) and self._reached.has(commit, date)

        found = brought(self._objects, ref, tip, self._passed, is_old, lambda commit: self._ends.at(event, commit))
        return (facts(each.id, each.raw) for each in found)

    def _is_exchanged(self, event: FsEvent, ref: str) -> bool:
        """Whether git notes down what another repository has: of tags, which are no notes, where it is one that the
        run has no hand in."""
        if not event.git_tool or command_of(event.actor.argv) not in FETCHING:
            return False
        return not ref.startswith("refs/tags/") or self._fetches.is_plain(event)


def _said(content: bytes) -> str:
    """The value in a ref file; of a symbolic ref as git writes it."""
    text = content.strip().decode("utf-8", "replace")
    return f"ref: {text[4:].strip()}" if text.startswith("ref:") else text


def _lines(content: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in content.split(b"\n"):
        value, _, name = line.partition(b" ")
        if name and is_object_id(text := value.decode("ascii", "replace")):
            found[os.fsdecode(name)] = text
    return found
