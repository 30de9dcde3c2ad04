"""Events and verdicts -> journal records, and the counts that notes are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from supervisor.journal.codec import encode, quote
from supervisor.journal.writer import Journal
from supervisor.run.upheld import Stood
from supervisor.vocabulary.content import NOTHING_FOUND
from supervisor.vocabulary.events import (
    Actor,
    ContentEvent,
    Event,
    ExecEvent,
    FsEvent,
    GitConfigEvent,
    LifecycleEvent,
    NetEvent,
    ObservationGap,
    ProcessEvent,
    RefEvent,
)
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Effect, Outcome, Verdict

Record = dict[str, Any]
_ACTORS = 256


class Counts:
    """attempted = succeeded + failed + blocked + unknown, at any moment: what is under way counts as unknown."""

    def __init__(self) -> None:
        self.succeeded = self.failed = self.blocked = 0
        self.attempted = self.execs = 0
        self.ungoverned = 0
        self.warned = 0
        self.reverted = self.kills = 0
        self.external = self.divergence = 0
        self.decisions: dict[str, int] = {}
        self.episodes: dict[str, int] = {}  # by how they ended, where rules speak of them
        self.contracts = self.contracts_passed = 0

    def as_dict(self) -> dict[str, int]:
        return {
            "attempted": self.attempted,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "blocked": self.blocked,
            "unknown": self.attempted - self.succeeded - self.failed - self.blocked,
        }

    def is_idle(self) -> bool:
        """Programs ran, and that is all: nothing was changed, refused or noticed."""
        others = (self.blocked, self.ungoverned, self.warned, self.reverted, self.kills, self.external, self.divergence)
        return self.attempted == self.execs and not any(others)

    def beside(self) -> dict[str, int]:
        """What is counted beside attempts: consequences, and what others did (known at the end of the run only)."""
        return {
            "reverts": self.reverted,
            "kills": self.kills,
            "external": self.external,
            "divergence": self.divergence,
        } | self.shown()

    def shown(self) -> dict[str, int]:
        """How episodes ended and what contracts showed, where there are any."""
        told = {f"episodes_{name}": number for name, number in self.episodes.items()}
        if self.contracts:
            told |= {"contracts": self.contracts, "contracts_passed": self.contracts_passed}
        return told


class Recorder:
    """Writes intents before acts and outcomes after them; keeps the counts."""

    def __init__(self, journal: Journal, policy_blob: str) -> None:
        self._journal = journal
        self._policy = policy_blob
        self._actors: dict[Actor, str] = {}
        self.counts = Counts()
        self.stood = Stood()

    @property
    def seq(self) -> int:
        return self._journal.seq

    def intent(self, event: Event, verdict: Verdict) -> int:
        """Journal an act that is about to happen; returns the seq its outcome refers to."""
        self.counts.attempted += 1
        if verdict.matches or not isinstance(event, FsEvent):
            self.counts.execs += isinstance(event, ExecEvent)
            self._tally(verdict)
            return self._journal.append(self._record(event, verdict, "intent"))
        return self._journal.append_members(
            f'"kind":"fs.{event.op}","phase":"intent","op":{_fs_op(event)},"verdict":"allow",'
            f'{self._actor_members(event.actor)},"binding":"copied"',
            lambda: self._record(event, verdict, "intent"),
        )

    def outcome(self, seq: int, kind: str, outcome: Outcome, errno: int = 0) -> None:
        """Journal how the act of intent ``seq`` ended."""
        if outcome is Outcome.SUCCEEDED:
            self.counts.succeeded += 1
        elif outcome is Outcome.FAILED:
            self.counts.failed += 1
        number = f',"errno":{errno}' if errno else ""
        self._journal.append_members(
            f'"kind":"{kind}","phase":"outcome","cause":{seq},"outcome":"{outcome}"{number}',
            lambda: {"kind": kind, "phase": "outcome", "cause": seq, "outcome": outcome.value},
        )

    def _actor_members(self, actor: Actor) -> str:
        """The actor's part of a record as JSON; most records in a row have the same actor."""
        known = self._actors.get(actor)
        if known is None:
            if len(self._actors) >= _ACTORS:
                self._actors.clear()
            known = encode({"actor": _actor(actor), "action": actor.action})[1:-1]
            self._actors[actor] = known
        return known

    def blocked(self, event: Event, verdict: Verdict, errno: int, message: str, cause: int = 0) -> int:
        """Journal an act that was refused: one record, since nothing happens between intent and outcome. ``cause`` is
        the intent of an act that was let begin and is refused only now."""
        self.counts.attempted += 0 if cause else 1
        self.counts.blocked += 1
        self._tally(verdict)
        record = self._record(event, verdict, "outcome")
        record |= {"outcome": Outcome.BLOCKED.value, "errno": errno, "message": message}
        if cause:
            record["cause"] = cause
        return self._journal.append(record)

    def reverting(self, event: ContentEvent, verdict: Verdict, message: str) -> int:
        """Journal that a change which has landed is going to be taken back. It was attempted and counted when it was
        written; only the revert is new."""
        self._tally(verdict)
        record = self._record(event, verdict, "intent")
        seq = self._journal.append(record | {"verdict": Effect.REVERT.word, "message": message})
        self.stood.reverting(seq, verdict)
        return seq

    def reverted(self, seq: int, event: ContentEvent, how: str, quarantine: str, detail: str, difference: str) -> None:
        """Journal how the revert of intent ``seq`` ended; ``quarantine`` is where the rejected version lies, and
        ``difference`` what it would have changed."""
        ends = {"external": Outcome.SUCCEEDED, "gone": Outcome.SUCCEEDED, "failed": Outcome.FAILED}
        outcome = ends.get(how, Outcome.REVERTED)
        self.counts.reverted += outcome is Outcome.REVERTED
        self.stood.reverted(seq, outcome)
        told = {"path": event.target.path, "how": how, "quarantine": quarantine, "detail": detail, "diff": difference}
        self._journal.append(
            {
                "kind": kind_of(event),
                "phase": "outcome",
                "cause": seq,
                "op": {name: value for name, value in told.items() if value},
                "outcome": outcome.value,
            }
        )

    def warned(self, event: ContentEvent, verdict: Verdict) -> None:
        """Journal content that is let be although a rule speaks of it, or because it is other people's work."""
        self._tally(verdict)
        record = self._record(event, verdict, "outcome") | {"outcome": "succeeded"}
        if event.theirs or (event.prior != NOTHING_FOUND and not verdict.matches):
            record["op"]["prior"] = True
        self._journal.append(record)

    def external(self, path: bytes, verdict: Verdict | None, why: str, *, diverges: bool) -> None:
        """Journal a file that somebody else changed, or (``diverges``) that is not as the run left it; ``verdict``:
        what a rule says of it, which keeps the run from PASSED."""
        told = {"path": path, "divergence": diverges, "reason": why}
        record: Record = {
            "kind": "external",
            "phase": "outcome",
            "op": {name: value for name, value in told.items() if value},
            "binding": "post_hoc",
        }
        if verdict is not None:
            self.counts.warned += 1
            self._tally(verdict)
            self.stood.found(verdict)
            record |= {"verdict": Effect.WARN.word} | self._spoken(verdict)
        self._journal.append(record)

    def observed(self, event: Event, verdict: Verdict) -> int:
        """Journal something that has already happened."""
        self.counts.attempted += 1
        self.counts.succeeded += 1
        self._tally(verdict)
        self.stood.happened(verdict)
        record = self._record(event, verdict, "outcome")
        return self._journal.append(record | {"outcome": Outcome.SUCCEEDED.value})

    def lineage(self, path: bytes, actor: Actor | None, before: str, after: str) -> None:
        """Journal that a file of the agent's state has changed; a digest is empty where there is nothing. ``actor``:
        who opened or moved it last, None where that was nobody of the run."""
        record: Record = {"kind": "state", "phase": "outcome", "op": {"call": "changed", "path": path}}
        if actor is not None:
            record |= {"actor": _actor(actor), "action": actor.action, "outcome": Outcome.SUCCEEDED.value}
        digests = {name: digest for name, digest in (("pre", before), ("post", after)) if digest}
        self._journal.append(record | digests | {"binding": "post_hoc", "policy_blob": self._policy})

    def note(self, kind: str, **op: Any) -> int:
        """A record of the run itself, or of others; not counted as an attempt."""
        return self._journal.append({"kind": kind, "phase": "outcome", "op": op})

    def begin(self, argv: Sequence[str], cwd: bytes) -> int:
        """The first record of a run."""
        told = {"argv": list(argv), "cwd": cwd}
        return self._journal.append({"kind": "run.start", "phase": "outcome", "op": told, "policy_blob": self._policy})

    def adopted(self, agent: str, grants: Sequence[bytes], digest: str) -> int:
        """An agent pack was chosen after the start, and with it another policy."""
        self._policy = digest
        told = {"agent": agent, "grants": list(grants)}
        return self._journal.append({"kind": "policy", "phase": "outcome", "op": told, "policy_blob": digest})

    def _tally(self, verdict: Verdict) -> None:
        if verdict.effect in (Effect.OBSERVE, Effect.WARN):
            self.counts.warned += 1
            self.stood.let_be(verdict)
        for match in verdict.matches[:1]:
            key = source_key(match.invariant)
            self.counts.decisions[key] = self.counts.decisions.get(key, 0) + 1

    def _record(self, event: Event, verdict: Verdict, phase: str) -> Record:
        record: Record = {"kind": kind_of(event), "phase": phase, "op": _op(event), "verdict": verdict.effect.word}
        actor = getattr(event, "actor", None)
        if actor is not None:
            record["actor"] = _actor(actor)
            record["action"] = actor.action
        record["binding"] = _binding(event)
        return record | self._spoken(verdict)

    def _spoken(self, verdict: Verdict) -> Record:
        """Which invariants spoke, where the first of them stands, and why it does."""
        if not verdict.matches:
            return {}
        first = verdict.matches[0]
        rule = first.invariant
        return {
            "invariant": rule.id,
            "invariant_kind": rule.kind,
            "coverage": rule.coverage.word,
            "matched": [match.invariant.id for match in verdict.matches],
            "policy_blob": self._policy,
            "message": first.message,
        } | {name: value for name in ("source", "adr", "adr_blob", "why", "use") if (value := getattr(rule, name))}


