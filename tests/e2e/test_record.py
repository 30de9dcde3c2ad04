"""What a run leaves in the repository: notes in their last form, and its record at a ref of its own."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from supervisor.journal import chain
from supervisor.journal.merkle import Tree
from supervisor.provenance import note
from supervisor.provenance.note import ref_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome, Running

ROUNDS = int(os.environ.get("GOVRUN_KILLS", "6"))
DENY = '\nversion = 1\n[[dependency]]\nid = "http"\nwhy = "one client"\ndeny = ["pypi:requests"]\n'


class Git:
    """The repository as its user sees it."""

    def __init__(self, govrun: Govrun) -> None:
        self._govrun = govrun

    def __call__(self, *words: str, cwd: Path | None = None) -> str:
        done = self._govrun.bare("git", *words, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def lines(self, commit: str, run: str) -> dict[int, str]:
        """The lines of one run's note on a commit."""
        done = self._govrun.bare("git", "notes", "--ref=govrun", "show", commit)
        return note.parse(done.stdout.decode()).get(run, {})

    def runs(self) -> list[str]:
        """Runs that have a record."""
        names = self("for-each-ref", "--format=%(refname)", "refs/govrun/runs").split()
        return [name.rsplit("/", 1)[1] for name in names]

    def record(self, run: str) -> dict[str, Any]:
        found = json.loads(self("show", f"{ref_of(run)}:run.json"))
        assert isinstance(found, dict)
        return found


@pytest.fixture
def git(govrun: Govrun) -> Git:
    return Git(govrun)


def eventually(git: Git, run: str) -> None:
    """Nobody waits for the notes of a run that changed nothing."""
    end = time.monotonic() + 30
    while run not in git.runs() and time.monotonic() < end:
        time.sleep(0.02)
    assert run in git.runs()


def test_a_run_without_a_commit_is_noted_where_it_began(govrun: Govrun, git: Git) -> None:
    outcome = govrun("sh", "-c", "echo x > src/new.py; echo x > /etc/govrun-test; true").ok()
    lines = git.lines("HEAD", outcome.run)
    assert sorted(lines) == list(range(9))
    assert lines[0].startswith("govrun/1 PASSED agent=generic exit=")
    assert "blocked=1" in lines[1]
    tree = git("rev-parse", "HEAD^{tree}")[:12]
    assert lines[2] == f"state base={tree} tree={tree} transitions=1 external=0 divergence=0"
    assert lines[4] == "decision scope.write<-govrun=1"
    assert lines[5].startswith("contract - coverage=enforced:")
    assert f"events={len(outcome.journal)} root=sha256:" in lines[6] and lines[6].endswith("gaps=0 end=exit")
    assert git.runs() == [outcome.run]


def test_branches_show_nothing_of_it_and_all_refs_the_ledger_and_the_notes(govrun: Govrun, git: Git) -> None:
    for number in range(3):
        govrun("sh", "-c", f"echo {number} > src/new.py").ok()
    shown = set(git("log", "--all", "--format=%s").splitlines())
    assert shown == {"base", "govrun ledger", *(f"govrun {run}" for run in git.runs())}
    assert git("cat-file", "-t", ref_of(git.runs()[0])) == "tree"
    assert "govrun" not in git("log", "--format=%s", "--branches", "--tags", "--remotes")


def test_a_run_that_changed_nothing_is_noted_too(govrun: Govrun, git: Git) -> None:
    outcome = govrun("true").ok()
    eventually(git, outcome.run)
    assert git.lines("HEAD", outcome.run)[0].startswith("govrun/1 PASSED")


def test_before_the_first_commit(govrun: Govrun, git: Git, tmp_path: Path) -> None:
    place = tmp_path / "fresh"
    place.mkdir()
    govrun.bare("git", "init", "-q", cwd=place)
    outcome = govrun("sh", "-c", "echo x > f", cwd=place).ok()
    inside = Git(govrun)
    ledger, record = inside("for-each-ref", "--format=%(refname)", cwd=place).split()
    assert ledger.startswith("refs/govrun/ledger/") and record == ref_of(outcome.run)


