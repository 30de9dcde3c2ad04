"""The record of a run's states: what lay where, step by step, and what a kill or a stranger leaves of it."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from supervisor.trees import frames, looking
from supervisor.trees.frames import FRAMES, LARGE, LARGEST_FRAME, Frames
from supervisor.trees.looking import complete, look
from supervisor.trees.states import NOTHING, STATES, Kept, StateLog, Step, read_states
from supervisor.vocabulary.errors import StopRun
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import Version

WEIRD = b'/t/\xff\xfe \n"x'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def file(size: int, sha1: str = "a" * 40) -> Kept:
    return Kept(Version(Kind.FILE, 0o644, 1, 2, 3, 4, ((b"user.x", b"\x00\xff"),), size=size, sha1=sha1), "", (1, 2, 3))


def test_what_is_written_is_read(folder: Path) -> None:
    log = StateLog(folder)
    link = Kept(Version(Kind.LINK, 0o777, text=b"to\xff"), inode=(1, 9, 1))
    unkept = Kept(Version(Kind.FILE, size=5), "too large")
    log.before(WEIRD, file(1), 3)
    log.before(b"/t/new", NOTHING, 4)
    log.step(Step(1, 1, 7, {WEIRD: unkept, b"/t/new": link}))
    log.step(Step(2, 8, 9, {b"/t/new": NOTHING}, "crash"))
    log.close()
    found = read_states(folder)
    assert found.before == {WEIRD: file(1), b"/t/new": NOTHING}
    assert found.steps == (
        Step(1, 1, 7, {WEIRD: unkept, b"/t/new": link}),
        Step(2, 8, 9, {b"/t/new": NOTHING}, "crash"),
    )
    assert found.at(6) == dict(found.before)
    assert found.at(7) == {WEIRD: unkept, b"/t/new": link}
    assert found.at(None) == {WEIRD: unkept, b"/t/new": NOTHING}


def test_nothing_was_written(folder: Path) -> None:
    assert read_states(folder) == ({}, ())


def test_a_torn_line_is_none_and_the_next_is_not_glued_to_it(folder: Path) -> None:
    log = StateLog(folder)
    log.before(b"/t/a", file(1), 1)
    log.close()
    whole = (folder / STATES).read_bytes()
    (folder / STATES).write_bytes(whole + b'{"before":{"path":"/t/b')
    assert set(read_states(folder).before) == {b"/t/a"}
    log = StateLog(folder)
    log.before(b"/t/c", file(1), 2)
    log.close()
    assert set(read_states(folder).before) == {b"/t/a", b"/t/c"}


@pytest.mark.parametrize("length", [1, 65_535, 65_536, 65_537, 200_000])
def test_a_torn_line_of_any_length(folder: Path, length: int) -> None:
    (folder / STATES).write_bytes(b'{"before":{"path":"/t/a","kind":"absent"},"seq":1}\n' + b"x" * length)
    StateLog(folder).close()
    assert (folder / STATES).read_bytes().endswith(b"1}\n")


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n", b"[]\n", b"{}\n", b'{"step":2,"since":1,"upto":1,"changes":[]}\n', b'{"before":{}}\n', b"\xff\n",
        b'{"before":{"path":"/t/a","kind":"unheard of"},"seq":1}\n', b"[" * 100_000 + b"\n",
        b'{"before":{"path":1,"kind":"absent"},"seq":1}\n',
        b'{"before":{"path":"/t/a","kind":"file","attr":["x",1,2,3,4]},"seq":1}\n',
        b'{"before":{"path":"/t/a","kind":"file","attr":[1,1,2,3,null]},"seq":1}\n',
        b'{"before":{"path":"/t/a","kind":"file","size":true},"seq":1}\n',
        b'{"before":{"path":"/t/a","kind":"file","sha1":7},"seq":1}\n',
        b'{"before":{"path":"/t/a","kind":"absent","unkept":[]},"seq":1}\n',
        b'{"before":{"path":"/t/a","kind":"absent","inode":[1,2]},"seq":1}\n',
        b'{"before":{"path":"/t/a","kind":"absent","inode":[1,2,"3"]},"seq":1}\n',
        b'{"step":"1","since":1,"upto":1,"changes":[]}\n', b'{"step":1,"since":1,"upto":1,"changes":[],"why":1}\n',
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_not_put_into_a_tree(folder: Path, line: bytes) -> None:
    (folder / STATES).write_bytes(line)
    with pytest.raises(StopRun, match="record of states"):
        read_states(folder)


def test_a_link_in_place_of_the_file_is_not_followed(folder: Path) -> None:
    (folder / "other").write_text("")
    (folder / STATES).symlink_to("other")
    with pytest.raises(StopRun):
        StateLog(folder)
    with pytest.raises(StopRun):
        read_states(folder)


def test_looking_keeps_every_kind(folder: Path, tmp_path: Path) -> None:
    store = Frames(folder)
    place = tmp_path / "t"
    place.mkdir()
    (place / "f").write_text("hello\n")
    (place / "l").symlink_to("f")
    os.mkfifo(place / "p")
    found = {name: look(os.fsencode(place / name), store) for name in ("f", "l", "p", ".", "none", "f/none")}
    assert found["f"].version.sha1 == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert store.content(found["f"].version) == b"hello\n"
    assert found["f"].inode == ((place / "f").stat().st_dev, (place / "f").stat().st_ino, 1)
    assert found["l"].version.text == b"f"
    assert [found[name].version.kind for name in ("p", ".")] == [Kind.FIFO, Kind.DIR]
    assert found["none"] == found["f/none"] == NOTHING
    assert look(os.fsencode(place / "f"), None).same_as(found["f"])
    os.utime(place / "f", (1, 1))
    assert look(os.fsencode(place / "f"), None).same_as(found["f"])
    (place / "f").chmod(0o600)
    assert not look(os.fsencode(place / "f"), None).same_as(found["f"])


def test_a_file_that_cannot_be_kept_is_known_by_size_and_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Frames(folder, limit=10)
    (tmp_path / "f").write_text("x" * 100)
    found = look(os.fsencode(tmp_path / "f"), store)
    assert "would exceed" in found.unkept
    assert (found.version.size, found.version.sha1) == (100, "")
    again = look(os.fsencode(tmp_path / "f"), store)
    assert again.same_as(found)
    os.utime(tmp_path / "f", (1, 1))
    assert not look(os.fsencode(tmp_path / "f"), store).same_as(found)
    monkeypatch.setattr(looking.os, "pread", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
    assert "I/O error" in look(os.fsencode(tmp_path / "f"), None).unkept


def test_a_look_at_a_file_of_any_size_costs_nothing(folder: Path, tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb") as file:
        file.truncate(1 << 42)
    kept, seen = look(os.fsencode(tmp_path / "f"), Frames(folder)), look(os.fsencode(tmp_path / "f"), None)
    assert seen.same_as(kept)


def test_a_large_file_is_seen_as_it_was_kept(folder: Path, tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb") as file:
        file.truncate(LARGEST_FRAME + 1)
    kept = look(os.fsencode(tmp_path / "f"), Frames(folder))
    assert kept.version.large
    assert look(os.fsencode(tmp_path / "f"), None).same_as(kept)


def test_a_large_file_of_another_file_system_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "f", "wb") as file:
        file.truncate(LARGEST_FRAME)
        file.seek(0, os.SEEK_END)
        file.write(b"its end")

    def refused(*_: object) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(frames.os, "copy_file_range", refused)
    kept = look(os.fsencode(tmp_path / "f"), Frames(folder))
    assert (folder / LARGE / kept.version.large).read_bytes() == (tmp_path / "f").read_bytes()


def test_whoever_only_reads_leaves_a_frame_that_is_being_written(folder: Path) -> None:
    store = Frames(folder)
    (folder / "f").write_text("x")
    look(os.fsencode(folder / "f"), store)
    with open(folder / FRAMES, "ab") as file:
        file.write(b"gvF1 half a")
    before = (folder / FRAMES).read_bytes()
    Frames(folder, reading=True).close()
    assert (folder / FRAMES).read_bytes() == before


def test_a_device_is_named(folder: Path) -> None:
    assert "device" in look(b"/dev/null", Frames(folder)).unkept


def test_what_a_killed_run_has_left_is_a_step(folder: Path, tmp_path: Path) -> None:
    paths = [os.fsencode(tmp_path / name) for name in ("a", "b", "c")]
    (tmp_path / "a").write_text("a")
    store, log = Frames(folder), StateLog(folder)
    for path in paths:
        log.before(path, look(path, store), 1)
    (tmp_path / "b").write_text("b")
    log.step(Step(1, 1, 4, {paths[1]: look(paths[1], store)}))
    log.close()
    store.close()
    (tmp_path / "a").unlink()
    (tmp_path / "c").mkdir()
    assert complete(folder, 9) == 2
    found = read_states(folder)
    last = found.steps[-1]
    assert (last.number, last.since, last.upto, last.why) == (2, 5, 9, "crash")
    assert {path: kept.version.kind for path, kept in last.changes.items()} == {
        paths[0]: Kind.ABSENT, paths[2]: Kind.DIR,
    }  # fmt: skip
    assert complete(folder, 9) == 0
    assert len(read_states(folder).steps) == 2


def test_lines_are_ascii_and_private(folder: Path) -> None:
    log = StateLog(folder)
    log.before(WEIRD, file(1), 1)
    log.close()
    raw = (folder / STATES).read_bytes()
    assert raw.isascii()
    assert json.loads(raw)["seq"] == 1
    assert stat.S_IMODE((folder / STATES).stat().st_mode) == 0o600
