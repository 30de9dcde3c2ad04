"""``[[guardrail]]`` in real runs: ceilings, what is put back, loops, pause and resume."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.rule_kit import clean, git, note, paused, tree_of, until

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome, Record


def profile(text: str) -> str:
    return f'version = 1\n[[guardrail]]\nid = "blast"\nadr = "0003"\nuse = "smaller steps"\n{text}'


def shop(govrun: Govrun, repo: Path, text: str, count: int = 3) -> Path:
    files = {f"d/{number}.txt": f"{number}\n" * 10 for number in range(count)}
    return tree_of(govrun, repo, profile(text), files)


def spoken(outcome: Outcome) -> list[Record]:
    found = [each for each in outcome.journal if each.get("invariant") == "blast"]
    assert all(each["adr"] == "0003" and len(each["adr_blob"]) == 40 for each in found)
    return found


# ---- ceilings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["rm -rf d", "find d -delete", "mkdir ../x; for f in d/*; do rm $f; done"])
def test_deletions_stop_at_the_limit_and_come_back(repo: Path, govrun: Govrun, script: str) -> None:
    per = "run" if "for" in script else "action"
    shop(govrun, repo, f'per = "{per}"\nmax = {{ deletes = 10 }}\nthen = "revert"\n', 200)
    before = {each.name: (each.read_text(), each.stat().st_mode) for each in (repo / "d").iterdir()}
    outcome = govrun("bash", "-c", script)
    left = {each.name: (each.read_text(), each.stat().st_mode) for each in (repo / "d").iterdir()}
    if per == "action":
        assert left == before
        undone = [each["op"] for each in outcome.records(kind="state") if each["op"].get("call") == "undone"]
        assert [each["paths"] for each in undone] == [10]
        assert " reverts=10 " in note(govrun, repo)
    else:  # each rm is an action of its own: what an earlier one did is not put back
        assert len(left) == 190 and left.items() <= before.items()
    assert spoken(outcome)[0]["outcome"] == "blocked"
    assert "blast" in outcome.stderr and "at most 10" in outcome.stderr and "smaller steps" in outcome.stderr
    assert "blast<-0003=" in note(govrun, repo)


def test_as_many_as_may_be(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'per = "action"\nmax = { deletes = 10, files = 10 }\nthen = "revert"\n', 30)
    clean(govrun("bash", "-c", "rm d/1?.txt; rm d/2?.txt; for n in $(seq 50); do echo > t; rm t; done"))
    assert len(list((repo / "d").iterdir())) == 10
    assert " PASSED " in note(govrun, repo)


def test_deny_refuses_the_one_that_would_cross(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'per = "run"\nmax = { files = 3 }\nthen = "deny"\n')
    outcome = govrun("bash", "-c", "for n in 1 2 3 4; do echo > n$n.txt; done; echo more >> n1.txt; ls")
    assert outcome.stdout.count(b"n") and not (repo / "n4.txt").exists() and (repo / "n3.txt").exists()
    assert (repo / "n1.txt").read_text() == "\nmore\n"
    assert len(spoken(outcome)) == 1


def test_programs_of_a_run(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'per = "run"\nmax = { execs = 6 }\nthen = "deny"\n')
    outcome = govrun("bash", "-c", "for n in 1 2 3 4 5 6 7; do ls > /dev/null || echo no; done")
    assert outcome.stdout == b"no\nno\n", outcome.stderr
    assert [each["kind"] for each in spoken(outcome)] == ["exec", "exec"]


# Each script starts the next one with one parameter less; what a shell does last it becomes, so there is a `true`.
DOWN = """#!/bin/sh
echo $1
[ $1 = 0 ] || ./down.sh $(($1 - 1))
true
"""
ORPHANS = """#!/bin/sh
echo $1
[ $1 = 0 ] || setsid -f ./orphans.sh $(($1 - 1))
true
"""
BOMB = """#!/bin/sh
./bomb.sh &
./bomb.sh &
wait
"""


def script(repo: Path, name: str, text: str) -> None:
    (repo / name).write_text(text)
    (repo / name).chmod(0o755)


def test_programs_below_one_another(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'max = { depth = 4 }\nthen = "deny"\n')
    script(repo, "down.sh", DOWN)
    clean(govrun("./down.sh", "4"))
    clean(govrun("sh", "-c", "for n in 1 2 3 4 5 6; do (((./down.sh 0))); done; exec ./down.sh 4"))
    outcome = govrun("./down.sh", "9")
    assert outcome.stdout == b"9\n8\n7\n6\n5\n", outcome.stderr
    (record,) = spoken(outcome)
    assert record["outcome"] == "blocked" and record["op"]["argv"][-1] == "4"
    assert "5 programs below the agent, at most 4 may be" in outcome.stderr and "smaller steps" in outcome.stderr
    assert "blast<-0003=1" in note(govrun, repo)


def test_who_loses_its_parent_does_not_come_up_again(repo: Path, govrun: Govrun) -> None:
    """setsid -f forks, and its parent ends: to the agent no line of processes is left."""
    shop(govrun, repo, 'max = { depth = 6 }\nthen = "kill"\n')
    script(repo, "orphans.sh", ORPHANS)
    outcome = govrun("sh", "-c", "./orphans.sh 30; sleep 30")
    assert outcome.code == 122, (outcome.stdout, outcome.stderr)
    assert [each["verdict"] for each in spoken(outcome)] == ["kill"]


@pytest.mark.parametrize(("most", "then"), [("depth = 5", "kill"), ("execs = 60", "kill"), ("execs = 60", "deny")])
def test_a_bomb_of_programs_ends_and_leaves_nothing(repo: Path, govrun: Govrun, most: str, then: str) -> None:
    shop(govrun, repo, f'per = "run"\nmax = {{ {most} }}\nthen = "{then}"\n')
    script(repo, "bomb.sh", BOMB)
    outcome = govrun("./bomb.sh")
    assert outcome.code == (122 if then == "kill" else 0), outcome.stderr
    assert {each["verdict"] for each in spoken(outcome)} == {then}
    started = [each for each in outcome.records(kind="exec", phase="outcome") if each["outcome"] == "succeeded"]
    assert len(started) <= 63
    assert not [each.info for each in psutil.process_iter(["cmdline", "cwd"]) if each.info["cwd"] == str(repo)]


def test_a_day_goes_on_in_the_next_run(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'per = "day"\nmax = { deletes = 4 }\nthen = "deny"\n', 10)
    clean(govrun("rm", "d/0.txt", "d/1.txt", "d/2.txt"))
    outcome = govrun("rm", "d/3.txt", "d/4.txt", "d/5.txt")
    assert sorted(each.name for each in (repo / "d").iterdir()) == [f"{n}.txt" for n in range(4, 10)], outcome.stderr
    assert "today (UTC)" in outcome.stderr and len(spoken(outcome)) == 2


def test_a_run_soon_after_another_goes_on_with_its_counts(repo: Path, govrun: Govrun) -> None:
    """An agent that is started again is the same agent: what it did counts for ten minutes."""
    shop(govrun, repo, 'per = "run"\nmax = { deletes = 2 }\nthen = "deny"\n', 10)
    clean(govrun("rm", "d/0.txt", "d/1.txt"))
    assert len(spoken(govrun("rm", "d/2.txt"))) == 1 and (repo / "d/2.txt").exists()
    (kept,) = (govrun.state / "guards").glob("windows-*.json")
    told = json.loads(kept.read_text())
    kept.write_text(json.dumps(told | {"saved": told["saved"] - 601}))
    clean(govrun("rm", "d/2.txt", "d/3.txt"))


def test_folders_that_may_not_become_empty(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'never_empty = ["d"]\nthen = "deny"\n')
    clean(govrun("bash", "-c", "rm d/0.txt; mv d/1.txt d/4.txt; rm d/2.txt"))
    outcome = govrun("bash", "-c", "rm d/4.txt; mv d e; git rm -q -r d; rm -rf d")
    assert [each.name for each in (repo / "d").iterdir()] == ["4.txt"], outcome.stderr
    assert len(spoken(outcome)) >= 3 and "may not become empty" in outcome.stderr


# ---- what cannot be undone --------------------------------------------------------------------------------------

LARGE = 300 << 20  # more than is kept


def kept(outcome: Outcome, name: str) -> bytes | None:
    """What the run's store holds of a file of the tree."""
    assert outcome.run_dir is not None
    lines = (outcome.run_dir / "accepted.jsonl").read_text().splitlines()
    found = [each for each in map(json.loads, lines) if each["path"].endswith(f"/{name}") and each["kind"] == "file"]
    if not found:
        return None
    with (outcome.run_dir / "accepted.frames").open("rb") as file:
        file.seek(found[-1]["offset"])
        return file.read(found[-1]["size"])


