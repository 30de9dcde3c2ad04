"""The journal on a real file: what is written, what is refused, what a reader finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.journal import chain, codec, ids, reader, store
from supervisor.journal.reader import Reader, is_live
from supervisor.journal.writer import CHECKPOINTS, JOURNAL, Journal
from supervisor.vocabulary.errors import HostError, StopRun, UsageError

ROOT = Path(__file__).parents[3]
RUN = "01JXK3ZQ4V8M0123456789ABCD"


def read(folder: Path, **known: object) -> tuple[list[dict[str, object]], reader.Report]:
    found = Reader(folder, **known)  # type: ignore[arg-type]
    return list(found), found.report


def written(folder: Path, count: int) -> Journal:
    journal = Journal(folder, RUN)
    for number in range(count):
        journal.append({"kind": "exec", "op": {"n": number}})
    journal.close()
    return journal


# ---- ids ------------------------------------------------------------------------------------------------------------


def test_ulids_match_the_specification() -> None:
    assert ids.new_ulid(1469918176385, bytes(10)) == "01ARYZ6S41" + "0" * 16
    assert ids.new_ulid((1 << 48) - 1, b"\xff" * 10) == "7" + "Z" * 25
    assert ids.born("01ARYZ6S41" + "0" * 16) == 1469918176.385
    assert ids.new_ulid(5) < ids.new_ulid(6)
    with pytest.raises(ValueError):
        ids.new_ulid(1 << 48)


@given(st.text(max_size=30))
def test_is_ulid_takes_only_the_canonical_form(text: str) -> None:
    canonical = len(text) == 26 and set(text) <= set(ids.ALPHABET) and text[0] <= "7"
    assert ids.is_ulid(text) == canonical
    assert ids.is_ulid(ids.new_ulid())


# ---- codec ----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=60))
def test_any_path_comes_back(path: bytes) -> None:
    line = codec.encode_line("{", {"kind": "x", "path": path})
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert codec.bytes_of(codec.decode(line)["path"]) == path  # type: ignore[arg-type]


def test_paths_read_well() -> None:
    assert codec.text_of("src/größe.py".encode()) == "src/größe.py"
    assert codec.text_of(b"a\xffb\\xff") == "a\\xffb\\\\xff"


@given(st.text(max_size=40))
def test_bytes_of_never_raises_on_what_utf8_can_hold(text: str) -> None:
    if not any(0xD800 <= ord(c) < 0xDC80 or 0xDCFF < ord(c) <= 0xDFFF for c in text):
        codec.bytes_of(text)


def test_a_long_record_is_cut_and_says_so() -> None:
    line = codec.encode_line('{"v":1,', {"kind": "exec", "op": {"argv": [b"x" * 5000] * 500}})
    record = codec.decode(line)
    assert len(line) <= codec.MAX_LINE
    assert str(record["cut"]).startswith("sha256:")
    assert record["kind"] == "exec"
    wide = codec.encode_line("{", {"kind": "exec", "phase": "intent"} | {f"k{n}": "y" * 900 for n in range(200)})
    assert len(wide) <= codec.MAX_LINE
    assert codec.decode(wide)["phase"] == "intent"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"kind": "x", "seq": 3},
        {"kind": "x", "n": float("nan")},
        {"kind": "x", "o": object()},
        {"kind": {1: {b"k": 2}}},
    ],
)
def test_what_cannot_be_recorded_stops_the_run(tmp_path: Path, record: dict[str, object]) -> None:
    journal = Journal(tmp_path, RUN)
    with pytest.raises(StopRun):
        journal.append(record)
    with pytest.raises(StopRun, match="failed before"):
        journal.append({"kind": "x"})
    journal.close()
    assert (tmp_path / JOURNAL).read_bytes() == b""


# ---- writer ---------------------------------------------------------------------------------------------------------


def test_lines_are_stamped_and_chained(tmp_path: Path) -> None:
    journal = Journal(tmp_path, RUN)
    assert journal.seq == 0
    assert journal.append({"kind": "fs.write", "op": {"path": b"/t/a\n\xe2\x80\xae"}}) == 1
    assert journal.append({"kind": "exec", "verdict": "deny"}) == 2
    journal.sync()
    journal.close()
    lines = (tmp_path / JOURNAL).read_bytes().splitlines()
    first = json.loads(lines[0])
    assert list(first) == ["v", "run", "seq", "time", "kind", "op"]
    assert (first["v"], first["run"], first["seq"]) == (2, RUN, 1)
    assert len(first["time"]) == len("2026-11-22T10:00:00.123Z")
    assert journal.head == chain.step(chain.step(chain.START, lines[0]), lines[1]).hex()
    assert json.loads((tmp_path / CHECKPOINTS).read_text()) == {"seq": 2, "chain": journal.head}
    assert (tmp_path / JOURNAL).stat().st_mode & 0o777 == 0o600
    with pytest.raises(StopRun):
        journal.append({"kind": "late"})
    journal.close()


def test_an_existing_journal_is_never_continued(tmp_path: Path) -> None:
    written(tmp_path, 1)
    with pytest.raises(StopRun):
        Journal(tmp_path, RUN)
    other = tmp_path / "other"
    other.mkdir()
    (other / JOURNAL).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StopRun):
        Journal(other, RUN)
    assert not (tmp_path / "elsewhere").exists()


def test_the_limit_leaves_room_for_the_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path, RUN, limit=1000)
    with pytest.raises(StopRun, match="full"):
        for _ in range(100):
            journal.append({"kind": "exec"})
    count = journal.seq
    assert journal.append({"kind": "run.end", "reason": "internal"}) == count + 1
    journal.close()
    records, report = read(tmp_path)
    assert report.intact
    assert records[-1]["kind"] == "run.end"


def test_a_write_that_fails_or_falls_short_stops_the_run_and_leaves_whole_lines(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes the kernel take part of a line, as a full disk does."""
    code = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from supervisor.journal.writer import Journal
