"""One act of a run with its proof: readable and verifiable without the repository that it was taken from.

A packet holds the published lines of the act (its intent, its outcome), for each the hashes that lead to the signed
root, the texts behind the verdict (profile, decision record) and the envelope of the statement. About 5 kB.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from supervisor.journal import chain
from supervisor.journal.merkle import path, root_of
from supervisor.provenance import note
from supervisor.provenance.answers import Answer, Finding, No, believed, is_of_a_run, mapping_of
from supervisor.provenance.envelope import envelopes
from supervisor.provenance.keys import Trusted

KIND = "govrun.packet/1"
_POLICY = "policy/"
_SHA = re.compile(r"[0-9a-f]{64}")


class Event(NamedTuple):
    """``line`` as it was published, ``described`` what it says."""

    line: bytes
    described: Mapping[str, object]


def act_of(files: Mapping[str, bytes], seq: int) -> Mapping[int, Mapping[str, object]]:
    """The records of the act that record ``seq`` belongs to, by index: what was attempted, and what came of it.
    ``files``: those of the run's record. Raises ``LookupError`` where there is no such record."""
    lines = _lines(files)
    if not 1 <= seq <= len(lines):  # seq counts from 1, without gaps
        raise LookupError(f"it has {len(lines)} records")
    cause = mapping_of(lines[seq - 1]).get("cause")
    first = cause if isinstance(cause, int) and 1 <= cause <= len(lines) else seq
    mark = b'"cause":%d' % first
    follow = {at: mapping_of(line) for at, line in enumerate(lines) if mark in line}
    return {first - 1: mapping_of(lines[first - 1])} | {
        n: each for n, each in follow.items() if each.get("cause") == first
    }


def make(
    files: Mapping[str, bytes], wanted: Iterable[int], decision: tuple[str, bytes] | None = None
) -> dict[str, object]:
    """The packet of the records at those indices. ``decision``: git object id and text of what one of them names."""
    lines = _lines(files)
    leaves = [chain.leaf(line) for line in lines]
    policy = {name: files[name] for name in sorted(files) if name.startswith(_POLICY)}
    texts = [{"name": name, "text": _text(data)} for name, data in policy.items()]
    if decision is not None:
        texts.append({"name": "adr", "blob": decision[0], "text": _text(decision[1])})
    return {
        "kind": KIND,
        "events": [
            {"line": _text(lines[at]), "index": at, "path": [each.hex() for each in path(leaves, at)]} for at in wanted
        ],
        "size": len(lines),
        "texts": texts,
        "bundle": _text(_envelope(files.get("bundle.intoto.jsonl", b""))),
    }


def _envelope(bundle: bytes) -> bytes:
    """That of the run's statement, without those beside it; all of it where there is none."""
    return next((each.line + b"\n" for each in envelopes(bundle) if is_of_a_run(each.payload)), bundle)


def _lines(files: Mapping[str, bytes]) -> list[bytes]:
    return [line for name in sorted(files) if name.startswith("events/") for line in files[name].split(b"\n")[:-1]]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _raw(told: object) -> bytes:
    try:
        return told.encode("utf-8", "surrogateescape") if isinstance(told, str) else b""
    except UnicodeEncodeError:
        return b""  # no text of ours: then it is not what was signed


def verify(packet: Mapping[str, object], trusted: Sequence[Trusted]) -> tuple[Finding, list[Event]]:
    """What can be said of it, and its records; none where it does not stand up."""
    try:
        run, status, who, events = _verified(packet, trusted)
    except No as no:
        return Finding("", no.answer, no.why), []
    seqs = ", ".join(str(each.described.get("seq")) for each in events)
    why = f"record{'' if len(events) == 1 else 's'} {seqs}, signed by {note.field(who.principal)}"
    return Finding(run, Answer.VERIFIED, why, "", status, who.principal), events


def _verified(packet: Mapping[str, object], trusted: Sequence[Trusted]) -> tuple[str, str, Trusted, list[Event]]:
    if packet.get("kind") != KIND:
        raise No(Answer.UNVERIFIABLE, f"it is no {KIND}")
    envelope, who = believed(_raw(packet.get("bundle")), trusted)
    predicate = _mapping(mapping_of(envelope.payload).get("predicate"))
    run, log, end = str(predicate.get("run", "")), _mapping(predicate.get("log")), _mapping(predicate.get("end"))
    size = log.get("events")
    if size != packet.get("size") or not isinstance(size, int):
        raise No(Answer.REFUTED, f"{size} events were signed, not {note.field(str(packet.get('size')))}")
    told = packet.get("events")
    events = [_event(each, size, str(log.get("root", ""))) for each in told] if isinstance(told, list) else []
    if not events:
        raise No(Answer.UNVERIFIABLE, "it has no records")
    if any(each.described.get("run") != run for each in events):
        raise No(Answer.REFUTED, "what was signed is about another run")
    texts = packet.get("texts")
    _check_texts(texts if isinstance(texts, list) else [], _mapping(predicate.get("files")), events)
    return run, str(end.get("status", "UNKNOWN")), who, events


def _event(told: object, size: int, root: str) -> Event:
    each = _mapping(told)
    line, index, hashes = _raw(each.get("line")), each.get("index"), each.get("path")
    if not isinstance(index, int) or not isinstance(hashes, list) or not all(_is_hash(one) for one in hashes):
        raise No(Answer.UNVERIFIABLE, "a record has no proof")
    found = root_of(chain.leaf(line), index, size, [bytes.fromhex(one) for one in hashes])
    described = mapping_of(line)
    if found is None or f"sha256:{found.hex()}" != root:
        raise No(Answer.REFUTED, f"record {note.field(str(described.get('seq')))} is not among those that were signed")
    if described.get("seq") != index + 1:
        raise No(Answer.REFUTED, f"record {note.field(str(described.get('seq')))} is not at its place")
    return Event(line, described)


def _is_hash(told: object) -> bool:
    return isinstance(told, str) and _SHA.fullmatch(told) is not None


def _check_texts(texts: Iterable[object], signed: Mapping[str, object], events: Sequence[Event]) -> None:
    """Policies are signed by digest; a decision is named by a record, with the id that git gives its text."""
    blobs = {str(each.described["adr_blob"]) for each in events if each.described.get("adr_blob")}
    for told in map(_mapping, texts):
        name, text = str(told.get("name", "")), _raw(told.get("text"))
        if name == "adr":
            stands = told.get("blob") in blobs and told.get("blob") in _blob_ids(text)
        else:
            digest = _mapping(signed.get(name)).get("sha256")
            stands = name.startswith(_POLICY) and digest == hashlib.sha256(text).hexdigest()
        if not stands:
            raise No(Answer.REFUTED, f"the text of {note.field(name)} is not the one that was signed")


def _blob_ids(text: bytes) -> tuple[str, str]:
    """As git names it, by SHA-1 and by SHA-256 (gitformat-pack(5), "blob LENGTH NUL")."""
    whole = b"blob %d\0%s" % (len(text), text)
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest(), hashlib.sha256(whole).hexdigest()


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
