"""Episodes of a run: what was refused or taken back, and what is then done about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from supervisor.invariants.places import governed
from supervisor.invariants.policy import CompiledPolicy
from supervisor.invariants.remediation import EpisodeState, EpisodeStates, Subject, command_lines, subject_of
from supervisor.run.episodes import Episodes
from supervisor.run.judgement import Judgement
from supervisor.run.marking import Marking
from supervisor.run.record import Recorder
from supervisor.run.standing import Standing
from supervisor.run.windows import moves
from supervisor.vocabulary.events import (
    Actor,
    ContentEvent,
    Event,
    ExecEvent,
    FsEvent,
    FsOp,
    LifecycleEvent,
    NetEvent,
    ObservationGap,
    RefEvent,
)
from supervisor.vocabulary.verdicts import Effect, Match, Verdict

if TYPE_CHECKING:
    from supervisor.run.contents import Contents
    from supervisor.run.fixing import Fixing

# What bounds an episode is no violation that an episode could be about.
_OWN = frozenset(("remediation", "guardrail"))
_NO_RULES = ("govrun.", "scope.", "git.")


class Repairing:
    """``tree`` names the state that the governed files are in."""

    def __init__(self, policy: CompiledPolicy, recorder: Recorder, tree: Callable[[], str]) -> None:
        self._policy = policy
        self._recorder = recorder
        self._tree = tree
        self._episodes = Episodes(policy.remediation)
        self._standing: Standing | None = None
        self._mark: Marking | None = None
        self.fixing: Fixing | None = None
        self._landed: list[tuple[bytes, Actor, Judgement | None]] = []
        self._count()

    def counting(self, contents: Contents) -> Standing:
        """What the judging of content works with from here on."""
        tolerated = contents.tolerated
        self._standing = Standing(self._policy, self.states, tolerated.base, tolerated.now)
        if any(rule.never_edit for rule in self._policy.remediation.rules):
            self._mark = Marking(contents, self._standing)
        return self._standing

    def _violations(self) -> int | None:
        return self._standing.total() if self._standing is not None else None

    def states(self) -> EpisodeStates:
        return self._episodes.snapshot()

    def refused(self, event: Event, verdict: Verdict, text: bytes = b"") -> None:
        """An act was refused, or content was taken back, which said ``text``."""
        subject = self._subject(event)
        if subject is None or not verdict.matches:
            return
        actor = actor_of(event)
        action = actor.action if actor is not None else 0
        for match in verdict.matches:
            rule = match.invariant
            if match.effect <= Effect.WARN or rule.kind in _OWN or rule.id.startswith(_NO_RULES):
                continue
            if isinstance(event, ContentEvent) and not self._episodes.waits(rule.id, subject):
                self._begins((event.target.dev, event.target.ino))
            ident = self._episodes.opened(
                rule.id,
                subject,
                self._recorder.seq,
                self._tree(),
                action=action,
                violations=self._violations(),
                fixable=isinstance(event, ContentEvent),
            )
            state = self.open(ident) if self.fixing is not None and isinstance(event, ContentEvent) else None
            if self.fixing is not None and state is not None:
                self.fixing.refused(state, _about(match, subject, text))
        self.acted(event)
        self._tell()

    # -- fixers that govrun starts ------------------------------------------------------------------------------

    def open(self, ident: str) -> EpisodeState | None:
        """An episode that is not over."""
        return self._episodes.find(ident)

    def limit(self) -> int:
        """How many attempts an episode may take, 0 for no limit."""
        return self._policy.remediation.attempts()

    def may_try(self, state: EpisodeState) -> bool:
        """Whether there is an attempt left."""
        return not self.limit() or state.attempts < self.limit()

    def tried(self, ident: str, words: Sequence[str], *, ran: bool) -> str:
        """A fixer has ended; ``ran``: it was counted. How the episode ended; ``open``: it goes on."""
        outcome = self._episodes.tried(ident, words, self._tree(), ran=ran)
        self._tell()
        return outcome

    def _begins(self, inode: tuple[int, int]) -> None:
        if self._mark is not None:
            self._mark(inode)

    def acted(self, event: Event) -> None:
        """An act was made, or tried: an attempt, where it touches what an episode is about."""
        actor = actor_of(event)
        if actor is None:
            return
        words: tuple[str, ...] = ()
        touched: list[bytes | Subject] = []
        match event:
            case ExecEvent():
                words = next(iter(command_lines(event)), ())
                touched = [subject_of(each) for each in command_lines(event)]
            case FsEvent():
                found = (governed(self._policy, each) for each in (event.target, event.other) if each is not None)
                touched = [path for path in found if path is not None]
            case _:
                subject = self._subject(event)
                touched = [subject] if subject is not None else []
        fixer = self.fixing.started(actor.ppid) if self.fixing is not None and isinstance(event, ExecEvent) else ""
        attempted = self._episodes.action(actor.action, words, touched, tree=self._tree(), only=fixer)
        if self.fixing is not None and fixer and fixer in attempted:
            self.fixing.ran(actor.action)
        if attempted:
            self._episodes.attempted(actor.action, self._tree(), self._violations())
            self._tell()

    def passed(
        self, path: bytes, actor: Actor, found: Judgement | None, *, landed: bool = False, by_git: bool = False
    ) -> None:
        """Content of the agent's breaks nothing: what an episode was about is put right, unless the same rule speaks
        again. ``landed``: with an act that is not counted yet; ``counted`` is told when it is. ``by_git``: git wrote
        it, which is no fix where it goes from one commit to another."""
        if by_git and moves(actor.argv):
            return
        if landed:
            self._landed.append((path, actor, found))
            return
        subject = self._path(path)
        if subject is None or (found is not None and found.event.theirs):
            return
        spoken = {match.invariant.id for match in found.verdict.matches} if found is not None else set()
        for state in self._episodes.snapshot().by_path.get(subject.name, ()):
            if state.invariant not in spoken:
                self._episodes.passed(state.invariant, subject, self._tree(), actor.action)
        self._tell()

    def _subject(self, event: Event) -> Subject | None:
        match event:
            case ExecEvent():
                return next((subject_of(words) for words in command_lines(event)), None)
            case FsEvent() | ContentEvent():
                return self._path(event.target.path)
            case NetEvent():
                return Subject("host", f"{event.host}:{event.port}".encode()) if event.host else None
            case RefEvent():
                return Subject("ref", event.ref.encode())
            case _:
                return None

    def counted(self, event: Event | None) -> None:
        """The act that was made last, ``event``, has its place in the state of the tree."""
        if isinstance(event, FsEvent) and not event.carried:
            for path in _left_by(event):
                if (subject := self._path(path)) is not None:
                    self._episodes.removed(subject, event.actor.action)
        landed, self._landed = self._landed, []
        for path, actor, found in landed:
            self.passed(path, actor, found)

    def _path(self, path: bytes) -> Subject | None:
        inside = self._policy.tree + b"/"
        return Subject("path", path[len(inside) :]) if path.startswith(inside) else None

    def _tell(self) -> None:
        """Record each episode once it has ended."""
        for record in self._episodes.over():
            self._recorder.note("state", call="episode", **record)
        self._count()

    def _count(self) -> None:
        self._recorder.counts.episodes = self._episodes.counts()._asdict()

    def close(self) -> None:
        """The run is over."""
        self._episodes.close(self._tree())
        self._tell()


def _about(match: Match, subject: Subject, text: bytes) -> dict[str, Any]:
    """What a fixer is told."""
    from supervisor.run.fixing import rejected

    rule = match.invariant
    told = {"invariant": rule.id, "kind": rule.kind, "adr": rule.adr, "why": rule.why, "use": rule.use}
    where = {"path": subject.name.decode("utf-8", "surrogateescape"), "line": match.line}
    return told | {"message": match.message} | where | {"rejected": rejected(text)}


def _left_by(event: FsEvent) -> Iterator[bytes]:
    """Names that lead to nothing any more."""
    if event.op is FsOp.UNLINK or (event.op is FsOp.RENAME and not event.exchange):
        yield event.target.path
        yield from (event.target.path + b"/" + each for each in event.beneath or ())


def actor_of(event: Event) -> Actor | None:
    return None if isinstance(event, LifecycleEvent | ObservationGap) else event.actor
