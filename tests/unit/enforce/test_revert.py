"""Reverting one path: exact, of any kind into any kind, and never over somebody else's change."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.enforce import quarantine as quarantine_module
from supervisor.enforce import revert, staging
from supervisor.enforce.quarantine import Quarantine, discard
from supervisor.enforce.recover import recover
from supervisor.enforce.revert import Reverter
from supervisor.enforce.staging import Spot, identity_of
from supervisor.trees.accepted import Accepted
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import ABSENT, Identity, Version

OLD, NEW = b"accepted\n" * 50, b"rejected\n" * 60
NAMES = [b"plain", b"caf\xe9", b"two\nlines", b"n" * 255, b"%41", b"-rf", b".hidden", "é\u202e".encode()]


class World:
    """A tree, a run's folder, the store and the reverter over them."""

    def __init__(self, base: Path) -> None:
        self.tree = base / "tree"
        self.run = base / "run"
        self.tree.mkdir()
        self.run.mkdir(mode=0o700)
        self.store = Accepted(self.run)
        self.reverter = Reverter(self.run / "staging", self.run / "quarantine", bytes(self.tree), self.store.latest)

    def keep(self, path: bytes, links: tuple[bytes, ...] = ()) -> Version:
        info = os.lstat(path)
        if stat.S_ISREG(info.st_mode):
            with opened(path, os.O_RDONLY | os.O_NOATIME) as fd:
                return self.store.keep(path, fd, links)
        with opened(path, os.O_PATH | os.O_NOFOLLOW) as fd:
            return self.store.keep_link(path, fd) if stat.S_ISLNK(info.st_mode) else self.store.keep(path, fd)

    def restore(self, path: bytes, want: Version, judged: Identity | None = None, ours=lambda _: False):
        return self.reverter.restore(path, want, self.store.source(want), judged, ours)

    def entries(self) -> list[dict]:
        lines = (self.run / "quarantine" / "index.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def clean(self) -> bool:
        """Nothing of ours lies in the tree or in staging."""
        names = [name for _, folders, files in os.walk(self.tree) for name in (*folders, *files)]
        return not any(n.startswith(".govrun-") for n in names) and os.listdir(self.run / "staging") == [
            "staging.jsonl"
        ]


@contextlib.contextmanager
def opened(path: bytes, flags: int) -> Iterator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.reverter.close()
    made.store.close()
    for folder, _, _ in os.walk(tmp_path):
        os.chmod(folder, 0o700)


def judged(path: bytes) -> Identity:
    return identity_of(os.lstat(path))


def make(path: bytes, kind: str) -> None:
    match kind:
        case "file":
            with open(path, "wb") as file:
                file.write(OLD)
        case "empty":
            open(path, "wb").close()
        case "dir":
            os.mkdir(path)
        case "full":
            os.makedirs(path + b"/a/b")
            Path(os.fsdecode(path + b"/a/f")).write_bytes(OLD)
        case "link":
            os.symlink(b"to/nowhere\xff", path)
        case "fifo":
            os.mkfifo(path)
        case "socket":
            # The name may be too long for sun_path: bound by a short one, then renamed.
            with socket.socket(socket.AF_UNIX) as sock, contextlib.chdir(os.path.dirname(path)):
                sock.bind("s")
                os.rename("s", path)


def picture(path: bytes) -> tuple:
    """Everything of a path that is to come back."""
    info = os.lstat(path)
    attributes = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(
        os.listxattr(path, follow_symlinks=False)
    ))  # fmt: skip
    content: bytes = b""
    if stat.S_ISREG(info.st_mode):
        with opened(path, os.O_RDONLY | os.O_NOATIME) as fd:
            content = os.pread(fd, 1 << 24, 0)
    elif stat.S_ISLNK(info.st_mode):
        content = os.readlink(path)
    return info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, info.st_atime_ns, attributes, content


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_file_comes_back(world: World, name: bytes) -> None:
    path = bytes(world.tree) + b"/" + name
    make(path, "file")
    os.chmod(path, 0o750)
    os.setxattr(path, b"user.note", b"\0\xff")
    os.utime(path, ns=(1_600_000_000_123_456_789, 1_500_000_000_987_654_321))
    want, before = world.keep(path), picture(path)
    with open(path, "wb") as file:
        file.write(NEW)
    os.chmod(path, 0o644)
    os.removexattr(path, b"user.note")
    os.setxattr(path, b"user.other", b"1")
    ino = os.lstat(path).st_ino
    done = world.restore(path, want, judged(path))
    assert (done.outcome, done.detail) == ("restored", "")
    assert picture(path) == before
    assert done.now == identity_of(os.lstat(path))
    kept = os.lstat(done.quarantined)
    assert kept.st_ino == ino and Path(os.fsdecode(done.quarantined)).read_bytes() == NEW
    [entry] = world.entries()
    assert entry["path"].encode("utf-8", "surrogateescape") == path and entry["identity"][1] == ino
    assert entry["blob"] == subprocess.run(
        ["git", "hash-object", "--no-filters", done.quarantined], capture_output=True, text=True
    ).stdout.strip()  # fmt: skip
    assert world.clean()


