"""Sockets: connect, bind, listen and addressed sends, from the notified call to its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.decide import decide
from supervisor.enforce import network as enforce_network
from supervisor.invariants.policy import NO_STATE, CompiledPolicy
from supervisor.kernel import process as kernel_process
from supervisor.run.parts import Parts, Waiting
from supervisor.surfaces.files import Call
from supervisor.vocabulary.acts import Held, Reply
from supervisor.vocabulary.events import FsEvent, FsOp, Kind, NetEvent, Target
from supervisor.vocabulary.verdicts import Effect, Verdict

if TYPE_CHECKING:
    from supervisor.run.judge import Judge


def connecting(judge: Judge, parts: Parts, policy: CompiledPolicy, call: Call) -> Reply | Waiting:
    """The reply to one call on a socket."""
    if call.name == "connect":
        judge.settle()
    network = parts.network()
    result = network.materialize(call.name, call.caller.tid, call.args, call.actor)
    if isinstance(result, Reply):
        judge.without_descriptor(call.name, result.error)
        return result
    event, act = result
    state = judge.state_of(event)
    verdict = decide(policy, state, event)
    for agent in parts.relayed:
        if verdict.blocks:  # where hosts names the agent, nothing is in between
            event = agent.seen(call, event)
            verdict = decide(policy, state, event)
            act = act if verdict.blocks else agent.led(act)
    if not verdict.blocks and event.op == "bind" and event.unix[:1] == b"/":
        verdict = _bind_path(parts, policy, call, event, state.now) or verdict
    if verdict.blocks and not parts.asking.passes(event, verdict, final=True):
        enforce_network.release(act)
        return judge.asked(call, event, verdict)
    trivial = event.family == "other" or (event.op == "send" and not event.host and not event.unix)
    governed = verdict.effect is not Effect.ALLOW or not trivial
    seq = parts.recorder.intent(event, verdict) if governed else 0
    done = enforce_network.perform(act, network.own, kernel_process.umask(call.caller.tid))
    if isinstance(done, Held):
        return Waiting(done, lambda reply: judge.finish(event, seq, reply), lambda: judge.abandoned(done, event, seq))
    if not done.error and event.op == "bind" and event.unix[:1] == b"/":
        parts.made.created(event.unix)
        if event.unix.startswith(policy.tree + b"/"):
            parts.touched.add(Target(event.unix, Kind.SOCKET))
    return judge.finish(event, seq, done)


def _bind_path(parts: Parts, policy: CompiledPolicy, call: Call, event: NetEvent, now: float) -> Verdict | None:
    """The file that a UNIX socket appears as is judged like any other creation."""
    target = Target(event.unix, Kind.ABSENT, made=parts.made.contains(event.unix))
    creation = parts.files.exposed(FsEvent(call.actor, FsOp.CREATE, "bind", target, makes=Kind.SOCKET))
    verdict = decide(policy, NO_STATE._replace(now=now), creation)
    return verdict if verdict.blocks else None
