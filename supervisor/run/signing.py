"""Signed commits: what is prepared before a run, and who in it reaches the user's agent.

No key file is granted: whoever starts the signer could have it read the key. The agent signs, outside the run, and is
asked through a relay that hands on nothing but such requests (``enforce.agents``).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from supervisor.enforce import agents
from supervisor.enforce.relay import Door, Relay, ask_for_keys
from supervisor.git import signing
from supervisor.kernel import process
from supervisor.surfaces.files import Call
from supervisor.vocabulary.errors import HostError, StopRun
from supervisor.vocabulary.events import ExecEvent, NetEvent
from supervisor.vocabulary.netacts import NetAct

if TYPE_CHECKING:
    from supervisor.run.facts import Facts

_PLACES: Final = ("/usr/bin", "/bin", "/usr/local/bin")
_PROGRAMS: Final = {"ssh": "ssh-keygen", "openpgp": "gpg"}


class Grant(NamedTuple):
    """``door`` is the agent, ``signer`` (device, inode) of the program that may ask it, ``variables`` what it needs in
    its environment and ``config`` what git does, ``keyring`` the exported public key for a folder of the run's own
    (OpenPGP)."""

    door: Door
    signer: tuple[int, int]
    variables: dict[str, str]
    config: dict[str, str]
    keyring: bytes = b""


class Plan(NamedTuple):
    """``grant`` None: commits of the run cannot be signed, or need not be. ``warning`` says why they cannot."""

    grant: Grant | None = None
    warning: str = ""


def plan(wanted: signing.Wanted, home: Path, environ: Mapping[str, str]) -> Plan:
    """What signing needs. Never fails: a commit that cannot be signed is git's to refuse."""
    name = _PROGRAMS.get(wanted.format)
    if name is None:
        return _cannot(f"gpg.format is {wanted.format}, only ssh and openpgp are known", "sign afterwards")
    program = _program(name)
    if not program or (wanted.program and os.path.realpath(_found(wanted.program)) != program):
        why = f"git is told to sign with {wanted.program or name}, which is not {name} of the system"
        return _cannot(why, "sign afterwards")
    info = os.stat(program)
    make = _ssh if wanted.format == "ssh" else _gpg
    return make(wanted, (info.st_dev, info.st_ino), home, environ)


def _program(name: str) -> str:
    found = (os.path.realpath(f"{folder}/{name}") for folder in _PLACES)
    return next((path for path in found if os.access(path, os.X_OK)), "")


def _found(program: str) -> str:
    return program if "/" in program else _program(program)


def _cannot(why: str, fix: str) -> Plan:
    return Plan(warning=f"commits of this run cannot be signed: {why}; {fix}")


def _ssh(wanted: signing.Wanted, signer: tuple[int, int], home: Path, environ: Mapping[str, str]) -> Plan:
    found = signing.ssh_public(wanted.key, home)
    if found is None:
        return _cannot("the public key of user.signingkey cannot be read", "put it beside the private one as .pub")
    algorithm, blob = found
    socket_path = environ.get("SSH_AUTH_SOCK", "")
    if not socket_path.startswith("/"):
        return _cannot("no ssh-agent is running (SSH_AUTH_SOCK), and key files are not given to a run", _ADD)
    door = Door("ssh", os.path.realpath(os.fsencode(socket_path)), (blob,))
    if blob not in ask_for_keys(door.socket):
        return _cannot("the ssh-agent does not hold the key of user.signingkey", _ADD)
    from base64 import b64encode

    literal = f"key::{algorithm} {b64encode(blob).decode()}"  # git then has the agent sign (ssh-keygen(1), -U)
    return Plan(Grant(door, signer, {"SSH_AUTH_SOCK": socket_path}, {"user.signingkey": literal}))


_ADD = "run ssh-add with that key first, or sign afterwards"


def _gpg(wanted: signing.Wanted, signer: tuple[int, int], _: Path, environ: Mapping[str, str]) -> Plan:
    found = signing.gpg_public(_program("gpg"), wanted.key, environ)
    if found is None:
        why = f"gpg knows no key for {wanted.key}, or several"
        return _cannot(why, "set user.signingkey to one fingerprint, or sign afterwards")
    path = os.path.realpath(os.fsencode(found.socket))
    if not _answers(path):
        why = "no gpg-agent is running, and key files are not given to a run"
        return _cannot(why, "run gpgconf --launch gpg-agent first, or sign afterwards")
    grips = tuple(grip.encode() for grip in found.grips)
    return Plan(Grant(Door("openpgp", path, grips), signer, {}, {}, found.public))


