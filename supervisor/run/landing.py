"""Content that arrives by a name: renames, hard links, symbolic links. Judged before it is there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.kinds import SCRIPT
from supervisor.invariants.places import WRITABLE, locate
from supervisor.invariants.policy import CompiledPolicy
from supervisor.kernel import leases
from supervisor.run.judgement import Judgement, breaks_nothing
from supervisor.run.tolerated import NO_CONTENT
from supervisor.surfaces.paths import Refused
from supervisor.surfaces.reading import MOST_SCRIPT, begins_script
from supervisor.vocabulary.acts import PathAct
from supervisor.vocabulary.events import ContentEvent, FsEvent, FsOp, Kind
from supervisor.vocabulary.verdicts import Verdict
from supervisor.vocabulary.versions import Version

if TYPE_CHECKING:
    from supervisor.run.contents import Contents
    from supervisor.run.prior import Prior

_PATH_MAX = 4096  # linux/limits.h, with the final zero: a longer one has no name in /proc/PID/fd either
_PACKAGES = (b"node_modules", b"site-packages", b"dist-packages")


class _Move(NamedTuple):
    """One name that comes to lead to what another one led to; ``where`` reaches it now."""

    source: bytes
    to: bytes
    where: bytes
    kind: Kind


class Landing:
    """``prior``: what other people committed may come back through git, also as a link. ``passed`` is told of what has
    landed and breaks nothing, ``observed`` of what is let be although a rule speaks of it. ``let_be``: that of the act
    that was judged last, by where it comes from; each list is emptied once it has been told."""

    def __init__(
        self,
        contents: Contents,
        policy: CompiledPolicy,
        prior: Prior | None,
        passed: Callable[..., None] | None,
        observed: Callable[[ContentEvent, Verdict], None],
    ) -> None:
        self._contents = contents
        self._policy = policy
        self._prior, self._passed, self._observed = prior, passed, observed
        self.let_be: list[list[Judgement]] = []
        self._right: list[tuple[bytes, Judgement | None]] = []
        # Files that somebody could write to while they were judged: path and the bytes that were.
        self._written: dict[bytes, Version] = {}

    def before(self, event: FsEvent, act: PathAct) -> Judgement | None:
        """The first violation is enough to refuse the act. Errors: ``Refused``, OSError."""
        found = self._before(event, act)
        if found is not None and event.other is not None and event.other.kind is Kind.ABSENT:
            version = self._contents.tolerated.removed(event, event.other)
            if version is not None:  # its tool has moved it away, and stops half-way
                self._contents.put_back(event.other.path, version)
        return found

    def _before(self, event: FsEvent, act: PathAct) -> Judgement | None:
        self._written.clear()
        self._right.clear()
        self.let_be = [[]]
        if event.makes is Kind.LINK and event.op is FsOp.CREATE:
            self._refuse_link(event, event.target.path, act.text)
            return None
        other = -1
        try:
            if event.exchange:
                other = os.open(act.other_name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=act.other_parent)
            for move in self._moves(event, act.handle, other):
                found = self._arrives(event, move)
                if found is not None:
                    return found
        finally:
            if other >= 0:
                os.close(other)
        self._contents.reserve(len(self._written))
        if event.op is FsOp.RENAME and not event.exchange and not event.carried:
            self._leaves(event, act.handle)
        return None

    def _leaves(self, event: FsEvent, handle: int) -> None:
        """What is moved away and made anew by the same action has changed, and goes back to what it was."""
        tolerated, source = self._contents.tolerated, event.target
        tolerated.acts(event.actor.action)
        if source.kind is Kind.FILE:
            tolerated.leaving(source.path, source.path, self._contents.ledger.get(source.dev, source.ino))
        root = b"/proc/self/fd/%d/" % handle
        for relative in event.beneath or ():
            tolerated.leaving(source.path + b"/" + relative, root + relative, None)

    def _moves(self, event: FsEvent, handle: int, other: int) -> Iterator[_Move]:
        if event.other is None:
            return
        pairs = [(event.target, event.other, handle, event.beneath)]
        if event.exchange:
            pairs.append((event.other, event.target, other, event.beneath_other))
        if event.op is FsOp.RENAME:
            for source, _, _, beneath in pairs:
                for path in (source.path, *(source.path + b"/" + each for each in beneath or ())):
                    self._contents.graphs.tried(path, ())
                    self._tried(path, None)
        for source, to, fd, beneath in pairs:
            if event.op is FsOp.RENAME:
                self._contents.tolerated.touch(source.path)
            self._contents.tolerated.touch(to.path)
            if not event.exchange:
                self._tried(to.path, None)
            root = b"/proc/self/fd/%d" % fd
            if source.kind is not Kind.DIR:
                yield _Move(source.path, to.path, root, source.kind)
            for relative in beneath or ():
                path = to.path + b"/" + relative
                if len(path) >= _PATH_MAX:
                    raise Refused(f"a name in it would be longer than {_PATH_MAX - 1} bytes, and could not be judged")
                if self._contents.kind(path) is not None or relative.rpartition(b"/")[2] in _PACKAGES:
                    yield _Move(source.path + b"/" + relative, path, root + b"/" + relative, Kind.OTHER)

    def _arrives(self, event: FsEvent, move: _Move) -> Judgement | None:
        text = _link_text(move)
        if text is not None:
            self._refuse_link(event, move.to, text)
            return None
        contents, kind = self._contents, self._contents.kind(move.to)
        if kind is None:
            return None
        contents.tolerated.touch(move.to)
        source = move.source if event.op is FsOp.RENAME else b""
        try:
            fd = os.open(move.where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in NO_CONTENT:
                return None
            raise Refused(f"{os.fsdecode(move.to)} cannot be read, so its content cannot be judged") from error
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                return None
            written = leases.has_writer(fd) is not False or not leases.sees_mappings(fd)  # before it is read
            if kind == SCRIPT and not begins_script(fd) and (not written or info.st_size > MOST_SCRIPT):
                return None
            found, content = contents.judge_open(
                fd, move.to, kind, event.actor, git_tool=event.git_tool, landing=True, source=source
            )
            if found is not None and found.verdict.blocks:
                return found
            if found is not None:
                contents.graphs.tried(move.to, found.event.now.references)
                self.let_be[0] += [found] if found.verdict.matches else []
            self._tried(move.to, found)
            if self._passed is not None and breaks_nothing(found):
                self._right.append((move.to, found))
            if written:
                self._written[move.to] = contents.tolerated.keep(move.to, fd, content)
        finally:
            os.close(fd)
        return None

    def _tried(self, path: bytes, found: Judgement | None) -> None:
        if self._contents.standing is not None:
            self._contents.standing.tried(path, found.event if found is not None else None)

    def _refuse_link(self, event: FsEvent, path: bytes, text: bytes) -> None:
        relative = path[len(self._policy.tree) + 1 :]
        if not (event.git_tool and self._prior is not None and self._prior.has(relative, text)):
            self.check_link(path, text)

    def check_link(self, path: bytes, text: bytes) -> None:
        """A symbolic link gives content another name without anybody touching either. ``Refused`` where that content is
        not judged itself."""
        name = path.rpartition(b"/")[2]
        kind = self._named(path)
        if kind is None and name not in _PACKAGES:
            return
        inside = self._policy.tree + b"/"
        to = os.path.normpath(text if text.startswith(b"/") else path.rpartition(b"/")[0] + b"/" + text)
        real = os.path.realpath(to)
        if kind is None:
            fits = to.rpartition(b"/")[2] == name == real.rpartition(b"/")[2] or not path.startswith(inside)
        else:
            fits = self._named(real) is not None or (
                locate(self._policy, real).zone not in WRITABLE and os.path.isfile(real)
            )
        if not fits:
            shown = os.fsdecode(path.removeprefix(inside))
            raise Refused(
                f"{shown} would be a link to something that is not judged; copy it, or link to a file like it"
            )

    def _named(self, path: bytes) -> str | None:
        """The kind that a name alone tells: one without a dot may be that of a folder, and tells nothing."""
        kind = self._contents.kind(path)
        return None if kind == SCRIPT else kind

    def after(self, event: FsEvent) -> None:
        """The names are there, or gone. Errors: OSError."""
        self._contents.graphs.settled(happened=True)
        if self._contents.standing is not None:
            self._contents.standing.settled(happened=True)
            if event.op is FsOp.UNLINK:
                self._contents.standing.gone(event.target.path)
        if event.op is FsOp.UNLINK:
            self._contents.graphs.remove(event.target.path)
            return
        if event.other is not None and event.op is FsOp.RENAME:
            tolerated, theirs = self._contents.tolerated, self._contents.theirs
            pairs = [(event.target.path, event.other.path, event.beneath)]
            if event.exchange:
                pairs.append((event.other.path, event.target.path, event.beneath_other))
            moved = [(b"".join((a, b"/", each)), b"".join((b, b"/", each))) for a, b, c in pairs for each in c or ()]
            theirs.update([to for source, to in (*(each[:2] for each in pairs), *moved) if source in theirs])
            if event.exchange:
                tolerated.exchanged(event.target.path, event.other.path)
            else:
                tolerated.moved(event.target.path, event.other.path)
                for relative in event.beneath or ():
                    tolerated.moved(event.target.path + b"/" + relative, event.other.path + b"/" + relative)
        self._tell_let_be()
        if self._passed is not None and not event.carried:
            for path, found in self._right:
                self._passed(path, event.actor, found, landed=True)
        written, self._written = self._written, {}
        for path, version in written.items():
            self._contents.keep_in_sight(path, event.actor, version, git_tool=event.git_tool)

    def _tell_let_be(self) -> None:
        told, self.let_be = self.let_be, []
        for judged in told:
            for found in judged:
                self._observed(found.event, found.verdict)
                if not found.event.commit:  # what is committed lies in no file yet
                    self._contents.tolerated.said(found.event.target.path, found.event.now)
            judged.clear()


def _link_text(move: _Move) -> bytes | None:
    """Where a symbolic link leads, None for anything else."""
    try:
        if move.kind is Kind.LINK:
            handle = os.open(move.where, os.O_PATH | os.O_CLOEXEC)  # our own descriptor: it ends at the link itself
            try:
                return os.readlink(b"", dir_fd=handle)
            finally:
                os.close(handle)
        return os.readlink(move.where) if move.kind is Kind.OTHER else None
    except OSError:
        return None
