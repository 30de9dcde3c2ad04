"""Socket calls on behalf: the same results as bare for what is allowed, EACCES and no effect for what is not."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.enforce.network import perform
from supervisor.kernel.sockets import unix_address
from supervisor.surfaces.sockets import OwnSockets
from supervisor.vocabulary.acts import Reply
from supervisor.vocabulary.netacts import NetAct
from tests.kernel.network_kit import HERE, bare, mediated

pytestmark = pytest.mark.needs("notify")
CASES = re.findall(r"^@case\ndef (\w+)\(", (HERE / "network_cases.py").read_text(), re.MULTILINE)


def test_same_as_bare() -> None:
    """Every case of network_cases.py, as whoever runs the tests."""
    with scratch() as folder:
        expected = json.loads(bare(["network_cases.py"], cwd=folder))
        report = mediated(["network_cases.py"], cwd=folder)
    got = json.loads(report.output)
    assert set(expected) == set(CASES)
    assert {name: got.get(name) for name in expected} == expected
    assert report.denied == []
    assert report.leaked == 0
    assert report.exit == 0


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


class Host:
    """Listeners of programs outside the run, and whether anything reached them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.tcp6 = socket.create_server(("::1", 0), family=socket.AF_INET6)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix = self._unix(socket.SOCK_STREAM, str(folder / "stream"))
        self.dgram = self._unix(socket.SOCK_DGRAM, str(folder / "dgram"))
        self.abstract_name = f"\0govrun-host-{os.getpid()}"
        self.abstract = self._unix(socket.SOCK_STREAM, self.abstract_name)
        os.symlink("stream", folder / "link")
        for one in self.all:
            one.setblocking(False)

    @staticmethod
    def _unix(kind: int, name: str) -> socket.socket:
        server = socket.socket(socket.AF_UNIX, kind)
        server.bind(name)
        if kind == socket.SOCK_STREAM:
            server.listen(8)
        return server

    @property
    def all(self) -> list[socket.socket]:
        return [self.tcp, self.tcp6, self.udp, self.unix, self.dgram, self.abstract]

    def reached(self) -> list[str]:
        found = []
        for one in self.all:
            with contextlib.suppress(BlockingIOError):
                if one.type == socket.SOCK_DGRAM:
                    one.recv(9)
                else:
                    one.accept()[0].close()
                found.append(str(one.getsockname()))
        return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    for one in made.all:
        one.close()


CLIENT = r"""
import ctypes, errno, json, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(function, *args):
    try:
        function(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
def tcp(address, family=socket.AF_INET):
    return attempt(socket.socket(family).connect, address)
def udp(address, family=socket.AF_INET):
    return attempt(socket.socket(family, socket.SOCK_DGRAM).sendto, b"x", address)
def udp_connect(address, family=socket.AF_INET):
    return attempt(socket.socket(family, socket.SOCK_DGRAM).connect, address)
def udp_message(address):
    return attempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg, [b"x"], [], 0, address)
def unix(name, kind=socket.SOCK_STREAM):
    return attempt(socket.socket(socket.AF_UNIX, kind).connect, name)
def unix_send(name):
    return attempt(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto, b"x", name)
"""


def client(folder: Path, text: str, hosts: list[str] | None = None) -> tuple[Any, list[dict[str, Any]]]:
    """Run a client under the harness; the value of the expression it prints, and the denied events."""
    (folder / "client.py").write_text(CLIENT + f"\nprint(json.dumps({text}))\n")
    report = mediated([str(folder / "client.py")], cwd=folder, hosts=hosts)
    assert report.leaked == 0
    return json.loads(report.output), report.denied


def test_listeners_of_others_are_refused(host: Host, tmp_path: Path) -> None:
    port, port6, udp = (one.getsockname()[1] for one in (host.tcp, host.tcp6, host.udp))
    v4 = [f"tcp(({name!r}, {port}))" for name in ("127.0.0.1", "0.0.0.0", "127.8.8.8", "localhost")]
    calls = [
        *(call for call in v4 if "8.8" not in call),
        f"tcp(('::1', {port6}), socket.AF_INET6)",
        f"tcp(('::', {port6}), socket.AF_INET6)",
        f"tcp(('::ffff:127.0.0.1', {port}), socket.AF_INET6)",
        f"udp(('127.0.0.1', {udp}))",
        f"udp(('::ffff:127.0.0.1', {udp}), socket.AF_INET6)",
        f"udp_connect(('127.0.0.1', {udp}))",
        f"udp_message(('0.0.0.0', {udp}))",
        "unix('stream')",
        f"unix({str(tmp_path / 'stream')!r})",
        "unix('link')",
        f"unix('/proc/self/cwd/../{tmp_path.name}/./stream')",
        f"unix({host.abstract_name!r})",
        "unix('dgram', socket.SOCK_DGRAM)",
        "unix_send('dgram')",
    ]
    got, denied = client(tmp_path, f"[{', '.join(calls)}]")
    assert dict(zip(calls, got, strict=True)) == dict.fromkeys(calls, "EACCES")
    assert host.reached() == []
    assert len(denied) == len(calls)
    assert all(event["message"] for event in denied)


