"""Socket calls as programs make them. Run bare and mediated, every result must be the same; each case gives facts
that do not depend on ports, times or places. Prints one JSON object."""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
CASES: dict[str, Callable[[], Any]] = {}
BIG = 3_000_000


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    CASES[function.__name__] = function
    return function


def error(function: Callable[..., Any], *args: Any) -> str:
    try:
        return f"ok {function(*args)!r}"
    except OSError as failure:
        return errno.errorcode[failure.errno or 0]


@contextlib.contextmanager
def tcp(host: str = "127.0.0.1", family: int = socket.AF_INET) -> Iterator[tuple[socket.socket, int]]:
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen(5)
        yield server, server.getsockname()[1]


def raw(name: str, *args: Any) -> str:
    ctypes.set_errno(0)
    done = getattr(libc, name)(*args)
    return f"{done} {errno.errorcode.get(ctypes.get_errno(), '-') if done < 0 else '-'}"


@case
def tcp_blocking() -> Any:
    with tcp() as (server, port), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.settimeout(None)
        peer, _ = server.accept()
        client.sendall(b"x")
        again = error(client.connect, ("127.0.0.1", port))
        return [peer.recv(9).decode(), client.getpeername()[1] == port, again, client.getblocking()]


@case
def tcp_blocking_flag_kept() -> Any:
    with tcp() as (server, port), socket.socket() as client:
        client.connect(("127.0.0.1", port))
        peer, _ = server.accept()
        threading.Timer(0.05, peer.sendall, (b"late",)).start()
        return [client.recv(9).decode(), os.get_blocking(client.fileno())]


@case
def tcp_nonblocking() -> Any:
    with tcp() as (_, port), socket.socket() as client:
        client.setblocking(False)
        first = client.connect_ex(("127.0.0.1", port))
        select.select([], [client], [], 5)
        left = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return [first in (0, errno.EINPROGRESS), left, os.get_blocking(client.fileno())]


@case
def tcp_refused() -> Any:
    with tcp() as (_, port):
        pass
    with socket.socket() as client:
        first = error(client.connect, ("127.0.0.1", port))
        return [first, os.get_blocking(client.fileno())]


