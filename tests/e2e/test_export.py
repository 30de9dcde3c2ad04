"""``govrun export`` on what real runs leave: refused, taken back, committed; journals that are broken, torn, empty."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

pytestmark = pytest.mark.needs("notify", "git", landlock=2)

PROFILE = """version = 1
[[dependency]]
id   = "http"
why  = "one client"
deny = ["pypi:requests"]
"""
NAME = b"a\x1b[31m\n\xe2\x80\xae\xff"
WORK = (
    'echo x > ~/out; echo x > f; echo y > "$NAME"; git add f; git commit -qm one; echo "import requests" > src/b.py; ls'
)


@pytest.fixture
def ran(repo: Path, govrun: Govrun) -> Outcome:
    (repo / "govrun.toml").write_text(PROFILE)
    return govrun("sh", "-c", WORK, env={"NAME": os.fsdecode(NAME)}).ok()


def lines(outcome: Outcome) -> list[Any]:
    text = outcome.stdout.decode("ascii")
    assert text.replace("\n", "").isprintable()
    return [json.loads(line) for line in text.splitlines()]


def test_cloudevents(ran: Outcome, govrun: Govrun) -> None:
    outcome = govrun.cli("export").ok()
    told = lines(outcome)
    assert outcome.stderr == "" and outcome.stdout == govrun.cli("export", ran.run, "--format", "cloudevents").stdout
    assert [each["data"] for each in told] == ran.journal
    assert [each["id"] for each in told] == [f"{ran.run}/{seq}" for seq in range(1, len(ran.journal) + 1)]
    assert [each["type"] for each in told] == [f"govrun.{r['kind']}.{r['phase']}" for r in ran.journal]
    subjects = {each.get("subject", "") for each in told}
    assert str(govrun.cwd / "f") in subjects and "refs/heads/main" in subjects
    assert any("\\x1b[31m\\x0a\\xe2\\x80\\xae\\xff" in subject for subject in subjects)


def test_ocsf(ran: Outcome, govrun: Govrun) -> None:
    told = lines(govrun.cli("export", "--format", "ocsf").ok())
    assert [each["unmapped"] for each in told] == ran.journal
    for each in told:
        outcome = each["unmapped"].get("outcome")
        assert (each["action_id"] == 2) == (outcome == "blocked") and (each["action_id"] == 4) == (
            outcome == "reverted"
        )
    (blocked,) = [each for each in told if each["action_id"] == 2]
    assert blocked["class_uid"] == 1001 and blocked["file"]["path"] == str(govrun.home / "out")
    assert blocked["policy"]["uid"] == "scope.write" and blocked["status_code"] == "13" and blocked["is_alert"]
    (reverted,) = [each for each in told if each["action_id"] == 4]
    assert reverted["file"]["name"] == "b.py" and reverted["policy"]["uid"] == "http"
    assert "import requests" in reverted["file_diff"] and reverted["actor"]["process"]["pid"]
    (moved,) = [each for each in told if each["unmapped"]["kind"] == "git.ref"]
    assert (moved["class_uid"], moved["resources"][0]["name"]) == (6003, "refs/heads/main")
    # An outcome is told with what its intent knew.
    ends = [each for each in told if "cause" in each["unmapped"]]
    assert ends and all(each["class_uid"] for each in ends)


def test_runtime_trace(ran: Outcome, govrun: Govrun) -> None:
    (told,) = lines(govrun.cli("export", "--format", "runtime-trace").ok())
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=govrun.cwd, env=govrun.env, capture_output=True, text=True)
    assert [each["digest"] for each in told["subject"]] == [{"gitCommit": head.stdout.strip()}]
    log = told["predicate"]["monitorLog"]
    assert "/usr/bin/git" in [each["processBinary"] for each in log["process"]]
    ended = {(each["name"], each["annotations"].get("outcome")) for each in log["fileAccess"]}
    assert {(str(govrun.home / "out"), "blocked"), (str(govrun.cwd / "src/b.py"), "reverted")} <= ended
    assert any(each["uri"].endswith("/a%1B%5B31m%0A%E2%80%AE%FF") for each in log["fileAccess"])
    assert told["predicate"]["annotations"]["journal"]["whole"] is True
    assert told["predicate"]["metadata"].keys() == {"buildStartedOn", "buildFinishedOn"}


def test_a_run_without_a_commit(govrun: Govrun) -> None:
    ran = govrun("true").ok()
    (told,) = lines(govrun.cli("export", "--format", "runtime-trace").ok())
    assert ran.run_dir is not None
    digest = hashlib.sha256((ran.run_dir / "journal.jsonl").read_bytes()).hexdigest()
    assert told["subject"] == [{"name": "journal.jsonl", "digest": {"sha256": digest}}]


@pytest.mark.parametrize("form", ["cloudevents", "ocsf", "runtime-trace"])
def test_journals_that_are_not_whole(ran: Outcome, govrun: Govrun, form: str) -> None:
    assert ran.run_dir is not None
    journal = ran.run_dir / "journal.jsonl"
    whole = journal.read_bytes()
    rows = whole.splitlines(keepends=True)

    def told_by(*words: str) -> tuple[int, list[str], str]:
        # Not govrun.cli: it reads the journal afterwards, and this one cannot be read.
        done = subprocess.run(govrun.argv(*words), cwd=govrun.cwd, env=govrun.env, capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines(), done.stderr

    def both(content: bytes) -> tuple[int, list[Any], str]:
        """What `export` says of such a journal: the same as `log`, but for what it prints."""
        journal.write_bytes(content)
        code, _, errors = told_by("log", "--json")
        told = told_by("export", "--format", form)
        assert (told[0], told[2]) == (code, errors)
        return code, [json.loads(line) for line in told[1]], errors

    assert both(whole)[0] == 0
    code, told, errors = both(b"".join([*rows[:2], b"no record\n", *rows[3:]]))
    assert code == 1 and "chain BROKEN" in errors
    assert len(told) == (1 if form == "runtime-trace" else len(rows) - 1)
    if form == "runtime-trace":
        assert told[0]["predicate"]["annotations"]["journal"]["whole"] is False
    code, told, _ = both(b"".join([rows[1], rows[0], rows[0], *rows[2:]]))
    assert code == 1
    if form == "cloudevents":
        assert len({each["id"] for each in told}) == len(rows) + 1
    (ran.run_dir / "chain.jsonl").write_bytes(b"")
    meta = json.loads((ran.run_dir / "meta.json").read_text())
    del meta["end"]
    (ran.run_dir / "meta.json").write_text(json.dumps(meta))
    code, told, errors = both(b"".join(rows[:3]) + rows[3][:20])
    assert code == 0 and "torn" in errors and len(told) == (1 if form == "runtime-trace" else 3)
    assert len(both(b"")[1]) == (form == "runtime-trace")
    journal.unlink()
    code, rest, errors = told_by("export", "--format", form)
    assert code == 2 and rest == [] and "cannot be read" in errors


def test_a_live_run(govrun: Govrun) -> None:
    running = govrun.start("sh", "-c", "echo x > f; sleep 60")
    try:
        while len(running.journal()) < 5:
            assert running.process.poll() is None
            time.sleep(0.01)
        for form in ("cloudevents", "ocsf", "runtime-trace"):
            outcome = govrun.cli("export", "--format", form).ok()
            assert "the run goes on" in outcome.stderr and lines(outcome)
    finally:
        govrun.cli("stop").ok()


def test_bad_input(ran: Outcome, govrun: Govrun) -> None:
    for words, told in ((("--format", "csv\x1b"), "no format"), (("ZZZZ",), "no run 'ZZZZ'")):
        outcome = govrun.cli("export", *words)
        first, *rest = outcome.stderr.splitlines()
        assert outcome.code == 2 and told in first and outcome.stdout == b"" and "\x1b" not in outcome.stderr
        assert [line[:6] for line in rest] == ["  why:", "  fix:"]
    assert govrun.cli("export", "--nothing").code == 2
    with Path("/dev/full").open("wb") as full:
        assert govrun.cli("export", stdout=full).code == 125


PEAK = """import os, sys
null = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_WRONLY, 0) for number in (1, 2)]
print(os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=null), 0)[2].ru_maxrss)
"""


@pytest.mark.parametrize("form", ["cloudevents", "ocsf", "runtime-trace"])
def test_memory_does_not_grow_with_the_journal(ran: Outcome, govrun: Govrun, form: str) -> None:
    def peak() -> int:
        """KiB."""
        command = [govrun.interpreter, "-I", "-c", PEAK, *map(str, govrun.argv("export", "--format", form))]
        done = subprocess.run(command, cwd=govrun.cwd, env=govrun.env, capture_output=True, check=True)
        return int(done.stdout)

    assert ran.run_dir is not None
    journal = ran.run_dir / "journal.jsonl"
    before = peak()
    record = {"v": 2, "run": ran.run, "kind": "fs.write", "phase": "outcome", "time": "2026-11-28T03:27:55.158Z"}
    with journal.open("w") as file:
        for seq in range(1, 8001):
            file.write(json.dumps(record | {"seq": seq, "op": {"path": f"/t/{seq}/{'x' * 4000}"}}) + "\n")
    grown = peak() - before
    # A trace keeps 16 MiB of different paths, which come twice more: in its URIs, and in the line that is printed.
    assert grown < (80 << 10 if form == "runtime-trace" else 8 << 10)
    assert grown << 10 < journal.stat().st_size * (3 if form == "runtime-trace" else 0.25)
