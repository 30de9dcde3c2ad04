"""Protected files that git replaces while it moves between commits: other people's versions may come, no others.

Git removes and writes such files as it checks out, merges, rebases or unstashes. The act is let through, what was there
before is kept, and what is there when git has finished has to be a version that other people committed at this path, or
what was found there at the start; anything else is put back.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from supervisor.decide import decide
from supervisor.enforce.explain import Explainer, reason
from supervisor.enforce.revert import Reverted, Reverter
from supervisor.invariants.policy import CompiledPolicy, GitDir, RunState
from supervisor.kernel import leases
from supervisor.run.prior import Prior
from supervisor.run.record import Recorder
from supervisor.run.refs import head_commit
from supervisor.surfaces.reading import blob_id, identity_of, read_whole
from supervisor.trees.accepted import Accepted, Unkept
from supervisor.vocabulary.content import NOTHING_FOUND
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.events import Actor, ContentEvent, FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.verdicts import Effect, Verdict
from supervisor.vocabulary.versions import ABSENT, Identity, Version

_ACTS = (FsOp.CREATE, FsOp.WRITE, FsOp.UNLINK)
_RULES = frozenset({"scope.protect", "scope.write", "scope.hide.files", "scope.read", "govrun.policy"})


class Replaced(NamedTuple):
    """A path that git changed, what was there before, and who changed it last."""

    before: Version
    actor: Actor


def _is_folder(event: FsEvent) -> bool:
    """A folder is made, or an empty one removed."""
    if event.op is FsOp.CREATE:
        return event.makes is Kind.DIR and event.target.kind is Kind.ABSENT
    return event.op is FsOp.UNLINK and event.target.kind is Kind.DIR


class Guarded:
    """``told`` gets what could not be told in band; ``stop`` ends the run when a file cannot be put back;
    ``learn`` takes up what others committed meanwhile, and says whether there was anything."""

    def __init__(
        self,
        policy: CompiledPolicy,
        accepted: Accepted,
        reverter: Reverter,
        prior: Prior,
        git: GitDir,
        recorder: Recorder,
        explainer: Explainer,
        told: Callable[[str], None],
        stop: Callable[[Verdict], None],
        alive: Callable[[Actor], bool],
        learn: Callable[[], bool],
    ) -> None:
        self._learn = learn
        self._policy = policy
        self._accepted = accepted
        self._reverter = reverter
        self._prior = prior
        self._git = git
        self._recorder = recorder
        self._explainer = explainer
        self._told = told
        self._stop = stop
        self._alive = alive
        self._state = RunState()
        self._replaced: dict[bytes, Replaced] = {}
        self._found: dict[bytes, str] = {}  # path -> id of the version that lay there at the first touch

    def may_pass(self, event: FsEvent, verdict: Verdict) -> bool:
        """Whether an act that a rule about this path objects to is git's own, of the kind that is looked at after."""
        plain = event.target.kind in (Kind.FILE, Kind.ABSENT) and event.makes is Kind.FILE
        return (
            event.git_tool
            and (plain or _is_folder(event))
            and event.op in _ACTS
            and not event.target.unlinked
            and (event.target.nlink <= 1 or _is_folder(event))
            and event.target.path.startswith(self._policy.tree + b"/")
            and all(match.invariant.id in _RULES for match in verdict.matches)
        )

    def before(self, event: FsEvent) -> bool:
        """Keep what lies at the path. False: it cannot be kept, so the act must not happen."""
        path = event.target.path
        if _is_folder(event):
            return True  # an empty one holds nothing that could be judged
        if path not in self._replaced:
            try:
                version = self._keep(path)
            except (OSError, Unkept):
                return False
            self._found.setdefault(path, version.sha1)
            self._replaced[path] = Replaced(version, event.actor)
        else:
            self._replaced[path] = self._replaced[path]._replace(actor=event.actor)
        return True

    def _keep(self, path: bytes) -> Version:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return ABSENT
        try:
            return self._accepted.keep(path, fd)
        finally:
            os.close(fd)

    def settle(self) -> None:
        """Look at everything that git has changed and is not writing any more."""
        for path in list(self._replaced):
            self._look(path)

    def _look(self, path: bytes) -> None:
        replaced = self._replaced[path]
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            # While git works it is on its way to somewhere: what is not there yet may still come.
            if not self._alive(replaced.actor):
                self._judge(path, replaced, None, None, odd=error.errno != errno.ENOENT)
            return
        try:
            if leases.has_writer(fd) is True:
                return
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                self._judge(path, replaced, None, identity_of(info), odd=True)
                return
            content, identity = read_whole(fd)
        finally:
            os.close(fd)
        self._judge(path, replaced, content, identity, odd=content is None)

    def _judge(
        self, path: bytes, replaced: Replaced, content: bytes | None, identity: Identity | None, *, odd: bool = False
    ) -> None:
        del self._replaced[path]
        relative = path[len(self._policy.tree) + 1 :]
        absent = content is None and not odd
        before = replaced.before
        if content is not None and before.sha1 and self._accepted.content(before) == content:
            return  # as it was
        if absent and before.kind is Kind.ABSENT:
            return
        kind = Kind.ABSENT if absent else Kind.OTHER if odd else Kind.FILE
        theirs = not odd and (self._was_found(path, content) or self._is_theirs(relative, content))
        target = Target(path, kind, identity.dev if identity else 0, identity.ino if identity else 0)
        event = ContentEvent(replaced.actor, target, NOTHING_FOUND, placed=True, theirs=theirs)
        verdict = decide(self._policy, self._state, event)
        if verdict.blocks:
            self._put_back(path, replaced, event, verdict, identity)
        elif theirs:
            self._recorder.warned(event, verdict)

    def _is_theirs(self, relative: bytes, content: bytes | None) -> bool:
        if content is not None:
            return self._prior.has(relative, content) or (self._news() and self._prior.has(relative, content))
        return self._prior.lack([head_commit(self._git)], relative)

    def _news(self) -> bool:
        try:
            return self._learn()
        except GovrunError:
            return False

    def _was_found(self, path: bytes, content: bytes | None) -> bool:
        return self._found.get(path, "") == (blob_id(content) if content is not None else "")

    def _put_back(
        self, path: bytes, replaced: Replaced, event: ContentEvent, verdict: Verdict, identity: Identity | None
    ) -> None:
        message = reason(verdict.matches[0], Effect.REVERT, "reverted")
        seq = self._recorder.reverting(event, verdict, message)
        done = self._restore(path, replaced.before, identity)
        self._recorder.reverted(seq, event, done.outcome, os.fsdecode(done.quarantined), done.detail, "")
        if done.outcome == "failed":
            self._told(f"{message}\n  it could not be put back ({done.detail}), so the run is stopped")
            self._stop(verdict)
        elif not self._explainer.tell_later(message, "", replaced.actor.pid if self._alive(replaced.actor) else 0):
            self._told(message)
        if verdict.effect is Effect.KILL:
            self._stop(verdict)

    def _restore(self, path: bytes, version: Version, identity: Identity | None) -> Reverted:
        source = self._accepted.source(version)

        def ours(info: os.stat_result) -> bool:
            return identity is not None and (info.st_dev, info.st_ino) == (identity.dev, identity.ino)

        try:
            return self._reverter.restore(path, version, source, identity, ours)
        finally:
            if isinstance(source, int):
                os.close(source)
