"""The last steps before the agent's first instruction. Runs after the fork; imports nothing and logs nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
from typing import NamedTuple, NoReturn

from supervisor.kernel import landlock, libc, process, seccomp


class Launch(NamedTuple):
    """Everything the child needs, made before the fork. ``tell`` and ``wait`` are pipe ends: the child writes the
    number of its listener, or an error, and waits for one byte before it executes."""

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


_TELL, _WAIT, _DOMAIN = 3, 4, 5


def _close_others(launch: Launch) -> None:
    """Keep 0-2 and the three descriptors below; everything else would be a way around the domain."""
    kept = (launch.tell, launch.wait, launch.domain.fd)
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _DOMAIN + 1) for fd in kept]
    for at, fd in enumerate(high):
        os.dup2(fd, _TELL + at, inheritable=False)
    libc.close_range(_DOMAIN + 1)


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
