"""Opens for reading, where files are hidden by name: performed from what was judged, and quickly where it was before.

Programs open the same files again and again, and every one of these opens waits for an answer. Which path was free to
be read is remembered: the verdict on a read depends on nothing but the path.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
from collections.abc import Callable

from supervisor.enforce.files import open_for
from supervisor.kernel import memory
from supervisor.kernel.libc import AT_FDCWD, errno_of
from supervisor.run.parts import Waiting
from supervisor.run.record import Recorder, kind_of
from supervisor.surfaces.files import PLAIN_OPEN, Args, dirfd
from supervisor.surfaces.paths import Caller, Refused
from supervisor.surfaces.reads import Reads
from supervisor.vocabulary.acts import Held, OpenAct, Reply
from supervisor.vocabulary.events import FsEvent, Kind, Target
from supervisor.vocabulary.verdicts import Outcome, Verdict

_OF_THE_CALLER = (b"/proc", b"/dev", b"//", b"/./")  # whose thread group has to be known to read them (ownlinks)
_MOST = 16_384  # paths that are remembered
_SETTABLE = os.O_APPEND | os.O_ASYNC | os.O_DIRECT | os.O_NOATIME | os.O_NONBLOCK  # fcntl(2), F_SETFL


class Reading:
    """``new_terminal``: see ``open_for``."""

    def __init__(self, reads: Reads, recorder: Recorder, new_terminal: Callable[[bytes], None]) -> None:
        self._reads = reads
        self._recorder = recorder
        self._new_terminal = new_terminal
        self._free: set[bytes] = set()
        self._readers: dict[tuple[int, int], list[set[bool]]] = {}

    def forget(self) -> None:
        """Another policy is in force from here on."""
        self._free.clear()

    def quick(self, name: str, tid: int, args: Args) -> Reply | Waiting | None:
        """The answer where the path is known to be free; None: it is to be judged. OSError: answer that errno."""
        if name == "openat":
            base, at, flags = dirfd(args[0]), args[1], args[2]
        elif name == "open":
            base, at, flags = AT_FDCWD, args[0], args[1]
        else:
            return None
        if flags & ~PLAIN_OPEN & 0xFFFFFFFF:
            return None
        path = memory.string(tid, at)
        if path.startswith(_OF_THE_CALLER):
            return None
        try:
            reached = self._reads.reach(Caller(tid, tid), base, path, flags)
        except Refused:
            return None
        try:
            mode = reached.info.st_mode
            if stat.S_ISREG(mode):
                kind, known = Kind.FILE, reached.name in self._free
            elif stat.S_ISDIR(mode):
                kind, known = Kind.DIR, reached.name + b"/" in self._free
            else:
                return None
            if (
                not known
                or reached.of_proc
                or (reached.link >= 0 and os.readlink(b"/proc/self/fd/%d" % reached.link) not in self._free)
            ):
                return None
            return self._open(OpenAct(-1, b"", reached.handle, flags, 0, tid, kind, reached.name))
        finally:
            reached.close()

    def perform(self, event: FsEvent, act: OpenAct, verdict: Verdict) -> Reply | Waiting:
        """Open what may be read."""
        if not verdict.matches:
            self._remember(event)
            return self._answer(act)
        seq = self._recorder.intent(event, verdict)
        reply = self._answer(act)
        number = reply.error if isinstance(reply, Reply) else 0
        self._recorder.outcome(seq, kind_of(event), Outcome.FAILED if number else Outcome.SUCCEEDED, number)
        return reply

    def _remember(self, event: FsEvent) -> None:
        if len(self._free) >= _MOST:
            self._free.clear()
        for target in (event.target, event.other):
            if target is not None and target.kind in (Kind.FILE, Kind.DIR, Kind.LINK):
                self._free.add(target.path + (b"/" if target.kind is Kind.DIR else b""))

    def _answer(self, act: OpenAct) -> Reply | Waiting:
        try:
            return self._open(act)
        except OSError as error:
            return Reply(error=errno_of(error))

    def _open(self, act: OpenAct) -> Reply | Waiting:
        # A pipe without a name waits for nobody (fs/pipe.c, fifo_open).
        waits = act.kind is Kind.FIFO and not act.flags & os.O_NONBLOCK and act.path.startswith(b"/")
        done = self._wait_for_writer(act) if waits else open_for(act._replace(kind=_as_file(act)), self._new_terminal)
        return Waiting(done, _as_it_is, done.abandon) if isinstance(done, Held) else done

    def joined(self, target: Target) -> None:
        """Somebody of the run has opened a FIFO for writing."""
        if target.kind is Kind.FIFO and self._readers:
            for reader in self._readers.get((target.dev, target.ino), ()):
                reader.add(True)

    def _wait_for_writer(self, act: OpenAct) -> Held:
        """open(O_RDONLY) of a FIFO waits for a writer (fifo(7)). The reading end is there at once, so that writers find
        it; it is handed in when one has come. One from outside the run is noticed by what it writes, or when it
        leaves."""
        fd = os.open(b"/proc/self/fd/%d" % act.handle, act.flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        info = os.fstat(fd)
        come: set[bool] = set()
        readers = self._readers.setdefault((info.st_dev, info.st_ino), [])
        readers.append(come)
        written = select.poll()
        written.register(fd, select.POLLIN)

        def leave() -> None:
            readers[:] = [each for each in readers if each is not come]
            if not readers:
                self._readers.pop((info.st_dev, info.st_ino), None)

        def retry() -> Reply | None:
            if not come and not written.poll(0):
                return None
            leave()
            fcntl.fcntl(fd, fcntl.F_SETFL, act.flags & _SETTABLE)
            return Reply(fd=fd, cloexec=bool(act.flags & os.O_CLOEXEC))

        def abandon() -> None:
            leave()
            os.close(fd)

        return Held(retry, abandon)


def _as_file(act: OpenAct) -> Kind:
    """What is opened like a file, whether it can be (a socket cannot) or not."""
    return act.kind if act.kind is Kind.CHAR else Kind.FILE


def _as_it_is(reply: Reply) -> Reply:
    return reply
