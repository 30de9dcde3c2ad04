"""The last steps before the agent's first instruction. Runs after the fork; imports nothing and logs nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
from typing import NamedTuple, NoReturn

from supervisor.kernel import landlock, libc, process, seccomp


class Beside(NamedTuple):
    """A process that is forked into the same confinement before the agent executes, and executes itself at once: its
    ``argv``, and the descriptors that it keeps, as ``FIRST`` and up; the last one takes what
    it says."""

    program: str
    argv: tuple[str, ...]
    descriptors: tuple[int, ...]


class Launch(NamedTuple):
    """Everything the child needs, made before the fork. ``tell`` and ``wait`` are pipe ends: the child writes the
    number of its listener, or an error, and waits for one byte before it executes. ``group``: the control file by which
    it enters its cgroup, -1 for none; ``limits``: (resource, value) of setrlimit(2)."""

    program: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    cwd: bytes
    filter: bytes
    domain: landlock.Ruleset
    tell: int
    wait: int
    terminal: int
    umask: int
    ignored: tuple[int, ...]
    files: int | None
    group: int = -1
    limits: tuple[tuple[int, int], ...] = ()
    beside: Beside | None = None


def become(launch: Launch) -> NoReturn:
    """Confine this process and execute. Every failure is reported through ``tell``; it ends in ``_exit``: 126
    when the program could not be executed, else 125."""
    stage, tell = "preparing", launch.tell
    try:
        process.die_with_parent(signal.SIGKILL)
        os.setpgid(0, 0)
        if launch.terminal >= 0:
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(launch.terminal, os.getpgrp())
        _reset_signals(launch.ignored)
        os.umask(launch.umask)
        # A core dump is written by the kernel without an open that could be judged.
        _limit(resource.RLIMIT_CORE, 1)
        if launch.files is not None:
            _limit(resource.RLIMIT_NOFILE, launch.files)
        for which, value in launch.limits:
            _limit(which, value)
        if launch.group >= 0:
            os.write(launch.group, b"0")
        os.chdir(launch.cwd)
        _close_others(launch)
        tell = _TELL
        stage = "no_new_privs"
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        stage = "entering the Landlock domain"
        launch.domain.fd = _DOMAIN
        launch.domain.restrict_self()
        os.close(_DOMAIN)
        stage = "loading the filter"
        listener = seccomp.load(launch.filter)
        os.write(tell, b"L%d\n" % listener)
        if launch.beside is not None:
            stage = "starting the process beside it"
            _stand_beside(launch.beside, launch.environment)
        stage = "waiting for the supervisor"
        if os.read(_WAIT, 1) != b"+":
            os._exit(125)
        os.close(listener)
        stage = "executing"
        _execute(launch)
    except OSError as error:
        number = error.errno or 0
        os.write(tell, b"E%d %s: %s\n" % (number, stage.encode(), str(error).encode("utf-8", "replace")))
        if stage == "executing":
            os._exit(126)
    finally:
        os._exit(125)


def _execute(launch: Launch) -> None:
    try:
        os.execve(launch.program, launch.argv, launch.environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # A script without a first line that names its interpreter: what every shell does, and execvp(3).
    os.execve("/bin/sh", ("sh", launch.program, *launch.argv[1:]), launch.environment)


def _stand_beside(beside: Beside, environment: dict[str, str]) -> None:
    """Forked twice: it is no child of the agent's, which would wait for it."""
    middle = os.fork()
    if middle == 0:
        try:
            if os.fork():
                os._exit(0)
            os.setpgid(0, 0)
            for fd in range(3):
                os.dup2(FIRST + len(beside.descriptors) - 1, fd)
            for at in range(len(beside.descriptors)):
                os.set_inheritable(FIRST + at, True)
            os.execve(beside.program, beside.argv, environment)
        finally:
            os._exit(125)
    os.waitpid(middle, 0)
    for at in range(len(beside.descriptors)):
        os.close(FIRST + at)


_TELL, _WAIT, _DOMAIN, FIRST = 3, 4, 5, 6


def _close_others(launch: Launch) -> None:
    """Keep 0-2 and the descriptors below; everything else would be a way around the domain."""
    kept = (launch.tell, launch.wait, launch.domain.fd, *(launch.beside.descriptors if launch.beside else ()))
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _TELL + len(kept)) for fd in kept]
    for at, fd in enumerate(high):
        os.dup2(fd, _TELL + at, inheritable=False)
    libc.close_range(_TELL + len(kept))


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard == resource.RLIM_INFINITY or value <= hard:
        resource.setrlimit(which, (value, value))


def _reset_signals(ignored: tuple[int, ...]) -> None:
    """As whoever started the run left them: what was ignored (nohup) stays so."""
    for number in _RESET:
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


_RESET = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE,
    signal.SIGCHLD, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGIO, signal.SIGURG, signal.SIGXFSZ,
)  # fmt: skip
