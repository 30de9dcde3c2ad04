"""The writer's side of the ledger: which number a run gets, and the entry that is written with its record.

The repository can be written by others. What it says is believed as far as this installation has signed it, or as it
follows from what the state folder remembers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from supervisor.git.neutral import GitError
from supervisor.journal.ids import born, is_ulid
from supervisor.provenance import note
from supervisor.provenance.answers import Answer, No, believed, mapping_of
from supervisor.provenance.keys import Trusted, own_key
from supervisor.provenance.ledger import Chain, Entry, Last, Memory, Place, parse, place_after, ref_of, stream
from supervisor.provenance.transaction import Goal, Repository

_MOST_BUNDLE = 64 << 20
_MOST_BACK = 8  # entries: an attempt before was a moment ago


class Signed(NamedTuple):
    """A statement of this installation: its place, None for one of before there was a ledger, and its SHA-256."""

    place: Place | None
    digest: str


class Booking:
    """Of one run, with the key of the installation whose state folder is ``state``. What it says holds as long as
    nobody else writes."""

    def __init__(self, state: Path, repository: Repository, run: str) -> None:
        self._repository = repository
        self._run = run
        self._memory = Memory(state, repository.common)
        self._key = own_key(state).public_key().public_bytes_raw()
        self._own = [Trusted(self._key, "")]
        self._damaged = self._memory.is_damaged()
        self._made = self._late = ""
        self._found: dict[str, str | None] = {}  # what refs of the ledger were at when it was decided where to go on

    # ---- what is there ------------------------------------------------------------------------------------------

    def recorded(self) -> tuple[str, Signed] | None:
        """The run's record as an attempt before has left it, whole and signed by this installation. Whoever can write
        the repository can put another one there, or take files out of it."""
        ref = note.ref_of(self._run)
        at = self._repository.expected(ref)
        signed = self._signed(self._run) if at else None
        if not at or signed is None:
            return None
        from supervisor.provenance.verifying import Verifier  # not for every run

        verifier = Verifier(self._repository.objects, lambda name: at if name == ref else "", self._own)
        return (at, signed) if verifier.run(self._run).answer is Answer.VERIFIED else None

    def _signed(self, run: str) -> Signed | None:
        """What this installation has signed of ``run``, by the envelope in its record."""
        at, objects = self._repository.expected(note.ref_of(run)), self._repository.objects
        try:
            entry = objects.entry(at, b"bundle.intoto.jsonl") if at else None
            found = objects.get(entry.id, limit=_MOST_BUNDLE) if entry is not None else None
            payload = believed(found[2] if found is not None else None, self._own)[0].payload
        except (GitError, No):
            return None
        predicate = mapping_of(payload).get("predicate")
        if not isinstance(predicate, dict) or predicate.get("run") != run:
            return None
        return Signed(_place(predicate.get("ledger")), sha256(payload).hexdigest())

    def _backed(self, chain: str, entry: Entry) -> bool:
        signed = self._signed(entry.run)
        if signed is None or signed.place is None:
            return False
        return (signed.place.chain, signed.place.number, signed.digest) == (chain, entry.number, entry.statement)

    def _content(self, commit: str) -> bytes | None:
        """None as well where it is too large, or not what its id says: that is no entry."""
        try:
            return self._repository.content(commit)
        except GitError:
            return None

    def _ref(self, name: str) -> str:
        self._found[name] = self._repository.expected(name)
        return self._found[name] or ""

    # ---- where the run goes -------------------------------------------------------------------------------------

    def places(self) -> Iterator[tuple[Place, str]]:
        """Where the run may go, and the digest that its statement must have there ("": any has its place there). The
        first are those that it had at an attempt before, whose record was changed or taken away."""
        signed = self._signed(self._run)
        if signed is not None and signed.place is not None:
            yield signed.place, signed.digest
        last = self._memory.last() or self._memory.moved(lambda last: self._content(last.commit) is not None)
        before = self._mine(last) if last is not None else None
        if before is not None:
            yield before
        chain = last.chain if last is not None else ""
        yield (
            place_after(last, self._key, self._run, self._ref, self._content, lambda each: self._backed(chain, each)),
            "",
        )

    def _mine(self, last: Last) -> tuple[Place, str] | None:
        """The entry of the run, where it is among the newest that are remembered: ids that lead there hold them."""
        at = last.commit
        for _ in range(_MOST_BACK):
            entry = parse(self._content(at) or b"") if at else None
            if entry is None:
                return None
            if entry.run == self._run:
                before = parse(self._content(entry.parent) or b"") if entry.parent else None
                previous = before.statement if before is not None else ""
                return Place(last.chain, entry.number, previous), entry.statement
            at = entry.parent
        return None

    def goal(self, place: Place, statement: str, needs: str = "") -> Goal | None:
        """What brings the entry of ``statement`` into the ledger; None where it is there, or comes too late."""
        ref = ref_of(self._key, place.chain)
        if ref not in self._found:
            tip, last = self._ref(ref), self._memory.last()
            if self._leads_to(tip, place.number, statement):
                entry = parse(self._content(tip) or b"")
                self._made = tip if entry is not None and entry.number == place.number else ""
                return None
            known = last.commit if last is not None and last.chain == place.chain else ""
            if self._leads_to(known, place.number, statement):
                return Goal(ref, self._found[ref], lambda: known, needs)
            parent = self._before(place, tip, last)
            if parent is None:
                self._late = f"number {place.number} of the ledger {place.chain} cannot be written any more"
                return None
            place = place._replace(parent=parent)
        text = stream(place, self._run, statement, int(born(self._run)))
        words = ["fast-import", "--quiet", "--force", "--done"]

        def make() -> str:
            self._made = self._repository.importer.run(words, text).decode("ascii", "replace").strip()
            return self._made

        return Goal(ref, self._found[ref], make, needs)

    def _leads_to(self, tip: str, number: int, statement: str) -> bool:
        entry = Chain(tip, self._content).entry(number)
        return entry is not None and (entry.run, entry.statement) == (self._run, statement)

    def _before(self, place: Place, tip: str, last: Last | None) -> str | None:
        """The commit that an entry comes after that should have been written before; None when it cannot be any
        more."""
        entry = parse(self._content(tip) or b"") if tip else None
        if entry is not None and (entry.number, entry.statement) == (place.number - 1, place.previous):
            return tip
        remembered = last is not None and (last.chain, last.number) == (place.chain, place.number - 1)
        if last is not None and remembered and self._content(last.commit) is not None:
            return last.commit
        return "" if place.number == 1 and not tip else None

    # ---- afterwards ---------------------------------------------------------------------------------------------

    def keep(self, place: Place, statement: str) -> str:
        """The record is written; the entry, too, if nothing is in its way. What was odd about the ledger, "" when
        nothing. Errors: ``HostError``."""
        last, made = self._memory.last(), self._made
        if not made:
            return self._late
        if last is not None and last.chain not in (place.chain, place.after):
            return ""  # of long ago: another chain is gone on with
        if last is not None and last.chain == place.chain and last.number >= place.number:
            return ""
        self._memory.keep(Last(place.chain, place.number, statement, made))
        if last is None:
            return "what was remembered of the ledger cannot be read: another one begins" if self._damaged else ""
        if place.after:
            return f"the ledger {place.after} is gone, and its commits with it: another one begins"
        found = self._found.get(ref_of(self._key, place.chain), "")
        if found in (last.commit, place.parent, made):
            return ""
        told = f"at {found[:12]}" if found else "gone" if found == "" else "a symbolic ref"
        left = f"not at {last.commit[:12]} as it was left"
        return f"the ledger was {told}, {left}: it goes on after number {last.number}"


def _place(told: object) -> Place | None:
    if not isinstance(told, Mapping) or not is_ulid(str(told.get("chain", ""))):
        return None
    number = told.get("number")
    if not isinstance(number, int) or number < 1:
        return None
    return Place(str(told["chain"]), number, str(told.get("previous", "")), after=str(told.get("after", "")))
