"""What was refused and is not yet put right: episodes, their attempts, and how they hang together.

An episode is opened by a deny or a revert and known by (invariant, subject). Every later action that touches the
subject, or runs a known fixer, is an attempt, whether or not it changes anything. One that is opened by an attempt of
another has that as its parent: fix, break, fix is a chain.

It ends ``fixed`` (the subject passes by an act of the agent, or is a file that it has removed), ``exhausted`` (no
attempts are left), ``superseded`` (somebody else has changed the subject or the rule) or ``abandoned`` (the run is
over, or nothing was attempted during ``IDLE`` actions). An exhausted one goes on to refuse attempts; it is never
forgotten to make room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from supervisor.invariants.remediation import (
    EpisodeState,
    EpisodeStates,
    RemediationRules,
    Subject,
    is_fixer,
    states_of,
    subject_of,
)
from supervisor.vocabulary.errors import StopRun

IDLE = 50  # actions without an attempt, after which an episode is abandoned
_MOST_OPEN = 512
_MOST_SPENT = 4096
_MOST_ENDED = 1000
_MOST_GATES = 32
_MOST_ACTIONS = 256
_MOST_BOUND = 1024


class Ended(NamedTuple):
    """How many episodes ended how, in the order of the note."""

    fixed: int = 0
    exhausted: int = 0
    abandoned: int = 0
    superseded: int = 0

    def __str__(self) -> str:
        return "/".join(str(number) for number in self)


class _Episode:
    """``gates``: what each attempt met, the newest only where there are many."""

    __slots__ = ("before", "gates", "last", "outcome", "seq", "state", "to")

    def __init__(self, state: EpisodeState, seq: int, tree: str) -> None:
        self.state = state
        self.seq, self.before, self.to = seq, tree, tree
        self.last = state.begun
        self.outcome = ""
        self.gates: list[dict[str, Any]] = []

    def gate(self, action: int) -> dict[str, Any] | None:
        return next((gate for gate in reversed(self.gates) if gate["action"] == action), None)

    def record(self) -> dict[str, Any]:
        state = self.state
        told: dict[str, Any] = {
            "episode": state.id,
            "parent": state.parent,
            "invariant": state.invariant,
            "subject": {"sort": state.subject.sort, "name": state.subject.name},
            "opened": self.seq,
            "attempts": state.attempts,
            "gates": self.gates,
            "from": self.before,
            "to": self.to,
            "outcome": self.outcome or "open",
        }
        if state.opening is not None:
            told["violations"] = [state.opening, state.latest if state.latest is not None else state.opening]
        return told


class Episodes:
    """The tracker of one run. ``prefix`` makes ids unique where several runs are told of together. Trees are ids of
    trees, empty where there is none."""

    def __init__(self, rules: RemediationRules, prefix: str = "", idle: int = IDLE) -> None:
        self._rules, self._prefix, self._idle = rules, prefix, idle
        self._own, self._most = rules.ids(), rules.attempts()
        self._open: dict[tuple[str, Subject], _Episode] = {}
        self._spent: dict[tuple[str, Subject], _Episode] = {}
        self._ended: list[_Episode] = []
        self._untold: list[_Episode] = []
        self._counts = dict.fromkeys(Ended._fields, 0)
        self._subjects: dict[Subject, dict[tuple[str, Subject], None]] = {}  # of open ones
        self._gone: dict[tuple[str, Subject], int] = {}  # files that this action has removed
        self._left: dict[tuple[str, Subject], EpisodeState] = {}  # fixed by removing the file
        # By action: what it was an attempt of, and is over.
        self._bound: dict[int, dict[tuple[str, Subject], EpisodeState]] = {}
        self._causes: dict[int, list[str]] = {}  # action -> the episodes that it attempts
        self._parents: dict[str, str] = {}
        self._number = 0
        self._action = 0
        self._states: EpisodeStates | None = EpisodeStates()

    def opened(
        self,
        invariant: str,
        subject: Subject,
        seq: int,
        tree: str,
        *,
        action: int = 0,
        violations: int | None = None,
        named: Iterable[bytes] = (),
        fixable: bool = False,
    ) -> str:
        """Something was refused (``seq`` of its record) in ``action``. Returns the id of its episode, which may have
        been open before; empty for refusals by the rules of remediation themselves, which open nothing.

        ``violations``: how many there are now; ``named``: files the finding names; ``fixable``: it was content.
        """
        if invariant in self._own:
            return ""
        key = (invariant, subject)
        known = self._open.get(key) or self._spent.get(key)
        self._gone.pop(key, None)
        if known is not None:
            gate = known.gate(action)
            if gate is not None:
                gate["result"] = "refused"
            return known.state.id
        if len(self._open) >= _MOST_OPEN:
            self._end(next(iter(self._open)), "abandoned", tree)
        self._number += 1
        ident = f"{self._prefix}{self._number}"
        before = self._left.pop(key, None)
        parent = next(iter(self._causes.get(action, ())), before.id if before is not None else "")
        state = EpisodeState(
            ident,
            invariant,
            subject,
            # The file is back, and breaks the rule again: whoever moves it away first does not begin anew.
            attempts=before.attempts + 1 if before is not None else 0,
            begun=action,
            parent=parent,
            named=tuple(named),
            opening=violations,
            fixable=fixable,
        )
        self._open[key] = _Episode(state, seq, tree)
        self._subjects.setdefault(subject, {})[key] = None
        self._parents[ident] = parent
        if len(self._parents) > 2 * _MOST_ENDED:
            del self._parents[next(iter(self._parents))]
        self._states = None
        return ident

    def waits(self, invariant: str, subject: Subject) -> bool:
        """Whether the episode is open, or has used its attempts up."""
        return (invariant, subject) in self._open or (invariant, subject) in self._spent

    def action(
        self,
        number: int,
        words: Sequence[str] = (),
        touched: Iterable[bytes | Subject] = (),
        *,
        tree: str = "",
        only: str = "",
    ) -> tuple[str, ...]:
        """The action goes on, with a command or by touching paths (or other subjects). Returns the ids of the episodes
        that it is an attempt of by now, those that it has ended among them.

        ``only``: it is govrun's own fixer of this episode, whatever its name is.

        To be told of every act once it has been judged, refused ones too; an action counts once however often. The
        first act that comes after the last attempt ends an episode as exhausted.
        """
        if number > self._action:
            self._action = number
            self._removed(tree)
            self._abandon(tree)
        subjects = {each if isinstance(each, Subject) else Subject("path", each) for each in touched}
        if words:
            subjects.add(subject_of(words))
        fixer = bool(words) and bool(self._open) and is_fixer(self._rules, words)
        keys = list(self._open) if fixer else [key for each in subjects for key in self._subjects.get(each, ())]
        if only:
            keys = [key for key, each in self._open.items() if each.state.id == only]
        for key in keys:
            if number > self._open[key].state.begun:
                self._attempt(key, self._open[key], number, words, tree, fixer=bool(only))
        return tuple(self._causes.get(number, ()))

    def _attempt(
        self, key: tuple[str, Subject], episode: _Episode, number: int, words: Sequence[str], tree: str, *, fixer: bool
    ) -> None:
        state = episode.state
        if number in state.actions or episode.gate(number) is not None:
            return
        if self._most and state.attempts >= self._most:
            self._end(key, "exhausted", tree)
            return
        actions = frozenset(sorted((*state.actions, number))[-_MOST_GATES:])
        episode.state = state._replace(attempts=state.attempts + 1, actions=actions)
        episode.last = number
        gate: dict[str, Any] = {"action": number, "gate": state.invariant, "result": "none"}
        shown = {"command": " ".join(words)[:200]} if words else {}
        episode.gates.append(gate | shown | ({"fixer": True} if fixer else {}))
        del episode.gates[:-_MOST_GATES]
        if number not in self._causes:
            if len(self._causes) >= _MOST_ACTIONS:
                del self._causes[next(iter(self._causes))]
            self._causes[number] = []
        self._causes[number].append(state.id)
        self._states = None

    def attempted(self, number: int, tree: str, violations: int | None = None) -> tuple[EpisodeState, ...]:
        """The action is over, and the tree is as said. Returns the open episodes that it was an attempt of."""
        found = [each for each in self._open.values() if number in each.state.actions]
        for episode in found:
            episode.to = tree or episode.to
            if (gate := episode.gate(number)) is not None:
                gate |= {"tree": tree} | ({"violations": violations} if violations is not None else {})
            if violations is not None:
                episode.state = episode.state._replace(latest=violations)
                self._states = None
        return tuple(each.state for each in found)

    def passed(self, invariant: str, subject: Subject, tree: str = "", action: int = 0) -> bool:
        """The subject passes by an act of the agent (what govrun puts back is none). Whether that ends an episode."""
        episode = self._open.get((invariant, subject))
        if episode is None:
            return False
        gate = episode.gate(action) if action else next(iter(episode.gates[-1:]), None)
        if gate is not None:
            gate |= {"result": "passed"} | ({"tree": tree} if tree else {})
        self._end((invariant, subject), "fixed", tree)
        return True

    def find(self, ident: str) -> EpisodeState | None:
        """An open episode by its id."""
        return next((each.state for each in self._open.values() if each.state.id == ident), None)

    def tried(self, ident: str, words: Sequence[str], tree: str, *, ran: bool) -> str:
        """Govrun's fixer of the episode has ended; one that never ``ran`` is an attempt all the same. How the episode
        ended; ``open``: it goes on, since attempts are left."""
        key = next((key for key, each in self._open.items() if each.state.id == ident), None)
        if key is None:
            return next((each.outcome for each in reversed(self._ended) if each.state.id == ident), "abandoned")
        episode = self._open[key]
        if not ran:
            gate = {"action": 0, "gate": episode.state.invariant, "result": "none", "fixer": True}
            episode.gates.append(gate | {"command": " ".join(words)[:200]})
            del episode.gates[:-_MOST_GATES]
            episode.state = episode.state._replace(attempts=episode.state.attempts + 1)
            self._states = None
        if self._most and episode.state.attempts >= self._most:
            self._end(key, "exhausted", tree)
            return "exhausted"
        return "open"

    def removed(self, subject: Subject, action: int) -> None:
        """The action has removed the file, or moved it away: it is fixed, unless the action makes it anew."""
        for key in self._subjects.get(subject, ()):
            self._gone[key] = action

    def _removed(self, tree: str) -> None:
        gone, self._gone = self._gone, {}
        for key, action in gone.items():
            if (episode := self._open.get(key)) is None:
                continue
            if self.passed(*key, tree, action):
                self._left[key] = episode.state
                if len(self._left) > _MOST_SPENT:
                    del self._left[next(iter(self._left))]

    def superseded(self, subject: Subject | None = None, invariant: str = "", tree: str = "") -> int:
        """Somebody else has changed the subject, or a rule is no longer in force. How many episodes that ends; what is
        exhausted may be attempted again."""
        count = 0
        for key in [*self._open, *self._spent]:
            if (subject is None or key[1] == subject) and invariant in ("", key[0]):
                if key in self._open:
                    self._end(key, "superseded", tree)
                else:
                    del self._spent[key]
                    self._states = None
                count += 1
        return count

    def close(self, tree: str = "") -> None:
        """The run is over."""
        self._removed(tree)
        for key, episode in list(self._open.items()):
            used_up = 0 < self._most <= episode.state.attempts
            self._end(key, "exhausted" if used_up else "abandoned", tree)

    def snapshot(self) -> EpisodeStates:
        """What is open, and what goes on to refuse."""
        if self._states is None:
            waiting = (each.state for each in (*self._open.values(), *self._spent.values()))
            self._states = states_of(waiting, {action: tuple(each.values()) for action, each in self._bound.items()})
        return self._states

    def records(self) -> list[dict[str, Any]]:
        """Every episode as the journal takes it, the newest of those that have ended and all that are open."""
        return [each.record() for each in (*self._ended, *self._open.values())]

    def over(self) -> list[dict[str, Any]]:
        """Those that have ended since this was asked last, each once."""
        told = [each.record() for each in self._untold]
        self._untold.clear()
        return told

    def counts(self) -> Ended:
        return Ended(**self._counts)

    def chain(self, ident: str) -> tuple[str, ...]:
        """The episodes that led to this one, the first of them first."""
        found = [ident]
        while (parent := self._parents.get(found[-1], "")) and parent not in found:
            found.append(parent)
        return tuple(reversed(found))

    # -- a run that continues another ---------------------------------------------------------------------------

    def dump(self) -> list[dict[str, Any]]:
        """What is not over, as JSON takes it."""
        told = []
        for each in (*self._open.values(), *self._spent.values()):
            state = each.state
            subject = [state.subject.sort, state.subject.name.decode("utf-8", "surrogateescape")]
            named = [name.decode("utf-8", "surrogateescape") for name in state.named]
            told.append(
                {"id": state.id, "invariant": state.invariant, "subject": subject, "attempts": state.attempts}
                | {"spent": state.spent, "named": named, "opening": state.opening, "latest": state.latest}
                | {"fixable": state.fixable, "parent": state.parent, "seq": each.seq, "tree": each.before}
            )
        return told

    def resume(self, told: Iterable[dict[str, Any]]) -> None:
        """Take over what another run's ``dump`` said. To be asked before anything is opened. Raises what a wrong value
        raises."""
        for each in told:
            sort, name = each["subject"]
            subject = Subject(str(sort), str(name).encode("utf-8", "surrogateescape"))
            state = EpisodeState(
                str(each["id"]),
                str(each["invariant"]),
                subject,
                int(each["attempts"]),
                spent=bool(each["spent"]),
                parent=str(each["parent"]),
                named=tuple(str(path).encode("utf-8", "surrogateescape") for path in each["named"]),
                opening=each["opening"],
                latest=each["latest"],
                fixable=bool(each["fixable"]),
            )
            key, episode = (state.invariant, subject), _Episode(state, int(each["seq"]), str(each["tree"]))
            if state.spent:
                self._spent[key] = episode
            else:
                self._open[key] = episode
                self._subjects.setdefault(subject, {})[key] = None
        self._states = None

    def _abandon(self, tree: str) -> None:
        late = [key for key, each in self._open.items() if self._idle and self._action - each.last > self._idle]
        for key in late:
            used_up = 0 < self._most <= self._open[key].state.attempts
            self._end(key, "exhausted" if used_up else "abandoned", tree)

    def _end(self, key: tuple[str, Subject], outcome: str, tree: str) -> None:
        episode = self._open.pop(key)
        self._subjects[key[1]].pop(key)
        if not self._subjects[key[1]]:
            del self._subjects[key[1]]
        self._gone.pop(key, None)
        episode.outcome, episode.to = outcome, tree or episode.to
        if episode.state.fixable and outcome != "superseded":
            for action in episode.state.actions:  # what it may touch is bounded to its end
                bound = self._bound.setdefault(action, {})
                if key in bound or len(bound) < _MOST_OPEN:
                    bound[key] = episode.state
            while len(self._bound) > _MOST_BOUND:
                del self._bound[next(iter(self._bound))]
        self._counts[outcome] += 1
        self._ended.append(episode)
        self._untold.append(episode)
        del self._ended[:-_MOST_ENDED]
        if outcome == "exhausted":
            if len(self._spent) >= _MOST_SPENT:
                raise StopRun("too many attempts were refused", f"{_MOST_SPENT} episodes of remediation are exhausted")
            episode.state = episode.state._replace(spent=True)
            self._spent[key] = episode
        self._states = None
