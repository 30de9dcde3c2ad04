"""The supervisor's loop: one thread, one poll. Notifications, ends and stops of processes, held acts, timers."""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from supervisor.kernel import placement, ptrace
from supervisor.kernel import process as kernel_process
from supervisor.kernel.notify import Gone, Listener, Notification
from supervisor.kernel.signals import SignalFd
from supervisor.run.judge import Judge, Waiting
from supervisor.vocabulary.acts import Held, Reply
from supervisor.vocabulary.errors import StopRun

if TYPE_CHECKING:
    from supervisor.operator.desk import Desk
    from supervisor.run.endings import Endings
    from supervisor.run.fixing import Fixing
    from supervisor.run.proving import Proving

ERESTARTSYS = 512  # linux/errno.h: the kernel runs the handler and restarts the call where SA_RESTART says so
_RETRY = 0.010  # seconds between tries of a held act that nothing announces
_MOST_HELD = 256  # each costs descriptors and a look now and then; beyond that a call is told to try again
_REAPS = 256  # state changes that one turn takes in: whoever forks and ends all the time must not hold up the others
_LOOK = 0.050  # seconds between looks at the pending signals of a held process


class _Held(NamedTuple):
    notification: Notification
    waiting: Waiting


class End(NamedTuple):
    """Why the loop ended: ``reason`` is the run's end word; ``status`` the agent's wait status, None if it was not
    the agent that ended."""

    reason: str
    status: int | None


