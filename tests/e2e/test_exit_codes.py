"""Exit codes, streams, banner and end: what a script or a shell around govrun relies on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

ULID = "[0-9A-HJKMNP-TV-Z]{26}"


@pytest.mark.parametrize("code", [0, 1, 2, 42, 121, 122, 124, 125, 126, 127, 255])
def test_own_code(govrun: Govrun, code: int) -> None:
    """Agents may use govrun's own numbers too; then the run's `end` tells them apart."""
    outcome = govrun("bash", "-c", f"exit {code}")
    assert outcome.code == code
    assert outcome.records(kind="run.end")[-1]["op"]["reason"] == "exit"


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "HUP", "PIPE"])
def test_own_signal(govrun: Govrun, name: str) -> None:
    outcome = govrun("bash", "-c", f"kill -{name} $$")
    assert outcome.code == 128 + signal.Signals[f"SIG{name}"]
    assert outcome.records(kind="run.end")[-1]["op"]["reason"] == "signal"


def _told(text: str, *words: str) -> None:
    """An error in three parts: what failed, why, what to do; no traceback."""
    lines = text.splitlines()
    assert any(line.startswith("govrun: ") for line in lines), text
    assert any(re.match(r"\s+why: ", line) for line in lines), text
    assert any(re.match(r"\s+fix: ", line) for line in lines), text
    assert "Traceback" not in text
    for word in words:
        assert word in text, text


def test_command_not_found(govrun: Govrun) -> None:
    outcome = govrun("no-such-command-here")
    assert outcome.code == 127
    assert "no-such-command-here" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("name", ["./plain", "./src", "/etc/passwd"])
def test_command_not_executable(govrun: Govrun, repo: Path, name: str) -> None:
    (repo / "plain").write_text("echo no\n")
    outcome = govrun(name)
    assert outcome.code == 126
    assert "Traceback" not in outcome.stderr


def test_missing_path_is_not_found(govrun: Govrun) -> None:
    assert govrun("./none/such").code == 127


def test_time_out(govrun: Govrun, repo: Path) -> None:
    (repo / "govrun.toml").write_text('version = 1\n[scope]\ntimeout = "1s"\n')
    outcome = govrun("bash", "-c", "sleep 60 & trap '' TERM; echo $! > pids; echo $$ >> pids; sleep 60; sleep 60")
    assert outcome.code == 124
    assert outcome.records(kind="run.end")[-1]["op"]["reason"] == "timeout"
    assert "timeout" in outcome.stderr
    for pid in (repo / "pids").read_text().split():
        assert not Path(f"/proc/{pid}").exists()


def test_fail_on_deny(govrun: Govrun) -> None:
    command = ("bash", "-c", "echo x > $HOME/outside; exit 0")
    assert govrun(*command).code == 0
    assert govrun(*command, options=["--fail-on", "deny"]).code == 123
    failed = govrun("bash", "-c", "echo x > $HOME/outside; exit 5", options=["--fail-on", "deny"])
    assert (failed.code, failed.records(kind="run.end")[-1]["op"]["status"]) == (5, "FAILED")
    assert govrun("true", options=["--fail-on", "deny"]).code == 0


USAGE = {
    "no command": ["--"],
    "unknown option": ["--no-such-option", "--", "true"],
    "unknown subcommand": ["exlpain"],
    "missing root": ["--root", "none", "--", "true"],
    "unknown level": ["--require", "everything", "--", "true"],
    "option without a value": ["--profile"],
}


@pytest.mark.parametrize("name", USAGE)
def test_usage(govrun: Govrun, name: str) -> None:
    """Nothing ran: 125 (2 where the subcommand parser speaks), what failed and what to do, no run recorded."""
    outcome = govrun.cli(*USAGE[name])
    assert outcome.code in (2, 125), outcome.stderr
    assert outcome.stderr.strip()
    assert "Traceback" not in outcome.stderr and "BUG" not in outcome.stderr, outcome.stderr
    assert outcome.run_dir is None


def test_temporary_space_is_a_run_s_own(govrun: Govrun, repo: Path) -> None:
    """Programs keep files under fixed names there (pytest-of-USER, jest_0): a second run must not find them taken."""
    (repo / "test_tmp.py").write_text("def test_it(tmp_path):\n    (tmp_path / 'x').write_text('y')\n")
    script = (
        f"{govrun.interpreter} -I -B -m pytest -q -p no:cacheprovider test_tmp.py; "
        "d=${TMPDIR:-/tmp}; mkdir -p $d/fixed; echo x >> $d/fixed/x; cat $d/fixed/x; mktemp -d; echo $TMPDIR"
    )
    seen = []
    for _ in range(2):
        outcome = govrun("bash", "-ec", script).ok()
        lines = outcome.stdout.decode().splitlines()
        assert lines[-4].startswith("1 passed")
        assert lines[-3] == "x"
        assert lines[-2].startswith(lines[-1] + "/")
        assert not outcome.denied()
        assert not Path(lines[-1]).exists()
        seen.append(lines[-1])
    assert seen[0] != seen[1]


def test_temporary_space_of_the_profile(govrun: Govrun, repo: Path) -> None:
    (repo / "govrun.toml").write_text('version = 1\n[scope]\nenv = { set = { TMPDIR = "/nowhere" } }\n')
    assert govrun("sh", "-c", "echo $TMPDIR").ok().stdout == b"/nowhere\n"


def test_no_words_at_all(govrun: Govrun) -> None:
    """Shows what there is, as `--help` does."""
    for words in ([], ["--help"]):
        outcome = govrun.cli(*words)
        told = outcome.stdout.decode() + outcome.stderr
        assert "explain" in told and "BUG" not in told, told
        assert outcome.run_dir is None


def test_stdout_is_the_command_s(govrun: Govrun) -> None:
    """A megabyte of every byte value, through a pipe, unchanged; nothing of govrun's between."""
    outcome = govrun("/usr/bin/python3", "-c", "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4096)").ok()
    assert hashlib.sha256(outcome.stdout).digest() == hashlib.sha256(bytes(range(256)) * 4096).digest()