def test_files_that_are_kept_can_be_taken_away(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'irreversible = "deny"\n')
    outcome = clean(govrun("bash", "-c", "rm d/0.txt; mv d/1.txt d/2.txt; mv d/2.txt /dev/shm/$$; rm /dev/shm/$$"))
    assert list((repo / "d").iterdir()) == []
    assert [kept(outcome, f"d/{number}.txt") for number in range(3)] == [b"0\n" * 10, None, b"1\n" * 10]
    assert " PASSED " in note(govrun, repo)


@pytest.mark.parametrize("script", ["rm large", "mv -f d/0.txt large", "mv large /dev/shm/x$$", "rm -r *"])
def test_files_that_cannot_be_kept_stay(repo: Path, govrun: Govrun, script: str) -> None:
    shop(govrun, repo, 'irreversible = "deny"\n')
    with (repo / "large").open("wb") as file:
        file.truncate(LARGE)
    outcome = govrun("bash", "-c", script)
    assert (repo / "large").stat().st_size == LARGE, outcome.stderr
    assert {each["verdict"] for each in spoken(outcome)} == {"deny"}
    assert "large cannot be kept" in outcome.stderr and "smaller steps" in outcome.stderr
    assert "blast<-0003=" in note(govrun, repo)


def test_a_large_file_of_the_run_is_its_own(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'irreversible = "deny"\n')
    clean(govrun("bash", "-c", f"truncate -s {LARGE} large; mv large larger; rm larger"))