def remove(world: World, path: bytes) -> None:
    with opened(bytes(world.tree), os.O_RDONLY) as fd:
        discard(Spot(fd, os.path.basename(path), path))


KINDS = ["file", "empty", "dir", "full", "link", "fifo", "socket", "absent"]


@pytest.mark.parametrize("there", KINDS)
@pytest.mark.parametrize("wanted", ["file", "empty", "dir", "link", "fifo", "absent"])
def test_any_kind_becomes_any_other(world: World, wanted: str, there: str) -> None:
    path = bytes(world.tree) + b"/x"
    want, before = ABSENT, None
    if wanted != "absent":
        make(path, wanted)
        if wanted != "link":
            os.chmod(path, 0o500)
        os.utime(path, ns=(5, 1_400_000_000_000_000_007), follow_symlinks=False)
        want, before = world.keep(path), picture(path)
        if there != wanted:
            remove(world, path)
    if there != wanted and there != "absent":
        make(path, there)
    was = judged(path) if os.path.lexists(path) else None
    done = world.restore(path, want, was)
    expected = {"absent": "removed"}.get(wanted, "restored")
    assert done.outcome == ("gone" if wanted == there == "absent" else expected), done
    assert (picture(path) if os.path.lexists(path) else None) == before
    folders = wanted == "dir" and there in ("dir", "full")  # attributes go back in place
    assert bool(done.quarantined) == (there != "absent" and not folders)
    if done.quarantined and was is not None:
        assert os.lstat(done.quarantined).st_ino == was.ino
    assert world.clean()


def test_a_folder_keeps_what_is_in_it(world: World) -> None:
    path = bytes(world.tree) + b"/d"
    make(path, "full")
    os.chmod(path, 0o711)
    want = world.keep(path)
    os.chmod(path, 0o777)
    os.setxattr(path, b"user.x", b"1")
    done = world.restore(path, want, judged(path))
    assert done.outcome == "restored" and picture(path)[0] == stat.S_IFDIR | 0o711
    assert os.listxattr(path) == [] and os.path.exists(path + b"/a/f")


def test_a_package_folder_leaves_whole(world: World) -> None:
    path = bytes(world.tree) + b"/lodash"
    make(path, "full")
    os.chmod(path + b"/a", 0)
    os.chmod(path, 0o555)
    was = judged(path)
    done = world.restore(path, ABSENT, was)
    assert done.outcome == "removed" and not os.path.lexists(path)
    kept = os.lstat(done.quarantined)
    assert (kept.st_ino, stat.S_IMODE(kept.st_mode)) == (was.ino, 0o555)
    assert world.entries()[0]["kind"] == "d"


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="needs setfacl")
def test_acls_come_back(world: World) -> None:
    path = bytes(world.tree) + b"/f"
    make(path, "file")
    for rule in ("u:1:r", "g:2:rw", "m::r"):
        if subprocess.run(["setfacl", "-m", rule, path], capture_output=True).returncode:
            pytest.skip("no ACLs here")
    want, before = world.keep(path), picture(path)
    subprocess.run(["setfacl", "-b", path], check=True)
    assert world.restore(path, want, judged(path)).outcome == "restored"
    assert picture(path) == before and before[5][0][0] == "system.posix_acl_access"
    subprocess.run(["setfacl", "-m", "u:5:rwx", path], check=True)
    assert world.restore(path, want._replace(xattrs=(), mode=0o600), judged(path)).outcome == "restored"
    assert os.listxattr(path) == [] and stat.S_IMODE(os.lstat(path).st_mode) == 0o600


