"""What the relay lets a run ask of an ssh-agent, with the agent of OpenSSH behind it."""

from __future__ import annotations

import socket
import subprocess
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.enforce import agents, relay
from supervisor.enforce.agents import FAILURE, SIGN_REQUEST, SUCCESS, packed
from tests.unit.enforce.test_agents import KEY, request

SIGNED = 14
Ask = Callable[[bytes], bytes]
pytestmark = pytest.mark.needs("ssh-agent")


def key(folder: Path, name: str) -> bytes:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    return b64decode((folder / f"{name}.pub").read_text().split()[1])


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a")


@pytest.fixture
def agent(folder: Path) -> Iterator[Path]:
    """The socket of an agent with the user's key; the keys of two hosts lie beside it, and it holds those as well, so
    that hosts can sign."""
    for name in ("user", "host", "elsewhere"):
        key(folder, name)
    path = folder / "s"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    for name in ("user", "host", "elsewhere"):
        environment = {"SSH_AUTH_SOCK": str(path), "PATH": "/usr/bin:/bin"}
        subprocess.run(["ssh-add", "-q", folder / name], env=environment, check=True, capture_output=True)
    yield path
    process.terminate()
    process.communicate(timeout=10)


def public(folder: Path, name: str) -> bytes:
    return b64decode((folder / f"{name}.pub").read_text().split()[1])


def asking(end: socket.socket) -> Ask:
    def ask(message: bytes) -> bytes:
        end.sendall(packed(message))
        size = int.from_bytes(end.recv(4, socket.MSG_WAITALL), "big")
        return end.recv(size, socket.MSG_WAITALL)

    return ask


@pytest.fixture
def through(agent: Path, folder: Path) -> Iterator[Ask]:
    """Asks through the relay, which lets ada in at ``host``."""
    mine, theirs = socket.socketpair()
    door = relay.Door("login", bytes(agent), (relay.place(public(folder, "host"), b"ada"),))
    served = threading.Thread(target=relay.handle, args=(theirs, door), daemon=True)
    served.start()
    yield asking(mine)
    mine.close()
    served.join(10)
    theirs.close()


def by_host(agent: Path, folder: Path, name: str, session: bytes) -> bytes:
    """The request that binds a session, signed by a host, as ssh passes it on."""
    host = public(folder, name)
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(agent))
        answer = asking(end)(bytes([SIGN_REQUEST]) + packed(host) + packed(session) + b"\0\0\0\0")
    assert answer[0] == SIGNED
    return agents.binding(host, session, answer[5:])


def login(
    folder: Path, session: bytes, user: bytes = b"ada", host: str = "", service: bytes = b"ssh-connection"
) -> bytes:
    method = b"publickey-hostbound-v00@openssh.com" if host else b"publickey"
    who = public(folder, "user")
    data = packed(session) + b"\x32" + packed(user) + packed(service) + packed(method)
    data += b"\1" + packed(b"ssh-ed25519") + packed(who) + (packed(public(folder, host)) if host else b"")
    return bytes([SIGN_REQUEST]) + packed(who) + packed(data) + b"\0\0\0\0"


HERE, THERE = b"h" * 32, b"t" * 32


def test_a_login_is_signed_where_the_host_has_signed_the_session(agent: Path, folder: Path, through: Ask) -> None:
    assert through(login(folder, HERE))[0] == FAILURE  # not bound yet
    assert through(by_host(agent, folder, "host", HERE))[0] == SUCCESS
    assert through(login(folder, HERE))[0] == SIGNED
    assert through(login(folder, HERE, host="host"))[0] == SIGNED
    assert len(agents.ssh_keys(through(b"\x0b"))) == 3


def test_no_login_anywhere_else(agent: Path, folder: Path, through: Ask) -> None:
    assert through(by_host(agent, folder, "elsewhere", THERE))[0] == FAILURE
    assert through(by_host(agent, folder, "host", HERE))[0] == SUCCESS
    for message in (
        login(folder, THERE),
        login(folder, HERE, user=b"root"),
        login(folder, HERE, host="elsewhere"),
        login(folder, HERE, service=b"ssh-userauth"),
    ):
        assert through(message)[0] == FAILURE
    assert through(login(folder, HERE))[0] == SIGNED


def test_a_host_that_has_not_signed_is_not_taken_for_it(agent: Path, folder: Path, through: Ask) -> None:
    """A relayed session: the run speaks to the host itself, and knows only its public key."""
    forged = agents.binding(public(folder, "host"), THERE, packed(b"ssh-ed25519") + packed(bytes(64)))
    assert through(forged)[0] == FAILURE
    other = by_host(agent, folder, "elsewhere", THERE).replace(
        packed(public(folder, "elsewhere")), packed(public(folder, "host"))
    )
    assert through(other)[0] == FAILURE
    assert through(login(folder, THERE))[0] == FAILURE


def test_nothing_else_is_handed_on(folder: Path, through: Ask) -> None:
    for number in range(256):
        if number != 11:
            assert through(bytes([number])) == bytes([FAILURE])
    assert through(request(key=public(folder, "user"))) == bytes([FAILURE])  # a text signed
    assert through(request(key=KEY)) == bytes([FAILURE])


def test_an_agent_that_takes_any_binding_is_known(agent: Path, folder: Path) -> None:
    assert relay.verifies(bytes(agent), public(folder, "host"))
    assert not relay.verifies(bytes(folder / "nobody"), public(folder, "host"))
    path = folder / "yes"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def agree() -> None:
            end, _ = listener.accept()
            with end:
                end.recv(65536)
                end.sendall(packed(bytes([SUCCESS])))

        served = threading.Thread(target=agree, daemon=True)
        served.start()
        assert not relay.verifies(bytes(path), public(folder, "host"))
        served.join(10)
