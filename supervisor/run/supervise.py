"""The supervisor process: confines itself, starts the agent, runs the loop, ends the run and its record."""

from __future__ import annotations

import functools
import gc
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.confine.child import Launch, become
from supervisor.decide import decide
from supervisor.enforce.explain import Explainer, reason
from supervisor.enforce.kill import stop_tree
from supervisor.invariants import content
from supervisor.invariants.places import Zone, locate
from supervisor.invariants.policy import RunState
from supervisor.journal.store import update_meta
from supervisor.journal.writer import Journal
from supervisor.kernel import landlock, libc
from supervisor.kernel.notify import Listener
from supervisor.kernel.numbers import notified
from supervisor.profile.model import AgentPack
from supervisor.run import ending, handshake, lazily, scratch
from supervisor.run.agent import Agent, adopted
from supervisor.run.external import Touched, look, report_all
from supervisor.run.facts import Facts, tool_folders
from supervisor.run.following import Following
from supervisor.run.givingup import give_up
from supervisor.run.helpers import Helpers
from supervisor.run.judge import Judge, Parts
from supervisor.run.loop import End, Loop
from supervisor.run.operating import Operating
from supervisor.run.order import Order, Result
from supervisor.run.pathcalls import path_calls, path_reads, reading
from supervisor.run.publishing import Publishing
from supervisor.run.record import Recorder, kind_of
from supervisor.run.refs import RefWatch
from supervisor.run.relayed import relayed
from supervisor.run.upheld import standing
from supervisor.surfaces.execs import Execs
from supervisor.surfaces.ignored import Ignored
from supervisor.surfaces.made import Made
from supervisor.surfaces.paths import Resolver
from supervisor.surfaces.processes import Processes
from supervisor.surfaces.signals import Signals
from supervisor.trees.frames import Frames
from supervisor.vocabulary.errors import HostError, StopRun
from supervisor.vocabulary.events import ContentEvent, LifecycleEvent
from supervisor.vocabulary.verdicts import Effect, Verdict

if TYPE_CHECKING:
    from supervisor.inspection.worker import Inspector
    from supervisor.run.content_parts import ContentParts
    from supervisor.run.fixing import Fixers
    from supervisor.run.guarding import Guarding


def supervise(order: Order) -> Result:
    """Everything from the fork of the supervisor to the end of the record. Raises ``StopRun`` and ``HostError``."""
    started = time.monotonic()
    give_up(order.own_domain)
    try:
        journal = Journal(order.folder, order.run)
        recorder = Recorder(journal, order.policy.digest)
        recorder.begin(order.argv, order.cwd)
        for revision, commit in order.policy.baselines.commits.items():
            recorder.note("policy", call="baseline", detail=revision, commit=commit)
    except StopRun as error:
        raise HostError(error.what, error.why, error.fix) from error  # nothing was started
    run = _Run(order, recorder, started)
    end, failed = End("internal", None), None
    try:
        end = run.go()
    except StopRun as error:
        failed = error
    finally:
        if order.bounds is not None:
            order.bounds.kill()
        run.show_no_more()
        stop_tree(os.getpid(), run.keep(), group=run.root)
    if failed is not None:  # not before: the run may fill the pipe that this goes to
        order.say("\n".join(failed.lines()))
    result = run.conclude(end)
    chain = journal.head
    journal.close()
    run.publish(chain)
    _tell(order.guard, b"exit %d\n" % result.code)
    return result