def test_a_default_acl_of_the_parent_adds_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bytes(world.tree) + b"/f"
    make(path, "file")
    os.chmod(path, 0o600)
    want, before = world.keep(path), picture(path)
    if shutil.which("setfacl") is None or subprocess.run(["setfacl", "-dm", "u:1:rwx", world.tree]).returncode:
        pytest.skip("no ACLs here")
    beside(world, monkeypatch)
    Path(os.fsdecode(path)).write_bytes(NEW)
    assert world.restore(path, want, judged(path)).outcome == "restored"
    assert picture(path) == before


@pytest.mark.needs("root")
def test_the_owner_comes_back(world: World) -> None:
    path = bytes(world.tree) + b"/f"
    make(path, "file")
    os.chown(path, 12, 34)
    os.chmod(path, 0o4755)
    want, before = world.keep(path), picture(path)
    os.unlink(path)
    make(path, "file")
    done = world.restore(path, want, judged(path))
    assert done.outcome == "restored" and picture(path) == before


@pytest.mark.needs("user")
def test_an_owner_that_cannot_be_set_is_told(world: World) -> None:
    path = bytes(world.tree) + b"/f"
    make(path, "file")
    want = world.keep(path)._replace(uid=0, mode=0o4755)
    Path(os.fsdecode(path)).write_bytes(NEW)
    done = world.restore(path, want, judged(path))
    assert done.outcome == "restored" and "owner 0:" in done.detail
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o755


# -- other names --------------------------------------------------------------------------------------------------


def group(world: World) -> tuple[bytes, bytes, bytes, Version]:
    a, b, c = (bytes(world.tree) + b"/" + name for name in (b"a", b"b", b"sub"))
    os.mkdir(c)
    c += b"/c"
    make(a, "file")
    os.link(a, b)
    os.link(a, c)
    return a, b, c, world.keep(a, links=(b, c))


def test_every_name_of_a_group_is_restored(world: World) -> None:
    a, b, c, want = group(world)
    with open(b, "r+b") as file:
        file.write(NEW)
    was = os.lstat(a).st_ino
    done = world.restore(a, want, judged(a))
    assert (done.outcome, done.detail) == ("restored", "")
    inodes = {os.lstat(path).st_ino for path in (a, b, c)}
    assert len(inodes) == 1 and os.lstat(a).st_nlink == 3 and inodes != {was}
    assert Path(os.fsdecode(c)).read_bytes() == OLD
    assert done.now == judged(a)
    kept = [os.lstat(world.run / "quarantine" / each["name"]) for each in world.entries()]
    assert [each.st_ino for each in kept] == [was] * 3 and kept[0].st_nlink == 3
    assert world.clean()


def test_a_broken_group_is_joined_again(world: World) -> None:
    a, b, c, want = group(world)
    os.unlink(a)
    make(a, "file")
    Path(os.fsdecode(a)).write_bytes(NEW)
    assert world.restore(a, want, judged(a)).outcome == "restored"
    assert len({os.lstat(path).st_ino for path in (a, b, c)}) == 1
    assert os.lstat(b).st_mtime_ns == want.mtime_ns


def test_another_name_that_became_somebody_elses_stays(world: World) -> None:
    a, b, c, want = group(world)
    with open(a, "r+b") as file:
        file.write(NEW)
    os.unlink(b)
    Path(os.fsdecode(b)).write_bytes(b"theirs")
    done = world.restore(a, want, judged(a))
    assert done.outcome == "restored" and "other name" in done.detail and "external" in done.detail
    assert Path(os.fsdecode(b)).read_bytes() == b"theirs"
    assert os.lstat(a).st_ino == os.lstat(c).st_ino


# -- whose change it was ------------------------------------------------------------------------------------------


