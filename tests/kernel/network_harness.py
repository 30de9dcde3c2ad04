"""A supervisor for sockets only: runs a program under a filter that notifies the socket calls, and answers them with
the real surfaces and enforcer. Reports what it judged.

Usage: network_harness.py MODE HOSTS PROGRAM [ARGS...]; MODE is ``behalf`` or ``continue`` (the naive way, to show that
a race is real); HOSTS is a JSON list of entries or null. Prints one JSON object: events, exit status, output.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import select
import struct
import sys
import tempfile
from typing import Any

from supervisor.enforce import network as enforcer
from supervisor.invariants.hosts import compile_hosts, judge
from supervisor.kernel.filter import load
from supervisor.kernel.libc import PR_SET_NO_NEW_PRIVS, prctl
from supervisor.kernel.notify import Gone, Listener
from supervisor.kernel.process import borrow, status
from supervisor.profile.model import Entry
from supervisor.surfaces.network import Network
from supervisor.surfaces.sockets import OwnSockets
from supervisor.vocabulary.acts import Held, Reply
from supervisor.vocabulary.events import Actor

X86 = {"connect": 42, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50, "sendmmsg": 307}
ARM = {"bind": 200, "listen": 201, "connect": 203, "sendto": 206, "sendmsg": 211, "sendmmsg": 269}
NUMBERS = X86 if platform.machine() == "x86_64" else ARM
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000


def program() -> bytes:
    """BPF: notify the six calls, sendto only with an address (linux/bpf_common.h, struct seccomp_data)."""
    out = [struct.pack("=HBBI", 0x20, 0, 0, 0)]
    others = [number for call, number in NUMBERS.items() if call != "sendto"]
    for at, number in enumerate(others):
        out.append(struct.pack("=HBBI", 0x15, len(others) - at + 4, 0, number))  # jump to NOTIFY
    out.append(struct.pack("=HBBI", 0x15, 0, 5, NUMBERS["sendto"]))  # else to ALLOW
    out.append(struct.pack("=HBBI", 0x20, 0, 0, 16 + 8 * 4))
    out.append(struct.pack("=HBBI", 0x15, 0, 2, 0))  # low half of the address pointer
    out.append(struct.pack("=HBBI", 0x20, 0, 0, 16 + 8 * 4 + 4))
    out.append(struct.pack("=HBBI", 0x15, 1, 0, 0))  # NULL: ALLOW
    out.append(struct.pack("=HBBI", 0x06, 0, 0, NOTIFY))
    out.append(struct.pack("=HBBI", 0x06, 0, 0, ALLOW))
    return b"".join(out)


def child(words: list[str], numbers: int, go: int, output: int) -> None:
    os.dup2(output, 1)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    listener = load(program())
    os.write(numbers, b"%d" % listener)
    os.read(go, 1)
    os.execv(words[0], words)


class Loop:
    def __init__(self, mode: str, hosts: list[str] | None, listener: int) -> None:
        layers = () if hosts is None else (tuple(Entry(value, "test:1") for value in hosts),)
        self.rules, self.mode = compile_hosts(layers), mode
        self.own = OwnSockets()
        self.network = Network(self.own)
        self.listener = Listener(listener)
        self.listener.wake_synchronously()
        self.held: list[tuple[int, Held]] = []
        self.events: list[dict[str, Any]] = []
        self.calls = {number: call for call, number in NUMBERS.items()}

    def run(self, pid: int) -> int:
        poll = select.poll()
        poll.register(self.listener.fd, select.POLLIN)
        ended = os.pidfd_open(pid)
        poll.register(ended, select.POLLIN)
        while True:
            ready = dict(poll.poll(3 if self.held else None))
            if ready.get(self.listener.fd, 0) & select.POLLIN:
                self.one()
            self.again()
            if ended in ready and self.listener.fd not in ready:
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if ready.get(self.listener.fd, 0) & select.POLLHUP:
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def one(self) -> None:
        notification = self.listener.receive()
        if notification is None:
            return
        actor = Actor(status(notification.tid).tgid, 0, 0, b"", (), 0)
        call = self.calls[notification.number]
        taken = self.network.materialize(call, notification.tid, notification.args, actor)
        if isinstance(taken, Reply):
            self.answer(notification.id, taken)
            return
        event, act = taken
        ruling = judge(self.rules, event)
        if len(self.events) < 400:
            told = event._asdict() | {"actor": "", "unix": repr(event.unix)[2:-1]}
            self.events.append(told | {"blocks": ruling.blocks, "message": ruling.message})
        naive = self.mode == "continue" and call not in ("bind", "listen")
        if ruling.blocks or naive:
            enforcer.release(act)
            self.answer(notification.id, Reply(error=errno.EACCES) if ruling.blocks else Reply(cont=True))
            return
        result = enforcer.perform(act, self.own, 0o027)
        if isinstance(result, Held):
            self.held.append((notification.id, result))
        else:
            self.answer(notification.id, result)

    def again(self) -> None:
        for ident, held in self.held[:]:
            if not self.listener.valid(ident):
                held.abandon()
                self.held.remove((ident, held))
                continue
            reply = held.retry()
            if reply is not None:
                self.held.remove((ident, held))
                self.answer(ident, reply)

    def answer(self, ident: int, reply: Reply) -> None:
        try:
            self.listener.send(ident, reply.error, reply.value, reply.cont)
        except Gone:
            return


def main() -> None:
    mode, hosts, *words = sys.argv[1:]
    numbers, go = os.pipe(), os.pipe()
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            try:
                child(words, numbers[1], go[0], output.fileno())
            finally:
                os._exit(99)
        loop = Loop(mode, json.loads(hosts), borrow(pid, int(os.read(numbers[0], 16))))
        os.write(go[1], b"g")
        before = len(os.listdir("/proc/self/fd"))
        code = loop.run(pid)
        leaked = len(os.listdir("/proc/self/fd")) - before - 1  # the pidfd of run()
        output.seek(0)
        report = {"events": loop.events, "exit": code, "leaked": leaked, "output": output.read().decode()}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
