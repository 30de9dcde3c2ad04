"""Which sockets belong to the run, and whether everything behind an address does.

A socket is known by its cookie, which the kernel never gives twice: ports, names and inodes are reused, cookies are
not. A query that fails is answered "not the run's".
"""

from __future__ import annotations

import os
from typing import NamedTuple

from supervisor.kernel import sockdiag, sockets
from supervisor.kernel.sockets import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    Address,
)

_PRUNE_AT = 16384


class Standing(NamedTuple):
    """``local``: the address is one of this machine. ``listening``: somebody is reached there. ``own``: nobody but
    the run is, which includes nobody at all."""

    local: bool
    listening: bool
    own: bool


OWN_LISTENER = Standing(local=True, listening=True, own=True)
ELSEWHERE = Standing(local=False, listening=True, own=False)
_STRANGERS = Standing(local=True, listening=True, own=False)


class OwnSockets:
    """The run's reachable sockets. Implements ``vocabulary.netacts.Ledger``."""

    def __init__(self) -> None:
        self._cookies: set[int] = set()
        self._files: dict[tuple[int, int], tuple[int, int]] = {}
        self._limit = _PRUNE_AT

    def opened(self, sock: int, file: tuple[int, int] | None) -> None:
        """Remember a socket of the run: it listens, is bound, or got an address of its own by sending."""
        cookie = sockets.cookie(sock)
        self._cookies.add(cookie)
        if file is not None:
            self._files[file] = (os.fstat(sock).st_ino, cookie)
        if len(self._cookies) + len(self._files) > self._limit:
            self._prune()

    def is_own(self, sock: int, address: bytes) -> bool:
        """Whether an IP address holds no listener but the run's, now. False when that cannot be told."""
        try:
            protocol = sockets.facts(sock).protocol
            return self.behind(protocol, sockets.parse(address, unspec_is_inet=True)).own
        except OSError:
            return False

    def behind(self, protocol: int, address: Address) -> Standing:
        """What an IP address leads to. ``protocol``: IPPROTO_TCP or IPPROTO_UDP; others have no listeners to ask for
        and are never the run's own."""
        if address.family not in (AF_INET, AF_INET6):
            return ELSEWHERE
        nowhere = not any(address.host)  # 0.0.0.0 and :: lead to this machine, to whichever address is bound
        try:
            if not nowhere and not is_loopback(address.host) and not sockdiag.is_local(address.host):
                return ELSEWHERE
            if protocol in (IPPROTO_ICMP, IPPROTO_ICMPV6):
                return Standing(local=True, listening=False, own=True)  # the kernel itself answers a ping
            if protocol not in (IPPROTO_TCP, IPPROTO_UDP):
                return _STRANGERS
            found = sockdiag.listeners(protocol, address.port)
        except OSError:
            return _STRANGERS
        reached = [one for one in found if nowhere or _reaches(one.address, address.host)]
        return Standing(True, bool(reached), all(one.cookie in self._cookies for one in reached))

    def behind_file(self, file: tuple[int, int]) -> Standing:
        """Who listens at a UNIX socket's inode (device, inode). ``own`` without ``listening``: the run bound it and
        closed the socket, so that the inode number may mean another file by now: nobody may connect there."""
        known = self._files.get(file)
        if known is None:
            return _STRANGERS
        try:
            # While the socket lives it pins the inode, so the number cannot have been reused.
            alive = sockdiag.unix_alive(*known)
        except OSError:
            return _STRANGERS
        return Standing(True, alive, True)

    def behind_name(self, name: bytes) -> Standing:
        """Who holds an abstract name (``\\0name``)."""
        try:
            found = sockdiag.unix_named(name)
        except OSError:
            return _STRANGERS
        return Standing(True, bool(found), all(cookie in self._cookies for cookie in found))

    def _prune(self) -> None:
        """Forget sockets that are closed. When the kernel cannot list them all stay: memory, not safety."""
        try:
            alive = sockdiag.cookies()
        except OSError:
            self._limit *= 2
            return
        self._cookies &= alive
        self._files = {file: known for file, known in self._files.items() if known[1] in alive}
        self._limit = max(_PRUNE_AT, 2 * (len(self._cookies) + len(self._files)))


def by_loopback(raw: bytes) -> bytes:
    """The same port at 127.0.0.1 or ::1, in the form that the sockaddr already has."""
    if len(raw) < 24 or int.from_bytes(raw[:2], "little") != AF_INET6:
        return raw[:4] + b"\x7f\0\0\1" + raw[8:]
    mapped = raw[8:20] == bytes(10) + b"\xff\xff"
    host = raw[8:20] + b"\x7f\0\0\1" if mapped else bytes(15) + b"\1"
    return raw[:8] + host + bytes(len(raw) - 24)


def is_loopback(host: bytes) -> bool:
    """127.0.0.0/8 or ::1."""
    return host[0] == 127 if len(host) == 4 else host == bytes(15) + b"\1"


def _reaches(listener: bytes, host: bytes) -> bool:
    """Whether a socket bound to ``listener`` takes what is sent to ``host``. A v6 wildcard is taken to accept v4 too:
    whether it is IPV6_V6ONLY is not asked."""
    if listener[:12] == bytes(10) + b"\xff\xff" and len(listener) == 16:
        listener = listener[12:]
    if not any(listener):
        return len(listener) == 16 or len(host) == 4
    return listener == host


def show(address: Address) -> str:
    """The host as text, IPv6 in the form of RFC 5952."""
    if address.family == AF_UNIX or not address.host:
        return ""
    if len(address.host) == 4:
        return ".".join(map(str, address.host))
    groups = [f"{int.from_bytes(address.host[at : at + 2], 'big'):x}" for at in range(0, 16, 2)]
    longest = max((run for run in _zero_runs(groups)), key=len, default=range(0))
    if len(longest) < 2:
        return ":".join(groups)
    return ":".join(groups[: longest.start]) + "::" + ":".join(groups[longest.stop :])


def _zero_runs(groups: list[str]) -> list[range]:
    runs: list[range] = []
    for at, group in enumerate(groups):
        if group != "0":
            continue
        if runs and runs[-1].stop == at:
            runs[-1] = range(runs[-1].start, at + 1)
        else:
            runs.append(range(at, at + 1))
    return runs
