"""Which process of a run is the agent: the one that was started, or what a launcher or a script of the user starts.

An agent that edits files in its own process keeps its standard error to itself; what is refused there has to be told
with the next command that it runs for its model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.agents import INTERPRETERS, RUNNERS, candidates
from supervisor.profile.model import AgentPack
from supervisor.run.record import Recorder
from supervisor.surfaces.processes import Processes
from supervisor.vocabulary.events import ExecEvent

_SHELLS = frozenset(b"sh bash dash zsh ksh ash fish".split())
_LAUNCHERS = _SHELLS | frozenset(b"env nohup timeout nice setsid stdbuf ionice chrt".split())
_RUNNERS = frozenset(os.fsencode(words[0]) for words in RUNNERS)
_SANDBOXES = frozenset(b"bwrap unshare firejail nsjail".split())
_LOOKED_AT = 4  # words of a command line that may name the agent program


def launches(program: str) -> bool:
    """Whether a program, as it is found on disk, only starts others: a shell, ``env`` and its like, or a shell script.
    Any other that no pack names may itself be the agent, and starting a further one is its model's idea."""
    real = os.path.realpath(program)
    if os.path.basename(os.fsencode(real)) in _LAUNCHERS:
        return True
    try:
        fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            head = file.read(256)
    except OSError:
        return False
    words = head[2:].partition(b"\n")[0].split() if head.startswith(b"#!") else []
    return any(os.path.basename(word) in _SHELLS for word in words[:3])


class Late(NamedTuple):
    """Packs that may still be chosen after the start, the policy under one of them, and the names of the variables
    that were withheld."""

    packs: tuple[AgentPack, ...] = ()
    policy: Callable[[AgentPack], CompiledPolicy] | None = None
    withheld: tuple[str, ...] = ()


def adopted(pack: AgentPack, late: Late, recorder: Recorder, say: Callable[[str], None]) -> CompiledPolicy:
    """The policy from here on, recorded and told."""
    if late.policy is None:
        raise ValueError("no pack can be chosen any more")
    policy = late.policy(pack)
    granted = [grant.path for grant in policy.grants if grant.source == f"pack:agents/{pack.name}"]
    recorder.adopted(pack.name, granted, policy.digest)
    say(f"govrun: {pack.name} is started here: what its pack names applies from now on")
    for line in _lacks(pack, granted, late.withheld):
        say(f"  {line}")
    return policy


def _lacks(pack: AgentPack, granted: Iterable[bytes], withheld: Iterable[str]) -> Iterator[str]:
    missing = [os.fsdecode(path) for path in granted if not os.path.lexists(path)]
    names = [name for name in withheld if name in pack.keep]
    if names:
        yield f"withheld all the same: {', '.join(names)}"
    if missing:
        yield f"cannot be written, since it was not there at the start: {', '.join(missing)}"
    if names or missing:
        yield f"fix: govrun --agent {pack.name} -- …"


class Agent:
    """``pack`` is what the run was started with. ``late`` are packs that may still be chosen, and ``adopt`` is told
    which: by an exec of the launcher that was started, or of a child of its own, before the run changed anything."""

    def __init__(
        self,
        pack: AgentPack,
        processes: Processes,
        late: Iterable[AgentPack] = (),
        adopt: Callable[[AgentPack], None] = lambda _: None,
    ) -> None:
        self._pack = pack
        self._processes = processes
        self._late = tuple(late)
        self._adopt = adopt
        self._exe = b""
        self._arguments: tuple[bytes, ...] = ()
        self._words = _words((pack, *self._late))

    def executed(self, pid: int, event: ExecEvent) -> None:
        """A process runs a new image. It is the agent when a pack names it: at any depth as long as there is none,
        since runners and scripts come before it; then only what the agent itself starts, a launcher its native
        program. An agent that starts itself again stays what it is, unless it does so with its own arguments: then it
        hands over (to have more memory, for one), and does not use a helper. ``late`` packs are chosen by what the
        process that was started executes or starts."""
        if not self._words:
            return  # every exec comes by here
        processes = self._processes
        near = processes.root in (pid, processes.of(pid).ppid)
        if not near and (self._found or self._late):
            return
        exe = os.readlink(b"/proc/%d/exe" % pid)
        arguments = _arguments(exe, event.argv)
        if pid != processes.root and exe == self._exe and arguments != self._arguments:
            return
        pack = self._named(event)
        if pack is None:
            if pid == processes.root and os.path.basename(event.target.path) not in _LAUNCHERS:
                self.settled()  # what was to be launched is here, and nobody knows it
            return
        if pack is not self._pack:
            self._pack = pack
            self._adopt(pack)
        self.settled()
        if _name(event).rpartition(b"/")[2] not in _RUNNERS:
            processes.root, self._exe, self._arguments = pid, exe, arguments

    @property
    def _found(self) -> bool:
        return self._exe != b""

    def _named(self, event: ExecEvent) -> AgentPack | None:
        given = (event.target.path, *event.argv[1:_LOOKED_AT])
        if not any(word in part for word in self._words for part in given):
            return None
        found = frozenset(candidates([os.fsdecode(part) for part in (_name(event), *event.argv[1:])]))
        packs = (pack for pack in (self._pack, *self._late) if not found.isdisjoint((*pack.programs, *pack.packages)))
        return next(packs, None)

    def changed(self, path: bytes) -> None:
        """The run changed a file: from then on what it may write stays as it is. A launcher may ask git something."""
        if self._late and b"/.git/" not in path:
            self.settled()

    def settled(self) -> None:
        if self._late:
            self._late = ()
            self._words = _words((self._pack,))

    def is_agent(self, tgid: int) -> bool:
        """Whether a known agent program itself acts, and not a command of it."""
        return bool(self._pack.programs) and tgid == self._processes.root

    def reads(self, pid: int, path: bytes) -> bool:
        """Whether the standard error of a program that starts is read by the agent's model. A known agent runs commands
        for it in a shell; what it starts directly is for itself, such as git for the name of the branch."""
        if not self._pack.programs or not self._found:
            return True
        record = self._processes.of(pid)
        return record.ppid == self._processes.root and path.rpartition(b"/")[2] in _SHELLS

    def sandbox(self, event: ExecEvent) -> str:
        """What to tell when the agent's own sandbox starts, which needs namespaces or mounts; empty for all others. It
        will fail, and blame the kernel or the machine for it."""
        name = event.target.path.rpartition(b"/")[2]
        if not self._pack.unconfined or name not in _SANDBOXES or event.argv[1:2] in ((b"--version",), (b"--help",)):
            return ""
        why = "a run gets no namespaces and no mounts, and what it starts is confined already"
        return f"govrun: {name.decode()} cannot work inside a run · why: {why} · instead: {self._pack.unconfined}"


def _name(event: ExecEvent) -> bytes:
    """A program by the name it was started by: runners are often links to a script of another name."""
    return event.given if event.given.startswith(b"/") else event.target.path


def _arguments(exe: bytes, argv: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """What follows the program, or the script that an interpreter runs."""
    words = list(argv[1:])
    if exe.rpartition(b"/")[2].startswith(tuple(map(os.fsencode, INTERPRETERS))):
        while words and words[0].startswith(b"-"):
            del words[0]
        del words[:1]
    return tuple(words)


def _words(packs: Iterable[AgentPack]) -> tuple[bytes, ...]:
    return tuple({os.fsencode(word) for pack in packs for word in (*pack.programs, *pack.packages)})
