"""A version of a file that was judged, and what the judging of contents works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.looks import Looks
from supervisor.invariants.policy import CompiledPolicy
from supervisor.surfaces.ledger import Ledger, Written
from supervisor.surfaces.made import Made
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.verdicts import Verdict
from supervisor.vocabulary.versions import Identity, Version

if TYPE_CHECKING:
    from supervisor.inspection.worker import Inspector
    from supervisor.run.baselines import Bases
    from supervisor.run.graphs import Graphs
    from supervisor.run.prior import Prior
    from supervisor.trees.accepted import Accepted
    from supervisor.vocabulary.content import Findings


class Source(NamedTuple):
    """What has to be read for what it says."""

    path: bytes
    kind: str
    content: bytes


class Judgement(NamedTuple):
    """A version that was judged: ``content`` and ``identity`` are what was read for it."""

    event: ContentEvent
    verdict: Verdict
    kind: str
    content: bytes
    identity: Identity

    def is_open_ended(self, content: bytes | None) -> bool:
        """Whether what is being written may still say something else than it seems to: it does not parse, or its last
        line has no end."""
        return bool(self.event.now.pending) or (content is not None and not content.endswith(b"\n"))


def breaks_nothing(found: Judgement | None) -> bool:
    """Whether a version is known to be right (None: nothing in it concerns a rule). Of one that does not parse nobody
    knows yet."""
    return found is None or not (found.verdict.blocks or found.event.now.pending)


def is_theirs(entry: Written, ledger: Ledger, held: Callable[[tuple[int, int]], bool]) -> bool:
    """Whether somebody else has written what was just read of a file that is still open: a writer has gone since the
    last look, and the only one that the run ever had is still there."""
    if entry.opens == 1 and not entry.closings:
        ledger.closed()  # what was read may be newer than what was heard of its writers
    # In this order: the run itself may have closed it meanwhile, and cannot open it while it is judged.
    return entry.opens == 1 and entry.closings > 0 and held(entry.key)


class Tools(NamedTuple):
    """What contents work with. ``take_back`` reverts a violation that has landed and says whether it is no longer in
    place; ``observed`` records one that is let be, and tells of it. ``ignored`` answers for a path. ``seal`` is told of
    files that nobody of the run can write to any more, ``theirs`` of what somebody else broke, ``rewritten`` of what a
    file said and says now (None: there was none), ``passed`` of a version that somebody of the run brought and that
    breaks nothing, with the rules that speak of it all the same. ``put_back`` brings a version back to a name where
    nothing is. ``held``: whether a process of the run has the inode open for writing. ``bases`` makes what reads the
    trees that rules name as their baseline, where one does."""

    policy: CompiledPolicy
    ledger: Ledger
    accepted: Accepted
    inspector: Inspector
    looks: Looks
    made: Made
    prior: Prior | None
    ignored: Callable[[bytes], bool]
    take_back: Callable[[Written, bytes, Judgement], bool]
    observed: Callable[[ContentEvent, Verdict], None]
    seal: Callable[[Identity], None]
    theirs: Callable[[bytes, Verdict], None]
    held: Callable[[tuple[int, int]], bool]
    graphs: Graphs
    rewritten: Callable[..., None] | None = None
    passed: Callable[..., None] | None = None
    put_back: Callable[[bytes, Version], None] | None = None
    bases: Callable[[bytes, Callable[[str, bytes, bytes], Findings]], Bases] | None = None
