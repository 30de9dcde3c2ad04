"""Resolving a caller's paths: this process is the caller, in a directory tree that is real."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.kernel.libc import (
    AT_FDCWD,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
)
from supervisor.surfaces.ignored import Ignored
from supervisor.surfaces.made import Made
from supervisor.surfaces.paths import Caller, Refused, Resolver, Spot
from supervisor.vocabulary.events import Kind
from tests.unit.surfaces.kit import working_in

ME = Caller(os.getpid(), os.getpid())


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "tree"
    (root / "dir/deep").mkdir(parents=True)
    (root / "file").write_text("x")
    (root / "dir/inner").write_text("y")
    (root / "link").symlink_to("dir")
    (root / "flink").symlink_to("file")
    (root / "dangling").symlink_to("dir/new")
    (root / "dangling2").symlink_to("dangling")
    (root / "loop").symlink_to("loop")
    (root / "self").symlink_to("/proc/self/fd/0")
    (root / "up").symlink_to("../outside")
    (tmp_path / "outside").mkdir()
    os.mkfifo(root / "fifo")
    with working_in(root):
        yield root


@pytest.fixture
def resolver(tree: Path) -> Resolver:
    ignored = Ignored(os.fsencode(tree), lambda path, _folder: path.startswith(b"build"))
    return Resolver(Made((), os.fsencode(tree)), ignored)


def seen(spot: Spot, tree: Path) -> tuple[str, Kind]:
    """Relative path and kind; closes the spot."""
    spot.close()
    return os.path.relpath(os.fsdecode(spot.target.path), tree), spot.target.kind


def fails(act: Callable[[], Spot]) -> str:
    try:
        spot = act()
    except Refused:
        return "refused"
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    spot.close()
    return ""


EXISTING: list[tuple[bytes, str, Kind]] = [
    (b"file", "file", Kind.FILE),
    (b"./dir/../file", "file", Kind.FILE),
    (b"link", "dir", Kind.DIR),
    (b"link/inner", "dir/inner", Kind.FILE),
    (b"link/../file", "file", Kind.FILE),
    (b"flink", "file", Kind.FILE),
    (b"dir//deep///", "dir/deep", Kind.DIR),
    (b"up", "../outside", Kind.DIR),
    (b"fifo", "fifo", Kind.FIFO),
    (b".", ".", Kind.DIR),
    (b"/dev/null", "", Kind.CHAR),
]


@pytest.mark.parametrize(("path", "name", "kind"), EXISTING)
def test_existing_follows_links_to_the_canonical_name(
    resolver: Resolver, tree: Path, path: bytes, name: str, kind: Kind
) -> None:
    spot = resolver.existing(ME, AT_FDCWD, path)
    where, what = seen(spot, tree)
    assert what is kind
    assert where == name or path.startswith(b"/")
    assert spot.target.path == os.fsencode(os.path.realpath(os.fsdecode(path)))


EXISTING_ERRORS = [
    (b"", "ENOENT"), (b"absent", "ENOENT"), (b"dangling", "ENOENT"), (b"loop", "ELOOP"), (b"file/x", "ENOTDIR"),
    (b"file/", "ENOTDIR"), (b"absent/x", "ENOENT"), (b"a" * 256, "ENAMETOOLONG"), (b"/proc/1/cwd/file", "refused"),
    (b"/proc/1/root/etc", "refused"), (b"/proc/1/fd/0", "refused"), (b"/proc/self/status", "refused"),
    (b"/proc/self/exe", "refused"), (b"/proc", "refused"), (b"/proc/1/fd/0/x", "refused"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "error"), EXISTING_ERRORS)
def test_existing_errors(resolver: Resolver, path: bytes, error: str) -> None:
    assert fails(lambda: resolver.existing(ME, AT_FDCWD, path)) == error


def test_nofollow_names_the_link_itself(resolver: Resolver, tree: Path) -> None:
    assert seen(resolver.existing(ME, AT_FDCWD, b"link", nofollow=True), tree) == ("link", Kind.LINK)
    assert seen(resolver.existing(ME, AT_FDCWD, b"link/inner", nofollow=True), tree) == ("dir/inner", Kind.FILE)


ENTRIES: list[tuple[bytes, str, Kind]] = [
    (b"file", "file", Kind.FILE),
    (b"absent", "absent", Kind.ABSENT),
    (b"link", "link", Kind.LINK),
    (b"dangling", "dangling", Kind.LINK),
    (b"link/new", "dir/new", Kind.ABSENT),
    (b"new/", "new", Kind.ABSENT),
    (b"dir/", "dir", Kind.DIR),
    (b".", ".", Kind.DIR),
    (b"up/x", "../outside/x", Kind.ABSENT),
    (b"a\nb", "a\nb", Kind.ABSENT),
    (b"\xff", "\udcff", Kind.ABSENT),
    (b"dir/./deep", "dir/deep", Kind.DIR),
]


@pytest.mark.parametrize(("path", "name", "kind"), ENTRIES)
def test_entry_is_the_name_itself(resolver: Resolver, tree: Path, path: bytes, name: str, kind: Kind) -> None:
    for given in (path, os.fsencode(tree) + b"/" + path):
        assert seen(resolver.entry(ME, AT_FDCWD, given), tree) == (name, kind)


ENTRY_ERRORS = [
    (b"", "ENOENT"), (b"absent/x", "ENOENT"), (b"file/x", "ENOTDIR"), (b"loop/x", "ELOOP"),
    (b"x" * 256, "ENAMETOOLONG"), (b"/proc/self/x", "refused"), (b"/proc/1/cwd/x", "refused"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "error"), ENTRY_ERRORS)
def test_entry_errors(resolver: Resolver, path: bytes, error: str) -> None:
    assert fails(lambda: resolver.entry(ME, AT_FDCWD, path)) == error


def test_the_root_is_a_directory(resolver: Resolver) -> None:
    for path in (b"/", b"//", b"/."):
        spot = resolver.entry(ME, AT_FDCWD, path)
        spot.close()
        assert (spot.target.path, spot.target.kind) == (b"/", Kind.DIR)


CREATING: list[tuple[bytes, str, Kind]] = [
    (b"new", "new", Kind.ABSENT),
    (b"dangling", "dir/new", Kind.ABSENT),
    (b"dangling2", "dir/new", Kind.ABSENT),
    (b"file", "file", Kind.FILE),
    (b"flink", "file", Kind.FILE),
]


@pytest.mark.parametrize(("path", "name", "kind"), CREATING)
def test_creating_follows_dangling_links(resolver: Resolver, tree: Path, path: bytes, name: str, kind: Kind) -> None:
    assert seen(resolver.creating(ME, AT_FDCWD, path), tree) == (name, kind)


def test_creating_ends_in_loops(resolver: Resolver, tree: Path) -> None:
    assert fails(lambda: resolver.creating(ME, AT_FDCWD, b"loop")) == "ELOOP"
    (tree / "abs").symlink_to(tree / "made/x")
    assert fails(lambda: resolver.creating(ME, AT_FDCWD, b"abs")) == "ENOENT"


def test_from_a_descriptor(resolver: Resolver, tree: Path) -> None:
    fd = os.open(tree / "dir", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert seen(resolver.entry(ME, fd, b"inner"), tree) == ("dir/inner", Kind.FILE)
        assert seen(resolver.existing(ME, fd, b"../file"), tree) == ("file", Kind.FILE)
        assert fails(lambda: resolver.entry(ME, 999, b"inner")) == "EBADF"
        assert seen(resolver.entry(ME, 999, os.fsencode(tree / "file")), tree) == ("file", Kind.FILE)
    finally:
        os.close(fd)


def test_a_descriptor_by_its_many_names(resolver: Resolver, tree: Path) -> None:
    fd = os.open(tree / "dir/inner", os.O_RDONLY)
    number = str(fd).encode()
    (tree / "viafd").symlink_to(f"/proc/self/fd/{fd}")
    names = [
        b"/proc/self/fd/",
        b"/dev/fd/",
        b"/proc/thread-self/fd/",
        b"/proc//self/./fd/",
        b"/proc/%d/fd/" % os.getpid(),
    ]
    try:
        for name in names:
            assert seen(resolver.existing(ME, AT_FDCWD, name + number), tree) == ("dir/inner", Kind.FILE), name
        assert seen(resolver.existing(ME, AT_FDCWD, b"viafd"), tree) == ("dir/inner", Kind.FILE)
        assert fails(lambda: resolver.existing(ME, AT_FDCWD, b"/proc/self/fd/999")) == "ENOENT"
        flagged = {"resolve": RESOLVE_NO_MAGICLINKS}, {"resolve": RESOLVE_NO_SYMLINKS}, {"nofollow": True}
        for flags in flagged:
            assert (
                fails(lambda flags=flags: resolver.existing(ME, AT_FDCWD, b"/proc/self/fd/" + number, **flags))
                == "ELOOP"
            )  # type: ignore[misc]
    finally:
        os.close(fd)


BENEATH = [
    (b"inner", ("dir/inner", Kind.FILE)), (b"/inner", ("dir/inner", Kind.FILE)), (b"./inner", ("dir/inner", Kind.FILE)),
    (b"new", ("dir/new", Kind.ABSENT)), (b"../link", ("link", Kind.LINK)), (b"deep/../../file", ("file", Kind.FILE)),
    (b"//etc", ("dir/etc", Kind.ABSENT)), (b"", ("dir", Kind.DIR)), (b".", ("dir", Kind.DIR)),
]  # fmt: skip


@pytest.mark.parametrize(("rest", "found"), BENEATH)
def test_beneath_a_descriptor_of_the_path_itself(
    resolver: Resolver, tree: Path, rest: bytes, found: tuple[str, Kind]
) -> None:
    fd = os.open(tree / "dir", os.O_PATH)
    try:
        for top in (b"/proc/self/fd/%d/", b"/dev/fd/%d/", b"/proc//thread-self/./fd/%d/./", b"/proc/self/cwd/dir/"):
            path = (top % fd if b"%" in top else top) + rest
            assert seen(resolver.entry(ME, AT_FDCWD, path), tree) == found, path
        assert fails(lambda: resolver.entry(ME, AT_FDCWD, b"/proc/self/fd/999/x")) == "ENOENT"
        assert fails(lambda: resolver.entry(ME, AT_FDCWD, b"/proc/self/fd/0%d/x" % fd)) == "ENOENT"
    finally:
        os.close(fd)


def test_a_refusal_knows_the_path_that_was_given(resolver: Resolver, tree: Path) -> None:
    (tree / "toward").symlink_to("/proc/self/fd/0")
    for path in (b"/proc/1/fd/0/x", b"toward/x", b"/proc/self/status"):
        for act in (resolver.existing, resolver.entry, resolver.creating):
            with pytest.raises(Refused) as refused:
                act(ME, AT_FDCWD, path)
            assert refused.value.path == path and path.decode() in refused.value.told()


def test_a_folder_that_is_moved_is_named_as_it_lies_now(resolver: Resolver, tree: Path) -> None:
    fd = os.open(tree / "dir", os.O_PATH)
    try:
        os.rename(tree / "dir", tree / "../outside/moved")
        path = b"/proc/self/fd/%d/new" % fd
        assert seen(resolver.entry(ME, AT_FDCWD, path), tree) == ("../outside/moved/new", Kind.ABSENT)
    finally:
        os.close(fd)


def test_openat2_flags_reach_the_kernel(resolver: Resolver, tree: Path) -> None:
    def existing(path: bytes, resolve: int) -> str:
        return fails(lambda: resolver.existing(ME, AT_FDCWD, path, resolve=resolve))

    assert existing(b"link/inner", RESOLVE_NO_SYMLINKS) == "ELOOP"
    assert existing(b"../tree/file", RESOLVE_BENEATH) == "EXDEV"
    assert existing(b"/etc", RESOLVE_BENEATH) == "EXDEV"
    assert existing(b"/proc/self/fd/0", RESOLVE_BENEATH) == "EXDEV"
    assert existing(b"/proc/self/fd/0", RESOLVE_IN_ROOT) == "ENOENT"
    assert existing(b"dir/inner", RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) == ""
    inside = resolver.existing(ME, AT_FDCWD, b"/dir/inner", resolve=RESOLVE_IN_ROOT)
    assert seen(inside, tree) == ("dir/inner", Kind.FILE)
    new = resolver.entry(ME, AT_FDCWD, b"/../new", resolve=RESOLVE_IN_ROOT)
    assert seen(new, tree) == ("new", Kind.ABSENT)


def test_an_unlinked_file_is_known_as_such(resolver: Resolver, tree: Path) -> None:
    fd = os.open(tree / "gone", os.O_RDWR | os.O_CREAT)
    try:
        os.unlink(tree / "gone")
        spot = resolver.descriptor(ME, fd)
        spot.close()
        assert spot.target.unlinked
        # A file of that very name is another one.
        (tree / "gone (deleted)").write_text("x")
        spot = resolver.entry(ME, AT_FDCWD, b"gone (deleted)")
        spot.close()
        assert not spot.target.unlinked
    finally:
        os.close(fd)


def test_pipes_have_no_name(resolver: Resolver) -> None:
    read, write = os.pipe()
    try:
        spot = resolver.descriptor(ME, write)
        spot.close()
        assert (spot.target.kind, spot.target.unlinked) == (Kind.FIFO, True)
    finally:
        os.close(read)
        os.close(write)


def test_facts_of_the_target(resolver: Resolver, tree: Path) -> None:
    os.link(tree / "file", tree / "second")
    spot = resolver.entry(ME, AT_FDCWD, b"file")
    spot.close()
    found = os.stat(tree / "file")
    assert (spot.target.dev, spot.target.ino, spot.target.nlink) == (found.st_dev, found.st_ino, 2)
    build = resolver.entry(ME, AT_FDCWD, b"build")
    build.close()
    assert build.target.ignored
    assert not spot.target.ignored


def test_files_handed_in_are_known_by_inode(tree: Path) -> None:
    found = os.stat(tree / "file")
    knows = Resolver(Made((), b"/"), Ignored(b"/", None), frozenset({(found.st_dev, found.st_ino)}))
    for path, given in ((b"file", True), (b"flink", True), (b"dir/inner", False)):
        spot = knows.existing(ME, AT_FDCWD, path)
        spot.close()
        assert spot.target.given is given


OTHER = """
import os, sys
os.chdir(sys.argv[1])
fd = os.open("inner", os.O_RDONLY)
print(fd, flush=True)
input()
"""


def test_another_process_has_its_own_directory_and_descriptors(resolver: Resolver, tree: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", OTHER, tree / "dir"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        fd = int(child.stdout.readline())
        caller = Caller(child.pid, child.pid)
        assert seen(resolver.entry(caller, AT_FDCWD, b"new"), tree) == ("dir/new", Kind.ABSENT)
        assert seen(resolver.existing(caller, AT_FDCWD, b"/proc/self/fd/%d" % fd), tree) == ("dir/inner", Kind.FILE)
        assert fails(lambda: resolver.existing(caller, AT_FDCWD, b"/proc/%d/fd/0" % os.getpid())) == "refused"
    finally:
        child.communicate("\n")


def test_a_thread_with_a_directory_of_its_own(resolver: Resolver, tree: Path) -> None:
    """unshare(CLONE_FS): what counts is the calling thread's directory, not its leader's."""
    import ctypes

    found: list[Any] = []

    def work() -> None:
        ctypes.CDLL(None, use_errno=True).unshare(0x200)
        os.chdir(tree / "dir")
        tid = threading.get_native_id()
        found.append(seen(resolver.entry(Caller(tid, os.getpid()), AT_FDCWD, b"x"), tree))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [("dir/x", Kind.ABSENT)]
    assert os.getcwd() == str(tree)


def test_a_process_that_is_gone(resolver: Resolver) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    caller = Caller(child.pid, child.pid)
    assert fails(lambda: resolver.entry(caller, AT_FDCWD, b"x")) in ("ENOENT", "ESRCH")
