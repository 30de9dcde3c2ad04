"""``govrun runs`` and ``govrun log`` on state folders made by the real writer, through typer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from supervisor.cli import log, runs
from supervisor.cli.text import command_line, safe
from supervisor.journal import store
from supervisor.journal.writer import JOURNAL, Journal
from supervisor.vocabulary.errors import UsageError

ROOT = Path(__file__).parents[3]


class Shell:
    def __init__(self, place: Path) -> None:
        self.env = {"XDG_STATE_HOME": str(place)}
        self.state = store.state_dir(self.env)
        self.app = typer.Typer()
        runs.register(self.app)
        log.register(self.app)

    def __call__(self, *words: str, code: int = 0) -> tuple[list[str], str]:
        done = CliRunner().invoke(self.app, words, env=self.env, catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.stdout.splitlines(), done.stderr

    def run(self, **meta: object) -> tuple[Path, Journal]:
        run, folder = store.new_run(self.state)
        store.write_meta(folder, {"run": run, "agent": "generic", "argv": ["bash", "-c", "x"], "tree": "/t", **meta})
        return folder, Journal(folder, run)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def deny(path: bytes) -> dict[str, object]:
    return {"kind": "fs.write", "phase": "outcome", "op": {"path": path}, "verdict": "deny", "outcome": "blocked",
            "invariant": "scope.write", "errno": "EACCES", "message": "outside the tree"}  # fmt: skip


def close(folder: Path, journal: Journal, **end: object) -> None:
    journal.close()
    counts = {"attempted": 3, "succeeded": 2, "failed": 0, "blocked": 1, "unknown": 0}
    base = {"status": "PASSED", "reason": "exit", "exit": 0, "seconds": 1.25, "counts": counts}
    store.update_meta(folder, end=base | {"seq": journal.seq, "chain": journal.head} | end)


def test_no_runs(shell: Shell) -> None:
    assert shell("runs")[0] == [f"no runs yet in {shell.state}"]
    assert shell("runs", "--json")[0] == []
    with pytest.raises(UsageError, match="no runs yet"):
        shell("log")


def test_runs_lists_ended_live_and_crashed_ones(shell: Shell) -> None:
    ended, journal = shell.run()
    close(ended, journal)
    live, held = shell.run(tree=b"/t\x1b[31m\n")
    crashed, gone = shell.run()
    os.close(gone.descriptors()[0])
    (shell.state / "runs" / ended.name / "meta.json").read_bytes()
    rows = {row["run"]: row for row in map(json.loads, shell("runs", "--json")[0])}
    assert (rows[ended.name]["status"], rows[ended.name]["seconds"], rows[ended.name]["exit"]) == ("PASSED", 1.25, 0)
    assert rows[ended.name]["counts"]["blocked"] == 1
    assert (rows[live.name]["status"], rows[live.name]["exit"]) == ("RUNNING", None)
    assert (rows[crashed.name]["status"], rows[crashed.name]["seconds"]) == ("UNKNOWN", None)
    lines, _ = shell("runs")
    assert len(lines) == 5
    assert lines[-1].startswith("no run of ") and lines[-1].endswith(": these are of other trees")
    assert not any("\x1b" in line for line in lines)
    held.close()


def test_runs_survives_rubbish(shell: Shell) -> None:
    for rubbish in (
        b"",
        b"[]",
        b"\xff",
        b'{"end": 3, "argv": 4, "start": {}}',
        b'{"end": {"counts": [], "exit": "x"}}',
    ):
        folder, journal = shell.run()
        journal.close()
        (folder / "meta.json").write_bytes(rubbish)
    assert len(shell("runs", "--all")[0]) == 6
    assert {json.loads(line)["status"] for line in shell("runs", "--json")[0]} == {"UNKNOWN"}


def test_log_tells_events_and_the_chain(shell: Shell) -> None:
    folder, journal = shell.run()
    journal.append({"kind": "run.start", "op": {"tree": "/t"}})
    journal.append(
        {
            "kind": "exec",
            "phase": "intent",
            "op": {"argv": [b"git", b"commit", b"-m", b"two words"]},
            "verdict": "allow",
        }
    )
    journal.append(deny(b"/etc/x\n\x1b[2J\xe2\x80\xaey\xff"))
    close(folder, journal)
    lines, _ = shell("log")
    assert lines[0] == f"{folder.name}   /t: bash -c x   (the newest of all: this tree has no run yet)"
    assert "git commit -m 'two words'" in lines[2]
    assert "allow   intent" in lines[2]
    assert "deny    blocked   scope.write /etc/x\\n\\x1b[2J\\u202ey\\xff [EACCES] · outside the tree" in lines[3]
    assert lines[4] == f"{folder.name}: 3 records, chain intact, head {journal.head[:16]}"
    assert len(shell("log", folder.name, "--blocked")[0]) == 3
    assert len(shell("log", "latest", "--kind", "fs")[0]) == 3
    with pytest.raises(UsageError, match="'f' is none of its words") as caught:
        shell("log", "--kind", "f")
    assert caught.value.exit_code == 2
    records, told = shell("log", "--json", "--blocked")
    assert [json.loads(record)["seq"] for record in records] == [3]
    assert told == ""


def test_an_intent_to_deny_counts_once_its_outcome_is_unknown(shell: Shell) -> None:
    folder, journal = shell.run()
    journal.append({"kind": "exec", "phase": "intent", "verdict": "kill", "op": {"argv": ["x"]}})
    journal.append({"kind": "exec", "phase": "outcome", "verdict": "warn", "outcome": "succeeded"})
    close(folder, journal)
    assert len(shell("log", "--blocked")[0]) == 3


def ended(shell: Shell, **meta: object) -> str:
    folder, journal = shell.run(**meta)
    close(folder, journal)
    time.sleep(0.002)  # names of one millisecond are in no order
    return folder.name


def test_runs_are_those_of_this_tree(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, below = tmp_path / "here", tmp_path / "here" / "src"
    below.mkdir(parents=True)
    (here / ".git").mkdir()
    monkeypatch.chdir(here)
    mine, theirs = ended(shell, tree=str(here)), ended(shell, tree="/other")
    for place in (here, *((below,) if _is_repository(here) else ())):
        monkeypatch.chdir(place)
        lines, _ = shell("runs")
        assert [line[:26] for line in lines[1:-1]] == [mine]
        assert lines[-1] == "1 of other trees: govrun runs --all"
        assert shell("log")[0][0] == f"{mine}   {here}: bash -c x"
    assert [line[:26] for line in shell("runs", "--all")[0][1:]] == [mine, theirs]
    rows, told = shell("runs", "--json")
    assert [json.loads(each)["run"] for each in rows] == [mine]
    assert told == "govrun: 1 of other trees: govrun runs --all\n"
    monkeypatch.chdir("/")
    assert shell("log")[0][0].startswith(f"{theirs}   /other: bash -c x   (the newest of all")


def _is_repository(tree: Path) -> bool:
    done = subprocess.run(["git", "init", "-q", str(tree)], capture_output=True)
    return done.returncode == 0


def test_runs_say_what_ran_and_name_one_tree_once(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "x" * 200
    ended(shell, tree="/one", argv=["sh", "-c", "make it"])
    ended(shell, tree="/one", argv=["echo", long])
    head, first, second = shell("runs", "--all")[0]
    assert head.endswith(" AGENT            COMMAND (in /one)") and first.endswith(" generic          sh -c 'make it'")
    assert second.endswith("x…") and len(second) < 200 and "/one" not in first + second
    ended(shell, tree="/another", argv=["true"])
    head, first, second, third = shell("runs", "--all")[0]
    assert head.endswith(" TREE      COMMAND") and first.endswith(" /one      sh -c 'make it'")
    assert third.endswith(" /another  true")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_runs_on_a_terminal_say_what_ran(shell: Shell, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    from supervisor.cli import lines

    monkeypatch.setattr(lines, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    tree = "/a/tree/with/a/long/name"
    names = [ended(shell, tree=tree, argv=["make", "all", "x" * 300]) for _ in range(2)]
    named, head, *rows = shell("runs", "--all")[0]
    assert named == f"in {tree}" and "TREE" not in head
    assert [row[:26] for row in rows] == names and all(len(row) <= width for row in (head, *rows))
    assert all(("make all x" in row and row.rstrip().endswith("x…")) == (width >= 80) for row in rows), rows
    ended(shell, tree="/other", argv=["true"])
    head, *rows = shell("runs", "--all")[0]
    assert [row[:26] for row in rows][:2] == names
    assert all(("make all" in row and "/a/tree" in row) == (width >= 80) for row in rows[:2]), rows


def test_runs_lists_fifty_and_says_how_many_more(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    ended(shell, tree="/other")
    names = [ended(shell, tree="/") for _ in range(53)]
    lines = shell("runs")[0]
    assert [line[:26] for line in lines[1:51]] == names[3:]
    assert lines[51] == "3 earlier ones: govrun runs -n 53"
    assert [line[:26] for line in shell("runs", "-n", "2")[0][1:3]] == names[-2:]
    assert lines[52] == "1 of other trees: govrun runs --all"
    assert len(shell("runs", "-n", "53")[0]) == 55
    assert len(shell("runs", "--all")[0]) == 55
    assert shell("runs", "--all", "-n", "4")[0][5] == "50 earlier ones: govrun runs --all -n 54"
    assert len(shell("runs", "--json")[0]) == 50


def test_runs_tell_of_reverts_and_of_every_count(shell: Shell) -> None:
    folder, journal = shell.run()
    counts = {"attempted": 3, "succeeded": 3, "blocked": 0, "reverts": 7, "kills": 1, "external": 2, "divergence": 4}
    close(folder, journal, counts=counts)
    older = ended(shell)
    head, line, without, *_ = shell("runs")[0]
    assert head.split()[5:8] == ["ACTS", "BLOCKED", "REVERTS"]
    assert line.split()[5:8] == ["3", "0", "7"]
    assert without.startswith(older) and without.split()[5:8] == ["3", "1", "-"]
    assert json.loads(shell("runs", "--json")[0][0])["counts"] == counts


@pytest.mark.parametrize(
    ("width", "left_out", "others"),
    [
        (200, "", ""),
        (100, "AGENT ACTS", "AGENT ACTS TIME START"),
        (80, "AGENT ACTS TIME START", "AGENT ACTS TIME START REVERTS"),
        (50, "AGENT ACTS TIME START REVERTS COMMAND", "AGENT ACTS TIME START REVERTS TREE COMMAND"),
    ],
)
def test_a_terminal_gets_the_columns_that_fit(width: int, left_out: str, others: str) -> None:
    cells = ("0" * 26, "2026-11-27 07:16:04", "12.0s", "PASSED", "12", "0", "7", "generic", "/t" * 40, "make " * 40)
    other = (*cells[:-2], "/u", "make")
    for rows, wanted in (([cells, cells], f"TREE {left_out}"), ([cells, other], others)):
        widths = runs._fitting(rows, width)
        assert {name.split()[0] for at, name in enumerate(runs._HEAD) if at not in widths} == set(wanted.split())
        assert sum(widths.values()) + 2 * (len(widths) - 1) <= width


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_a_broken_chain_is_told_and_exits_1(shell: Shell, json_too: list[str]) -> None:
    folder, journal = shell.run()
    for _ in range(3):
        journal.append(deny(b"/etc/x"))
    close(folder, journal)
    path = folder / JOURNAL
    path.write_bytes(path.read_bytes().replace(b"deny", b"warn", 1))
    lines, told = shell("log", *json_too, code=1)
    assert "chain BROKEN" in (told if json_too else "\n".join(lines))


def test_a_cut_journal_is_found_by_the_end_in_meta(shell: Shell) -> None:
    folder, journal = shell.run()
    for _ in range(3):
        journal.append(deny(b"/etc/x"))
    close(folder, journal)
    (folder / "chain.jsonl").write_bytes(b"")
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    (folder / JOURNAL).write_bytes(b"".join(lines[:2]))
    assert "journal ends at 2" in "\n".join(shell("log", code=1)[0])


def test_a_live_and_a_torn_journal_are_not_broken(shell: Shell) -> None:
    folder, journal = shell.run()
    journal.append(deny(b"/x"))
    assert "(the run goes on)" in shell("log")[0][-1]
    os.truncate(folder / JOURNAL, 20)
    for descriptor in journal.descriptors():
        os.close(descriptor)
    assert "torn" in shell("log")[0][-1]


def test_a_run_without_a_journal(shell: Shell) -> None:
    store.new_run(shell.state)
    with pytest.raises(UsageError, match="cannot be read") as caught:
        shell("log")
    assert caught.value.exit_code == 2


def test_a_reader_that_goes_away_is_no_error(shell: Shell) -> None:
    folder, journal = shell.run()
    for _ in range(3000):
        journal.append(deny(b"/etc/x" * 20))
    close(folder, journal)
    code = (
        "import typer; from supervisor.cli import log, runs; app = typer.Typer();"
        "log.register(app); runs.register(app); app()"
    )
    command = f"{sys.executable} -c '{code}' log | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=os.environ | shell.env, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == ["141"]


@given(st.text())
def test_safe_shows_nothing_hidden(text: str) -> None:
    shown = safe(text)
    assert shown.isprintable() or all(c.isprintable() or c in "\u00a0\u3000\u2003" or c.isspace() for c in shown)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert not set(shown) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f\ufeff\u2028\x85\x9b"
    )


def test_safe_bytes_limit_and_command_lines() -> None:
    assert safe(b"a\xff\n") == "a\\xff\\n"
    assert safe("abcdef", 4) == "abc…"
    assert safe("größe") == "größe"
    assert command_line(["a b", "c'd", "\x1b"]) == "'a b' 'c'\"'\"'d' '\\x1b'"


def test_runs_on_a_terminal_are_drawn_and_safe(shell: Shell) -> None:
    folder, journal = shell.run(tree=b"/t\x1b]0;title\x07[red]x")
    close(folder, journal)
    code = "import typer; from supervisor.cli import log, runs; app = typer.Typer();"
    code += "runs.register(app); log.register(app); app()"
    leader, follower = os.openpty()
    env = os.environ | shell.env | {"TERM": "xterm", "COLUMNS": "200"}
    env.pop("NO_COLOR", None)
    subprocess.run([sys.executable, "-c", code, "runs"], cwd=ROOT, env=env, stdout=follower, check=True)
    os.close(follower)
    drawn = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert folder.name in drawn
    assert "\x1b[32mPASSED" in drawn
    assert "/t\\x1b]0;title\\x07[red]x" in drawn
