"""The writer's side of the ledger: which number a run gets, and the entry that is written with its record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from supervisor.git.neutral import GitError
from supervisor.provenance import note
from supervisor.provenance.answers import No, believed, mapping_of
from supervisor.provenance.keys import Trusted, own_key
from supervisor.provenance.ledger import Last, Memory, Place, parse, place_after, ref_of, stream
from supervisor.provenance.transaction import Move, OvertakenError, Repository


class Booking:
    """Of one run, with the key of the installation whose state folder is ``state``."""

    def __init__(self, state: Path, repository: Repository, run: str) -> None:
        self._repository = repository
        self._run = run
        self._memory = Memory(state, repository.common)
        self._key = own_key(state).public_key().public_bytes_raw()
        self._made = ""
        self._anew = False

    def place(self) -> tuple[Place, str]:
        """The next place, and ""; or the one of an earlier attempt whose record is here, with the digest of its
        statement. Raises ``GovrunError``."""
        last = self._memory.last()
        signed, told = self._signed()
        if not signed:
            mine = None if self._anew or last is None else self._mine(last.chain)
            return mine or place_after(last, self._key, self._run, self._repository.ref, self._content), ""
        place = Place(
            str(told["chain"]), int(str(told["number"])), str(told["previous"]), after=str(told.get("after", ""))
        )
        before = last is not None and (last.chain, last.number) == (place.chain, place.number - 1)
        parent = last.commit if last is not None and before and self._content(last.commit) is not None else ""
        tip = self._repository.ref(ref_of(self._key, place.chain))
        return place._replace(parent=parent, tip=tip), sha256(signed).hexdigest()

    def _signed(self) -> tuple[bytes, Mapping[str, object]]:
        """What this key has signed of the run in its record, and the place that it names; empty where there is none.
        Whoever can write the repository can put another one there."""
        try:
            envelope, _ = believed(self._recorded(b"bundle.intoto.jsonl"), [Trusted(self._key, "")])
        except No:
            return b"", {}
        predicate = mapping_of(envelope.payload).get("predicate")
        told = predicate.get("ledger") if isinstance(predicate, dict) and predicate.get("run") == self._run else None
        return (envelope.payload, told) if isinstance(told, dict) else (b"", {})

    def _content(self, commit: str) -> bytes | None:
        """None as well where it is too large, or not what its id says: that is no entry."""
        try:
            return self._repository.content(commit)
        except GitError:
            return None

    def _mine(self, chain: str) -> Place | None:
        """The last entry, where it is of this run and its record was taken away."""
        tip = self._repository.ref(ref_of(self._key, chain))
        entry = parse(self._content(tip) or b"") if tip else None
        if entry is None or entry.run != self._run:
            return None
        before = parse(self._content(entry.parent) or b"") if entry.parent else None
        return Place(chain, entry.number, before.statement if before is not None else "", entry.parent, tip)

    def _recorded(self, name: bytes) -> bytes:
        """A file of the run's own record; empty while there is none."""
        record, objects = self._repository.ref(note.ref_of(self._run)), self._repository.objects
        try:
            entry = objects.entry(record, name) if record else None
            found = objects.get(entry.id) if entry is not None else None
        except GitError:
            return b""
        return found[2] if found is not None else b""

    def move(self, place: Place, statement: str, *, recorded: bool) -> Move | None:
        """What writes the entry; None when it is there already, or (``recorded``: an attempt before came so far) is for
        others to miss. Raises ``OvertakenError`` when the run has left another entry than this would be: then it gets a
        new one."""
        there = parse(self._content(place.tip) or b"") if place.tip else None
        if there is not None and (there.number, there.statement) == (place.number, statement):
            return None
        if there is not None and recorded and place.tip != place.parent:
            return None
        if there is not None and there.run == self._run and not self._anew:
            self._anew = True
            raise OvertakenError("the run has an entry already", place.chain)
        text = stream(place, self._run, statement, int(time.time()))
        words = ["fast-import", "--quiet", "--force", "--done"]

        def make() -> str:
            self._made = self._repository.importer.run(words, text).decode("ascii", "replace").strip()
            return self._made

        return Move(ref_of(self._key, place.chain), place.tip, make)

    def keep(self, place: Place, statement: str) -> None:
        """It is written. Errors: ``HostError``."""
        if self._made:
            self._memory.keep(Last(place.chain, place.number, statement, self._made))