def test_private_and_metadata_addresses_are_refused(tmp_path: Path) -> None:
    """Nothing is sent: each of these would leave the machine (or be swallowed) without a supervisor."""
    v4 = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "169.254.1.1", "224.0.0.1",
          "255.255.255.255", "240.0.0.1", "198.18.0.1"]  # fmt: skip
    v6 = ["fd00::1", "fe80::1", "fd00:ec2::254", "ff02::1", "::ffff:10.1.2.3", "64:ff9b::a01:203", "2002:a01:203::1",
          "::10.1.2.3", "fec0::1"]  # fmt: skip
    calls = [f"{call}(({one!r}, 80))" for one in v4 for call in ("tcp", "udp", "udp_connect", "udp_message")]
    calls += [f"{call}(({one!r}, 80), socket.AF_INET6)" for one in v6 for call in ("tcp", "udp", "udp_connect")]
    got, denied = client(tmp_path, f"[{', '.join(calls)}]")
    assert dict(zip(calls, got, strict=True)) == dict.fromkeys(calls, "EACCES")
    assert len(denied) == len(calls)


def test_ipv4_socket_takes_unspec_for_inet(host: Host, tmp_path: Path) -> None:
    """udp_sendmsg reads AF_UNSPEC as AF_INET: a sockaddr with family 0 is judged by its address."""
    port = host.udp.getsockname()[1]
    call = f"""(lambda s: libc.sendto(s.fileno(), b'x', 1, 0, struct.pack('=H', 0) + ({port}).to_bytes(2, 'big')
        + bytes([127, 0, 0, 1]) + bytes(8), 16))(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))"""
    got, denied = client(tmp_path, call)
    assert (got, len(denied), host.reached()) == (-1, 1, [])


def test_mixed_sendmmsg_sends_no_further_than_judged(host: Host, tmp_path: Path) -> None:
    """Messages to several addresses in one call: the first, the run's own, goes out; the second is another call."""
    port = host.udp.getsockname()[1]
    text = f"""
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); own.bind(('127.0.0.1', 0))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
keep = []
def header(port):
    address = struct.pack('=H', 2) + port.to_bytes(2, 'big') + bytes([127, 0, 0, 1]) + bytes(8)
    name = ctypes.create_string_buffer(address, 16)
    data = ctypes.create_string_buffer(b'x')
    iov = ctypes.create_string_buffer(struct.pack('=QQ', ctypes.addressof(data), 1), 16)
    keep.extend([name, data, iov])
    return struct.pack('=QI4xQQQQI4xI4x', ctypes.addressof(name), 16, ctypes.addressof(iov), 1, 0, 0, 0, 0)
both = ctypes.create_string_buffer(header(own.getsockname()[1]) + header({port}), 128)
first = libc.sendmmsg(sender.fileno(), both, 2, 0)
second = libc.sendmmsg(sender.fileno(), ctypes.byref(both, 64), 1, 0)
result = [first, second, ctypes.get_errno(), own.recv(9).decode()]
"""
    (tmp_path / "client.py").write_text(CLIENT + text + "\nprint(json.dumps(result))\n")
    report = mediated([str(tmp_path / "client.py")], cwd=tmp_path)
    assert json.loads(report.output) == [1, -1, errno.EACCES, "x"]
    assert host.reached() == []


def test_named_ones_are_reached(host: Host, tmp_path: Path) -> None:
    port, port6, udp = (one.getsockname()[1] for one in (host.tcp, host.tcp6, host.udp))
    hosts = [
        f"127.0.0.1:{port}", f"[::1]:{port6}", f"127.0.0.1:{udp}", f"unix:{tmp_path}/str*", f"unix:{tmp_path}/dgram",
        f"unix:@{host.abstract_name[1:]}",
    ]  # fmt: skip
    calls = [
        f"tcp(('127.0.0.1', {port}))", f"tcp(('::1', {port6}), socket.AF_INET6)", f"udp(('127.0.0.1', {udp}))",
        "unix('link')", "unix_send('dgram')", f"unix({host.abstract_name!r})",
    ]  # fmt: skip
    got, denied = client(tmp_path, f"[{', '.join(calls)}]", hosts)
    assert dict(zip(calls, got, strict=True)) == dict.fromkeys(calls, "ok")
    assert denied == []
    assert len(host.reached()) == len(calls)


