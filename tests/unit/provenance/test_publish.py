"""The publisher against real git repositories, as a process and as a library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from supervisor.git.layout import discover
from supervisor.git.refs import snapshot
from supervisor.journal import store
from supervisor.provenance import note
from supervisor.provenance.feed import Feed, last_problem
from supervisor.provenance.progress import RECORD
from supervisor.provenance.publish import main
from supervisor.provenance.publisher import NOTES_REF, Ending, Publisher
from supervisor.provenance.transaction import Repository
from supervisor.vocabulary.errors import GovrunError

COUNTS = {"attempted": 5, "succeeded": 3, "failed": 1, "blocked": 1, "unknown": 0, "reverts": 4}


class World:
    """A repository, a state folder, and git as a user calls it."""

    def __init__(self, place: Path, *, object_format: str = "sha1") -> None:
        self.top = place / "tree"
        self.env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(place),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": "a@example.invalid",
            "GIT_COMMITTER_NAME": "A",
            "GIT_COMMITTER_EMAIL": "a@example.invalid",
        }
        self.top.mkdir()
        self.git("init", "-q", "-b", "main", f"--object-format={object_format}")
        self.base = self.commit("base")
        self.state = store.state_dir({"XDG_STATE_HOME": str(place / "state")})

    def git(self, *args: str, cwd: Path | None = None, check: bool = True) -> str:
        done = subprocess.run(["git", *args], cwd=cwd or self.top, env=self.env, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, text: str, cwd: Path | None = None) -> str:
        self.git("commit", "-q", "--allow-empty", "-m", text, cwd=cwd)
        return self.git("rev-parse", "HEAD", cwd=cwd)

    def run(self, cwd: Path | None = None) -> Path:
        run, folder = store.new_run(self.state)
        found = discover(cwd or self.top)
        assert found is not None
        git = {
            "git_dir": str(found.git_dir),
            "common_dir": str(found.common_dir),
            "object_format": found.object_format,
            "base": found.head_commit,
        }
        store.write_meta(folder, {"run": run, "agent": "generic", "git": git})
        store.write_refs(folder, snapshot(found.common_dir))
        return folder

    def note(self, commit: str) -> str:
        return self.git("notes", "--ref=govrun", "show", commit, check=False)

    def noted(self) -> set[str]:
        return {line.split()[1] for line in self.git("notes", "--ref=govrun", "list", check=False).splitlines()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def moved(commit: str, ref: str = "refs/heads/main", upto: int = 7) -> dict[str, object]:
    return {
        "ref": ref,
        "commit": commit,
        "counts": COUNTS,
        "decisions": {"scope.write<-govrun.toml:3": 2},
        "upto": upto,
        "seconds": 4.2,
    }


def publish(folder: Path, *messages: dict[str, object]) -> int:
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    command = [sys.executable, "-m", "supervisor.provenance.publish", str(folder)]
    return subprocess.run(command, input=lines.encode(), cwd=Path(__file__).parents[3], timeout=60).returncode


def problems(folder: Path) -> list[str]:
    lines = (folder / RECORD).read_text().splitlines() if (folder / RECORD).exists() else []
    return [record["problem"] for record in map(json.loads, lines) if "problem" in record]


END = {
    "end": {
        "status": "PASSED",
        "reason": "exit",
        "exit": 0,
        "seconds": 9.9,
        "counts": {
            "kills": 1,
            "external": 2,
            "divergence": 3,
            "contracts": 3,
            "contracts_passed": 2,
            "episodes_fixed": 1,
            "episodes_exhausted": 0,
            "episodes_abandoned": 4,
            "episodes_superseded": 0,
        },
    }
}


def test_a_run_from_first_commit_to_end(world: World) -> None:
    folder = world.run()
    one, two = world.commit("one"), world.commit("two")
    assert publish(folder, moved(one), moved(two, upto=9), END) == 0
    run = folder.name
    tree = world.git("rev-parse", "HEAD^{tree}")[:12]
    *said, bundle, signature = world.note(two).splitlines()
    assert said == [
        f"{run} 0 govrun/1 PASSED agent=generic exit=0 9s upto=9",
        f"{run} 1 execution attempted=5 succeeded=3 failed=1 blocked=1 unknown=0",
        f"{run} 2 state base={tree} tree={tree} transitions=- external=2 divergence=3",
        f"{run} 3 remediation reverts=4 kills=1 episodes=1/0/4/0",
        f"{run} 4 decision scope.write<-govrun.toml:3=2",
        f"{run} 5 contract 2/3 passed coverage=-",
        f"{run} 6 log events=0 root=sha256:{sha256(b'').hexdigest()} gaps=0 end=exit",
    ]
    envelope, *_ = world.git("show", f"{note.ref_of(run)}:bundle.intoto.jsonl").splitlines()
    assert bundle == f"{run} 7 bundle sha256:{sha256(envelope.encode()).hexdigest()} {note.ref_of(run)}"
    signed = json.loads(envelope)["signatures"][0]
    assert signature == f"{run} 8 sig ed25519 {signed['sig']}"
    assert world.noted() == {one, two}
    assert problems(folder) == []


def test_the_note_is_there_while_the_agent_works(world: World) -> None:
    folder = world.run()
    feed = Feed(folder)
    commit = world.commit("one")
    feed.send("refs/heads/main", commit, counts=COUNTS, decisions={}, upto=3, seconds=1.0)
    deadline = time.monotonic() + 30
    while "RUNNING" not in world.note(commit) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert " 0 govrun/1 RUNNING agent=generic exit=- 1s upto=3" in world.note(commit)
    feed.end({"status": "FAILED", "reason": "exit", "exit": None, "seconds": 2.0})
    assert feed.wait(30)
    assert " 0 govrun/1 FAILED agent=generic exit=- 2s upto=3" in world.note(commit)


def test_input_that_ends_early_reads_unknown(world: World) -> None:
    folder = world.run()
    commit = world.commit("one")
    assert publish(folder, moved(commit)) == 0
    assert " UNKNOWN " in world.note(commit)


def test_a_first_commit_ever(tmp_path: Path) -> None:
    world = World(tmp_path)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    world.git("init", "-q", "-b", "main", cwd=fresh)
    folder = world.run(fresh)
    commit = world.commit("root", cwd=fresh)
    assert publish(folder, moved(commit), END) == 0
    assert "state base=- tree=" in world.git("notes", "--ref=govrun", "show", commit, cwd=fresh)


def test_prior_commits_get_no_note(world: World) -> None:
    old = world.commit("old")
    world.git("branch", "kept")
    world.git("reset", "-q", "--hard", world.base)
    folder = world.run()
    world.git("branch", "again", old)
    new = world.commit("new")
    world.git("merge", "-q", "--no-edit", "kept")
    merge = world.git("rev-parse", "HEAD")
    assert publish(folder, moved(old, "refs/heads/again"), moved(new), moved(merge), END) == 0
    assert world.noted() == {new, merge}


def test_fetched_commits_are_others_and_pushed_ones_stay_ours(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    world.git("clone", "-q", str(world.top), str(other))
    world.git("remote", "add", "origin", str(other))
    folder = world.run()
    theirs = world.commit("theirs", cwd=other)
    ours = world.commit("ours")
    world.git("fetch", "-q", "origin")
    world.git("merge", "-q", "--no-edit", "origin/main")
    merge = world.git("rev-parse", "HEAD")
    pushed = moved(ours, "refs/remotes/origin/topic")
    assert publish(folder, moved(ours), pushed, moved(theirs, "refs/remotes/origin/main"), moved(merge), END) == 0
    assert world.noted() == {ours, merge}


def test_own_refs_tags_blobs_and_deletions_are_passed_over(world: World) -> None:
    folder = world.run()
    commit = world.commit("one")
    world.git("tag", "-a", "-m", "t", "v1")
    tag = world.git("rev-parse", "v1")
    blob = world.git("hash-object", "-w", "--stdin")
    gone = {"ref": "refs/heads/x", "commit": "0" * 40}
    rubbish = {"ref": "refs/heads/x", "commit": "--upload-pack=sh"}
    assert publish(folder, gone, rubbish, moved(blob), moved(commit, "refs/notes/other"), END) == 0
    assert world.noted() == {world.base}  # the run brought no commit
    folder = world.run()
    new = world.commit("two")
    world.git("tag", "-a", "-m", "t", "v2")
    assert publish(folder, moved(world.git("rev-parse", "v2"), "refs/tags/v2"), moved(tag, "refs/tags/v1"), END) == 0
    assert world.noted() == {world.base, new}


def test_another_runs_lines_and_a_humans_are_kept(world: World) -> None:
    first, second = world.run(), world.run()
    commit = world.commit("one")
    world.git("notes", "--ref=govrun", "add", "-m", "looked at by a human", commit)
    assert publish(first, moved(commit), END) == 0
    assert publish(second, moved(commit), {"end": {"status": "WARNED", "exit": 3, "seconds": 1}}) == 0
    text = world.note(commit)
    assert "looked at by a human" in text
    found = note.parse(text)
    assert found[first.name][0].startswith("govrun/1 PASSED")
    assert found[second.name][0].startswith("govrun/1 WARNED agent=generic exit=3")
    assert sorted(found[first.name]) == sorted(found[second.name]) == list(range(9))


@pytest.mark.timeout(300)
def test_four_publishers_at_once_lose_nothing(world: World) -> None:
    """100 single writes each, to one ref: ``git notes add`` loses some 40 % of them."""
    folders, made = [], []
    for n in range(4):
        world.git("checkout", "-q", "--orphan", f"b{n}")
        folders.append(world.run())
        made.append([world.commit(f"{n}-{m}") for m in range(100)])
    # As if they did not share a state folder: then nothing but the expected old value keeps them apart.
    script = (
        "import sys, contextlib; from pathlib import Path\n"
        "from supervisor.provenance.publisher import Ending, Publisher\n"
        "from supervisor.provenance.transaction import Repository\n"
        "assert callable(Repository._turn)\n"
        "if sys.argv[2] == 'free': Repository._turn = lambda self: contextlib.nullcontext()\n"
        "publisher = Publisher(Path(sys.argv[1])); publisher._foreign = {sys.argv[3]}\n"
        "for commit in sys.argv[4:]:\n"
        "    publisher.moved({'ref': 'refs/heads/x', 'commit': commit}); publisher.flush()\n"
        "publisher.finish(Ending('PASSED', 'exit', 0, 1))\n"
    )
    for mode in ("free", "turns"):
        world.git("update-ref", "-d", NOTES_REF, check=False)
        for folder in folders:
            (folder / RECORD).unlink(missing_ok=True)
        started = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(folder), mode, world.base, *commits], cwd=Path(__file__).parents[3]
            )
            for folder, commits in zip(folders, made, strict=True)
        ]
        assert [process.wait() for process in started] == [0] * 4
        assert world.noted() == {commit for commits in made for commit in commits}
        assert all("PASSED" in world.note(commit) for commits in made for commit in (commits[0], commits[-1]))


def test_races_that_others_win_do_not_count(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine fifty in a row were lost to three others, each of whom had got on."""
    folder = world.run()
    repository = Repository(folder, store.read_meta(folder)["git"])
    repository.attempts = 2
    swap, others = Repository._swap, 0

    def overtaken(self: Repository, updates: object) -> None:
        nonlocal others
        if others < 7:
            others += 1
            world.git("notes", "--ref=govrun", "append", "-m", f"other {others}", world.base)
        swap(self, updates)  # type: ignore[arg-type]

    monkeypatch.setattr(Repository, "_swap", overtaken)
    try:
        repository.write({world.base: lambda text: text + "line\n"}, {})
    finally:
        repository.close()
    assert others == 7
    assert [each for each in world.note(world.base).splitlines() if each] == [
        *(f"other {n}" for n in range(1, 8)),
        "line",
    ]