def test_stdin_reaches_the_command(govrun: Govrun) -> None:
    data = bytes(range(256)) * 100
    assert govrun("cat", stdin=data).ok().stdout == data


def test_streams_to_files(govrun: Govrun, home: Path) -> None:
    """Redirections are the user's: outside the tree, opened before the run."""
    with (home / "out").open("wb") as out, (home / "err").open("wb") as err:
        code = govrun.start("bash", "-c", "echo one; echo two >&2", stdout=out, stderr=err).process.wait(30)
    assert code == 0
    assert (home / "out").read_bytes() == b"one\n"
    assert b"two\n" in (home / "err").read_bytes()


def test_closed_streams(govrun: Govrun) -> None:
    words = govrun.argv("--", "bash", "-c", "exit 3")
    line = " ".join(f"'{os.fsdecode(word)}'" for word in words)
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        assert govrun.bare("bash", "-c", f"{line} {closed}").returncode == 3, closed


def test_banner_and_end(govrun: Govrun) -> None:
    outcome = govrun("bash", "-c", "echo hello").ok()
    lines = outcome.stderr.splitlines()
    assert re.match(rf"govrun {ULID}: \S+ in .*repo \(inplace, base tier\) · \d+ invariants: ", lines[0]), lines[0]
    assert outcome.run in lines[0]
    assert 1 <= len(lines) - 1 <= 4, lines
    assert outcome.stdout == b"hello\n"


def test_banner_counts_coverage(govrun: Govrun, repo: Path) -> None:
    """A rule whose judge does not exist yet is said to be unenforceable, up front, and the run starts."""
    text = 'version = 1\n[[infra]]\nid = "layered"\nwhy = "one way"\napi = [{ host = "a.example" }]\n'
    (repo / "govrun.toml").write_text(text)
    outcome = govrun("true").ok()
    assert "1 unenforceable" in outcome.stderr.splitlines()[0]
    (repo / "govrun.toml").write_text('require = "supervised"\n' + text)
    refused = govrun("true")
    assert refused.code == 125
    _told(refused.stderr, "layered", "unenforceable")
    (repo / "govrun.toml").write_text(text)
    assert govrun("true", options=["--require", "supervised"]).code == 125


def test_quiet(govrun: Govrun) -> None:
    assert govrun("bash", "-c", "echo hello", options=["--quiet"]).ok().stderr == ""
    outcome = govrun("bash", "-c", "echo x > $HOME/outside", options=["--quiet"])
    assert "scope.write" in outcome.stderr
    assert "invariants:" not in outcome.stderr


