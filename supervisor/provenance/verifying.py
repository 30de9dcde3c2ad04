"""Does the record of a run stand up? Read from the repository alone, with the keys of whoever asks.

Nothing that the repository says of itself is believed: not its notes, which are text that anybody can push, but what
follows from bytes signed by a trusted key; not its configuration; not the names of its keys.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from supervisor.git.base import TREE, Objects
from supervisor.git.neutral import GitError
from supervisor.journal import chain
from supervisor.journal.ids import is_ulid
from supervisor.journal.merkle import Tree
from supervisor.provenance import ledger, note
from supervisor.provenance.answers import Answer, Finding, No, believed, mapping_of
from supervisor.provenance.envelope import Envelope, envelopes
from supervisor.provenance.keys import Trusted
from supervisor.provenance.ledger import Chain
from supervisor.provenance.statement import PREDICATE

_MOST = 256 << 20  # bytes of one file of a record
_MOST_FILES = 20_000
_MOST_RUNS = 32
_SIGNED_APART = ("statement.json", "bundle.intoto.jsonl")


class Record(NamedTuple):
    """A verified record: ``described`` is ``run.json``, ``commits`` by id, ``number`` its place in the ledger."""

    run: str
    described: Mapping[str, object]
    commits: Mapping[str, Mapping[str, object]]
    envelope: Envelope
    signer: Trusted
    number: str = ""

    @property
    def status(self) -> str:
        end = self.described.get("end")
        return str(end.get("status", "UNKNOWN")) if isinstance(end, dict) else "UNKNOWN"


class Verifier:
    """Over the ``objects`` of a repository; ``ref`` gives the id that a ref is at, or "". ``trusted`` are the keys that
    are believed; ``runs`` those whose records are there, to be searched where no note names one."""

    def __init__(
        self, objects: Objects, ref: Callable[[str], str], trusted: Sequence[Trusted], runs: Sequence[str] = ()
    ) -> None:
        self._objects = objects
        self._ref = ref
        self._trusted = trusted
        self._runs = runs
        self._chains: dict[str, Chain] = {}
        self._places: dict[str, tuple[str, object]] = {}  # of each run that was looked at, as it was signed

    def run(self, run: str) -> Finding:
        """What can be said of a run by its record. Errors: ``GitError`` for objects that cannot be read in time."""
        try:
            record = self._record(run)
        except No as no:
            return Finding(run, no.answer, no.why)
        return Finding(run, Answer.VERIFIED, _told(record), "", record.status, record.signer.principal)

    def commit(self, commit: str, tree: str) -> list[Finding]:
        """What can be said of the runs that the note of a commit names. Errors: as ``run``."""
        text = self._note(commit)
        found = note.parse(text)
        if not found:
            by_tree = [self._by_tree(run, tree) for run in self._with(tree)]
            return by_tree or [Finding("", Answer.MISSING, "no note of a run is on this commit")]
        findings = [self._noted(run, lines, commit, tree) for run, lines in list(found.items())[:_MOST_RUNS]]
        if len(found) > _MOST_RUNS:
            why = f"the note names {len(found)} runs, {_MOST_RUNS} were looked at"
            findings.append(Finding("", Answer.UNVERIFIABLE, why))
        return findings

    def _with(self, tree: str) -> list[str]:
        """The newest runs that say they made a commit with this content: a squash and a forge's button lose notes."""
        wanted = b'"tree":"%s"' % tree.encode()
        found: list[str] = []
        for run in sorted(self._runs, reverse=True) if tree else ():
            entry = self._objects.entry(self._ref(note.ref_of(run)), b"commits.jsonl")
            body = self._objects.get(entry.id, limit=_MOST) if entry is not None else None
            if body is not None and wanted in body[2]:
                found.append(run)
                if len(found) == _MOST_RUNS:
                    break
        return found

    def _by_tree(self, run: str, tree: str) -> Finding:
        try:
            record = self._record(run)
            how, answer = _place(record, "", tree)
        except No as no:
            return Finding(run, no.answer, no.why)
        if answer is not Answer.VERIFIED:
            return Finding(run, Answer.MISSING, "it began at this content, and made no commit with it")
        return Finding(
            run, answer, f"{_told(record)}; no note names it here", how, record.status, record.signer.principal
        )

    # ---- a note -------------------------------------------------------------------------------------------------

    def _note(self, commit: str) -> str:
        tip = self._ref("refs/notes/govrun")
        name = commit.encode("ascii")
        texts = []
        for path in (name, name[:2] + b"/" + name[2:], name[:2] + b"/" + name[2:4] + b"/" + name[4:]) if tip else ():
            entry = self._objects.entry(tip, path)
            if entry is not None and (body := self._objects.get(entry.id, limit=1 << 20)) is not None:
                texts.append(body[2].decode("utf-8", "replace"))
        return "\n".join(texts)

    def _noted(self, run: str, lines: Mapping[int, str], commit: str, tree: str) -> Finding:
        try:
            record = self._record(run)
            how, answer = _place(record, commit, tree)
            wanted = _rendered(record, commit, how, tree)
            for text in wanted:
                if note.parse(text).get(run) == lines:
                    return Finding(run, answer, _told(record), how, record.status, record.signer.principal)
            if lines.get(0, "").startswith(f"{note.FORMAT} RUNNING"):
                raise No(Answer.UNVERIFIABLE, "its note was not finished: the run goes on, or govrun recover is due")
            raise No(Answer.REFUTED, _difference(lines, wanted, run))
        except No as no:
            return Finding(run, no.answer, no.why)

    # ---- a record -----------------------------------------------------------------------------------------------

    def _record(self, run: str) -> Record:
        ref = note.ref_of(run)
        tip = self._ref(ref)
        if not tip:
            raise No(Answer.UNVERIFIABLE, f"its record {ref} is not here")
        try:
            files = self.files(tip)
        except GitError as error:
            raise No(Answer.UNVERIFIABLE, f"its record cannot be read: {error.what}: {error.why}") from error
        envelope, trusted = believed(files.get("bundle.intoto.jsonl"), self._trusted)
        if files.get("statement.json") != envelope.payload:
            raise No(Answer.REFUTED, "statement.json is not what was signed")
        statement = mapping_of(envelope.payload)
        predicate = statement.get("predicate")
        if not isinstance(predicate, dict) or predicate.get("run") != run:
            raise No(Answer.REFUTED, "what was signed is about another run")
        _check_files(predicate.get("files"), files)
        described = mapping_of(files.get("run.json", b"{}"))
        if {**described, "files": predicate.get("files")} != predicate:
            raise No(Answer.REFUTED, "run.json is not what was signed")
        _check_log(described.get("log"), files)
        digest = hashlib.sha256(envelope.payload).hexdigest()
        number = self._number(described.get("ledger"), run, digest, trusted.key)
        return Record(run, described, _commits(files.get("commits.jsonl", b"")), envelope, trusted, number)

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
        runs = f"{count} run{'' if count == 1 else 's'}"
        return Finding(
            name, Answer.VERIFIED, f"{runs} of {note.field(principal)}, no number is missing", signer=principal
        )

    def files(self, tip: str) -> dict[str, bytes]:
        """The files of a record. Errors: ``GitError``."""
        found: dict[str, bytes] = {}
        waiting = [("", tip)]
        while waiting:
            folder, name = waiting.pop()
            entries = self._objects.tree(name)
            if entries is None:
                raise GitError("an object is missing", name, None)
            for each, entry in entries.items():
                path = folder + each.decode("utf-8", "replace")
                if entry.mode == TREE and path.count("/") < 2:
                    waiting.append((path + "/", entry.id))
                    continue
                body = self._objects.get(entry.id, limit=_MOST)
                if body is None:
                    raise GitError("an object is missing", path, None)
                found[path] = body[2]
                if len(found) > _MOST_FILES:
                    raise GitError("the record is too large", f"more than {_MOST_FILES} files", None)
        return found


