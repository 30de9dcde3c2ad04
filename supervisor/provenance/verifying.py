"""Does the record of a run stand up? Read from the repository alone, with the keys of whoever asks.

Nothing that the repository says of itself is believed: not its notes, which are text that anybody can push, but what
follows from bytes signed by a trusted key; not its configuration; not the names of its keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from supervisor.git.base import Objects
from supervisor.git.neutral import GitError
from supervisor.journal.ids import is_ulid
from supervisor.provenance import ledger, note
from supervisor.provenance.answers import Answer, Finding, No
from supervisor.provenance.keys import Trusted
from supervisor.provenance.ledger import Chain
from supervisor.provenance.recorded import COMMITS, Record, Records, in_words

_RUNNING = f" 0 {note.FORMAT} RUNNING"
_MOST_NOTE = 1 << 20
_MOST_RUNS = 1000
_MOST_FOUND = 32
_MOST_COMMITS = 64 << 20  # bytes of what one record says of its commits
_MOST_SEARCHED = 512 << 20  # of all records together
_OVERHEAD = 1024  # of a folder of a record


class _Naming(NamedTuple):
    """Runs whose records say that a commit is theirs, that they only began there, and that they made one with its
    content; the newest first."""

    commit: list[str]
    base: list[str]
    tree: list[str]


class Verifier:
    """Over the ``objects`` of a repository; ``ref`` gives the id that a ref is at, or "". ``trusted`` are the keys that
    are believed; ``runs`` those whose records are there, to be searched where no note names one. Without ``events``,
    records are looked at only as far as their notes go."""

    def __init__(
        self,
        objects: Objects,
        ref: Callable[[str], str],
        trusted: Sequence[Trusted],
        runs: Sequence[str] = (),
        *,
        events: bool = True,
    ) -> None:
        self._objects = objects
        self._ref = ref
        self._records = Records(objects, ref, trusted)
        self._trusted = trusted
        self._runs = runs
        self._events = events
        self._chains: dict[str, Chain] = {}
        self._places: dict[str, tuple[str, object]] = {}  # of each run that was looked at, as it was signed

    def run(self, run: str) -> Finding:
        """What can be said of a run by its record. Errors: ``GitError`` for a git that does not answer."""
        try:
            record = self._record(run)
        except No as no:
            return Finding(run, no.answer, no.why)
        return _stands(record, "")

    def commit(self, commit: str, tree: str) -> list[Finding]:
        """What can be said of the runs that the note of a commit names, and of those whose records name the commit.
        Errors: as ``run``."""
        try:
            said = note.said(self._note(commit))
            naming = self._naming(commit, tree)
        except No as no:
            return [Finding("", no.answer, no.why)]
        findings = [self._noted(run, lines, commit, tree) for run, lines in list(said.items())[:_MOST_RUNS]]
        if len(said) > _MOST_RUNS:
            why = f"the note names {len(said)} runs, {_MOST_RUNS} were looked at"
            findings.append(Finding("", Answer.UNVERIFIABLE, why))
        unnamed = [run for run in (*naming.commit, *naming.base[:_MOST_FOUND]) if run not in said]
        findings += [self._unnamed(run, commit, others=bool(said)) for run in unnamed[:_MOST_RUNS]]
        if len(unnamed) > _MOST_RUNS:
            why = f"the records of {len(unnamed)} runs name this commit, {_MOST_RUNS} were looked at"
            findings.append(Finding("", Answer.UNVERIFIABLE, why))
        by_tree = (self._by_tree(run, tree) for run in (() if findings else naming.tree[:_MOST_FOUND]))
        findings += [each for each in by_tree if each is not None]
        return findings or [Finding("", Answer.MISSING, "no note of a run is on this commit")]

    def _naming(self, commit: str, tree: str) -> _Naming:
        """What the records that are here say of themselves. A note may have lost a run, or all of them, as in a squash
        or by a forge's button. Raises ``No`` where that would take too long."""
        found, room = _Naming([], [], []), _MOST_SEARCHED
        ours, equal = b'"commit":"%s"' % commit.encode(), b'"tree":"%s"' % tree.encode()
        began = b'"role":"base",' + ours
        for run, body in self._records.each(sorted(self._runs, reverse=True), COMMITS, _MOST_COMMITS):
            room -= len(body or b"") + _OVERHEAD
            if body is None or room < 0:
                why = f"the records here are too large to be searched for it, as from {run} on"
                raise No(Answer.UNVERIFIABLE, why)
            if began in body:
                found.base.append(run)
            elif ours in body:
                found.commit.append(run)
            elif tree and equal in body:
                found.tree.append(run)
        return found

    def _by_tree(self, run: str, tree: str) -> Finding | None:
        """None: it only began at this content, which says nothing."""
        try:
            record = self._record(run)
        except No as no:
            return Finding(run, no.answer, no.why)
        if _place(record, "", tree) != "tree-equal":
            return None
        return _stands(record, "tree-equal", "; no note names it here")

    def _unnamed(self, run: str, commit: str, *, others: bool) -> Finding:
        """One whose record names the commit while the note does not. A note that names ``others`` has lost it."""
        try:
            record = self._record(run)
        except No as no:
            return Finding(run, no.answer, f"{no.why}; its record names this commit, and the note does not")
        how = _place(record, commit, "")
        # Of runs that only began here, a note names the newest.
        if not others or commit not in record.commits or how == "base":
            return _stands(record, how, "; no note names it here")
        why = "it made this commit, and the note that names others does not say so: govrun notes fetch, or rebuild"
        return Finding(run, Answer.MISSING, why, how, record.status, record.signer.principal)

    # ---- a note -------------------------------------------------------------------------------------------------

    def _note(self, commit: str) -> str:
        tip = self._ref("refs/notes/govrun")
        name = commit.encode("ascii")
        texts = []
        try:
            for path in (name, name[:2] + b"/" + name[2:], name[:2] + b"/" + name[2:4] + b"/" + name[4:]):
                entry = self._objects.entry(tip, path) if tip else None
                if entry is not None and (body := self._objects.get(entry.id, limit=_MOST_NOTE)) is not None:
                    texts.append(body[2].decode("utf-8", "replace"))
        except GitError as error:
            raise No(Answer.UNVERIFIABLE, f"its note cannot be read: {error.what}: {error.why}") from error
        return "\n".join(texts)

    def _noted(self, run: str, lines: frozenset[str], commit: str, tree: str) -> Finding:
        """``lines``: what the note of the commit says of the run."""
        try:
            record = self._record(run)
        except No as no:
            return Finding(run, no.answer, no.why)
        how = _place(record, commit, tree)
        # Through a squash come the lines of all commits that went into it.
        near = [commit] if how in ("native", "base") else list(record.commits)
        try:
            signed = {each: frozenset(record.text(each).splitlines()) for each in near}
        except (ValueError, OverflowError):
            return Finding(run, Answer.UNVERIFIABLE, "what was signed is of another version, or no numbers")
        held = [each for each in near if signed[each] <= lines]
        if not held or frozenset().union(*(signed[each] for each in held)) != lines:
            heads = [line for line in lines if note.number(line) == 0]
            if heads and all(_RUNNING in line for line in heads):
                why = "its note was not finished: the run goes on, or govrun recover is due"
                return Finding(run, Answer.UNVERIFIABLE, why)
            return Finding(run, Answer.REFUTED, _difference(lines, list(signed.values())))
        if how == "tree-equal" and all(record.commits[each].get("tree") != tree for each in held):
            how = "carried"  # what it says is of another commit of the run
        if how == "carried" and all(each.get("role") == "base" for each in record.commits.values()):
            return _stands(record, "base", "; it made no commit, and its note came along from where it began")
        return _stands(record, how)

    # ---- a record -----------------------------------------------------------------------------------------------

    def _record(self, run: str) -> Record:
        record = self._records.verified(run, events=self._events)
        digest = hashlib.sha256(record.envelope.payload).hexdigest()
        number = self._number(record.described.get("ledger"), run, digest, record.signer.key)
        return record._replace(number=number)

    def _number(self, told: object, run: str, statement: str, key: bytes) -> str:
        """Which it is in its ledger. That the ledger is not here says nothing against the run."""
        if told is None:
            return ""  # recorded before there was one
        if not isinstance(told, dict) or not is_ulid(str(told.get("chain", ""))):
            raise No(Answer.REFUTED, "what was signed names no ledger")
        ref = ledger.ref_of(key, str(told["chain"]))
        self._places[run] = (ref, told.get("number"))
        if not self._ref(ref):
            return "its ledger is not here"
        short, wrong = ledger.lookup(self._chain(ref), told, run, statement)
        if wrong:
            raise No(Answer.UNVERIFIABLE if short else Answer.REFUTED, wrong)
        return f"number {told['number']} of its ledger"

    def _chain(self, ref: str) -> Chain:
        if ref not in self._chains:
            self._chains[ref] = Chain(self._ref(ref), self._commit)
        return self._chains[ref]

    def _commit(self, name: str) -> bytes | None:
        try:
            found = self._objects.get(name)
        except GitError:
            return None  # too large, or not what its id says: no entry
        return found[2] if found is not None and found[1] == "commit" else None

    # ---- all of them --------------------------------------------------------------------------------------------

    def everything(self, ledgers: Sequence[str]) -> Iterator[Finding]:
        """What can be said of every run that is here, and of every run that one of the ``ledgers`` (refs) names.
        Errors: as ``run``."""
        yield from (self.run(run) for run in sorted(self._runs))
        here = set(self._runs)
        for ref in sorted(ledgers):
            chain = self._chain(ref)
            numbers = chain.entries()
            for number in sorted(numbers):
                if numbers[number].run not in here:
                    why = f"number {number} of the ledger names it, and its record is not here"
                    yield Finding(numbers[number].run, Answer.UNVERIFIABLE, why)
            yield self._whole(ref, chain, len(numbers))
        for ref in sorted({ref for ref, _ in self._places.values()} - set(ledgers)):
            name = f"ledger {ref.removeprefix(ledger.LEDGERS)}"
            yield Finding(name, Answer.UNVERIFIABLE, "it is not here, and runs that are here have signed a place in it")

    def _whole(self, ref: str, chain: Chain, count: int) -> Finding:
        name = f"ledger {ref.removeprefix(ledger.LEDGERS)}"
        keys = {ledger.ref_of(each.key, ""): each.principal for each in self._trusted}
        principal = keys.get(ref.rpartition("/")[0] + "/", "")
        if chain.problem:
            return Finding(name, Answer.REFUTED, chain.problem)
        for number, entry in sorted(chain.entries().items()):
            if self._places.get(entry.run, (ref, number)) != (ref, number):
                return Finding(
                    name, Answer.REFUTED, f"number {number} names {entry.run}, which has signed another place"
                )
        if not principal:
            return Finding(name, Answer.UNVERIFIABLE, "it is of a key that nobody here trusts")
        # Each statement names the one before it; what comes after the last that is signed anybody may have added.
        signed = max(
            (number for at, number in self._places.values() if at == ref and isinstance(number, int)), default=0
        )
        last = max(chain.entries(), default=0)
        if last > signed:
            why = f"no record that is here has signed its numbers after {signed}, up to {last}"
            return Finding(name, Answer.UNVERIFIABLE, why, signer=principal)
        runs = f"{count} run{'' if count == 1 else 's'}"
        return Finding(
            name, Answer.VERIFIED, f"{runs} of {note.field(principal)}, no number is missing", signer=principal
        )


