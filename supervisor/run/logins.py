"""Pushes and fetches over ssh: what is prepared before a run, and which ssh in it reaches the user's agent.

The agent is asked through a relay that hands on nothing but logins at the hosts of the remotes as they were configured
when the run started (``enforce.relay``). Which ssh may ask is decided here: one that git itself started for a push
that was judged, or to fetch, with the arguments that git gives it for one of these remotes.
"""

from __future__ import annotations

import os
import pwd
import re
from base64 import b64decode
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from supervisor.enforce.relay import Door, Relay, ask_for_keys, place, verifies
from supervisor.git import remotes
from supervisor.git.signing import ask
from supervisor.kernel import process
from supervisor.profile.model import Entry
from supervisor.surfaces.execs import environment_of
from supervisor.surfaces.files import Call
from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.events import ExecEvent, NetEvent
from supervisor.vocabulary.netacts import NetAct

if TYPE_CHECKING:
    from supervisor.run.facts import Facts

_PROGRAMS: Final = ("/usr/bin/ssh", "/bin/ssh", "/usr/local/bin/ssh")
_KNOWN_HOSTS: Final = (
    "~/.ssh/known_hosts",
    "~/.ssh/known_hosts2",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
)
# Have the loader, libc, libcrypto, GSSAPI or ssh itself load or execute something else (ld.so(8), openssl-env(7),
# krb5.conf(5), ssh(1)), or name another host.
_STEERING: Final = re.compile(
    rb"LD_.*|GLIBC_.*|GCONV_PATH|LOCPATH|NLSPATH|OPENSSL_.*|KRB5.*|GSS.*|SSH_ASKPASS.*|SSH_SK_.*"
    rb"|SSH_PKCS11_.*|HOSTALIASES|LOCALDOMAIN|RES_OPTIONS|RESOLV_.*|NSS_.*|P11_KIT_.*"
)
_MOST_FOLLOWED = 4096


class Grant(NamedTuple):
    """``door`` is the agent, ``program`` (device, inode) the ssh that may ask it; ``pushes`` and ``fetches`` are the
    arguments with which git starts it, without the options that say nothing of where to. ``known_hosts``: files that
    it reads, in folders that are hidden."""

    door: Door
    program: tuple[int, int]
    pushes: frozenset[tuple[bytes, ...]]
    fetches: frozenset[tuple[bytes, ...]]
    variable: str
    known_hosts: tuple[bytes, ...]


class Plan(NamedTuple):
    """``grant`` None: no run logs in anywhere, or need not. ``warning`` says why it cannot."""

    grant: Grant | None = None
    warning: str = ""


def plan(found: remotes.Remotes, home: Path, environ: Mapping[str, str], hides: Collection[Entry] = ()) -> Plan:
    """What logins at the remotes need; ``hides``: what the profile itself hides. Never fails: what cannot be reached is
    ssh's to refuse."""
    variable = environ.get("SSH_AUTH_SOCK", "")
    program = next((path for path in _PROGRAMS if os.access(path, os.X_OK)), "")
    if not variable.startswith("/") or not program or not (found.fetched or found.pushed):
        return Plan()
    socket = os.path.realpath(os.fsencode(variable))
    if not ask_for_keys(socket):
        return _cannot("the ssh-agent does not answer, or holds no key", "ssh-add")
    files = _known_hosts()
    shown = tuple(os.fsencode(os.path.realpath(path)) for path in files)
    for entry in hides:
        pattern = entry.value.replace("~", str(home), 1)
        folder = os.fsencode(os.path.realpath(pattern.rstrip("/*")))
        named = (path for path in shown if path.startswith(folder + b"/") or fnmatch(os.fsdecode(path), pattern))
        if any(named):
            why = f"hide of {entry.source} covers known_hosts, which ssh has to read"
            return _cannot(
                why, "pack:default hides the rest of ~/.ssh: take that entry out, or fetch and push yourself"
            )
    everywhere = dict.fromkeys((*found.fetched, *found.pushed))
    allowed = tuple(dict.fromkeys(each for one in everywhere for each in _places(one, files, environ)))
    if not allowed:
        names = " ".join(dict.fromkeys(each.host for each in everywhere))
        return _cannot(f"known_hosts names no key of {names}", "log in there once yourself")
    if not verifies(socket, _first_key(allowed)):
        return _cannot("the agent takes any session for that of any host", "use the ssh-agent of OpenSSH 8.9 or later")
    info = os.stat(program)
    return Plan(
        Grant(
            Door("login", socket, allowed),
            (info.st_dev, info.st_ino),
            frozenset(_words(each, push=True) for each in found.pushed),
            frozenset(_words(each, push=False) for each in found.fetched),
            variable,
            shown,
        )
    )


def _cannot(why: str, fix: str) -> Plan:
    return Plan(warning=f"remotes behind ssh cannot be reached from this run: {why}; {fix}")


