"""Renames: both names, whole directories, exchanges, and the lock files of git."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.kernel.libc import AT_FDCWD, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT
from supervisor.surfaces import renames
from supervisor.surfaces.renames import ConfigDelta, altered_records, names_in
from supervisor.vocabulary.acts import PathAct
from supervisor.vocabulary.events import ConfigChange, FsEvent, FsOp, GitConfigEvent, Kind
from tests.unit.surfaces.kit import Caught, working_in

ONE, TWO = b"1" * 40, b"2" * 40


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "tree"
    (root / "dir/sub").mkdir(parents=True)
    (root / "dir/a").write_text("x")
    (root / "dir/sub/b").write_text("y")
    (root / "other").mkdir()
    (root / "other/c").write_text("z")
    (root / "file").write_text("f")
    (root / "link").symlink_to("dir")
    (root / ".git/refs/notes").mkdir(parents=True)
    (root / ".git/refs/govrun").mkdir()
    with working_in(root):
        yield root


@pytest.fixture
def caught(tree: Path) -> Caught:
    return Caught(tree)


def moved(caught: Caught, old: bytes, new: bytes, flags: int = 0) -> FsEvent:
    attempt = caught("renameat2", AT_FDCWD, old, AT_FDCWD, new, flags)
    attempt.close()
    assert isinstance(attempt.event, FsEvent)
    return attempt.event


def failure(caught: Caught, old: bytes, new: bytes, flags: int = 0) -> str:
    with pytest.raises(OSError) as raised:
        caught("renameat2", AT_FDCWD, old, AT_FDCWD, new, flags)
    return errno.errorcode[raised.value.errno or 0]


def test_a_plain_rename_has_both_names(caught: Caught, tree: Path) -> None:
    event = moved(caught, b"file", b"dir/new")
    assert event.other is not None
    assert (event.op, event.target.kind, event.other.kind) == (FsOp.RENAME, Kind.FILE, Kind.ABSENT)
    assert event.other.path == os.fsencode(tree / "dir/new")
    assert (event.beneath, event.exchange, event.makes) == ((), False, Kind.FILE)


@pytest.mark.parametrize("call", ["rename", "renameat", "renameat2"])
def test_three_calls_one_event(caught: Caught, call: str) -> None:
    args = {"rename": (b"file", b"new"), "renameat": (AT_FDCWD, b"file", AT_FDCWD, b"new")}
    attempt = caught(call, *args.get(call, (AT_FDCWD, b"file", AT_FDCWD, b"new", RENAME_NOREPLACE)))
    attempt.close()
    assert isinstance(attempt.act, PathAct)
    assert (attempt.act.call, attempt.act.name, attempt.act.other_name) == ("rename", b"file", b"new")
    assert attempt.act.flags == (RENAME_NOREPLACE if call == "renameat2" else 0)


def test_a_directory_brings_all_it_holds(caught: Caught) -> None:
    event = moved(caught, b"dir", b"new")
    assert sorted(event.beneath or ()) == [b"a", b"sub", b"sub/b"]
    assert event.beneath_other == ()
    assert event.makes is Kind.DIR


def test_an_exchange_brings_both(caught: Caught) -> None:
    event = moved(caught, b"dir", b"other", RENAME_EXCHANGE)
    assert sorted(event.beneath or ()) == [b"a", b"sub", b"sub/b"]
    assert event.beneath_other == (b"c",)
    assert event.exchange


def test_a_link_is_moved_itself(caught: Caught) -> None:
    event = moved(caught, b"link", b"new")
    assert (event.target.kind, event.makes, event.beneath) == (Kind.LINK, Kind.LINK, ())


def test_errors(caught: Caught) -> None:
    assert failure(caught, b"absent", b"new") == "ENOENT"
    assert failure(caught, b"file", b"absent/new") == "ENOENT"
    assert failure(caught, b"file/.", b"new") == "ENOTDIR"
    assert failure(caught, b"dir/.", b"new") == "EBUSY"
    assert failure(caught, b"file", b"dir/..") == "EBUSY"
    assert failure(caught, b"dir", b"/") == "EBUSY"
    assert failure(caught, b"file", b"new", 8) == "EINVAL"
    assert failure(caught, b"file", b"new", RENAME_EXCHANGE | RENAME_NOREPLACE) == "EINVAL"
    assert failure(caught, b"file", b"new", RENAME_EXCHANGE | RENAME_WHITEOUT) == "EINVAL"
    assert failure(caught, b"file", b"new", RENAME_WHITEOUT) == "EPERM"


def test_a_move_that_cannot_matter_is_not_looked_into(tree: Path) -> None:
    caught = Caught(tree, plain=lambda old, new: True)
    assert moved(caught, b"dir", b"new").beneath == ()


# ------------------------------------------------------------------------------------------------ names beneath


def listed(path: Path) -> tuple[bytes, ...] | None:
    fd = os.open(path, os.O_PATH)
    try:
        return names_in(fd)
    finally:
        os.close(fd)


def test_names_in_takes_odd_names_and_does_not_follow_links(tree: Path) -> None:
    odd = [b"a\nb", b"\xff", b" "]
    for name in odd:
        (tree / "other").joinpath(os.fsdecode(name)).mkdir()
    (tree / "other/out").symlink_to("/")
    assert sorted(listed(tree / "other") or ()) == sorted([*odd, b"c", b"out"])


def test_too_many_names_are_no_answer(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renames, "_MOST", 3)
    assert listed(tree / "dir") is not None
    (tree / "dir/one-more").write_text("")
    assert listed(tree / "dir") is None


def test_a_folder_that_cannot_be_listed_is_no_answer(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: bytes) -> object:
        if path.endswith(b"/sub"):
            raise PermissionError(errno.EACCES, "no")
        return real(path)

    monkeypatch.setattr(renames.os, "scandir", scandir)
    assert listed(tree / "dir") is None
    assert listed(tree / "other") == (b"c",)


# ------------------------------------------------------------------------------------------------------- config


def test_a_configuration_is_replaced_by_what_was_judged(tree: Path) -> None:
    asked: list[tuple[bytes, bytes, bool]] = []
    change = ConfigChange("core.hookspath", None, ("x",))

    def delta(old: bytes, new: bytes, module: bool) -> ConfigDelta:
        asked.append((old, new, module))
        return ConfigDelta((change,), ("core.hookspath",))

    caught = Caught(tree, delta)
    (tree / ".git/config").write_bytes(b"old")
    (tree / ".git/config.lock").write_bytes(b"new")
    attempt = caught("rename", b".git/config.lock", b".git/config")
    (tree / ".git/config.lock").write_bytes(b"changed meanwhile")
    attempt.close()
    assert isinstance(attempt.event, GitConfigEvent)
    assert isinstance(attempt.act, PathAct)
    assert attempt.act.replace == b"new"
    assert attempt.event.executable == ("core.hookspath",)
    assert asked == [(b"old", b"new", False)]
    (tree / ".git/modules/m/objects").mkdir(parents=True)
    (tree / ".git/modules/m/HEAD").write_text("ref: refs/heads/main")
    (tree / ".git/modules/m/config.lock").write_bytes(b"m")
    caught("rename", b".git/modules/m/config.lock", b".git/modules/m/config").close()
    assert asked[1] == (b"", b"m", True)


@pytest.mark.parametrize("what", ["unreadable", "too large", "no file"])
def test_a_configuration_that_cannot_be_read_is_refused(tree: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def delta(old: bytes, new: bytes, module: bool) -> ConfigDelta:
        if what == "unreadable":
            raise ValueError("bad line")
        return ConfigDelta((), ())

    monkeypatch.setattr(renames, "CONFIG_MOST", 10)
    lock = tree / ".git/config.lock"
    if what == "no file":
        lock.symlink_to("../file")
    else:
        lock.write_bytes(b"x" * (11 if what == "too large" else 5))
    attempt = Caught(tree, delta)("rename", b".git/config.lock", b".git/config")
    attempt.close()
    assert isinstance(attempt.event, GitConfigEvent)
    assert attempt.event.refusal


def test_what_is_no_configuration(tree: Path, caught: Caught) -> None:
    (tree / ".git/refs/heads").mkdir()
    for new in (b"config", b".git/refs/heads/config", b".git/configs"):
        assert isinstance(moved(caught, b"file", new), FsEvent)
    # An exchange is judged by name: nothing of it is copied.
    (tree / ".git/config").write_bytes(b"x")
    assert moved(caught, b"file", b".git/config", RENAME_EXCHANGE).exchange


# -------------------------------------------------------------------------------------------------- packed-refs

HEADER = b"# pack-refs with: peeled fully-peeled sorted \n"


def packed(*lines: tuple[bytes, bytes]) -> bytes:
    return HEADER + b"".join(value + b" " + name + b"\n" for value, name in sorted(lines, key=lambda line: line[1]))


def replaced(tree: Path, caught: Caught, before: bytes | None, after: bytes) -> FsEvent:
    if before is not None:
        (tree / ".git/packed-refs").write_bytes(before)
    (tree / ".git/packed-refs.new").write_bytes(after)
    attempt = caught("rename", b".git/packed-refs.new", b".git/packed-refs", git_tool=True)
    attempt.close()
    assert isinstance(attempt.event, FsEvent)
    assert isinstance(attempt.act, PathAct)
    assert attempt.act.replace == after
    return attempt.event


NOTES, RUN, MAIN = b"refs/notes/govrun", b"refs/govrun/runs/AB/1", b"refs/heads/main"


def test_other_refs_are_packed_freely(tree: Path, caught: Caught) -> None:
    event = replaced(tree, caught, packed((ONE, MAIN), (ONE, NOTES)), packed((TWO, MAIN), (ONE, NOTES)))
    assert event.records == ()
    assert not event.refusal


def test_own_refs_may_move_there_with_the_value_they_have(tree: Path, caught: Caught) -> None:
    (tree / ".git" / os.fsdecode(NOTES)).write_bytes(TWO + b"\n")
    assert replaced(tree, caught, packed((ONE, NOTES)), packed((TWO, NOTES))).records == ()
    assert replaced(tree, caught, packed((TWO, NOTES)), packed((ONE, NOTES))).records == (NOTES,)


def test_own_refs_do_not_vanish_change_or_appear(tree: Path, caught: Caught) -> None:
    base = packed((ONE, MAIN), (ONE, NOTES), (ONE, RUN))
    assert replaced(tree, caught, base, packed((ONE, MAIN), (ONE, RUN))).records == (NOTES,)
    assert replaced(tree, caught, base, packed((TWO, NOTES), (TWO, RUN))).records == (RUN, NOTES)
    assert replaced(tree, caught, base, packed((ONE, NOTES), (ONE, RUN), (ONE, RUN + b"x"))).records == (RUN + b"x",)
    assert replaced(tree, caught, base, b"").records == (RUN, NOTES)


def test_packed_refs_that_cannot_be_read_are_refused(
    tree: Path, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renames, "_PACKED_MOST", 20)
    (tree / ".git/packed-refs.new").write_bytes(b"x" * 30)
    attempt = caught("rename", b".git/packed-refs.new", b".git/packed-refs")
    attempt.close()
    assert isinstance(attempt.event, FsEvent)
    assert attempt.event.refusal


def test_a_loose_ref_goes_only_when_it_is_packed(tree: Path, caught: Caught) -> None:
    loose = tree / ".git" / os.fsdecode(NOTES)
    loose.write_bytes(ONE + b"\n")
    path = os.fsencode(loose)
    assert caught.renames.unpacked(path) == (NOTES,)
    (tree / ".git/packed-refs").write_bytes(packed((TWO, NOTES)))
    assert caught.renames.unpacked(path) == (NOTES,)
    (tree / ".git/packed-refs").write_bytes(packed((ONE, NOTES)))
    assert caught.renames.unpacked(path) == ()
    attempt = caught("unlink", os.fsencode(loose), git_tool=True)
    attempt.close()
    assert isinstance(attempt.event, FsEvent)
    assert attempt.event.records == ()
    for other in (
        b"/.git/refs/heads/main",
        b"/.git/refs/notes/govrun.lock",
        b"/.git/logs/refs/notes/govrun",
        b"/refs/notes/govrun",
    ):
        assert caught.renames.unpacked(os.fsencode(tree) + other) == ()


values = st.sampled_from([ONE, TWO])
refs = st.sampled_from([NOTES, RUN, b"refs/govrun/ledger/1", MAIN, b"refs/notes/commits", b"refs/heads/govrun"])
tables = st.dictionaries(refs, values, max_size=5)


@settings(max_examples=200, deadline=None, database=None)
@given(tables, tables)
def test_altered_records_is_the_difference_of_own_refs(old: dict[bytes, bytes], new: dict[bytes, bytes]) -> None:
    found = altered_records(
        packed(*((v, k) for k, v in old.items())), packed(*((v, k) for k, v in reversed(new.items())))
    )
    own = {name for name in old.keys() | new.keys() if name.startswith((b"refs/govrun/", b"refs/notes/govrun"))}
    assert found == tuple(sorted(name for name in own if old.get(name) != new.get(name)))


def test_peeled_lines_and_comments_are_no_refs() -> None:
    text = HEADER + ONE + b" refs/tags/v1\n^" + TWO + b"\n"
    assert altered_records(text, HEADER) == ()