def test_what_cannot_be_kept_is_asked_about(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'irreversible = "ask"\n')
    with (repo / "large").open("wb") as file:
        file.truncate(LARGE)
    outcome = govrun("rm", "large")
    assert (repo / "large").exists() and [each["verdict"] for each in spoken(outcome)] == ["ask"]


# ---- afterwards -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["sed -i d d/*.txt", "tee d/0.txt d/1.txt d/2.txt < /dev/null", "python3 cut.py"])
def test_deleted_lines_are_taken_back(repo: Path, govrun: Govrun, way: str) -> None:
    (repo / "cut.py").write_text("for n in range(3): open(f'd/{n}.txt', 'w').close()\n")
    shop(govrun, repo, 'per = "action"\nmax = { deleted_lines = 15 }\nthen = "revert"\n')
    clean(govrun("bash", "-c", "sed -i 1,5d d/0.txt; tac d/1.txt > t; cat t > d/1.txt; ls > /dev/null"))
    assert (repo / "d/0.txt").read_text() == "0\n" * 5
    outcome = govrun("bash", "-c", f"{way}; ls > /dev/null; ls > /dev/null")
    assert [len((repo / f"d/{n}.txt").read_text().split()) for n in range(3)] == [5, 10, 10], outcome.stderr
    assert spoken(outcome) and "lines deleted" in outcome.stderr


