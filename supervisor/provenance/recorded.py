"""The record of a run, as it lies in a repository, against what was signed of it.

Whoever can write the repository can put anything at its ref. So the signature is looked at first, each file is held
against what was signed before the next is read, and what nobody has signed is named and not read.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from supervisor.git.base import MOST_AHEAD, TREE, Entry, Objects, Silent, TooLarge, parse_tree
from supervisor.git.neutral import GitError
from supervisor.journal import chain
from supervisor.journal.merkle import Tree
from supervisor.provenance import note
from supervisor.provenance.answers import Answer, No, believed, mapping_of
from supervisor.provenance.envelope import MOST, Envelope, envelopes
from supervisor.provenance.keys import Trusted

COMMITS = "commits.jsonl"
_MOST_FILE = 64 << 20
_BUNDLE, _STATEMENT, _SEGMENTS, _EVENTS = "bundle.intoto.jsonl", "statement.json", "segments.jsonl", "events"
_MOST_TREE = 1 << 20  # bytes of one folder: 25,000 names
_MOST_LINE = 128 << 10  # a record is half of that at most, and what is taken out of it may be shorter than its mark
_MOST_SEGMENT = 400 << 20
_MOST_TOLD = 8 << 20
_MOST_FILES = 4096
_MOST_SIBLINGS = 64
_MOST_ALL = 1 << 30  # bytes of all files; a journal has half of that


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

    def text(self, commit: str) -> str:
        """The lines that a note on one of its commits has."""
        return note.render(_summary(self, self.commits[commit]))


class Records:
    """Over the ``objects`` of a repository; ``ref`` gives the id that a ref is at, or "". ``trusted`` are the keys that
    are believed."""

    def __init__(self, objects: Objects, ref: Callable[[str], str], trusted: Sequence[Trusted]) -> None:
        self._objects = objects
        self._ref = ref
        self._trusted = trusted

    def verified(self, run: str, *, events: bool = True) -> Record:
        """What was signed of a run; without ``events``, only as far as its notes go. Raises ``No``."""
        ref = note.ref_of(run)
        tip = self._ref(ref)
        if not tip:
            raise No(Answer.UNVERIFIABLE, f"its record {ref} is not here")
        try:
            return self._verified(run, tip, events=events)
        except GitError as error:
            raise No(Answer.UNVERIFIABLE, f"its record cannot be read: {error.what}: {error.why}") from error

    def _verified(self, run: str, tip: str, *, events: bool) -> Record:
        names = self._folder(tip, "")
        bundle = names.get(_BUNDLE)
        self._objects.ahead(names[name].id for name in (_BUNDLE, _STATEMENT) if name in names)
        sealed = self._content(bundle, _BUNDLE, MOST) if bundle is not None else None
        envelope, trusted = believed(sealed, self._trusted)
        if self._read(names, _STATEMENT, len(envelope.payload)) != envelope.payload:
            raise No(Answer.REFUTED, f"{_STATEMENT} is not what was signed")
        predicate = mapping_of(envelope.payload).get("predicate")
        if not isinstance(predicate, dict) or predicate.get("run") != run:
            raise No(Answer.REFUTED, "what was signed is about another run")
        _check_siblings(predicate.get("siblings"), sealed or b"")
        signed = predicate.get("files")
        if not isinstance(signed, dict):
            raise No(Answer.REFUTED, "what was signed names no files")
        folders = self._folders(names)
        names |= {f"{folder}/{name}": entry for folder, held in folders.items() for name, entry in held.items()}
        segments = {name for name in names if name.startswith(f"{_EVENTS}/")}  # segments.jsonl has their digests
        for name in sorted({*signed, *names} - segments - {*folders, _STATEMENT, _BUNDLE}):
            if name not in names:
                raise No(Answer.REFUTED, f"{note.field(name)} was signed and is not there")
            if name not in signed:
                raise No(Answer.REFUTED, f"{note.field(name)} is there and was not signed")
        wanted = sorted(signed) if events else sorted({"run.json", COMMITS} & signed.keys())
        first = [f"{_EVENTS}/{0:06d}.jsonl"] if events else []
        self._objects.ahead(names[name].id for name in (*wanted, *first) if name in names)
        files = {name: self._signed(names, name, signed[name], _MOST_FILE) for name in wanted}
        described = mapping_of(files.get("run.json", b"{}"))
        if {**described, "files": signed} != predicate:
            raise No(Answer.REFUTED, "run.json is not what was signed")
        if events:
            self._check_log(described.get("log"), files.get(_SEGMENTS, b""), names, segments)
        commits = {str(told.get("commit", "")): told for told in map(mapping_of, files.get(COMMITS, b"").splitlines())}
        return Record(run, described, commits, envelope, trusted)

    def _check_log(self, log: object, told: bytes, names: Mapping[str, Entry], segments: set[str]) -> None:
        """The events against what was signed of them: their number and the root over them."""
        if not isinstance(log, dict):
            raise No(Answer.REFUTED, "what was signed says nothing of events")
        tree, parts = Tree(), list(map(mapping_of, told.splitlines()))
        for number, part in enumerate(parts):
            limit = min(_MOST_SEGMENT, _MOST_LINE * (whole(part.get("last")) - whole(part.get("first")) + 1))
            for event in self._signed(names, f"{_EVENTS}/{number:06d}.jsonl", part, limit).split(b"\n")[:-1]:
                tree.add(chain.leaf(event))
        if len(segments) != len(parts):
            raise No(Answer.REFUTED, "there are events that were not signed")
        if log.get("events") != tree.count or log.get("root") != f"sha256:{tree.root().hex()}":
            raise No(Answer.REFUTED, f"{tree.count} events do not give the root that was signed of {log.get('events')}")

    def _signed(self, names: Mapping[str, Entry], name: str, told: object, limit: int) -> bytes:
        """A file that has the digest which was ``told`` of it. Raises ``No``."""
        if name not in names:
            raise No(Answer.REFUTED, f"{note.field(name)} was signed and is not there")
        found = self._read(names, name, limit)
        if found is None or hashlib.sha256(found).hexdigest() != _mapping(told).get("sha256"):
            where = _first_difference(found) if found is not None and name.startswith(f"{_EVENTS}/") else ""
            raise No(Answer.REFUTED, f"{note.field(name)} is not what was signed{where}")
        return found

    # ---- as it lies there ---------------------------------------------------------------------------------------

    def _read(self, names: Mapping[str, Entry], name: str, limit: int) -> bytes | None:
        """None where there is no such file, or one that is larger than what was signed can be. Errors: ``GitError``."""
        try:
            return self._content(names[name], name, limit) if name in names else None
        except TooLarge:
            return None

    def _content(self, entry: Entry, name: str, limit: int) -> bytes:
        body = self._objects.get(entry.id, limit=limit)
        if body is None:
            raise GitError("an object is missing", name, None)
        return body[2]

    def _folder(self, tip: str, name: str) -> dict[str, Entry]:
        found = self._objects.get(tip + "^{tree}", limit=_MOST_TREE)
        if found is None:
            raise GitError("an object is missing", name or tip, None)
        entries = parse_tree(found[2], len(found[0]) // 2)
        if len(entries) > _MOST_FILES:
            raise GitError("the record is too large", f"{name or 'it'} has {len(entries)} files", None)
        return {each.decode("utf-8", "backslashreplace"): entry for each, entry in entries.items()}

    def _folders(self, names: Mapping[str, Entry]) -> dict[str, dict[str, Entry]]:
        """What lies in the folders that a record has; any other one is a name that was not signed."""
        own = [name for name in (_EVENTS, "policy") if name in names and names[name].mode == TREE]
        return {name: self._folder(names[name].id, name) for name in own}

    def files(self, tip: str) -> dict[str, bytes]:
        """All files of a record, whatever they are worth. Errors: ``GitError``."""
        names = self._folder(tip, "")
        folders = self._folders(names)
        names = {name: entry for name, entry in names.items() if entry.mode != TREE}
        names |= {f"{folder}/{name}": entry for folder, held in folders.items() for name, entry in held.items()}
        found: dict[str, bytes] = {}
        room = _MOST_ALL
        for name, entry in names.items():
            found[name] = self._content(entry, name, min(room, _MOST_SEGMENT))
            room -= len(found[name])
        return found

    def each(self, runs: Sequence[str], name: str, limit: int) -> Iterator[tuple[str, bytes | None]]:
        """One file of many records, b"" where there is none, None where it is larger than ``limit``. Errors:
        ``GitError`` for a git that does not answer."""
        for first in range(0, len(runs), MOST_AHEAD):
            some = {run: self._ref(note.ref_of(run)) for run in runs[first : first + MOST_AHEAD]}
            self._objects.ahead(some.values())
            found = {run: self._entry(tip, name) for run, tip in some.items()}
            self._objects.ahead(entry.id for entry in found.values() if entry is not None)
            for run, entry in found.items():
                try:
                    yield run, self._content(entry, name, limit) if entry is not None else b""
                except TooLarge:
                    yield run, None
                except Silent:
                    raise
                except GitError:
                    yield run, b""  # an object that is not here, or is not what its id says

    def _entry(self, tip: str, name: str) -> Entry | None:
        try:
            return self._folder(tip, "").get(name)
        except Silent:
            raise
        except GitError:
            return None  # it is no record

    def unbelieved(self, run: str) -> Record | None:
        """What the record says, whoever signed it, for its text: what that is worth is for ``govrun verify`` to say.
        None where it cannot be read."""
        try:
            names = self._folder(self._ref(note.ref_of(run)), "")
            told = {name: self._read(names, name, _MOST_TOLD) or b"" for name in ("run.json", COMMITS, _BUNDLE)}
        except GitError:
            return None
        commits = {str(each.get("commit", "")): each for each in map(mapping_of, told[COMMITS].splitlines())}
        for envelope in envelopes(told[_BUNDLE]):
            if envelope.signatures:
                return Record(run, mapping_of(told["run.json"]), commits, envelope, Trusted(b"", ""))
        return None


def _check_siblings(told: object, bundle: bytes) -> None:
    """The statements beside the run's own are those that it names. Versions before had none."""
    there = {hashlib.sha256(line).hexdigest() for line in bundle.split(b"\n", _MOST_SIBLINGS)}
    for each in told if isinstance(told, list) else ():
        if not isinstance(each, dict) or each.get("sha256") not in there:
            kind = each.get("type", "-") if isinstance(each, dict) else "-"
            raise No(Answer.REFUTED, f"the statement {note.field(str(kind))} was signed with it and is not there")


