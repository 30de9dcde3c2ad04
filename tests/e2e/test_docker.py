"""Container engines of the host: what they start is not bound by the run, so their sockets are refused."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PLACE

if TYPE_CHECKING:
    from tests.conftest import Govrun

ENGINE = "what a container engine starts is not bound by this run"


class _Answers(BaseHTTPRequestHandler):
    """As much of an engine's interface as `docker ps` asks for."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        body = b"OK" if self.path == "/_ping" else b"[]"
        self.send_response(200)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        return


class Engine(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    asked: list[str]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place outside the run. Names of sockets hold 108 bytes, less than those of tests."""
    with tempfile.TemporaryDirectory(dir=PLACE, prefix="s") as name:
        yield Path(name)


@pytest.fixture
def engine(folder: Path) -> Iterator[Engine]:
    """A server outside the run."""
    with Engine(str(folder / "docker.sock"), _Answers) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


CURL = "curl -sS --max-time 10 --unix-socket {path} http://localhost/_ping"
CLIENTS = [
    pytest.param(CURL, id="curl", marks=pytest.mark.needs("curl")),
    pytest.param(
        "DOCKER_HOST=unix://{path} docker ps -q",
        id="docker",
        marks=pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker"),
    ),
]


@pytest.mark.parametrize("client", CLIENTS)
def test_refused_with_the_reason(govrun: Govrun, engine: Engine, client: str) -> None:
    script = client.format(path=engine.server_address)
    assert govrun.bare("bash", "-c", script).returncode == 0
    assert engine.asked
    engine.asked.clear()
    outcome = govrun("bash", "-c", script)
    assert outcome.code != 0
    assert engine.asked == []
    assert outcome.denied("scope.hosts")
    assert ENGINE in outcome.stderr
    assert f'hosts = ["unix:{engine.server_address}"]' in outcome.stderr


@pytest.mark.parametrize("client", CLIENTS)
def test_allowed_by_its_name(govrun: Govrun, repo: Path, engine: Engine, client: str) -> None:
    """The line that the refusal tells is one that works."""
    (repo / "govrun.toml").write_text(f'version = 1\n[scope]\nhosts = ["unix:{engine.server_address}"]\n')
    outcome = govrun("bash", "-c", client.format(path=engine.server_address)).ok()
    assert engine.asked and not outcome.denied()


@pytest.mark.needs("curl")
@pytest.mark.parametrize("name", ["docker.sock", "podman.sock", "containerd.sock"])
def test_other_names_and_ways(govrun: Govrun, repo: Path, engine: Engine, folder: Path, name: str) -> None:
    """By a link in the tree, by another name, from a folder beneath: the socket is judged, not its spelling."""
    other = folder / "o"
    other.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(other / name))
        listener.listen()
        script = (
            f"ln -s {other} here; {CURL.format(path='here/' + name)}; cd {other}; {CURL.format(path=name)};"
            f"ln -s {engine.server_address} $TMPDIR/x; {CURL.format(path='$TMPDIR/x')}"
        )
        outcome = govrun("bash", "-c", script)
    assert outcome.code != 0
    assert engine.asked == []
    assert len(outcome.denied("scope.hosts")) == 3, outcome.stderr
    assert ENGINE in outcome.stderr


def test_the_variable_that_leads_there_is_withheld(govrun: Govrun) -> None:
    outcome = govrun("bash", "-c", "echo ${DOCKER_HOST-none}", env={"DOCKER_HOST": "unix:///run/docker.sock"}).ok()
    assert outcome.stdout == b"none\n"
    assert "withheld: DOCKER_HOST" in outcome.stderr


def test_engines_that_the_run_starts_itself_are_its_own(govrun: Govrun, repo: Path) -> None:
    """A name is no reason to refuse: what the run listens on is bound by the run."""
    program = (
        "import socket, threading\n"
        "s = socket.socket(socket.AF_UNIX); s.bind('docker.sock'); s.listen()\n"
        "c = socket.socket(socket.AF_UNIX); c.connect('docker.sock'); c.send(b'x'); print(s.accept()[0].recv(1))\n"
    )
    assert govrun("/usr/bin/python3", "-c", program).ok().stdout == b"b'x'\n"
