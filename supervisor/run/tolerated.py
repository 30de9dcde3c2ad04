"""What is let be although a rule forbids it: what each file said before the run first touched it, and what other people
committed at the same path. Never more than that."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.inspection.kinds import SCRIPT
from supervisor.inspection.looks import MOST_TEXT, Looks
from supervisor.run.judgement import Source
from supervisor.surfaces.ledger import Written
from supervisor.surfaces.paths import Refused
from supervisor.surfaces.reading import begins_script, read_whole
from supervisor.trees.accepted import Accepted, Unkept
from supervisor.vocabulary.content import INSPECTOR_FAILED, NOTHING_FOUND, Findings
from supervisor.vocabulary.events import ContentEvent, FsEvent, Target
from supervisor.vocabulary.verdicts import Verdict
from supervisor.vocabulary.versions import Version

if TYPE_CHECKING:
    from supervisor.run.baselines import Bases
    from supervisor.run.prior import Prior

_MOST_REMOVED = 2000  # files of one action
# Nothing there that has content: gone, a socket or FIFO without a reader, a symbolic link.
NO_CONTENT = (errno.ENOENT, errno.ENXIO, errno.ELOOP, errno.ENOTDIR)


class Tolerated:
    """Keyed by path. ``kind`` says which inspector reads a path (None: its content plays no part), ``inspect`` asks it:
    only when a rule objects to what is there now, since most files are never asked about. ``bases``: what the trees say
    that rules name as their baseline (None: none does). ``inside``: the tree, with a slash."""

    def __init__(
        self,
        accepted: Accepted,
        looks: Looks,
        kind: Callable[[bytes], str | None],
        inspect: Callable[[str, bytes, bytes | None], Findings],
        prior: Prior | None,
        bases: Bases | None,
        inside: bytes,
    ) -> None:
        self._accepted = accepted
        self._looks = looks
        self._kind = kind
        self._inspect = inspect
        self._others, self.bases, self._inside = prior, bases, inside
        # Findings, or the version that is asked when they are needed.
        self._base: dict[bytes, Findings | tuple[str, Version]] = {}
        self._prior: dict[bytes, Findings] = {}
        self._removed: dict[bytes, Version] = {}  # by the action that goes on
        self._action = 0

    def base(self, path: bytes) -> Findings:
        """What the file said before."""
        held = self._base.get(path, NOTHING_FOUND)
        if isinstance(held, Findings):
            return held
        kind, version = held
        content = None if version.large else self._accepted.content(version)
        found = self._inspect(kind, path, content)
        if found.refusal.startswith(INSPECTOR_FAILED):
            return NOTHING_FOUND  # that the inspector failed says nothing of the file, and must not excuse the next
        self._base[path] = found
        return found

    def first(self, path: bytes) -> Source | Findings | None:
        """What the file said when the run began, or what has to be read for that; None where there was none that is
        judged."""
        return self.base(path) if path in self._base else self._source(path)

    def now(self, path: bytes) -> Findings | None:
        """What the file says; None where there is none that is judged. Nothing is kept of it."""
        found = self._source(path)
        return self._inspect(found.kind, path, found.content) if isinstance(found, Source) else found

    def _source(self, path: bytes) -> Source | Findings | None:
        kind = self._kind(path)
        if kind is None:
            return None
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            return None if error.errno in NO_CONTENT else Findings(refusal=error.strerror or str(error))
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode) or (kind == SCRIPT and not begins_script(fd)):
                return None
            content, _ = read_whole(fd)
        finally:
            os.close(fd)
        if content is not None and not self._looks.may_concern(kind, path, content):
            return NOTHING_FOUND
        if content is None or len(content) > MOST_TEXT:
            return self._inspect(kind, path, content)
        return Source(path, kind, content)

    def prior(self, path: bytes) -> Findings:
        """What other people's versions said that have come to ``path``."""
        return self._prior.get(path, NOTHING_FOUND)

    def excused(
        self,
        event: ContentEvent,
        verdict: Verdict,
        again: Callable[[ContentEvent], Verdict],
        kind: str,
        content: bytes | None,
        *,
        source: bytes,
        git_tool: bool,
        ours: bool,
    ) -> tuple[ContentEvent, Verdict]:
        """What is looked for when a rule objects, and the verdict with it (``again``): what the revisions of rules say
        at the path and where it moves from (``source``), unless the violation may be that of somebody else (not
        ``ours``); what other people committed, which may come back through git, and is theirs."""
        path = event.target.path
        if self.bases is not None and ours:
            event = event._replace(bases=self.bases.of(path, kind, source))
            verdict = again(event)
        if not (verdict.matches and git_tool and self._others is not None):
            return event, verdict
        found, exact = self._others.brought(self._inside, path, kind, content, self._inspect)
        theirs, exact = event.prior.joined(found), exact and self.bases is not None
        if theirs != event.prior or exact:
            event = event._replace(prior=theirs, theirs=exact)
            verdict = again(event)
            if not verdict.blocks:
                self._prior[path] = theirs
        return event, verdict

    def said(self, path: bytes, found: Findings) -> None:
        """A rule that only observes has spoken of this: once is enough."""
        self._base[path] = self.base(path).joined(found)
        if self.bases is not None:
            self.bases.said(path, found)

    def touch(self, path: bytes) -> None:
        """The run is going to create, replace or remove ``path``. What is there at the first touch counts, also that
        nothing is: a file that the run made itself is never what was found."""
        if path in self._base:
            return
        kind = self._kind(path)
        if kind is None:
            return
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in NO_CONTENT:
                self._base[path] = NOTHING_FOUND
            return  # unreadable: nothing of it is tolerated
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self.opened(path, kind, None, fd)
        finally:
            os.close(fd)

    def removing(self, event: FsEvent, known: Written | None) -> None:
        """The run is going to remove a file. Who patches one often removes it and makes it anew: within the same action
        that is a change, and what was there is what to go back to. ``known``: it was being written."""
        self.touch(event.target.path)
        self.acts(event.actor.action)
        if not event.carried:
            self.leaving(event.target.path, event.target.path, known)

    def acts(self, action: int) -> None:
        """An act of this action: what another one has removed is gone."""
        if action != self._action:
            self._action = action
            self._removed.clear()

    def leaving(self, path: bytes, where: bytes, known: Written | None) -> None:
        """The file at ``path``, which ``where`` reaches, is going to be removed or moved away."""
        if self._kind(path) is None or len(self._removed) >= _MOST_REMOVED:
            return
        if known is not None:
            self._removed[path] = known.accepted
            return
        try:
            fd = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return  # what comes next is as new
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._removed[path] = self._accepted.keep(path, fd)
        except Unkept:
            return
        finally:
            os.close(fd)

    def removed(self, event: FsEvent, target: Target) -> Version | None:
        """What the action has removed, or moved away, at the path that it makes anew; None: nothing."""
        return self._removed.get(target.path) if event.actor.action == self._action else None

    def opened(self, path: bytes, kind: str, version: Version | None, fd: int) -> None:
        """The same for a file that is open for reading as ``fd``; ``version`` if it is kept. Errors: ``Refused``."""
        if path in self._base:
            return
        if kind == SCRIPT and not begins_script(fd):
            self._base[path] = NOTHING_FOUND
            return
        content, _ = read_whole(fd)
        if content is not None and not self._looks.may_concern(kind, path, content):
            self._base[path] = NOTHING_FOUND
        else:
            self._base[path] = (kind, version or self.keep(path, fd))

    def keep(self, path: bytes, fd: int, content: bytes | None = None) -> Version:
        """Keep a version to go back to; ``content`` if it was read already. Errors: ``Refused``."""
        try:
            return self._accepted.keep(path, fd, content=content)
        except Unkept as error:
            raise Refused(f"{os.fsdecode(path)} could not be put back: {error}") from error

    def moving(self, source: bytes, to: bytes) -> Findings:
        """What a file that is going to move inside the tree takes along: what was tolerated in it as it was found."""
        if self._kind(source) is None:
            return NOTHING_FOUND
        self.touch(source)
        return self.base(source) if self._kind(to) is not None else NOTHING_FOUND

    def moved(self, source: bytes, to: bytes) -> None:
        """It has moved. What it took along is no longer tolerated where it was: a rule is broken no more often."""
        if self._kind(source) is None or self._kind(to) is None:
            return
        if self.bases is not None:
            self.bases.moved(source, to)
        held = self.base(source)
        if held != NOTHING_FOUND:
            self._base[to] = self.base(to).joined(held)
            self._base[source] = NOTHING_FOUND

    def exchanged(self, one: bytes, other: bytes) -> None:
        """Two files changed places."""
        if self._kind(one) is None or self._kind(other) is None:
            return
        if self.bases is not None:
            self.bases.exchanged(one, other)
        self._base[one], self._base[other] = self.base(other), self.base(one)
