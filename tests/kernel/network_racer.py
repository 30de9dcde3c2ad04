"""Programs that race their own socket calls. Usage: network_racer.py WHAT ROUNDS FORBIDDEN. Prints what succeeded."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import struct
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)
RENAME_EXCHANGE = 2


def sockaddr(port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + port.to_bytes(2, "big") + socket.inet_aton("127.0.0.1") + bytes(8)


def connect_rounds(rounds: int, address: int, server: socket.socket) -> int:
    done = 0
    for _ in range(rounds):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if libc.connect(client.fileno(), ctypes.c_void_p(address), 16) == 0:
                done += 1
                try:
                    server.accept()[0].close()
                except BlockingIOError:
                    continue
    return done


def own_server() -> tuple[socket.socket, int]:
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    server.setblocking(False)
    return server, server.getsockname()[1]


def port_by_thread(rounds: int, forbidden: int) -> int:
    """A second thread flips the port in the address."""
    server, port = own_server()
    memory = ctypes.create_string_buffer(sockaddr(port), 16)
    ports = [port.to_bytes(2, "big"), forbidden.to_bytes(2, "big")]
    stop = False

    def flip() -> None:
        while not stop:
            ctypes.memmove(ctypes.addressof(memory) + 2, ports[1], 2)
            ctypes.memmove(ctypes.addressof(memory) + 2, ports[0], 2)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        return connect_rounds(rounds, ctypes.addressof(memory), server)
    finally:
        stop = True
        thread.join()


def port_by_process(rounds: int, forbidden: int) -> int:
    """Another process flips the port in a shared page: no thread is needed."""
    server, port = own_server()
    page = mmap.mmap(-1, 4096)
    page[:16] = sockaddr(port)
    good, bad = port.to_bytes(2, "big"), forbidden.to_bytes(2, "big")
    pid = os.fork()
    if pid == 0:
        while True:
            page[2:4] = bad
            page[2:4] = good
    try:
        return connect_rounds(rounds, ctypes.addressof(ctypes.c_char.from_buffer(page)), server)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def descriptor(rounds: int, forbidden: int) -> int:
    """A second thread swaps the descriptor: a stream ignores the address that an unconnected UDP socket would use."""
    server, port = own_server()
    stream = socket.create_connection(("127.0.0.1", port))
    peer = server.accept()[0]
    peer.setblocking(False)
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    slot = os.dup(stream.fileno())
    stop = False

    def swap() -> None:
        while not stop:
            os.dup2(datagram.fileno(), slot)
            os.dup2(stream.fileno(), slot)

    name = ctypes.create_string_buffer(sockaddr(forbidden), 16)
    data = ctypes.create_string_buffer(b"x")
    iov = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(data), 1), 16)
    header = struct.pack("=QI4xQQQQI4x", ctypes.addressof(name), 16, ctypes.addressof(iov), 1, 0, 0, 0)
    message = ctypes.create_string_buffer(header, len(header))
    thread = threading.Thread(target=swap)
    thread.start()
    done = 0
    try:
        for _ in range(rounds):
            done += libc.sendmsg(slot, message, socket.MSG_NOSIGNAL) == 1
            try:
                peer.recv(1 << 16)
            except BlockingIOError:
                continue
    finally:
        stop = True
        thread.join()
    return done


def name_by_rename(rounds: int, forbidden: int) -> int:
    """A second thread exchanges the run's socket file with one of the host's, called ``foreign``, in this directory."""
    server = socket.socket(socket.AF_UNIX)
    server.bind("mine")
    server.listen(64)
    server.setblocking(False)
    stop = False

    def swap() -> None:
        while not stop:
            libc.renameat2(-100, b"mine", -100, b"foreign", RENAME_EXCHANGE)

    thread = threading.Thread(target=swap)
    thread.start()
    done = 0
    try:
        for _ in range(rounds):
            with socket.socket(socket.AF_UNIX) as client:
                client.setblocking(False)
                done += libc.connect(client.fileno(), b"\1\0mine\0", 7) == 0
            try:
                server.accept()[0].close()
            except BlockingIOError:
                continue
    finally:
        stop = True
        thread.join()
    return done


if __name__ == "__main__":
    racers = {one.__name__: one for one in (port_by_thread, port_by_process, descriptor, name_by_rename)}
    print(racers[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3])))
