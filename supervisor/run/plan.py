"""What a start would do, found out without doing it: no process of the command, no folder, no file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from supervisor.journal.store import check_makeable, obstacle
from supervisor.kernel import probe
from supervisor.kernel.seccomp import INSTRUCTION
from supervisor.profile.agents import GENERIC, candidates
from supervisor.profile.model import AgentPack, SourceFile
from supervisor.profile.packs import pack_names
from supervisor.run.compose import handed_in
from supervisor.run.prepare import Options, Prepared, check_host, prepare
from supervisor.run.start import cannot_make, domains, filter_of, folders_to_make


class Layer(NamedTuple):
    """A file that binds: its SHA-256 as the record names it, and the id that git gives its bytes, empty where the file
    changed since it was read."""

    name: str
    sha256: str
    blob: str


class Plan(NamedTuple):
    """``chosen`` says why this agent pack. ``to_make`` are folders that a start makes. ``reads`` and ``writes`` are the
    numbers of Landlock rules of the agent and of the supervisor, ``instructions`` the length of the filter."""

    prepared: Prepared
    chosen: str
    layers: tuple[Layer, ...]
    to_make: tuple[bytes, ...]
    reads: int
    writes: int
    instructions: int
    notes: tuple[str, ...]


def plan(options: Options, environ: Mapping[str, str]) -> Plan:
    """The plan of a start. Errors: what the start itself would raise, with its exit code."""
    prepared = prepare(options, environ)
    check_makeable(prepared.state)
    wanted = folders_to_make(prepared)
    for path in wanted:
        if why := obstacle_at(path):
            raise cannot_make(path, why, prepared.caches)
    # What cannot be undone is tried in a child that ends at once.
    tried = probe.host()
    check_host(
        prepared.host._replace(listener_errno=tried.listener_errno, refused_calls=tried.refused_calls), options.accept
    )
    agent, own = domains(prepared, handed_in())
    program = filter_of(prepared, keep=False)
    made = dict.fromkeys((os.fsencode(prepared.state), *wanted))  # state files share a folder
    return Plan(
        prepared,
        _chosen(prepared.agent, options),
        tuple(_layer(source) for source in prepared.profile.sources),
        tuple(path for path in made if not os.path.isdir(path)),
        len(agent.rules),
        len(own.rules),
        len(program) // INSTRUCTION.size,
        _notes(prepared),
    )


def obstacle_at(path: bytes) -> str:
    from pathlib import Path

    return obstacle(Path(os.fsdecode(path))) if not os.path.isdir(path) else ""


def _layer(source: SourceFile) -> Layer:
    try:
        with open(source.path, "rb") as file:
            data = file.read()
    except OSError:
        data = b""
    same = hashlib.sha256(data).hexdigest() == source.sha256
    # git hash-object; not a digest that anything rests on.
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() if same else ""
    return Layer(source.name, source.sha256, blob)


def _chosen(agent: AgentPack, options: Options) -> str:
    if options.agent is not None:
        return "named by --agent"
    names = frozenset((*agent.programs, *agent.packages))
    for word in candidates(options.command):
        if word in names:
            return f"the command runs {word!r}"
    others = ", ".join(name for name in pack_names("agents") if name != GENERIC)
    return f"no pack names this command; --agent NAME takes one of: {others}"


def _notes(prepared: Prepared) -> tuple[str, ...]:
    """What a start would say, and go on."""
    repository = prepared.place.repository
    found = [*prepared.profile.warnings, *_unreachable(prepared)]
    if repository is None:
        found.append("not a git repository: no notes will be written")
    if prepared.options.accept:
        found.append(f"accepted: {', '.join(prepared.options.accept)}; it is weaker, and recorded")
    return tuple(found)


def _unreachable(prepared: Prepared) -> Iterator[str]:
    """The profile says which hosts are open, and none of them can be the one that serves the agent's model."""
    agent = prepared.agent
    if not (agent.hosts or agent.keep):
        return
    scope = prepared.profile.scope
    for layer in scope.hosts:
        if not any(_may_serve(entry.value, agent.hosts) for entry in layer):
            where = layer[0].source if layer else scope.sources.get("hosts", "the profile")
            wanted = " ".join(agent.hosts) or "its provider, such as api.example.com:443"
            yield f"hosts ({where}) replaces the public hosts: for the agent to reach its model it has to name {wanted}"


def _may_serve(entry: str, hosts: tuple[str, ...]) -> bool:
    """Whether an entry of ``hosts`` is one of the provider's, or any name where the pack knows none."""
    host = entry.rpartition(":")[0]
    if not hosts:
        is_name = host not in ("unix", "registry") and ":" not in host
        return is_name and any(letter.isalpha() or letter == "*" for letter in host)
    return any(fnmatchcase(each.rpartition(":")[0], host) for each in hosts)
