"""A violation that has landed is taken back: exactly the offending change, while the run goes on.

In a manifest the offending entry alone is taken out; every other file goes back to its last accepted version. What is
taken back lies in quarantine, and the difference is told to whoever wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.enforce.explain import Explainer, reason, with_more
from supervisor.enforce.revert import Reverted, Reverter
from supervisor.inspection.kinds import INSTALLED, is_manifest
from supervisor.invariants.content import is_separable
from supervisor.invariants.dependency import offending
from supervisor.invariants.policy import CompiledPolicy
from supervisor.run.judgement import Judgement
from supervisor.run.record import Recorder
from supervisor.surfaces.ledger import Ledger, Written
from supervisor.surfaces.reading import identity_of
from supervisor.trees.diff import unified
from supervisor.vocabulary.events import Actor, ContentEvent, Kind
from supervisor.vocabulary.verdicts import Effect, Verdict
from supervisor.vocabulary.versions import ABSENT, Version

if TYPE_CHECKING:
    from supervisor.inspection.worker import Inspector
    from supervisor.trees.accepted import Accepted

_Ours = Callable[[os.stat_result], bool]
_LARGEST_SHOWN = 2 << 20  # a larger file is named, its difference is not worked out


class TakeBack:
    """``told`` gets what could not be told in band; ``stop`` ends the run: after a kill verdict, and when a violation
    cannot be taken back, because then it would stay. ``pause`` holds it still after a pause verdict. ``alive``: whether
    the actor's process can still read."""

    def __init__(
        self,
        policy: CompiledPolicy,
        ledger: Ledger,
        accepted: Accepted,
        inspector: Inspector,
        reverter: Reverter,
        recorder: Recorder,
        explainer: Explainer,
        told: Callable[[str], None],
        stop: Callable[[Verdict], None],
        pause: Callable[[Verdict], None],
        alive: Callable[[Actor], bool],
        refused: Callable[[ContentEvent, Verdict, bytes], None] | None = None,
    ) -> None:
        self._policy = policy
        self._ledger = ledger
        self._accepted = accepted
        self._inspector = inspector
        self._reverter = reverter
        self._recorder = recorder
        self._explainer = explainer
        self._told = told
        self._stop = stop
        self._pause = pause
        self._alive = alive
        self._refused = refused

    def __call__(self, entry: Written, path: bytes, found: Judgement) -> bool:
        """Revert the file at ``path``, a name of an entry of the ledger. True when the violation is gone from there."""
        event, verdict = found.event, found.verdict
        version = entry.accepted
        message = reason(verdict.matches[0], Effect.REVERT, "reverted")
        seq = self._recorder.reverting(event, verdict, message)
        repaired = self._repaired(path, found)
        before = self._shown(version)
        ours = _is_ours(entry, written=not event.whole)
        if found.kind == INSTALLED:
            done = self._remove(os.path.dirname(path))
        elif repaired is not None:
            done = self._writable(path, lambda: self._reverter.replace(path, repaired, found.identity, ours))
            before = repaired
        else:
            done = self._writable(path, lambda: self._restore(path, version, found, ours))
        difference = "" if is_secret(found) else self._difference(path, before, found.content)
        self._recorder.reverted(seq, event, done.outcome, os.fsdecode(done.quarantined), done.detail, difference)
        if done.outcome in ("restored", "removed", "replaced") and entry.is_written():
            message += " · its writer goes on in what was taken away: write the file anew"
        if self._refused is not None and done.outcome in ("restored", "removed", "replaced"):
            self._refused(event, verdict, b"" if is_secret(found) else found.content)
        self._follow_up(done, path, verdict, event.actor, message, difference)
        return done.outcome not in ("external", "failed")

    def put_back(self, path: bytes, version: Version) -> None:
        """Bring a version back to where nothing is."""
        source = self._accepted.source(version)
        try:
            done = self._reverter.restore(path, version, source, None, lambda _info: False)
        finally:
            if isinstance(source, int):
                os.close(source)
        self._recorder.note("state", call="put back", path=path, how=done.outcome, detail=done.detail)

    def _difference(self, path: bytes, before: bytes, content: bytes) -> str:
        return unified(self._relative(path), before, content) if len(content) < _LARGEST_SHOWN else ""

    def _remove(self, folder: bytes) -> Reverted:
        """A package that has arrived goes whole. The tool that brought it may still be writing in it."""
        info = os.lstat(folder)
        inode = (info.st_dev, info.st_ino)
        return self._reverter.restore(
            folder, ABSENT, b"", identity_of(info), lambda now: (now.st_dev, now.st_ino) == inode
        )

    @staticmethod
    def _writable(path: bytes, act: Callable[[], Reverted]) -> Reverted:
        """A folder that the run made read-only meanwhile is opened for the moment."""
        done = act()
        if done.outcome != "failed":
            return done
        try:
            folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return done
        try:
            mode = os.fstat(folder).st_mode & 0o7777
            if mode & 0o300 == 0o300:
                return done
            os.fchmod(folder, mode | 0o300)
            try:
                return act()
            finally:
                os.fchmod(folder, mode)
        except OSError:
            return done
        finally:
            os.close(folder)

    def _restore(self, path: bytes, version: Version, found: Judgement, ours: _Ours) -> Reverted:
        source = self._accepted.source(version)
        try:
            return self._reverter.restore(path, version, source, found.identity, ours)
        finally:
            if isinstance(source, int):
                os.close(source)

    def _repaired(self, path: bytes, found: Judgement) -> bytes | None:
        if not is_manifest(found.kind) or not is_separable(found.verdict.matches):
            return None
        entries = offending(self._policy.dependencies, found.event, self._relative(path))
        return self._inspector.without(found.kind, found.content, entries) if entries else None

    def _shown(self, version: Version) -> bytes:
        if version.kind is not Kind.FILE or version.large or version.size > _LARGEST_SHOWN:
            return b""
        return self._accepted.content(version)

    def _relative(self, path: bytes) -> bytes:
        return path[len(self._policy.tree) + 1 :]

    def _follow_up(
        self, done: Reverted, path: bytes, verdict: Verdict, actor: Actor, message: str, difference: str
    ) -> None:
        if done.outcome == "gone":
            return
        if done.outcome == "external":
            name = self._relative(path).decode("utf-8", "backslashreplace")
            why = "somebody else changed it before it could be taken back"
            self._recorder.external(path, verdict, why, diverges=False)
            self._recorder.counts.external += 1
            self._told(
                f"govrun: {name} breaks {verdict.matches[0].invariant.id}, and somebody else changed it: left alone"
            )
            return
        if done.outcome == "failed":
            self._told(f"{message}\n  it could not be taken back ({done.detail}), so the run is stopped")
            self._stop(verdict)
            return
        if not self._explainer.tell_later(message, difference, actor.pid if self._alive(actor) else 0):
            self._told(with_more(message, difference))
        if verdict.effect is Effect.KILL:
            self._stop(verdict)
        elif verdict.effect is Effect.PAUSE:
            self._pause(verdict)


def is_secret(found: Judgement) -> bool:
    """What looks like a credential is repeated nowhere: not on a terminal, not in the journal."""
    return any(match.invariant.kind == "secrets" for match in found.verdict.matches)


def _is_ours(entry: Written, *, written: bool) -> _Ours:
    """Whether what is found in place of what was judged is the run's: the same inode, which it could still write to
    when it was judged. A file that somebody put there by rename is not."""
    return lambda info: (info.st_dev, info.st_ino) == entry.key and (written or entry.is_written())
