"""The guard: the process the user started. It waits for the supervisor, passes signals on, and ends the run when the
supervisor dies.

It enters no domain and judges nothing, so it outlives whatever happens inside. A subreaper, like the supervisor: when
that dies, the run's processes become the guard's children and cannot get away.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from supervisor.confine import terminal

_PATIENCE = 10.0  # seconds that the publisher gets for the last notes
_ALONE = 1.0  # seconds that an agent gets to end by itself when its terminal was closed
_KILLED = 121  # the least exit code of a run that was stopped, or whose agent was killed
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Ended(NamedTuple):
    """``code``: what the supervisor reported; None when it died without a word (``status``: its wait status).
    ``left``: processes that may finish by themselves: a publisher for which nobody waits."""

    code: int | None
    status: int
    left: frozenset[int] = frozenset()


class Guard:
    """``pipe``: its messages, one a line: ``agent PGID``, ``publisher PID``, ``left PID``, ``stopped``,
    ``exit CODE``."""

    def __init__(self, supervisor: int, pipe: int, tty: int) -> None:
        self._supervisor = supervisor
        self._pipe = pipe
        self._tty = tty
        self._in_front = tty >= 0
        self._modes = terminal.modes(tty)
        self._minds_hangups = tty >= 0 and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        self._alone_until: float | None = None
        self._group = 0
        self._publisher = 0
        self._left: frozenset[int] = frozenset()
        self._code: int | None = None
        self._pending: list[int] = []
        self._buffer = b""

    def wait(self, stop: Callable[[frozenset[int]], object]) -> Ended:
        """Until the supervisor has ended. ``stop`` kills whatever is left below this process but for what it is given:
        when the supervisor died early the publisher ends by itself, and says in the notes that nobody knows how the
        run ended."""
        before = {number: signal.signal(number, self._note) for number in _FORWARDED}
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        pidfd = os.pidfd_open(self._supervisor)
        try:
            self._serve(pidfd, read)
            _, status = os.waitpid(self._supervisor, 0)
            if self._code is None:
                stop(frozenset({self._publisher}) if self._publisher else frozenset())
                self._wait_for_notes()
                self._left = frozenset()
            stop(self._left)
            return Ended(self._code, status, self._left)
        finally:
            if self._in_front:
                terminal.give(self._tty, os.getpgrp())
                if self._code is None or self._code >= _KILLED:
                    terminal.restore(self._tty, self._modes)
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for fd in (read, write, pidfd):
                os.close(fd)

    def _serve(self, pidfd: int, wakeup: int) -> None:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(self._pipe, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        if self._minds_hangups:
            poll.register(self._tty, 0)  # that it was closed is told in any case
        while True:
            left = None if self._alone_until is None else self._alone_until - time.monotonic()
            if left is not None and left <= 0:
                left = self._kill_the_agent()
            ready = {fd for fd, _ in poll.poll(None if left is None else left * 1000)}
            if wakeup in ready:
                os.read(wakeup, 4096)
                self._forward()
            if self._tty in ready:
                poll.unregister(self._tty)
                self._alone_until = time.monotonic() + _ALONE
                self._pending.append(signal.SIGHUP)  # the kernel tells the foreground group alone
                self._forward()
            if self._pipe in ready and not self._read():
                poll.unregister(self._pipe)
            if pidfd in ready:
                while self._read():
                    pass
                return

    def _wait_for_notes(self) -> None:
        if not self._publisher:
            return
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                if os.waitpid(self._publisher, os.WNOHANG)[0]:
                    return
            except ChildProcessError:
                return  # it had ended before
            time.sleep(0.01)

    def _note(self, number: int, _frame: object) -> None:
        self._pending.append(number)

    def _kill_the_agent(self) -> float | None:
        """Its terminal was closed and it has not ended: nobody is left who could see what it does. Whoever wants that
        starts it with nohup, or without a terminal. The supervisor ends what else there is. Seconds until the next
        look, None when that was all."""
        if not self._group:
            return 0.05  # it is just being started
        self._alone_until = None
        try:
            os.kill(self._group, signal.SIGKILL)  # it leads its group, and is not reaped before the run has ended
        except OSError:
            pass
        return None

    def _forward(self) -> None:
        """To the agent; what came before it is there is kept for it."""
        if not self._group:
            return
        pending, self._pending = self._pending, []
        for number in pending:
            try:
                os.killpg(self._group, number)
            except OSError:
                continue  # the group has just ended

    def _read(self) -> bool:
        data = os.read(self._pipe, 4096)
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            word, _, rest = line.partition(b" ")
            if word == b"agent":
                self._group = int(rest)
                self._forward()
            elif word == b"publisher":
                self._publisher = int(rest)
            elif word == b"left":
                self._left = frozenset({int(rest)})
            elif word == b"exit":
                self._code = int(rest)
            elif word == b"stopped":
                self._stop_with_the_agent()
        return bool(data)

    def _stop(self) -> None:
        """Stop this process. When the terminal is closed the kernel continues what is stopped, once: a stop that comes
        after that would last for ever, so somebody else watches meanwhile."""
        if not self._minds_hangups:
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        over, alive = os.pipe2(os.O_CLOEXEC)
        guard = os.getpid()
        watcher = os.fork()
        if watcher == 0:
            os.close(alive)
            _continue_when_closed(guard, self._tty, over)
        os.close(over)
        os.kill(guard, signal.SIGSTOP)
        os.close(alive)
        os.waitpid(watcher, 0)

    def _stop_with_the_agent(self) -> None:
        """The agent was stopped by job control: stop too, so that the user's shell takes the terminal back. Without a
        terminal nobody would wait for that, or continue us; the supervisor does so when the run ends meanwhile."""
        if self._tty < 0:
            return
        if self._in_front:
            terminal.give(self._tty, os.getpgrp())
        self._stop()
        self._in_front = terminal.is_ours(self._tty)
        if self._in_front:
            terminal.give(self._tty, self._group)
        try:
            os.killpg(self._group, signal.SIGCONT)
        except OSError:
            return


def _continue_when_closed(parent: int, tty: int, over: int) -> NoReturn:
    """In a child: continue ``parent`` when the terminal is closed, until ``over`` says that it goes on."""
    try:
        poll = select.poll()
        poll.register(tty, 0)
        poll.register(over, 0)
        closed = over not in dict(poll.poll())
        poll.unregister(tty)
        while closed and os.getppid() == parent and not poll.poll(20):  # whether it has stopped yet cannot be known
            os.kill(parent, signal.SIGCONT)
    finally:
        os._exit(0)
