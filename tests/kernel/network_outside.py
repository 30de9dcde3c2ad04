"""Run as ``unshare -Urn``: a neighbour behind a veth pair tries a listener. Prints who gets through."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time

from supervisor.kernel import sockets

CLIENT = "import socket, sys; socket.create_connection(('10.9.9.1', int(sys.argv[1])), 1)"


def sh(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def reaches(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 2):
        return True
    return False


def main() -> None:
    neighbour = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec sleep 60"], stdout=subprocess.PIPE)
    try:
        assert neighbour.stdout is not None
        neighbour.stdout.readline()
        there = ["nsenter", "-t", str(neighbour.pid), "-n"]
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", str(neighbour.pid))
        sh("ip", "addr", "add", "10.9.9.1/24", "dev", "v0")
        sh("ip", "link", "set", "v0", "up")
        sh(*there, "ip", "addr", "add", "10.9.9.2/24", "dev", "v1")
        sh(*there, "ip", "link", "set", "v1", "up")
        client = [*there, sys.executable, "-c", CLIENT]
        out = {}
        for confined in (False, True):  # the open listener first: it shows that the neighbour gets here at all
            with socket.socket() as server:
                server.bind(("0.0.0.0", 0))
                if confined:
                    sockets.confine_to_loopback(server.fileno())
                server.listen(8)
                port = server.getsockname()[1]
                found = {host: reaches(host, port) for host in ("127.0.0.1", "10.9.9.1")}
                until = time.monotonic() + (0 if confined else 10)  # the link may take a moment
                while not (outside := subprocess.run([*client, str(port)], capture_output=True).returncode == 0):
                    if time.monotonic() >= until:
                        break
                out["confined" if confined else "open"] = found | {"outside": outside}
        print(json.dumps(out))
    finally:
        neighbour.kill()
        neighbour.wait()


if __name__ == "__main__":
    main()
