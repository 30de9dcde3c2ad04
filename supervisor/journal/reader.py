"""Reading a journal that may be live, torn, tampered with, or not a journal at all. Never raises on content."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from supervisor.journal import chain
from supervisor.journal.codec import MAX_LINE, decode
from supervisor.journal.schema import current
from supervisor.journal.writer import CHECKPOINTS, JOURNAL

MAX_PROBLEMS = 20
_READ = MAX_LINE + 1


class Problem(NamedTuple):
    """``line`` counts from 1; 0 speaks of the whole file."""

    line: int
    text: str


class Report(NamedTuple):
    """What a full read found: ``records`` lines with a newline, the chain over them, whether the last line is torn."""

    records: int
    head: str
    torn: bool
    problems: tuple[Problem, ...]

    @property
    def intact(self) -> bool:
        """True when every line, the order and all checkpoints agree. A torn last line alone is a crash."""
        return not self.problems


class Reader:
    """Iterate the records of the run in ``folder``; afterwards ``report`` holds. Other lines are skipped and reported.
    Records of earlier versions come as ones of this version.

    ``length`` is that of the line the last record came from, in bytes. Raises ``OSError`` from iteration when the
    journal cannot be opened or read.
    """

    def __init__(self, folder: Path, *, run: str | None = None, end: tuple[int, str] | None = None) -> None:
        """``run``: the ULID every record must carry. ``end``: (seq, chain) known from elsewhere (``meta.json``)."""
        self.folder = folder
        self.length = 0
        self._run = run
        self._end = end
        self._problems: list[Problem] = []
        self._count = 0
        self._chain = chain.START
        self._torn = False

    @property
    def report(self) -> Report:
        """Complete only after the iteration ended."""
        return Report(self._count, self._chain.hex(), self._torn, tuple(self._problems))

    def _problem(self, text: str, line: int = 0) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(line, text))

    def __iter__(self) -> Iterator[dict[str, object]]:
        expected = self._read_checkpoints()
        if self._end is not None:
            expected.setdefault(self._end[0], set()).add(self._end[1])
        with _open(self.folder / JOURNAL) as file:
            for line in self._lines(file):
                self._count += 1
                self.length = len(line)
                self._chain = chain.step(self._chain, line)
                if any(known != self._chain.hex() for known in expected.pop(self._count, ())):
                    self._problem("the chain does not match the checkpoint", self._count)
                record = self._parse(line)
                if record is not None:
                    yield record
        for seq in sorted(expected):
            if seq:
                self._problem(f"a checkpoint names record {seq}, the journal ends at {self._count}")

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        while line := file.readline(_READ):
            if line.endswith(b"\n"):
                yield line[:-1]
                continue
            if len(line) < _READ:
                self._torn = True
                return
            self._problem(f"longer than {MAX_LINE} bytes, not read further", self._count + 1)
            return

    def _parse(self, line: bytes) -> dict[str, object] | None:
        try:
            record = decode(line)
        except ValueError as error:
            self._problem(f"not a record: {error}", self._count)
            return None
        if record.get("seq") != self._count:
            self._problem(f"seq {record.get('seq')!r:.40} where {self._count} belongs", self._count)
        if self._run is not None and record.get("run") != self._run:
            self._problem("belongs to another run", self._count)
        return current(record)

    def _read_checkpoints(self) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        try:
            with _open(self.folder / CHECKPOINTS) as file:
                for number, line in enumerate(iter(lambda: file.readline(_READ), b""), 1):
                    if not line.endswith(b"\n"):
                        break  # torn by a crash
                    try:
                        value = decode(line)
                        found.setdefault(_natural(value.get("seq")), set()).add(str(value.get("chain")))
                    except ValueError as error:
                        self._problem(f"{CHECKPOINTS}: {error}", number)
        except OSError as error:
            self._problem(f"{CHECKPOINTS}: {error.strerror}")
        return found


def raw_lines(folder: Path) -> Iterator[bytes]:
    """Every line of the journal as written, without its newline; a torn last one, and what follows an overlong one, is
    left out. Raises ``OSError``."""
    with _open(folder / JOURNAL) as file:
        while (line := file.readline(_READ)).endswith(b"\n"):
            yield line[:-1]


def _natural(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a checkpoint needs a seq")
    return value


def _open(path: Path) -> BinaryIO:
    # O_NONBLOCK: a FIFO put in the file's place must not hang the reader; then only a regular file is read.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if os.fstat(descriptor).st_mode & 0o170000 != 0o100000:
        os.close(descriptor)
        raise OSError(22, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb", buffering=1 << 20)


def is_live(folder: Path) -> bool:
    """True while some process holds the journal open for writing. False when there is none, or it cannot be read."""
    try:
        with _open(folder / JOURNAL) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
    except OSError:
        return False