class Loop:
    """``root`` is the agent process; ``stopped`` is called when job control stopped it; ``timed_out`` at the limit.
    ``others``: descriptor -> what is called when it is readable."""

    def __init__(
        self,
        listener: Listener,
        judge: Judge,
        numbers: dict[int, str],
        root: int,
        guard: int,
        *,
        deadline: float | None,
        stopped: Callable[[], None],
        timed_out: Callable[[], None],
        desk: Desk | None = None,
        endings: Endings | None = None,
        others: Mapping[int, Callable[[], None]] = {},
        fixing: Fixing | None = None,
        proving: Proving | None = None,
    ) -> None:
        self._others = others
        self._fixing = fixing
        self._proving = proving
        self._desk = desk
        self._endings = endings
        self.paused = False
        self._listener = listener
        self._judge = judge
        self._numbers = numbers
        self._root = root
        self._guard = guard
        self._deadline = deadline
        self._stopped = stopped
        self._timed_out = timed_out
        self._written = judge.watched()
        self._held: list[_Held] = []
        self._by_fd: dict[int, _Held] = {}
        self._next_look = 0.0
        self._more_children = True  # whoever died before the signal was caught is told of by nobody
        self._most_held = min(_MOST_HELD, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 16)
        self.end: End | None = None
        # poll(2), not epoll: only its waiter is woken on the CPU of the thread that notifies (SYNC_WAKE_UP). Through
        # epoll the wake-up goes to an idle CPU, and each call costs two interrupts between processors.
        self._poll = select.poll()
        self._signals = SignalFd((signal.SIGCHLD, signal.SIGTERM, signal.SIGINT))

    def finish(self, end: End) -> None:
        """End the loop after the current event; the first reason counts."""
        if self.end is None:
            self.end = end

    def pause(self) -> bool:
        """Answer no call any more, and let none go on that waits, until ``resume``. False: it does so already."""
        if self.paused:
            return False
        self.paused = True
        for fd in (self._listener.fd, *self._by_fd):
            try:
                self._poll.unregister(fd)
            except KeyError:
                continue  # nobody is left under the filter
        return True

    def resume(self) -> bool:
        if not self.paused:
            return False
        self.paused = False
        self._poll.register(self._listener.fd, select.POLLIN)
        for fd in self._by_fd:
            self._poll.register(fd, select.POLLOUT)
        return True

    def run(self) -> End:
        """Until the agent ended, the run was stopped, or govrun itself failed (``StopRun``)."""
        poll = self._poll
        poll.register(self._listener.fd, select.POLLIN)
        poll.register(self._signals.fd, select.POLLIN)
        poll.register(self._guard, select.POLLERR)
        if self._written >= 0:
            poll.register(self._written, select.POLLIN)
        turns = self._turns()
        for fd in turns:
            poll.register(fd, select.POLLIN)
        while self.end is None:
            if self._more_children:
                self._children()
            for fd, event in poll.poll(self._timeout()):
                if fd == self._listener.fd:
                    if event & select.POLLIN:
                        if self._endings is not None:
                            self._endings.turn()  # what ended before the act was asked for bears on it
                        if not self.paused and self.end is None:
                            self._notified()
                    elif not self.paused:  # nobody is left under the filter
                        poll.unregister(fd)
                elif fd == self._signals.fd:
                    if self._signals.read() & {signal.SIGTERM, signal.SIGINT}:
                        self.finish(End("operator", None))
                    self._children()
                elif fd == self._written:
                    self._judge.written()
                elif fd == self._guard:
                    self.finish(End("crash", None))
                elif fd in turns:
                    turns[fd]()
                elif fd in self._by_fd and not self.paused:
                    self._retry(self._by_fd[fd])
            if self._held or self._deadline is not None:
                self._timers()
            self._judge.unfollowed.look()
            if self._fixing is not None:
                self._fixing.look()
            if self._proving is not None and not self.paused:
                self._proving.look(self._judge.settle)
        return self.end

    def _turns(self) -> dict[int, Callable[[], None]]:
        """What is to be done when one of the parts beside the listener has something."""
        found = dict(self._others)
        for part, answers in ((self._desk, True), (self._proving, True), (self._endings, False), (self._fixing, False)):
            if part is not None and (fd := part.fileno()) >= 0:
                found[fd] = partial(self._turn, part.turn, answers=answers)
        return found

    def _turn(self, turn: Callable[[], None], *, answers: bool) -> None:
        turn()
        if answers:
            self._asked_now()

    def _asked_now(self) -> None:
        """What waits for an answer need not wait for its next turn."""
        for held in list(self._held):
            if held.waiting.again is not None and held in self._held and not self.paused:
                self._retry(held)

    def _timeout(self) -> float | None:
        if self._more_children:
            return 0.0
        limits = []
        if self._held and not self.paused:
            waiting = sum(1 for held in self._held if held.waiting.held.fd < 0)
            limits.append(_RETRY * (1 + waiting / 16) if waiting else _LOOK)
        if (wait := self._judge.unfollowed.wait()) is not None:
            limits.append(wait)
        if self._fixing is not None and (wait := self._fixing.wait()) is not None:
            limits.append(wait)
        if self._proving is not None and not self.paused and (wait := self._proving.wait()) is not None:
            limits.append(wait)
        if self._deadline is not None:
            limits.append(max(0.0, self._deadline - time.monotonic()))
        return min(limits) * 1000 if limits else None

    # -- notifications ------------------------------------------------------------------------------------------

    def _notified(self) -> None:
        notification = self._listener.receive()
        if notification is None:
            return
        name = self._numbers.get(notification.number, "")
        self._answer(notification, lambda: self._judge.answer(name, notification.tid, notification.args))

    def _answer(self, notification: Notification, judge: Callable[[], Reply | Waiting]) -> None:
        before = self.paused
        try:
            result = judge()
        except StopRun:
            self._send(notification, Reply(error=errno.EPERM))
            raise
        except Exception as error:
            # Whatever it is, the call does not happen, and a supervisor that is wrong once stops the run.
            self._send(notification, Reply(error=errno.EPERM))
            name = self._numbers.get(notification.number, "")
            raise StopRun(f"BUG: {name} could not be judged", repr(error)) from error
        if self.end is not None and self.end.reason == "invariant":
            return  # not answered: whoever broke the rule does not take another step
        if isinstance(result, Waiting):
            self._hold(_Held(notification, result))
        elif self.paused and not before and not result.error:
            self._hold(_Held(notification, self._after_pause(result)))
        else:
            self._send(notification, result)

    def _after_pause(self, reply: Reply) -> Waiting:
        """What was written was judged for this call, and a rule holds the run for it: the call is not answered before
        somebody lets the run go on, nor before what was written until then has been judged."""

        def retry() -> Reply | None:
            self._judge.settle()
            return None if self.paused or self.end is not None else reply

        def abandon() -> None:
            if reply.fd >= 0:
                os.close(reply.fd)

        return Waiting(Held(retry, abandon), lambda same: same, abandon)

    def _send(self, notification: Notification, reply: Reply) -> None:
        listener = self._listener
        value, error = reply.value, reply.error
        try:
            if reply.fd >= 0:
                try:
                    with placement.beside(notification.tid):
                        value = listener.install(notification.id, reply.fd, reply.cloexec)
                except OSError as failure:
                    error = failure.errno or errno.EMFILE
                finally:
                    os.close(reply.fd)
            listener.send(notification.id, error, value, reply.cont)
        except Gone:
            return  # killed while it waited: what was done is done and recorded

    # -- held acts ----------------------------------------------------------------------------------------------

    def _hold(self, held: _Held) -> None:
        if len(self._held) >= self._most_held:
            held.waiting.abandon()
            self._judge.crowded(self._numbers.get(held.notification.number, ""))
            self._send(held.notification, Reply(error=errno.EAGAIN))
            return
        self._held.append(held)
        fd = held.waiting.held.fd
        if fd >= 0:
            self._by_fd[fd] = held
            if not self.paused:
                self._poll.register(fd, select.POLLOUT)

    def _drop(self, held: _Held) -> None:
        self._held.remove(held)
        fd = held.waiting.held.fd
        if fd >= 0:
            del self._by_fd[fd]
            self._poll.unregister(fd)

    def _retry(self, held: _Held) -> None:
        if not self._listener.valid(held.notification.id):
            # Killed meanwhile. Opening a FIFO for a writer that is gone would show its reader an end of file.
            self._drop(held)
            held.waiting.abandon()
            return
        reply = held.waiting.held.retry()
        if reply is None:
            return
        self._drop(held)
        if held.waiting.again is not None and reply.cont:
            self._answer(held.notification, held.waiting.again)
        else:
            self._send(held.notification, held.waiting.finish(reply))

    def _timers(self) -> None:
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._timed_out()
        if self.paused:
            return
        for held in list(self._held):
            if held.waiting.held.fd < 0:
                self._retry(held)
        if now >= self._next_look:
            self._next_look = now + _LOOK
            for held in list(self._held):
                self._interrupted(held)

    def _interrupted(self, held: _Held) -> None:
        """With WAIT_KILLABLE_RECV only a fatal signal ends the wait; others are looked for here, so that Ctrl-C works
        on a call that govrun holds."""
        notification = held.notification
        try:
            gone = not self._listener.valid(notification.id)
            status = kernel_process.status(notification.tid)
        except OSError:
            gone, status = True, None
        if not gone and status is not None and not status.pending & ~status.blocked & ~status.ignored:
            return
        if held not in self._held:
            return
        self._drop(held)
        held.waiting.abandon()
        if not gone:
            self._send(notification, Reply(error=ERESTARTSYS))

    # -- processes ----------------------------------------------------------------------------------------------

    def _children(self) -> None:
        self._more_children = False
        for _ in range(_REAPS):
            if (change := ptrace.reap()) is None:
                break
            self._changed(*change)
        else:
            self._more_children = True
            # The kernel shows the dead before the stopped, so among many dead ones an exec would wait for ever.
            for pid in self._judge.tracer.followed():
                if (change := ptrace.reap(pid)) is not None:
                    self._changed(*change)
        self._job_control()

    def _changed(self, pid: int, status: int) -> None:
        if self._judge.tracer.changed(pid, status) or os.WIFSTOPPED(status):
            return
        self._judge.tracer.gone(pid)
        if pid == self._root:
            end = End("signal" if os.WIFSIGNALED(status) else "exit", status)
            if self._fixing is not None:
                self._fixing.finish(lambda: self.finish(end))
            else:
                self.finish(end)

    def _job_control(self) -> None:
        """Whether the agent itself was stopped from the terminal (its parent learns that from waitid, which leaves the
        state to be asked again)."""
        try:
            info = os.waitid(os.P_PID, self._root, os.WSTOPPED | os.WNOHANG)
        except ChildProcessError:
            return
        if info is not None and info.si_status in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGSTOP):
            self._stopped()