def test_many_notes_in_one_transaction_and_packed(world: World) -> None:
    folder = world.run()
    commits = [world.commit(f"c{n}") for n in range(300)]
    publisher = Publisher(folder)
    publisher.moved(moved(commits[-1]))
    publisher.flush()
    assert world.noted() == set(commits)
    world.git("pack-refs", "--all")
    world.git("gc", "-q")
    assert not (world.top / ".git" / NOTES_REF).exists()
    more = world.commit("more")
    publisher.moved(moved(more))
    publisher.finish(Ending("PASSED", "exit", 0, 1))
    publisher.close()
    assert world.noted() == {*commits, more}
    assert world.git("rev-list", "--count", NOTES_REF) == "2"
    texts = world.git("log", "--format=%N", "--notes=govrun", "main")
    assert texts.count("PASSED") == 301
    assert "RUNNING" not in texts


def test_mixed_fanout_is_healed(world: World) -> None:
    folder = world.run()
    commit = world.commit("one")
    blob = (
        subprocess.run(
            ["git", "hash-object", "-w", "--stdin"],
            input=b"old words\n",
            cwd=world.top,
            env=world.env,
            capture_output=True,
        )
        .stdout.decode()
        .strip()
    )
    inner = f"100644 blob {blob}\t{commit[2:]}\n"
    sub = subprocess.run(["git", "mktree"], input=inner.encode(), cwd=world.top, env=world.env, capture_output=True)
    outer = f"100644 blob {blob}\t{commit}\n040000 tree {sub.stdout.decode().strip()}\t{commit[:2]}\n"
    top = subprocess.run(["git", "mktree"], input=outer.encode(), cwd=world.top, env=world.env, capture_output=True)
    tip = world.git("commit-tree", "-m", "mixed", top.stdout.decode().strip())
    world.git("update-ref", NOTES_REF, tip)
    assert publish(folder, moved(commit), END) == 0
    assert world.git("ls-tree", "-r", "--name-only", NOTES_REF).replace("/", "") == commit
    assert "old words" in world.note(commit)


