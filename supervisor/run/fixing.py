"""Fixers that govrun starts itself, inside the run, where something that was refused waits to be put right.

One at a time. Each start is an attempt, whatever comes of it; as long as the episode is open the next one follows,
until its attempts are used up. Without ``attempts`` there is one for each refusal.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from supervisor.confine import waiter as waiter_program
from supervisor.confine.child import FIRST, Beside
from supervisor.kernel.notify import Gone, Listener
from supervisor.profile.problems import plain
from supervisor.vocabulary.errors import HostError

if TYPE_CHECKING:
    from supervisor.invariants.remediation import EpisodeState, RemediationRules
    from supervisor.run.record import Recorder
    from supervisor.run.repairing import Repairing
    from supervisor.vocabulary.events import Actor

LIMIT = 60.0  # seconds for one attempt
_PATIENCE = 10.0  # seconds until the process that starts them is ready
_MOST_SAID = 4096  # bytes of output that are recorded
_MOST_READ = 1 << 16  # bytes that one turn takes from the pipe
_MOST_GIVEN = 1 << 20  # bytes of a rejected version
_MOST_WAITING = 64
_GRACE = 5.0  # seconds until the end of one that was stopped is known


class Fixers:
    """The process that starts them, and the two ends of the talk with it. To be made before the fork of the child."""

    def __init__(self, rules: RemediationRules, tree: bytes) -> None:
        self.commands = [list(rule.starts) for rule in rules.rules if rule.starts]
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.output, out = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(out, True)
        self.pid = 0
        words = [word for command in self.commands for word in (str(len(command)), *command)]
        own = (sys.executable, "-I", "-S", "-B", waiter_program.__file__)
        argv = (*own, str(FIRST), str(FIRST + 1), os.fsdecode(tree), *words)
        self.beside = Beside(sys.executable, argv, (theirs.detach(), out))

    def stand_by(self, listener: Listener) -> None:
        """Let it execute, before anything of the run can look into what it was forked from. Errors: ``HostError``."""
        for fd in self.beside.descriptors:
            os.close(fd)
        poll = select.poll()
        poll.register(listener.fd, select.POLLIN)
        poll.register(self.socket, select.POLLIN)
        end = time.monotonic() + _PATIENCE
        while (left := end - time.monotonic()) > 0:
            ready = dict(poll.poll(left * 1000))
            if self.socket.fileno() in ready:
                word, _, pid = self.socket.recv(64).partition(b" ")
                if word == b"R":
                    self.pid = int(pid)
                    self.socket.setblocking(False)
                    return
                break
            if ready.get(listener.fd, 0) & select.POLLIN and (asked := listener.receive()) is not None:
                try:
                    # An interpreter that starts, with words of ours. Whoever else is under the filter waits to execute
                    # the agent: nobody is there yet who could change what was asked for.
                    listener.send(asked.id, cont=True)
                except Gone:
                    continue
        try:
            said = os.read(self.output, _MOST_SAID).decode("utf-8", "backslashreplace").strip()
        except OSError:
            said = ""
        why = f"{sys.executable}, from which they are started, did not start inside the run\n{said}".rstrip()
        raise HostError("no fixer could be started", why, "check that it can be read from inside, or leave out `fixer`")

    def close(self) -> None:
        self.socket.close()
        os.close(self.output)


class _Attempt(NamedTuple):
    episode: str
    number: int
    which: int
    begun: float


class Fixing:
    """``settle`` judges what has been written; ``say`` prints a line."""

    def __init__(
        self,
        fixers: Fixers,
        repairs: Repairing,
        recorder: Recorder,
        run: str,
        settle: Callable[[], None],
        say: Callable[[str], None],
        limit: float = LIMIT,
    ) -> None:
        self._fixers, self._repairs, self._recorder = fixers, repairs, recorder
        self._run, self._settle, self._say = run, settle, say
        self._waiting: dict[str, None] = {}
        self._about: dict[str, dict[str, Any]] = {}
        self._now: _Attempt | None = None
        self._pid = 0
        self._said = b""
        self._stopped = self._over = False
        self._action = 0  # of the fixer that was started last
        self._then: Callable[[], None] | None = None
        self._limit, self._until = limit, math.inf
        self._ready = select.epoll()
        self._ready.register(fixers.socket, select.EPOLLIN)
        self._ready.register(fixers.output, select.EPOLLIN)

    def fileno(self) -> int:
        """Readable when there is something to do."""
        return self._ready.fileno()

    def wait(self) -> float | None:
        """Seconds until the time of the attempt is up."""
        if self._now is None:
            return None
        end = self._now.begun + self._limit + (_GRACE if self._stopped else 0.0)
        return max(0.0, min(end, self._until) - time.monotonic())

    def look(self) -> None:
        """End what takes too long."""
        if self.wait() != 0.0:
            return
        if self._stopped or time.monotonic() >= self._until:
            self._lost("its time is up")  # or whoever starts them does not say that it has ended
        self._stopped = True
        self._kill()

    def started(self, parent: int) -> str:
        """The episode whose fixer a process is, by its parent; empty: it is none."""
        return self._now.episode if self._now is not None and parent == self._fixers.pid else ""

    def ran(self, action: int) -> None:
        """Its program runs, and was counted as an attempt, which is this action."""
        self._action = action

    def acts(self, actor: Actor) -> bool:
        """Whether a process is the fixer, or of it: what the agent is told is not for it."""
        return bool(self.started(actor.ppid)) or (self._action > 0 and actor.action == self._action)

    def refused(self, episode: EpisodeState, about: dict[str, Any]) -> None:
        """Something was refused, and its episode is open. A refusal of what the fixer did is no reason for another."""
        if self._over:
            return
        mine = self._now is not None and self._now.episode == episode.id
        if mine or episode.id in self._waiting or len(self._waiting) < _MOST_WAITING:
            self._about[episode.id] = about
            if not mine:
                self._waiting[episode.id] = None
        self._next()

    def finish(self, then: Callable[[], None]) -> None:
        """The agent has ended: ``then`` is called once no fixer runs any more, or waits, or the time of one is up."""
        self._settle()
        self._then, self._until = then, time.monotonic() + self._limit
        self._next()

    def turn(self) -> None:
        """Take in what is ready."""
        ready = {fd for fd, _ in self._ready.poll(0)}
        if self._fixers.output in ready:
            self._read()
        if self._fixers.socket.fileno() in ready:
            self._told()

    def _told(self) -> None:
        try:
            word, _, value = self._fixers.socket.recv(64).partition(b" ")
            number = int(value or b"0")
        except BlockingIOError:
            return
        except (OSError, ValueError):
            word, number = b"", 0
        if word == b"P":
            self._pid = number
        elif word == b"E":
            self._ended(number)
        else:
            self._lost()

    def _read(self) -> None:
        try:
            data = os.read(self._fixers.output, _MOST_READ)
        except OSError:
            return
        if not data:
            with contextlib.suppress(FileNotFoundError):  # its end is read again with the word that the fixer has ended
                self._ready.unregister(self._fixers.output)
        self._said += data[: _MOST_SAID - len(self._said)]

    # -- attempts -----------------------------------------------------------------------------------------------

    def _next(self) -> None:
        while self._now is None and self._waiting and not self._over:
            ident = next(iter(self._waiting))
            del self._waiting[ident]
            state = self._repairs.open(ident)
            if state is None:
                self._about.pop(ident, None)
            elif self._repairs.may_try(state):
                self._start(state)
        if self._now is None and self._then is not None:
            then, self._then = self._then, None
            then()

    def _start(self, state: EpisodeState) -> None:
        number = state.attempts + 1
        which = (number - 1) % len(self._fixers.commands)
        told = {"run": self._run, "episode": state.id, "attempt": number, **self._about.get(state.id, {})}
        given = os.memfd_create("violation", os.MFD_CLOEXEC)
        try:
            with open(os.dup(given), "wb") as file:
                file.write(json.dumps(told).encode() + b"\n")
            os.lseek(given, 0, os.SEEK_SET)
            reader = os.open(f"/proc/self/fd/{given}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                socket.send_fds(self._fixers.socket, [b"%d" % which], [reader])
            finally:
                os.close(reader)
        except OSError:
            self._lost()
            return
        finally:
            os.close(given)
        self._now = _Attempt(state.id, number, which, time.monotonic())
        self._pid, self._said, self._stopped, self._action = 0, b"", False, 0

    def _ended(self, status: int) -> None:
        """``status``: the exit code, negative: the signal."""
        now = self._now
        if now is None:
            return
        self._kill()  # what it has left behind in its group
        self._read()
        self._settle()
        self._now = None
        outcome = self._repairs.tried(now.episode, self._fixers.commands[now.which], ran=self._action > 0)
        self._record(now, status, outcome)
        if outcome == "open" and self._repairs.limit():
            self._waiting[now.episode] = None
        else:
            self._about.pop(now.episode, None)
        self._next()

    def _record(self, now: _Attempt, status: int, outcome: str) -> None:
        command = self._fixers.commands[now.which]
        limit = f"it was stopped after {self._limit:g} s" if self._stopped else ""
        self._recorder.note(
            "state",
            call="fixer",
            episode=now.episode,
            attempts=now.number,
            argv=command,
            exit=status,
            output=self._said.decode("utf-8", "backslashreplace"),
            detail=limit,
        )
        of = f" of {self._repairs.limit()}" if self._repairs.limit() else ""
        done = {"open": "not put right", "exhausted": "not put right, and given up"}.get(outcome, outcome)
        subject = plain(str(self._about.get(now.episode, {}).get("path", "")))
        shown = f"{subject}: attempt {now.number}{of}: {done}"
        self._say(f"govrun: fixer {plain(command[0])}: {shown}" + (f" ({limit})" if limit else ""))

    def _kill(self) -> None:
        """Its group keeps its id until the next order (see ``waiter``)."""
        if self._pid > 1:
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except OSError:
                return  # nobody is left in it

    def _lost(self, why: str = "the process that starts them has ended") -> None:
        """What is open stays open."""
        if self._over:
            return
        self._over = True
        self._kill()
        self._ready.unregister(self._fixers.socket)
        self._recorder.note("gap", reason="no fixer can be started any more", detail=why)
        self._say(f"govrun: warning: no fixer can be started any more: {why}")
        self._now = None
        self._waiting.clear()
        self._next()


def rejected(text: bytes) -> str | None:
    """A rejected version as JSON takes it; None where that is no text, or too much."""
    try:
        return text.decode() if 0 < len(text) <= _MOST_GIVEN else None
    except UnicodeDecodeError:
        return None


def fixers_of(rules: RemediationRules, tree: bytes) -> Fixers | None:
    """What starts fixers, None where no rule names one to start."""
    return Fixers(rules, tree) if any(rule.starts for rule in rules.rules) else None


__all__ = ["LIMIT", "Fixers", "Fixing", "fixers_of", "rejected"]
