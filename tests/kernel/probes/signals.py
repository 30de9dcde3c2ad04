"""Signals that arrive while a call is being performed: each act happens once, and says so."""

from __future__ import annotations

import os
import signal
import subprocess

import kit
from kit import case, names, put, text


def _storm(body: str, flags: bool) -> object:
    """Python retries EINTR itself, so this only counts acts; the exact errno is the C storm's matter."""
    source = (
        "import os, signal\n"
        "signal.signal(signal.SIGALRM, lambda *_: None)\n"
        f"signal.siginterrupt(signal.SIGALRM, {flags})\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
        "bad = 0\n"
        "for n in range(300):\n"
        "    try:\n"
        f"        {body}\n"
        "    except InterruptedError: pass\n"
        "    except OSError: bad += 1\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print(bad)\n"
    )
    out = subprocess.run(["/usr/bin/python3", "-c", source], capture_output=True, text=True, check=False)
    return [out.returncode, out.stdout, out.stderr]


@case
def storms() -> object:
    os.mkdir("d")
    return [
        _storm("os.mkdir(f'd/{n}')", False),
        _storm("os.close(os.open(f'd/f{n}', os.O_CREAT | os.O_EXCL | os.O_WRONLY))", False),
        _storm("os.rename(f'd/f{n}', f'd/g{n}')", False),
        _storm("os.unlink(f'd/g{n}')", False),
        len(names("d")),
    ]


@case
def spawning_in_a_storm() -> object:
    return _storm("os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)", False)


@case
def pending_signal_is_delivered_after_the_act() -> object:
    got: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: got.append(number))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    os.kill(os.getpid(), signal.SIGUSR1)
    put("f", "x")
    before = list(got)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    put("g", "y")
    return [before, got == [signal.SIGUSR1], text("f"), text("g")]


@case
def between_own_processes() -> object:
    """kill of own children, of the group and of oneself works; a missing pid is ESRCH."""
    seen: list[object] = []
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        signal.pause()
    os.setpgid(pid, pid)
    seen += [
        kit.t(os.kill, pid, 0),
        kit.t(os.killpg, pid, signal.SIGTERM),
        os.waitpid(pid, 0)[1],
        kit.t(os.kill, pid, 0),
    ]
    seen += [kit.t(os.kill, os.getpid(), 0), kit.t(os.kill, 2**22 - 1, 0), kit.t(os.kill, os.getpid(), 99)]
    return seen


@case
def killed_while_acting() -> object:
    """SIGKILL at any moment of a call: the act is whole or absent, and the others go on."""
    for number in range(40):
        os.mkdir(f"k{number}")
        pid = os.fork()
        if pid == 0:
            for step in range(100_000):
                fd = os.open(f"k{number}/a", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                os.close(fd)
                os.rename(f"k{number}/a", f"k{number}/b")
                os.mkdir(f"k{number}/d{step}")
                os.rmdir(f"k{number}/d{step}")
        while not os.path.exists(f"k{number}/b"):
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    left = [sorted({entry[0] for entry in names(f"k{number}")} - {"a", "b", "d"}) for number in range(40)]
    put("after", "fine")
    return [left == [[]] * 40, text("after")]


kit.main()