def test_reason_goes_to_the_refused_process(govrun: Govrun) -> None:
    """What the tool's own stderr says is what an agent reads; once per violation, not once per try."""
    script = "{ echo x > $HOME/outside; } 2> >(cat > reasons); sleep 0.5; cat reasons"
    outcome = govrun("bash", "-c", script)
    told = outcome.stdout.decode()
    assert "scope.write" in told and "outside" in told, (told, outcome.stderr)
    repeated = govrun("bash", "-c", "for i in 1 2 3 4 5; do echo x > $HOME/outside; done 2>&1 | cat")
    assert repeated.stdout.decode().count("scope.write") == 1, repeated.stdout


def test_reason_names_the_decision(govrun: Govrun, repo: Path) -> None:
    (repo / "rules").mkdir()
    (repo / "govrun.toml").write_text('version = 1\n[scope]\nprotect = ["rules/**"]\n')
    outcome = govrun("bash", "-c", "echo x > rules/new")
    assert "scope.protect" in outcome.stderr and "govrun.toml:3" in outcome.stderr
    record = outcome.denied("scope.protect")[0]
    assert record["outcome"] == "blocked"
    assert record["kind"].startswith("fs.")
    assert record["actor"]["pid"] > 0 and record["actor"]["argv"]


def test_runs_and_log_as_json(govrun: Govrun) -> None:
    first = govrun("true").ok()
    time.sleep(0.01)
    second = govrun("bash", "-c", "echo x > $HOME/outside; exit 4")
    runs = [json.loads(line) for line in govrun.cli("runs", "--json").ok().stdout.splitlines()]
    assert {each["run"] for each in runs} == {first.run, second.run}
    found = next(each for each in runs if each["run"] == second.run)
    assert found["status"] == "PASSED" or found["status"] == "WARNED"
    log = [json.loads(line) for line in govrun.cli("log", "latest", "--json").ok().stdout.splitlines()]
    assert [each["seq"] for each in log] == sorted(each["seq"] for each in log)
    assert {"run.start", "exec", "run.end"} <= {each["kind"] for each in log}
    assert any(each.get("invariant") == "scope.write" for each in log)
    assert govrun.cli("log", second.run[:-4], "--json").code == 0
    assert govrun.cli("log", "latest").ok().stdout
    missing = govrun.cli("log", "ZZZZ")
    assert missing.code != 0
    assert "Traceback" not in missing.stderr


def test_explain_and_doctor_as_json(govrun: Govrun) -> None:
    explained = json.loads(govrun.cli("explain", "--json").ok().stdout)
    assert "scope.write" in {each["invariant"] for each in explained["invariants"]}
    doctor = govrun.cli("doctor", "--json").ok()
    assert isinstance(json.loads(doctor.stdout), dict)
    assert govrun.cli("doctor").ok().stdout
    assert govrun.cli("explain").ok().stdout


def test_explain_says_where_ignored_paths_are(govrun: Govrun, repo: Path) -> None:
    (repo / "govrun.toml").write_text('version = 1\n[scope]\nwrite = ["src/**"]\n')
    told = govrun.cli("explain").ok().stdout.decode()
    inside = told.partition("writable inside the tree, whatever scope.write says:\n")[2].partition("writable outside")[
        0
    ]
    assert inside.startswith("  untracked paths that the base commit's ignore rules cover ")
    assert "ignore rules" not in told.partition("writable outside the tree:")[2]


def test_dry_run_starts_nothing(govrun: Govrun, repo: Path) -> None:
    outcome = govrun("touch", "mark", options=["--dry-run"])
    assert outcome.code == 0, outcome.stderr
    assert not (repo / "mark").exists()
    assert outcome.run_dir is None


def test_tampered_journal_is_told(govrun: Govrun) -> None:
    outcome = govrun("bash", "-c", "echo x > $HOME/outside; true").code
    assert outcome == 0
    run_dir = sorted((govrun.state / "runs").iterdir())[-1]
    journal = run_dir / "journal.jsonl"
    journal.chmod(0o600)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b"scope.write" not in line))
    told = govrun.cli("log", "latest")
    assert told.code == 1
    assert "chain" in (told.stderr + told.stdout.decode())