def _answers(path: bytes) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(1)
        try:
            end.connect(path)
        except OSError:
            return False
    return True


def known_to_git(grant: Grant, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a run that may sign, to be added to its ``environment`` (git-config(1), ENVIRONMENT)."""
    number = environment.get("GIT_CONFIG_COUNT", "0")
    at = int(number) if number.isascii() and number.isdecimal() else 0
    found = dict(grant.variables)
    for key, value in grant.config.items():
        found |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value, "GIT_CONFIG_COUNT": str(at + 1)}
        at += 1
    return found


def place_keyring(grant: Grant, folder: bytes) -> dict[str, str]:
    """A GnuPG home in the run's temporary folder: the public key, and a pointer to the user's agent. Empty where
    nothing is needed or there is no folder. Errors: ``HostError``."""
    if not grant.keyring or not folder:
        return {}
    try:
        return _place_keyring(grant, folder)
    except OSError as error:
        raise HostError("cannot write the public key for the run", str(error), "free space in /tmp") from error


def _place_keyring(grant: Grant, folder: bytes) -> dict[str, str]:
    home = folder + b"/gnupg"
    os.mkdir(home, 0o700)
    # An exported key is a keyring of the old format, which is read wherever it lies and there is no newer one.
    # Assuan reads a file in the place of a socket as a pointer (libassuan, "Socket wrappers").
    pointer = b"%Assuan%\nsocket=" + grant.door.socket + b"\n"
    for name, content in ((b"pubring.gpg", grant.keyring), (b"S.gpg-agent", pointer)):
        fd = os.open(home + b"/" + name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(content)
    return {"GNUPGHOME": os.fsdecode(home)}


class Signers:
    """Admits git's signer to the user's agent while the run goes on; ``git_tools`` are prefixes of git's programs.
    Errors: ``StopRun``."""

    def __init__(self, grant: Grant, git_tools: tuple[bytes, ...]) -> None:
        self._grant = grant
        self._git_tools = git_tools
        try:
            self._relay = Relay(grant.door)
        except OSError as error:
            raise StopRun("the relay to the signing agent cannot be started", str(error)) from error

    @property
    def pid(self) -> int:
        return self._relay.pid

    def close(self) -> None:
        self._relay.close()

    def executed(self, pid: int, event: ExecEvent, facts: Facts) -> None:
        """Nothing is remembered: what a signer may ask for is the relay's to bound."""

    def seen(self, call: Call, event: NetEvent) -> NetEvent:
        """The event with what is known of its peer: ``agent`` says whether that is the user's signing agent."""
        if event.op != "connect" or event.unix != self._grant.door.socket:
            return event
        return event._replace(agent="signer" if self._is_signer(call) else "other")

    def led(self, act: NetAct) -> NetAct:
        """The same connect, to the relay."""
        os.close(act.file)
        return act._replace(file=-1, address=self._relay.address)

    def _is_signer(self, call: Call) -> bool:
        """The signer of the system, as git starts it, by git. All of this can be had by whoever starts git; what they
        can ask then is the relay's to bound."""
        pid = call.process.pid
        try:
            image = os.stat(f"/proc/{pid}/exe")
            parent = os.readlink(b"/proc/%d/exe" % process.parent_of(pid))
        except OSError:
            return False
        same = (image.st_dev, image.st_ino) == self._grant.signer
        return same and parent.startswith(self._git_tools) and as_git_asks(self._grant.door.kind, call.actor.argv)


def as_git_asks(kind: str, argv: tuple[bytes, ...]) -> bool:
    """Whether the arguments are those with which git starts its signer (gpg-interface.c)."""
    if kind == "openpgp":
        return len(argv) == 4 and argv[1:3] == (b"--status-fd=2", b"-bsau")
    given = tuple(word for word in argv[7:] if word != b"-U")
    return argv[1:6] == (b"-Y", b"sign", b"-n", agents.NAMESPACE, b"-f") and len(argv) in (8, 9) and len(given) == 1


def is_signing(argv: tuple[bytes, ...]) -> bool:
    """Whether these are the arguments of a signer that git starts, of whatever name."""
    return any(as_git_asks(kind, argv) for kind in _PROGRAMS)