def test_a_hostile_repository_runs_nothing(world: World, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\necho $0 $* >> {marker}\n")
    trap.chmod(0o755)
    folder = world.run()
    commit = world.commit("one")
    hooks = world.top / ".git" / "hooks"
    for name in ("reference-transaction", "post-index-change", "pre-auto-gc", "post-commit", "post-update", "update"):
        (hooks / name).unlink(missing_ok=True)
        (hooks / name).symlink_to(trap)
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand", "core.askPass", "core.editor", "core.gitProxy",
                "credential.helper", "gpg.program", "filter.x.clean", "filter.x.smudge", "diff.external",
                "core.alternateRefsCommand", "alias.update-ref", "alias.fast-import"):  # fmt: skip
        world.git("config", key, ("!" if key.startswith("alias") else "") + str(trap))
    world.git("config", "core.hooksPath", str(hooks))
    world.git("config", "protocol.ext.allow", "always")
    world.git("config", "remote.origin.url", f"ext::{trap} x")
    world.git("config", "remote.origin.promisor", "true")
    world.git("config", "extensions.partialClone", "origin")
    world.git("config", "core.repositoryFormatVersion", "1")
    world.git("config", "gc.auto", "1")
    (world.top / ".git/info/attributes").write_text("* filter=x\n")
    marker.unlink(missing_ok=True)  # git config itself may have run one
    assert publish(folder, moved(commit), moved("1" * 40), END) == 0
    assert not marker.exists(), marker.read_text()
    tip = (world.top / ".git" / NOTES_REF).read_text().strip()
    assert len(tip) == 40
    # The traps do bite when git is called as the user would.
    world.git("update-ref", "refs/heads/y", commit, check=False)
    assert marker.exists()


