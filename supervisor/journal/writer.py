"""Appending to the journal of one run.

* One ``write(2)`` per line on an ``O_APPEND`` descriptor: a crash leaves whole lines and at most one torn last one.
* Whatever goes wrong raises ``StopRun``, and every later call too: a run that is not recorded does not go on.
* The open journal holds a ``flock``; the kernel drops it with the process, so "is this run alive" needs no pid file.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from supervisor.journal import chain
from supervisor.journal.codec import VERSION, encode_line, encode_members
from supervisor.vocabulary.errors import StopRun

JOURNAL = "journal.jsonl"
CHECKPOINTS = "chain.jsonl"
# What a journal may still take after its limit, so that a flooded run can tell how it ended.
CLOSING_RESERVE = 256 << 10
_CLOSING_KINDS = frozenset({"run.end", "gap"})


class Journal:
    """One ``journal.jsonl`` (0600), created here; ``folder`` is the run's folder, ``run`` its ULID, ``limit`` in bytes.

    ``seq`` is the number of the last record (first: 1) and so their count; ``head`` the chain after it, in hex.
    Raises ``StopRun`` when the file exists already or cannot be made.
    """

    def __init__(self, folder: Path, run: str, *, limit: int = 512 << 20) -> None:
        self.run = run
        self.seq = 0
        self._start = f'{{"v":{VERSION},"run":"{run}","seq":'
        self._chain = chain.START
        self._unchained: list[bytes] = []
        self._limit = limit
        self._size = 0
        self._failed: str | None = None
        self._second = -1
        self._stamp = ""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        opened: list[int] = []
        try:
            opened.append(os.open(folder / JOURNAL, flags, 0o600))
            opened.append(os.open(folder / CHECKPOINTS, flags, 0o600))
            self._lock(opened[0])
        except OSError as error:
            for descriptor in opened:
                os.close(descriptor)
            fix = "check the state folder: space, owner, mode"
            raise StopRun("cannot open the journal", str(error), fix) from error
        self._file, self._checkpoints = opened

    @staticmethod
    def _lock(descriptor: int) -> None:
        # A reader that asks whether the run lives holds a shared lock for some microseconds.
        for _ in range(100):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.005)
            else:
                return
        raise BlockingIOError(11, "the new journal is locked by another process")

    @property
    def head(self) -> str:
        for line in self._unchained:
            self._chain = chain.step(self._chain, line[:-1])
        self._unchained.clear()
        return self._chain.hex()

    def descriptors(self) -> tuple[int, int]:
        """The open descriptors, for a child of ``fork`` that must close them."""
        return self._file, self._checkpoints

    def append(self, record: dict[str, object]) -> int:
        """Write one record, stamped with v, run, seq and time (UTC, ms). Returns its seq.

        Values may be ``bytes`` (paths, arguments). A record of more than 64 KiB is cut and says so in ``cut``.
        Raises ``StopRun`` on a short or failed write, at the limit, and on a record that is not JSON.
        """
        if self._failed is not None:
            raise StopRun("the journal failed before", self._failed)
        seq = self.seq + 1
        try:
            line = encode_line(self._head(seq), record)
        except (ValueError, TypeError, RecursionError) as error:
            raise self._fail(f"BUG: a record cannot be written as JSON: {error}") from error
        return self._append(seq, line, closing=record.get("kind") in _CLOSING_KINDS)

    def append_members(self, members: str, record: Callable[[], dict[str, object]]) -> int:
        """``append`` for the hot path: ``members`` is the record's JSON without its braces, ``record`` makes the same
        record as a dictionary, for the rare one that is too long and has to be cut."""
        if self._failed is not None:
            raise StopRun("the journal failed before", self._failed)
        seq = self.seq + 1
        line = encode_members(self._head(seq), members)
        return self.append(record()) if line is None else self._append(seq, line, closing=False)

    def _head(self, seq: int) -> str:
        return f'{self._start}{seq},"time":"{self._now()}",'

    def _append(self, seq: int, line: bytes, *, closing: bool) -> int:
        size = self._size + len(line)
        if size > self._limit and (not closing or size > self._limit + CLOSING_RESERVE):
            # Not a failure of the file: what tells the end of the run may still be written.
            raise StopRun("the journal is full", f"limit {self._limit} bytes, {self.seq} records")
        self._write(self._file, line, self._size)
        self._size = size
        self.seq = seq
        # Hashed a thousand at a time: the chain is wanted at checkpoints only.
        self._unchained.append(line)
        if seq % chain.CHECKPOINT_EVERY == 0:
            self._checkpoint()
        return seq

    def _now(self) -> str:
        now = time.time_ns()
        second, rest = divmod(now, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{rest // 1_000_000:03d}Z"

    def _write(self, descriptor: int, line: bytes, before: int | None) -> None:
        try:
            written = os.write(descriptor, line)
        except OSError as error:
            raise self._fail(str(error)) from error
        if written != len(line):
            # A full disk takes part of a line: take it back, so that the file ends with a whole record.
            if before is not None:
                try:
                    os.ftruncate(descriptor, before)
                except OSError as error:
                    raise self._fail(f"short write, and not undone: {error}") from error
            raise self._fail(f"short write ({written} of {len(line)} bytes): disk full?")

    def _checkpoint(self) -> None:
        self._write(self._checkpoints, f'{{"seq":{self.seq},"chain":"{self.head}"}}\n'.encode(), None)

    def _fail(self, why: str) -> StopRun:
        self._failed = why
        return StopRun("cannot write the journal", why, "free space in the state folder, then start again")

    def sync(self) -> None:
        """Bring the records to the disk (``fdatasync``). Raises ``StopRun``."""
        if self._failed is not None:
            raise StopRun("the journal failed before", self._failed)
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise self._fail(str(error)) from error

    def close(self) -> None:
        """Last checkpoint, sync, release. Raises ``StopRun`` when that fails; the descriptors are closed either way."""
        if self._file < 0:
            return
        try:
            if self._failed is None:
                if self.seq % chain.CHECKPOINT_EVERY or not self.seq:
                    self._checkpoint()
                self.sync()
        finally:
            os.close(self._file)
            os.close(self._checkpoints)
            self._file = self._checkpoints = -1
            self._failed = self._failed or "closed"
