"""The states that a run's tree went through: ``states.jsonl`` in the run's folder, contents in ``frames`` beside it.

One line per path, before the run first changes it: ``{"before": version, "inode": [dev, ino, nlink], "seq": N}``; and
one per step: ``{"step": N, "since": A, "upto": B, "changes": [version, …]}``, which says what had become of paths by
record ``upto`` of the journal. The state after a step is that before it with its changes, so there is nothing between
two states that is told nowhere. ``unkept`` beside a version: why its content is not in the frames.

A line is written with one call, so a kill leaves at most a torn last one, which reading passes over and opening drops.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from supervisor.trees import frames
from supervisor.trees.records import described, encode, of_type, version_of
from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import ABSENT, Version

STATES = "states.jsonl"
_MOST = 1 << 30  # bytes of a file that is read


class Kept(NamedTuple):
    """What lay at a path. ``inode``: (device, number, links) of what was kept, or nothing."""

    version: Version
    unkept: str = ""
    inode: tuple[int, int, int] | None = None

    def same_as(self, other: Kept) -> bool:
        """Whether both say the same, but for times and for places in the store. A file without a digest is known by its
        size and time."""
        return self._said() == other._said()

    def _said(self) -> tuple[object, ...]:
        version = self.version
        by_size = (version.size, version.mtime_ns) if not version.sha1 and version.kind is Kind.FILE else ()
        # What a link is worth lies in its text: its mode means nothing (symlink(7)).
        mode = version.mode if version.kind is not Kind.LINK else 0
        return version.kind, mode, version.uid, version.gid, version.xattrs, version.text, version.sha1, by_size


class Step(NamedTuple):
    """``changes`` by path, in the order in which they were found; ``since`` and ``upto``: records of the journal, both
    included, in which they were made. ``why``: other than by the run's own acts (``crash``)."""

    number: int
    since: int
    upto: int
    changes: Mapping[bytes, Kept]
    why: str = ""


class States(NamedTuple):
    """All that is told of a run: ``before`` by path, and the steps in their order."""

    before: Mapping[bytes, Kept]
    steps: tuple[Step, ...]

    def at(self, seq: int | None) -> dict[bytes, Kept]:
        """What lay at each touched path once record ``seq`` had been acted upon; None: at the end."""
        found = dict(self.before)
        for step in self.steps:
            if seq is not None and step.upto > seq:
                break
            found.update(step.changes)
        return found


class StateLog:
    """Writes the file in ``folder``, over what an earlier process left there. Raises ``StopRun``."""

    def __init__(self, folder: Path) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(folder / STATES, flags, 0o600)
            _drop_torn(self._fd)
        except OSError as error:
            raise StopRun("cannot open the record of states", str(error), "check the state folder") from error

    def before(self, path: bytes, kept: Kept, seq: int) -> None:
        """What lay at ``path`` until now."""
        frames.write(self._fd, encode({"before": _record(path, kept), "seq": seq}), b"", None)

    def step(self, step: Step) -> None:
        """What has become of some paths."""
        changes = [_record(path, kept) for path, kept in step.changes.items()]
        record: dict[str, object] = {"step": step.number, "since": step.since, "upto": step.upto, "changes": changes}
        if step.why:
            record["why"] = step.why
        frames.write(self._fd, encode(record), b"", None)

    def close(self) -> None:
        """Release the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def read_states(folder: Path) -> States:
    """What ``StateLog`` wrote in ``folder``; nothing where there is no such file. Raises ``StopRun`` when it cannot be
    understood: what it says is put into the tree."""
    before: dict[bytes, Kept] = {}
    steps: list[Step] = []
    try:
        with open(os.open(folder / STATES, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
            if os.fstat(file.fileno()).st_size > _MOST:
                raise ValueError(f"it is larger than {_MOST} bytes")
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # torn by a kill: nothing happened after it
                _take(json.loads(line), before, steps, number)
    except FileNotFoundError:
        return States({}, ())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StopRun("the record of states cannot be read", str(error), f"look at {STATES} of this run") from error
    return States(before, tuple(steps))


def _take(record: Mapping[str, Any], before: dict[bytes, Kept], steps: list[Step], number: int) -> None:
    if "before" in record:
        path, kept = _kept(record["before"])
        before.setdefault(path, kept)
        return
    why = record.get("why", "")
    of_type(int, record["step"], record["since"], record["upto"])
    of_type(str, why)
    if record["step"] != len(steps) + 1:
        raise ValueError(f"line {number}: step {record['step']} follows step {len(steps)}")
    changes = dict(_kept(each) for each in record["changes"])
    steps.append(Step(record["step"], record["since"], record["upto"], changes, why))


def _record(path: bytes, kept: Kept) -> dict[str, object]:
    record = described(path, kept.version)
    if kept.unkept:
        record["unkept"] = kept.unkept
    if kept.inode is not None:
        record["inode"] = kept.inode
    return record


def _kept(record: Mapping[str, Any]) -> tuple[bytes, Kept]:
    path, version = version_of(record)
    inode, unkept = record.get("inode"), record.get("unkept", "")
    of_type(str, unkept)
    if inode is None:
        return path, Kept(version, unkept)
    device, number, links = inode
    of_type(int, device, number, links)
    return path, Kept(version, unkept, (device, number, links))


def _drop_torn(fd: int) -> None:
    """A line without an end is no line, and the next would be glued to it."""
    end = os.fstat(fd).st_size
    at = end
    while at > 0:
        piece = os.pread(fd, min(at, 1 << 16), max(0, at - (1 << 16)))
        found = piece.rfind(b"\n")
        if found >= 0:
            at = max(0, at - (1 << 16)) + found + 1
            break
        at -= len(piece)
    if at < end:
        os.ftruncate(fd, at)


NOTHING = Kept(ABSENT)

__all__ = ["NOTHING", "STATES", "Kept", "StateLog", "States", "Step", "read_states"]
