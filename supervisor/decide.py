"""The one decision function.

Pure and total: no I/O, no clock, no memory of its own; every event gets a verdict and an unknown one is a bug. The
strictest of all matching invariants wins, and the order in which they are looked at never matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from supervisor.invariants import commands, content, dependency, gitdir, hosts, scope
from supervisor.invariants.places import WRITABLE, Zone, governed, locate, names_of
from supervisor.invariants.policy import NO_STATE, CompiledPolicy, RunState
from supervisor.vocabulary.events import (
    ContentEvent,
    Event,
    ExecEvent,
    FsEvent,
    FsOp,
    GitConfigEvent,
    Kind,
    LifecycleEvent,
    NetEvent,
    ObservationGap,
    ProcessEvent,
    RefEvent,
)
from supervisor.vocabulary.verdicts import ALLOWED, Effect, Match, Verdict


def decide(policy: CompiledPolicy, state: RunState, event: Event) -> Verdict:
    """The verdict on ``event``. ``state`` is what of the run's past may matter; it is never changed here."""
    match event:
        case FsEvent():
            found = (*scope.judge(policy, event), *_arrivals(policy, event), *_files(policy, state, event))
            return _strictest((*found, *_expressions(policy, state, event), *_unmet(policy, state, Effect.DENY)))
        case ContentEvent():
            return _strictest(_content(policy, state, event))
        case GitConfigEvent():
            return _strictest(_config(policy, event))
        case ExecEvent():
            return _strictest(
                (*_exec(policy, event), *_used(policy, state, event), *_expressions(policy, state, event))
            )
        case NetEvent():
            return _strictest(
                (*_network(policy, event), *_used(policy, state, event), *_expressions(policy, state, event))
            )
        case ProcessEvent():
            return _strictest(_process(policy, event))
        case LifecycleEvent():
            after = (*_lifecycle(policy, event), *_afterwards(policy, state, event))
            return _strictest((*after, *_unmet(policy, state, Effect.WARN)))
        case RefEvent():
            return _strictest(_ref(policy, event))
        case ObservationGap():
            return ALLOWED
        case _:
            assert_never(event)


def _strictest(matches: Iterable[Match]) -> Verdict:
    found = list(matches)
    if not found:
        return ALLOWED
    found.sort(key=lambda match: -match.effect)  # stable: of equals, the first in profile order names the verdict
    return Verdict(found[0].effect, tuple(found))


def _content(policy: CompiledPolicy, state: RunState, event: ContentEvent) -> Iterator[Match]:
    yield from scope.judge_placed(policy, event)
    path, inside = event.target.path, policy.tree + b"/"
    # A folder called .git may hold sources like any other; whoever asks has left out what git keeps there.
    if not event.placed and path.startswith(inside):
        yield from content.judge(policy, state, event, path[len(inside) :])
        if policy.remediation and state.episodes:
            from supervisor.invariants import remediation

            yield from remediation.judge_content(policy, state, event, path[len(inside) :])


def _arrivals(policy: CompiledPolicy, event: FsEvent) -> Iterator[Match]:
    """Packages that would come to lie under a name that is new. A rule speaks once, of the first one."""
    rules = policy.dependencies
    if not rules.arriving:
        return
    spoken: dict[str, Match] = {}
    for path in _new_names(event):
        if not rules.may_arrive(path):
            continue
        place = locate(policy, path)
        if place.zone is Zone.GIT:
            continue
        # The tree itself may lie below a folder of such a name.
        shown = b"/" + place.relative if place.zone is Zone.TREE else path
        made = event.makes if event.op is FsOp.CREATE else event.target.kind
        folder = made is Kind.DIR and path in (event.target.path, event.other and event.other.path)
        for match in dependency.judge_arrival(rules, shown, by_manager=event.manager, folder=folder):
            known = spoken.get(match.invariant.id)
            if known is None or known.effect < match.effect:
                spoken[match.invariant.id] = match
    yield from spoken.values()


