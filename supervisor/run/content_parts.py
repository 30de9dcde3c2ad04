"""What a run needs where a rule speaks of content; loaded only then."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supervisor.enforce.explain import Explainer, noted
from supervisor.enforce.recover import recover
from supervisor.enforce.revert import Reverter
from supervisor.enforce.staging import folders
from supervisor.inspection.looks import Looks
from supervisor.inspection.worker import Inspector
from supervisor.invariants.content import wanted
from supervisor.invariants.policy import CompiledPolicy, GitDir
from supervisor.run.brought import Ends
from supervisor.run.commits import Commits
from supervisor.run.contents import Contents
from supervisor.run.external import Touched
from supervisor.run.fetches import Fetches
from supervisor.run.graphs import Graphs
from supervisor.run.guarded import Guarded
from supervisor.run.judgement import Tools
from supervisor.run.letting import LetBe
from supervisor.run.prior import Prior
from supervisor.run.reached import Reached
from supervisor.run.record import Recorder
from supervisor.run.takeback import TakeBack
from supervisor.surfaces.holders import is_held, processes
from supervisor.surfaces.ignored import Ignored
from supervisor.surfaces.ledger import Ledger
from supervisor.surfaces.made import Made
from supervisor.surfaces.paths import Refused
from supervisor.trees.accepted import Accepted
from supervisor.trees.frames import Frames
from supervisor.vocabulary.errors import GovrunError, StopRun
from supervisor.vocabulary.events import Actor
from supervisor.vocabulary.verdicts import Verdict

if TYPE_CHECKING:
    from supervisor.run.baselines import Bases, Inspect
    from supervisor.run.guarding import Guarding
    from supervisor.run.judgement import Source
    from supervisor.run.order import Order
    from supervisor.run.refguard import RefGuard
    from supervisor.vocabulary.content import Findings

_PATIENCE = 5.0  # seconds for one file


class ContentParts(NamedTuple):
    """``contents`` judges files (None where no rule speaks of content), ``commits`` ref updates by what they bring and
    ``guarded`` files under protection that git replaces (None without a repository), ``refs`` ref updates by name and
    by what commits say of themselves (None where no rule does)."""

    contents: Contents | None
    commits: Commits | None
    guarded: Guarded | None
    inspector: Inspector | None
    accepted: Accepted
    reverter: Reverter
    folder: Path
    say: Callable[[str], None]
    prior: Prior | None
    refs: RefGuard | None = None

    def settle(self, *, final: bool = False) -> None:
        """Judge every change known by now; ``final``: nobody of the run is left. Errors: ``StopRun``."""
        if self.guarded is not None:
            self.guarded.settle()
        if self.contents is not None:
            self.contents.settle(final=final)

    def pids(self) -> tuple[int, ...]:
        """Processes that read objects."""
        bases = self.contents.tolerated.bases if self.contents is not None else None
        return (self.prior.objects.pid if self.prior is not None else 0, bases.pid if bases is not None else 0)

    def close(self) -> None:
        """Release everything. The ledger's descriptors go with the process."""
        if self.inspector is not None:
            self.inspector.close()
        self.reverter.close()
        for line in recover(self.folder):
            self.say(f"govrun: {line}")
        self.accepted.close()
        if self.prior is not None:
            self.prior.close()
        if self.contents is not None and self.contents.tolerated.bases is not None:
            self.contents.tolerated.bases.close()


def start_inspector(policy: CompiledPolicy) -> Inspector:
    """The worker that parses, forked before anything of the run exists."""
    inspector = Inspector(wanted(policy), deadline=_PATIENCE)
    inspector.start()
    return inspector