def _fs_op(event: FsEvent) -> str:
    to = f',"to":{quote(event.other.path)}' if event.other is not None else ""
    mode = f',"mode":"{event.mode:o}"' if event.mode else ""
    return f'{{"call":"{event.call}","path":{quote(event.target.path)}{to}{mode}}}'


def source_key(rule: Invariant) -> str:
    """``invariant<-decision`` as the notes write it: the ADR, else where the rule was written."""
    return f"{rule.id}<-{rule.adr or rule.source or 'govrun'}"


def kind_of(event: Event) -> str:
    """The journal's kind of an event."""
    match event:
        case FsEvent():
            return f"fs.{event.op}"
        case ContentEvent():
            return "git.ref" if event.commit else "fs.write"
        case GitConfigEvent():
            return "state"
        case RefEvent():
            return "git.ref"
        case ExecEvent():
            return "exec"
        case NetEvent():
            return "net.listen" if event.op == "bind" else f"net.{event.op}"
        case ProcessEvent():
            return "process"
        case LifecycleEvent():
            return "operator" if event.op == "operator" else "policy"
        case ObservationGap():
            return "gap"


def _binding(event: Event) -> str:
    if isinstance(event, ProcessEvent):
        return "registers"
    late = isinstance(event, ContentEvent | RefEvent) and not event.landing
    return "post_hoc" if late or isinstance(event, ObservationGap | LifecycleEvent) else "copied"


