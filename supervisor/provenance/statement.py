"""The signed statement about one run: an in-toto statement v1 over its commits and trees, and over every file of its
record. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from supervisor.journal.codec import encode

KIND = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:govrun:run:v1"


def statement(
    described: Mapping[str, object], commits: Iterable[Mapping[str, object]], files: Mapping[str, bytes]
) -> bytes:
    """The bytes to sign. ``described``: what ``run.json`` says; ``commits``: what ``commits.jsonl`` says of each;
    ``files``: name in the record -> content."""
    # A run before the first commit of its repository; a statement has to be about something.
    subject = subjects(commits) or [{"name": "record", "digest": {"sha256": _digest(files["run.json"])}}]
    digests = {name: {"sha256": _digest(content)} for name, content in sorted(files.items())}
    predicate = {**described, "files": digests}
    whole: dict[str, object] = {"_type": KIND, "subject": subject, "predicateType": PREDICATE, "predicate": predicate}
    return encode(whole).encode("ascii")


def subjects(commits: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """The commits, and the trees of their contents."""
    noted = list(commits)
    found = [_subject(str(each["role"]), "gitCommit", each["commit"]) for each in noted]
    trees = dict.fromkeys(str(each["tree"]) for each in noted if each.get("tree"))
    return found + [_subject("tree", "gitTree", tree) for tree in trees]


def _subject(name: str, kind: str, value: object) -> dict[str, object]:
    return {"name": name, "digest": {kind: str(value)}}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