def texts_of(objects: Objects, tip: str, run: str) -> Iterator[tuple[str, str]]:
    """(commit, the lines of its note) as the record at ``tip`` has them, whoever signed it; nothing where it cannot be
    read. What they are worth is for ``govrun verify`` to say."""
    verifier = Verifier(objects, lambda _: tip, ())
    try:
        files = verifier.files(tip)
    except GitError:
        return
    for envelope in envelopes(files.get("bundle.intoto.jsonl", b"")):
        if envelope.signatures and mapping_of(envelope.payload).get("predicateType") == PREDICATE:
            described, commits = mapping_of(files.get("run.json", b"")), _commits(files.get("commits.jsonl", b""))
            record = Record(run, described, commits, envelope, Trusted(b"", ""))
            yield from ((commit, note.render(_summary(record, told))) for commit, told in commits.items())
            return


def _check_files(signed: object, files: Mapping[str, bytes]) -> None:
    if not isinstance(signed, dict):
        raise No(Answer.REFUTED, "what was signed names no files")
    segments = {name for name in files if name.startswith("events/")}  # segments.jsonl has their digests
    for name in sorted({*signed, *files} - segments - {*_SIGNED_APART}):
        told = signed.get(name)
        digest = told.get("sha256") if isinstance(told, dict) else None
        if name not in files:
            raise No(Answer.REFUTED, f"{note.field(name)} was signed and is not there")
        if digest is None:
            raise No(Answer.REFUTED, f"{note.field(name)} is there and was not signed")
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise No(Answer.REFUTED, f"{note.field(name)} is not what was signed")