def _stands(record: Record, how: str, more: str = "") -> Finding:
    answer = Answer.CARRIED if how == "carried" else Answer.VERIFIED
    return Finding(record.run, answer, in_words(record) + more, how, record.status, record.signer.principal)


def _place(record: Record, commit: str, tree: str) -> str:
    """What the commit is to the run."""
    told = record.commits.get(commit)
    if told is not None:
        return "base" if told.get("role") == "base" else "native"
    if any(each.get("tree") == tree and each.get("role") == "commit" for each in record.commits.values()):
        return "tree-equal"
    return "carried"


def _difference(lines: frozenset[str], signed: Sequence[frozenset[str]]) -> str:
    """What ``lines`` say of a run that they may not; ``signed``: the lines of each commit that they may be of."""
    rightful = frozenset().union(*signed)
    numbers = {note.number(line) for line in lines & rightful}
    for line in sorted(lines - rightful, key=note.order):
        number = note.number(line)
        said = note.field(line.partition(" ")[2].partition(" ")[2].replace(" ", "_"))
        if number < 0:
            return f"a line of its note that has no number was not signed: {note.field(line.replace(' ', '_'))}"
        if number in numbers:
            return f"its note has a second line {number} beside the one that was signed: {said}"
        return f"line {number} of its note says {said}, which is not what was signed"
    if rightful and not lines >= (first := min(signed, key=lambda each: len(each - lines))):
        number = note.number(min(first - lines, key=note.order))
        return f"line {number} of its note says nothing, which is not what was signed"
    return "its note has lines of several of its commits, and not all of each"
