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
    assert "happened   reverted, how removed" in shown
    assert "| +import requests  # mine" in shown
    assert f"rejected   {outcome['quarantine']}\n" in shown
    assert "instead    httpx" in shown
    assert "by         bash -c " in shown
    assert "\u202e" not in shown
    assert (
        govrun.cli("why", ran.run[:14].lower(), str(outcome["cause"])).ok().stdout.decode().splitlines()[1:]
        == (shown.splitlines()[1:])
    )


def test_as_json(ran: Outcome, govrun: Govrun) -> None:
    (outcome,) = ran.records(phase="outcome", outcome="reverted")
    told = json.loads(govrun.cli("why", ran.run, str(outcome["seq"]), "--json").ok().stdout)
    assert told["outcome"] == outcome
    assert told["intent"]["seq"] == outcome["cause"]
    assert told["rule"]["state"] == "unchanged"
    assert told["rejected_kept"] is True
    assert told["decision"]["title"].startswith("One client")
    assert told["parents"][0]["argv"][:2] == ["sh", "-c"]


def test_a_refusal_of_a_command_and_of_a_path(ran: Outcome, govrun: Govrun) -> None:
    for invariant, word in (("one-http-client", "pip install requests"), ("scope.protect", "src/kept.py")):
        record = next(each for each in ran.denied(invariant) if each.get("outcome") == "blocked")
        shown = govrun.cli("why", "latest", str(record["seq"])).ok().stdout.decode()
        assert word in shown
        assert "happened   blocked" in shown
        assert f"rule       {invariant}" in shown
    assert "protect = " in shown


def test_a_rule_that_changed_since(ran: Outcome, govrun: Govrun, repo: Path) -> None:
    (outcome,) = ran.records(phase="outcome", outcome="reverted")
    Path(str(outcome["quarantine"])).unlink()
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
    for words in (("latest", "99999"), ("latest", "0"), ("ZZZZ", "1"), ("latest", "x"), ("latest",)):
        outcome = govrun.cli("why", *words)
        assert outcome.code == 2, words
        assert "Traceback" not in outcome.stderr
    journal = ran.state / "runs" / ran.run / "journal.jsonl"
    command = [*map(os.fsdecode, govrun.argv("why", "latest", "1"))]
    for damage in (lambda: os.truncate(journal, 40), journal.unlink):
        damage()
        done = subprocess.run(command, cwd=govrun.cwd, env=govrun.env, capture_output=True)
        assert done.returncode == 2, done.stderr


def test_no_runs(govrun: Govrun) -> None:
    assert govrun.cli("why", "latest", "1").code == 2