from supervisor.vocabulary.errors import StopRun
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path({str(tmp_path)!r}), {RUN!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
stopped = 0
for _ in range(40):
    try:
        journal.append({{"kind": "exec", "pad": "x" * 30}})
    except StopRun as error:
        assert error.exit_code == 121
        stopped += 1
        assert stopped > 1 or "short write" in error.why, error.why
journal.close()
print(journal.seq, stopped)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seq, stopped = map(int, done.stdout.split())
    assert stopped == 40 - seq > 0
    records, report = read(tmp_path)
    assert (len(records), report.torn, report.problems) == (seq, False, ())


def test_checkpoints_come_every_thousand(tmp_path: Path) -> None:
    journal = written(tmp_path, 2001)
    points = [json.loads(line)["seq"] for line in (tmp_path / CHECKPOINTS).read_text().splitlines()]
    assert points == [1000, 2000, 2001]
    records, report = read(tmp_path, run=RUN, end=(2001, journal.head))
    assert (len(records), report.head, report.intact) == (2001, journal.head, True)


def test_a_live_run_is_known_by_its_lock(tmp_path: Path) -> None:
    assert not is_live(tmp_path)
    journal = Journal(tmp_path, RUN)
    assert is_live(tmp_path)
    journal.close()
    assert not is_live(tmp_path)


# ---- reader ---------------------------------------------------------------------------------------------------------


def lines_of(folder: Path) -> list[bytes]:
    return (folder / JOURNAL).read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [*lines[:3], lines[3].replace(b'"n":3', b'"n":8'), *lines[4:]], "checkpoint"),
        (lambda lines: [*lines[:3], *lines[4:]], "seq 5 where 4 belongs"),
        (lambda lines: lines[:-1], "journal ends at 9"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "seq 2 where 1 belongs"),
        (lambda lines: [*lines, lines[-1]], "seq 10 where 11 belongs"),
        (lambda lines: [lines[0][:-1] + lines[1], *lines[2:]], "not a record"),
        (lambda lines: [line.replace(RUN.encode(), ids.new_ulid().encode()) for line in lines], "another run"),
        (lambda _: [], "journal ends at 0"),
        (lambda lines: [*lines[:5], b"x" * (codec.MAX_LINE + 10), *lines[5:]], "longer than"),
        (lambda lines: [*lines[:5], b"[" * 60000 + b"\n", *lines[6:]], "not a record"),
        (lambda lines: [*lines[:5], b"1" * 60000 + b"\n", *lines[6:]], "not a record"),
    ],
)
def test_tampering_is_found(tmp_path: Path, change: object, says: str) -> None:
    written(tmp_path, 10)
    (tmp_path / JOURNAL).write_bytes(b"".join(change(lines_of(tmp_path))))  # type: ignore[operator]
    _, report = read(tmp_path, run=RUN)
    assert not report.intact
    assert any(says in problem.text for problem in report.problems), report.problems


def test_a_torn_last_line_is_a_crash_not_tampering(tmp_path: Path) -> None:
    journal = Journal(tmp_path, RUN)
    journal.append({"kind": "a"})
    journal.append({"kind": "b"})
    os.truncate(tmp_path / JOURNAL, (tmp_path / JOURNAL).stat().st_size - 5)
    records, report = read(tmp_path)
    assert ([r["kind"] for r in records], report.torn, report.intact) == (["a"], True, True)
    journal.close()
    # Now there is a checkpoint that knows of the second record.
    assert not read(tmp_path)[1].intact


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / JOURNAL)
    with pytest.raises(OSError):
        read(tmp_path)
    assert not is_live(tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=80)), st.lists(st.binary(max_size=80)))
