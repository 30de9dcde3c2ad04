"""Escapes 63, 85: socket families and protocols that pass beside every TCP rule (landrun: MPTCP)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


FAMILIES = {
    "packet": "socket.AF_PACKET, socket.SOCK_RAW, 0",
    "vsock": "40, socket.SOCK_STREAM, 0",
    "alg": "38, socket.SOCK_SEQPACKET, 0",
    "raw": "socket.AF_INET, socket.SOCK_RAW, 1",
    "mptcp": "socket.AF_INET, socket.SOCK_STREAM, 262",
    "mptcp6": "socket.AF_INET6, socket.SOCK_STREAM, 262",
    "sctp": "socket.AF_INET, socket.SOCK_STREAM, 132",
    "xdp": "44, socket.SOCK_RAW, 0",
    "bluetooth": "31, socket.SOCK_RAW, 1",
    "uevent": "socket.AF_NETLINK, socket.SOCK_RAW, 15",
    "audit": "socket.AF_NETLINK, socket.SOCK_RAW, 9",
}
REFUSED = {"EPERM", "EACCES", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"}


@pytest.mark.parametrize("name", FAMILIES)
def test_refused(cage: Cage, name: str) -> None:
    assert cage.probe(f"print(json.dumps(attempt(socket.socket, {FAMILIES[name]})))") in REFUSED


def test_ordinary_sockets_open(cage: Cage) -> None:
    code = (
        "print(json.dumps([attempt(socket.socket, f, t, 0) for f, t in ((1, 1), (1, 2), (1, 5), "
        "(2, 1), (2, 2), (10, 1), (16, 3))]))"
    )
    assert set(cage.probe(code)) == {"ok"}