class _Run:
    """One run under way; the parts that only the supervisor process has."""

    def __init__(self, order: Order, recorder: Recorder, started: float) -> None:
        self._order = order
        self._recorder = recorder
        self._started = started
        self._publishing = Publishing(
            order.folder,
            order.umask,
            recorder,
            lambda line: _tell(order.guard, line),
            noted=order.policy.git is not None,
        )
        self._tell = -1
        self.root = 0
        self._verdict: Verdict | None = None
        self._timeout = False
        self._loop: Loop | None = None
        self._judge: Judge | None = None
        self._refs: RefWatch | None = None
        self._helpers = Helpers()
        self._ignored = Ignored(order.policy.tree, order.oracles.ignored)
        self._kept = functools.cache(lambda: Frames(order.folder))
        follows = Following(order.policy, order.folder, self._kept, recorder)
        self._touched = Touched(time.time_ns(), order.given, follows).follow(order.policy, recorder, order.environment)
        self._inspector = self._start_inspector()
        self._relayed = relayed(order)
        self._content: ContentParts | None = None
        self._operating: Operating | None = None
        self._guarding: Guarding | None = None
        self._fixers: Fixers | None = None
        self._limiting = lazily.limiting(order, self._crossed, recorder)
        self._proving = lazily.proving(order, recorder)

    def _start_inspector(self) -> Inspector | None:
        if not content.is_judged(self._order.policy):
            return None
        from supervisor.run.content_parts import start_inspector

        return start_inspector(self._order.policy)

    def show_no_more(self) -> None:
        """What a contract has begun is ended with the run."""
        if self._proving is not None:
            self._proving.stop()

    def keep(self) -> frozenset[int]:
        """Processes below the supervisor that are govrun's own."""
        own = (
            self._publishing.pid,
            self._inspector.pid if self._inspector is not None else 0,
            *(self._content.pids() if self._content is not None else ()),
            *(each.pid for each in self._relayed),
            self._limiting.pid if self._limiting is not None else 0,
            *(self._proving.pids() if self._proving is not None else ()),
        )
        return self._helpers.of((*self._order.oracles.pids(), *own))

    # -- start --------------------------------------------------------------------------------------------------

    def go(self) -> End:
        order = self._order
        root, listener = self._launch()
        os.write(order.guard, b"agent %d\n" % root)
        judge = self._judge = Judge(self._parts(root), order.say, self._kill, self._pause)
        limit = order.policy.timeout
        self._loop = Loop(
            listener,
            judge,
            notified(),
            root,
            order.guard,
            deadline=self._started + limit if limit is not None else None,
            stopped=lambda: _tell(order.guard, b"stopped\n"),
            timed_out=self._timed_out,
            desk=self._operating.desk if self._operating is not None else None,
            endings=self._guarding.endings if self._guarding is not None else None,
            others={self._limiting.fileno(): self._limiting.turn} if self._limiting is not None else {},
            fixing=lazily.fixing(self._fixers, self._guarding, self._recorder, order, judge.settle),
            proving=self._proving,
        )
        if self._operating is not None:
            self._operating.loop = self._loop
            self._operating.acknowledged = self._acknowledged
        # What exists now lives as long as the run; events come and go without cycles.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        try:
            os.write(self._go, b"+")
        except BrokenPipeError:
            pass  # killed before it could execute: the loop reaps it
        os.close(self._go)
        return self._loop.run()

    def _launch(self) -> tuple[int, Listener]:
        """Fork the child and take its listener. The child waits before its exec until the loop is ready."""
        order = self._order
        tell_read, tell = os.pipe2(os.O_CLOEXEC)
        wait, self._go = os.pipe2(os.O_CLOEXEC)
        inherited = order.bounds.inherited() if order.bounds is not None else ()
        self._fixers = lazily.fixers(order)
        beside = self._fixers.beside if self._fixers is not None else None
        with order.agent_domain.ruleset() as domain:
            launch = Launch(
                order.program, order.argv, order.environment, order.cwd, order.seccomp, domain, tell, wait,
                order.terminal, order.umask, order.ignored, order.files, *inherited,
            )._replace(beside=beside)  # fmt: skip
            root = os.fork()
            if root == 0:
                become(launch)
            self.root = root
        os.close(tell)
        os.close(wait)
        os.umask(0)  # from here on modes are given with the process's own mask taken off
        line = handshake.line(tell_read)
        self._tell = tell_read
        listener = handshake.listener(root, line)
        if self._fixers is not None:
            self._fixers.stand_by(listener)
        listener.wake_synchronously()
        # From here on nobody of this user may look into this process: not its descriptors, not its memory.
        libc.prctl(libc.PR_SET_DUMPABLE, 0)
        return root, listener

    def _parts(self, root: int) -> Parts:
        order, policy = self._order, self._order.policy
        made = Made(policy.temp, policy.tree)
        if order.scratch:
            made.created(order.scratch)
        ignored = self._ignored
        resolver = Resolver(made, ignored, order.given)
        explainer = Explainer(self._may_write_reason)
        processes = Processes(os.getpid(), self.keep)
        processes.root = root
        reads = path_reads(policy, resolver, processes)
        if policy.git is not None:
            self._refs = RefWatch(
                policy.git, order.refs, order.head, self._publishing.moved, self._publishing.moved_by_others
            )
        operating = self._operating = self._operated(processes)
        self._guarding = self._guarded(made, explainer, processes)
        return Parts(
            run=order.run,
            policy=policy,
            processes=processes,
            made=made,
            touched=self._touched,
            files=path_calls(policy, order.oracles, resolver, reads),
            reading=reading(reads, self._recorder, made),
            execs=Execs(resolver, (policy.state, *policy.hide)),
            facts=self._facts(ignored),
            asking=operating.asking,
            guarding=self._guarding,
            proving=self._proving,
            signals=Signals(processes, order.scoped),
            network=functools.cache(lazily.network),
            recorder=self._recorder,
            explainer=explainer,
            settle=self._settle,
            room=lambda: self._room(made, explainer, processes.belongs),
            judges_content=self._inspector is not None,
            refs=self._refs,
            git_tools=order.git_tools,
            unverified=order.unverified,
            open_folders=order.agent_domain.open_folders,
            agent=Agent(order.agent, processes, order.late.packs, self._adopt),
            relayed=self._relayed,
            unsigned=order.unsigned,
        )

    def _facts(self, ignored: Ignored) -> Facts:
        tools = tool_folders(self._order.environment)
        after, order = self._touched.is_after, self._order
        return Facts(order.policy, tools, order.git_tools, after, self._reader, ignored.covers)

    def _reader(self) -> Inspector:
        """Whoever reads database statements: the inspector, which is started for them where no rule speaks of files."""
        if self._inspector is None:
            from supervisor.run.content_parts import start_inspector

            self._inspector = start_inspector(self._order.policy)
        return self._inspector

    def _operated(self, processes: Processes) -> Operating:
        order = self._order
        return Operating(
            order.folder, order.run, order.ask, order.ask_timeout, self._recorder, order.say, processes.belongs,
            terminal=order.terminal >= 0,
        )  # fmt: skip

    def _guarded(self, made: Made, explainer: Explainer, processes: Processes) -> Guarding | None:
        order, policy = self._order, self._order.policy
        if not (policy.guards or policy.remediation):
            return None
        from supervisor.run.guarding import Guarding
        from supervisor.run.undoing import Undoing

        undoing = Undoing(
            lambda: self._room(made, explainer, processes.belongs), self._touched, self._recorder, order.say
        )
        return Guarding(policy, order.agent.name, self._crossed, undoing, self._recorder)

    def _adopt(self, pack: AgentPack) -> None:
        if self._judge is not None:
            self._judge.adopt(adopted(pack, self._order.late, self._recorder, self._order.say))
        update_meta(self._order.folder, agent=pack.name)

    def _settle(self) -> None:
        if self._content is not None:
            self._content.settle()

    def _room(self, made: Made, explainer: Explainer, belongs: Callable[[int], bool]) -> ContentParts:
        """What judges content; made when it is first needed, at the start where a rule speaks of content."""
        if self._content is None:
            from supervisor.run.content_parts import content_parts

            self._content = content_parts(
                self._order,
                self._inspector,
                made,
                self._touched,
                belongs,
                self._ignored,
                self._recorder,
                explainer,
                self._kill,
                self._pause,
                self._guarding,
                self._kept(),
            )
        return self._content

    def _may_write_reason(self, path: bytes) -> bool:
        return locate(self._order.policy, path).zone in (Zone.TEMP, Zone.GRANTED)

    # -- while it runs ------------------------------------------------------------------------------------------

    def _kill(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._recorder.counts.kills += 1
        if self._loop is not None:
            self._loop.finish(End("invariant", None))

    def _pause(self, verdict: Verdict) -> None:
        over = self._loop is not None and self._loop.end is not None  # nobody is left who could be held
        if self._operating is not None and not over:
            self._operating.hold_for(reason(verdict.matches[0], verdict.effect))

    def _crossed(self, event: LifecycleEvent | ContentEvent, verdict: Verdict) -> None:
        """A guardrail speaks of something that has happened already."""
        self._recorder.observed(event, verdict)
        self._order.say(reason(verdict.matches[0], verdict.effect, "crossed"))
        if verdict.effect is Effect.KILL:
            self._kill(verdict)
        elif verdict.effect in (Effect.PAUSE, Effect.ASK):
            self._pause(verdict)

    def _acknowledged(self) -> None:
        for each in (self._guarding, self._limiting):
            if each is not None:
                each.acknowledged()

    def _timed_out(self) -> None:
        limit = self._order.policy.timeout
        event = LifecycleEvent("timeout", f"the run reached its limit of {limit:g} s")
        verdict = decide(self._order.policy, RunState(), event)
        self._recorder.observed(event, verdict)
        self._order.say(f"govrun: {event.detail}")
        self._timeout = True
        if self._loop is not None:
            self._loop.finish(End("timeout", None))

    # -- end ----------------------------------------------------------------------------------------------------

    def conclude(self, end: End) -> Result:
        """Record the end, finish the notes, answer the guard. The tree of processes is already gone."""
        if self._judge is not None:
            try:
                self._judge.changed.pointers.look()
            except OSError as error:
                self._order.say(f"govrun: a file that leads git into temporary space is still there: {error}")
        end = self._settled(end)
        self._look_for_others()
        ending.say_what_waits(self._order.policy.git, self._started, self._order.say)
        if self._refs is not None:
            self._refs.last_look()
        if self._guarding is not None:
            self._guarding.over()
        unmet = self._proving.at_end() if self._proving is not None and self._judge is not None else 0
        code, status = ending.outcome(end, self._recorder.counts, self._order.fail_on, unmet=unmet)
        refused = self._recorder.counts.blocked > 0
        ending.say_why_not(self._tell, self._order.program, self._order.say, refused=refused)
        seconds = time.monotonic() - self._started
        counts = self._recorder.counts
        counted = counts.as_dict() | counts.beside()
        agent = end.status if end.status is not None else None
        agent_code = os.waitstatus_to_exitcode(agent) if agent is not None else None
        told: dict[str, object] = {"reason": end.reason, "status": status, "exit": agent_code}
        about = self._proving.evidence() if self._proving is not None else ()
        left = standing(self._order.policy.invariants, self._recorder.stood.ids, about)
        self._recorder.note("run.end", **told, counts=counted, ungoverned=counts.ungoverned, invariants=left)
        ending.remove_stale_locks(self._judge.changed.locks if self._judge is not None else {})
        self._order.oracles.close()
        for helper in (*self._relayed, self._limiting):
            if helper is not None:
                helper.close()
        if self._operating is not None:
            self._operating.desk.close()
        if self._guarding is not None:
            self._guarding.close()
        if self._content is not None:
            self._content.close()
        scratch.remove(self._order.scratch)
        self._end = told | {
            "code": code, "seconds": round(seconds, 3), "counts": counted, "seq": self._recorder.seq
        }  # fmt: skip
        return Result(code, status, end.reason)

    def publish(self, chain: str) -> None:
        """The journal is closed, with ``chain`` as its head: what ``meta.json`` says now, ``recover`` could publish."""
        update_meta(self._order.folder, end=self._end | {"chain": chain})
        self._publishing.end(self._end, self._order.say, idle=self._recorder.counts.is_idle())

    def _settled(self, end: End) -> End:
        """What was written last is judged as well; nobody is left who could write."""
        if self._content is None:
            return end
        try:
            self._content.settle(final=True)
        except StopRun as error:
            for line in error.lines():
                self._order.say(line)
            return End("internal", None)
        if self._content.commits is not None:
            git = self._order.policy.git
            ending.look_at_index(self._content.commits, git, self._touched, self._recorder, self._order.say)
        return End("invariant", None) if self._verdict is not None and end.reason == "exit" else end

    def _look_for_others(self) -> None:
        """What somebody else changed in the tree is recorded; where it breaks a rule, it is told as well."""
        if self._judge is None:
            return
        self._touched.over()
        found = look(self._order.policy.tree, self._touched, self._ignored.covers)
        content = self._content.contents if self._content is not None else None
        report_all(found, content, self._recorder, self._order.say)


def _tell(pipe: int, line: bytes) -> None:
    try:
        os.write(pipe, line)
    except OSError:
        return  # the guard is gone; nobody waits for the word


__all__ = ["Order", "Result", "kind_of", "landlock", "libc", "supervise"]