def test_environment_of_the_caller_does_not_reach_git(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = World(tmp_path / "x") if (tmp_path / "x").mkdir() is None else None
    assert elsewhere is not None
    monkeypatch.setenv("GIT_DIR", str(elsewhere.top / ".git"))
    monkeypatch.setenv("GIT_NAMESPACE", "ns")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.bare")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "rubbish")
    folder = world.run()
    commit = world.commit("one")
    assert publish(folder, moved(commit), END) == 0
    assert world.noted() == {commit}
    assert elsewhere.noted() == set()


def test_a_symbolic_notes_ref_is_refused_and_its_target_unmoved(world: World) -> None:
    folder = world.run()
    commit = world.commit("one")
    world.git("symbolic-ref", NOTES_REF, "refs/heads/main")
    assert publish(folder, moved(commit), END) == 1
    assert world.git("rev-parse", "main") == commit
    assert any("not a plain ref" in problem for problem in problems(folder))


def test_a_damaged_notes_ref_is_told_and_left(world: World) -> None:
    folder = world.run()
    commit = world.commit("one")
    path = world.top / ".git" / NOTES_REF
    path.parent.mkdir(parents=True)
    path.write_text("1" * 40 + "\n")
    assert publish(folder, moved(commit), END) == 1
    assert path.read_text() == "1" * 40 + "\n"
    assert any("damaged" in problem for problem in problems(folder))


def test_worktrees_share_the_notes(world: World, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    world.git("worktree", "add", "-q", "-b", "side", str(linked))
    folder = world.run(linked)
    commit = world.commit("one", cwd=linked)
    assert publish(folder, moved(commit, "refs/heads/side"), END) == 0
    assert world.noted() == {commit}


def test_sha256(tmp_path: Path) -> None:
    world = World(tmp_path, object_format="sha256")
    folder = world.run()
    commit = world.commit("one")
    assert len(commit) == 64
    assert publish(folder, moved(commit), END) == 0
    assert "PASSED" in world.note(commit)


def test_commits_that_vanish(world: World) -> None:
    folder = world.run()
    lost = world.commit("lost")
    publisher = Publisher(folder)
    publisher.moved(moved(lost))
    world.git("reset", "-q", "--hard", world.base)
    world.git("reflog", "expire", "--expire=now", "--all")
    world.git("gc", "-q", "--prune=now")
    kept = world.commit("kept")
    publisher.moved(moved(kept))
    publisher.moved(moved(lost))
    publisher.flush()
    assert world.noted() == {kept}
    publisher.finish(Ending("PASSED", "exit", 0, 1))
    publisher.close()
    assert "PASSED" in world.note(kept)
    assert any("gone" in problem for problem in problems(folder))


def pruned(world: World, tip: str, kept: str) -> None:
    """What a ``git prune`` does that read the refs while the notes were at ``kept`` ("" for nowhere)."""
    world.git("update-ref", *(["refs/notes/govrun", kept] if kept else ["-d", "refs/notes/govrun"]))
    world.git("reflog", "expire", "--expire=now", "--all")
    world.git("prune")
    path = world.top / ".git/refs/notes/govrun"
    path.parent.mkdir(exist_ok=True)
    path.write_text(tip + "\n")
    assert world.git("notes", "--ref=govrun", "list", check=False) == ""


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("then", ["commit", "idle", "end"])
def test_a_prune_under_way_takes_the_notes(world: World, earlier: bool, then: str) -> None:
    folder = world.run()
    publisher = Publisher(folder)
    commits, kept = set(), ""
    if earlier:
        world.git("notes", "--ref=govrun", "add", "-m", "human", world.base)
        first = world.commit("first")
        publisher.moved(moved(first))
        publisher.flush()
        commits = {world.base, first}
        kept = world.git("rev-parse", "refs/notes/govrun")
    for name in ("one", "two"):
        commit = world.commit(name)
        commits.add(commit)
        publisher.moved(moved(commit))
        publisher.flush()
    pruned(world, world.git("rev-parse", "refs/notes/govrun"), kept)
    if then == "commit":
        commits.add(world.commit("three"))
        publisher.moved(moved(world.git("rev-parse", "HEAD")))
    if then != "end":
        publisher.flush()
        assert world.noted() == commits
        assert world.git("fsck", "--no-dangling") == ""
    publisher.finish(Ending("PASSED", "exit", 0, 1))
    publisher.close()
    assert world.noted() == commits
    assert world.git("fsck", "--no-dangling") == ""
    assert all("PASSED" in world.note(commit) for commit in commits - {world.base})
    assert not earlier or world.note(world.base) == "human"


def test_recover_and_a_publisher_that_is_left_take_turns(world: World) -> None:
    folder = world.run()
    meta = store.read_meta(folder)
    store.write_meta(folder, meta | {"coverage": {}})
    commit = world.commit("one")
    feed = Feed(folder)
    feed.send("refs/heads/main", commit, counts=COUNTS, decisions={}, upto=7, seconds=1.0)
    while world.noted() != {commit}:
        time.sleep(0.01)
    script = (
        "import sys; from pathlib import Path; from supervisor.provenance.completion import complete; "
        "print('begun', flush=True); print(repr(complete(Path(sys.argv[1]))))"
    )
    command, place = [sys.executable, "-c", script, str(folder)], Path(__file__).parents[3]
    recovers = [subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE) for _ in range(3)]
    for each in recovers:
        assert each.stdout is not None and each.stdout.readline() == b"begun\n"
    time.sleep(0.3)
    assert (folder / "repo.git/HEAD").exists()  # which it would have taken away when it had finished
    feed.end(END["end"])
    assert feed.wait(20)
    assert [each.communicate(timeout=20)[0] for each in recovers] == [b"''\n"] * 3
    assert [each.returncode for each in recovers] == [0, 0, 0]
    assert "PASSED" in world.note(commit) and problems(folder) == []


def test_who_publishes_is_let_finish_before_another_begins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from supervisor.provenance import progress

    monkeypatch.setattr(progress, "_PATIENCE", 0.1)
    folder = world.run()
    with progress.claimed(folder):
        with pytest.raises(GovrunError, match="are being written"), progress.claimed(folder):
            pass
    with progress.claimed(folder):
        pass


def test_nothing_is_written_out_of_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is signed names a place in the ledger that the one who is at it may take."""
    from supervisor.provenance import transaction

    monkeypatch.setattr(transaction, "_LOCK_PATIENCE", 0.1)
    one, other = Publisher(world.run()), Publisher(world.run())
    commit = world.commit("one")
    other.moved(moved(commit))
    with one._repository._turn(), pytest.raises(GovrunError, match="could not be written"):
        other.flush()
    other.flush()
    assert other.run in world.note(commit)
    one.close()
    other.close()


def test_idle_publishers_look_again(world: World) -> None:
    folder = world.run()
    commit = world.commit("one")
    command = [sys.executable, "-m", "supervisor.provenance.publish", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(moved(commit)).encode() + b"\n")
        process.stdin.flush()
        until(lambda: "RUNNING" in world.note(commit))
        pruned(world, world.git("rev-parse", "refs/notes/govrun"), "")
        until(lambda: "RUNNING" in world.note(commit))
        process.stdin.write(json.dumps(END).encode() + b"\n")
    assert process.returncode == 0
    assert "PASSED" in world.note(commit)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_shallow_clone(world: World, tmp_path: Path) -> None:
    for n in range(3):
        world.commit(f"c{n}")
    shallow = tmp_path / "shallow"
    world.git("clone", "-q", "--depth=1", f"file://{world.top}", str(shallow))
    folder = world.run(shallow)
    commit = world.commit("one", cwd=shallow)
    assert publish(folder, moved(commit), END) == 0
    assert "PASSED" in world.git("notes", "--ref=govrun", "show", commit, cwd=shallow)


def test_amend_rebase_and_squash_leave_a_note_on_each_commit_made(world: World) -> None:
    folder = world.run()
    one = world.commit("one")
    world.git("commit", "-q", "--allow-empty", "--amend", "-m", "amended")
    amended = world.git("rev-parse", "HEAD")
    assert publish(folder, moved(one), moved(amended), END) == 0
    assert world.noted() == {one, amended}


def test_a_second_publisher_goes_on(world: World) -> None:
    folder = world.run()
    one, two = world.commit("one"), world.commit("two")
    publisher = Publisher(folder)
    publisher.moved(moved(one))
    publisher.flush()
    publisher.close()  # as one that was killed
    assert publish(folder, moved(two), END) == 0
    assert world.noted() == {one, two}
    assert "PASSED" in world.note(one) and "PASSED" in world.note(two)


def test_what_was_recorded_stays_as_it_is(world: World) -> None:
    """The notes follow the record, whatever a later publisher is told: they could not be verified otherwise."""
    folder = world.run()
    one = world.commit("one")
    assert publish(folder, moved(one)) == 0
    record, said = world.git("rev-parse", note.ref_of(folder.name)), world.note(one)
    assert "UNKNOWN" in said
    world.git("notes", "--ref=govrun", "remove", one)
    assert publish(folder, moved(one), END) == 0
    assert world.git("rev-parse", note.ref_of(folder.name)) == record
    assert world.note(one) == said


def test_rubbish_on_the_input_is_told(world: World) -> None:
    folder = world.run()
    commit = world.commit("one")
    lines = b"[1]\n{\n\xff\n" + json.dumps(moved(commit)).encode() + b"\n" + json.dumps(END).encode() + b"\n"
    command = [sys.executable, "-m", "supervisor.provenance.publish", str(folder)]
    done = subprocess.run(command, input=lines, cwd=Path(__file__).parents[3], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert world.noted() == {commit}
    assert len(problems(folder)) == 3


def test_without_a_repository_it_does_not_begin(tmp_path: Path) -> None:
    state = store.state_dir({"XDG_STATE_HOME": str(tmp_path)})
    _, folder = store.new_run(state)
    assert publish(folder) == 2
    assert os.listdir(folder) == [RECORD]
    assert "no repository" in problems(folder)[0]


def test_an_independent_reader_finds_the_note(world: World) -> None:
    from git import Repo

    folder = world.run()
    commit = world.commit("one")
    assert publish(folder, moved(commit), END) == 0
    with Repo(world.top) as repo:
        tip = repo.commit(NOTES_REF)
        assert tip.author.name == "govrun"
        blobs = {entry.path.replace("/", ""): entry.data_stream.read().decode() for entry in tip.tree.traverse()}
    assert list(blobs) == [commit]
    assert blobs[commit].splitlines() == world.note(commit).splitlines()


@pytest.mark.needs(landlock=2)
def test_the_publisher_needs_no_more_than_its_paths(world: World) -> None:
    """In a Landlock domain like the supervisor's: both ways of fast-import to store objects (loose, pack)."""
    code = """
import json, os, sys
from pathlib import Path
from supervisor.kernel import caps, landlock
from supervisor.provenance.feed import Feed
from supervisor.provenance.publish import main
folder, common = map(Path, sys.argv[1:3])
paths = [common / name for name in ("objects", "refs/notes", "logs/refs/notes", "refs/govrun")]
for path in paths:
    path.mkdir(parents=True, exist_ok=True)
caps.no_new_privs()
with landlock.Ruleset(landlock.fs_rights(landlock.abi())) as domain:
    domain.grant(b"/", landlock.READ | landlock.EXECUTE)
    for path in [folder.parent.parent, Path("/dev/null"), *paths]:
        domain.grant(os.fsencode(path), landlock.WRITE_ALL)
    domain.restrict_self()
try:
    (common / "config").open("a")
    sys.exit("not confined")
except PermissionError:
    pass
feed = Feed(folder)
for commit in sys.argv[3:]:
    feed.send("refs/heads/main", commit, counts={}, decisions={}, upto=1, seconds=1)
feed.end({"status": "PASSED", "reason": "exit", "exit": 0, "seconds": 1})
sys.exit(not feed.wait(60))
"""
    for count in (1, 150):
        folder = world.run()
        commits = [world.commit(f"{count}-{n}") for n in range(count)]
        command = [sys.executable, "-c", code, str(folder), str(world.top / ".git"), commits[-1]]
        done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + str(problems(folder))
        assert set(commits) <= world.noted()


def test_a_tracking_ref_that_was_not_fetched_is_like_any_other(world: World) -> None:
    folder = world.run()
    one = world.commit("one")
    other = world.git("commit-tree", "-m", "theirs", "HEAD^{tree}")
    by_hand = moved(one, "refs/remotes/o/x") | {"fetched": False}
    fetched = moved(other, "refs/remotes/o/y") | {"fetched": True}
    assert publish(folder, by_hand, fetched, moved(other, "refs/heads/y"), END) == 0
    assert world.note(one)
    assert not world.note(other)


def test_what_a_configuration_breaks_does_not_keep_notes_away(world: World) -> None:
    folder = world.run()
    one = world.commit("one")
    world.git("config", "core.compression", "99")
    assert publish(folder, moved(one), END) == 0
    world.git("config", "--file", ".git/config", "--unset", "core.compression")
    assert world.note(one)


def test_files_of_notes_have_the_users_mode(world: World) -> None:
    folder = world.run()
    one = world.commit("one")
    before = os.umask(0)
    try:
        feed = Feed(folder, 0o027)
        feed.send("refs/heads/main", one, counts={}, decisions={}, upto=1, seconds=1)
        feed.end({"status": "PASSED", "reason": "exit", "exit": 0, "seconds": 1})
        assert feed.wait(20)
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert (world.top / ".git/refs/notes/govrun").stat().st_mode & 0o777 == 0o640
    assert (world.top / ".git/refs/notes").stat().st_mode & 0o777 == 0o750


def test_the_last_problem(tmp_path: Path) -> None:
    assert last_problem(tmp_path) == ""
    (tmp_path / RECORD).write_text('{"problem": "one"}\n{"commit": "x"}\n[1]\n{"problem": "two"}\n{"to')
    assert last_problem(tmp_path) == "two"


@pytest.mark.parametrize("how", ["fresh", "old", "watched"])
def test_locks_that_a_killed_git_left(world: World, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in govrun's own directory is in nobody's way; one on its ref of the user's is taken away once it is old, or
    has been seen to stay."""
    from supervisor.provenance import transaction

    folder = world.run()
    one = world.commit("one")
    publisher = Publisher(folder)
    publisher.moved(moved(one))
    publisher.flush()
    publisher.close()
    staged = folder / "repo.git/refs/govrun"
    staged.mkdir(parents=True, exist_ok=True)
    (staged / "staging.lock").touch()
    lock = world.top / ".git/refs/notes/govrun.lock"
    lock.touch()
    if how == "old":
        os.utime(lock, (time.time() - 120,) * 2)
        assert publish(folder, END) == 0
        assert " PASSED " in world.note(one) and not lock.exists()
        return
    publisher = Publisher(folder)
    if how == "watched":
        monkeypatch.setattr(transaction, "_WATCHED", 1.5)
        publisher.finish(Ending("PASSED", "exit", 0, 1))
        assert " PASSED " in world.note(one) and not lock.exists()
    else:
        publisher._repository.attempts = 1
        with pytest.raises(GovrunError, match="could not be written"):
            publisher.finish(Ending("PASSED", "exit", 0, 1))
        assert lock.exists()
    publisher.close()


@pytest.mark.parametrize("count", [3, 600])
def test_notes_on_commits_that_are_not_here_lie_where_git_looks(world: World, tmp_path: Path, count: int) -> None:
    """Of another clone: git must be able to read, list and merge the tree, however it is fanned out."""
    folder = world.run()
    present = [world.commit(f"c{number}") for number in range(count)]
    repository = Repository(folder, store.read_meta(folder)["git"])
    absent = [sha256(b"%d" % number).hexdigest()[:40] for number in range(count)]
    try:
        for chosen in (present, absent, [*absent[:2], *present[:2]]):
            repository.write({commit: lambda text: text + "line\n" for commit in chosen}, {}, absent=True)
    finally:
        repository.close()
    assert world.noted() == {*present, *absent}
    assert world.note(present[0]) == "line\nline"
    widths = {line.count("/") for line in world.git("ls-tree", "-r", "--name-only", "refs/notes/govrun").splitlines()}
    assert widths == {0 if count == 3 else 1}
    world.git("fsck", "--strict")


def test_what_nobody_foresaw_is_put_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its standard error leads nowhere."""
    folder = world.run()

    def broken(_folder: Path) -> None:
        raise RuntimeError("no such case")

    monkeypatch.setattr("supervisor.provenance.publish.Publisher", broken)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main([str(folder)]) == 2
    assert problems(folder) == ["BUG: RuntimeError: no such case"]
