"""Stops of processes that the supervisor traces without having asked for it."""

from __future__ import annotations

import ctypes
import os
import signal

import pytest

from supervisor.kernel import ptrace
from supervisor.run.tracer import Tracer

_TRACEME = 0


def _asks_to_be_traced(act: str) -> int:
    """A child that makes its parent its tracer, then signals itself or executes; ends with 7."""
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).ptrace(_TRACEME, 0, 0, 0)
        if act == "signal":
            signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
            os.kill(os.getpid(), signal.SIGUSR1)
        else:
            os.execv("/bin/sh", ["sh", "-c", "exit 7"])
        os._exit(1)
    return pid


@pytest.mark.needs("yama")
@pytest.mark.parametrize("act", ["signal", "exec"])
@pytest.mark.timeout(20)
def test_a_stray_tracee_goes_on(act: str) -> None:
    tracer = Tracer(lambda *_: pytest.fail("nothing was started"), lambda _: pytest.fail("nothing was started"))
    pid = _asks_to_be_traced(act)
    while (change := ptrace.reap(pid)) is None:
        pass
    assert os.WIFSTOPPED(change[1])
    assert not tracer.changed(*change)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, ptrace.WALL)[1]) == 7