def changed(world: World) -> tuple[bytes, Version, Identity]:
    path = bytes(world.tree) + b"/f"
    make(path, "file")
    want = world.keep(path)
    Path(os.fsdecode(path)).write_bytes(NEW)
    return path, want, judged(path)


def test_what_changed_since_it_was_judged_stays(world: World) -> None:
    path, want, was = changed(world)
    with open(path, "ab") as file:
        file.write(b"theirs")
    for version in (want, ABSENT):
        done = world.restore(path, version, was)
        assert done.outcome == "external" and Path(os.fsdecode(path)).read_bytes() == NEW + b"theirs"
    assert world.reverter.replace(path, b"x", was, lambda _: False).outcome == "external"
    assert os.lstat(path).st_ino == was.ino and world.clean()


def test_another_inode_stays(world: World) -> None:
    path, want, was = changed(world)
    os.rename(path, path + b".bak")
    Path(os.fsdecode(path)).write_bytes(NEW)
    assert world.restore(path, want, was).outcome == "external"
    assert world.restore(path, want, None).outcome == "external"
    assert Path(os.fsdecode(path)).read_bytes() == NEW


def test_what_a_writer_of_the_run_has_open_is_taken(world: World) -> None:
    path, want, was = changed(world)
    with open(path, "ab", 0) as file:
        file.write(b"more")
        done = world.restore(path, want, was, lambda info: info.st_ino == was.ino)
        assert done.outcome == "restored" and Path(os.fsdecode(path)).read_bytes() == OLD
        file.write(b"late")  # lands in quarantine, not in the restored file
    assert Path(os.fsdecode(done.quarantined)).read_bytes() == NEW + b"morelate"
    assert Path(os.fsdecode(path)).read_bytes() == OLD


@pytest.mark.parametrize("want_kind", ["file", "absent"])
@pytest.mark.parametrize("how", ["rename", "in place", "removed", "twice"])
def test_a_save_between_check_and_swap_goes_back(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str, want_kind: str
) -> None:
    path, want, was = changed(world)
    want = want if want_kind == "file" else ABSENT
    real, calls = staging.libc.renameat2, []

    def racing(olddir: int, old: bytes, newdir: int, new: bytes, flags: int) -> None:
        if b"f" in (old, new):
            calls.append(flags)
            number = len(calls)
            if number == 1 or (how == "twice" and number == 2):
                if how == "in place":
                    with open(path, "ab") as file:
                        file.write(b"theirs")
                else:
                    Path(os.fsdecode(path + b"~")).write_bytes(b"theirs %d" % number)
                    os.replace(path + b"~", path)
            if how == "removed" and number == 2 and os.path.lexists(path):
                os.unlink(path)
        real(olddir, old, newdir, new, flags)

    monkeypatch.setattr(staging.libc, "renameat2", racing)
    done = world.restore(path, want, was)
    assert done.outcome == "external", done
    kept = [(world.run / "quarantine" / each["name"]).read_bytes() for each in world.entries()]
    last = {"in place": NEW + b"theirs", "twice": b"theirs 2"}.get(how, b"theirs 1")
    if how == "removed" and want_kind == "file":
        assert not os.path.lexists(path) and last in kept
    else:
        assert Path(os.fsdecode(path)).read_bytes() == last
    assert how != "twice" or b"theirs 1" in kept  # older, and still not lost
    assert world.clean()


