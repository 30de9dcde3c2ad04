"""The store of accepted versions: what is kept comes back, also after a kill; what cannot be kept says why."""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.trees import frames
from supervisor.trees.accepted import Accepted, Unkept
from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import ABSENT

NAMES = [b"plain", b"caf\xe9", b"two\nlines", b"\xff" * 255, b"a b\\x41", "é\u202e".encode(), b"\xed\xb2\x80"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def keep(store: Accepted, path: bytes, **more):
    fd = os.open(path, os.O_RDONLY)
    try:
        return store.keep(path, fd, **more)
    finally:
        os.close(fd)


@pytest.mark.parametrize("content", [b"", b"x", b"two\nlines\n", bytes(range(256)) * 1000, b"\0" * (1 << 20)])
def test_content_comes_back(folder: Path, place: Path, content: bytes) -> None:
    (place / "f").write_bytes(content)
    store = Accepted(folder)
    version = keep(store, bytes(place / "f"))
    assert (version.kind, version.size, version.sha1) == (Kind.FILE, len(content), blob(content))
    assert store.content(version) == content
    store.close()
    again = Accepted(folder)
    assert again.latest(bytes(place / "f")) == version
    assert again.content(version) == content


def test_equal_content_is_stored_once(folder: Path, place: Path) -> None:
    store = Accepted(folder)
    for name in "abc":
        (place / name).write_bytes(b"same" * 1000)
        keep(store, bytes(place / name))
    first = (folder / "accepted.frames").stat().st_size
    assert first < 5000
    store.close()
    again = Accepted(folder)
    keep(again, bytes(place / "a"))
    assert (folder / "accepted.frames").stat().st_size == first


def test_attributes(folder: Path, place: Path) -> None:
    file = place / "f"
    file.write_bytes(b"x")
    os.setxattr(file, "user.note", b"\0\xff")
    os.utime(file, ns=(1_234_567_891, 987_654_321_123))
    file.chmod(0o640)
    version = keep(Accepted(folder), bytes(file), links=(b"/other",))
    assert (version.mode, version.uid, version.gid) == (0o640, os.geteuid(), file.stat().st_gid)
    assert (version.atime_ns, version.mtime_ns) == (1_234_567_891, 987_654_321_123)
    assert (b"user.note", b"\0\xff") in version.xattrs
    assert version.links == (b"/other",)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_survives_the_index(folder: Path, place: Path, name: bytes) -> None:
    path = bytes(place) + b"/" + name
    with open(path, "wb") as file:
        file.write(b"x")
    store = Accepted(folder)
    version = keep(store, path)
    store.close()
    lines = (folder / "accepted.jsonl").read_bytes()
    assert lines.isascii() and lines.count(b"\n") == 1
    assert Accepted(folder).versions() == {path: version}


def test_links_folders_and_nothing(folder: Path, place: Path) -> None:
    store = Accepted(folder)
    link, below = bytes(place / "l"), bytes(place / "d")
    os.symlink(b"to\xff\n", link)
    os.mkdir(below, 0o711)
    os.mkfifo(place / "p", 0o600)
    flags = os.O_PATH | os.O_NOFOLLOW
    fds = [os.open(path, flags) for path in (link, below, place / "p")]
    kept = [store.keep_link(link, fds[0]), store.keep_folder(below, fds[1]), store.keep(bytes(place / "p"), fds[2])]
    assert [each.kind for each in kept] == [Kind.LINK, Kind.DIR, Kind.FIFO]
    assert kept[0].text == b"to\xff\n" and kept[1].mode == 0o711
    assert store.absent() == ABSENT
    assert store.absent(b"/gone") == ABSENT
    store.close()
    again = Accepted(folder)
    assert [again.latest(path) for path in (link, below, b"/gone")] == [*kept[:2], ABSENT]
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("cut", [1, 20, 40, 2000])
def test_torn_ends_are_dropped(folder: Path, place: Path, cut: int) -> None:
    store = Accepted(folder)
    paths = [bytes(place / name) for name in "ab"]
    for number, path in enumerate(paths):
        Path(os.fsdecode(path)).write_bytes(b"%d" % number * 2000)
        keep(store, path)
    store.close()
    whole = (folder / "accepted.frames").stat().st_size
    # As a kill leaves it: the second frame is torn, and its line was not written.
    os.truncate(folder / "accepted.frames", whole - cut)
    lines = (folder / "accepted.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "accepted.jsonl").write_bytes(lines[0] + lines[1][:30])
    again = Accepted(folder)
    assert list(again.versions()) == paths[:1]
    assert again.content(again.latest(paths[0])) == b"0" * 2000
    second = keep(again, paths[1])
    assert again.content(second) == b"1" * 2000
    again.close()
    assert list(Accepted(folder).versions()) == paths


def test_damage_is_noticed(folder: Path, place: Path) -> None:
    (place / "f").write_bytes(b"precious")
    store = Accepted(folder)
    version = keep(store, bytes(place / "f"))
    with open(folder / "accepted.frames", "r+b") as frames:
        frames.seek(version.offset)
        frames.write(b"X")
    with pytest.raises(StopRun, match="damaged"):
        store.content(version)


def test_the_limit_is_told(folder: Path, place: Path) -> None:
    (place / "f").write_bytes(b"x" * 3000)
    store = Accepted(folder, 2000)
    with pytest.raises(Unkept, match="2000 bytes"):
        keep(store, bytes(place / "f"))
    assert (folder / "accepted.frames").stat().st_size == 0


def test_large_files_are_copied_or_refused(folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "LARGEST_FRAME", 1000)
    (place / "f").write_bytes(b"0123456789" * 500)
    store = Accepted(folder)
    version = keep(store, bytes(place / "f"))
    assert (version.size, version.sha1, version.offset, version.large) == (5000, "", -1, "1")
    fd = store.source(version)
    assert isinstance(fd, int) and os.pread(fd, 6000, 0) == b"0123456789" * 500
    os.close(fd)
    store.close()
    again = Accepted(folder)
    assert again.latest(bytes(place / "f")) == version
    assert keep(again, bytes(place / "f")).large == "2"
    monkeypatch.setattr(frames, "_LARGEST_COPY", 4000)
    monkeypatch.setattr(frames, "_FICLONE", 0)  # as on a file system that cannot share extents
    with pytest.raises(Unkept, match="5000 bytes"):
        keep(again, bytes(place / "f"))
    assert sorted(os.listdir(folder / "large")) == ["1", "2"]


def test_a_file_that_is_written_meanwhile(folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place / "f"
    file.write_bytes(b"start")
    real, writes = frames._pread, []

    def racing(fd: int, size: int) -> bytes:
        if len(writes) < limit:
            writes.append(1)
            with file.open("ab") as more:
                more.write(b"+")
        return real(fd, size)

    monkeypatch.setattr(frames, "_pread", racing)
    limit = 2
    store = Accepted(folder)
    version = keep(store, bytes(file))
    assert not version.unsettled and store.content(version) == file.read_bytes() == b"start++"
    limit = 100
    version = keep(store, bytes(file))
    assert version.unsettled and store.content(version) in file.read_bytes()


def test_a_write_that_fails_stops_the_run(folder: Path, place: Path) -> None:
    """In a process of its own, whose files may grow to 8,000 bytes: a real short write."""
    (place / "a").write_bytes(b"a" * 4000)
    (place / "b").write_bytes(os.urandom(6000))
    program = (
        "import os, resource, sys\nfrom pathlib import Path\nfrom supervisor.trees.accepted import Accepted\n"
        "from supervisor.vocabulary.errors import StopRun\nfolder, place = map(Path, sys.argv[1:])\n"
        "store = Accepted(folder)\nkeep = lambda n: store.keep(n.encode(), os.open(place / n, os.O_RDONLY))\n"
        "keep('a')\nresource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))\n"
        "try:\n keep('b')\nexcept StopRun as error:\n print(error.why)\n"
    )
    root = str(Path(frames.__file__).parents[2])
    command = [sys.executable, "-c", program, str(folder), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert "short write" in done.stdout, done.stderr
    again = Accepted(folder)
    assert list(again.versions()) == [b"a"]
    assert again.content(again.versions()[b"a"]) == b"a" * 4000


def test_modes_of_the_files(folder: Path, place: Path) -> None:
    old = os.umask(0)
    try:
        store = Accepted(folder)
    finally:
        os.umask(old)
    store.close()
    assert {name: (folder / name).stat().st_mode & 0o777 for name in os.listdir(folder)} == {
        "accepted.frames": 0o600,
        "accepted.jsonl": 0o600,
    }


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="needs setfacl")
def test_acls_are_attributes(folder: Path, place: Path) -> None:
    (place / "f").write_bytes(b"x")
    if subprocess.run(["setfacl", "-m", "u:1:r", place / "f"], capture_output=True).returncode:
        pytest.skip("no ACLs here")
    names = [name for name, _ in keep(Accepted(folder), bytes(place / "f")).xattrs]
    assert b"system.posix_acl_access" in names


def test_index_lines_say_what_they_hold(folder: Path, place: Path) -> None:
    (place / "f").write_bytes(b"x")
    keep(Accepted(folder), bytes(place / "f"))
    record = json.loads((folder / "accepted.jsonl").read_bytes())
    assert record["path"] == str(place / "f") and record["sha1"] == blob(b"x") and record["size"] == 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)  # untouched by the case above
