"""A run as a statement of in-toto (v1) with the predicate runtime-trace (v0.1). Pure; nothing is signed."""

from __future__ import annotations

import hashlib
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Final, cast

from supervisor import __version__
from supervisor.journal.codec import bytes_of, encode, raw_of
from supervisor.journal.schema import fits
from supervisor.provenance.exporting import Event, Record, clean, event, milliseconds, op_of, some, text, words
from supervisor.provenance.ocsf import CLASSES, FILE, NETWORK, endpoint
from supervisor.provenance.statement import KIND

PREDICATE: Final = "https://in-toto.io/attestation/runtime-trace/v0.1"
MOST = 10_000  # entries of one list
_ROOM = 16 << 20  # characters of one list: ten thousand long command lines are half a gigabyte


class _Kept:
    """Different entries, as many as there is room for, and how many acts had none."""

    def __init__(self, most: int) -> None:
        self.entries: dict[bytes, Record] = {}
        self.left = 0
        self._most, self._room = most, _ROOM

    def add(self, entry: Record) -> None:
        line = encode(entry)
        key = hashlib.sha256(line.encode("ascii")).digest()
        if key in self.entries:
            return
        if len(self.entries) >= self._most or len(line) > self._room:
            self.left += 1
            return
        self._room -= len(line)
        self.entries[key] = entry


class Trace:
    """A statement about one run, act by act. Holds ``most`` different entries of each list; ``leftOut`` in the
    annotations counts the acts, and the commits, that found no room."""

    def __init__(self, run: str, host: str, most: int = MOST) -> None:
        self._run, self._host = run, host
        self._lists = {name: _Kept(most) for name in ("process", "network", "fileAccess")}
        self._commits = _Kept(most)
        self._first = self._last = ""

    def add(self, act: Record) -> None:
        """An act with its outcome, as ``supervisor.run.acts.acts`` gives them."""
        told = event(self._run, 0, act, act, self._host)
        if milliseconds(time := told.act.get("time")) is not None:
            self._first = self._first or str(time)
            self._last = str(time) if told.act.get("kind") == "run.end" else self._last
        name, entry = _traced(told)
        if entry:
            self._lists[name].add(entry)

    def commit(self, commit: str) -> None:
        """A commit that the run has made."""
        self._commits.add({"name": "commit", "digest": {"gitCommit": commit}})

    def statement(self, meta: Mapping[str, object], journal: Mapping[str, object], digest: str) -> Record:
        """``meta``: of the run. ``journal``: what is known of it, for the annotations; ``digest``: its SHA-256, the
        subject of a run that made no commit."""
        subject = [*self._commits.entries.values()]
        policy, start = text(meta.get("policy")), text(meta.get("start"))
        source = {"name": "policy", "digest": {"sha256": policy}} if len(policy) == 64 and fits(policy, "hex") else {}
        bound = cast("Record", clean(meta.get("invariants") if isinstance(meta.get("invariants"), dict) else {}))
        left = {name: each.left for name, each in self._lists.items()} | {"commits": self._commits.left}
        predicate: Record = {
            "monitor": {
                "type": "urn:govrun:monitor:v1",
                **some(configSource=source),
                "tracePolicy": {"version": __version__, "invariants": bound},
            },
            "monitoredProcess": {
                "hostID": "urn:govrun:host:" + urllib.parse.quote(raw_of(self._host) or b"unknown", safe=""),
                "type": "urn:govrun:run:v1",
                "event": f"urn:govrun:run:{self._run}",
            },
            "monitorLog": {name: [*each.entries.values()] for name, each in self._lists.items()},
            "metadata": some(buildStartedOn=_instant(start) or self._first, buildFinishedOn=self._last),
            "annotations": {"leftOut": left, "journal": dict(journal)},
        }
        return {
            "_type": KIND,
            "subject": subject or [{"name": "journal.jsonl", "digest": {"sha256": digest}}],
            "predicateType": PREDICATE,
            "predicate": predicate,
        }


def _instant(start: str) -> str:
    """``start`` of ``meta.json``, which has no fractions; empty when it is something else."""
    return start if start.endswith("Z") and milliseconds(start[:-1] + ".000Z") is not None else ""


def _traced(event: Event) -> tuple[str, Record]:
    """The list that an act belongs to, and its entry; empty where it is of none. Network entries have the names that
    v0.2 of the predicate recommends: v0.1 leaves them to the monitor."""
    kind, op, actor = text(event.act.get("kind")), op_of(event.act), event.act.get("actor")
    by: Record = actor if isinstance(actor, dict) else {}
    ended = some(verdict=text(event.act.get("verdict")), outcome=text(event.act.get("outcome")))
    class_uid = CLASSES.get(kind, (0, 0))[0]
    if kind in ("exec", "process"):
        named = some(processBinary=event.told("path"), arguments=words(op.get("argv")), call=event.told("call"))
        return "process", {"eventType": kind, **named, **some(pid=by.get("pid"), ppid=by.get("ppid")), **ended}
    if class_uid == NETWORK and (place := endpoint(event)[0]):
        named = some(protocol=event.told("transport"), invokingProcess=some(processBinary=text(by.get("exe"))))
        return "network", {"eventType": kind, **place, **named, **ended}
    if class_uid == FILE and (path := event.told("path")):
        name, _, value = (text(event.act.get("post")) or text(event.act.get("pre"))).partition(":")
        digest = {name: value} if fits(value, "hex") else {}
        uri = "file://" + urllib.parse.quote(bytes_of(path))
        notes = {"eventType": kind, **some(to=event.told("to"), how=event.told("how")), **ended}
        return "fileAccess", {"name": path, "uri": uri, **some(digest=digest), "annotations": notes}
    return "", {}


def commits_in(notes: Iterable[Mapping[str, object]]) -> Iterable[str]:
    """The commits that lines of ``notes.jsonl`` name as noted."""
    for line in notes:
        commit = line.get("commit")
        if "problem" not in line and isinstance(commit, str) and len(commit) in (40, 64) and fits(commit, "hex"):
            yield commit
