"""Records as lines: plain ones have one form, drawn ones fit; and what becomes of output that cannot be written."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from supervisor.cli import lines
from supervisor.cli.text import emit, safe
from supervisor.run.subject import about
from supervisor.vocabulary.errors import HostError

SGR = re.compile(r"\x1b\[[0-9;]*m")
BASE: dict[str, object] = {"seq": 12, "time": "2026-11-27T10:00:01.250Z", "kind": "fs.write", "phase": "intent"}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(width: int, **env: str) -> lines.Terminal:
        for name in ("NO_COLOR", "COLORTERM", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in ({"COLUMNS": str(width), "TERM": "xterm", "FORCE_COLOR": "1"} | env).items():
            monkeypatch.setenv(name, value)
        return lines.Terminal()

    return made


def test_a_plain_line() -> None:
    assert lines.line_of(BASE | {"op": {"path": "/x"}}) == "    12 10:00:01.250 fs.write    -       intent    - /x"
    refused = {"verdict": "deny", "outcome": "blocked", "invariant": "i", "adr": "7", "errno": 13, "message": "no"}
    assert lines.line_of(BASE | refused | {"op": {"path": "/x", "to": "/y"}}) == (
        "    12 10:00:01.250 fs.write    deny    blocked   i<-7 /x -> /y [EACCES] · no"
    )
    told = {"phase": "outcome", "outcome": "succeeded", "cause": 11}
    assert lines.line_of(BASE | told, {"op": {"path": "/x"}}).endswith(" succeeded - /x")
    assert lines.line_of({}) == "     -              -           -       -         -"


@pytest.mark.parametrize(
    ("op", "told"),
    [
        ({"argv": ["git", "commit", "-m", "two words"], "path": "/usr/bin/git"}, "git commit -m 'two words'"),
        ({"path": "/x", "target": "/y"}, "/x -> /y"),
        ({"path": "/x", "reason": "r"}, "/x reason=r"),
        ({"ref": "refs/heads/x", "old": "", "new": "a" * 40}, "refs/heads/x - -> aaaaaaaaaaaa"),
        ({"call": "connect", "host": "::1", "port": 5, "transport": "tcp", "own": True}, "connect ::1:5/tcp"),
        ({"call": "bind", "unix": "/s", "transport": "stream"}, "bind /s"),
        ({"host": "", "port": 0, "transport": "peer"}, "-:0/peer"),
        ({"reason": "exit", "counts": {"a": 1}, "exit": None}, "reason=exit exit=None"),
        ({"call": "signal", "pid": 1, "detail": "SIGKILL"}, "call=signal pid=1 detail=SIGKILL"),
        ({}, ""),
    ],
)
def test_what_an_act_is_about(op: dict[str, object], told: str) -> None:
    assert about(op) == told


texts = st.text(st.characters(codec="utf-8") | st.sampled_from("é漢\u0301 \x1b\u202e"), max_size=60)
drawn = st.fixed_dictionaries(
    {"seq": st.integers(0, 10**7), "kind": texts | st.just("fs.write"), "time": st.just(BASE["time"])},
    optional={
        "verdict": st.sampled_from(["deny", "allow", "revert"]), "outcome": texts, "errno": st.just(13),
        "message": texts, "invariant": texts, "op": st.fixed_dictionaries({"path": texts}),
    },
)  # fmt: skip


@settings(max_examples=150, deadline=None, database=None)
@given(record=drawn, width=st.integers(40, 160))
def test_what_is_drawn_fits_and_is_neat(record: dict[str, object], width: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "xterm")
        patch.setenv("FORCE_COLOR", "1")
        patch.delenv("NO_COLOR", raising=False)
        draw = lines.drawer(lines.Terminal(), "/t")
    shown = list(draw(record, None))
    for line in shown:
        plain = SGR.sub("", line)
        assert not [c for c in plain if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")]
        assert cell_len(plain) <= width, (width, plain)


@settings(max_examples=150, deadline=None, database=None)
@given(text=st.text(st.sampled_from("ab 漢é"), max_size=80), width=st.integers(2, 30))
def test_wrapping_loses_nothing(text: str, width: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        terminal = lines.Terminal()
    found = list(terminal.wrap(text, width))
    assert all(cell_len(line) <= width for line in found)
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
    whole = list(terminal.wrap(text, width, whole=True))
    assert " ".join(whole).split() == text.split()


def test_colours_follow_the_terminal(terminal: Any) -> None:
    assert terminal(80).paint("x", "red") == "\x1b[31mx\x1b[0m"
    assert terminal(80).paint("[red]x", "") == "[red]x"
    assert terminal(80, NO_COLOR="1").paint("x", "red") == "x"
    assert terminal(80, TERM="dumb").paint("x", "red") == "x"


def test_a_narrow_terminal_gets_more_lines(terminal: Any) -> None:
    record = BASE | {"op": {"path": "/t/src/app.py"}, "invariant": "i", "message": "not so: do this"}
    wide = [SGR.sub("", line) for line in lines.drawer(terminal(120), "/t")(record, None)]
    assert wide == ["    12 10:00:01.250 fs.write    -       intent    src/app.py", " " * 20 + "i: not so: do this"]
    narrow = [SGR.sub("", line).rstrip() for line in lines.drawer(terminal(40), "/t")(record, None)]
    assert narrow == ["    12 fs.write    -       intent", "       src/app.py", "       i: not so: do this"]


def paged(monkeypatch: pytest.MonkeyPatch, terminal: Any, width: int, *given: str) -> list[str]:
    terminal(width)
    monkeypatch.setattr(lines, "on_terminal", lambda: True)
    return [SGR.sub("", line) for line in lines.paged(given)]


def lineage_line() -> str:
    from supervisor.cli.lineage import _line
    from supervisor.provenance.lineage import Transition
    from supervisor.run.lineages import Told

    made = Transition(n=7, pre="a" * 12, post="b" * 12, since=3, upto=9, paths=2, why="")
    return _line(Told(made, (("sh", "-c", "one two three four five six seven"),), 0))


def blame_line() -> str:
    from supervisor.cli.blame import _shown, _Told
    from supervisor.run.blaming import Author, Line

    author = Author(run="0" * 26, since=3, upto=12, argv=("sleep", "5"), verdict="allow")
    (line,) = _shown([_Told(Line(b"    value = some(thing) # and so on", author), "", ())])
    return line


@pytest.mark.parametrize("made", [lineage_line, blame_line])
def test_what_has_no_room_goes_on_below_its_column(monkeypatch: pytest.MonkeyPatch, terminal: Any, made: Any) -> None:
    line = made()
    text = line[line.index("sh -c" if made is lineage_line else "value") :]
    column = line.index(text)
    found = paged(monkeypatch, terminal, column + 26, line)
    assert len(found) > 1 and found[0].startswith(line[:column])
    assert all(each.startswith(" " * column) and each[column] != " " for each in found[1:])
    assert " ".join(each[column:] for each in found) == text
    assert paged(monkeypatch, terminal, 200, line) == [line]


def test_what_is_to_be_pasted_is_one_line(monkeypatch: pytest.MonkeyPatch, terminal: Any) -> None:
    line = "git --git-dir=/a/b diff " + "word " * 20
    assert paged(monkeypatch, terminal, 80, line) == [line]


def test_a_run_and_what_is_said_of_it(monkeypatch: pytest.MonkeyPatch, terminal: Any) -> None:
    run = "01JXK3ZQ4V8M0000000000000A"
    told = f"{run} verified (native) PASSED: 15 events, signed by ada@host, number 1 of its ledger"
    found = paged(monkeypatch, terminal, 80, told)
    assert [len(found), *(cell_len(each) <= 80 for each in found)] == [2, True, True]
    assert found[1] == " " * 27 + "ada@host, number 1 of its ledger"
    # A word that has no room there goes on at the margin, whole.
    path = "/" + "x" * 60
    assert [each.strip() for each in paged(monkeypatch, terminal, 80, f"{run}   {path}: true")] == [
        run,
        f"{path}: true",
    ]


def test_what_cannot_be_written_is_told() -> None:
    with open("/dev/full", "w") as full, pytest.raises(HostError, match="standard output") as caught:
        emit(["x"], full)
    assert caught.value.why == "No space left on device" and caught.value.exit_code == 125


def test_an_error_of_what_is_read_is_not_one_of_the_output() -> None:
    def fails() -> Any:
        yield "x"
        raise OSError(5, "Input/output error")

    read, write = os.pipe()
    with os.fdopen(write, "w") as stream, pytest.raises(OSError, match="Input/output"):
        emit(fails(), stream)
    os.close(read)


def test_a_reader_that_went_away_ends_it() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream, pytest.raises(SystemExit) as caught:
        emit(["x" * 100_000], stream)
    assert caught.value.code == 141


def test_safe_is_idempotent() -> None:
    text = "a\x1b\u202e\\x\ud800"
    assert safe(safe(text)) == safe(text)


def test_a_run_that_cannot_be_finished_can_be_given_up() -> None:
    from supervisor.cli.recover import _lines
    from supervisor.run.recovery import Recovered

    open_end = Recovered("01A", "/t", "recovered", ("not noted: no such repository",), failed=True)
    done = Recovered("01B", "/t", "recovered", ("marked UNKNOWN",))
    lines = list(_lines([open_end, done], Path("/s t\x1b/govrun")))
    assert [line for line in lines if "give it up" in line] == [r"  to give it up: rm -r '/s t\x1b/govrun/runs/01A'"]
