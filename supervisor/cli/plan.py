"""``govrun --dry-run -- COMMAND``: the plan of a run, in place of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.profile.model import Entry, Layers
    from supervisor.run.plan import Plan
    from supervisor.run.prepare import Options

_WIDTH = 100
_LABEL = 11


def show(outer: str, options: Options) -> int:
    """Print what would happen; 0. Inside the run ``outer`` nothing of its own would be set up. Errors: what the start
    would raise."""
    from supervisor.cli.text import emit, safe

    if outer:
        told = f"already inside run {outer}: the command would start under the supervision that is there"
        emit([json.dumps({"inside": outer, "command": list(options.command)}) if options.as_json else told])
        return 0
    from supervisor.run.plan import plan

    found = plan(options, os.environ)
    emit([json.dumps(document(found), indent=2)] if options.as_json else map(safe, lines(found)))
    return 0


def document(found: Plan) -> dict[str, object]:
    """The plan, ready for JSON."""
    prepared = found.prepared
    policy, scope, repository = prepared.policy, prepared.profile.scope, prepared.place.repository
    return {
        "command": list(prepared.options.command),
        "program": prepared.program,
        "agent": {"name": prepared.agent.name, "why": found.chosen},
        "directory": str(prepared.place.cwd),
        "tree": {
            "path": str(prepared.place.tree),
            "mode": "inplace",
            "branch": repository.head_ref if repository else None,
            "base": repository.head_commit if repository else None,
        },
        "profile": [layer._asdict() for layer in found.layers],
        "policy": policy.digest,
        "state": str(prepared.state),
        "would_make": [_text(path) for path in found.to_make],
        "write": [[entry._asdict() for entry in layer] for layer in scope.write],
        "protect": [entry._asdict() for entry in scope.protect],
        "outside": [{"path": _text(grant.path), "source": grant.source} for grant in policy.grants],
        "temporary": [_text(path) for path in policy.temp],
        "hidden": [_text(path) for path in policy.unread()],
        "hosts": [[entry._asdict() for entry in layer] for layer in scope.hosts],
        "agent_hosts": list(prepared.agent.hosts),
        "environment": {
            "given": _given(found),
            "withheld": list(prepared.environment.withheld),
        },
        "limits": {"timeout": policy.timeout, "files": scope.files}
        | {limit.key: limit.most for limit in policy.limits},
        "kernel": {
            "tier": prepared.host.tier,
            "landlock_abi": prepared.host.landlock_abi,
            "landlock_rules": {"agent": found.reads, "supervisor": found.writes},
            "filter_instructions": found.instructions,
        },
        "invariants": [rule._asdict() | {"coverage": rule.coverage.word} for rule in policy.invariants.values()],
        "notes": list(found.notes),
    }


def lines(found: Plan) -> Iterator[str]:
    """The plan as text."""
    from supervisor.cli.text import command_line

    prepared = found.prepared
    repository, host = prepared.place.repository, prepared.host
    yield "nothing was started, and nothing was written"
    yield ""
    yield from _row("command", [command_line(prepared.options.command)])
    yield from _row("program", [prepared.program])
    yield from _row("agent", [f"{prepared.agent.name}: {found.chosen}"])
    yield from _row("directory", [str(prepared.place.cwd)])
    where = "not a git repository"
    if repository is not None:
        branch = (repository.head_ref or "detached HEAD").removeprefix("refs/heads/")
        where = f"git, {branch} at {repository.head_commit[:12] or 'no commit yet'}"
    yield from _row("tree", [f"{prepared.place.tree} (in place; {where})"])
    width = max(len(layer.name) for layer in found.layers)
    yield from _row("profile", [f"{each.name:{width}}  blob {each.blob[:12] or '-'}" for each in found.layers])
    yield from _row("state", [f"{prepared.state}"])
    yield from _row("would make", [_text(path) for path in found.to_make])
    yield ""
    yield from _scope(found)
    yield ""
    yield from _environment(found)
    yield ""
    landlock = f"{found.reads} rules for the agent (to read, and to write devices), {found.writes} for the supervisor"
    looked = "each program is looked at again at its exec stop"
    yield from _row(
        "kernel",
        [
            f"Landlock ABI {host.landlock_abi}: {landlock}",
            f"seccomp: a filter of {found.instructions} instructions that asks the supervisor",
            f"ptrace: {looked if host.yama < 2 else 'no second look at programs, by --accept yama'}",
        ],
    )
    yield ""
    yield from _coverage(found)
    yield ""
    yield from _row("notes", found.notes)
    yield "nothing known would refuse this start"


def _scope(found: Plan) -> Iterator[str]:
    prepared = found.prepared
    policy, scope = prepared.policy, prepared.profile.scope
    everything = ["every path of the tree but git's internals and what is protected"]
    yield from _row("write", [_layer(layer) for layer in scope.write] or everything)
    yield from _row("protected", _by_source(scope.protect))
    outside = [f"{_text(grant.path)} ({grant.source})" for grant in policy.grants]
    yield from _row("outside", [*outside, *(f"{_text(path)} (only names the run creates)" for path in policy.temp)])
    yield from _row("read", [_layer(layer) for layer in scope.read] or ["everything that is not hidden"])
    yield from _row("hidden", [_text(path) for path in policy.unread()])
    public = ["every public address; no private, link-local or metadata address, nobody else's listener"]
    agent = [f"for the agent: {', '.join(prepared.agent.hosts)}"] if prepared.agent.hosts else []
    yield from _row("hosts", [*(_hosts(scope.hosts) or public), *agent])
    yield from _row("ports", ["free: what the run listens on itself, it may also connect to"])
    limits = [f"{policy.timeout:g} s of wall clock"] if policy.timeout is not None else []
    limits += [f"{scope.files} open files"] if scope.files is not None else []
    if policy.limits:
        from supervisor.invariants.limits import in_words

        limits += [f"{in_words(limit.key, limit.most)} ({limit.key})" for limit in policy.limits]
    yield from _row("limits", limits or ["none"])


def _hosts(layers: Layers) -> list[str]:
    return [_layer(layer) for layer in layers]


def _layer(layer: tuple[Entry, ...]) -> str:
    if not layer:
        return "nothing"
    return f"{', '.join(entry.value for entry in layer)} ({layer[0].source.rpartition(':')[0]})"


def _by_source(entries: Iterable[Entry]) -> list[str]:
    """Those of the profile by name, those of packs by number."""
    counts: dict[str, list[str]] = {}
    for entry in entries:
        counts.setdefault(entry.source.rpartition(":")[0], []).append(entry.value)
    return [
        f"{len(values)} patterns of {source}" if source.startswith("pack:") else f"{', '.join(values)} ({source})"
        for source, values in counts.items()
    ]


def _environment(found: Plan) -> Iterator[str]:
    import textwrap

    environment = found.prepared.environment
    given = textwrap.wrap(", ".join(_given(found)), _WIDTH - _LABEL)
    yield from _row("given", given)
    withheld = textwrap.wrap(", ".join(environment.withheld), _WIDTH - _LABEL) or ["nothing"]
    yield from _row("withheld", withheld)


def _given(found: Plan) -> list[str]:
    """Names of the variables that the command gets; some name a folder of the run's own."""
    from supervisor.run.scratch import VARIABLES

    return sorted({*found.prepared.environment.variables, *VARIABLES})


def _coverage(found: Plan) -> Iterator[str]:
    rules = found.prepared.policy.invariants.values()
    width = max(len(rule.id) for rule in rules)
    shown = [f"{rule.coverage.word:13} {rule.id:{width}}  {rule.then:7} {rule.source}" for rule in rules]
    yield from _row("coverage", shown)


def _row(label: str, values: Iterable[str]) -> Iterator[str]:
    for at, value in enumerate(values):
        yield f"{'' if at else label:{_LABEL}}{value}"


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
