"""The contracts of a run: shown while it goes on, at the end of an action and before a commit, and at its end.

A *checkpoint* is the end of an action that changed governed files, at most every ten seconds: what is not met is warned
of. A *commit* waits in the rename of its ref until what it holds has been shown; what is not met, or not answered in
time, is refused. Both are decided by the one function that decides, on what was shown.
"""

from __future__ import annotations

import errno
import select
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supervisor.decide import decide
from supervisor.enforce.explain import reason
from supervisor.git.base import Objects
from supervisor.git.neutral import Git
from supervisor.git.own import make_own
from supervisor.invariants.contract import Contract, Shown
from supervisor.invariants.policy import RunState
from supervisor.run.contracts import Stage, due, show, tree_paths
from supervisor.run.frozen import Committed, CommitTree, Shape, Unsettled, WorkTree
from supervisor.run.nested import GRACE, PATIENCE, PROOFS
from supervisor.run.order import Order
from supervisor.run.parts import Waiting
from supervisor.run.record import Recorder
from supervisor.run.shower import Answer, Shower
from supervisor.run.upheld import DENIED, FAILED, PASSED, Evidence
from supervisor.vocabulary.acts import CONTINUE, Held, Reply
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.events import FsEvent, LifecycleEvent
from supervisor.vocabulary.verdicts import Effect, Verdict

if TYPE_CHECKING:
    from supervisor.run.nested import Governed

_EVERY = 10.0  # seconds between checkpoints
_IDLE = 2.0  # seconds without a change after which an action is over
_MOST_ASKED = 16  # commits that wait to be shown
_MOST_KNOWN = 256  # commits of which the answer is kept
_PATIENCE = 5.0  # seconds for one object of git


class _Last(NamedTuple):
    """What came of a contract when it was shown last, and on which state of the tree."""

    came: str
    state: str


