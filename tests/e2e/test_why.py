"""`govrun why`: one record explained, from the journal and what the run wrote down about its rules."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

PROFILE = """version = 1

[[dependency]]
id   = "one-http-client"
adr  = "0007"
deny = ["pypi:requests"]
use  = "httpx"

[scope]
protect = ["src/kept.py"]
"""
RECORD = "---\nstatus: accepted\n---\n# 7. One client\u202e for HTTP\n"
DIRTY = "bash -c \"echo 'import requests  # mine' > src/new.py\"; ls > /dev/null; pip install requests; true"


@pytest.fixture
def ran(repo: Path, govrun: Govrun) -> Outcome:
    (repo / "docs" / "adr").mkdir(parents=True)
    (repo / "docs" / "adr" / "0007-http.md").write_text(RECORD)
    (repo / "govrun.toml").write_text(PROFILE)
    (repo / "src" / "kept.py").write_text("")
    (repo / "bin").mkdir()
    (repo / "bin" / "pip").write_text("#!/bin/sh\n")
    (repo / "bin" / "pip").chmod(0o755)
    env = {"PATH": f"{repo}/bin:{govrun.env['PATH']}"}
    return govrun("sh", "-c", DIRTY + "; echo x > src/kept.py; true", env=env).ok()


def test_a_revert(ran: Outcome, govrun: Govrun) -> None:
    (outcome,) = ran.records(phase="outcome", outcome="reverted")
    shown = govrun.cli("why", "latest", str(outcome["seq"])).ok().stdout.decode()
    assert "src/new.py" in shown
    assert "one-http-client (dependency, govrun.toml:3)" in shown
    assert "      3 | [[dependency]]\n      4 | id   = " in shown
    assert "| [scope]" not in shown
    assert "ADR 0007 One client\\u202e for HTTP (docs/adr/0007-http.md)" in shown
    assert f"happened   taken back: it was removed, as nothing was there before (record {outcome['seq']})\n" in shown
    assert "| +import requests  # mine" in shown
    assert f"rejected   {outcome['op']['quarantine']}\n" in shown
    assert "instead    httpx" in shown
    assert "by         bash -c " in shown
    assert "\u202e" not in shown
    intent = govrun.cli("why", ran.run[:14].lower(), str(outcome["cause"])).ok().stdout.decode()
    told = shown.splitlines()
    assert told[1] == intent.splitlines()[1]
    assert told[1].startswith(f"in         {govrun.cwd}: sh -c ")
    assert told[2] == f"           record {outcome['seq']} is the outcome of record {outcome['cause']}, told here"
    assert told[3:] == intent.splitlines()[2:]


def test_as_json(ran: Outcome, govrun: Govrun) -> None:
    (outcome,) = ran.records(phase="outcome", outcome="reverted")
    told = json.loads(govrun.cli("why", ran.run, str(outcome["seq"]), "--json").ok().stdout)
    assert told["records"] == [ran.journal[outcome["cause"] - 1], outcome]
    assert (told["seq"], told["asked"]) == (outcome["cause"], outcome["seq"])
    assert (told["outcome"], told["verdict"], told["op"]["how"]) == ("reverted", "revert", "removed")
    assert told["rule"]["state"] == "unchanged"
    assert told["rejected_kept"] is True
    assert told["decision"]["title"].startswith("One client")
    assert told["parents"][0]["argv"][:2] == ["sh", "-c"]


def test_a_refusal_of_a_command_and_of_a_path(ran: Outcome, govrun: Govrun) -> None:
    for invariant, word in (("one-http-client", "pip install requests"), ("scope.protect", "src/kept.py")):
        record = next(each for each in ran.denied(invariant) if each.get("outcome") == "blocked")
        shown = govrun.cli("why", "latest", str(record["seq"])).ok().stdout.decode()
        assert word in shown
        assert "happened   refused: Permission denied (EACCES) (record " in shown
        assert "verdict    deny" in shown
        assert f"rule       {invariant}" in shown
    assert "protect = " in shown


def test_a_rule_that_changed_since(ran: Outcome, govrun: Govrun, repo: Path) -> None:
    (outcome,) = ran.records(phase="outcome", outcome="reverted")
    Path(str(outcome["op"]["quarantine"])).unlink()
    (repo / "govrun.toml").write_text(PROFILE + "# more\n")
    shown = govrun.cli("why", "latest", str(outcome["seq"])).ok().stdout.decode()
    assert "has changed since" in shown
    assert "[[dependency]]" not in shown
    assert "(not there any more)" in shown
    (repo / "govrun.toml").unlink()
    assert "is not there any more" in govrun.cli("why", "latest", str(outcome["seq"])).ok().stdout.decode()


def test_every_record_can_be_explained(ran: Outcome, govrun: Govrun) -> None:
    for record in ran.journal:
        shown = govrun.cli("why", "latest", str(record["seq"])).ok()
        assert str(record["kind"]).encode() in shown.stdout
        assert b"\x1b" not in shown.stdout


def test_what_is_not_there(ran: Outcome, govrun: Govrun) -> None:
    for words in (("latest", "99999"), ("latest", "0"), ("ZZZZ", "1"), ("latest", "x"), ("ZZZZ",), ("12",)):
        outcome = govrun.cli("why", *words)
        assert outcome.code == 2, words
        assert "Traceback" not in outcome.stderr
    assert "fix: govrun why RUN SEQ, such as: govrun why latest 12" in govrun.cli("why", "latest", "x").stderr
    assert "fix: govrun why latest 12 explains" in govrun.cli("why", "12").stderr
    journal = ran.state / "runs" / ran.run / "journal.jsonl"
    command = [*map(os.fsdecode, govrun.argv("why", "latest", "1"))]
    for damage in (lambda: os.truncate(journal, 40), journal.unlink):
        damage()
        done = subprocess.run(command, cwd=govrun.cwd, env=govrun.env, capture_output=True)
        assert done.returncode == 2, done.stderr


def test_without_a_number_the_refusals_are_listed(ran: Outcome, govrun: Govrun) -> None:
    seqs = [each["seq"] for each in ran.journal if each.get("verdict") in ("deny", "revert") and not each.get("cause")]
    assert len(seqs) > 2
    for words in ((), ("latest",), (ran.run,)):
        lines = govrun.cli("why", *words).ok().stdout.decode().splitlines()
        assert lines[0].startswith(f"{ran.run}   {govrun.cwd}: sh -c ")
        assert [int(line.split()[0]) for line in lines[1:-1]] == seqs
        assert sum("revert  reverted  one-http-client" in line for line in lines) == 1
        assert lines[-1].endswith(f"govrun why {ran.run} {seqs[-1]}")
    told = [json.loads(line) for line in govrun.cli("why", "--json").ok().stdout.splitlines()]
    assert [each["seq"] for each in told] == seqs
    blocked = govrun.cli("log", "--blocked").ok().stdout.decode().splitlines()[1:-1]
    assert set(map(str, seqs)) <= {line.split()[0] for line in blocked}


def test_without_a_number_and_without_refusals(govrun: Govrun) -> None:
    govrun("true").ok()
    lines = govrun.cli("why").ok().stdout.decode().splitlines()
    assert lines[1] == "nothing was refused or taken back"
    assert "govrun why RUN SEQ" in lines[2]


def test_what_others_did(repo: Path, govrun: Govrun) -> None:
    (repo / "govrun.toml").write_text(PROFILE.replace('adr  = "0007"', 'why  = "one"'))
    script = "echo x > src/mine.py; echo x > src/gone.py; ls > /dev/null; echo ready; read x"
    running = govrun.start("sh", "-c", script, stdin=subprocess.PIPE)
    assert running.process.stdout is not None
    assert running.process.stdout.readline() == b"ready\n"
    (repo / "src" / "theirs.py").write_text("import requests\n")
    (repo / "src" / "mine.py").write_text("import requests\n")
    (repo / "src" / "gone.py").unlink()
    outcome = running.wait()
    told = {}
    for record in outcome.records(kind="external"):
        shown = govrun.cli("why", "latest", str(record["seq"])).ok().stdout.decode()
        assert shown.endswith("happened   it was left alone\n")
        assert "attempted" not in shown and "unknown" not in shown and "verdict" not in shown
        told[Path(record["op"]["path"]).name] = shown
    assert "changed    external " in told["theirs.py"]
    assert "by         somebody outside the run\n" in told["theirs.py"]
    assert "breaks     src/theirs.py imports requests" in told["theirs.py"]
    assert "rule       one-http-client\n" in told["theirs.py"]
    assert "because    what the run left here is gone\n" in told["gone.py"]
    assert "somebody" not in told["gone.py"] and "rule" not in told["gone.py"]
    assert "because    it changed after the last writer of the run had closed it\n" in told["mine.py"]
    assert "rule       one-http-client\n" in told["mine.py"]


def test_what_was_allowed_says_so(govrun: Govrun) -> None:
    outcome = govrun("true").ok()
    (intent,) = outcome.records(kind="exec", phase="intent")
    shown = govrun.cli("why", "latest", str(intent["seq"])).ok().stdout.decode()
    assert "verdict    allow\n" in shown
    assert "happened   it was done (record " in shown


def test_no_runs(govrun: Govrun) -> None:
    assert govrun.cli("why", "latest", "1").code == 2