def _files(policy: CompiledPolicy, state: RunState, event: FsEvent) -> Iterator[Match]:
    """Rules about classes of files, ceilings, and what may not change now."""
    if event.applied_by:
        told = f"{event.applied_by} was judged by what it finds here, and has not ended"
        yield Match(policy.invariant("govrun.exec"), Effect.DENY, told)
    if policy.data and policy.data.files:
        from supervisor.invariants import data

        reads = event.op is FsOp.READ
        touched = (target.path for target in (event.target, event.other) if target is not None)
        for path in (name for each in touched for name in names_of(each)):
            place = locate(policy, path)
            relative = place.relative if place.zone is Zone.TREE else None
            yield from data.judge_file(policy.data, path, relative, policy.home, writes=not reads, reads=reads)
    if policy.guards and state.counted and event.op is not FsOp.READ:
        from supervisor.invariants import guardrail

        relative = governed(policy, event.target)
        other = governed(policy, event.other) if event.other is not None else None
        yield from guardrail.judge(
            policy.guards,
            state.usage,
            event,
            relative,
            state.increment,
            other=other,
            remaining=lambda folder: state.remaining.get(folder, 0),
        )
    if policy.remediation and state.episodes and event.op is not FsOp.READ:
        from supervisor.invariants import remediation

        other = governed(policy, event.other) if event.other is not None else None
        also = [governed(policy, event.target._replace(path=name)) for name in event.names]
        yield from remediation.judge_fs(
            policy.remediation,
            state.episodes,
            event,
            governed(policy, event.target),
            other,
            tuple(name for name in also if name is not None),
            moving=event.carried,
        )


def _used(policy: CompiledPolicy, state: RunState, event: ExecEvent | NetEvent) -> Iterator[Match]:
    # At the stop an exec is no further one: it was counted when it was let begin.
    if policy.guards and state.counted and not (isinstance(event, ExecEvent) and event.stage == "stop"):
        from supervisor.invariants import guardrail

        yield from guardrail.judge(policy.guards, state.usage, event, None, state.increment)
        if isinstance(event, ExecEvent):
            yield from guardrail.judge_loop(policy.guards, state.loop, state.command, ended=False)
    if policy.remediation and state.episodes and isinstance(event, ExecEvent):
        from supervisor.invariants import remediation

        yield from remediation.judge_exec(policy.remediation, state.episodes, event)


def _expressions(policy: CompiledPolicy, state: RunState, event: FsEvent | ExecEvent | NetEvent) -> Iterator[Match]:
    if policy.expressions:
        from supervisor.invariants import expression

        if expression.is_judged(event):
            yield from expression.judge(policy.expressions, event, policy.tree, policy.home, state.now)


def _afterwards(policy: CompiledPolicy, state: RunState, event: LifecycleEvent) -> Iterator[Match]:
    """Ceilings that are crossed by what has happened, and going in circles."""
    if event.op not in ("counted", "written", "circles") or not policy.guards:
        return
    from supervisor.invariants import guardrail

    if event.op != "circles":
        yield from guardrail.judge(policy.guards, state.usage, event, None, state.increment)
    else:
        yield from guardrail.judge_loop(policy.guards, state.loop, event.detail, ended=True)


def _unmet(policy: CompiledPolicy, state: RunState, effect: Effect) -> Iterator[Match]:
    """Contracts that are not met: at a commit that is refused, at a checkpoint it is told."""
    for ident, why in state.unmet.items():
        yield Match(policy.invariant(ident), effect, f"the contract is not met: {why}")


def _new_names(event: FsEvent) -> Iterator[bytes]:
    target, other = event.target, event.other
    if event.op is FsOp.CREATE or (event.op is FsOp.WRITE and target.kind is Kind.ABSENT):
        yield target.path
    elif event.op in (FsOp.LINK, FsOp.RENAME) and other is not None:
        yield other.path
        yield from (other.path + b"/" + name for name in event.beneath or ())
        if event.exchange:
            yield target.path
            yield from (target.path + b"/" + name for name in event.beneath_other or ())


