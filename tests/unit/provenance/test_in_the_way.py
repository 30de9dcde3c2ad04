"""What somebody else puts where govrun writes keeps as little from being written as can be, and is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.git.layout import discover
from supervisor.journal import store
from supervisor.provenance import envelope, note
from supervisor.provenance.answers import Answer
from supervisor.provenance.completion import complete
from supervisor.provenance.keys import own_key, own_public
from supervisor.provenance.ledger import LEDGERS, ref_of
from supervisor.provenance.publisher import Ending, Publisher
from supervisor.provenance.syncing import Syncing
from supervisor.provenance.transaction import NOTES_REF
from supervisor.vocabulary.errors import GovrunError
from tests.unit.provenance.test_ledger import DIGEST, everything, forget, ledger, numbers, refs, worst
from tests.unit.provenance.test_publish import END, World, moved, problems, publish
from tests.unit.provenance.test_verifying import a_run, at, by_record, journal, replaced


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def begun(world: World) -> tuple[Path, str]:
    """A run that could be recovered, and its commit."""
    folder = world.run()
    store.update_meta(folder, coverage={}, end={"status": "PASSED", "reason": "exit", "exit": 0, "seconds": 1})
    journal(folder)
    commit = world.commit(f"of {folder.name}")
    with open(folder / "journal.jsonl", "a") as file:
        op = {"ref": "refs/heads/main", "new": commit}
        line = {"v": 2, "run": folder.name, "seq": 4, "kind": "git.ref", "outcome": "succeeded", "op": op}
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
    return folder, commit


def tree(world: World, **files: str) -> str:
    for name, text in files.items():
        (world.top / name).write_text(text)
        world.git("add", name)
    made = world.git("write-tree")
    world.git("rm", "-qf", *files)
    return made


def told(world: World, run: str) -> Answer:
    return by_record(world, run).answer


def fixed(world: World, why: str) -> None:
    """Do what the text in brackets says."""
    subprocess.run(why.rpartition("(")[2].partition(")")[0], shell=True, cwd=world.top, env=world.env, check=True)


# ---- at the ref of the record -----------------------------------------------------------------------------------


Write = Callable[[Path], None]


def signed_by_another(world: World, folder: Path, write: Write) -> str:
    """The very run, recorded by another installation in the same repository."""
    copy = folder.parent.parent.parent / "other/runs" / folder.name
    copy.parent.mkdir(parents=True)
    copy.parent.parent.chmod(0o700)
    subprocess.run(["cp", "-a", str(folder), str(copy)], check=True)
    write(copy)
    return world.git("rev-parse", note.ref_of(folder.name))


def without_events(world: World, folder: Path, write: Write) -> str:
    write(folder)
    (folder / "notes.jsonl").unlink()  # it was killed before its last word
    made = world.git("ls-tree", note.ref_of(folder.name)).splitlines()
    kept = "".join(f"{line}\n" for line in made if not line.endswith("events"))
    done = subprocess.run(["git", "mktree"], input=kept.encode(), cwd=world.top, env=world.env, capture_output=True)
    return done.stdout.decode().strip()


FOREIGN: dict[str, Callable[[World, Path, Write], str]] = {
    "tree": lambda world, _, __: tree(world, x="1"),
    "commit": lambda world, _, __: world.base,
    "record of another run": lambda world, _, __: world.git("rev-parse", note.ref_of(a_run(world)[0])),
    "signed by another": signed_by_another,
    "ours without events": without_events,
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("how", ["publisher", "recover"])
def test_a_record_of_somebody_else_is_replaced(world: World, what: str, how: str) -> None:
    folder, commit = begun(world)

    def write(folder: Path) -> None:
        if how == "recover":
            assert complete(folder) == "noted on 1 commit"
        else:
            assert publish(folder, moved(commit), END) == 0

    foreign = FOREIGN[what](world, folder, write)
    world.git("update-ref", note.ref_of(folder.name), foreign)
    write(folder)
    assert world.git("rev-parse", note.ref_of(folder.name)) != foreign
    assert told(world, folder.name) is Answer.VERIFIED
    if what != "signed by another":
        assert not worst(world)


def test_notes_that_are_written_again_are_as_this_installation_signed_them(world: World, tmp_path: Path) -> None:
    """Anybody may put an envelope before the own one."""
    run, (commit,) = a_run(world)
    before = world.note(commit)

    def another_first(work: Path) -> None:
        path = work / "bundle.intoto.jsonl"
        payload = (work / "statement.json").read_bytes()
        assert b'"PASSED"' in payload
        forged = envelope.sealed(payload.replace(b'"PASSED"', b'"FAILED"'), own_key(tmp_path))
        path.write_bytes(forged.line + b"\n" + path.read_bytes())

    replaced(world, run, another_first)
    folder = world.state / "runs" / run
    (folder / "notes.jsonl").unlink()  # it was killed before its last word
    world.git("notes", "--ref=govrun", "remove", commit)
    assert publish(folder, moved(commit), END) == 0, problems(folder)
    assert world.note(commit) == before and problems(folder) == []
    assert told(world, run) is Answer.VERIFIED


def test_a_symbolic_ref_is_replaced_and_its_target_unmoved(world: World) -> None:
    folder, commit = begun(world)
    world.git("symbolic-ref", note.ref_of(folder.name), "refs/heads/main")
    assert publish(folder, moved(commit), END) == 0
    assert world.git("rev-parse", "main") == commit
    assert told(world, folder.name) is Answer.VERIFIED
    ref = ledger(world)
    for target in ("refs/heads/main", "refs/heads/nowhere", ref):
        world.git("update-ref", "-d", ref)
        (world.top / ".git" / ref).parent.mkdir(parents=True, exist_ok=True)
        (world.top / ".git" / ref).write_text(f"ref: {target}\n")
        a_run(world)
    assert numbers(world, ref) == [4, 3, 2, 1] and not worst(world)
    assert world.git("symbolic-ref", ref, check=False) == ""


def test_a_record_that_cannot_be_replaced_is_not_called_noted(world: World) -> None:
    folder, commit = begun(world)
    ref = note.ref_of(folder.name)
    world.git("update-ref", f"{ref}/x", "HEAD")
    assert publish(folder, moved(commit), END) == 1
    for _ in range(2):
        with pytest.raises(GovrunError, match=r"^the record and the ledger could not be written") as raised:
            complete(folder)
    assert f"git update-ref --no-deref -d {ref}/x" in raised.value.why
    lines = note.parse(world.note(commit))[folder.name]
    assert lines[0].startswith("govrun/1 PASSED") and 7 not in lines and 8 not in lines and refs(world) == []
    fixed(world, raised.value.why)
    assert complete(folder) == "noted on 1 commit" and complete(folder) == ""
    assert at(world, commit)[0].answer is Answer.VERIFIED and not worst(world)


# ---- elsewhere --------------------------------------------------------------------------------------------------


def key_of(world: World) -> str:
    key = own_public(world.state)
    assert key is not None
    return ref_of(key, "").rstrip("/")


def large(world: World) -> None:
    (world.top / ".git/large").write_text("x" * (2 << 20))
    world.git("notes", "--ref=govrun", "add", "-F", ".git/large", "HEAD")


def ref_at(name: str) -> Callable[[World], None]:
    return lambda world: world.git("update-ref", name, "HEAD") and None


def text_at(name: str, text: str) -> Callable[[World], None]:
    def put(world: World) -> None:
        path = world.top / ".git" / name
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return put


# what is put there -> what is missing then
WAYS: dict[str, tuple[Callable[[World], None], set[str]]] = {
    "refs/govrun/runs": (ref_at("refs/govrun/runs"), {"record", "ledger"}),
    "refs/govrun": (ref_at("refs/govrun"), {"record", "ledger"}),
    "refs/govrun, packed": (
        lambda world: (ref_at("refs/govrun")(world), world.git("pack-refs", "--all")) and None,
        {"record", "ledger"},
    ),
    "refs/govrun, symbolic": (text_at("refs/govrun", "ref: refs/heads/main\n"), {"record", "ledger"}),
    "refs/govrun/ledger": (ref_at("refs/govrun/ledger"), {"ledger"}),
    "refs/govrun/ledger, no ref": (text_at("refs/govrun/ledger", "hello\n"), {"ledger"}),
    "ledger of the key": (lambda world: ref_at(key_of(world))(world), {"ledger"}),
    "notes, symbolic": (text_at(NOTES_REF, "ref: refs/heads/main\n"), {"notes"}),
    "notes, a folder": (ref_at(f"{NOTES_REF}/x"), {"notes"}),
    "notes, above": (ref_at("refs/notes"), {"notes"}),
    "notes, damaged": (text_at(NOTES_REF, "1" * 40 + "\n"), {"notes"}),
    "note, large": (large, {"note"}),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("commits", [0, 1])
def test_the_rest_is_written(world: World, name: str, commits: int) -> None:
    own = a_run(world)[0]  # there is a key
    world.git("update-ref", "-d", ledger(world))
    world.git("update-ref", "-d", note.ref_of(own))
    world.git("update-ref", "-d", NOTES_REF)
    folder = world.run()
    store.update_meta(folder, coverage={}, end={"status": "PASSED", "reason": "exit", "exit": 0, "seconds": 1})
    journal(folder)
    commit = world.commit("one") if commits else world.git("rev-parse", "HEAD")
    put, missing = WAYS[name]
    put(world)
    assert publish(folder, *([moved(commit)] if commits else []), END) == 1
    run = folder.name
    shown = "PASSED" in world.note(commit)
    written = {
        "record": told(world, run) is Answer.VERIFIED,
        "ledger": bool(set(refs(world)) - {key_of(world)}),
        "notes": shown,
        "note": shown,
    }
    assert {each for each in ("record", "ledger") if not written[each]} == missing & {"record", "ledger"}
    assert shown is not bool(missing & {"notes", "note"})
    assert all(word in problems(folder)[-1] for word in missing), problems(folder)
    with pytest.raises(GovrunError, match="could not be written") as raised:
        complete(folder)
    before = world.git("rev-parse", "main")
    fixed(world, raised.value.why) if name != "notes, damaged" else world.git("update-ref", "-d", NOTES_REF)
    assert world.git("rev-parse", "main") == before
    assert complete(folder) == "noted on 1 commit"
    assert at(world, commit)[0].answer is Answer.VERIFIED
    assert everything(world)[-1].answer is Answer.VERIFIED
    (ref,) = refs(world)
    assert numbers(world, ref) == [2, 1]


@pytest.mark.parametrize("pruned", [False, True])
def test_runs_keep_their_numbers_while_the_ledger_cannot_be_written(world: World, pruned: bool) -> None:
    a_run(world)
    ref = ledger(world)
    kept = world.git("rev-parse", ref)
    world.git("update-ref", "refs/heads/kept", kept)  # somebody has fetched it
    world.git("update-ref", "-d", ref)
    world.git("update-ref", key_of(world), "HEAD")
    owed = [begun(world) for _ in range(3)]
    for folder, commit in owed:
        assert publish(folder, moved(commit), END) == 1
        assert told(world, folder.name) is Answer.VERIFIED
    if pruned:
        forget(world)
    world.git("update-ref", "-d", key_of(world))
    world.git("update-ref", ref, kept)
    for folder, _ in owed:
        assert complete(folder) == "noted on 1 commit"
    assert numbers(world, ref) == [4, 3, 2, 1] and not worst(world)
    a_run(world)
    assert numbers(world, ref) == [5, 4, 3, 2, 1] and not worst(world)


def test_a_ref_that_is_locked_keeps_the_others_from_nothing(world: World) -> None:
    """No obstacle that can be told beforehand: each part is tried for itself at last."""
    folder, commit = begun(world)
    lock = world.top / ".git/refs/notes/govrun.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    publisher = Publisher(folder)
    publisher._repository.attempts = 1
    publisher.moved(moved(commit))
    with pytest.raises(GovrunError, match=r"^the notes could not be written"):
        publisher.finish(Ending("PASSED", "exit", 0, 1))
    publisher.close()
    assert told(world, folder.name) is Answer.VERIFIED and numbers(world, ledger(world)) == [1]
    lock.unlink()
    assert complete(folder) == "noted on 1 commit"
    assert at(world, commit)[0].answer is Answer.VERIFIED


# ---- in the ledger ----------------------------------------------------------------------------------------------


def forged(world: World, number: int, run: str) -> str:
    """An entry after the last one, as whoever can write the repository can make it."""
    text = f"govrun ledger\n\nnumber {number}\nrun {run}\nstatement sha256:{DIGEST}"
    return world.git("commit-tree", "-p", ledger(world), "-m", text, f"{ledger(world)}^{{tree}}")


@pytest.mark.parametrize("how", ["here", "fetched", "with a record", "with ours"])
def test_a_forged_entry_is_not_built_upon(world: World, tmp_path: Path, how: str) -> None:
    runs = [a_run(world)[0] for _ in range(2)]
    ref = ledger(world)
    folder, commit = begun(world)
    entry = forged(world, 3, runs[0] if how == "with ours" else "01JXK3ZQ4V8M0000000000000A")
    if how == "fetched":
        hub = tmp_path / "hub.git"
        world.git("clone", "-q", "--bare", str(world.top), str(hub))
        world.git("remote", "add", "origin", str(hub))
        world.git("push", "-q", "origin", f"{entry}:{ref}")
        place = discover(world.top)
        assert place is not None
        syncing = Syncing(place, world.state)
        syncing.fetch("origin")
        syncing.close()
        assert world.git("rev-parse", ref) == entry
    else:
        world.git("update-ref", ref, entry)
    if how == "with a record":
        world.git("update-ref", note.ref_of("01JXK3ZQ4V8M0000000000000A"), world.git("rev-parse", note.ref_of(runs[1])))
    assert publish(folder, moved(commit), END) == 0
    assert numbers(world, ref) == [3, 2, 1] and world.git("rev-parse", ref) != entry
    assert by_record(world, folder.name).why.endswith("number 3 of its ledger")
    assert [each for each in problems(folder) if f"the ledger was at {entry[:12]}" in each]
    if how != "with a record":
        assert not worst(world)


# ---- first runs -------------------------------------------------------------------------------------------------


def test_a_repository_that_was_moved(world: World) -> None:
    a_run(world), a_run(world)
    ref = ledger(world)
    world.top = world.top.rename(world.top.with_name("elsewhere"))
    shutil.rmtree(world.state / "look.git", ignore_errors=True)
    a_run(world)
    assert refs(world) == [ref] and numbers(world, ref) == [3, 2, 1] and not worst(world)
    subprocess.run(["cp", "-a", str(world.top), str(world.top.with_name("copy"))], check=True)
    world.top = world.top.with_name("copy")
    shutil.rmtree(world.state / "look.git")  # the verifier's own, of the place before
    run, _ = a_run(world)  # the other one goes on by itself
    assert refs(world) == sorted([ref, f"{ref.rpartition('/')[0]}/{run}"]) and not worst(world)
    world.top = world.top.with_name("elsewhere")
    a_run(world)
    assert numbers(world, ref) == [4, 3, 2, 1]


def test_a_first_entry_that_somebody_has_put_there(world: World) -> None:
    a_run(world)
    forget_memory(world)
    folder, commit = begun(world)
    ref = f"{LEDGERS}{ledger(world).split('/')[-2]}/{folder.name}"
    world.git("update-ref", ref, "HEAD")
    assert publish(folder, moved(commit), END) == 0
    assert numbers(world, ref) == [1] and not worst(world)


def forget_memory(world: World) -> None:
    for path in (world.state / "ledgers").iterdir():
        path.unlink()


# ---- while somebody tidies up -----------------------------------------------------------------------------------


def test_a_file_of_a_record_that_vanishes_at_once(world: World) -> None:
    """A prune that read the refs before ours moved."""
    folder, commit = begun(world)
    publisher = Publisher(folder)
    publisher.moved(moved(commit))
    once = publisher._repository._swap
    lost: list[str] = []

    def swap(*words: object) -> None:
        once(*words)  # type: ignore[arg-type]
        if not lost and (found := world.git("ls-tree", "-r", note.ref_of(folder.name), "events/")):
            lost.append(found.split()[2])
            (world.top / ".git/objects" / lost[0][:2] / lost[0][2:]).unlink()

    publisher._repository._swap = swap  # type: ignore[method-assign, assignment]
    publisher.finish(Ending("PASSED", "exit", 0, 1))
    publisher.close()
    assert lost and world.git("cat-file", "-t", lost[0]) == "blob"
    assert told(world, folder.name) is Answer.VERIFIED and not worst(world)


GC = """
import os, subprocess, sys, time
common, ref = sys.argv[1:]
open(common + "/gc.pid", "w").write(f"{os.getpid()} {os.uname().nodename}")
print("begun", flush=True)
look = ["git", "--git-dir", common, "ls-tree", "-r", ref, "events/"]
while not (found := subprocess.run(look, capture_output=True, text=True).stdout):
    time.sleep(0.005)
