"""Episodes of a run: what was refused or taken back, and what is then done about it."""

from __future__ import annotations

from collections.abc import Callable

from supervisor.invariants.places import governed
from supervisor.invariants.policy import CompiledPolicy
from supervisor.invariants.remediation import EpisodeStates, Subject, command_lines, subject_of
from supervisor.run.episodes import Episodes
from supervisor.run.judgement import Judgement
from supervisor.run.record import Recorder
from supervisor.vocabulary.events import (
    Actor,
    ContentEvent,
    Event,
    ExecEvent,
    FsEvent,
    LifecycleEvent,
    NetEvent,
    ObservationGap,
    RefEvent,
)
from supervisor.vocabulary.verdicts import Verdict

# What bounds an episode is no violation that an episode could be about.
_OWN = frozenset(("remediation", "guardrail"))


class Repairing:
    """``tree`` names the state that the governed files are in."""

    def __init__(self, policy: CompiledPolicy, recorder: Recorder, tree: Callable[[], str]) -> None:
        self._policy = policy
        self._recorder = recorder
        self._tree = tree
        self._episodes = Episodes(policy.remediation)
        self._landed: list[tuple[bytes, Actor, Judgement | None]] = []
        self._count()

    def states(self) -> EpisodeStates:
        return self._episodes.snapshot()

    def refused(self, event: Event, verdict: Verdict) -> None:
        """An act was refused, or content was taken back."""
        subject = self._subject(event)
        if subject is None or not verdict.matches:
            return
        actor = actor_of(event)
        action = actor.action if actor is not None else 0
        for match in verdict.matches:
            if match.invariant.kind in _OWN or match.invariant.id.startswith(("govrun.", "scope.", "git.")):
                continue
            self._episodes.opened(
                match.invariant.id,
                subject,
                self._recorder.seq,
                self._tree(),
                action=action,
                fixable=isinstance(event, ContentEvent),
            )
        self.acted(event)
        self._tell()

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
        if self._episodes.action(actor.action, words, touched, tree=self._tree()):
            self._episodes.attempted(actor.action, self._tree())
            self._tell()

    def passed(self, path: bytes, actor: Actor, found: Judgement | None, *, landed: bool = False) -> None:
        """Content of the agent's breaks nothing: what an episode was about is put right, unless the same rule speaks
        again. ``landed``: with an act that is not counted yet; ``counted`` is told when it is."""
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

    def counted(self) -> None:
        """The act that was made last has its place in the state of the tree."""
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


def actor_of(event: Event) -> Actor | None:
    return None if isinstance(event, LifecycleEvent | ObservationGap) else event.actor
