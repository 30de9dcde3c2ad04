"""Files whose content is judged: kept before they change, looked at when they have, taken back when they break a rule.

*Opening*: what lies at the path is kept, so that it can be put back. *Landing*: what a rename or link brings is judged
before it is there. *Settling*: before a command, a connection or a ref update is answered, every change known by then
has been judged. In between the end of each write is noticed as it happens, which makes reverts quick and nothing more.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor.decide import decide
from supervisor.inspection.growing import fixed_part
from supervisor.inspection.kinds import INSTALLED, SCRIPT, VENDORED, is_source, is_unpacked
from supervisor.inspection.looks import MOST_TEXT
from supervisor.inspection.reading import TEXT
from supervisor.invariants.places import Zone, locate
from supervisor.kernel import leases
from supervisor.run.judgement import Judgement, Tools, breaks_nothing, is_theirs
from supervisor.run.landing import Landing
from supervisor.run.tolerated import NO_CONTENT, Tolerated
from supervisor.surfaces.ledger import Written, leads_to
from supervisor.surfaces.paths import Overtaken, Refused
from supervisor.surfaces.reading import MOST, MOST_SCRIPT, begins_script, blob_id, read_whole, readable
from supervisor.vocabulary.acts import OpenAct, PathAct
from supervisor.vocabulary.content import NOTHING_FOUND, Findings
from supervisor.vocabulary.events import Actor, ContentEvent, FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.verdicts import Verdict
from supervisor.vocabulary.versions import Identity, Version

if TYPE_CHECKING:
    from supervisor.run.standing import Standing

_WRITES = os.O_WRONLY | os.O_RDWR
_MOST_PASSED = 50_000
_MANY = 1 << 20  # writers that nobody counted
_NOBODY = Actor(0, 0, 0, b"", (), 0)


class Contents:
    """One per run, where a rule about content is in force."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._policy = tools.policy
        self._inside = tools.policy.tree + b"/"
        self._versions = tools.policy.dependencies.asks_versions()
        self.graphs = tools.graphs
        self.standing: Standing | None = None  # where a rule bounds fixes
        self.ledger = tools.ledger
        self.looks = tools.looks
        bases = tools.bases(self._inside, self.inspect) if tools.bases is not None else None
        self.tolerated = Tolerated(
            tools.accepted, tools.looks, self.kind, self.inspect, tools.prior, bases, self._inside
        )
        self.landing = Landing(self, tools.policy, tools.prior, tools.passed, tools.observed)
        # (path, blob id) of versions that broke nothing: a commit of them needs no second look.
        self._passed: set[tuple[bytes, str]] = set()
        self.theirs: set[bytes] = set()  # files that somebody else changed against a rule

    def kind(self, path: bytes) -> str | None:
        """Which inspector reads the file at ``path``, None where content is not judged: outside the tree, in packages
        of others, in ignored paths; what git itself keeps in its folders is no source."""
        if not path.startswith(self._inside):
            return None
        kind = self._tools.looks.kind(path)
        if kind is None:
            return None
        if kind == INSTALLED:
            return kind if self._versions else None
        relative = path[len(self._inside) - 1 :]
        if any(part in relative for part in VENDORED) or is_unpacked(kind, relative[1:]):
            return None
        zone = locate(self._policy, path).zone
        if zone is not Zone.TREE and not (zone is Zone.GIT and is_source(kind)):
            return None
        return None if self._tools.ignored(path) else kind

    # -- before and after the act ---------------------------------------------------------------------------------

    def before(self, event: FsEvent, act: OpenAct | PathAct) -> tuple[Judgement | None, Version | None]:
        """What the act would bring that breaks a rule, and what is to be put back if what the process writes breaks one
        (None: its content plays no part). Errors: ``Refused``, OSError."""
        self.graphs.settled(happened=False)  # what was tried before has been told, if it happened
        if self.standing is not None:
            self.standing.settled(happened=False)
        if isinstance(act, PathAct) and (event.op in (FsOp.RENAME, FsOp.LINK) or event.makes is Kind.LINK):
            return self.landing.before(event, act), None
        if event.op in (FsOp.WRITE, FsOp.CREATE):
            version = self._opening(event, act)
            if version is not None:
                self.reserve(1)
            return None, version
        if event.op is FsOp.UNLINK and event.target.kind is Kind.FILE:
            self.tolerated.removing(event, self.ledger.get(event.target.dev, event.target.ino))
        return None, None

    def _opening(self, event: FsEvent, act: OpenAct | PathAct) -> Version | None:
        target = event.target
        writes = isinstance(act, OpenAct) and act.flags & (_WRITES | os.O_TRUNC)
        if target.kind is Kind.ABSENT:
            makes = event.makes is Kind.FILE and writes and self.kind(target.path) is not None
            if makes:
                self.tolerated.touch(target.path)
                return self.tolerated.removed(event, target) or self._tools.accepted.absent(target.path)
            return None
        if target.kind is not Kind.FILE or not (writes or (isinstance(act, PathAct) and act.call == "truncate")):
            return None
        known = self.ledger.get(target.dev, target.ino)
        if known is not None:  # what was written until now is a version of its own
            self.look(known)
            if self.ledger.get(target.dev, target.ino) is known:
                return known.accepted
            if not leads_to(target.path, (target.dev, target.ino)):
                raise Overtaken
        names = list(self._judged(self._names_of(target)))
        if not names:
            return None
        fd = readable(act.handle)
        try:
            cuts = isinstance(act, OpenAct) and act.flags & os.O_TRUNC  # what comes then begins anew
            if all(kind == SCRIPT for _, kind in names) and os.fstat(fd).st_size > (MOST if cuts else MOST_SCRIPT):
                return None
            version = self.tolerated.keep(names[0][0], fd)
            for name, kind in names:
                self.tolerated.opened(name, kind, version, fd)
        finally:
            os.close(fd)
        return version

    def put_back(self, path: bytes, version: Version) -> None:
        """What lay at ``path`` comes back there, where there is nothing now."""
        if self._tools.put_back is not None:
            self._tools.put_back(path, version)

    def check_link(self, path: bytes, text: bytes) -> None:
        """A symbolic link that a commit brings. Errors: ``Refused``."""
        self.landing.check_link(path, text)

    def reserve(self, count: int) -> None:
        """Make sure that so many more files can be kept in sight: what has no writer goes, then what has been looked at
        and belongs to another user. OSError(ENFILE) when too many are being written."""
        if self.ledger.has_room(count):
            return
        self.settle()
        if not self.ledger.has_room(count):
            for entry in self.ledger:
                if leases.has_writer(entry.fd) is None:
                    self.ledger.drop(entry)
        if not self.ledger.has_room(count):
            raise OSError(errno.ENFILE, "too many files are being written at once")

    def after(self, event: FsEvent, fd: int, version: Version | None, flags: int) -> None:
        """The act has been done: what can be written to is kept in sight. ``fd``: what the process is going to get, or
        -1. Errors: OSError, then it must not get it."""
        if event.op in (FsOp.RENAME, FsOp.LINK, FsOp.UNLINK):
            self.landing.after(event)
        elif version is not None and fd >= 0:
            # Only what is open for reading too can be mapped shared and writable (mmap(2), EACCES).
            may_map = flags & os.O_ACCMODE == os.O_RDWR
            path = event.target.path
            entry = self.ledger.enter(fd, path, event.actor, version, mappable=may_map, git_tool=event.git_tool)
            entry.opens += 1
        elif version is not None:
            self.keep_in_sight(event.target.path, event.actor, version, git_tool=event.git_tool)

    def keep_in_sight(self, path: bytes, actor: Actor, version: Version, *, git_tool: bool) -> None:
        """A file that was cut, or can be written to by another name: it is looked at again."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in NO_CONTENT:
                return
            raise
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                entry = self.ledger.enter(fd, path, actor, version, mappable=True, git_tool=git_tool)
                entry.seen = None
                entry.opens = _MANY
        finally:
            os.close(fd)

    def given(self, fd: int) -> None:
        """A file that whoever started the run handed in as ``fd``, open for writing."""
        path = os.readlink(b"/proc/self/fd/%d" % fd)
        kind = self.kind(path)
        if kind is None or not stat.S_ISREG(os.fstat(fd).st_mode):
            return
        own = readable(fd)
        try:
            version = self.tolerated.keep(path, own)
            self.tolerated.opened(path, kind, version, own)
            entry = self.ledger.enter(own, path, _NOBODY, version, mappable=True, git_tool=False)
            entry.seen = entry.identity()
            entry.inherited = True
            entry.opens = _MANY
        finally:
            os.close(own)

    # -- looking --------------------------------------------------------------------------------------------------

    def closed(self) -> None:
        """Look at what nobody writes to any more. The rest is looked at when a command or a commit depends on it."""
        for entry in self.ledger.closed():
            self.look(entry)

    def settle(self, *, final: bool = False) -> None:
        """Judge every change known by now. ``final``: nobody of the run is left, half a text stays as it is."""
        if len(self.ledger):
            self.ledger.closed()
            for entry in self.ledger:
                self.look(entry, final=final)

    def look(self, entry: Written, *, final: bool = False) -> None:
        """Judge one of the ledger's."""
        if self.ledger.get(*entry.key) is not entry:
            return
        written = entry.is_written()  # asked first: without a writer, what is read next stays
        identity = entry.identity()
        # While somebody writes the bytes are read again: a time stamp is no proof against that.
        if identity != entry.seen or written or entry.mappable:
            # Of what was handed in, govrun itself is a writer to the end.
            growing = written and not final and not entry.inherited
            if not self._judge_names(entry, identity, growing=growing):
                self.ledger.drop(entry)
                return
        if not written and not (entry.mappable and not leases.sees_mappings(entry.fd)):
            self._tools.seal(identity)
            self.ledger.drop(entry)

    def _judge_names(self, entry: Written, now: Identity, *, growing: bool) -> bool:
        """Judge the content under each judged name it has. False: nothing is left to be kept in sight."""
        names = list(self._judged(self.names(entry)))
        if all(kind == SCRIPT for _, kind in names) and not begins_script(entry.fd):
            entry.seen, entry.digest = now, b""
            return True
        content, identity = read_whole(entry.fd)
        digest = hashlib.sha1(content or b"", usedforsecurity=False).digest()
        if entry.seen is not None and content is not None and digest == entry.digest:
            entry.seen = now
            return True  # the same bytes: a touch, or a mapping that was not used
        gone = taken = unsure = False
        right = []
        for name, kind in names:
            shown = fixed_part(kind, content) if growing and content is not None else content
            found = self._judged_as(entry, shown, name, kind, identity, growing=growing)
            right += [(name, found)] if breaks_nothing(found) else []
            if self.standing is not None and (found is None or not found.verdict.blocks):
                self.standing.put(name, found.event if found is not None else None, whole=not growing)
            if found is None:
                unsure |= shown != content and self._tools.looks.may_concern(kind, name, content or b"")
                continue
            unsure |= growing and found.is_open_ended(content)
            if not found.verdict.blocks:
                self._lead(found)
                if found.verdict.matches or found.event.prior != NOTHING_FOUND:
                    self._tools.observed(found.event, found.verdict)
                if found.verdict.matches:
                    self.tolerated.said(name, found.event.now)
                continue
            if growing and is_theirs(entry, self.ledger, self._tools.held):
                self._tools.theirs(name, found.verdict)
                self._lead(found)
                self.take_as_theirs(name, found.event.now)
                continue
            taken = True
            gone = not self._tools.take_back(entry, name, found) or gone
            identity = entry.identity()  # its change time moved with the name
        if taken or unsure:
            entry.seen = None  # looked at again, whatever happens to it
            return unsure or (not gone and entry.is_written() and bool(entry.leads()))
        self._tell_rewritten(entry, names, content, growing=growing)
        if self._tools.passed is not None and not growing:
            for name, found in right:
                self._tools.passed(name, entry.actor, found, by_git=entry.git_tool)
        entry.seen, entry.digest, entry.closings = now, digest, 0
        if content and entry.is_written():  # empty: cut by the shell for a command that has not written yet
            self._accept(entry, content)
        return True

    def _tell_rewritten(
        self, entry: Written, names: list[tuple[bytes, str]], content: bytes | None, *, growing: bool
    ) -> None:
        """Where changes are counted: what the file said when it was opened, and what it says now."""
        if self._tools.rewritten is None or growing or not names:
            return
        before = entry.accepted
        was = self._tools.accepted.content(before) if before.kind is Kind.FILE and not before.large else None
        action = entry.actor.action
        self._tools.rewritten(names[0][0], was, content, carried=entry.git_tool, action=action)

    def _judged_as(
        self, entry: Written, content: bytes | None, name: bytes, kind: str, identity: Identity, *, growing: bool
    ) -> Judgement | None:
        target = Target(name, Kind.FILE, identity.dev, identity.ino)
        found = self.judge_bytes(
            content, target, kind, entry.actor, identity, git_tool=entry.git_tool, whole=not growing
        )
        if not growing:
            self._note_passed(name, content, found)
        return found

    def _accept(self, entry: Written, content: bytes) -> None:
        """What was judged is what to go back to, while its writer goes on: not what is there by now."""
        try:
            entry.accepted = self.tolerated.keep(entry.path() or b"?", entry.fd, content)
        except Refused:
            return  # then to the version before, which was accepted too

    def names(self, entry: Written) -> set[bytes]:
        """By which it is known."""
        info = os.fstat(entry.fd)
        path = entry.path()
        target = Target(path, Kind.FILE, info.st_dev, info.st_ino, info.st_nlink)
        return ({path} if path else set()) | (self._names_of(target) - {b""}) | entry.leads()

    def _names_of(self, target: Target) -> set[bytes]:
        return {target.path} | (self._tools.made.names(target) if target.nlink > 1 or not target.path else set())

    def _judged(self, names: set[bytes]) -> Iterator[tuple[bytes, str]]:
        """Those under which content is judged, with the inspector."""
        for name in sorted(names):
            kind = self.kind(name)
            if kind is not None:
                yield name, kind

    def external(self, path: bytes) -> Verdict | None:
        """What a rule says of a file that somebody else changed; None when nothing does."""
        kind = self.kind(path)
        if kind is None:
            return None
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            # As git would bring it: what others committed at this path does not count.
            found, _ = self.judge_open(fd, path, kind, _NOBODY, git_tool=True, landing=False)
        finally:
            os.close(fd)
        if self.standing is not None:
            self.standing.theirs(path, found.event.now if found is not None else NOTHING_FOUND)
        if found is None:
            return None
        self._lead(found)
        if not found.verdict.matches:
            return None
        self.take_as_theirs(path, found.event.now)
        return found.verdict

    def _lead(self, found: Judgement) -> None:
        """From now on the file leads where this version does; half a text tells nothing."""
        if self.graphs and (found.event.whole or not found.event.now.pending):
            self.graphs.put(found.event.target.path, found.event.now.references)

    def take_as_theirs(self, path: bytes, found: Findings) -> None:
        """Somebody else broke a rule there: let be in the file, and not taken up by a commit."""
        self.theirs.add(path)
        if self.standing is not None:
            self.standing.theirs(path, found)
        self.tolerated.said(path, found)

    # -- judging --------------------------------------------------------------------------------------------------

    def judge_open(
        self, fd: int, path: bytes, kind: str, actor: Actor, *, git_tool: bool, landing: bool, source: bytes = b""
    ) -> tuple[Judgement | None, bytes | None]:
        """Judge what an open descriptor leads to as the file at ``path``; ``source``: where it is going to move from.
        The judgement (None: nothing in it concerns a rule) and the bytes that were judged."""
        content, identity = read_whole(fd)
        target = Target(path, Kind.FILE, identity.dev, identity.ino)
        found = self.judge_bytes(
            content, target, kind, actor, identity, git_tool=git_tool, landing=landing, source=source
        )
        self._note_passed(path, content, found)
        return found, content

    def _note_passed(self, path: bytes, content: bytes | None, found: Judgement | None) -> None:
        if content is not None and (found is None or not found.verdict.blocks):
            if len(self._passed) >= _MOST_PASSED:
                self._passed.clear()
            self._passed.add((path, blob_id(content)))

    def has_passed(self, path: bytes, blob: str) -> bool:
        """Whether this version of the file was judged before and broke nothing."""
        return (path, blob) in self._passed and path not in self.theirs

    def judge_bytes(
        self,
        content: bytes | None,
        target: Target,
        kind: str,
        actor: Actor,
        identity: Identity,
        *,
        git_tool: bool,
        whole: bool = True,
        landing: bool = False,
        commit: str = "",
        source: bytes = b"",
    ) -> Judgement | None:
        """Judge one version of the file at ``target.path``; ``content`` None: it is too large to be read. None: nothing
        in it concerns a rule. While it is being written (``whole`` False) a text that does not parse may still become
        something else."""
        tools, path = self._tools, target.path
        taken = self.tolerated.moving(source, path) if source else NOTHING_FOUND
        concerns = content is None or tools.looks.may_concern(kind, path, content)
        if not concerns and (self.standing is None or commit or not self.standing.waits(path)):
            return None
        now = self.inspect(kind, path, content) if concerns else NOTHING_FOUND
        if not whole and now.pending:
            now = Findings(pending=now.pending)
        # What somebody else has just broken is theirs, but a commit of the run does not take it up.
        ours = not (commit and path in self.theirs)
        before = (self.tolerated.base(path) if ours else NOTHING_FOUND).joined(taken)
        event = ContentEvent(actor, target, now, before, self.tolerated.prior(path), whole, landing, commit)
        state = self.graphs.state(path)
        if self.standing is not None and not commit:
            state = self.standing.state(state, path, content, identity)
        verdict = decide(self._policy, state, event)
        if verdict.matches:
            event, verdict = self.tolerated.excused(
                event, verdict, lambda each: decide(self._policy, state, each), kind, content,
                source=source, git_tool=git_tool, ours=ours,
            )  # fmt: skip
        return Judgement(event, verdict, kind, content or b"", identity)

    def inspect(self, kind: str, path: bytes, content: bytes | None) -> Findings:
        """What a version says."""
        if (content is None or len(content) > MOST_TEXT) and kind in (SCRIPT, TEXT):
            return NOTHING_FOUND
        if content is None:
            return Findings(refusal=f"it is larger than {MOST >> 20} MiB")
        found = self._tools.inspector.inspect(kind, path, content)
        if found.refusal:
            return found._replace(digest=hashlib.sha1(content, usedforsecurity=False).digest())
        return found
