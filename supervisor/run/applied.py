"""What a command that deploys would apply, read while it is held: documents for the rules that speak of them, and
whether it can be told at all. The files that say where it acts are held with them.

Read twice, at the call and at the exec stop, so that what is judged last is what is there when the program begins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.inspection.reading import APPLIED
from supervisor.invariants.policy import CompiledPolicy
from supervisor.run.gathering import Gathering
from supervisor.run.holds import Held
from supervisor.run.parts import Parts
from supervisor.run.readable import Readable
from supervisor.run.whereabouts import classes_with_targets, judged_by
from supervisor.surfaces.applied import Seen
from supervisor.vocabulary.applied import (
    Document,
)
from supervisor.vocabulary.content import INSPECTOR_FAILED, NOTHING_FOUND, Findings
from supervisor.vocabulary.events import ExecEvent

if TYPE_CHECKING:
    from supervisor.inspection.worker import Inspector

Bases = tuple[tuple[str, Findings], ...]  # by revision
_MOST_KEPT = 64


class Applied:
    """``changed``: whether a file was changed since the start. ``before``: what was tolerated in a file of the tree,
    and ``bases``: what the trees of revisions say there. ``inspector``: whoever reads."""

    def __init__(
        self,
        policy: CompiledPolicy,
        inspector: Callable[[], Inspector],
        changed: Callable[[bytes], bool],
        before: Callable[[bytes], Findings],
        readable: Readable | None = None,
        bases: Callable[[bytes], Bases] = lambda _path: (),
    ) -> None:
        self._policy = policy
        self._inspector = inspector
        self._changed = changed
        self._before, self._bases = before, bases
        self._readable = readable or Readable(policy)
        self.look = self._readable.look
        self._aimed = classes_with_targets(policy)
        self._kept: dict[bytes, Findings] = {}
        self.held: tuple[Held, ...] = ()  # what the event that was asked about last stands on

    def of(self, event: ExecEvent) -> ExecEvent:
        """The event with what its commands apply."""
        commands, documents, held = [], [], list[Held]()
        for found in event.commands:
            command = found
            if command.read and self._aimed.intersection(command.classes):
                files, why = judged_by(command, self._readable.writes)
                held += files
                if why:
                    command = command._replace(resolved=False)
            if not command.applies:
                commands.append(command)
                continue
            reading = Gathering(self)
            for each in command.applies:
                reading.take(each)
            reading.settle(command.applies)
            commands.append(reading.told(command))
            documents += reading.documents
            if self.judges or reading.documents:
                held += reading.held
        self.held = tuple(held)
        return event._replace(commands=tuple(commands), applied=tuple(documents))

    def findings(self, form: str, seen: Seen) -> Findings:
        """What a file says, from memory where the same was just asked."""
        if seen.content is None:
            return Findings(refusal=seen.why)
        kind = APPLIED + form
        name = kind.encode() + b"\0" + seen.path.rpartition(b"/")[2] + b"\0"
        digest = hashlib.sha256(name + seen.content).digest()
        found = self._kept.get(digest)
        if found is None:
            found = self._inspector().inspect(kind, seen.path, seen.content)
            if not found.refusal.startswith(INSPECTOR_FAILED):
                if len(self._kept) >= _MOST_KEPT:
                    self._kept.clear()
                self._kept[digest] = found
        return found

    def document(self, seen: Seen, form: str, found: Findings, *, partial: bool) -> Document:
        inside = seen.path.startswith(self._policy.tree + b"/")
        as_found = inside and not self._changed(seen.path)
        before = self._before(seen.path) if inside and not as_found else NOTHING_FOUND
        return Document(seen.path, form, found, before, as_found, partial, bases=self.bases(seen))

    def bases(self, seen: Seen) -> Bases:
        """What the trees of revisions say in this file."""
        return self._bases(seen.path) if seen.path.startswith(self._policy.tree + b"/") else ()

    def tolerated(self, seen: Seen, form: str) -> Findings:
        """What the tree said in this file when the run began, as far as it is tolerated."""
        if not seen.path.startswith(self._policy.tree + b"/"):
            return NOTHING_FOUND
        return self._before(seen.path) if self._changed(seen.path) else self.findings(form, seen)

    @property
    def judges(self) -> bool:
        return bool(self._policy.documents)


def applied(parts: Parts) -> Applied:
    """What reads for a run."""

    def before(path: bytes) -> Findings:
        contents = parts.room().contents if parts.judges_content else None
        if contents is None:
            return NOTHING_FOUND
        return contents.tolerated.base(path).joined(contents.tolerated.prior(path))

    def bases(path: bytes) -> Bases:
        contents = parts.room().contents if parts.judges_content and parts.policy.baselines else None
        kind = contents.kind(path) if contents is not None else None
        found = contents.tolerated.bases if contents is not None else None
        return found.of(path, kind) if found is not None and kind is not None else ()

    return Applied(parts.policy, parts.facts.inspector, parts.touched.is_after, before, parts.facts.readable, bases)