def test_a_write_to_the_restored_file_before_it_is_taken_back_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user saves by rename, we swap, the user saves in place into ours: that is their newest version."""
    path, want, was = changed(world)
    real, calls = staging.libc.renameat2, []

    def racing(olddir: int, old: bytes, newdir: int, new: bytes, flags: int) -> None:
        if b"f" in (old, new):
            calls.append(1)
            text = b"first" if len(calls) == 1 else b"second"
            if len(calls) == 1:
                os.unlink(path)
            if len(calls) < 3:
                Path(os.fsdecode(path)).write_bytes(text)
        real(olddir, old, newdir, new, flags)

    monkeypatch.setattr(staging.libc, "renameat2", racing)
    assert world.restore(path, want, was).outcome == "external"
    assert Path(os.fsdecode(path)).read_bytes() == b"second"
    assert [(world.run / "quarantine" / each["name"]).read_bytes() for each in world.entries()] == [b"first"]


def test_gone_is_gone(world: World) -> None:
    path, want, was = changed(world)
    os.unlink(path)
    assert world.restore(path, want, was).outcome == "gone"
    assert world.restore(path, ABSENT, was).outcome == "gone"
    assert world.restore(path, ABSENT, None).outcome == "gone"
    assert world.reverter.replace(path, b"", was, lambda _: False).outcome == "gone"
    assert world.restore(path + b"/below/it", want, was).outcome == "gone"
    assert not os.path.lexists(path) and world.clean()


def test_twice_is_once(world: World) -> None:
    path, want, was = changed(world)
    assert world.restore(path, want, was).outcome == "restored"
    ino = os.lstat(path).st_ino
    again = world.restore(path, want, was)
    assert again.outcome == "restored" and "already" in again.detail and os.lstat(path).st_ino == ino


# -- replacing ----------------------------------------------------------------------------------------------------


def test_replacing_keeps_all_but_the_content(world: World) -> None:
    path = bytes(world.tree) + b"/package.json"
    make(path, "file")
    os.chmod(path, 0o640)
    os.setxattr(path, b"user.k", b"v")
    os.link(path, path + b"2")
    before = picture(path)
    done = world.reverter.replace(path, b"one entry less", judged(path), lambda _: False, (path + b"2",))
    assert done.outcome == "replaced" and done.now == judged(path)
    assert picture(path) == (*before[:6], b"one entry less")
    assert os.lstat(path).st_nlink == 2 and Path(os.fsdecode(done.quarantined)).read_bytes() == OLD
    assert world.clean()


def test_only_files_are_replaced(world: World) -> None:
    path = bytes(world.tree) + b"/x"
    make(path, "link")
    assert world.reverter.replace(path, b"", judged(path), lambda _: True).outcome == "failed"


# -- where the target lies ------------------------------------------------------------------------------------------


def test_links_on_the_way_are_never_followed(world: World, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_bytes(b"theirs")
    (world.tree / "in").mkdir()
    for name, to in (("away", tmp_path / "outside"), ("home", world.tree / "in")):
        (world.tree / name).symlink_to(to)
        path = bytes(world.tree / name) + b"/f"
        want = Version(Kind.FILE, 0o644, os.geteuid(), os.getegid(), 1, 1, size=1)
        for done in (
            world.reverter.restore(path, want, b"x", None, lambda _: True),
            world.restore(path, ABSENT, None, lambda _: True),
        ):
            assert done.outcome == "failed" and done.detail
    assert (tmp_path / "outside/f").read_bytes() == b"theirs" and os.listdir(world.tree / "in") == []


@pytest.mark.parametrize("path", [b"/etc/passwd", b"T/../x", b"T", b"T/", b"Tx/f", b"T//f", b"T/./f", b"relative"])
def test_paths_that_are_not_beneath_the_tree(world: World, path: bytes) -> None:
    path = path.replace(b"T", bytes(world.tree))
    done = world.restore(path, ABSENT, None, lambda _: True)
    assert done.outcome == "failed" and "outside" in done.detail


def test_missing_folders_are_made_again(world: World) -> None:
    folder, deeper = bytes(world.tree) + b"/a", bytes(world.tree) + b"/a/b"
    os.makedirs(deeper)
    os.chmod(folder, 0o710)
    world.keep(folder)
    make(deeper + b"/f", "file")
    want, before = world.keep(deeper + b"/f"), picture(deeper + b"/f")
    shutil.rmtree(folder)
    assert world.restore(deeper + b"/f", want).outcome == "restored"
    assert picture(deeper + b"/f") == before
    assert stat.S_IMODE(os.lstat(folder).st_mode) == 0o710
    assert stat.S_IMODE(os.lstat(deeper).st_mode) == 0o755  # never kept


def test_a_deleted_tree_comes_back(world: World) -> None:
    top = bytes(world.tree) + b"/pkg"
    wanted: dict[bytes, Version] = {}
    for number in range(2000):
        folder = top + b"/d%02d" % (number % 50)
        os.makedirs(folder, exist_ok=True)
        path = folder + b"/f%d" % number
        with open(path, "wb") as file:
            file.write(b"%d\n" % number * (number % 90))
        os.chmod(path, 0o600 + number % 0o100)
    os.link(top + b"/d00/f0", top + b"/d01/linked")
    os.symlink("d00", top + b"/link")
    os.mkdir(top + b"/empty", 0o700)
    os.mkfifo(top + b"/pipe")
    os.setxattr(top + b"/d00/f50", b"user.k", b"v")
    groups = {top + b"/d00/f0": (top + b"/d01/linked",), top + b"/d01/linked": (top + b"/d00/f0",)}
    for folder, folders, files in os.walk(top, topdown=False):
        for path in [folder + b"/" + name for name in (*folders, *files)]:
            wanted[path] = world.keep(path, groups.get(path, ()))
    wanted[top] = world.keep(top)
    before = {path: (*picture(path)[:4], *picture(path)[5:]) for path in wanted}
    shutil.rmtree(top)
    done = world.reverter.restore_all(wanted, world.store.source, lambda _: None, lambda _: False)
    assert {each.outcome for each in done.values()} == {"restored"}
    assert {path: (*picture(path)[:4], *picture(path)[5:]) for path in wanted} == before
    found = {top, *(f + b"/" + n for f, d, n_ in os.walk(top) for n in (*d, *n_))}
    assert found == set(wanted)
    assert os.lstat(top + b"/d00/f0").st_nlink == 2
    assert world.clean()


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.needs("user")
def test_a_folder_that_may_not_be_written(world: World) -> None:
    folder = bytes(world.tree) + b"/d"
    os.mkdir(folder)
    path = folder + b"/f"
    make(path, "file")
    want = world.keep(path)
    Path(os.fsdecode(path)).write_bytes(NEW)
    os.chmod(folder, 0o555)
    for version in (want, ABSENT):
        done = world.restore(path, version, judged(path))
        assert (done.outcome, done.detail.split(": ")[-1]) == ("failed", os.strerror(errno.EACCES))
    assert Path(os.fsdecode(path)).read_bytes() == NEW and world.clean()


@pytest.mark.needs("root")
def test_an_immutable_file(world: World) -> None:
    path, want, _ = changed(world)
    if subprocess.run(["chattr", "+i", path], capture_output=True).returncode:
        pytest.skip("this file system has no such flag")
    try:
        for version in (want, ABSENT):
            done = world.restore(path, version, judged(path))
            assert done.outcome == "failed" and os.strerror(errno.EPERM) in done.detail
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    assert Path(os.fsdecode(path)).read_bytes() == NEW and world.clean()


@pytest.mark.parametrize("kind", [Kind.SOCKET, Kind.CHAR, Kind.BLOCK, Kind.OTHER])
def test_kinds_that_cannot_be_made(world: World, kind: Kind) -> None:
    path, _, was = changed(world)
    assert world.restore(path, Version(kind), was).outcome == "failed"


# -- another file system --------------------------------------------------------------------------------------------


def beside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if staging and quarantine lay on another file system: renames between the folders fail with EXDEV."""
    real = staging.libc.renameat2
    ours = os.stat(world.run / "staging").st_ino, os.stat(world.run / "quarantine").st_ino

    def apart(olddir: int, old: bytes, newdir: int, new: bytes, flags: int) -> None:
        sides = [os.fstat(fd).st_ino in ours for fd in (olddir, newdir)]
        if sides[0] != sides[1]:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(olddir, old, newdir, new, flags)

    monkeypatch.setattr(staging.libc, "renameat2", apart)


