"""Escape 94: data with the handshake (TCP fast open) and sends without a connect."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


CODE = """
s = socket.socket()
def late():
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT
    s.connect(ADDRESS)
    s.send(b"x")
ADDRESS = ("127.0.0.1", {port})
print(json.dumps([
    attempt(s.sendto, b"x", socket.MSG_FASTOPEN, ADDRESS),
    attempt(s.sendmsg, [b"x"], [], socket.MSG_FASTOPEN, ADDRESS),
    attempt(late),
]))
"""


def test_fast_open(cage: Cage) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        server.setblocking(False)
        answers = cage.probe(CODE.format(port=server.getsockname()[1]))
        assert answers[0] == answers[1] == "EOPNOTSUPP", answers
        assert answers[2] in ("EACCES", "ENOPROTOOPT"), answers  # the connect is judged, or the option refused
        with pytest.raises(BlockingIOError):
            server.accept()


def test_listen_without_bind(cage: Cage) -> None:
    """An automatic bind slips past bind rules; the listener still belongs to the run, on loopback as elsewhere."""
    code = """
s = socket.socket()
s.listen()
port = s.getsockname()[1]
client = socket.socket()
print(json.dumps(attempt(client.connect, ("127.0.0.1", port))))
"""
    assert cage.probe(code) == "ok"