def test_what_git_brings_is_a_commit_and_no_files(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'per = "run"\nmax = { files = 4, deletes = 2 }\nthen = "deny"\n', 30)
    git(govrun, repo, "switch", "-qc", "other")
    git(govrun, repo, "rm", "-rq", "d")
    git(govrun, repo, "commit", "-qm", "without")
    script = "for n in 1 2 3; do git switch -q main; git switch -q other; done; git merge -q main; git stash -q; ls"
    clean(govrun("bash", "-c", script))
    outcome = govrun("bash", "-c", "git switch -q main; rm d/0.txt d/1.txt d/2.txt")
    assert (repo / "d/2.txt").exists() and not (repo / "d/1.txt").exists(), outcome.stderr
    assert len(spoken(outcome)) == 1


# ---- pause ------------------------------------------------------------------------------------------------------


def test_pause_resume_stop(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'per = "run"\nmax = { deletes = 10 }\n', 200)
    running = govrun.start("bash", "-c", "rm -f d/*")
    told = paused(govrun, running)
    assert len(list((repo / "d").iterdir())) == 190
    assert told["run"] in govrun.cli("ps").stdout.decode()
    govrun.cli("resume").ok()
    assert until(lambda: len(list((repo / "d").iterdir())) == 180, running)
    paused(govrun, running)
    govrun.cli("stop").ok()
    outcome = running.wait()
    assert outcome.code == 122 and len(list((repo / "d").iterdir())) == 180
    assert [each["op"]["call"] for each in outcome.records(kind="operator")] == [
        "pause", "resume", "pause", "stop",
    ]  # fmt: skip
    assert [each["verdict"] for each in spoken(outcome)] == ["pause", "pause"]
    assert " FAILED " in note(govrun, repo) and "blast<-0003=2" in note(govrun, repo)


# ---- loops ------------------------------------------------------------------------------------------------------

FLIP = """
import subprocess, sys
for number in range({count}):
    subprocess.run(["bash", "-c", "echo {{}} > flip.txt".format("ab"[number % 2])])
"""


def test_to_and_fro_is_paused_at_the_count(repo: Path, govrun: Govrun) -> None:
    """a, b are new; every state from then on was there before: the sixth return is that of the eighth write."""
    shop(govrun, repo, "loop = { alternating = 6 }\n")
    (repo / "flip.py").write_text(FLIP.format(count=40))
    running = govrun.start("python3", "flip.py")
    paused(govrun, running)
    writes = [each for each in running.journal() if str(each.get("op", {}).get("path")).endswith("flip.txt")]
    done = sum(each["phase"] == "intent" for each in writes)
    govrun.cli("stop").ok()
    outcome = running.wait()
    assert outcome.code == 122
    assert done == 8, done
    assert "6 times in a row" in outcome.stderr and spoken(outcome)


@pytest.mark.parametrize(
    "script",
    [
        'for n in $(seq 20); do bash -c "echo $n > flip.txt"; done',
        "for n in 1 2; do bash -c 'echo a > flip.txt'; bash -c 'echo b > flip.txt'; done",
        "for n in $(seq 30); do git status > /dev/null; cat flip.txt; test -e nothing; ls nothing; done; true",
    ],
)
def test_progress_and_reading_are_no_loop(repo: Path, govrun: Govrun, script: str) -> None:
    shop(govrun, repo, "loop = { alternating = 6, same_failing = 40 }\n")
    clean(govrun("bash", "-c", script))


def test_polling_whose_outcome_changes_is_no_loop(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, "loop = { same_failing = 4 }\n")
    (repo / "poll.sh").write_text("n=$(cat $TMPDIR/n); echo $((n + 1)) > $TMPDIR/n; exit $((n % 3))\n")
    script = "echo 0 > $TMPDIR/n; for n in $(seq 12); do bash poll.sh; done; true"
    clean(govrun("bash", "-c", script))


