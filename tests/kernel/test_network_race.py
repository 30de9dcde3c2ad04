"""Real racing threads and processes against socket calls: no forbidden effect in 5,000 rounds each.

Each race is first shown to be real: answered the naive way (CONTINUE) it reaches what is forbidden.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.network_kit import Report, mediated

pytestmark = pytest.mark.needs("notify")
ROUNDS = 5000
RACERS = ["port_by_thread", "port_by_process", "descriptor", "name_by_rename"]


@contextlib.contextmanager
def forbidden(race: str, folder: Path) -> Iterator[socket.socket]:
    """The listener of a program outside the run."""
    if race == "name_by_rename":
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(folder / "foreign"))
        (folder / "foreign").chmod(0o777)
    else:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if race == "descriptor" else socket.SOCK_STREAM)
        server.bind(("127.0.0.1", 0))
    if race != "descriptor":
        server.listen(4096)
    server.setblocking(False)
    with server:
        yield server


def reached(server: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            if server.type == socket.SOCK_DGRAM:
                server.recv(16)
            else:
                server.accept()[0].close()
            count += 1
    return count


def race(name: str, mode: str, rounds: int, folder: Path) -> tuple[int, Report]:
    with forbidden(name, folder) as server:
        port = 0 if server.family == socket.AF_UNIX else server.getsockname()[1]
        report = mediated(["network_racer.py", name, str(rounds), str(port)], mode=mode, cwd=folder)
        return reached(server), report


@pytest.mark.parametrize("name", RACERS)
def test_continue_loses(name: str, tmp_path: Path) -> None:
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        if race(name, "continue", 500, folder)[0]:
            return
    pytest.fail("the racing program never wins against CONTINUE: it shows nothing")


@pytest.mark.parametrize("name", RACERS)
def test_on_behalf_never_loses(name: str, tmp_path: Path) -> None:
    hits, report = race(name, "behalf", ROUNDS, tmp_path)
    assert report.exit == 0
    assert hits == 0
    assert int(report.output) > 0, "nothing was allowed, so nothing was raced"
    assert report.leaked == 0
    if name != "name_by_rename":
        assert report.denied, "the forbidden address was never seen, so nothing was raced"