class Proving:
    """``showers`` by the moment that they are for. Errors: ``StopRun``, OSError."""

    def __init__(self, order: Order, recorder: Recorder, governed: Governed, patience: float = 0.0) -> None:
        self._order = order
        self._recorder = recorder
        self._governed = governed
        self._folder = order.folder / PROOFS
        self._last = {each.contract.id: _Last(PASSED, each.state) for each in order.shown}
        self._own: Path | None = None
        self._final: str | None = None
        self._checkpoint = self._shower("checkpoint")
        self._commit = self._shower("commit")
        self._ready = select.epoll()
        for shower in (self._checkpoint, self._commit):
            if shower is not None:
                self._ready.register(shower.fileno(), select.EPOLLIN)
        self._action = self._asked = 0
        self._changed = self._sent = 0.0
        self._dirty = self._over = False
        self._known: OrderedDict[str, tuple[Shown, ...]] = OrderedDict()
        self._waiting: dict[str, float] = {}  # commit -> when it has waited long enough
        self._limit = patience or (PATIENCE + GRACE) * len(due(order.contracts, "commit")) + GRACE

    # -- the processes that show --------------------------------------------------------------------------------

    def _shower(self, moment: str) -> Shower | None:
        contracts = due(self._order.contracts, moment)
        if not contracts or (moment == "commit" and self._order.oracles.repository is None):
            return None
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._objects()  # made once, before there are several who would make it

        def shown(commit: str, alive: Callable[[], bool]) -> list[Shown]:
            objects = self._objects()
            try:
                tree = self._tree()
                shape: Shape = CommitTree(objects, commit, tree) if commit and objects is not None else tree
                return show(contracts, self._stage(shape, objects, alive))
            finally:
                if objects is not None:
                    objects.close()

        return Shower(contracts, shown)

    def _tree(self) -> WorkTree:
        policy, environ = self._order.policy, self._order.environment
        return WorkTree(policy.tree, lambda: tree_paths(policy, self._order.oracles.repository, environ))

    def _objects(self) -> Objects | None:
        repository = self._order.oracles.repository
        if repository is None:
            return None
        if self._own is None:
            self._own = make_own(self._order.oracles.own, repository.common_dir, repository.object_format)
        return Objects(Git(self._own), timeout=_PATIENCE)

    def _stage(self, shape: Shape, objects: Objects | None, alive: Callable[[], bool] = lambda: True) -> Stage:
        order = self._order
        base = Committed(objects, order.base)
        return Stage(
            order.policy, order.bound, shape, base, order.environment, self._governed, self._folder, order.profile,
            alive,
        )  # fmt: skip

    def pids(self) -> tuple[int, ...]:
        """Processes that show."""
        return tuple(each.pid for each in (self._checkpoint, self._commit) if each is not None)

    def fileno(self) -> int:
        """Readable when one has answered, or is gone."""
        return self._ready.fileno()

    def stop(self) -> None:
        """Nothing is shown any more while the run goes on: it is over."""
        for shower in (self._checkpoint, self._commit):
            if shower is not None:
                shower.close()
        self._ready.close()

    def turn(self) -> None:
        """Take up what has been answered."""
        for shower in (self._checkpoint, self._commit):
            if shower is None or shower.is_down():
                continue
            for answer in shower.answers():
                self._answered(answer)
            if shower.is_down():
                self._gone()

    def _gone(self) -> None:
        told = "the process that shows contracts has ended; commits that have to be shown are refused"
        self._recorder.note("gap", reason="contracts are not shown any more", detail=told)
        self._order.say(f"govrun: {told}")

    def _answered(self, answer: Answer) -> None:
        if not answer.commit:
            self._asked = 0
            if answer.shown is None:
                self._dirty = self._over = True  # again, when it may stand still
                return
            self._take(answer.shown, "checkpoint")
            self._warn([each for each in answer.shown if not each.passed])
            return
        self._waiting.pop(answer.commit, None)
        shown = answer.shown or ()
        self._known[answer.commit] = shown
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        self._take(shown, "commit", answer.commit)

    def _take(self, shown: tuple[Shown, ...] | list[Shown], moment: str = "", commit: str = "") -> None:
        """Record what came, and keep it for the end."""
        words = {True: PASSED, False: DENIED if moment == "commit" else FAILED}
        more = {name: value for name, value in (("when", moment), ("commit", commit)) if value}
        for each in shown:
            contract, word = each.contract, PASSED if each.passed else FAILED
            told = {"id": contract.id, "proves": list(contract.proves), "call": word, "detail": each.in_full()}
            self._recorder.note("contract", **told, **more)
            self._last[contract.id] = _Last(words[each.passed], each.state)
        counts = self._recorder.counts
        counts.contracts = len(self._last)
        counts.contracts_passed = sum(each.came == PASSED for each in self._last.values())

    def _warn(self, failed: list[Shown]) -> None:
        """What is not met at a checkpoint is told; nothing is taken back."""
        for each in failed:
            event = LifecycleEvent("checkpoint", f"{each.contract.id}: {each.detail}")
            verdict = decide(self._order.policy, RunState(unmet={each.contract.id: each.detail}), event)
            self._recorder.observed(event, verdict)
            self._order.say(reason(verdict.matches[0], Effect.WARN))

    # -- checkpoints --------------------------------------------------------------------------------------------

    def changed(self, action: int) -> None:
        """A governed file is going to be, or was changed by an action."""
        if self._checkpoint is None:
            return
        self.began(action)
        self._action, self._dirty, self._changed = action, True, time.monotonic()

    def wrote(self) -> None:
        """A judged file was closed by whoever wrote to it."""
        self.changed(self._action)

    def began(self, action: int) -> None:
        """An action goes on; another one than before means that that is over."""
        self._over = self._over or (self._dirty and action != self._action)

    def wait(self) -> float | None:
        """Seconds until ``look`` may have something to do, None when only a change brings that about."""
        if not self._dirty or self._asked or self._checkpoint is None or self._checkpoint.is_down():
            return None
        now = time.monotonic()
        over = 0.0 if self._over else self._changed + _IDLE - now
        return max(0.0, over, self._sent + _EVERY - now if self._sent else 0.0)

    def look(self, settle: Callable[[], None]) -> None:
        """Have the tree shown where that is due; ``settle`` judges first what was written."""
        if self._checkpoint is None or self.wait() != 0.0:
            return
        settle()
        self._dirty = self._over = False
        self._sent = time.monotonic()
        self._asked = self._checkpoint.ask()

    # -- commits ------------------------------------------------------------------------------------------------

    def gate(
        self,
        event: FsEvent,
        commits: Mapping[str, str],
        refuse: Callable[[Verdict], Reply],
        again: Callable[[], Reply | Waiting],
    ) -> Reply | Waiting | None:
        """Before a ref moves to what the run has committed. ``commits``: commit -> ref. None: all of it has been shown;
        a reply refuses; else the act waits, and is judged ``again``."""
        if self._commit is None:
            return None
        for commit in commits:
            shown = self._known.get(commit)
            if shown is None:
                return self._held(event, commit, refuse, again)
            if verdict := self._verdict(event, shown):
                return refuse(verdict)
        return None

    def _verdict(self, event: FsEvent, shown: tuple[Shown, ...]) -> Verdict | None:
        """The refusal of a commit by what came of its contracts; those of which nothing came are not met."""
        came = {each.contract.id: each for each in shown}
        unmet = {
            contract.id: came[contract.id].detail if contract.id in came else "it could not be shown"
            for contract in due(self._order.contracts, "commit")
            if contract.id not in came or not came[contract.id].passed
        }
        return decide(self._order.policy, RunState(unmet=unmet), event) if unmet else None

    def _held(
        self,
        event: FsEvent,
        commit: str,
        refuse: Callable[[Verdict], Reply],
        again: Callable[[], Reply | Waiting],
    ) -> Reply | Waiting:
        assert self._commit is not None

        def refused(why: str) -> Reply:
            unmet = {each.id: why for each in due(self._order.contracts, "commit")}
            return refuse(decide(self._order.policy, RunState(unmet=unmet), event))

        if commit not in self._waiting:
            if len(self._waiting) >= _MOST_ASKED:
                return refused("too many commits wait to be shown")
            if not self._commit.ask(commit):
                return refused("nothing can be shown any more")
            self._waiting[commit] = time.monotonic() + self._limit
        until = self._waiting[commit]

        def retry() -> Reply | None:
            if commit in self._known:
                return CONTINUE
            gone = self._commit is None or self._commit.is_down()
            return Reply(error=errno.EACCES) if gone or time.monotonic() > until else None

        def finish(reply: Reply) -> Reply:
            return refused("it could not be shown in time") if reply.error else reply

        return Waiting(Held(retry, _nothing), finish, _nothing, again)

    # -- the end ------------------------------------------------------------------------------------------------

    def at_end(self) -> int:
        """Show, record and tell what has to be shown at the end of a run. How many contracts are not met."""
        order = self._order
        self._folder.mkdir(mode=0o700, exist_ok=True)
        tree, state = self._tree(), self._state()
        stale = [each for each in due(order.contracts, "checkpoint") if not state or self._state_of(each) != state]
        objects = None
        try:
            objects = self._objects()
            stage = self._stage(tree, objects)
            found = show(due(order.contracts, "stop"), stage)
            late = show(stale, stage)
        except Unsettled as error:
            found = [Shown(each, False, error.why) for each in (*due(order.contracts, "stop"), *stale)]
            late = []
        finally:
            if objects is not None:
                objects.close()
        self._take(found)
        self._take(late)
        self._warn([each for each in late if not each.passed])
        for each in found:
            if not each.passed:
                contract = each.contract
                order.say(f"govrun: contract {contract.id} ({contract.source}) is not met: {each.in_full()}")
        shutil.rmtree(self._folder, ignore_errors=True)
        return sum(not each.passed for each in found)

    def _state(self) -> str:
        """The tree at the end; empty where that cannot be told, and then nothing that was shown before counts."""
        if self._final is None:
            try:
                self._final = self._tree().state()
            except (GovrunError, OSError):
                self._final = ""
        return self._final

    def _state_of(self, contract: Contract) -> str:
        return self._last[contract.id].state if contract.id in self._last else ""

    def evidence(self) -> list[Evidence]:
        """What came of each contract that was shown, and whether that is of the tree as it is now."""
        state = self._state()
        by_id = {each.id: each for each in self._order.contracts}
        return [
            Evidence(
                by_id[ident], each.came, fresh=bool(by_id[ident].form) or (each.state != "" and each.state == state)
            )
            for ident, each in self._last.items()
        ]


def _nothing() -> None:
    """A commit whose process is gone is shown all the same: the answer may be asked for again."""