def test_the_same_failure_is_told_and_then_refused(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, 'loop = { same_failing = 3 }\nthen = "deny"\n')
    (repo / "check.sh").write_text("exit 7\n")
    outcome = govrun("bash", "-c", "for n in 1 2 3 4 5; do bash check.sh; echo $?; done")
    assert outcome.stdout == b"7\n7\n7\n126\n126\n", outcome.stderr
    assert "has failed 3 times with status 7" in outcome.stderr
    changed = "for n in 1 2 3 4 5; do bash check.sh; echo $?; echo $n >> d/0.txt; done"
    assert clean(govrun("bash", "-c", changed)).stdout == b"7\n" * 5


def test_the_same_failure_pauses(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo, "loop = { same_failing = 3 }\n")
    running = govrun.start("bash", "-c", "for n in 1 2 3 4; do bash -c 'exit 7'; echo $?; done")
    paused(govrun, running)
    govrun.cli("resume").ok()
    outcome = running.wait()
    assert outcome.code == 0 and outcome.stdout == b"7\n7\n7\n7\n"
    assert [each["op"]["call"] for each in outcome.records(kind="operator")] == ["pause", "resume"]


PROBES = """
printf '#!/bin/bash\\nreadlink nothing; false; git rev-parse -q --verify nothing; exec true\\n' > $TMPDIR/shim
chmod +x $TMPDIR/shim
for n in 1 2 3 4 5; do
    $TMPDIR/shim
    grep -q nothing d/0.txt
    egrep -q nothing d/0.txt
    git rev-parse -q --verify refs/heads/x
    bash -c 'cd d && grep -q nothing 0.txt'
    bash -c 'test -e nothing; pwd > /dev/null'
    sh -c 'command -v nothing'
    cmp -s d/0.txt d/1.txt
done
true
"""


@pytest.mark.parametrize("name", ["bash", "sh"])
def test_answers_and_helpers_are_no_loop(repo: Path, govrun: Govrun, name: str) -> None:
    shop(govrun, repo, "loop = { same_failing = 4 }\n")
    clean(govrun(name, "-c", PROBES))


@pytest.mark.parametrize("command", ["sh -c 'exit 1'", "timeout 9 make test", "bash -c 'grep -q n d/0.txt; make test'"])
def test_the_agents_own_failures_are(repo: Path, govrun: Govrun, command: str) -> None:
    """Whatever shell the agent has it started by."""
    shop(govrun, repo, 'loop = { same_failing = 3 }\nthen = "deny"\n')
    (repo / "Makefile").write_text("test:\n\t@exit 1\n")
    outcome = govrun("python3", "-c", f"import os\nfor n in range(5): os.system({command!r} + ' 2>/dev/null; true')")
    assert outcome.stderr.count("has failed 3 times") >= 1, outcome.stderr


def test_what_ended_first_counts_first(repo: Path, govrun: Govrun) -> None:
    """A supervisor that gets little time finds both: that a command has ended, and that the next one would start."""
    shop(govrun, repo, 'loop = { same_failing = 3 }\nthen = "deny"\n')
    (repo / "check.sh").write_text("exit 7\n")
    wait = "touch ready; while [ ! -e go ]; do sleep 0.02; done"
    running = govrun.start("bash", "-c", f"{wait}; for n in 1 2 3 4 5 6; do bash check.sh; echo $?; done")
    until(lambda: (repo / "ready").exists(), running)
    below = psutil.Process(running.process.pid).children(recursive=True)
    supervisor = next(each for each in below if each.name() == "bash").parent()
    assert supervisor is not None
    (repo / "go").touch()
    try:
        while running.process.poll() is None:
            supervisor.suspend()
            time.sleep(0.01)
            supervisor.resume()
            time.sleep(0.001)
    except psutil.NoSuchProcess:
        pass  # it is over
    assert running.wait().stdout == b"7\n7\n7\n126\n126\n126\n"