@pytest.mark.parametrize("there", ["file", "full", "link", "fifo", "socket", "absent"])
@pytest.mark.parametrize("wanted", ["file", "dir", "link", "absent"])
def test_across_file_systems(world: World, monkeypatch: pytest.MonkeyPatch, wanted: str, there: str) -> None:
    path = bytes(world.tree) + b"/x"
    want, before = ABSENT, None
    if wanted != "absent":
        make(path, wanted)
        want, before = world.keep(path), picture(path)
        remove(world, path)
    if there != "absent":
        make(path, there)
        if there == "full":
            os.chmod(path + b"/a/f", 0)
            os.chmod(path + b"/a/b", 0)
    was = judged(path) if os.path.lexists(path) else None
    beside(world, monkeypatch)
    if was is None and wanted == "absent":
        assert world.restore(path, want, was).outcome == "gone"
        return
    done = world.restore(path, want, was)
    assert done.outcome == ("removed" if wanted == "absent" else "restored"), done
    if wanted != "dir" or there != "full":
        assert (picture(path) if os.path.lexists(path) else None) == before
        assert bool(done.quarantined) == (there != "absent")
    if done.quarantined and there == "full":
        os.chmod(done.quarantined + b"/a/f", 0o600)
        assert Path(os.fsdecode(done.quarantined + b"/a/f")).read_bytes() == OLD
        assert os.path.isdir(done.quarantined + b"/a/b")
    if done.quarantined and there == "file":
        assert Path(os.fsdecode(done.quarantined)).read_bytes() == OLD
    assert world.clean()


