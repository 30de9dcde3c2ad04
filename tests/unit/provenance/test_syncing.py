"""Notes between clones where whoever can push has written into them: what was signed stands, all else is named."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.git.layout import discover
from supervisor.journal.ids import new_ulid
from supervisor.provenance import note
from supervisor.provenance.answers import Answer
from supervisor.provenance.keys import Trusted, own_public
from supervisor.provenance.syncing import Synced, Syncing
from tests.unit.provenance.test_publish import World
from tests.unit.provenance.test_verifying import a_run, at, edit, replaced, rewritten


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@contextmanager
def syncing(world: World, *, trusted: bool = True) -> Iterator[Syncing]:
    place, key = discover(world.top), own_public(world.state)
    assert place is not None and key is not None
    each = Syncing(place, world.state, [Trusted(key, "me")] if trusted else [])
    try:
        yield each
    finally:
        each.close()


def rebuild(world: World, *, trusted: bool = True) -> Synced:
    with syncing(world, trusted=trusted) as each:
        return each.rebuild()


def pushed(world: World, place: Path) -> Path:
    """A remote that has everything."""
    hub = place / "hub.git"
    world.git("clone", "-q", "--mirror", str(world.top), str(hub))
    world.git("remote", "add", "origin", str(hub))
    return hub


def test_what_a_run_has_not_signed_goes_when_notes_are_written_again(world: World) -> None:
    run, (first, second) = a_run(world, 2)
    before = {commit: world.note(commit) for commit in (first, second)}
    forged = f"{run} 3 remediation reverts=0 kills=0 episodes=-"
    rewritten(world, first, f"ada was here\n{before[first]}\n{forged}\n{run.lower()} 1 x\n{run}  2 x")
    rewritten(world, second, before[second].replace("blocked=1", "blocked=0"))
    other = world.commit("by hand")
    rewritten(world, other, f"{before[second]}\n{forged}\n{new_ulid()} 0 govrun/1 PASSED")
    assert {each.answer for commit in (first, second) for each in at(world, commit)} == {Answer.REFUTED}
    assert rebuild(world)[:3] == (3, 0, 1)
    assert world.note(first) == f"ada was here\n{before[first]}" and world.note(second) == before[second]
    assert forged not in world.note(other) and "0 govrun/1 PASSED\n" in world.note(other)
    assert rebuild(world).changed == 0


def test_lines_of_a_run_that_nobody_here_trusts_stay(world: World) -> None:
    """Which of them are right cannot be told."""
    run, (commit,) = a_run(world)
    rewritten(world, commit, f"{world.note(commit)}\n{run} 3 x")
    assert rebuild(world, trusted=False).changed == 0
    replaced(world, run, edit("statement.json", b"PASSED", b"FAILED"))
    assert rebuild(world).changed == 0 and f"{run} 3 x" in world.note(commit)


def test_a_record_cannot_write_lines_of_another_run(world: World) -> None:
    victim, (commit,) = a_run(world)
    run, _ = a_run(world)
    forged = f"\\n{victim} 3 remediation reverts=0"
    replaced(world, run, edit("run.json", b'"root":"sha256:', b'"root":"sha256:' + forged.encode()))
    other, _ = a_run(world)
    replaced(world, other, edit("run.json", b'"PASSED"', b'"BEST"'))
    world.git("update-ref", "-d", "refs/notes/govrun")
    assert rebuild(world, trusted=False).changed == 1
    assert [line for line in world.note(commit).splitlines() if line.startswith(f"{victim} 3 ")] != []
    assert "reverts=0" not in world.git("grep", "-h", "", "refs/notes/govrun")


def test_forged_lines_are_not_fetched(world: World, tmp_path: Path) -> None:
    run, (first, second) = a_run(world, 2)
    pushed(world, tmp_path)
    true = {commit: world.note(commit) for commit in (first, second)}
    rewritten(world, first, f"{true[first]}\n{run} 3 remediation reverts=0\nhello from a person")
    rewritten(world, second, true[second].replace("reverts=4", "reverts=0"))
    world.git("push", "-q", "-f", "origin", "refs/notes/govrun")
    for local in (True, False):  # beside notes of our own, and where there are none
        world.git("update-ref", "refs/notes/govrun", "refs/notes/govrun~2") if local else world.git(
            "update-ref", "-d", "refs/notes/govrun"
        )
        with syncing(world) as each:
            each.fetch("origin")
        assert set(world.note(first).splitlines()) == {*true[first].splitlines(), "hello from a person"}
        assert world.note(second) == true[second]
        assert {at(world, commit)[0].answer for commit in (first, second)} == {Answer.VERIFIED}


def test_a_note_that_is_too_large_is_named_and_all_others_are_taken(world: World, tmp_path: Path) -> None:
    _, (first, second) = a_run(world, 2)
    texts = {commit: world.note(commit) for commit in (first, second)}
    kept = world.git("rev-parse", "refs/notes/govrun")
    pushed(world, tmp_path)
    (tmp_path / "big").write_text("x\n" * (1 << 20))
    world.git("notes", "--ref=govrun", "add", "-f", "-F", str(tmp_path / "big"), first)
    rewritten(world, second, f"{texts[second]}\nhello")
    world.git("push", "-q", "-f", "origin", "refs/notes/govrun")
    for local in (True, False):
        world.git("update-ref", *(("refs/notes/govrun", kept) if local else ("-d", "refs/notes/govrun")))
        with syncing(world) as each:
            done = each.fetch("origin")
        assert done.skipped == (first,)
        assert (
            world.note(first) == (f"{texts[first]}\n" if local else "") + "a note of more than 1 MiB was left out here"
        )
        assert "hello" in world.note(second)


def test_a_large_note_of_ones_own_is_left_as_it_is(world: World, tmp_path: Path) -> None:
    (world.top / "f").write_text("x")
    world.git("add", "f")
    _, (first, second) = a_run(world, 2)
    pushed(world, tmp_path)
    rewritten(world, first, f"{world.note(first)}\nthere")
    rewritten(world, second, f"{world.note(second)}\nthere")
    world.git("push", "-q", "-f", "origin", "refs/notes/govrun")
    (tmp_path / "big").write_text("x\n" * (1 << 20))
    world.git("notes", "--ref=govrun", "add", "-f", "-F", str(tmp_path / "big"), first)
    (tmp_path / "near").write_text("x" * ((1 << 20) - 2) + "\n")
    world.git("notes", "--ref=govrun", "add", "-f", "-F", str(tmp_path / "near"), second)
    blob = world.git("notes", "--ref=govrun", "list", first)
    world.git("update-ref", "refs/notes/theirs", "refs/notes/govrun~2")
    world.git("notes", "--ref=theirs", "append", "-m", "more", first)
    world.git("notes", "--ref=theirs", "append", "-m", "more", second)
    world.git("push", "-q", "-f", "origin", "refs/notes/theirs:refs/notes/govrun")
    with syncing(world) as each:
        assert each.fetch("origin").skipped == tuple(sorted((first, second)))
        assert each.rebuild().skipped == tuple(sorted((first, second)))
    assert world.git("notes", "--ref=govrun", "list", first) == blob


def test_a_note_at_two_places_of_the_tree(world: World, tmp_path: Path) -> None:
    """Two fan-outs, as other tools have left them: both are taken."""
    commit = world.base
    rewritten(world, commit, "one")
    blob = world.git("notes", "--ref=govrun", "list", commit)
    (tmp_path / "two").write_text("two\n")
    other = world.git("hash-object", "-w", str(tmp_path / "two"))
    stream = f"commit refs/notes/govrun\ncommitter A <a@x> 0 +0000\ndata 0\nM 100644 {blob} {commit}\n"
    stream += f"M 100644 {other} {commit[:2]}/{commit[2:]}\n"
    (tmp_path / "stream").write_text(stream)
    with open(tmp_path / "stream", "rb") as file:
        subprocess.run(
            ["git", "fast-import", "--quiet", "--force"], stdin=file, cwd=world.top, env=world.env, check=True
        )
    a_run(world)
    pushed(world, tmp_path)
    world.git("update-ref", "-d", "refs/notes/govrun")
    with syncing(world) as each:
        each.fetch("origin")
    assert {"one", "two"} <= set(world.note(commit).splitlines())


def test_owner_of_a_line() -> None:
    run = new_ulid()
    for line in (f"{run} 3 x", f"  {run} x", run.lower(), f"\u202e{run} x", f"{run}\u00a0x", f"\t{run}\tx"):
        assert note.owner(line) == run, line
    for line in ("", "x", f"see {run}", f"{run}x y", f"{run[:-1]} 3"):
        assert note.owner(line) == "", line