def _words(one: remotes.Destination, *, push: bool) -> tuple[bytes, ...]:
    return tuple(os.fsencode(word) for word in one.words(push=push))


def _places(one: remotes.Destination, files: Collection[str], environ: Mapping[str, str]) -> Iterator[bytes]:
    """The host keys by which ssh would know the destination, each with the user (ssh-keygen(1), -F)."""
    try:
        user = one.user or pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return
    name = f"[{one.host.lower()}]:{int(one.port)}" if one.port and int(one.port) != 22 else one.host.lower()
    for file in files:
        told = ask(["/usr/bin/ssh-keygen", "-F", name, "-f", file], environ) or b""
        for line in told.splitlines():
            words = line.split()
            if len(words) >= 3 and not line.startswith((b"#", b"@")):
                try:
                    yield place(b64decode(words[2], validate=True), os.fsencode(user))
                except ValueError:
                    continue


def _known_hosts() -> tuple[str, ...]:
    """The files that ssh reads. What it takes for the home folder is in passwd(5), whatever HOME says."""
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ()
    return tuple(path for name in _KNOWN_HOSTS if os.path.isfile(path := name.replace("~", home)))


def _first_key(allowed: tuple[bytes, ...]) -> bytes:
    size = int.from_bytes(allowed[0][:4], "big")
    return allowed[0][4 : 4 + size]


class Logins:
    """Admits ssh to the user's agent while the run goes on; ``git_tools`` are prefixes of git's programs. Errors:
    ``StopRun``."""

    def __init__(self, grant: Grant, git_tools: tuple[bytes, ...]) -> None:
        self._grant = grant
        self._git_tools = git_tools
        # Processes by (pid, start), and whether they push: git of the system with nothing else in it, and ssh.
        self._gits: dict[tuple[int, int], bool] = {}
        self._sshs: dict[tuple[int, int], bool] = {}
        try:
            self._relay = Relay(grant.door)
        except OSError as error:
            raise StopRun("the relay to the ssh-agent cannot be started", str(error)) from error

    @property
    def pid(self) -> int:
        return self._relay.pid

    def close(self) -> None:
        self._relay.close()

    def executed(self, pid: int, event: ExecEvent, facts: Facts) -> None:
        """At the exec stop of an image that may run: before it has run, so nothing is in it but what it was given."""
        try:
            named = (pid, process.family(pid)[2])
            self._gits.pop(named, None)
            self._sshs.pop(named, None)
            image = os.stat(f"/proc/{pid}/exe")
            is_ssh = (image.st_dev, image.st_ino) == self._grant.program
            is_git = event.target.path.startswith(self._git_tools) and not event.chain
            if not (is_ssh or is_git) or any(map(_STEERING.fullmatch, environment_of(pid))):
                return
        except OSError:
            return
        if is_git:
            commands = event.commands or facts.commands(event, pid, lambda: environment_of(pid))
            pushes = any(each.tool == "git" and each.verb.startswith(("push", "send-pack")) for each in commands)
            self._keep(self._gits, named, pushes=pushes)
        # A hook of git's that becomes ssh has git for its parent too; only git's own child was git before.
        elif not event.chain and event.actor.exe.startswith(self._git_tools):
            words = _destined(event.argv)
            if words in self._grant.pushes or words in self._grant.fetches:
                self._keep(self._sshs, named, pushes=words in self._grant.pushes)

    @staticmethod
    def _keep(held: dict[tuple[int, int], bool], named: tuple[int, int], *, pushes: bool) -> None:
        while len(held) >= _MOST_FOLLOWED:
            del held[next(iter(held))]
        held[named] = pushes

    def seen(self, call: Call, event: NetEvent) -> NetEvent:
        """The event with what is known of its peer: ``agent`` says whether that is the user's agent."""
        if event.op != "connect" or event.unix != self._grant.door.socket:
            return event
        return event._replace(agent="login" if self._may_log_in(call.process.pid) else "other")

    def led(self, act: NetAct) -> NetAct:
        """The same connect, to the relay."""
        os.close(act.file)
        return act._replace(file=-1, address=self._relay.address)

    def _may_log_in(self, pid: int) -> bool:
        try:
            image = os.stat(f"/proc/{pid}/exe")
            parent, _, began = process.family(pid)
            above = (parent, process.family(parent)[2])
            starter = os.readlink(b"/proc/%d/exe" % parent)
        except OSError:
            return False
        pushes = self._sshs.get((pid, began))
        same = pushes is not None and (image.st_dev, image.st_ino) == self._grant.program
        if not same or not starter.startswith(self._git_tools) or above not in self._gits:
            return False
        return not pushes or self._gits[above]


def _destined(argv: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """What git's arguments for ssh say of where to, and what there."""
    words = argv[1:]
    if words[:2] == (b"-o", b"SendEnv=GIT_PROTOCOL"):
        words = words[2:]
    return words[1:] if words[:1] in ((b"-4",), (b"-6",)) else words