def content_parts(
    order: Order,
    inspector: Inspector | None,
    made: Made,
    touched: Touched,
    belongs: Callable[[int], bool],
    ignored: Ignored,
    recorder: Recorder,
    explainer: Explainer,
    stop: Callable[[Verdict], None],
    pause: Callable[[Verdict], None],
    guarding: Guarding | None,
    kept: Frames,
) -> ContentParts:
    """Put together what judges content. Errors: ``StopRun``."""
    policy, repository = order.policy, order.oracles.repository
    accepted, graphs = Accepted(order.folder, contents=kept), Graphs(policy)

    def acted(path: bytes) -> None:
        touched.put_back(path)
        graphs.changed(path)
        if contents is not None and contents.standing is not None:
            contents.standing.changed(path)

    try:
        reverter = Reverter(*folders(order.folder), policy.tree, accepted.latest, acted)
    except OSError as error:
        raise StopRun("cannot use the folders for what is taken back", str(error), "check the state folder") from error
    prior = Prior(repository, order.oracles.own, order.refs, order.base) if repository is not None else None
    contents: Contents | None = None
    commits = guarded = refs = None
    if inspector is not None:
        ledger = Ledger()
        refused, repairs = (guarding.refused, guarding.repairs) if guarding is not None else (None, None)
        back = TakeBack(
            policy, ledger, accepted, inspector, reverter, recorder, explainer, order.say, stop, pause, _is_alive,
            refused,
        )  # fmt: skip
        looks = Looks(policy)
        contents = Contents(
            Tools(
                policy, ledger, accepted, inspector, looks, made, prior, _passed_over(looks, ignored), back,
                LetBe(recorder, explainer, order.say, _is_alive), touched.seal, _theirs(order, recorder),
                _held_by(belongs), graphs, guarding.rewritten if guarding is not None else None,
                repairs.passed if repairs is not None else None, back.put_back, _bases(order),
            )
        )  # fmt: skip
        if repairs is not None:
            contents.standing = repairs.counting(contents)
        if graphs:
            _begin(graphs, contents, order)
        _hand_over(contents, 1)
        _hand_over(contents, 2)
    if policy.git is not None and prior is not None:
        commits, refs = _of_git(order, policy.git, prior, contents)
        guarded = Guarded(
            policy, accepted, reverter, prior, policy.git, recorder, explainer, order.say, stop, _is_alive,
            commits.learn,
        )  # fmt: skip
    return ContentParts(contents, commits, guarded, inspector, accepted, reverter, order.folder, order.say, prior, refs)


def _of_git(order: Order, git: GitDir, prior: Prior, contents: Contents | None) -> tuple[Commits, RefGuard | None]:
    """What judges commits, and the refs that lead to them where a rule asks."""
    policy, reached = order.policy, Reached(prior.objects, prior.tips)
    history = Reached(prior.objects, prior.history)
    fetches = Fetches(policy, git, order.environment)
    ends = Ends(git.common, fetches)
    commits = Commits(policy, contents, prior, git, fetches, ends, order.refs, order.base, reached, history)
    if not policy.branching:
        return commits, None
    from supervisor.run.refguard import RefGuard

    return commits, RefGuard(policy, git, prior.objects, prior.history, history, fetches, ends, commits.learn)


def _passed_over(looks: Looks, ignored: Ignored) -> Callable[[bytes], bool]:
    """What is not looked at because git ignores it: not what agents read their tools from, ignored or not."""
    return lambda path: not looks.is_agents(path) and ignored.covers(path)


def _begin(graphs: Graphs, contents: Contents, order: Order) -> None:
    """Which files there are is known from now on; what they say is read when it is first needed."""
    from supervisor.run.contracts import tree_paths

    tolerated = contents.tolerated
    try:
        paths = tree_paths(order.policy, order.oracles.repository, order.environment)
    except GovrunError as error:
        raise StopRun("cannot list the files of the tree", error.why, error.fix) from error

    def read(sources: Iterable[Source | Findings]) -> Generator[Findings, None, None]:
        from supervisor.run.sources import cache_folder, findings  # when it is first needed

        return findings(wanted(order.policy), cache_folder(Path(os.fsdecode(order.policy.state))), sources)

    graphs.begin(paths, tolerated.first, tolerated.now, order.say, read)


def _bases(order: Order) -> Callable[[bytes, Inspect], Bases] | None:
    baselines = order.policy.baselines
    if not baselines:
        return None
    from supervisor.run.baselines import Bases, objects_of

    own = order.oracles.own if order.oracles.repository is not None else order.folder / "baselines"
    return lambda inside, inspect: Bases(baselines, objects_of(baselines, own), inside, inspect)


def _theirs(order: Order, recorder: Recorder) -> Callable[[bytes, Verdict], None]:
    """Told of what somebody else has broken."""

    def theirs(path: bytes, verdict: Verdict) -> None:
        recorder.counts.external += 1
        recorder.external(path, verdict, "", diverges=False)
        order.say(noted(verdict.matches[0], path, diverges=False))

    return theirs


def _held_by(belongs: Callable[[int], bool]) -> Callable[[tuple[int, int]], bool]:
    """Whether a process of the run has an inode open for writing."""
    return lambda inode: any(is_held(pid, inode) for pid in processes() if belongs(pid))


def _hand_over(contents: Contents, number: int) -> None:
    """Standard output or error, if it is a file of the tree: nothing is opened for what is written there."""
    try:
        contents.given(number)
    except Refused as error:
        raise StopRun(
            f"descriptor {number} cannot be governed", str(error), "send it to a file outside the tree"
        ) from error
    except OSError:
        return  # closed


def _is_alive(actor: Actor) -> bool:
    """Whether the process that acted is still there, and not another one by the same id (proc(5), stat, field 22)."""
    try:
        os.kill(actor.pid, 0)
        with open(f"/proc/{actor.pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return int(fields[19]) == actor.start
