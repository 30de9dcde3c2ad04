"""Escape 84: datagrams carry data out without a connection (CVE-2025-55284 used names)."""

from __future__ import annotations

import platform
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


SENDS = {
    "sendto": "attempt(s.sendto, b'x', ADDRESS)",
    "connect and send": "attempt(lambda: (s.connect(ADDRESS), s.send(b'x')))",
    "sendmsg": "attempt(s.sendmsg, [b'x'], [], 0, ADDRESS)",
    "sendmmsg": "mmsg()",
    "write": "attempt(lambda: (s.connect(ADDRESS), os.write(s.fileno(), b'x')))",
}
CODE = """
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ADDRESS = ("127.0.0.1", {port})
def mmsg():
    raw = struct.pack("=H", 2) + struct.pack("!H", ADDRESS[1]) + socket.inet_aton(ADDRESS[0])
    name = ctypes.create_string_buffer(raw + bytes(8), 16)
    data = ctypes.create_string_buffer(b"x", 1)
    vector = (ctypes.c_uint64 * 2)(ctypes.addressof(data), 1)
    message = (ctypes.c_uint64 * 8)(ctypes.addressof(name), 16, ctypes.addressof(vector), 1, 0, 0, 0, 0)
    return sc(307, s.fileno(), message, 1, 0)
print(json.dumps({send}))
"""


@pytest.mark.parametrize("how", SENDS)
def test_foreign_datagram_socket(cage: Cage, how: str) -> None:
    if how == "sendmmsg" and platform.machine() != "x86_64":
        pytest.skip("call number of x86-64")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        script = cage.script(CODE.format(port=server.getsockname()[1], send=SENDS[how]))
        assert cage.bare(script).stdout == b'"ok"\n'
        assert server.recv(9) == b"x"
        server.setblocking(False)
        outcome = cage.run(script)
        assert outcome.stdout == b'"EACCES"\n', outcome.stderr
        with pytest.raises(BlockingIOError):
            server.recv(9)
        cage.refused(outcome, cage.HOSTS)


def test_own_datagram_socket(cage: Cage) -> None:
    code = """
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(("127.0.0.1", 0)); server.settimeout(5)
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.sendto(b"hi", server.getsockname())
data, sender = server.recvfrom(9); server.sendto(b"back", sender)
print(json.dumps([data.decode(), client.recv(9).decode()]))
"""
    assert cage.probe(code) == ["hi", "back"]