def _check_log(log: object, files: Mapping[str, bytes]) -> None:
    """The events against what was signed of them: their number and the root over them."""
    if not isinstance(log, dict):
        raise No(Answer.REFUTED, "what was signed says nothing of events")
    tree = Tree()
    for number, line in enumerate(files.get("segments.jsonl", b"").splitlines()):
        name = f"events/{number:06d}.jsonl"
        if name not in files:
            raise No(Answer.REFUTED, f"{name} was signed and is not there")
        if hashlib.sha256(files[name]).hexdigest() != mapping_of(line).get("sha256"):
            raise No(Answer.REFUTED, f"{name} is not what was signed{_first_difference(files[name])}")
        for event in files[name].split(b"\n")[:-1]:
            tree.add(chain.leaf(event))
    named = len(files.get("segments.jsonl", b"").splitlines())
    if sum(name.startswith("events/") for name in files) != named:
        raise No(Answer.REFUTED, "there are events that were not signed")
    if log.get("events") != tree.count or log.get("root") != f"sha256:{tree.root().hex()}":
        raise No(Answer.REFUTED, f"{tree.count} events do not give the root that was signed of {log.get('events')}")


def _first_difference(segment: bytes) -> str:
    """Where in the segment lines stop following each other, as far as that can be seen."""
    expected = None
    for line in segment.split(b"\n")[:-1]:
        seq = mapping_of(line).get("seq")
        if not isinstance(seq, int):
            return f": line after seq {expected - 1 if expected else '-'} is no event"
        if expected is not None and seq != expected:
            return f": seq {seq} follows {expected - 1}"
        expected = seq + 1
    return ""


def _commits(raw: bytes) -> dict[str, Mapping[str, object]]:
    return {str(told.get("commit", "")): told for told in map(mapping_of, raw.splitlines())}


def _place(record: Record, commit: str, tree: str) -> tuple[str, Answer]:
    told = record.commits.get(commit)
    if told is not None:
        return ("base" if told.get("role") == "base" else "native"), Answer.VERIFIED
    if any(each.get("tree") == tree and each.get("role") == "commit" for each in record.commits.values()):
        return "tree-equal", Answer.VERIFIED
    return "carried", Answer.CARRIED


def _rendered(record: Record, commit: str, how: str, tree: str) -> list[str]:
    """What the note may say: of this commit, of one with this content, or of any one whose note was carried along."""
    if how in ("native", "base"):
        chosen: Iterable[Mapping[str, object]] = [record.commits[commit]]
    elif how == "tree-equal":
        chosen = [each for each in record.commits.values() if each.get("tree") == tree]
    else:
        chosen = record.commits.values()
    return [note.render(_summary(record, each)) for each in chosen]


def _summary(record: Record, told: Mapping[str, object]) -> note.Summary:
    described = record.described
    end, log = _mapping(described.get("end")), _mapping(described.get("log"))
    code = end.get("code")
    return note.Summary(
        run=record.run,
        status=record.status,
        agent=str(described.get("agent", "")),
        exit=code if isinstance(code, int) else None,
        seconds=_whole(end.get("seconds")),
        upto=_whole(told.get("upto")),
        counts=_numbers(told.get("counts")),
        base=str(described.get("base_tree", "")),
        tree=str(told.get("tree", "")),
        decisions=_numbers(told.get("decisions")),
        coverage=_numbers(described.get("coverage")),
        events=_whole(log.get("events")),
        root=str(log.get("root", "")).removeprefix("sha256:"),
        gaps=_whole(log.get("gaps")),
        end=str(end.get("reason", "")),
        bundle=hashlib.sha256(record.envelope.line).hexdigest(),
        signature=b64encode(record.envelope.signatures[0].value).decode(),
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _numbers(value: object) -> dict[str, int]:
    return {name: _whole(number) for name, number in _mapping(value).items()}


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _difference(lines: Mapping[int, str], wanted: Sequence[str], run: str) -> str:
    expected = note.parse(wanted[0]).get(run, {}) if wanted else {}
    number = next((n for n in sorted({*lines, *expected}) if lines.get(n) != expected.get(n)), 0)
    said = note.field(lines.get(number, "nothing").replace(" ", "_"))
    return f"line {number} of its note says {said}, which is not what was signed"


def _told(record: Record) -> str:
    log = _mapping(record.described.get("log"))
    gaps = _whole(log.get("gaps"))
    told = f"{_whole(log.get('events'))} events, signed by {note.field(record.signer.principal)}"
    told += f", {record.number}" if record.number else ""
    return told + (
        f", {gaps} of them name{'s' if gaps == 1 else ''} something that could not be observed" if gaps else ""
    )