@case
def tcp_wildcards() -> Any:
    out = []
    for host, family in (("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)):
        with tcp(host, family) as (server, port):
            for target in ("127.0.0.1", "127.0.0.9", "0.0.0.0", "::1", "::ffff:127.0.0.1"):
                kind = socket.AF_INET6 if ":" in target else socket.AF_INET
                with socket.socket(kind) as client:
                    out.append([host, target, error(client.connect, (target, port))])
            out.append(server.getsockname()[0])
    return out


@case
def tcp_backlog_full() -> Any:
    """A connect that waits, interrupted by its own time-out, then one that gets through."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        first, second = socket.create_connection(address), socket.socket()
        second.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("qq", 0, 200_000))
        result = error(second.connect, address)
        third = socket.socket()
        waiter: list[str] = []
        thread = threading.Thread(target=lambda: waiter.append(error(third.connect, address)))
        thread.start()
        for _ in range(3):
            server.settimeout(3)
            with contextlib.suppress(TimeoutError):
                server.accept()
        thread.join(10)
        for one in (first, second, third):
            one.close()
        return [result, waiter]


@case
def listen_without_bind() -> Any:
    with socket.socket() as server, socket.socket() as client:
        server.listen(1)
        return error(client.connect, ("127.0.0.1", server.getsockname()[1]))


@case
def disconnect() -> Any:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as two,
    ):
        one.connect(("127.0.0.1", 9))
        out = [raw("connect", one.fileno(), bytes(16), 16), error(one.getpeername)]
        return [*out, raw("connect", two.fileno(), bytes(2), 2), raw("connect", two.fileno(), b"\1\0", 2)]


@case
def bad_arguments() -> Any:
    with socket.socket() as tcp4, socket.socket(socket.AF_UNIX) as unix, open("/dev/null") as null:
        inet = struct.pack("=HH4s8x", socket.AF_INET, 9, b"\x7f\0\0\1")
        return [
            raw("connect", 999, inet, 16), raw("connect", -1, inet, 16), raw("connect", null.fileno(), inet, 16),
            raw("connect", tcp4.fileno(), inet, 129), raw("connect", tcp4.fileno(), inet, -1),
            raw("connect", tcp4.fileno(), inet, 1), raw("connect", tcp4.fileno(), inet, 7),
            raw("connect", tcp4.fileno(), ctypes.c_void_p(8), 16), raw("connect", tcp4.fileno(), b"\1\0/tmp\0", 16),
            raw("connect", unix.fileno(), inet, 16), raw("connect", unix.fileno(), b"\1\0", 2),
            raw("bind", unix.fileno(), inet, 16), raw("bind", tcp4.fileno(), b"\1\0/tmp/x\0", 10),
            raw("bind", unix.fileno(), b"\1\0/nonexistent/x\0", 17), raw("bind", unix.fileno(), b"\1\0/\0", 4),
            raw("bind", unix.fileno(), b"\1\0/tmp/\0", 8), raw("bind", unix.fileno(), b"\1\0/tmp/.\0", 9),
            raw("connect", unix.fileno(), b"\1\0/nonexistent\0", 15), raw("connect", unix.fileno(), b"\1\0/tmp\0", 7),
            raw("connect", unix.fileno(), b"\1\0/dev/null\0", 12), raw("connect", unix.fileno(), b"\1\0\0nobody", 9),
            raw("listen", null.fileno(), 1), raw("listen", 999, 1), raw("sendmsg", 999, None, 0),
            raw("sendmsg", unix.fileno(), None, 0), raw("sendmmsg", unix.fileno(), None, 0, 0),
            raw("sendmsg", unix.fileno(), struct.pack("=QI4xQQQQI4x", 0, 0, 8, 2000, 0, 0, 0), 0),
            raw("sendmsg", unix.fileno(), struct.pack("=QI4xQQQQI4x", 0, 0, 8, 1, 0, 0, 0), 0),
        ]  # fmt: skip


@case
def unix_names() -> Any:
    """What getsockname and the peer see is the name the program gave."""
    out = []
    os.mkdir("d")
    os.symlink("d", "link")
    here = os.getcwd()
    for name in ("plain", "d/below", "link/through", "./d/../d/dots", here + "/absolute", "d//double"):
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(name)
            server.listen(1)
            client.connect(name)
            seen = [server.getsockname(), client.getpeername()]
            mode = oct(os.stat(name).st_mode)
            out.append(
                [[one.replace(here, "HERE") for one in seen], mode, error(socket.socket(socket.AF_UNIX).bind, name)]
            )
    return [out, os.getcwd() == here]


@case
def unix_through_descriptor() -> Any:
    folder = os.open(".", os.O_PATH)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("deep")
        server.listen(1)
        return [error(client.connect, f"/proc/self/fd/{folder}/deep"), error(client.connect, f"/dev/fd/{folder}/none")]


@case
def unix_bind_through_descriptor() -> Any:
    folder = os.open(".", os.O_PATH)
    with socket.socket(socket.AF_UNIX) as server:
        return [error(server.bind, f"/proc/self/fd/{folder}/made"), os.path.exists("made")]


@case
def unix_stale() -> Any:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("stale")
    with socket.socket(socket.AF_UNIX) as client:
        return error(client.connect, "stale")


@case
def unix_abstract() -> Any:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        name = b"\0govrun-case-%d\0with nul" % os.getpid()
        server.bind(name)
        server.listen(1)
        out = [error(client.connect, name), server.getsockname() == name]
    with socket.socket(socket.AF_UNIX) as auto:
        auto.bind("")
        return [*out, auto.getsockname()[:1].decode(), len(auto.getsockname())]


@case
def unix_backlog_full() -> Any:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("full")
        server.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        clients[0].connect("full")
        clients[1].setblocking(False)
        out = [error(clients[1].connect, "full")]
        clients[2].setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("qq", 0, 100_000))
        out.append(error(clients[2].connect, "full"))
        waiter: list[str] = []
        thread = threading.Thread(target=lambda: waiter.append(error(clients[3].connect, "full")))
        thread.start()
        time.sleep(0.05)
        server.accept()
        thread.join(10)
        return [out, waiter, os.get_blocking(clients[3].fileno())]


@case
def unix_datagrams() -> Any:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        server.bind("server")
        client.bind("client")
        client.sendto(b"ping", "server")
        data, sender = server.recvfrom(99)
        server.sendto(b"pong", sender)
        autobound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        autobound.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        autobound.connect("server")
        autobound.send(b"hello")
        _, name = server.recvfrom(99)
        answer = error(server.sendto, b"x", name)
        return [data.decode(), sender, client.recv(99).decode(), answer, error(client.sendto, b"x", "nowhere")]


@case
def unix_datagram_queue_full() -> Any:
    """A blocking send waits for the reader, a non-blocking one says EAGAIN, one too long EMSGSIZE."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        server.bind("queue")
        client.setblocking(False)
        while (full := error(client.sendto, b"m", "queue")).startswith("ok"):
            pass
        client.setblocking(True)
        threading.Timer(0.1, server.recv, (9,)).start()
        waited = error(client.sendto, b"m", "queue")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("qq", 0, 100_000))
        return [full, waited, error(client.sendto, b"m", "queue"), error(client.sendto, bytes(4_000_000), "queue")]


@case
def udp() -> Any:
    out = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
            server.bind((host, 0))
            client.sendto(b"ping", server.getsockname())
            data, sender = server.recvfrom(99)
            server.sendto(b"pong", sender)
            out.append([data.decode(), client.recv(99).decode()])
            client.connect(server.getsockname())
            out.append([error(client.sendmsg, [b"a", b"bc"]), server.recv(99).decode()])
            out.append(error(client.sendto, bytes(70_000), server.getsockname()))
    return out


@case
def udp_connected_to_client_that_connected() -> Any:
    """A server answers a client that only connected and sent without an address."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("0.0.0.0", 0))
        client.connect(("127.0.0.1", server.getsockname()[1]))
        client.send(b"q")
        server.sendto(b"a", server.recvfrom(9)[1])
        return client.recv(9).decode()


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("size", ctypes.c_size_t)]


def headers(messages: list[tuple[bytes, bytes]]) -> tuple[ctypes.Array[ctypes.c_char], list[Any]]:
    keep: list[Any] = []
    out = b""
    for data, address in messages:
        iov = Iovec(data, len(data))
        name = ctypes.create_string_buffer(address, max(1, len(address)))
        keep += [iov, name]
        where = ctypes.addressof(name) if address else 0
        out += struct.pack("=QI4xQQQQI4xI4x", where, len(address), ctypes.addressof(iov), 1, 0, 0, 0, 77)
    return ctypes.create_string_buffer(out, len(out)), keep


@case
def sendmmsg() -> Any:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("127.0.0.1", 0))
        address = (
            struct.pack("=H", socket.AF_INET) + server.getsockname()[1].to_bytes(2, "big") + b"\x7f\0\0\1" + bytes(8)
        )
        buffer, keep = headers([(b"one", address), (b"three", address), (b"", address)])
        out = [
            raw("sendmmsg", client.fileno(), buffer, 3, 0),
            [struct.unpack_from("=I", buffer, 64 * i + 56)[0] for i in range(3)],
        ]
        out.append([server.recv(99).decode() for _ in range(3)])
        client.connect(server.getsockname())
        buffer, keep = headers([(b"four", b""), (b"fifth", b"")])
        out += [raw("sendmmsg", client.fileno(), buffer, 2, 0), [server.recv(99).decode() for _ in range(2)]]
        del keep
        return [*out, raw("sendmmsg", client.fileno(), buffer, 0, 0)]


@case
def passing_descriptors() -> Any:
    left, right = socket.socketpair()
    with open("passed", "w+") as passed:
        passed.write("content")
        passed.flush()
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [passed.fileno(), 0]))
        left.sendmsg([b"x"], [rights])
        bad = error(left.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [998]))])
    data, control, _, _ = right.recvmsg(9, 99)
    fds = array.array("i", control[0][2])
    return [data.decode(), os.pread(fds[0], 99, 0).decode(), len(fds), bad]


@case
def credentials() -> Any:
    left, right = socket.socketpair()
    right.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    mine = struct.pack("=iII", os.getpid(), os.getuid(), os.getgid())
    sent = error(left.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, mine)])
    _, control, _, _ = right.recvmsg(9, 99)
    return [sent, struct.unpack("=iII", control[0][2])[1:] == (os.getuid(), os.getgid())]


@case
def broken_pipes() -> Any:
    """SIGPIPE comes from streams alone, to the thread that sent, and not with MSG_NOSIGNAL."""
    caught: list[int] = []
    signal.signal(signal.SIGPIPE, lambda number, _: caught.append(number))
    out = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        for flags in (0, socket.MSG_NOSIGNAL):
            left, right = socket.socketpair(socket.AF_UNIX, kind)
            right.close()
            seen = error(left.sendmsg, [b"x"], [], flags)
            time.sleep(0)  # the interpreter runs handlers at the next call
            out.append([kind, flags, seen, len(caught)])
            caught.clear()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        left, right = socket.socketpair()
        right.close()
        left.sendmsg([b"x"])
        os._exit(7)
    return [out, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]


@case
def large_stream() -> Any:
    """One sendmsg of more than any buffer: the call waits and sends all of it; non-blocking it sends a part."""
    left, right = socket.socketpair()
    data = os.urandom(1000) * (BIG // 1000)
    got = bytearray()

    def drain() -> None:
        while len(got) < BIG:
            got.extend(right.recv(1 << 16))

    thread = threading.Thread(target=drain)
    thread.start()
    sent = left.sendmsg([data[:10], data[10 : BIG // 2], data[BIG // 2 :]])
    thread.join(30)
    left.setblocking(False)
    partly = left.sendmsg([data])
    return [sent == BIG, bytes(got) == data, 0 < partly < BIG, error(left.sendmsg, [b"x"])]


@case
def stream_timeout() -> Any:
    left, right = socket.socketpair()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("qq", 0, 100_000))
    partly = left.sendmsg([bytes(BIG)])
    out = [0 < partly < BIG, error(left.sendmsg, [b"x"])]
    right.close()
    return out


@case
def netlink() -> Any:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as route:
        route.bind((0, 0))
        route.sendto(struct.pack("=IHHIIB3x", 20, 22, 0x301, 1, 0, 0), (0, 0))
        kind = struct.unpack_from("=IHHII", route.recv(1 << 16))[1]
        return [kind, {one[1] for one in socket.if_nameindex()} >= {"lo"}]


@case
def from_another_thread() -> Any:
    out: list[Any] = []
    with tcp() as (_, port):
        thread = threading.Thread(target=lambda: out.append(error(socket.socket().connect, ("127.0.0.1", port))))
        thread.start()
        thread.join()
    return out


@case
def interrupted_connect() -> Any:
    """A process killed while its connect is held is gone, and others go on."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("held")
        server.listen(0)
        first = socket.socket(socket.AF_UNIX)
        first.connect("held")
        pid = os.fork()
        if pid == 0:
            socket.socket(socket.AF_UNIX).connect("held")
            os._exit(7)
        time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        server.accept()
        return [code, error(socket.socket(socket.AF_UNIX).connect, "held")]


@case
def managers() -> Any:
    """multiprocessing hands on the name that getsockname gives."""
    import multiprocessing.managers

    with multiprocessing.get_context("fork").Manager() as manager:
        shared = manager.list([1])
        shared.append(2)
        return list(shared)


def main() -> None:
    results = {}
    top = os.getcwd()
    os.umask(0o027)
    for name, function in CASES.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            os.chdir(folder)
            try:
                results[name] = function()
            except Exception as failure:
                results[name] = f"{type(failure).__name__}: {failure}"
            os.chdir(top)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