def test_notes_can_be_read_at_eighty_columns(govrun: Govrun, git: Git) -> None:
    """A line wraps once at most, and holds nothing that a terminal would act upon."""
    outcome = govrun(
        "sh", "-c", "for n in 1 2 3 4 5 6; do mkdir /nowhere$n; done; echo x > f; git add f; git commit -qm 'a\u202eb'"
    )
    shown = git("log", "--notes=govrun", "-1")
    ours = [line for line in shown.splitlines() if outcome.run in line]
    assert len(ours) == 9
    for line in ours:
        assert len(line) <= 160
        assert line.isascii() and line.isprintable()


def test_the_record_holds_events_and_digests(govrun: Govrun, git: Git) -> None:
    script = "for n in $(seq 2600); do : > src/f$n; done; git add -A; git commit -qm one; echo x > /etc/govrun-test"
    outcome = govrun("bash", "-c", script, timeout=120)
    ref = ref_of(outcome.run)
    segments = [json.loads(line) for line in git("show", f"{ref}:segments.jsonl").splitlines()]
    assert [each["first"] for each in segments] == list(range(1, len(outcome.journal) + 1, 5000))
    assert segments[-1]["last"] == len(outcome.journal) > 5000
    tree, seen = Tree(), []
    for number, each in enumerate(segments):
        data = govrun.bare("git", "show", f"{ref}:events/{number:06d}.jsonl").stdout
        assert hashlib.sha256(data).hexdigest() == each["sha256"]
        for line in data.splitlines():
            tree.add(chain.leaf(line))
            seen.append(json.loads(line))
    assert [each["seq"] for each in seen] == [each["seq"] for each in outcome.journal]
    assert [each.get("verdict") for each in seen] == [each.get("verdict") for each in outcome.journal]
    record = git.record(outcome.run)
    assert record["log"]["root"] == f"sha256:{tree.root().hex()}"
    assert f"root={record['log']['root']} " in git.lines("HEAD", outcome.run)[6]
    kept = [json.loads(line) for line in (outcome.run_dir or Path()).joinpath("chain.jsonl").read_text().splitlines()]
    assert record["log"]["chain"] == f"sha256:{kept[-1]['chain']}" == f"sha256:{segments[-1]['chain']}"
    assert record["commits"] == [git("rev-parse", "HEAD")]
    assert record["end"]["counts"]["blocked"] == 1
    assert "fsck" not in git("fsck", "--full")


def test_no_content_reaches_the_repository(govrun: Govrun, git: Git, repo: Path) -> None:
    (repo / "govrun.toml").write_text(DENY)
    script = (
        "echo 'key = \"s3cret-in-a-file\"' > src/keys.py; sh -c 'echo s3cret-in-a-command' > /dev/null;"
        "printf 'import requests\\nx = \"s3cret-in-a-revert\"\\n' > src/bad.py; ls src > /dev/null;"
        "curl --user me:s3cret-in-an-option http://me:s3cret-in-an-address@127.0.0.1:1/ 2> /dev/null; true"
    )
    outcome = govrun("sh", "-c", script)
    assert outcome.records(outcome="reverted")
    assert git.runs() == [outcome.run]
    objects = git("cat-file", "--batch-all-objects", "--batch-check").split("\n")
    names = [line.split()[0] for line in objects]
    everything = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=repo, input="\n".join(names).encode(), capture_output=True, check=True
    ).stdout
    assert b"s3cret" not in everything
    assert outcome.run.encode() in everything
    shown = git("show", f"{ref_of(outcome.run)}:policy/govrun.toml")
    assert "one client" in shown


