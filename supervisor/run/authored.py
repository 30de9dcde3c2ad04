"""Files that the run made or changed, by inode, and which of them a program that starts would execute.

Every way to write to a file, to give it a name or to make it executable is a call that the supervisor performs, so the
record is whole. It is bounded: once it is full, whatever lies where the run may write counts as the run's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from supervisor.commands.wrappers import loaded
from supervisor.invariants.places import WRITABLE, Zone, locate
from supervisor.invariants.policy import CompiledPolicy
from supervisor.invariants.tools import may_run
from supervisor.surfaces.contents import plain_content, told_by_kernel
from supervisor.surfaces.ownlinks import own_link
from supervisor.vocabulary.events import ExecEvent, FsEvent, FsOp, Kind, Target

if TYPE_CHECKING:
    from supervisor.run.prior import Prior

_MOST = 200_000  # inodes
_MOST_LINKED = 10_000
_MOST_RESTORED = 10_000
_MOST_ASKED = 64  # searches of the history: each may take a while
_LARGEST = 2 << 20
_GONE = b" (deleted)"
# Options of a loader whose value names no file that is loaded (ld.so(8)).
_NO_FILE = frozenset((b"--argv0", b"--inhibit-rpath", b"--glibc-hwcaps-prepend", b"--glibc-hwcaps-mask"))
_Inode = tuple[int, int]


class Authored:
    """``given``: files that were handed in open for writing: what comes into them is the run's."""

    def __init__(self, given: Iterable[_Inode]) -> None:
        self._inodes = set(given)
        self._linked: set[_Inode] = set()
        self._restored: set[bytes] = set()  # names at which govrun put something back
        self._full = False
        self._asked = 0

    # -- what the run does ----------------------------------------------------------------------------------------

    def landed(self, event: FsEvent) -> None:
        """An act of the run was done."""
        target, other = event.target, event.other
        if event.op is FsOp.UNLINK:
            self._removed(target)
            return
        if event.op in (FsOp.RENAME, FsOp.LINK, FsOp.META) and target.ino:
            self._add((target.dev, target.ino))
            if event.op is FsOp.LINK:
                self._further_name((target.dev, target.ino))
        if other is not None and event.op is FsOp.RENAME and not event.exchange:
            self._removed(other)
        for each in (target, other):
            if each is not None:
                self._note(each.path)

    def put_back(self, path: bytes) -> None:
        """Govrun puts a version there that the run may have written: it comes with an inode of its own."""
        if len(self._restored) >= _MOST_RESTORED:
            self._full = True
        else:
            self._restored.add(path)

    def _note(self, path: bytes) -> None:
        try:
            info = os.lstat(path)
        except OSError:
            return
        if stat.S_ISREG(info.st_mode):
            self._add((info.st_dev, info.st_ino))

    def _add(self, inode: _Inode) -> None:
        if len(self._inodes) >= _MOST:
            self._full = True
        else:
            self._inodes.add(inode)

    def _further_name(self, inode: _Inode) -> None:
        """A link may be made while a name is being removed by a helper: such an inode is never forgotten."""
        if len(self._linked) >= _MOST_LINKED:
            self._full = True
        else:
            self._linked.add(inode)

    def _removed(self, target: Target) -> None:
        """The last name of a file is gone: the number may come to stand for another file."""
        inode = (target.dev, target.ino)
        if target.nlink == 1 and target.kind is Kind.FILE and inode not in self._linked:
            self._inodes.discard(inode)

    # -- what is executed -----------------------------------------------------------------------------------------

    def of(self, policy: CompiledPolicy, event: ExecEvent, pid: int, prior: Callable[[], Prior | None]) -> ExecEvent:
        """The event with what of the run's making it would execute. ``prior``: what other people committed, which is
        theirs also where git has just brought it. OSError: the process is gone."""
        found = dict.fromkeys(self._executed(policy, event, pid))
        mine = tuple(path for path in found if may_run(policy, path) or not self._is_theirs(policy, path, prior))
        return event._replace(authored=mine) if mine else event

    def is_mine(self, policy: CompiledPolicy, path: bytes, prior: Callable[[], Prior | None]) -> bool:
        """Whether the run made or changed what lies there, or is the only one who could make it."""
        own = self._is_own(policy, path) or (_inode(path) is None and locate(policy, path).zone in WRITABLE)
        return own and (may_run(policy, path) or not self._is_theirs(policy, path, prior))

    def _executed(self, policy: CompiledPolicy, event: ExecEvent, pid: int) -> Iterator[bytes]:
        target, image, argv = event.target, event.target.path, event.argv
        if (target.dev, target.ino) in self._inodes or self._is_own(policy, target.path):
            yield target.path
        if event.stage == "stop":
            # Interpreters are loaded by the kernel in the same exec, that of a script and that of an image (execve(2)).
            for path in _mapped(pid):
                if _inode(path) is None or self._is_own(policy, path):
                    yield path
            for word in event.chain:
                if self._is_own(policy, at := _named(word, event.cwd, pid)):
                    yield os.path.normpath(at)
            if event.chain:
                image, argv = os.readlink(b"/proc/%d/exe" % pid), (*event.chain, event.given, *event.argv[1:])
        for word in _loads(argv, image):
            yield from self._replaceable(policy, _named(word, event.cwd, pid))

    def _is_own(self, policy: CompiledPolicy, path: bytes) -> bool:
        return path.endswith(_GONE) or _inode(path) in self._inodes or self._counts(policy, path)

    def _counts(self, policy: CompiledPolicy, path: bytes) -> bool:
        return path in self._restored or (self._full and locate(policy, path).zone in WRITABLE)

    def _replaceable(self, policy: CompiledPolicy, path: bytes) -> Iterator[bytes]:
        """A loader opens its files when it runs: nothing that was looked at before would have to be there by then."""
        for each in dict.fromkeys((os.path.normpath(path), os.path.realpath(path))):
            if self._is_own(policy, each) or locate(policy, each).zone in WRITABLE:
                yield each

    def _is_theirs(self, policy: CompiledPolicy, path: bytes, prior: Callable[[], Prior | None]) -> bool:
        place = locate(policy, path)
        if place.zone is not Zone.TREE or self._asked >= _MOST_ASKED or (known := prior()) is None:
            return False
        content = plain_content(path, _LARGEST)
        if not content or len(content) >= _LARGEST:
            return False
        self._asked += 1
        return known.has(place.relative, content)


def _loads(argv: tuple[bytes, ...], image: bytes) -> Iterator[bytes]:
    """The files that a dynamic loader is told to load: the program, and what its options name."""
    inner = loaded(argv, image)
    if not inner:
        return
    before = argv[1 : len(argv) - len(inner)]
    for at, word in enumerate(before):
        if at and before[at - 1] in _NO_FILE:
            continue
        yield from (each for each in word.replace(b":", b" ").split() if b"/" in each)
    yield inner[0]


def _named(word: bytes, cwd: bytes, pid: int) -> bytes:
    """The path that a word stands for in the process, links of its own in ``/proc`` followed."""
    link = own_link(word, pid, pid)
    if link is not None and link.entry:
        try:
            return os.readlink(link.entry) + link.rest
        except OSError:
            return word
    return os.path.join(cwd, word)


def _mapped(pid: int) -> tuple[bytes, ...]:
    """The files that an image consists of, at its exec stop: the program and its interpreter (proc(5), maps)."""
    lines = told_by_kernel(f"/proc/{pid}/maps", 1 << 16).splitlines()
    return tuple(dict.fromkeys(line[at:] for line in lines if (at := line.find(b"/")) >= 0))


def _inode(path: bytes) -> _Inode | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
