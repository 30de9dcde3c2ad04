"""Execs followed to their stop: seize, let the kernel execute, compare what is really there, let go or kill.

Never waits for one process: a failing execve gives no stop (it is noticed at the thread's next call), a stop arrives
on the thread group's id whichever thread executed, and job control stops must be left standing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import NamedTuple

from supervisor.kernel import ptrace
from supervisor.surfaces.execs import Judged, verify
from supervisor.vocabulary.events import ExecEvent

_GROUP_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


class Started(NamedTuple):
    """An exec that was let run: who asked (thread and thread group), what was judged, the intent's seq."""

    tid: int
    tgid: int
    judged: Judged
    seq: int


class Tracer:
    """``arrived`` is called with the process id, what was started and the event as it came true; it says whether the
    image may run. ``failed`` is called for an exec that did not happen."""

    def __init__(
        self, arrived: Callable[[int, Started, ExecEvent | None], bool], failed: Callable[[Started], None]
    ) -> None:
        self._arrived = arrived
        self._failed = failed
        self._pending: dict[int, Started] = {}
        self._seized: dict[int, int] = {}
        self._leaving: set[int] = set()

    def start(self, started: Started) -> None:
        """Follow the exec of a thread that waits in its call. OSError: it cannot be traced (EPERM: it is already)."""
        tid = started.tid
        if tid in self._pending:
            self._failed(self._pending.pop(tid))  # its last one failed, and this is the next try
        if tid not in self._seized:
            ptrace.seize(tid)
            self._seized[tid] = started.tgid
        self._leaving.discard(tid)
        self._pending[tid] = started

    def is_free(self, tid: int, tgid: int) -> bool:
        """Whether an exec of ``tid`` may be followed now: no other thread of its group is.

        PTRACE_SEIZE waits for a lock of the group that an executing thread holds until its siblings are gone, and a
        traced sibling is gone only once its tracer reaped it: seizing a second thread would wait for ourselves. The
        others are asked to stop, which shows whether their exec failed.
        """
        others = [other for other, group in self._seized.items() if group == tgid and other != tid]
        for other in others:
            if other not in self._leaving:
                self._leaving.add(other)
                try:
                    ptrace.interrupt(other)
                except ProcessLookupError:
                    self.gone(other)
        return not others

    def followed(self) -> set[int]:
        """The ids under which the kernel may show what became of the seized threads: after an exec, the leader's."""
        return {*self._seized, *self._seized.values()}

    def moved_on(self, tid: int) -> None:
        """A seized thread makes another call: its exec failed. Let it go as soon as it can be stopped."""
        if tid not in self._seized or tid in self._leaving:
            return
        if (started := self._pending.pop(tid, None)) is not None:
            self._failed(started)
        self._leaving.add(tid)
        try:
            ptrace.interrupt(tid)
        except ProcessLookupError:
            self._forget(tid)

    def changed(self, pid: int, status: int) -> bool:
        """A wait status of ``pid``. True when it was a tracee's stop and is dealt with, False when the process ended
        or is not traced."""
        if not os.WIFSTOPPED(status):
            self._forget(pid)
            return False
        stop, event = os.WSTOPSIG(status), status >> 16
        if event == ptrace.EVENT_EXEC:
            self._at_exec(pid)
            return True
        if pid not in self._seized:
            self._stray(pid, stop)
            return False
        try:
            if event == ptrace.EVENT_STOP:
                self._stopped(pid, stop)
            elif pid in self._leaving:
                ptrace.detach(pid, stop)
                self.gone(pid)
            else:
                ptrace.resume(pid, stop)
        except ProcessLookupError:
            self._forget(pid)
        return True

    @staticmethod
    def _stray(pid: int, stop: int) -> None:
        """It asked to be traced by a parent that ended before the kernel had looked, so that it is ours now: nobody
        would ever let it go on."""
        try:
            ptrace.detach(pid, 0 if stop == signal.SIGTRAP else stop)
        except ProcessLookupError:
            return

    def _stopped(self, pid: int, stop: int) -> None:
        if pid in self._leaving:
            if (started := self._pending.pop(pid, None)) is not None:
                self._failed(started)  # it came back from its exec
            # Detaching from a group stop leaves it standing when the stop signal is passed on.
            ptrace.detach(pid, stop if stop in _GROUP_STOPS else 0)
            self._forget(pid)
        elif stop in _GROUP_STOPS:
            ptrace.listen(pid)
        else:
            ptrace.resume(pid, 0)

    def _at_exec(self, pid: int) -> None:
        tid = pid if pid in self._pending else self._former(pid)
        started = self._pending.pop(tid, None)
        self._forget(tid)
        self._forget(pid)
        allowed = False
        if started is not None:
            try:
                found = verify(started.judged, pid)
            except OSError:
                found = None
            allowed = self._arrived(pid, started, found)
        try:
            if allowed:
                ptrace.detach(pid)
            else:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _former(self, pid: int) -> int:
        """The thread that executed, when it was not the leader: the kernel gives it the leader's id."""
        try:
            return ptrace.event_message(pid)
        except OSError:
            return pid

    def _forget(self, tid: int) -> None:
        self._seized.pop(tid, None)
        self._leaving.discard(tid)

    def gone(self, pid: int) -> None:
        """The process ended: what it had started did not come to run."""
        self._forget(pid)
        if (started := self._pending.pop(pid, None)) is not None:
            self._failed(started)