# ---- many at once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [True, False], ids=["worktrees", "one tree"])
def test_four_runs_at_once(govrun: Govrun, git: Git, repo: Path, tmp_path: Path, apart: bool) -> None:
    work = (
        "for n in 1 2 3 4 5; do echo {0} > f{0}; git add f{0} && git commit -qm {0}-$n --allow-empty -- f{0} || "
        "until git commit -qm {0}-$n --allow-empty; do sleep 0.0$RANDOM; done; done"
    )
    places = []
    for number in range(4):
        place = repo
        if apart:
            place = tmp_path / f"w{number}"
            git("worktree", "add", "-q", "-b", f"b{number}", str(place))
        places.append(place)
    started = [govrun.start("bash", "-c", work.format(n), cwd=place) for n, place in enumerate(places)]
    for each in started:
        _, err = each.process.communicate(timeout=120)
        assert each.process.returncode == 0, err
    runs = sorted(path.name for path in (govrun.state / "runs").iterdir())
    assert len(runs) == 4
    assert sorted(git.runs()) == runs
    commits = git("log", "--all", "--no-merges", "--format=%H %s", "--branches").splitlines()
    made = [line.split()[0] for line in commits if "-" in line.split()[1]]
    assert len(made) == 20
    for commit in made:
        text = git("notes", "--ref=govrun", "show", commit)
        noted = [run for run, lines in note.parse(text).items() if lines[0].startswith("govrun/1 PASSED")]
        assert len(noted) == 1 or not apart, text
        assert noted, text
    git("fsck", "--full")


# ---- crash at any point ---------------------------------------------------------------------------------------------

WORK = """
n=0
while :; do
    n=$((n + 1)); echo $n > src/f$n
    printf 'import requests\\n' > src/bad$((n % 3)).py
    git add -A src/f$n; git commit -qm c$n
    echo x > /etc/govrun-test
done
"""


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it has just ended


