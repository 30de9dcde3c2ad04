"""Publishing from the journal alone: what a run that ended without a word, or whose publisher did, still owes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from supervisor.journal.reader import Reader
from supervisor.journal.store import read_meta
from supervisor.provenance.progress import claimed, is_owing, is_published, put_down
from supervisor.provenance.publisher import Ending, Publisher
from supervisor.vocabulary.errors import GovrunError


class Tally:
    """The counts of a run, as its journal tells them: an intent without an outcome is ``unknown``."""

    def __init__(self) -> None:
        self.succeeded = self.failed = self.blocked = self.attempted = self.reverts = 0
        self.decisions: dict[str, int] = {}
        self.shown: dict[str, int] = {}  # how episodes ended
        self.contracts: dict[object, bool] = {}  # whether each has passed when it was shown last
        self.seq = 0
        self._consequences: set[object] = set()  # intents that are no attempts

    def add(self, record: dict[str, object]) -> None:
        """Count one record."""
        seq, cause, outcome = record.get("seq"), record.get("cause"), record.get("outcome")
        self.seq = seq if isinstance(seq, int) else self.seq
        if record.get("invariant") and record.get("verdict"):
            name = f"{record['invariant']}<-{record.get('adr') or record.get('source') or 'govrun'}"
            self.decisions[name] = self.decisions.get(name, 0) + 1
        self._show(record)
        if record.get("phase") == "intent":
            if record.get("verdict") == "revert":
                self._consequences.add(seq)
            else:
                self.attempted += 1
        elif outcome == "reverted":
            self.reverts += 1
        elif outcome == "blocked":
            self.blocked += 1
            self.attempted += cause is None
        elif cause is not None and cause not in self._consequences:
            self.succeeded += outcome == "succeeded"
            self.failed += outcome == "failed"
        elif cause is None and outcome == "succeeded" and not _is_content(record):
            self.attempted += 1
            self.succeeded += 1

    def _show(self, record: dict[str, object]) -> None:
        kind, op = record.get("kind"), record.get("op")
        if not isinstance(op, dict):
            return
        if kind == "state" and op.get("call") == "undone":
            self.reverts += paths if isinstance(paths := op.get("paths"), int) else 0
            return
        if kind == "state" and op.get("call") == "episode":
            name = f"episodes_{op.get('outcome')}"
            self.shown[name] = self.shown.get(name, 0) + 1
        elif kind == "contract":
            self.contracts[str(op.get("id"))] = op.get("call") == "passed"

    def counts(self) -> dict[str, int]:
        """As a note has them."""
        return {
            "attempted": self.attempted, "succeeded": self.succeeded, "failed": self.failed, "blocked": self.blocked,
            "unknown": self.attempted - self.succeeded - self.failed - self.blocked, "reverts": self.reverts,
        } | self.shown | self._contracts()  # fmt: skip

    def _contracts(self) -> dict[str, int]:
        if not self.contracts:
            return {}
        return {"contracts": len(self.contracts), "contracts_passed": sum(self.contracts.values())}


def _is_content(record: dict[str, object]) -> bool:
    """What a file or a commit says was noticed: the write itself is counted where it was attempted."""
    op = record.get("op")
    return record.get("kind") == "fs.write" or (isinstance(op, dict) and "path" in op)


def crashed(folder: Path) -> Ending:
    """The end of a run that nobody put down."""
    tally = Tally()
    for record in _records(folder):
        tally.add(record)
    return Ending(counts=tally.counts(), decisions=tally.decisions, upto=tally.seq)


def _records(folder: Path) -> Iterator[dict[str, object]]:
    try:
        yield from Reader(folder)
    except OSError:
        return  # it ended before it had a journal, or that cannot be read: there is nothing to count


def complete(folder: Path) -> str:
    """Publish what the run in ``folder`` still owes its repository; "" when it owes nothing, else what was done.

    May be repeated, and killed. Raises ``GovrunError``.
    """
    meta = read_meta(folder)
    git = meta.get("git")
    if not isinstance(git, dict) or not is_owing(folder, meta):
        return ""
    with claimed(folder):
        if is_published(folder):
            return ""  # its own publisher has been at it until now
        if not (Path(str(git.get("common_dir"))) / "objects").is_dir():
            put_down(folder, {"run": folder.name, "end": "-", "ref": "", "problem": "its repository is gone"})
            return "its repository is gone: nothing can be noted there"
        return _publish(folder, meta.get("end"))


def _publish(folder: Path, end: object) -> str:
    publisher = Publisher(folder)
    try:
        tally = Tally()
        for record in _records(folder):
            tally.add(record)
            _learn(publisher, record, tally)
        told = Ending.read(end) if isinstance(end, dict) else Ending()
        told = told._replace(
            counts=told.counts or tally.counts(), decisions=tally.decisions, upto=told.upto or tally.seq
        )
        noted = publisher.finish(told)
        return f"noted on {noted} commit{'' if noted == 1 else 's'}"
    finally:
        publisher.close()


def _learn(publisher: Publisher, record: dict[str, object], tally: Tally) -> None:
    op = record.get("op")
    if not isinstance(op, dict) or not isinstance(op.get("ref"), str) or not op.get("new"):
        return
    if record.get("kind") == "external":
        publisher.made_by_others(str(op["new"]))
    elif record.get("kind") == "git.ref" and record.get("outcome") == "succeeded":
        try:
            publisher.moved(
                {
                    "ref": op["ref"], "commit": op["new"], "fetched": bool(op.get("fetched")),
                    "counts": tally.counts(), "decisions": dict(tally.decisions), "upto": tally.seq, "seconds": 0,
                }
            )  # fmt: skip
        except GovrunError as error:
            publisher.problem(f"{error.what}: {error.why}", commit=op["new"])
