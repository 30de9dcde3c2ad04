"""Journals that nobody of ours wrote: no traceback, nothing raw, a clear word and the right exit code."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from supervisor.journal import schema, store
from supervisor.journal.writer import JOURNAL, Journal

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Reading

NASTY = (
    "a\x1b[31m\x1b]0;t\x07\r\n\t\x00\x9b\u202e\u2066\u200b\ufeff\u2028\ud800\U000e0041[red]x[/red][/]\\e" + "é漢" * 9
)
WORDS = (
    "log", "log --json", "log -n 1", "log --path a* --command x", "log --blocked", "show", "show --json", "why",
    "why --json", "runs", "runs --json", "runs --all",
)  # fmt: skip
COMMANDS = tuple(words.split() for words in WORDS)
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def neat(lines: list[str]) -> None:
    for line in lines:
        assert not [c for c in line if unicodedata.category(c) in HIDDEN], ascii(line)


def act(**more: Any) -> dict[str, Any]:
    return {
        "kind": "fs.write", "phase": "outcome", "op": {"call": "openat", "path": f"/w/{NASTY}", "to": NASTY},
        "verdict": "deny", "outcome": "blocked", "errno": 13, "message": NASTY, "invariant": NASTY, "matched": [NASTY],
        "invariant_kind": NASTY, "adr": NASTY, "adr_blob": NASTY, "why": NASTY, "use": NASTY, "source": NASTY + ":5",
        "actor": {"pid": 7, "ppid": 1, "start": 5, "exe": NASTY, "argv": [NASTY] * 3}, "coverage": NASTY,
    } | more  # fmt: skip


SPOKEN = [
    {"kind": "run.start", "phase": "outcome", "op": {"argv": [NASTY, "[bold]"], "cwd": NASTY}},
    act(),
    act(kind="exec", op={"path": NASTY, "argv": [NASTY] * 40, "cwd": NASTY, "chain": [NASTY]}),
    act(kind="fs.write", phase="intent", verdict="revert", outcome=None),
    {"kind": "fs.write", "phase": "outcome", "cause": 4, "outcome": "reverted",
     "op": {"path": NASTY, "how": "removed", "quarantine": NASTY, "detail": NASTY, "diff": f"+{NASTY}\n-{NASTY}"}},
    act(kind="net.connect", op={"host": NASTY, "port": 5, "transport": NASTY}),
    act(kind="net.listen", op={"unix": NASTY, "call": NASTY}),
    act(kind="git.ref", op={"ref": NASTY, "old": NASTY, "new": NASTY}),
    act(kind="state", op={"keys": [NASTY], "path": NASTY}),
    act(verdict="kill"),
    {"kind": "external", "phase": "outcome", "op": {"path": NASTY, "reason": NASTY}, "invariant": NASTY,
     "message": NASTY},
    {"kind": "external", "phase": "outcome", "op": {"path": NASTY, "divergence": True, "target": NASTY}},
    {"kind": "gap", "phase": "outcome", "op": {"reason": NASTY, "detail": NASTY}},
    {"kind": NASTY, "phase": NASTY, "op": {NASTY: NASTY}, NASTY: NASTY},
]  # fmt: skip
META = {
    "agent": NASTY, "argv": [NASTY, NASTY], "policy": NASTY, "start": NASTY,
    "sources": [{"name": NASTY, "path": NASTY, "sha256": NASTY}],
    "decisions": [{"id": NASTY, "blob": NASTY, "title": NASTY, "path": NASTY}],
    "end": {"status": NASTY, "reason": NASTY, "exit": 5, "code": 6, "seconds": 2.5, "counts": {NASTY: 5}},
}  # fmt: skip


def test_nothing_is_shown_raw(reading: Reading) -> None:
    folder = reading.crafted(SPOKEN, **META)
    (folder / "notes.jsonl").write_text(json.dumps({"commit": NASTY}) + "\n" + json.dumps({"problem": NASTY}) + "\n")
    commands = [*COMMANDS, *(["why", "latest", str(seq)] for seq in range(1, len(SPOKEN) + 1))]
    for words in commands:
        lines = reading(*words)
        neat(lines)
        assert "[red]x[/red]" in "\n".join(lines) or words[0] == "runs" or "-n" in words, words
        assert "--json" in words or max(map(len, lines)) < 4000


@pytest.mark.parametrize(
    "word", [NASTY.replace("\0", ""), "\x1b[31m", "\u202e", "x" * 5000, "ZZ", "./1", "0" * 30, "[red]"]
)
def test_words_of_the_command_line_come_back_neat(reading: Reading, word: str) -> None:
    reading.run({"kind": "gap", "phase": "outcome", "op": {"reason": "r"}})
    for words in (["log", word], ["show", word], ["why", word], ["why", "latest", word], ["why", word, "1"],
                  ["log", "--kind", word], ["log", "--since", word], ["log", "--seq", word]):  # fmt: skip
        lines = reading(*words, code=2)
        assert lines[0].startswith("govrun: ") and any(line.startswith("  fix: ") for line in lines)
        assert max(map(len, lines)) < 6000


def rubbish(folder: Path) -> None:
    (folder / JOURNAL).unlink()


LINES = {
    "empty": ([], 0),
    "torn": ([{"kind": "exec"}, b'{"v":2,"run'], 0),
    "binary": ([os.urandom(5000) + b"\n"], 1),
    "foreign": ([b"#!/bin/sh\n", b"echo hello\n"], 1),
    "other json": ([b"[]\n", b"5\n", b"null\n", b'"x"\n', b"{}\n"], 1),
    "of another run": ([b'{"v":2,"run":"01ARZ3NDEKTSV4RRFFQ69G5FAV","seq":1,"kind":"exec"}\n'], 1),
    "out of order": ([{"kind": "exec", "seq": 5}, {"kind": "exec", "seq": 5}], 1),
    "deep": ([b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"\n"], 1),
    "long": ([{"kind": "exec", "op": {"path": "x" * 70_000}}, {"kind": "exec"}], 1),
    "one long line": ([b"x" * 3_000_000], 1),
    "huge numbers": ([{"kind": "exec", "phase": "intent", "cause": 10**40, "errno": 10**30, "time": 10**50},
                      {"kind": "exec", "phase": "outcome", "cause": 10**18, "outcome": "failed", "errno": -(10**20)},
                      {"kind": "exec", "phase": "outcome", "cause": -1, "outcome": "failed", "errno": True}], 0),
    "not a number": ([b'{"seq":NaN}\n', b'{"seq":' + b"9" * 5000 + b"}\n"], 1),
    "numbers that are none": ([{"kind": "exec", "seq": [1]}, {"kind": "exec", "cause": 1, "outcome": "failed"},
                               {"kind": "exec", "seq": {}, "phase": "intent"}], 1),
    "newer": ([{"v": 99, "kind": "exec", "phase": "intent", "op": {"new": "thing"}}], 0),
    "a loop of causes": ([{"kind": "exec", "phase": "intent", "cause": 2},
                          {"kind": "exec", "phase": "intent", "cause": 1}], 0),
    "a loop of parents": ([{"kind": "exec", "phase": "intent", "actor": {"pid": 5, "ppid": 6, "start": 1}},
                           {"kind": "exec", "phase": "intent", "actor": {"pid": 6, "ppid": 5, "start": 1}}], 0),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_lines_that_are_none(reading: Reading, name: str) -> None:
    lines, code = LINES[name]
    reading.crafted(lines)  # type: ignore[arg-type]
    for words in COMMANDS:
        neat(reading(*words, code=0 if words[0] == "runs" else code))
    for seq in range(1, len(lines) + 1):
        for words in (["why", "latest", str(seq)], ["why", "latest", str(seq), "--json"]):
            neat(reading(*words, code=None))


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [Path.unlink, fifo, link, folder], ids=["missing", "fifo", "link", "folder"])
def test_journals_that_cannot_be_read(reading: Reading, damage: Any) -> None:
    run = reading.run({"kind": "gap", "phase": "outcome", "op": {"reason": "r"}})
    damage(run / JOURNAL)
    for words in (
        ["log"],
        ["log", "--json"],
        ["show"],
        ["show", "--json"],
        ["why"],
        ["why", "latest", "1"],
        ["why", "latest", "a"],
    ):
        lines = reading(*words, code=2)
        assert [line[:6] for line in lines] == ["govrun", "  why:", "  fix:"], lines
        assert "cannot be read" in lines[0]
    assert reading("runs")[1].startswith(run.name)
    assert "nothing is known" in reading("why", "src/a", code=2)[0]


DESCRIPTIONS = [
    b"", b"[]", b"\xff", b"{", b'{"tree":"\\u0000","argv":5,"end":[],"sources":5,"decisions":[5]}',
    b'{"tree":"\\ud800","end":{"counts":5,"seq":"x","seconds":"y"},"git":5}',
]  # fmt: skip


@pytest.mark.parametrize("text", DESCRIPTIONS)
def test_a_description_that_is_none(reading: Reading, text: bytes) -> None:
    run = reading.run(act())
    (run / "meta.json").write_bytes(text)
    (run / "notes.jsonl").write_bytes(b"\xff\n[]\n{\n" + b"x" * 200_000)
    for words in (*COMMANDS, ["why", "latest", "1"], ["why", "latest", "1", "--json"]):
        neat(reading(*words))
    reading("why", "latest", "nothing", code=2)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.just(NASTY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*schema.OP, "x"]), inner, max_size=3),
    max_leaves=6,
)
records = st.dictionaries(st.sampled_from([*schema.FIELDS, "how", "violation"]), values, max_size=9)
likely = st.fixed_dictionaries(
    {"kind": st.sampled_from([*schema.KINDS]), "phase": st.sampled_from(["intent", "outcome"])},
    optional={
        "cause": st.integers(0, 4), "outcome": st.sampled_from(schema.OUTCOMES), "invariant": values, "matched": values,
        "op": st.dictionaries(st.sampled_from([*schema.OP]), values, max_size=4),
        "verdict": st.sampled_from(schema.VERDICTS),
        "actor": st.fixed_dictionaries({}, optional={"pid": values, "ppid": values, "start": values, "argv": values}),
    },
)  # fmt: skip


@settings(
    max_examples=8,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a journal of many records finds as much as many journals, which cost more
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(records | likely, min_size=5, max_size=12))
def test_any_values_anywhere(reading: Reading, lines: list[dict[str, Any]]) -> None:
    run = reading.crafted(lines)
    numbered = enumerate(lines, 1)
    whole = all(each.get("seq", at) == at and each.get("run", run.name) == run.name for at, each in numbered)
    for words in COMMANDS:
        neat(reading(*words, code=int(not whole and words[0] != "runs")))
    for word in ("1", "2", "5", "/x", "."):
        for words in (["why", "latest", word], ["why", "latest", word, "--json"]):
            neat(reading(*words, code=None))
    shutil.rmtree(run)


def test_many_records_and_little_memory(reading: Reading) -> None:
    """What is kept of a journal does not grow with it."""
    import tracemalloc

    commands = (["log", "-n", "20"], ["show"], ["why"], ["why", "latest", "5"], ["why", "latest", "/to"])
    reading.run(*(act(op={"path": "/x", "to": "/to"}) for _ in range(5)))
    for words in commands:
        reading(*words)  # imports
    spent = []
    for count in (2_500, 4_500):
        run = reading.folder()
        journal = Journal(run, run.name)
        for number in range(count):
            rule, op = f"i{number}", {"path": f"/w/{number}", "to": "/to"}
            journal.append(act(op=op, invariant=rule, matched=[rule], phase="intent" if number % 2 else "outcome"))
        journal.close()
        for words in commands:
            tracemalloc.start()
            reading(*words)
            spent.append((words, tracemalloc.get_traced_memory()[1]))
            tracemalloc.stop()
    half = len(spent) // 2
    for (words, little), (_, much) in zip(spent[:half], spent[half:], strict=True):
        assert much < little + (1 << 20), (words, little, much)


def test_runs_of_strangers_are_listed(reading: Reading) -> None:
    (reading.state / "runs").mkdir(exist_ok=True)
    for name in ("x", "01ARZ3NDEKTSV4RRFFQ69G5FAV"):
        (reading.state / "runs" / name).mkdir()
    assert store.list_runs(reading.state) == ["01ARZ3NDEKTSV4RRFFQ69G5FAV"]
    assert reading("runs")[1].startswith("01ARZ3NDEKTSV4RRFFQ69G5FAV  2016-07-30")