def _config(policy: CompiledPolicy, event: GitConfigEvent) -> Iterator[Match]:
    # The lock file is taken away like any other file that is renamed.
    taken = FsEvent(event.actor, FsOp.RENAME, "rename", event.source)
    yield from scope.judge(policy, taken)
    refusal = gitdir.refuses_config(event)
    if refusal is not None:
        told = refusal.message + (f"; {refusal.use}" if refusal.use else "")
        yield Match(policy.invariant(gitdir.INVARIANT), Effect.DENY, told)


def _exec(policy: CompiledPolicy, event: ExecEvent) -> Iterator[Match]:
    if event.refusal:
        yield Match(policy.invariant("govrun.exec"), Effect.DENY, event.refusal)
        return
    if event.anonymous:
        yield Match(policy.invariant("govrun.exec"), Effect.DENY, "a program without a name cannot be judged")
        return
    if policy.judges_reads:  # the kernel reads what it executes
        read = FsEvent(event.actor, FsOp.READ, "execve", event.target)
        yield from scope.judge(policy, read)
        yield from _files(policy, NO_STATE, read)
    yield from dependency.judge_install(policy.dependencies, event)
    if policy.actions:
        from supervisor.invariants import actions

        cwd = locate(policy, event.cwd)
        yield from actions.judge_exec(policy.actions, event, cwd.relative if cwd.zone is Zone.TREE else None)
    if event.applied and policy.documents:
        from supervisor.invariants import applied

        yield from applied.judge_exec(policy.documents, event.applied, policy.tree)
    if event.commands and policy.branching:
        from supervisor.invariants import branching

        yield from branching.judge_exec(policy, event)
    if event.authored or event.servers or event.injected:
        from supervisor.invariants import injection, servers, tools

        yield from tools.judge_exec(policy, event)
        yield from servers.judge_exec(policy, event)
        yield from injection.judge_exec(policy, event)
    if event.statements and policy.data:
        from supervisor.invariants import data

        yield from data.judge_statements(policy.data, event, tree=policy.tree, home=policy.home)
    if not policy.commands.layers:
        return
    place = locate(policy, event.target.path)
    relative = place.relative if place.zone is Zone.TREE else None
    message, source = commands.forbids(
        policy.commands, event, relative, place.zone in WRITABLE, locate(policy, event.alias).zone in WRITABLE
    )
    if message:
        rule, effect = policy.rule("scope.commands", source)
        yield Match(rule, effect, message)


def _network(policy: CompiledPolicy, event: NetEvent) -> Iterator[Match]:
    if event.unix.startswith(policy.state + b"/"):
        # Whatever a glob in `hosts` matches: there the operator answers for this run, or for another one.
        told = "a run has no business with the sockets of govrun"
        yield Match(policy.invariant("govrun.state"), Effect.DENY, told)
    blocked, message, source = hosts.judge(policy.hosts, event)
    rule, effect = policy.rule("scope.hosts", source)
    if event.refusal:
        yield Match(rule, max(effect, Effect.DENY), event.refusal)
    elif blocked:
        yield Match(rule, effect, message)
    elif message and source:
        yield Match(rule, Effect.OBSERVE, message)


def _ref(policy: CompiledPolicy, event: RefEvent) -> Iterator[Match]:
    if event.landing and policy.branching:
        from supervisor.invariants import branching

        yield from branching.judge_ref(policy, event)


def _process(policy: CompiledPolicy, event: ProcessEvent) -> Iterator[Match]:
    if event.op == "trace" and not policy.debug:
        message = "tracing and reading other processes needs `debug = true` in [scope]"
        yield Match(policy.invariant("govrun.processes"), Effect.DENY, message)
    elif not event.own:
        message = f"process {event.target} does not belong to this run ({event.detail})"
        yield Match(policy.invariant("govrun.processes"), Effect.DENY, message)


def _lifecycle(policy: CompiledPolicy, event: LifecycleEvent) -> Iterator[Match]:
    if event.op == "timeout" and "scope.timeout" in policy.invariants:
        yield Match(policy.invariant("scope.timeout"), Effect.KILL, event.detail)
    elif policy.limits:
        from supervisor.invariants import limits

        yield from limits.judge(policy, event)