def test_rubbish_never_crashes_the_reader(journal: list[bytes], points: list[bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / JOURNAL).write_bytes(b"\n".join(journal))
        (folder / CHECKPOINTS).write_bytes(b"\n".join(points))
        records, report = read(folder)
        assert len(records) <= report.records
        assert len(report.problems) <= reader.MAX_PROBLEMS


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_single_changed_byte_is_found(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written(folder, 3)
        raw = bytearray((folder / JOURNAL).read_bytes())
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= data.draw(st.integers(1, 255))
        (folder / JOURNAL).write_bytes(raw)
        assert not read(folder)[1].intact


# ---- store ----------------------------------------------------------------------------------------------------------


def test_state_dir_is_made_private(tmp_path: Path) -> None:
    folder = store.state_dir({"XDG_STATE_HOME": str(tmp_path / "a/b")})
    assert folder == (tmp_path / "a/b/govrun").resolve()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert store.state_dir({"HOME": str(tmp_path), "XDG_STATE_HOME": "relative"}) == tmp_path / ".local/state/govrun"
    folder.chmod(0o755)
    store.state_dir({"XDG_STATE_HOME": str(tmp_path / "a/b")})
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_state_dir_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "govrun"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(HostError, match="cannot be trusted") as caught:
        store.state_dir({"XDG_STATE_HOME": str(tmp_path)})
    assert caught.value.exit_code == 125
    assert folder.stat().st_mode & 0o7777 == mode


def test_a_state_dir_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "govrun").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(HostError, match="cannot be trusted"):
        store.state_dir({"XDG_STATE_HOME": str(tmp_path)})


def test_a_state_dir_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError):
        store.state_dir({"XDG_STATE_HOME": str(tmp_path / "file")})
    (tmp_path / "govrun").touch()
    with pytest.raises(HostError):
        store.state_dir({"XDG_STATE_HOME": str(tmp_path)})


def test_runs_are_found_by_prefix(tmp_path: Path) -> None:
    state = store.state_dir({"XDG_STATE_HOME": str(tmp_path)})
    with pytest.raises(UsageError, match="no runs yet"):
        store.find_run(state, "latest")
    runs = [store.new_run(state) for _ in range(3)]
    names = sorted(name for name, _ in runs)
    (state / "runs" / "not-a-run").mkdir()
    assert store.list_runs(state) == names
    assert store.find_run(state, names[0]).name == names[0]
    assert store.find_run(state, names[0].lower()[:25] + names[0][25].lower()).name == names[0]
    assert store.find_run(state, "latest").name == names[-1]
    store.write_meta(state / "runs" / names[0], {"tree": "/a\udcff"})
    store.write_meta(state / "runs" / names[1], {"tree": "/b"})
    assert store.find_run(state, "latest", "/a\udcff").name == names[0]
    assert store.find_run(state, "latest", "/b").name == names[1]
    assert store.find_run(state, "latest", "/c").name == names[-1]
    assert store.find_run(state, names[2], "/b").name == names[2]
    with pytest.raises(UsageError, match="not unique"):
        store.find_run(state, "0")
    for bad in ("", "zzz", "../..", names[0] + "0"):
        with pytest.raises(UsageError):
            store.find_run(state, bad)
    assert runs[0][1].stat().st_mode & 0o777 == 0o700


def test_meta_is_replaced_in_one_step(tmp_path: Path) -> None:
    assert store.read_meta(tmp_path) == {}
    store.write_meta(tmp_path, {"run": RUN, "tree": b"/t\xff"})
    store.update_meta(tmp_path, end={"exit": None})
    assert store.read_meta(tmp_path) == {"run": RUN, "tree": "/t\\xff", "end": {"exit": None}}
    assert [p.name for p in tmp_path.iterdir()] == ["meta.json"]
    (tmp_path / "meta.json").write_bytes(b"[" * 100000)
    assert store.read_meta(tmp_path) == {}
    with pytest.raises(StopRun):
        store.write_meta(tmp_path / "absent", {})


def test_descriptors_are_close_on_exec(tmp_path: Path) -> None:
    journal = Journal(tmp_path, RUN)
    assert not any(os.get_inheritable(descriptor) for descriptor in journal.descriptors())
    journal.close()


def test_the_writer_module_needs_no_heavy_import() -> None:
    code = "import sys, supervisor.journal.writer, supervisor.journal.store; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"subprocess", "typer", "rich", "logging", "asyncio"} & set(done.stdout.split())