def _first_difference(segment: bytes) -> str:
    """Where in the segment lines stop following each other, as far as that can be seen."""
    expected = None
    if len(segment) > _MOST_TOLD:
        return ""
    for line in segment.split(b"\n")[:-1]:
        seq = mapping_of(line).get("seq")
        if not isinstance(seq, int):
            return f": line after seq {expected - 1 if expected else '-'} is no event"
        if expected is not None and seq != expected:
            return f": seq {seq} follows {expected - 1}"
        expected = seq + 1
    return ""


def _summary(record: Record, told: Mapping[str, object]) -> note.Summary:
    described = record.described
    end, log = _mapping(described.get("end")), _mapping(described.get("log"))
    code = end.get("code")
    return note.Summary(
        run=record.run,
        status=record.status,
        agent=str(described.get("agent", "")),
        exit=code if isinstance(code, int) else None,
        seconds=whole(end.get("seconds")),
        upto=whole(told.get("upto")),
        counts=_numbers(told.get("counts")),
        base=str(described.get("base_tree", "")),
        tree=str(told.get("tree", "")),
        decisions=_numbers(told.get("decisions")),
        coverage=_numbers(described.get("coverage")),
        events=whole(log.get("events")),
        root=str(log.get("root", "")).removeprefix("sha256:"),
        gaps=whole(log.get("gaps")),
        end=str(end.get("reason", "")),
        bundle=hashlib.sha256(record.envelope.line).hexdigest(),
        signature=b64encode(record.envelope.signatures[0].value).decode(),
    )


def in_words(record: Record) -> str:
    """What there is to say of it."""
    log = _mapping(record.described.get("log"))
    gaps = whole(log.get("gaps"))
    words = f"{whole(log.get('events'))} events, signed by {note.field(record.signer.principal)}"
    words += f", {record.number}" if record.number else ""
    return words + (
        f", {gaps} of them name{'s' if gaps == 1 else ''} something that could not be observed" if gaps else ""
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _numbers(value: object) -> dict[str, int]:
    return {name: whole(number) for name, number in _mapping(value).items()}


def whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