def _actor(actor: Actor) -> Record:
    return {
        "pid": actor.pid,
        "ppid": actor.ppid,
        "start": actor.start,
        "exe": actor.exe,
        "argv": list(actor.argv),
    }


def _op(event: Event) -> Record:
    match event:
        case FsEvent():
            op: Record = {"call": event.call, "path": event.target.path}
            if event.other is not None:
                op["to"] = event.other.path
            if event.mode:
                op["mode"] = f"{event.mode:o}"
            return op
        case ContentEvent():
            said = {"path": event.target.path, "inode": event.target.ino, "commit": event.commit}
            return {name: value for name, value in said.items() if value}
        case GitConfigEvent():
            return {"path": event.target.path, "keys": [change.key for change in event.changes[:64]]}
        case RefEvent():
            op = {"ref": event.ref, "old": event.old, "new": event.new}
            return op | {"fetched": True} if event.fetched else op
        case ExecEvent():
            op = {"path": event.target.path, "argv": list(event.argv[:256]), "cwd": event.cwd, "stage": event.stage}
            if event.chain:
                op["chain"] = list(event.chain)
            return op
        case NetEvent():
            op = {"call": event.op, "transport": event.transport}
            if event.family == "unix":
                return op | {"unix": event.unix}
            return op | {"host": event.host, "port": event.port, "own": event.own}
        case ProcessEvent():
            return {"call": event.op, "pid": event.target, "detail": event.detail}
        case LifecycleEvent():
            return {"call": event.op, "detail": event.detail}
        case ObservationGap():
            return {"reason": event.reason, "detail": event.detail}
