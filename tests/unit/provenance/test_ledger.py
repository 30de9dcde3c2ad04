"""The ledger: a run that is taken out leaves a trace, and two that end together get two numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.provenance import note
from supervisor.provenance.answers import Answer, Finding
from supervisor.provenance.keys import Trusted, own_public
from supervisor.provenance.ledger import LEDGERS, Chain, Entry, Last, Memory, Place, parse, place_after, stream
from supervisor.provenance.publisher import Publisher
from tests.unit.provenance.test_publish import END, World, moved, problems, publish
from tests.unit.provenance.test_verifying import a_run, by_record, journal, verifier

A, B, C = "01JXK3ZQ4V8M0000000000000A", "01JXK3ZQ4V8M0000000000000B", "01JXK3ZQ4V8M0000000000000C"
DIGEST = "ab" * 32


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refs(world: World, under: str = LEDGERS) -> list[str]:
    return world.git("for-each-ref", "--format=%(refname)", under).split()


def ledger(world: World) -> str:
    (ref,) = refs(world)
    return ref


def numbers(world: World, ref: str) -> list[int]:
    found = (
        parse(world.git("cat-file", "commit", each).encode() + b"\n") for each in world.git("rev-list", ref).split()
    )
    return [each.number for each in found if each is not None]


def everything(world: World, trusted: list[Trusted] | None = None) -> list[Finding]:
    with verifier(world, trusted) as each:
        each._runs = [ref.rpartition("/")[2] for ref in refs(world, "refs/govrun/runs/")]
        return list(each.everything(refs(world)))


def worst(world: World) -> set[Answer]:
    return {each.answer for each in everything(world)} - {Answer.VERIFIED}


def forget(world: World) -> None:
    world.git("reflog", "expire", "--expire=now", "--all")
    world.git("prune")


# ---- as it should be --------------------------------------------------------------------------------------------


def test_each_run_has_a_number(world: World) -> None:
    runs = [a_run(world)[0] for _ in range(3)]
    ref = ledger(world)
    assert ref.endswith(f"/{runs[0]}") and numbers(world, ref) == [3, 2, 1]
    assert [by_record(world, run).why.rpartition(", ")[2] for run in runs] == [
        f"number {n} of its ledger" for n in (1, 2, 3)
    ]
    assert everything(world)[-1][1:3] == (Answer.VERIFIED, "3 runs of me, no number is missing")
    assert world.git("rev-parse", f"{ref}^{{tree}}") == world.git("hash-object", "-t", "tree", "/dev/null")
    assert world.git("fsck", "--strict", "--no-dangling") == ""


def test_sha256(tmp_path: Path) -> None:
    world = World(tmp_path, object_format="sha256")
    a_run(world), a_run(world)
    assert numbers(world, ledger(world)) == [2, 1] and not worst(world)


def test_runs_that_end_together(world: World) -> None:
    folders = [world.run() for _ in range(8)]
    commits = [world.commit(f"c{n}") for n in range(8)]
    command = [sys.executable, "-m", "supervisor.provenance.publish"]
    for folder in folders:
        journal(folder)
    started = [
        subprocess.Popen([*command, str(folder)], stdin=subprocess.PIPE, cwd=Path(__file__).parents[3])
        for folder in folders
    ]
    for process, commit in zip(started, commits, strict=True):
        assert process.stdin is not None
        process.stdin.write(f"{json.dumps(moved(commit))}\n{json.dumps(END)}\n".encode())
        process.stdin.close()
    assert [process.wait(60) for process in started] == [0] * 8, [problems(folder) for folder in folders]
    assert not worst(world)
    assert numbers(world, ledger(world)) == [8, 7, 6, 5, 4, 3, 2, 1]  # one chain, though all were the first


def test_published_again_it_keeps_its_number(world: World) -> None:
    a_run(world)
    run, (commit,) = a_run(world)
    ref = ledger(world)
    before = world.git("rev-parse", ref, note.ref_of(run))
    (world.state / "runs" / run / "notes.jsonl").unlink()
    for _ in range(2):
        assert publish(world.state / "runs" / run, moved(commit), END) == 0
    assert world.git("rev-parse", ref, note.ref_of(run)) == before
    a_run(world)
    assert publish(world.state / "runs" / run, moved(commit), END) == 0
    assert numbers(world, ref) == [3, 2, 1] and not worst(world)


def test_a_crash_before_it_is_remembered(world: World) -> None:
    a_run(world)
    (memory,) = (world.state / "ledgers").iterdir()
    before = memory.read_bytes()
    a_run(world)
    memory.write_bytes(before)
    a_run(world)
    assert numbers(world, ledger(world)) == [3, 2, 1] and not worst(world)


def test_a_memory_that_cannot_be_read(world: World) -> None:
    """Another ledger begins, and that is told: it would look as if runs had been taken out."""
    run, _ = a_run(world)
    (memory,) = (world.state / "ledgers").iterdir()
    memory.write_text("{")
    last, _ = a_run(world)
    assert len(refs(world)) == 2
    assert problems(world.state / "runs" / run) == []
    told = "what was remembered of the ledger cannot be read: another one begins"
    assert problems(world.state / "runs" / last) == [told]
    assert json.loads(memory.read_text())
    assert problems(world.state / "runs" / a_run(world)[0]) == []


# ---- tampering --------------------------------------------------------------------------------------------------


def test_a_record_that_was_taken_out(world: World) -> None:
    runs = [a_run(world)[0] for _ in range(3)]
    world.git("update-ref", "-d", note.ref_of(runs[1]))
    (found,) = (each for each in everything(world) if each.answer is not Answer.VERIFIED)
    assert (found.run, found.answer) == (runs[1], Answer.UNVERIFIABLE)
    assert found.why == "number 2 of the ledger names it, and its record is not here"


@pytest.mark.parametrize("pruned", [False, True])
def test_a_ledger_that_was_cut(world: World, pruned: bool) -> None:
    runs = [a_run(world)[0] for _ in range(3)]
    ref = ledger(world)
    world.git("update-ref", ref, f"{ref}~2")
    if pruned:
        forget(world)
    assert by_record(world, runs[0]).answer is Answer.VERIFIED
    assert by_record(world, runs[2]).answer is Answer.UNVERIFIABLE
    assert "it ends with number 1" in by_record(world, runs[2]).why
    runs.append(a_run(world)[0])
    if pruned:  # what it rests on is no more: the gap stays, for all to see
        assert numbers(world, ref) == [4, 1]
        assert everything(world)[-1][1:3] == (Answer.REFUTED, "number 1 comes before number 4")
        assert by_record(world, runs[1]).answer is Answer.REFUTED
    else:
        assert numbers(world, ref) == [4, 3, 2, 1] and not worst(world)


@pytest.mark.parametrize("pruned", [False, True])
def test_a_ledger_that_was_taken_away(world: World, pruned: bool) -> None:
    runs = [a_run(world)[0] for _ in range(2)]
    ref = ledger(world)
    world.git("update-ref", "-d", ref)
    if pruned:
        forget(world)
    assert by_record(world, runs[1]).why.endswith("its ledger is not here")
    assert worst(world) == {Answer.UNVERIFIABLE} and "it is not here" in everything(world)[-1].why
    last = a_run(world)[0]
    if pruned:  # as in a clone that is new: another chain, which says what went before
        assert refs(world) == [f"{ref.rpartition('/')[0]}/{last}"]
        told = json.loads(world.git("show", f"{note.ref_of(last)}:run.json"))["ledger"]
        assert (told["number"], told["after"]) == (1, runs[0]) and len(told["previous"]) == 64
    else:
        assert numbers(world, ref) == [3, 2, 1] and not worst(world)


def rewritten(text: Callable[[str], str]) -> Callable[[World, str], str]:
    def change(world: World, ref: str) -> str:
        tree, message = world.git("rev-parse", f"{ref}^{{tree}}"), world.git("log", "-1", "--format=%B", ref)
        return world.git("commit-tree", "-p", f"{ref}^", "-m", text(message), tree)

    return change


CHANGES: dict[str, Callable[[World, str], str]] = {
    "run": rewritten(lambda text: text.replace(text.split("\nrun ")[1][:26], A)),
    "statement": rewritten(lambda text: text.replace(text.split("sha256:")[1][:64], DIGEST)),
    "number": rewritten(lambda text: text.replace("number 3", "number 4")),
    "again": rewritten(lambda text: text.replace("number 3", "number 2")),
    "prose": rewritten(lambda text: text + "\n\nall is well"),
    "none": lambda world, _: world.base,
    "no parent": lambda world, ref: world.git(
        "commit-tree", "-m", world.git("log", "-1", "--format=%B", ref), f"{ref}^{{tree}}"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_entry_that_was_written_anew(world: World, change: str) -> None:
    last = [a_run(world)[0] for _ in range(3)][-1]
    ref = ledger(world)
    world.git("update-ref", ref, CHANGES[change](world, ref))
    assert Answer.REFUTED in worst(world), everything(world)
    if change != "no parent":
        assert by_record(world, last).answer in (Answer.REFUTED, Answer.UNVERIFIABLE), by_record(world, last)
    assert a_run(world)  # and goes on


def test_a_run_in_the_place_of_one_that_was_taken_out(world: World) -> None:
    runs = [a_run(world)[0] for _ in range(3)]
    ref = ledger(world)
    third, second, first = world.git("rev-list", ref).split()
    text = {each: world.git("log", "-1", "--format=%B", each) for each in (second, third)}
    made = world.git("commit-tree", "-p", first, "-m", text[second].replace(runs[1], runs[0]), f"{ref}^{{tree}}")
    world.git("update-ref", ref, world.git("commit-tree", "-p", made, "-m", text[third], f"{ref}^{{tree}}"))
    world.git("update-ref", "-d", note.ref_of(runs[1]))
    assert everything(world)[-1][1:3] == (Answer.REFUTED, f"number 2 names {runs[0]}, which has signed another place")


def test_a_second_ledger_that_was_forged(world: World) -> None:
    """Entries are not signed: one names a run whose record is there, and verifies, at a place that it never had."""
    runs = [a_run(world)[0] for _ in range(3)]
    ref = ledger(world)
    text = world.git("log", "-1", "--format=%B", ref).replace("number 3", "number 1")
    forged = world.git("commit-tree", "-m", text, f"{ref}^{{tree}}")
    world.git("update-ref", f"{ref.rpartition('/')[0]}/{runs[2]}", forged)
    (found,) = (each for each in everything(world) if each.answer is not Answer.VERIFIED)
    assert found.answer is Answer.REFUTED and found.why == f"number 1 names {runs[2]}, which has signed another place"


def test_numbers_that_nobody_has_signed(world: World) -> None:
    """Appended to a whole ledger, they follow it well."""
    for _ in range(2):
        a_run(world)
    ref = ledger(world)
    text = world.git("log", "-1", "--format=%B", ref).replace("number 2", "number 3")
    text = text.replace(text.split("\nrun ")[1][:26], A)
    world.git("update-ref", ref, world.git("commit-tree", "-p", ref, "-m", text, f"{ref}^{{tree}}"))
    assert everything(world)[-1][1:3] == (
        Answer.UNVERIFIABLE,
        "no record that is here has signed its numbers after 2, up to 3",
    )


@pytest.mark.parametrize("what", ["too large", "a tree", "gone", "a record of somebody"])
def test_what_lies_in_the_way_keeps_no_run_from_its_record(world: World, what: str) -> None:
    runs = [a_run(world)[0] for _ in range(2)]
    ref = ledger(world)
    folder = world.run()
    journal(folder)
    if what == "too large":
        (world.top / "big").write_text("x" * (9 << 20))
        world.git("update-ref", ref, world.git("commit-tree", "-F", "big", "HEAD^{tree}"))
    elif what == "a tree":
        world.git("update-ref", ref, world.git("rev-parse", "HEAD^{tree}"))
    elif what == "gone":
        (world.top / ".git" / ref).write_text("0123456789" * 4 + "\n")
    else:  # under the id of the run that goes on: with a place that leads out of the ledgers
        (world.top / "run.json").write_text('{"ledger":{"chain":"../../../heads/main","number":"x","previous":1}}')
        (world.top / "statement.json").write_text("{}")
        world.git("add", "run.json", "statement.json")
        world.git("update-ref", note.ref_of(folder.name), world.git("write-tree"))
    assert publish(folder, END) == 0, problems(folder)
    assert numbers(world, ref) == [3, 2, 1] and refs(world) == [ref]
    assert [by_record(world, run).answer for run in runs] == [Answer.VERIFIED] * 2
    assert by_record(world, folder.name).answer is Answer.VERIFIED


def test_whose_ledger_it_is(world: World) -> None:
    a_run(world)
    found = everything(world, [])
    assert found[-1].answer is Answer.UNVERIFIABLE and "nobody here trusts" in found[-1].why
    key = own_public(world.state)
    assert key is not None and everything(world, [Trusted(key, "her")])[-1].signer == "her"


def test_entries_that_were_pruned_under_the_ref(world: World) -> None:
    """A prune that read the refs before ours moved takes the new objects: ``Repository`` writes them again."""
    a_run(world)
    folder = world.run()
    journal(folder)
    publisher = Publisher(folder)
    commit = world.commit("more")
    publisher.moved(moved(commit))
    publisher.flush()
    once = publisher._repository._verify
    pruned = []

    def verify(*words: object) -> None:
        if not pruned and refs(world) and world.git("cat-file", "-e", ledger(world)) == "":
            tip = world.git("rev-parse", ledger(world))
            pruned.append(tip)
            (world.top / ".git/objects" / tip[:2] / tip[2:]).unlink()
        once(*words)  # type: ignore[arg-type]

    publisher._repository._verify = verify  # type: ignore[method-assign, assignment]
    from supervisor.provenance.publisher import Ending

    publisher.finish(Ending("PASSED", "exit", 0, 1))
    publisher.close()
    assert pruned and numbers(world, ledger(world)) == [2, 1] and not worst(world)


def test_a_record_with_a_file_twice(world: World) -> None:
    """Of two entries with one name each reader may see another (git fsck: duplicateEntries)."""
    run, _ = a_run(world)
    tree = world.git("rev-parse", note.ref_of(run))
    raw = subprocess.run(["git", "cat-file", "tree", tree], cwd=world.top, env=world.env, capture_output=True).stdout
    blob = world.git("rev-parse", f"{tree}:note.txt")
    for bad in (b"100644 run.json\0" + bytes.fromhex(blob) + raw, raw + b"100644 x", raw[:-1]):
        made = subprocess.run(
            ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"], input=bad, cwd=world.top,
            env=world.env, capture_output=True, check=True,
        ).stdout.decode().strip()  # fmt: skip
        world.git("update-ref", note.ref_of(run), made)
        assert by_record(world, run).answer is Answer.UNVERIFIABLE and "a tree is damaged" in by_record(world, run).why


# ---- its parts --------------------------------------------------------------------------------------------------


def commit(number: int, run: str, *parents: str, more: str = "") -> bytes:
    head = "tree 4b825dc\n" + "".join(f"parent {each}\n" for each in parents) + "author x\n"
    return f"{head}\ngovrun ledger\n\nnumber {number}\nrun {run}\nstatement sha256:{DIGEST}\n{more}".encode()


def test_an_entry() -> None:
    assert parse(commit(12, A, "e" * 40)) == Entry(12, A, DIGEST, "e" * 40)
    for bad in (
        commit(0, A),
        commit(1, A.lower()),
        commit(1, A, "e" * 40, "f" * 40),
        commit(1, A, more="x"),
        b"",
        b"x",
    ):
        assert parse(bad) is None
    text = stream(Place(A, 12, DIGEST, "e" * 40, "e" * 40), A, DIGEST, 1).decode()
    assert "from " + "e" * 40 in text and "from" not in stream(Place(A), A, DIGEST, 1).decode()


def test_where_a_run_goes() -> None:
    known = {"1" * 40: commit(1, A), "2" * 40: commit(2, B, "1" * 40)}
    last = Last(A, 1, DIGEST, "1" * 40)

    def place(last: Last | None, tip: str, backed: bool = True) -> Place:
        return place_after(last, bytes(32), C, lambda _: tip, known.get, lambda _: backed)

    assert place(None, "") == Place(C)
    assert place(last, "2" * 40, backed=False) == Place(A, 2, DIGEST, "1" * 40, "2" * 40)
    assert place(last, "1" * 40) == Place(A, 2, DIGEST, "1" * 40, "1" * 40)
    assert place(last, "2" * 40) == Place(A, 3, DIGEST, "2" * 40, "2" * 40)
    known |= {"3" * 40: commit(10**11, B, "1" * 40), "4" * 40: commit(2, B, "9" * 40), "5" * 40: commit(3, B, "4" * 40)}
    for forged in "345":  # it does not follow what is remembered
        assert place(last, forged * 40) == Place(A, 2, DIGEST, "1" * 40, forged * 40)
    assert place(last, "") == Place(A, 2, DIGEST, "1" * 40, "")
    assert place(last, "f" * 40) == Place(A, 2, DIGEST, "1" * 40, "f" * 40)
    assert place(Last(A, 9, DIGEST, "9" * 40), "2" * 40) == Place(A, 10, DIGEST, "2" * 40, "2" * 40)
    assert place(Last(A, 9, DIGEST, "9" * 40), "") == Place(C, 1, DIGEST, after=A)


def test_what_is_remembered(tmp_path: Path) -> None:
    memory = Memory(tmp_path, Path("/x/.git"))
    assert memory.last() is None and not memory.is_damaged()
    last = Last(A, 3, DIGEST, "1" * 40)
    memory.keep(last)
    memory.keep(Last(A, 2, DIGEST, "2" * 40))
    assert memory.last() == last and not memory.is_damaged() and Memory(tmp_path, Path("/y/.git")).last() is None
    (path,) = (tmp_path / "ledgers").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    for bad in (
        "",
        "[]",
        "{}",
        path.read_text().replace(":3", ":1e999"),
        path.read_text().replace(":3", ":" + "9" * 23),
        path.read_text()[:-9],
        path.read_text().replace(DIGEST, "x"),
        "\0" * 9000,
    ):
        path.write_text(bad)
        assert memory.last() is None and memory.is_damaged()


def test_a_chain_is_read_as_far_as_it_is_asked_for() -> None:
    asked = []
    known = {str(n) * 40: commit(n, A, *([str(n - 1) * 40] if n > 1 else [])) for n in range(1, 10)}

    def content(name: str) -> bytes | None:
        asked.append(name)
        return known.get(name)

    chain = Chain("9" * 40, content)
    assert chain.entry(8) is not None and len(asked) == 2
    assert chain.entry(10) is None and len(asked) == 2
    assert len(chain.entries()) == 9 and chain.problem == ""
    assert Chain("f" * 40, content).entries() == {}