def test_too_much_to_copy_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path, want, was = changed(world)
    beside(world, monkeypatch)
    monkeypatch.setattr(world.reverter.quarantine, "_most_bytes", 100)
    for version in (want, ABSENT):
        done = world.restore(path, version, was)
        assert done.outcome == "failed" and "larger than the quarantine" in done.detail
    assert Path(os.fsdecode(path)).read_bytes() == NEW and world.clean()


# -- quarantine -----------------------------------------------------------------------------------------------------


def test_the_oldest_are_dropped_and_that_is_told(tmp_path: Path) -> None:
    kept = Quarantine(tmp_path / "q", most=3, most_bytes=1000)
    fd = os.open(tmp_path, os.O_RDONLY)
    for number in range(5):
        (tmp_path / "f").write_bytes(b"x" * 10)
        kept.take(Spot(fd, b"f", b""), b"/t/f%d" % number)
    make(bytes(tmp_path / "big"), "full")
    (tmp_path / "big/a/f").write_bytes(b"x" * 5000)
    os.chmod(tmp_path / "big/a", 0)
    kept.take(Spot(fd, b"big", b""), b"/t/big")
    kept.close()
    lines = [json.loads(line) for line in (tmp_path / "q/index.jsonl").read_text().splitlines()]
    assert [each["dropped"] for each in lines if "dropped" in each] == ["1-f0", "2-f1", "3-f2", "4-f3", "5-f4"]
    assert sorted(os.listdir(tmp_path / "q")) == ["6-big", "index.jsonl"]
    again = Quarantine(tmp_path / "q", most=3, most_bytes=1000)
    (tmp_path / "f").write_bytes(b"x")
    assert again.take(Spot(fd, b"f", b""), b"/t/f").endswith(b"/7-f")
    assert sorted(os.listdir(tmp_path / "q")) == ["7-f", "index.jsonl"]
    os.close(fd)


def test_deep_folders_are_discarded(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    folder = os.dup(fd)
    for _ in range(3000):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    discard(Spot(fd, b"d", b""))
    assert os.listdir(tmp_path) == []
    os.close(fd)


@pytest.mark.parametrize(
    "base, name", [(b"a/b", b"1-b"), (b"\xff\n%", b"1-%FF%0A%25"), (b"n" * 255, b"1-" + b"n" * 100)]
)
def test_names_in_quarantine(tmp_path: Path, base: bytes, name: bytes) -> None:
    (tmp_path / "f").write_bytes(b"")
    kept = Quarantine(tmp_path / "q")
    fd = os.open(tmp_path, os.O_RDONLY)
    assert os.path.basename(kept.take(Spot(fd, b"f", b""), b"/" + base)) == name
    assert stat.S_IMODE(os.stat(tmp_path / "q").st_mode) == 0o700
    os.close(fd)


def test_a_fifo_or_a_lease_holds_nobody_up(world: World) -> None:
    path, want, was = changed(world)
    old = signal.signal(signal.SIGIO, signal.SIG_IGN)
    with opened(path, os.O_RDONLY) as fd:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)  # a reader has to wait for this one
        done = world.restore(path, want, was)
    signal.signal(signal.SIGIO, old)
    assert done.outcome == "restored" and world.entries()[0]["blob"] == ""


