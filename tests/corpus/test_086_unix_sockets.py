"""Escape 86: UNIX sockets of other programs are deputies: container engines, key agents, terminals, editors."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


CODE = """
s = socket.socket(socket.AF_UNIX, socket.{kind})
s.settimeout(5)
print(json.dumps(attempt({call})))
"""


def _server(name: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, kind)
    server.bind(name)
    if kind == socket.SOCK_STREAM:
        server.listen(8)
    server.setblocking(False)
    return server


@pytest.mark.parametrize("where", ["outside", "tree", "link", "abstract"])
def test_foreign_stream_socket(cage: Cage, where: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Relative names keep below the 108 bytes of an address. The socket in the tree was bound before the run began."""
    names = {"outside": "../home/outside/s", "tree": "s", "link": "l", "abstract": f"\0govrun-test-{os.getpid()}"}
    real = {"outside": cage.outside / "s", "tree": cage.tree / "s", "link": cage.outside / "s"}
    if where == "link":
        (cage.tree / "l").symlink_to("../home/outside/s")
    old = os.getcwd()
    os.chdir(cage.outside if where != "tree" else cage.tree)
    try:
        server = _server(names["abstract"] if where == "abstract" else real[where].name)
    finally:
        os.chdir(old)
    with server:
        outcome = cage.run(cage.script(CODE.format(kind="SOCK_STREAM", call=f"s.connect, {names[where]!r}")))
        assert outcome.stdout in (b'"EACCES"\n', b'"EPERM"\n'), outcome.stderr
        with pytest.raises(BlockingIOError):
            server.accept()
        cage.refused(outcome, cage.HOSTS)


def test_foreign_datagram_socket(cage: Cage) -> None:
    old = os.getcwd()
    os.chdir(cage.outside)
    try:
        server = _server("s", socket.SOCK_DGRAM)
    finally:
        os.chdir(old)
    with server:
        outcome = cage.run(cage.script(CODE.format(kind="SOCK_DGRAM", call="s.sendto, b'x', '../home/outside/s'")))
        assert outcome.stdout == b'"EACCES"\n', outcome.stderr
        with pytest.raises(BlockingIOError):
            server.recv(9)
        cage.refused(outcome, cage.HOSTS)


def test_named_socket_is_allowed(cage: Cage) -> None:
    cage.profile(f'[scope]\nhosts = ["unix:{cage.outside}/s"]\n')
    old = os.getcwd()
    os.chdir(cage.outside)
    try:
        server = _server("s")
    finally:
        os.chdir(old)
    with server:
        assert cage.probe(CODE.format(kind="SOCK_STREAM", call="s.connect, '../home/outside/s'")) == "ok"
        server.accept()[0].close()


def test_own_sockets(cage: Cage) -> None:
    code = """
answers = []
for name in ("own", "\\0own-%d" % os.getpid()):
    server = socket.socket(socket.AF_UNIX); server.bind(name); server.listen()
    client = socket.socket(socket.AF_UNIX); client.connect(name); client.send(b"hello")
    answers.append(server.accept()[0].recv(5).decode())
left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
left.send(b"pair")
print(json.dumps([*answers, right.recv(9).decode()]))
"""
    assert cage.probe(code) == ["hello", "hello", "pair"]


@pytest.mark.needs("tmux")
def test_tmux_of_the_user(cage: Cage) -> None:
    """A command typed into the user's terminal multiplexer would run outside."""
    folder = tempfile.mkdtemp(prefix="gv", dir="/tmp")
    name = f"{folder}/t"
    started = subprocess.run(
        ["tmux", "-S", name, "-f", "/dev/null", "new-session", "-d", "sleep 120"], capture_output=True
    )
    assert started.returncode == 0, started.stderr
    try:
        outcome = cage.run(
            f"""tmux -S {name} run-shell 'echo x >> {cage.outside}/victim'; tmux -S {name} kill-server"""
        )
        assert outcome.code != 0
        assert (cage.outside / "victim").read_text() == "original victim\n"
        assert subprocess.run(["tmux", "-S", name, "has-session"], capture_output=True).returncode == 0
        cage.refused(outcome, cage.HOSTS)
    finally:
        subprocess.run(["tmux", "-S", name, "kill-server"], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
