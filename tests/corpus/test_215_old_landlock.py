"""Escape 215: on the oldest kernels that are supported Landlock knows neither truncation nor signals, so nothing that
a pointer or a number leads to may be left to the kernel there. Emulated: the supervisor believes in an older ABI."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome
    from tests.corpus.conftest import Cage

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="call numbers of x86-64")

OLD = """
import sys
from supervisor.kernel import landlock, probe
ABI = int(sys.argv.pop(1))
landlock.abi = lambda: ABI
facts = probe.start_facts
probe.start_facts = lambda *words, **named: facts(*words, **named)._replace(landlock_abi=ABI)
from supervisor.cli.main import main
sys.exit(main())
"""


def _run(cage: Cage, code: str, abi: int) -> Outcome:
    place = cage.tree.parent / "govrun_old.py"  # cage.script finds the supervisor by its command line
    place.write_text(OLD)
    words = cage.script(code).split()
    env = cage.govrun.env | {"HOME": str(cage.home), "OUT": str(cage.outside)}
    runner = [cage.govrun.interpreter, "-I", str(place), str(abi), "--", *words]
    return cage.govrun._spawn(list(runner), None, env, {}).wait(40)


TRUNCATE = """
import threading, time
how = (ctypes.c_uint64 * 3)(0, 0, 0)
running = True
def flip():
    while running:
        how[0] = os.O_TRUNC
        how[0] = 0
thread = threading.Thread(target=flip)
thread.start()
end = time.monotonic() + 4
for _ in range(6000):
    if os.stat(VICTIM).st_size == 0 or time.monotonic() > end:
        break
    fd = libc.syscall(437, AT, c(VICTIM), how, 24)
    if fd >= 0:
        os.close(fd)
running = False
thread.join()
print(json.dumps("through"))
"""


@pytest.mark.parametrize("abi", [2, 3])
def test_read_only_open_that_truncates(cage: Cage, abi: int) -> None:
    outcome = _run(cage, TRUNCATE, abi)
    assert (cage.outside / "victim").read_text() == "original victim\n"
    if outcome.code == 125:
        assert "Landlock" in outcome.stderr  # such a kernel is refused, and nothing ran
        assert not outcome.stdout
    else:
        assert json.loads(outcome.stdout) == "through", outcome.stderr


SIGNAL = """
import threading, time
child = os.fork()
if child == 0:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(30)
    os._exit(0)
theirs, mine = os.pidfd_open(supervisor()), os.pidfd_open(child)
fd = os.dup(mine)
running = True
def flip():
    while running:
        os.dup2(theirs, fd)
        os.dup2(mine, fd)
sys.setswitchinterval(1e-5)
thread = threading.Thread(target=flip)
thread.start()
end = time.monotonic() + 4
for _ in range(3000):
    if time.monotonic() > end:
        break
    libc.syscall(424, fd, int(signal.SIGINT), None, 0)
running = False
thread.join()
print(json.dumps("through"))
"""


def test_pidfd_that_is_swapped(cage: Cage) -> None:
    outcome = _run(cage, SIGNAL, 5)
    assert outcome.stdout == b'"through"\n', outcome.stderr
    assert outcome.code == 0
