"""Putting a path back to its accepted version, exactly, while everybody goes on working.

The wanted thing is built in the staging folder and exchanged with the target in one step; the rejected one goes to
quarantine as the inode it is. Nothing is ever written in place: a descriptor that the run still holds would write into
the restored file. Where staging lies on another file system, a ``.govrun-<random>`` beside the target stands in.

Kills are harmless by ``staging.jsonl`` and ``recover``. Power loss is not covered: nothing is synced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.enforce import staging
from supervisor.enforce.exchange import Came, Judged, finish, swap_in, take_out
from supervisor.enforce.quarantine import Quarantine
from supervisor.enforce.staging import Intent, Intents, Spot, identity_of
from supervisor.kernel import libc
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import Identity, Version

_BENEATH = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_SYMLINKS
_PARENT_MODE = 0o755
_Ours = Callable[[os.stat_result], bool]


class Reverted(NamedTuple):
    """What became of one path.

    ``outcome``: ``restored``, ``removed``, ``replaced``; ``external`` (somebody else changed it, untouched), ``gone``
    (nothing is there any more), ``failed`` (untouched, ``detail`` says why). ``now``: what this call put there; a later
    event about this very inode is our own echo. ``quarantined``: where the displaced version is.
    ``detail``: what could not be made alike, or the error.
    """

    outcome: str
    now: Identity | None = None
    quarantined: bytes = b""
    detail: str = ""


class Reverter:
    """``staging_folder`` and ``quarantine`` lie in the run's folder (made 0700); nothing is touched outside ``tree``, a
    canonical folder. ``known`` tells the accepted version of a folder that has to be made again; ``acted`` is told of
    each path first.

    Raises ``OSError``.
    """

    def __init__(
        self,
        staging_folder: Path,
        quarantine: Path,
        tree: bytes,
        known: Callable[[bytes], Version | None] = lambda _path: None,
        acted: Callable[[bytes], None] = lambda _path: None,
    ) -> None:
        self._tree = tree.rstrip(b"/")
        self._known, self._acted = known, acted
        self._staging_path = os.fsencode(staging_folder)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        with contextlib.ExitStack() as opened:
            staging_folder.mkdir(mode=0o700, exist_ok=True)
            self._root = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, self._root)
            self._staging = os.open(staging_folder, flags | os.O_NOFOLLOW)
            opened.callback(os.close, self._staging)
            self._intents = Intents(staging_folder)
            opened.callback(self._intents.close)
            self.quarantine = Quarantine(quarantine)
            opened.callback(self.quarantine.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Release the descriptors."""
        self._opened.close()

    # -- the three acts -----------------------------------------------------------------------------------------

    def restore(
        self, path: bytes, want: Version, content: bytes | int, judged: Identity | None, ours: _Ours
    ) -> Reverted:
        """Put ``want`` at ``path``. ``content``: bytes of a file, or a descriptor to copy it from.

        ``judged``: what was found there and rejected; None when nothing was there: then only what ``ours`` calls the
        run's is displaced. Folders are restored without what was in them. Never raises ``OSError``.
        """
        judge = Judged(judged, ours)
        if want.kind is Kind.ABSENT:
            return self._at(path, judged is not None, lambda target: self._remove(target, judge))
        if want.kind not in staging.BUILT:
            return Reverted("failed", detail=f"a {want.kind.value} cannot be made again")
        return self._at(path, judged is not None, lambda target: self._restore(target, want, content, judge))

    def replace(
        self,
        path: bytes,
        content: bytes,
        judged: Identity | None,
        ours: _Ours,
        links: tuple[bytes, ...] = (),
    ) -> Reverted:
        """Give the file at ``path`` other content; mode, owner, times and attributes stay. ``links``: its other names.
        Never raises ``OSError``."""
        return self._at(path, True, lambda target: self._replace(target, content, Judged(judged, ours), links))

    def restore_all(
        self,
        wanted: Mapping[bytes, Version],
        content: Callable[[Version], bytes | int],
        judged: Callable[[bytes], Identity | None],
        ours: _Ours,
    ) -> dict[bytes, Reverted]:
        """Restore many paths: folders first, then the rest, then the times of the folders, which filling them changed.

        The result of a folder is that of the last step that changed it.
        """
        done: dict[bytes, Reverted] = {}
        order = sorted(wanted, key=lambda path: (wanted[path].kind is not Kind.DIR, path))
        for path in order:
            want = wanted[path]
            source = content(want) if want.kind is Kind.FILE else b""
            done[path] = self.restore(path, want, source, judged(path), ours)
        for path in sorted((p for p in wanted if wanted[p].kind is Kind.DIR), reverse=True):
            now = done[path].now
            if done[path].outcome == "restored" and now is not None:
                again = self.restore(path, wanted[path], b"", now, ours)
                done[path] = again._replace(quarantined=done[path].quarantined)
        return done

    # -- reaching the target ------------------------------------------------------------------------------------

    def _at(self, path: bytes, judged: bool, act: Callable[[Spot], Reverted]) -> Reverted:
        self._acted(path)
        try:
            folder = self._parent(path, make=not judged)
        except (FileNotFoundError, NotADirectoryError) as error:
            if judged and error.errno == errno.ENOENT:
                return Reverted("gone")
            return _failed(error)
        except OSError as error:
            return _failed(error)
        try:
            return act(Spot(folder, os.path.basename(path), path))
        except OSError as error:
            return _failed(error)
        finally:
            os.close(folder)

    def _parent(self, path: bytes, *, make: bool) -> int:
        """The folder that holds ``path``, reached from the tree's own descriptor without following any link."""
        below = path[len(self._tree) + 1 :]
        parts = below.split(b"/")
        if not path.startswith(self._tree + b"/") or any(part in (b"", b".", b"..") for part in parts):
            raise OSError(errno.EXDEV, "it lies outside the tree")
        folder = os.path.dirname(below) or b"."
        flags = os.O_PATH | os.O_DIRECTORY
        try:
            return libc.openat2(self._root, folder, flags, 0, _BENEATH)
        except FileNotFoundError:
            if not make:
                raise
        parent = os.path.dirname(path)
        want = self._known(parent)
        if want is None or want.kind is not Kind.DIR:
            want = Version(Kind.DIR, _PARENT_MODE, os.geteuid(), os.getegid())
            info = os.fstat(self._root)
            want = want._replace(atime_ns=info.st_atime_ns, mtime_ns=info.st_mtime_ns)
        made = self.restore(parent, want, b"", None, lambda _info: False)
        if made.outcome == "failed":
            raise OSError(errno.ENOENT, f"its folder cannot be made again: {made.detail}")
        return libc.openat2(self._root, folder, flags, 0, _BENEATH)

    @contextlib.contextmanager
    def _staged(self, target: Spot) -> Iterator[list[Spot]]:
        """Names where something can be built and then renamed to the target: in staging when it seems to be the same
        file system (a bind mount shows at the rename only), else beside it."""
        name = staging.temporary()
        beside = Spot(target.folder, name, os.path.dirname(target.path) + b"/" + name)
        inside = Spot(self._staging, name, self._staging_path + b"/" + name)
        near = os.fstat(target.folder).st_dev == os.fstat(self._staging).st_dev
        yield [inside, beside] if near else [beside]

    def _bring(
        self, target: Spot, judge: Judged, outcome: str, make: Callable[[Spot], tuple[tuple[str, ...], Identity | None]]
    ) -> Reverted:
        """Build with ``make`` and swap it in. ``make`` returns notes and what size and time the result must show."""
        with self._staged(target) as places:
            for at, place in enumerate(places):
                try:
                    return self._bring_from(place, target, judge, outcome, make)
                except OSError as error:
                    if error.errno != errno.EXDEV or at + 1 == len(places):
                        raise
        raise AssertionError("there is always a place")

    def _bring_from(
        self,
        place: Spot,
        target: Spot,
        judge: Judged,
        outcome: str,
        make: Callable[[Spot], tuple[tuple[str, ...], Identity | None]],
    ) -> Reverted:
        number = self._intents.next()
        last = Intent(number, place.path, target.path, made=True)
        if place.folder == target.folder:
            self._bounded(target)
            self._intents.note(last)  # nothing else would tell that this name in the tree is ours
        try:
            notes, built = make(place)
        except OSError:
            self._unused(place, number)
            raise

        def intend(own: Identity, out: Identity | None) -> None:
            nonlocal last
            last = Intent(number, place.path, target.path, own, out)
            self._intents.note(last)

        try:
            came = swap_in(place, target, judge, intend)
        except OSError as error:
            came = self._broken(last, place, target, error)
        if came.how == "in" and not came.held:
            self._intents.done(number)
        elif not came.held:
            self._unused(place, number)
        quarantined = self._keep(place, target, came, number)
        now = self._now(target, built)
        return _told(came, outcome, now, quarantined, notes)

    def _broken(self, last: Intent, place: Spot, target: Spot, error: OSError) -> Came:
        """A step of the swap failed: find out on which side of it we are, as ``recover`` would."""
        if last.made:
            self._unused(place, last.number)
            raise error
        there = place.look()
        if there is not None and last.own is not None and staging.same(there, last.own):
            # Not swapped, or swapped and put back: every rename changes ctime, a failed one does not.
            if identity_of(there) == last.own:
                self._unused(place, last.number)
            else:
                self.quarantine.take(place, target.path, own=True)
                self._intents.done(last.number)
            raise error
        if there is None:
            return Came("in")  # moved to a free name
        if last.out is not None and staging.same(there, last.out):
            return Came("in", held=True)
        finish(last, place, target, self.quarantine)
        self._intents.done(last.number)
        return Came("external")

    def _keep(self, place: Spot, target: Spot, came: Came, number: int) -> bytes:
        """Bring what was displaced into quarantine. If that fails it stays in staging, and ``recover`` does it."""
        if not came.held:
            return b""
        try:
            kept = self.quarantine.take(place, target.path, own=came.own)
        except FileNotFoundError:
            kept = b""
        except OSError:
            return place.path
        self._intents.done(number)
        return kept

    def _unused(self, place: Spot, number: int) -> None:
        if staging.remove_built(place):
            self._intents.done(number)

    def _bounded(self, target: Spot) -> None:
        info = target.look()
        if info is not None and self.quarantine.too_large(target, info):
            raise OSError(errno.EFBIG, "it is larger than the quarantine, which is on another file system")

    @staticmethod
    def _now(target: Spot, built: Identity | None) -> Identity | None:
        """What was put there, with size and time as built: if somebody wrote to it since, it must not match."""
        try:
            info = target.look()
        except OSError:
            return None
        if info is None or built is None:
            return None
        return built._replace(ctime_ns=info.st_ctime_ns) if staging.same(info, built) else built

    # -- restoring ----------------------------------------------------------------------------------------------

    def _restore(self, target: Spot, want: Version, content: bytes | int, judge: Judged) -> Reverted:
        there = target.look()
        if there is None and judge.identity is not None:
            return Reverted("gone")
        if there is not None:
            fresh = judge.identity is None or not staging.same(there, judge.identity)
            if (
                want.kind is Kind.DIR
                and stat.S_ISDIR(there.st_mode)
                and not (fresh and staging.alike(target, want, b""))
            ):
                return self._dress_folder(target, want, there, judge)
            if fresh and staging.alike(target, want, content):
                return Reverted("restored", identity_of(there), detail="it was there already")
            if not judge.accepts(there):
                return Reverted("external")

        def make(place: Spot) -> tuple[tuple[str, ...], Identity | None]:
            notes = () if self._link_group(place, want, content, judge) else staging.build(place, want, content)
            info = place.look()
            return notes, identity_of(info) if info is not None else None

        done = self._bring(target, judge, "restored", make)
        if done.outcome == "restored" and want.links and there is not None:
            done = self._relink(target, want.links, there, done)
        return done

    def _dress_folder(self, target: Spot, want: Version, there: os.stat_result, judge: Judged) -> Reverted:
        """A folder that is there gets its attributes back in place: what is in it stays."""
        if not judge.accepts(there):
            return Reverted("external")
        handle = staging.pin(target)
        try:
            if not staging.same(os.fstat(handle), identity_of(there)):
                return Reverted("external")
            notes = staging.dress(handle, want)
            return Reverted("restored", identity_of(os.fstat(handle)), detail="; ".join(notes))
        finally:
            os.close(handle)

    def _link_group(self, place: Spot, want: Version, content: bytes | int, judge: Judged) -> bool:
        """Where another known name still holds the wanted version, a link to it keeps the group together."""
        for other in want.links if want.kind is Kind.FILE else ():
            try:
                folder = self._parent(other, make=False)
            except OSError:
                continue
            try:
                # First without linking: that would change the ctime of a rejected inode, which was judged by it.
                if not staging.alike(Spot(folder, os.path.basename(other), other), want, content):
                    continue
                libc.linkat(folder, os.path.basename(other), place.folder, place.name, 0)
                info = place.look()
                if info is not None and staging.alike(place, want, content) and not judge.ours(info):
                    return True
                staging.remove_built(place)
            except OSError:
                continue
            finally:
                os.close(folder)
        return False

    def _relink(self, target: Spot, links: tuple[bytes, ...], out: os.stat_result, done: Reverted) -> Reverted:
        """The other names that still lead to the displaced inode get the restored one."""
        notes = [done.detail] if done.detail else []
        judge = Judged(identity_of(out), lambda _info: False, by_inode=True)

        def make(place: Spot) -> tuple[tuple[str, ...], Identity | None]:
            libc.linkat(target.folder, target.name, place.folder, place.name, 0)
            info = place.look()
            if info is None or done.now is None or not staging.same(info, done.now):
                staging.remove_built(place)
                raise OSError(errno.ESTALE, "the restored file was replaced meanwhile")
            return (), identity_of(info)

        for other in links:
            if other == target.path:
                continue
            again = self._at(other, True, lambda spot: self._bring(spot, judge, "restored", make))
            if again.outcome != "restored":
                words = f"{again.outcome} {again.detail}".strip()
                notes.append(f"other name {other.decode('utf-8', 'backslashreplace')}: {words}")
        now = self._now(target, done.now)
        return done._replace(now=now, detail="; ".join(notes))

    # -- removing and replacing ---------------------------------------------------------------------------------

    def _remove(self, target: Spot, judge: Judged) -> Reverted:
        with self._staged(target) as places:
            for at, place in enumerate(places):
                if place.folder == target.folder:
                    self._bounded(target)
                number = self._intents.next()
                last = Intent(number, place.path, target.path)

                def intend(out: Identity, number: int = number, place: Spot = place) -> None:
                    nonlocal last
                    last = Intent(number, place.path, target.path, None, out)
                    self._intents.note(last)

                try:
                    came = take_out(place, target, judge, intend)
                except OSError as error:
                    there = place.look()
                    if there is None:
                        self._intents.done(number)
                        if error.errno == errno.EXDEV and at + 1 < len(places):
                            continue
                        raise
                    came = Came("in" if last.out is not None and staging.same(there, last.out) else "external", True)
                quarantined = self._keep(place, target, came, number)
                if not came.held:
                    self._intents.done(number)
                return _told(came, "removed", None, quarantined, ())
        raise AssertionError("there is always a place")

    def _replace(self, target: Spot, content: bytes, judge: Judged, links: tuple[bytes, ...]) -> Reverted:
        there = target.look()
        if there is None:
            return Reverted("gone")
        if not stat.S_ISREG(there.st_mode):
            return Reverted("failed", detail="it is not a regular file")
        if not judge.accepts(there):
            return Reverted("external")
        handle = staging.pin(target)
        try:
            info = os.fstat(handle)
            xattrs = tuple(staging.xattrs_of(b"/proc/self/fd/%d" % handle).items())
        finally:
            os.close(handle)
        mode = stat.S_IMODE(info.st_mode)
        times = info.st_atime_ns, info.st_mtime_ns
        want = Version(Kind.FILE, mode, info.st_uid, info.st_gid, *times, xattrs, size=len(content))

        def make(place: Spot) -> tuple[tuple[str, ...], Identity | None]:
            notes = staging.build(place, want, content)
            built = place.look()
            return notes, identity_of(built) if built is not None else None

        done = self._bring(target, judge, "replaced", make)
        return self._relink(target, links, info, done) if links and done.outcome == "replaced" else done


def _told(came: Came, outcome: str, now: Identity | None, quarantined: bytes, notes: tuple[str, ...]) -> Reverted:
    if came.how == "in":
        return Reverted(outcome, now, quarantined, "; ".join(notes))
    if came.how == "busy":
        return Reverted("failed", detail="it is replaced faster than it can be looked at")
    return Reverted(came.how, None, quarantined)


def _failed(error: OSError) -> Reverted:
    return Reverted("failed", detail=error.strerror or str(error))