time.sleep(0.3)
name = found.split()[2]
os.unlink(f"{common}/objects/{name[:2]}/{name[2:]}")
os.unlink(common + "/gc.pid")
"""


def test_a_gc_that_was_at_work_is_waited_for(world: World) -> None:
    folder, commit = begun(world)
    command = [sys.executable, "-c", GC, str(world.top / ".git"), note.ref_of(folder.name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=world.env) as gc:
        assert gc.stdout is not None and gc.stdout.readline() == b"begun\n"
        assert publish(folder, moved(commit), END) == 0
    assert gc.returncode == 0
    assert told(world, folder.name) is Answer.VERIFIED and not worst(world)


def test_a_gc_of_long_ago_is_not(world: World) -> None:
    (world.top / ".git/gc.pid").write_text("999999999 here")
    assert a_run(world) and not worst(world)


def test_while_somebody_tidies_up_again_and_again(world: World) -> None:
    runs = [begun(world) for _ in range(6)]
    script = "until [ -e .git/stop ]; do git reflog expire --expire=now --all; git gc -q --prune=now; sleep 0.2; done"
    with subprocess.Popen(["sh", "-c", script], cwd=world.top, env=world.env, stderr=subprocess.DEVNULL):
        try:
            codes = [publish(folder, moved(commit), END) for folder, commit in runs]
        finally:
            (world.top / ".git/stop").touch()
    # One that could not be written says so, and is written later; none is called written and has lost something.
    for (folder, commit), code in zip(runs, codes, strict=True):
        if code:
            assert problems(folder) and complete(folder) == "noted on 1 commit"
        assert at(world, commit)[0].answer is Answer.VERIFIED, (code, problems(folder))
    assert not worst(world)
