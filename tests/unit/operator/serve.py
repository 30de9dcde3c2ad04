"""A run's operator side alone, in a process of its own: a desk, a poll loop like the supervisor's, acts that are held.

Arguments: folder of the run, time-out of questions. Standard input: ``hold WORD…`` (asks; answers ``id ID``), ``digest
HEX`` (of the program, for the questions from then on), ``abandon ID``, ``refuse PID``, ``full`` (no descriptor can be
opened any more), ``room`` (it can again), ``quit``. Standard output, a line each: ``ready``, ``record CALL DETAIL``,
``effect WORD``, ``reply ID ERRNO NANOSECONDS``.
"""

import os
import resource
import select
import sys
import time
from pathlib import Path

from supervisor.journal.writer import Journal
from supervisor.operator.approvals import Approvals, Pending, Question, held
from supervisor.operator.control import Control
from supervisor.operator.desk import Desk, Effects
from supervisor.vocabulary.acts import DONE, Held


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode("utf-8", "backslashreplace"))


class Server:
    def __init__(self, folder: Path, timeout: float) -> None:
        self.journal = Journal(folder, folder.name)
        self.refused: set[int] = set()
        control = Control(folder, folder.name, lambda pid, uid: pid not in self.refused)
        self.approvals = Approvals(timeout, time.monotonic)
        effects = Effects(*(lambda word=word: say("effect", word) for word in ("pause", "resume", "stop")))
        self.desk = Desk(control, self.approvals, lambda call, detail: say("record", call, detail), effects)
        self.held: dict[str, tuple[Pending, Held]] = {}
        self.digest = "d1"
        self.limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def told(self, line: str) -> bool:
        word, *rest = line.split()
        if word == "hold":
            argv = tuple(each.encode() for each in rest)
            pending = self.approvals.hold(Question("push", "pushes", argv, self.digest, b"/w"))
            self.held[pending.id] = (pending, held(self.approvals, pending, lambda: DONE))
            say("id", pending.id)
        elif word == "digest":
            self.digest = " ".join(rest)
        elif word == "abandon":
            self.held.pop(rest[0])[1].abandon()
        elif word == "refuse":
            self.refused.add(int(rest[0]))
        elif word == "full":
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, self.limits[1]))
        elif word == "room":
            resource.setrlimit(resource.RLIMIT_NOFILE, self.limits)
        return word != "quit"

    def serve(self) -> None:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self.desk.fileno(), select.POLLIN)
        say("ready")
        buffer = b""
        while True:
            for fd, _ in poll.poll(10 if self.held and not self.desk.paused else None):
                if fd == self.desk.fileno():
                    self.desk.turn()
                    continue
                data = os.read(0, 65536)
                *lines, buffer = (buffer + data).split(b"\n")
                if not data or not all(map(self.told, map(bytes.decode, lines))):
                    self.desk.close()
                    return
            for number, (_, act) in list(self.held.items()):
                if not self.desk.paused and (reply := act.retry()) is not None:
                    del self.held[number]
                    say("reply", number, reply.error, time.monotonic_ns())


if __name__ == "__main__":
    Server(Path(sys.argv[1]), float(sys.argv[2])).serve()
