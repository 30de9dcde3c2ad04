"""Calls aimed at other processes: signals, limits, priorities, tracing, memory.

Their facts are in registers, so the kernel may run what was allowed; that a process id is reused in between is bounded
by the Landlock signal scope (ABI 6) for signals, and by ownership for the rest.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

from supervisor.kernel import memory
from supervisor.kernel import process as kernel_process
from supervisor.surfaces.files import Call, dirfd
from supervisor.surfaces.processes import Processes
from supervisor.vocabulary.acts import CONTINUE, Reply
from supervisor.vocabulary.events import ProcessEvent

_F_SETOWN, _F_SETOWN_EX = 8, 15  # asm-generic/fcntl.h
_PRIO_PROCESS, _PRIO_PGRP = 0, 1
_IOPRIO_PROCESS, _IOPRIO_PGRP = 1, 2
_PTRACE_TRACEME = 0


class Signals:
    """``scoped``: the kernel itself keeps signals inside the run (Landlock ABI 6)."""

    def __init__(self, processes: Processes, scoped: bool) -> None:
        self._processes = processes
        self._scoped = scoped
        at = self._target
        self.calls: dict[str, Callable[[Call], Reply | ProcessEvent]] = {
            "kill": self._kill,
            "tkill": lambda c: at(c, "signal", _int(c.args[0]), _signal(c.args[1])),
            "tgkill": lambda c: at(c, "signal", _int(c.args[0]), _signal(c.args[2])),
            "rt_sigqueueinfo": lambda c: at(c, "signal", _int(c.args[0]), _signal(c.args[1])),
            "rt_tgsigqueueinfo": lambda c: at(c, "signal", _int(c.args[0]), _signal(c.args[2])),
            "pidfd_send_signal": self._pidfd_signal,
            "prlimit64": lambda c: at(c, "limit", _int(c.args[0]), f"resource limit {c.args[1]}"),
            "sched_setaffinity": lambda c: at(c, "priority", _int(c.args[0]), "CPU affinity"),
            "sched_setscheduler": lambda c: at(c, "priority", _int(c.args[0]), "scheduler"),
            "sched_setparam": lambda c: at(c, "priority", _int(c.args[0]), "scheduler"),
            "setpriority": lambda c: self._which(c, _PRIO_PROCESS, _PRIO_PGRP),
            "ioprio_set": lambda c: self._which(c, _IOPRIO_PROCESS, _IOPRIO_PGRP),
            "fcntl": self._owner,
            "ptrace": self._ptrace,
            "process_vm_readv": lambda c: self._memory(c, _int(c.args[0])),
            "process_vm_writev": lambda c: self._memory(c, _int(c.args[0])),
            "process_madvise": lambda c: self._memory(c, self._of_pidfd(c, c.args[0])),
            "pidfd_getfd": lambda c: self._memory(c, self._of_pidfd(c, c.args[0])),
            "kcmp": lambda c: self._memory(c, _int(c.args[0])),
        }

    def attempt(self, call: Call) -> Reply | ProcessEvent:
        """The event to judge, or the answer where nothing needs a verdict."""
        return self.calls[call.name](call)

    def _target(self, call: Call, op: str, pid: int, detail: str) -> Reply | ProcessEvent:
        if pid in (0, call.caller.tgid, call.caller.tid):
            return CONTINUE
        if pid < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if not os.path.exists(f"/proc/{pid}"):
            raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        return ProcessEvent(call.actor, op, pid, self._processes.belongs(pid), detail)

    def _kill(self, call: Call) -> Reply | ProcessEvent:
        pid, number = _int(call.args[0]), _signal(call.args[1])
        if pid > 0:
            return self._target(call, "signal", pid, number)
        if self._scoped:
            return CONTINUE  # a group: the kernel delivers to members of the domain alone
        group = os.getpgid(call.caller.tgid) if pid == 0 else -pid
        own = pid != -1 and all(self._processes.belongs(member) for member in _members(group))
        return ProcessEvent(call.actor, "signal", pid, own, f"{number} to a group")

    def _pidfd_signal(self, call: Call) -> Reply | ProcessEvent:
        pid, name = self._of_pidfd(call, call.args[0]), _signal(call.args[1])
        if not self._scoped and pid != call.caller.tgid:
            # Another thread could put a different pidfd under that number before the kernel looks.
            return ProcessEvent(call.actor, "signal", pid, False, f"{name} by pidfd, on a kernel without signal scopes")
        return self._target(call, "signal", pid, name)

    def _which(self, call: Call, of_process: int, of_group: int) -> Reply | ProcessEvent:
        which, who = _int(call.args[0]), _int(call.args[1])
        if which == of_process:
            return self._target(call, "priority", who, "priority")
        if which == of_group:
            members = _members(who or os.getpgid(call.caller.tgid))
            own = all(self._processes.belongs(member) for member in members)
            return CONTINUE if own else ProcessEvent(call.actor, "priority", who, False, "priority of a group")
        return ProcessEvent(call.actor, "priority", who, False, "priority of every process of a user")

    def _owner(self, call: Call) -> Reply | ProcessEvent:
        if _int(call.args[1]) == _F_SETOWN_EX and not self._scoped:
            return ProcessEvent(
                call.actor, "signal", 0, False, "SIGIO of a descriptor, on a kernel without signal scopes"
            )
        if _int(call.args[1]) == _F_SETOWN_EX:
            kind, pid = memoryview(memory.read(call.caller.tid, call.args[2], 8)).cast("i")
            pid = -pid if kind == 2 else pid  # F_OWNER_PGRP
        else:
            pid = _int(call.args[2])
        if pid >= 0:
            return self._target(call, "signal", pid, "SIGIO of a descriptor")
        own = all(self._processes.belongs(member) for member in _members(-pid))
        return CONTINUE if own else ProcessEvent(call.actor, "signal", pid, False, "SIGIO of a descriptor")

    def _ptrace(self, call: Call) -> Reply | ProcessEvent:
        # Who asks to be traced is traced by its parent; the agent's own is govrun.
        asks = _int(call.args[0]) == _PTRACE_TRACEME
        pid = kernel_process.parent_of(call.caller.tid) if asks else _int(call.args[1])
        return ProcessEvent(call.actor, "trace", pid, self._processes.belongs(pid), "ptrace")

    def _memory(self, call: Call, pid: int) -> Reply | ProcessEvent:
        if pid in (call.caller.tgid, call.caller.tid):
            return CONTINUE
        return ProcessEvent(call.actor, "trace", pid, self._processes.belongs(pid), call.name)

    @staticmethod
    def _of_pidfd(call: Call, register: int) -> int:
        """The process behind a pidfd of the caller (``Pid:`` in its fdinfo, proc(5))."""
        try:
            with open(f"/proc/{call.caller.tid}/fdinfo/{dirfd(register)}", "rb") as file:
                for line in file:
                    if line.startswith(b"Pid:"):
                        return int(line[4:])
        except OSError as error:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from error
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _members(group: int) -> list[int]:
    """Processes of a process group. One that ends meanwhile is none."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if os.getpgid(int(name)) == group:
                    found.append(int(name))
            except OSError:
                continue
    return found


def _int(register: int) -> int:
    return dirfd(register)


def _signal(register: int) -> str:
    number = _int(register)
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