def kill_family(running: Running, victims: str) -> None:
    """SIGKILL everything of a run at one moment, or only one process of it."""
    guard = psutil.Process(running.process.pid)
    family = [guard, *guard.children(recursive=True)]
    if victims == "all":
        chosen = family
    elif victims == "supervisor":
        while not (chosen := guard.children()[:1]):
            time.sleep(0.01)
    else:
        chosen = [child for child in family if b"supervisor.provenance.publish" in command_of(child.pid)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for member in chosen:
            try:
                member.send_signal(number)
            except psutil.NoSuchProcess:
                continue
    if victims == "publisher":
        guard.send_signal(signal.SIGTERM)
    running.process.communicate(timeout=60)
    psutil.wait_procs(family, timeout=10)


def journal_of(folder: Path) -> list[dict[str, Any]]:
    path = folder / "journal.jsonl"
    whole = (
        [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")] if path.exists() else []
    )
    return [json.loads(line) for line in whole]


def recovered(govrun: Govrun, folder: Path) -> None:
    done = govrun.cli("recover")
    assert done.code == 0, f"{done.stdout.decode()}\n{done.stderr}"
    again = govrun.cli("recover").ok()
    assert folder.name not in again.stdout.decode()  # nothing is owed any more
    # A process that was stopped and killed in the middle of a write may leave git's lock of a ref.
    if (folder / "journal.jsonl").exists():
        assert govrun.cli("log", folder.name).code == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victims", ["all", "supervisor", "publisher"])
def test_killed_at_any_moment(govrun: Govrun, git: Git, repo: Path, victims: str) -> None:
    """After ``recover`` the chain is whole, every commit that the journal names is noted, and the record is there."""
    (repo / "govrun.toml").write_text(DENY)
    chance = random.Random(os.environ.get("GOVRUN_SEED", "1"))
    for _ in range(ROUNDS if victims == "all" else max(2, ROUNDS // 3)):
        before = set((govrun.state / "runs").iterdir()) if (govrun.state / "runs").exists() else set()
        running = govrun.start("bash", "-c", WORK)
        time.sleep(chance.uniform(0.05, 1.6))
        kill_family(running, victims)
        for lock in [*(repo / ".git").glob("*.lock"), *(repo / ".git/refs").rglob("*.lock")]:
            lock.unlink()  # of a git that was killed: its user removes it, as git says
        new = set((govrun.state / "runs").iterdir()) - before if (govrun.state / "runs").exists() else set()
        if not new:
            continue  # killed before there was a run
        (folder,) = new
        if not (folder / "meta.json").exists():
            continue  # or before anything was known of it
        if victims == "supervisor":  # the guard, which is left, sees to it at once
            assert folder.name in git.runs()
            assert govrun.cli("recover").ok().stdout == b"nothing to recover\n"
        recovered(govrun, folder)
        records = journal_of(folder)
        made = {each["op"]["new"] for each in records if each["kind"] == "git.ref" and each.get("outcome")}
        assert folder.name in git.runs()
        record = git.record(folder.name)
        assert record["log"]["events"] == len(records)
        if victims != "publisher":
            counts = json.loads((folder / "meta.json").read_text())["end"]["counts"]
            assert counts == record["end"]["counts"]
            assert counts["attempted"] == sum(counts[each] for each in ("succeeded", "failed", "blocked", "unknown"))
        for commit in made or {record["base"]}:
            lines = git.lines(commit, folder.name)
            assert lines[0].split()[1] in (("PASSED", "UNKNOWN") if victims == "publisher" else ("UNKNOWN",)), lines
            assert lines[6].endswith(("end=crash", "end=signal", "end=exit")), lines
    told = govrun.cli("verify", "--all")
    assert told.code == 0 and b"no number is missing" in told.stdout, told.stdout


def test_recover_counts_what_the_journal_tells(govrun: Govrun, git: Git, repo: Path) -> None:
    """What is counted again from the journal is what the run itself had counted."""
    (repo / "govrun.toml").write_text(DENY)
    script = (
        "echo 1 > src/a; git add -A; git commit -qm one; echo x > /etc/govrun-test; rm src/nothing; cat /none;"
        "printf 'import requests\\n' > src/bad.py; ls > /dev/null; mkdir src/a 2> /dev/null; true"
    )
    outcome = govrun("sh", "-c", script).ok()
    from supervisor.provenance.completion import crashed

    assert outcome.run_dir is not None
    again = crashed(outcome.run_dir)
    (end,) = outcome.records(kind="run.end")
    assert again.counts == {name: end["op"]["counts"][name] for name in again.counts}
    told = json.loads((outcome.run_dir / "meta.json").read_text())["end"]
    assert again.upto == told["seq"]
    assert again.decisions == git.record(outcome.run)["end"]["decisions"]


# ---- others meanwhile -----------------------------------------------------------------------------------------------

HOLD = "echo 1 > src/one; git add -A; git commit -qm one; touch ready; while [ ! -e go ]; do sleep 0.02; done"


def meanwhile(govrun: Govrun, repo: Path, work: str) -> tuple[Outcome, str]:
    """Do ``work`` outside while a run that has made a commit goes on; (outcome, the run's commit)."""
    running = govrun.start("bash", "-c", HOLD)
    end = time.monotonic() + 30
    while not (repo / "ready").exists() and time.monotonic() < end:
        time.sleep(0.02)
    commit = govrun.bare("git", "rev-parse", "HEAD").stdout.decode().strip()
    while not govrun.bare("git", "notes", "--ref=govrun", "show", commit).stdout and time.monotonic() < end:
        time.sleep(0.02)
    done = govrun.bare("bash", "-ec", work)
    assert done.returncode == 0, done.stderr
    (repo / "go").touch()
    return running.wait(60), commit


@pytest.mark.parametrize(
    "work",
    [
        "git update-ref -d refs/notes/govrun",
        "git notes --ref=govrun remove HEAD",
        "git update-ref refs/notes/govrun $(git commit-tree -m x $(git mktree < /dev/null))",
        "git notes --ref=theirs add -m theirs HEAD; git notes --ref=govrun merge -q -s cat_sort_uniq theirs",
        "git gc -q --prune=now",
        "git pack-refs --all; git repack -qad",
        "git notes --ref=govrun append -m 'by hand'",
    ],
    ids=["deleted", "note removed", "moved", "merged", "gc", "packed", "appended"],
)
def test_the_notes_were_changed_meanwhile(govrun: Govrun, git: Git, repo: Path, work: str) -> None:
    outcome, commit = meanwhile(govrun, repo, work)
    outcome.ok()
    assert sorted(git.lines(commit, outcome.run)) == list(range(9))
    assert git.lines(commit, outcome.run)[0].startswith("govrun/1 PASSED")
    text = git("notes", "--ref=govrun", "show", commit)
    assert ("theirs" in text) == ("theirs" in work) and ("by hand" in text) == ("by hand" in work)
    assert git.runs() == [outcome.run]


def test_the_history_was_rewritten_meanwhile(govrun: Govrun, git: Git, repo: Path) -> None:
    """The run's commits are gone: where it began is noted, and the record names them."""
    work = "git reset -q --hard HEAD^; git reflog expire --expire=now --all; git gc -q --prune=now"
    outcome, commit = meanwhile(govrun, repo, work)
    assert git.lines("HEAD", outcome.run)[0].startswith("govrun/1 ")
    assert git.record(outcome.run)["commits"] == [commit]


def test_what_cannot_be_written_is_told_and_made_up_for(govrun: Govrun, git: Git, repo: Path) -> None:
    """As on a full disk: the run ends as it did, says so, and ``recover`` writes the rest once there is room."""
    outcome, commit = meanwhile(govrun, repo, "find .git/objects -type d -exec chmod 0500 {} +")
    assert "not all notes could be written" in outcome.stderr and "fix: govrun recover" in outcome.stderr
    assert outcome.code == 0
    assert git.lines(commit, outcome.run)[0].startswith("govrun/1 RUNNING")
    govrun.bare("bash", "-c", "find .git/objects -type d -exec chmod 0755 {} +")
    done = govrun.cli("recover").ok()
    assert outcome.run in done.stdout.decode()
    lines = git.lines(commit, outcome.run)
    assert lines[0].startswith("govrun/1 PASSED agent=generic exit=0")
    assert lines[6].endswith("end=exit")
    assert git.runs() == [outcome.run]


def test_the_repository_is_gone(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    running = govrun.start("bash", "-c", HOLD)
    end = time.monotonic() + 30
    while not (repo / "ready").exists() and time.monotonic() < end:
        time.sleep(0.02)
    kill_family(running, "all")
    repo.rename(tmp_path / "elsewhere")
    first = govrun.cli("recover", cwd=tmp_path)
    assert b"its repository is gone" in first.stdout, first.stderr
    assert govrun.cli("recover", cwd=tmp_path).ok().stdout.count(b"repository is gone") == 0


def test_lines_of_a_later_version_are_kept(govrun: Govrun, git: Git) -> None:
    """What a newer govrun wrote is not understood here, and not touched."""
    other = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    git("notes", "--ref=govrun", "add", "-m", f"{other} 0 govrun/9 SPLENDID\n{other} 1 whatever", "HEAD")
    outcome = govrun("sh", "-c", "echo x > f").ok()
    text = git("notes", "--ref=govrun", "show", "HEAD")
    assert f"{other} 0 govrun/9 SPLENDID" in text and f"{other} 1 whatever" in text
    assert sorted(git.lines("HEAD", outcome.run)) == list(range(9))


def test_a_run_cannot_touch_records(govrun: Govrun, git: Git) -> None:
    first = govrun("sh", "-c", "echo x > f").ok()
    ref = ref_of(first.run)
    script = (
        f"git update-ref -d {ref}; rm -f .git/{ref}; rm -rf .git/refs/govrun; git update-ref {ref} HEAD;"
        "mv .git/refs/govrun .git/refs/x; git update-ref refs/govrun/runs/ZZ/mine HEAD; true"
    )
    before = git("rev-parse", ref)
    second = govrun("sh", "-c", script)
    assert second.denied()
    assert git("rev-parse", ref) == before
    assert sorted(git.runs()) == sorted([first.run, second.run])