def test_port_shared_with_a_stranger_is_not_own(tmp_path: Path) -> None:
    """SO_REUSEPORT: the run listens on a port where a program outside it does too."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen(8)
        port = stranger.getsockname()[1]
        text = f"""(lambda s: [s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1),
            attempt(s.bind, ('127.0.0.1', {port})), attempt(s.listen, 5),
            tcp(('127.0.0.1', {port}))])(socket.socket())"""
        got, denied = client(tmp_path, text)
    assert got == [None, "ok", "ok", "EACCES"]
    assert len(denied) == 1


def test_source_routes_are_refused(tmp_path: Path) -> None:
    """IP_RETOPTS in a control message is a source route: the packet would go elsewhere first."""
    text = """(lambda own, s: [own.bind(('127.0.0.1', 0)), attempt(s.sendmsg, [b'x'],
        [(socket.SOL_IP, 7, bytes([131, 7, 4, 10, 0, 0, 1, 0]))], 0, own.getsockname())])(
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM))"""
    got, denied = client(tmp_path, text)
    assert got[-1] == "EACCES"
    assert "control message" in denied[0]["message"]


def test_fast_open_and_zero_copy(tmp_path: Path) -> None:
    text = """[attempt(socket.socket().sendto, b'x', socket.MSG_FASTOPEN, ('127.0.0.1', 9)),
        attempt(socket.socketpair()[0].sendmsg, [b'x'], [], 0x4000000)]"""
    assert client(tmp_path, text)[0] == ["ENOTSUP", "ENOBUFS"]


def namespaced(*words: str) -> str:
    """Run in a user and network namespace of its own."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    environment = {"PATH": path, "PYTHONPATH": str(HERE.parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(["unshare", "-Urn", *words], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bind_goes_nowhere_else_when_the_directory_was_replaced(tmp_path: Path) -> None:
    """The name is resolved again at the act; if it leads elsewhere by then, nothing is made, there or here."""
    for name in ("judged", "other"):
        (tmp_path / name).mkdir()
    os.symlink("other", tmp_path / "link")
    before = os.getcwd(), os.umask(0o22)
    for text in (bytes(tmp_path / "link" / "x"), b"link/x"):
        sock = socket.socket(socket.AF_UNIX)
        cwd, parent = os.open(tmp_path, os.O_PATH), os.open(tmp_path / "judged", os.O_PATH)
        handles: dict[str, Any] = {"parent": parent, "name": b"x", "cwd": -1 if text.startswith(b"/") else cwd}
        act = NetAct("bind", sock.detach(), os.getpid(), os.getpid(), unix_address(text), **handles)  # type: ignore[arg-type]
        assert perform(act, OwnSockets(), 0) == Reply(error=errno.EACCES)
    assert (os.getcwd(), os.umask(before[1])) == (before[0], 0o22)
    assert [*(tmp_path / "judged").iterdir(), *(tmp_path / "other").iterdir()] == []


def test_sctp_is_refused(tmp_path: Path) -> None:
    """It connects by a socket option and sends to further addresses; where one can be made, nothing gets out."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()  # MPTCP stands in: SCTP is seldom built in
    except OSError:
        pytest.skip("neither SCTP nor MPTCP here")
    text = """(lambda s: [attempt(s.connect, ('8.8.8.8', 9)), attempt(s.sendto, b'x', ('8.8.8.8', 9)),
        attempt(s.sendmsg, [b'x']), attempt(s.listen, 1)])(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))"""
    got, denied = client(tmp_path, text)
    assert got == ["EACCES"] * 4
    assert len(denied) == 4


@pytest.mark.needs("userns")
def test_lo_keeps_neighbours_out() -> None:
    """A neighbour behind a veth pair reaches an open listener and not a confined one. Nor does this machine by its
    outer address, which is why connects to that are sent to loopback instead (next test)."""
    got = json.loads(namespaced(sys.executable, str(HERE / "network_outside.py")))
    assert got == {
        "open": {"127.0.0.1": True, "10.9.9.1": True, "outside": True},
        "confined": {"127.0.0.1": True, "10.9.9.1": False, "outside": False},
    }


@pytest.mark.needs("userns")
def test_own_listeners_at_other_addresses_of_the_machine(tmp_path: Path) -> None:
    text = """
def listener(host, family=socket.AF_INET):
    server = socket.socket(family)
    server.bind((host, 0))
    return server, attempt(server.listen, 5), server.getsockname()[1]
wide, one, port = listener("0.0.0.0")
wide6, two, port6 = listener("::", socket.AF_INET6)
near, three, inner = listener("127.0.0.1")
result = [one, two, three, tcp(("10.9.9.1", port)), tcp(("::ffff:10.9.9.1", port6), socket.AF_INET6),
    tcp(("fd09::1", port6), socket.AF_INET6), tcp(("10.9.9.1", inner)), listener("10.9.9.1")[1]]
"""
    (tmp_path / "client.py").write_text(CLIENT + text + "\nprint(json.dumps(result))\n")
    setup = (
        "set -e; ip link set lo up; ip link add d0 type veth peer name d1; ip link set d1 up;"
        " ip addr add 10.9.9.1/24 dev d0;"
        " ip -6 addr add fd09::1/64 dev d0 nodad; ip link set d0 up;"
    )
    words = [
        sys.executable,
        str(HERE / "network_harness.py"),
        "behalf",
        "null",
        sys.executable,
        str(tmp_path / "client.py"),
    ]
    report = json.loads(namespaced("sh", "-c", setup + ' exec "$@"', "sh", *words))
    assert json.loads(report["output"]) == ["ok", "ok", "ok", "ok", "ok", "ok", "ECONNREFUSED", "EACCES"]
    assert [event["op"] for event in report["events"] if event["blocks"]] == ["listen"]