DOMAIN = """
import os, sys
from pathlib import Path
from supervisor.confine.domains import supervisor_domain
from supervisor.enforce.revert import Reverter
from supervisor.enforce.staging import identity_of
from supervisor.kernel import libc
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import ABSENT, Version
tree, run = map(Path, sys.argv[1:])
reverter = Reverter(run / "staging", run / "quarantine", os.fsencode(tree))
libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
supervisor_domain([os.fsencode(tree), os.fsencode(run)]).ruleset().restrict_self()
own = os.geteuid(), os.getegid(), 1, 1
file = Version(Kind.FILE, 0o640, *own, ((b"user.k", b"v"),), size=3, links=(os.fsencode(tree / "b"),))
path = os.fsencode(tree / "a")
made = [
    lambda: ((tree / "a").write_bytes(b"rejected"), os.link(path, tree / "b")),
    lambda: (tree / "a").mkdir(), lambda: os.mkfifo(path), lambda: os.symlink("x", path),
]
for want in (file, ABSENT, Version(Kind.DIR, 0o555, *own), Version(Kind.LINK, 0o777, *own, text=b"t"),
             Version(Kind.FIFO, 0o600, *own)):
    for make in made:
        make()
        done = reverter.restore(path, want, b"old", identity_of(os.lstat(path)), lambda _: False)
        print(done.outcome, done.detail if done.outcome == "failed" else "")
        for name in ("a", "b"):
            if os.path.lexists(tree / name):
                reverter.restore(os.fsencode(tree / name), ABSENT, b"", None, lambda _: True)
"""


@pytest.mark.needs(landlock=3)
def test_in_the_domain_of_the_supervisor(tmp_path: Path) -> None:
    """Moving between folders is a right of its own there, and so is making each kind."""
    for name in ("tree", "run"):
        (tmp_path / name).mkdir()
    command = [sys.executable, "-c", DOMAIN, str(tmp_path / "tree"), str(tmp_path / "run")]
    done = subprocess.run(command, cwd=Path(revert.__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*["restored"] * 4, *["removed"] * 4, *["restored"] * 12]


def test_a_large_file_is_copied_from_its_descriptor(world: World) -> None:
    path = bytes(world.tree) + b"/f"
    content = os.urandom(1 << 20) * 17
    Path(os.fsdecode(path)).write_bytes(content)
    want, before = world.keep(path), picture(path)
    assert want.large
    Path(os.fsdecode(path)).write_bytes(NEW)
    fd = world.store.source(want)
    assert isinstance(fd, int)
    done = world.reverter.restore(path, want, fd, judged(path), lambda _: False)
    os.close(fd)
    assert done.outcome == "restored" and Path(os.fsdecode(path)).read_bytes() == content
    assert (picture(path)[:4], picture(path)[5]) == (before[:4], before[5])


def test_what_could_not_be_quarantined_is_kept_and_finished(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also when the state folder was moved before ``recover`` ran."""
    path, want, was = changed(world)
    with monkeypatch.context() as patch:
        patch.setattr(Quarantine, "take", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EIO, "bad disk")))
        done = world.restore(path, want, was)
    assert done.outcome == "restored" and Path(os.fsdecode(done.quarantined)).read_bytes() == NEW
    assert done.quarantined.startswith(bytes(world.run / "staging"))
    moved = world.run.rename(tmp_path / "moved")
    assert recover(moved) == [f"{os.fsdecode(path)}: displaced"]
    [entry] = [json.loads(line) for line in (moved / "quarantine/index.jsonl").read_text().splitlines()]
    assert (moved / "quarantine" / entry["name"]).read_bytes() == NEW and entry["path"] == os.fsdecode(path)
    assert Path(os.fsdecode(path)).read_bytes() == OLD


def test_recover_has_nothing_to_do_after_a_clean_end(world: World) -> None:
    path, want, was = changed(world)
    world.restore(path, want, was)
    assert recover(world.run) == []
    assert revert.Reverted("x").now is None and quarantine_module.INDEX == "index.jsonl"
