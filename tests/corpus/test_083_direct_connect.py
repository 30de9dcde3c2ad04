"""Escapes 83, 87: connect directly, whatever proxy variables say; another port of a host that is allowed."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


CODE = """
answers = []
for family, address in {addresses}:
    with socket.socket(family) as s:
        s.settimeout(5)
        answers.append(attempt(s.connect, address))
print(json.dumps(answers))
"""


def _listener(family: int = socket.AF_INET, host: str = "127.0.0.1") -> tuple[socket.socket, int]:
    server = socket.socket(family)
    server.bind((host, 0))
    server.listen(8)
    server.setblocking(False)
    return server, int(server.getsockname()[1])


def test_foreign_listener_on_loopback(cage: Cage) -> None:
    """A service of the user's on loopback acts for whoever connects: a deputy. Spelling the address does not matter."""
    server, port = _listener()
    addresses = [
        (2, ("127.0.0.1", port)),
        (2, ("127.0.0.2", port)),
        (2, ("0.0.0.0", port)),
        (10, ("::ffff:127.0.0.1", port)),
    ]
    with server:
        script = cage.script(CODE.format(addresses=addresses))
        assert cage.bare(script).stdout.startswith(b'["ok"')
        server.accept()[0].close()
        while True:  # what else the bare run left in the queue
            try:
                server.accept()[0].close()
            except BlockingIOError:
                break
        outcome = cage.run(script)
        answers = json.loads(outcome.stdout)
        assert "ok" not in answers and answers[0] == "EACCES", answers
        with pytest.raises(BlockingIOError):
            server.accept()
        cage.refused(outcome, cage.HOSTS)


def test_only_the_named_port(cage: Cage) -> None:
    allowed, one = _listener()
    other, two = _listener()
    with allowed, other:
        cage.profile(f'[scope]\nhosts = ["127.0.0.1:{one}"]\n')
        addresses = [(2, ("127.0.0.1", one)), (2, ("127.0.0.1", two))]
        outcome = cage.run(cage.script(CODE.format(addresses=addresses)))
        assert json.loads(outcome.stdout) == ["ok", "EACCES"]
        allowed.accept()[0].close()
        with pytest.raises(BlockingIOError):
            other.accept()
        cage.refused(outcome, cage.HOSTS)


def test_shell_redirection(cage: Cage) -> None:
    server, port = _listener()
    with server:
        outcome = cage.run(f"echo secret > /dev/tcp/127.0.0.1/{port}")
        assert outcome.code != 0
        with pytest.raises(BlockingIOError):
            server.accept()
        cage.refused(outcome, cage.HOSTS)


def test_own_listener(cage: Cage) -> None:
    """A dev server of the run's own needs no rule; nobody listening is told as it is."""
    code = """
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen()
client = socket.socket(); client.connect(server.getsockname()); client.send(b"hello")
peer = server.accept()[0]
port = server.getsockname()[1]
got = peer.recv(5).decode()
for each in (client, peer, server): each.close()
print(json.dumps([got, attempt(socket.socket().connect, ("127.0.0.1", port))]))
"""
    assert cage.probe(code) == ["hello", "ECONNREFUSED"]
