"""Signed records: what verifies, and that nothing that was tampered with does."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from supervisor.git.base import Objects, Silent
from supervisor.git.layout import discover
from supervisor.git.neutral import Git
from supervisor.git.own import make_own
from supervisor.git.refs import snapshot
from supervisor.journal.ids import new_ulid
from supervisor.provenance import envelope, keys, note
from supervisor.provenance.answers import Answer, Finding
from supervisor.provenance.keys import Trusted, allowed, fingerprint, own_key, own_public, signer_line
from supervisor.provenance.recorded import Records
from supervisor.provenance.verifying import Verifier
from supervisor.vocabulary.errors import HostError, UsageError
from tests.unit.provenance.test_publish import END, World, moved, problems, publish


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def journal(folder: Path, count: int = 3) -> None:
    lines = [{"v": 2, "run": folder.name, "seq": n + 1, "kind": "exec", "verdict": "allow"} for n in range(count)]
    (folder / "journal.jsonl").write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def a_run(world: World, commits: int = 1, events: int = 3) -> tuple[str, list[str]]:
    """A published run and the commits it made."""
    folder = world.run()
    journal(folder, events)
    made = [world.commit(f"c{n}-{folder.name}") for n in range(commits)]
    assert publish(folder, *(moved(commit) for commit in made), END) == 0, problems(folder)
    return folder.name, made


@contextmanager
def verifier(world: World, trusted: list[Trusted] | None = None) -> Iterator[Verifier]:
    found = discover(world.top)
    assert found is not None
    own = make_own(world.state / "look.git", found.common_dir, found.object_format)
    known = snapshot(found.common_dir)
    own_key = own_public(world.state)
    believed = trusted if trusted is not None else [Trusted(own_key or bytes(32), "me")]
    runs = [name.rpartition("/")[2] for name in known if name.startswith("refs/govrun/runs/")]
    objects = Objects(Git(own), timeout=30.0)
    try:
        yield Verifier(objects, lambda name: known.get(name, ""), believed, runs)
    finally:
        objects.close()


def files_of(world: World, run: str) -> dict[str, bytes]:
    found = discover(world.top)
    assert found is not None
    objects = Objects(Git(make_own(world.state / "look.git", found.common_dir, found.object_format)), timeout=30.0)
    try:
        return Records(objects, lambda _: "", ()).files(world.git("rev-parse", note.ref_of(run)))
    finally:
        objects.close()


def by_record(world: World, run: str) -> Finding:
    with verifier(world) as each:
        return each.run(run)


def at(world: World, commit: str, trusted: list[Trusted] | None = None) -> list[Finding]:
    tree = world.git("rev-parse", f"{commit}^{{tree}}")
    with verifier(world, trusted) as each:
        return each.commit(commit, tree)


def test_what_a_run_made_verifies(world: World) -> None:
    (world.top / "f").write_text("x")
    world.git("add", "f")
    run, (first, second) = a_run(world, 2)
    for commit in (first, second):
        (found,) = at(world, commit)
        assert (found.run, found.how, found.status) == (run, "native", "PASSED"), found
        assert found.answer is Answer.VERIFIED
    assert by_record(world, run).answer is Answer.VERIFIED
    assert "3 events, signed by me" in by_record(world, run).why
    assert at(world, world.base)[0].answer is Answer.MISSING


def test_a_run_without_commits_verifies_where_it_began(world: World) -> None:
    _, _ = a_run(world, 0)
    (found,) = at(world, world.base)
    assert (found.answer, found.how) == (Answer.VERIFIED, "base")


def test_two_runs_on_one_commit(world: World) -> None:
    a_run(world, 0)
    a_run(world, 0)
    assert [each.answer for each in at(world, world.base)] == [Answer.VERIFIED] * 2


def test_a_repository_of_sha256(tmp_path: Path) -> None:
    world = World(tmp_path, object_format="sha256")
    _, (commit,) = a_run(world)
    assert at(world, commit)[0].answer is Answer.VERIFIED


def test_publishing_twice_is_publishing_once(world: World) -> None:
    run, _ = a_run(world)
    ref = note.ref_of(run)
    before = world.git("rev-parse", ref)
    world.git("update-ref", "-d", ref)
    (world.state / "runs" / run / "notes.jsonl").unlink()
    assert publish(world.state / "runs" / run, moved(world.git("rev-parse", "HEAD")), END) == 0
    assert world.git("rev-parse", ref) == before


# ---- after a rewrite --------------------------------------------------------------------------------------------


def rewriting(world: World) -> None:
    world.git("config", "notes.rewriteRef", "refs/notes/govrun")
    world.git("config", "notes.rewriteMode", "cat_sort_uniq")


def test_an_amended_message_is_tree_equal(world: World) -> None:
    rewriting(world)
    (world.top / "f").write_text("x")
    world.git("add", "f")
    _, (_commit,) = a_run(world)
    world.git("commit", "-q", "--amend", "-m", "said better")
    (found,) = at(world, world.git("rev-parse", "HEAD"))
    assert (found.answer, found.how) == (Answer.VERIFIED, "tree-equal")


def test_a_run_that_only_began_there_says_nothing_of_what_became_of_it(world: World) -> None:
    (world.top / "f").write_text("x")
    world.git("add", "f")
    made, (commit,) = a_run(world)
    began, _ = a_run(world, 0)
    world.git("commit", "-q", "--amend", "-m", "better")
    (found,) = at(world, world.git("rev-parse", "HEAD"))
    assert (found.run, found.answer, found.how) == (made, Answer.VERIFIED, "tree-equal")
    rewritten(world, world.git("rev-parse", "HEAD"), world.note(commit))
    answers = {each.run: (each.answer, each.how) for each in at(world, world.git("rev-parse", "HEAD"))}
    assert answers == {made: (Answer.VERIFIED, "tree-equal"), began: (Answer.VERIFIED, "base")}


def test_amended_content_is_carried(world: World) -> None:
    rewriting(world)
    _, (_commit,) = a_run(world)
    (world.top / "f").write_text("x")
    world.git("add", "f")
    world.git("commit", "-q", "--amend", "-m", "more")
    (found,) = at(world, world.git("rev-parse", "HEAD"))
    assert (found.answer, found.how) == (Answer.CARRIED, "carried")


# ---- tampering --------------------------------------------------------------------------------------------------


def replaced(world: World, run: str, change: Callable[[Path], None]) -> None:
    """The record with files changed by hand, put in the place of the published one."""
    work = world.top.parent / f"record-{run}"
    work.mkdir()
    environment = ("--git-dir", str(world.top / ".git"), "--work-tree", str(work))
    world.git(*environment, "read-tree", note.ref_of(run))
    world.git(*environment, "checkout-index", "-qfa", cwd=work)
    change(work)
    world.git(*environment, "add", "-Af", ".", cwd=work)
    world.git("update-ref", note.ref_of(run), world.git(*environment, "write-tree"))


def edit(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(work: Path) -> None:
        text = (work / name).read_bytes()
        assert old in text
        (work / name).write_bytes(text.replace(old, new, 1))

    return change


def drop(name: str) -> Callable[[Path], None]:
    return lambda work: (work / name).unlink()


def lines(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    def changed(work: Path) -> None:
        (work / name).write_bytes(b"".join(change((work / name).read_bytes().splitlines(keepends=True))))

    return changed


def resigned_payload(work: Path) -> None:
    """Another statement in the envelope, the signature of the old one."""
    own, *others = (work / "bundle.intoto.jsonl").read_bytes().splitlines(keepends=True)
    told = json.loads(own)
    payload = b64decode(told["payload"]).replace(b'"PASSED"', b'"WARNED"')
    told["payload"] = b64encode(payload).decode()
    (work / "bundle.intoto.jsonl").write_bytes(json.dumps(told).encode() + b"\n" + b"".join(others))
    (work / "statement.json").write_bytes(payload)


EVENTS = "events/000000.jsonl"
TAMPERED = [
    (
        "an event edited",
        edit(EVENTS, b'"verdict":"allow"', b'"verdict":"denyy"'),
        Answer.REFUTED,
        "000000.jsonl is not",
    ),
    ("an event removed", lines(EVENTS, lambda all_: [all_[0], all_[2]]), Answer.REFUTED, "seq 3 follows 1"),
    ("the last one removed", lines(EVENTS, lambda all_: all_[:-1]), Answer.REFUTED, "000000.jsonl is not"),
    ("two exchanged", lines(EVENTS, lambda all_: [all_[1], all_[0], all_[2]]), Answer.REFUTED, "seq 1 follows 2"),
    ("two glued", lines(EVENTS, lambda all_: [all_[0][:-1] + all_[1], all_[2]]), Answer.REFUTED, "is no event"),
    ("a segment dropped", drop(EVENTS), Answer.REFUTED, "was signed and is not there"),
    ("run.json edited", edit("run.json", b'"PASSED"', b'"FAILED"'), Answer.REFUTED, "run.json is not what was signed"),
    ("segments edited", edit("segments.jsonl", b'"last":3', b'"last":2'), Answer.REFUTED, "segments.jsonl"),
    ("commits edited", edit("commits.jsonl", b'"blocked":1', b'"blocked":0'), Answer.REFUTED, "commits.jsonl"),
    ("a file added", lambda work: (work / "policy.txt").write_text("x") and None, Answer.REFUTED, "was not signed"),
    (
        "events added",
        lambda work: (work / "events/000001.jsonl").write_text("{}\n") and None,
        Answer.REFUTED,
        "not signed",
    ),
    ("the envelope dropped", drop("bundle.intoto.jsonl"), Answer.UNVERIFIABLE, "it is not signed"),
    ("the statement dropped", drop("statement.json"), Answer.REFUTED, "statement.json"),
    ("the statement edited", edit("statement.json", b"PASSED", b"FAILED"), Answer.REFUTED, "statement.json"),
    ("the payload edited", resigned_payload, Answer.REFUTED, "does not fit what was signed"),
    (
        "no envelope",
        lambda work: (work / "bundle.intoto.jsonl").write_text("{}\n[]\n\n") and None,
        Answer.UNVERIFIABLE,
        "no envelope",
    ),
]


@pytest.mark.parametrize(
    ("change", "answer", "why"), [each[1:] for each in TAMPERED], ids=[each[0] for each in TAMPERED]
)
def test_a_record_that_was_tampered_with(
    world: World, change: Callable[[Path], None], answer: Answer, why: str
) -> None:
    run, (commit,) = a_run(world)
    replaced(world, run, change)
    (found,) = at(world, commit)
    assert found.answer is answer and why in found.why, found
    again = by_record(world, run)
    assert again.answer is answer, again


def test_the_prose_of_a_note_cannot_lie(world: World) -> None:
    _run, (commit,) = a_run(world)
    text = world.note(commit)
    for old, new in (
        (" PASSED ", " WARNED "),
        ("blocked=1", "blocked=0"),
        ("reverts=4", "reverts=0"),
        ("events=3", "events=4"),
    ):
        world.git("notes", "--ref=govrun", "add", "-f", "-m", text.replace(old, new), commit)
        (found,) = at(world, commit)
        assert found.answer is Answer.REFUTED and "of its note says" in found.why, found
    kept = "\n".join(line for line in text.splitlines() if " 3 remediation" not in line)
    world.git("notes", "--ref=govrun", "add", "-f", "-m", kept, commit)
    assert at(world, commit)[0].answer is Answer.REFUTED
    world.git("notes", "--ref=govrun", "add", "-f", "-m", "a person says hello\n\n" + text, commit)
    assert at(world, commit)[0].answer is Answer.VERIFIED


def rewritten(world: World, commit: str, text: str) -> None:
    world.git("notes", "--ref=govrun", "add", "-f", "-m", text, commit)


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        ("{run} 3 remediation reverts=0 kills=0 episodes=-", "a second line 3 beside the one that was signed"),
        ("{run} 3 z", "a second line 3 beside the one that was signed: z"),
        ("{run} 03 z", "a second line 3 beside the one"),
        ("  {run} 1 z", "a second line 1 beside the one"),
        ("{run} 9 reviewed by=ada", "line 9 of its note says reviewed_by=ada, which is not what was signed"),
        ("{run}  3 remediation reverts=0", "that has no number was not signed"),
        ("{run} 123 x", "that has no number was not signed"),
        ("{run}\u00a03 remediation reverts=0", "that has no number was not signed"),
        ("\u200b{run} 3 remediation reverts=0", "a second line 3 beside the one"),
        ("{lower} 3 remediation reverts=0", "a second line 3 beside the one"),
    ],
)
def test_a_further_line_beside_the_true_ones(world: World, forged: str, why: str) -> None:
    """Whichever of the two sorts first, a reader may believe the other."""
    run, (commit,) = a_run(world)
    text = world.note(commit)
    for each in (f"{text}\n{forged}", f"{forged}\n{text}"):
        rewritten(world, commit, each.format(run=run, lower=run.lower()))
        (found,) = at(world, commit)
        assert found.answer is Answer.REFUTED and why in found.why, found
    rewritten(world, commit, f"{text}\n{text}\nsee {run} 3 for more\n{run[:-1]} 3 x")
    assert at(world, commit)[0].answer is Answer.VERIFIED


def test_lines_of_another_commit_of_the_run(world: World) -> None:
    _, (first, second) = a_run(world, 2)
    rewritten(world, second, world.note(second) + "\n" + world.note(first).replace("upto=7", "upto=5"))
    assert at(world, second)[0].answer is Answer.REFUTED


def test_a_run_that_was_taken_out_of_a_note(world: World) -> None:
    dropped, (commit,) = a_run(world)
    kept, _ = a_run(world, 0)  # it began there
    text = world.note(commit)
    assert {each.answer for each in at(world, commit)} == {Answer.VERIFIED}
    rewritten(world, commit, "\n".join(line for line in text.splitlines() if not line.startswith(dropped)))
    found = {each.run: each for each in at(world, commit)}
    assert found[kept].answer is Answer.VERIFIED
    missing = found[dropped]
    assert missing.answer is Answer.MISSING and "the note that names others does not say so" in missing.why
    # Where there is no note at all, as in a clone without notes, the records speak.
    world.git("notes", "--ref=govrun", "remove", commit)
    assert {(each.run, each.answer, each.how) for each in at(world, commit)} == {
        (kept, Answer.VERIFIED, "base"), (dropped, Answer.VERIFIED, "native")
    }  # fmt: skip


def test_a_run_that_only_began_there_may_have_made_room(world: World) -> None:
    kept, _ = a_run(world, 0)
    gone, _ = a_run(world, 0)
    rewritten(world, world.base, "\n".join(x for x in world.note(world.base).splitlines() if not x.startswith(gone)))
    assert {(each.run, each.answer, each.how) for each in at(world, world.base)} == {
        (kept, Answer.VERIFIED, "base"), (gone, Answer.VERIFIED, "base")
    }  # fmt: skip


def test_a_note_that_is_too_large_to_be_read(world: World) -> None:
    _, (commit,) = a_run(world)
    (world.top / "big").write_text(world.note(commit) + "\n" + "x\n" * (1 << 19))
    world.git("notes", "--ref=govrun", "add", "-f", "-F", "big", commit)
    (found,) = at(world, commit)
    assert found.answer is Answer.UNVERIFIABLE and "its note cannot be read: the object is too large" in found.why


def test_more_runs_than_a_few_on_one_base(world: World) -> None:
    for _ in range(40):
        rewritten(world, world.base, world.note(world.base) + f"\n{new_ulid()} 0 govrun/1 PASSED")
    a_run(world, 0)
    found = at(world, world.base)
    assert len(found) == 41 and [each.answer for each in found].count(Answer.VERIFIED) == 1


def signed_by_others(world: World, place: Path, *, first: bool) -> Callable[[Path], None]:
    """Signatures of foreign keys beside ours in the envelope."""

    def change(work: Path) -> None:
        own, *others = (work / "bundle.intoto.jsonl").read_bytes().splitlines(keepends=True)
        told = json.loads(own)
        made = json.loads(envelope.sealed(b64decode(told["payload"]), own_key(place)).line)
        both = [*made["signatures"], *told["signatures"]] if first else [*told["signatures"], *made["signatures"]]
        changed = json.dumps(told | {"signatures": both}).encode() + b"\n"
        (work / "bundle.intoto.jsonl").write_bytes(changed + b"".join(others))

    return change


@pytest.mark.parametrize("first", [True, False])
def test_signatures_that_others_add_say_nothing(world: World, tmp_path: Path, first: bool) -> None:
    """Lines 7 and 8 of the note are those of the signature that is believed."""
    run, (commit,) = a_run(world)
    replaced(world, run, signed_by_others(world, tmp_path, first=first))
    assert at(world, commit)[0].answer is Answer.VERIFIED
    theirs = json.loads(files_of(world, run)["bundle.intoto.jsonl"].splitlines()[0])["signatures"][0 if first else 1][
        "sig"
    ]
    ours = world.note(commit).splitlines()[-1].split()[-1]
    rewritten(world, commit, world.note(commit).replace(ours, theirs))
    (found,) = at(world, commit)
    assert found.answer is Answer.REFUTED and "line 8 of its note says" in found.why


def test_envelopes_of_others_before_ours(world: World, tmp_path: Path) -> None:
    run, (commit,) = a_run(world)

    def many(work: Path) -> None:
        path = work / "bundle.intoto.jsonl"
        payload = json.dumps({"predicateType": "x"}).encode()
        others = [envelope.sealed(payload, own_key(tmp_path)).line + b"\n"] * 20
        path.write_bytes(b"".join(others) + path.read_bytes())

    replaced(world, run, many)
    assert at(world, commit)[0].answer is Answer.VERIFIED


# ---- what is too large ------------------------------------------------------------------------------------------


def large(work: Path) -> Path:
    path = work / "events" / "big"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(1 << 20))
    return path


def many_files(work: Path) -> None:
    for number in range(5000):
        (work / f"{number}").write_text("")


LARGE: dict[str, tuple[Callable[[Path], object], Answer, str]] = {
    "a file that nobody signed": (large, Answer.REFUTED, "events that were not signed"),
    "a segment": (lambda work: large(work).rename(work / EVENTS), Answer.REFUTED, "000000.jsonl is not what was"),
    "the statement": (
        lambda work: large(work).rename(work / "statement.json"),
        Answer.REFUTED,
        "statement.json is not",
    ),
    "many files": (many_files, Answer.UNVERIFIABLE, "the record is too large: it has 50"),
}


@pytest.mark.parametrize("name", LARGE)
def test_nothing_large_is_read_of_a_record_that_is_not_as_signed(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run, (commit,) = a_run(world)
    change, answer, why = LARGE[name]
    replaced(world, run, lambda work: change(work) and None)
    read = [0]
    known = Objects.get

    def counted(self: Objects, name: str, *, limit: int = 8 << 20) -> tuple[str, str, bytes] | None:
        found = known(self, name, limit=limit)
        read[0] += len(found[2]) if found is not None else 0
        return found

    monkeypatch.setattr(Objects, "get", counted)
    (found,) = at(world, commit)
    assert found.answer is answer and why in found.why, found
    assert read[0] < 1 << 19


def test_an_untrusted_record_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its folders, its envelope, and what says which commits are its own."""
    run, (commit,) = a_run(world)
    replaced(world, run, lambda work: large(work) and None)
    asked: list[str] = []
    known = Objects.get
    monkeypatch.setattr(Objects, "get", lambda self, name, **more: asked.append(name) or known(self, name, **more))
    assert at(world, commit, [])[0].answer is Answer.UNVERIFIABLE
    events = world.git("rev-parse", f"{note.ref_of(run)}:events")
    blobs = world.git("ls-tree", "-r", "--format=%(objectname)", f"{note.ref_of(run)}:events").split()
    assert not {events, *blobs} & set(asked)


def test_more_records_than_can_be_searched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from supervisor.provenance import verifying

    _, (commit,) = a_run(world)
    monkeypatch.setattr(verifying, "_MOST_SEARCHED", 100)
    (found,) = at(world, commit)
    assert found.answer is Answer.UNVERIFIABLE and "too large to be searched" in found.why


def test_an_envelope_is_not_parsed_before_it_looks_like_one() -> None:
    """Lists in lists take sixty times their length."""
    made = envelope.sealed(b"x", own_key_of_nobody())
    told = json.loads(made.line)
    assert [each.payload for each in envelope.envelopes(made.line)] == [b"x"]
    for more in ([[] for _ in range(300)], {str(n): 0 for n in range(300)}):
        assert not list(envelope.envelopes(json.dumps(told | {"more": more}).encode()))
    assert len(list(envelope.envelopes((made.line + b"\n") * 100))) == 8
    assert (
        len(next(envelope.envelopes(json.dumps(told | {"signatures": told["signatures"] * 40}).encode())).signatures)
        == 8
    )
    assert not list(envelope.envelopes(made.line + b" " * envelope.MOST))


def own_key_of_nobody() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(32))


# ---- carried ----------------------------------------------------------------------------------------------------


def test_a_note_on_a_commit_that_the_run_did_not_make_is_carried(world: World) -> None:
    (world.top / "f").write_text("mine")
    world.git("add", "f")
    run, (commit,) = a_run(world)
    (world.top / "f").write_text("theirs")
    world.git("add", "f")
    other = world.commit("by a person")
    world.git("notes", "--ref=govrun", "copy", commit, other)
    (found,) = at(world, other)
    assert (found.run, found.answer) == (run, Answer.CARRIED)


def test_a_foreign_key_that_signs_everything_again(world: World, tmp_path: Path) -> None:
    run, (commit,) = a_run(world)
    theirs = own_key(tmp_path)

    def resigned(work: Path) -> None:
        made = envelope.sealed((work / "statement.json").read_bytes(), theirs)
        (work / "bundle.intoto.jsonl").write_bytes(made.line + b"\n")

    replaced(world, run, resigned)
    (found,) = at(world, commit)
    told = fingerprint(theirs.public_key().public_bytes_raw())
    assert found.answer is Answer.UNVERIFIABLE and told in found.why

    def with_our_hint(work: Path) -> None:
        text = (work / "bundle.intoto.jsonl").read_text()
        (work / "bundle.intoto.jsonl").write_text(text.replace(told, fingerprint(own_public(world.state) or b"")))

    world.top.parent.joinpath(f"record-{run}").rename(tmp_path / "first")
    replaced(world, run, with_our_hint)
    assert at(world, commit)[0].answer is Answer.REFUTED


def test_the_record_of_another_run_in_its_place(world: World) -> None:
    first, (commit,) = a_run(world)
    second, _ = a_run(world)
    world.git("update-ref", note.ref_of(first), note.ref_of(second))
    assert at(world, commit)[0].answer is Answer.REFUTED
    world.git("update-ref", "-d", note.ref_of(first))
    (found,) = at(world, commit)
    assert found.answer is Answer.UNVERIFIABLE and "is not here" in found.why


def test_a_run_that_goes_on(world: World) -> None:
    folder = world.run()
    journal(folder)
    commit = world.commit("x")
    made = f"{folder.name} 0 govrun/1 RUNNING agent=generic exit=- 1s upto=1"
    world.git("notes", "--ref=govrun", "add", "-m", made, commit)
    assert at(world, commit)[0].answer is Answer.UNVERIFIABLE


def test_nobody_is_trusted(world: World) -> None:
    _, (commit,) = a_run(world)
    assert at(world, commit, [])[0].answer is Answer.UNVERIFIABLE


# ---- keys -------------------------------------------------------------------------------------------------------


def test_a_list_of_signers(tmp_path: Path) -> None:
    key = own_key(tmp_path).public_key().public_bytes_raw()
    other = b64encode(keys.blob(bytes(32))).decode()
    path = tmp_path / "signers"
    times = 'valid-after="20260101",valid-before="202701011200Z"'
    path.write_text(
        f"# comment\n\n{signer_line(key, 'ada@example.com')}\n"
        f"b@example.com ssh-ed25519 {other} comment\n"
        f'c@example.com namespaces="git,file" ssh-ed25519 {other}\n'
        f'd@example.com namespaces="git,govrun",{times} ssh-ed25519 {other}\n'
        f"e@example.com cert-authority ssh-ed25519 {other}\n"
        "f@example.com ssh-rsa AAAA\n"
    )
    found = allowed(path)
    assert [each.principal[0] for each in found] == ["a", "b", "d"]
    assert found[0].key == key
    assert (found[2].after, found[2].before) == (1767225600.0, 1798804800.0)
    for bad in (
        "a@example.com",
        f"a ssh-ed25519 {other[:-8]}",
        f'a valid-before="x" ssh-ed25519 {other}',
        f"a any ssh-ed25519 {other}",
    ):
        path.write_text(bad + "\n")
        with pytest.raises(UsageError, match="signers:1"):
            allowed(path)


def test_a_key_is_believed_while_it_is_in_force(world: World) -> None:
    _, (commit,) = a_run(world)
    key = own_public(world.state)
    assert key is not None
    assert at(world, commit, [Trusted(key, "me", before=1.0)])[0].answer is Answer.UNVERIFIABLE
    assert at(world, commit, [Trusted(key, "me", before=1.0), Trusted(key, "me")])[0].answer is Answer.VERIFIED


def test_the_key_is_made_once_and_kept_to_oneself(tmp_path: Path) -> None:
    assert own_public(tmp_path) is None
    first = own_key(tmp_path).private_bytes_raw()
    assert own_key(tmp_path).private_bytes_raw() == first
    assert (tmp_path / keys.KEY).stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [keys.KEY]
    (tmp_path / keys.KEY).write_bytes(b"short")
    with pytest.raises(HostError, match="damaged"):
        own_key(tmp_path)


def test_the_fingerprint_is_that_of_ssh_keygen(tmp_path: Path) -> None:
    import subprocess

    key = own_key(tmp_path).public_key().public_bytes_raw()
    (tmp_path / "k.pub").write_text(f"ssh-ed25519 {b64encode(keys.blob(key)).decode()} x\n")
    told = subprocess.run(["ssh-keygen", "-lf", tmp_path / "k.pub"], capture_output=True, text=True, check=True).stdout
    assert told.split()[1] == fingerprint(key)


def test_a_key_may_have_ended_at_the_beginning_of_time(world: World) -> None:
    run, _ = a_run(world)
    key = own_public(world.state) or b""
    with verifier(world, [Trusted(key, "me", before=0.0)]) as each:
        assert each.run(run).answer is Answer.UNVERIFIABLE


def test_a_status_of_a_later_version_is_unverifiable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run, (commit,) = a_run(world)
    monkeypatch.setattr(note, "STATUSES", ("RUNNING",))  # as an older version that does not know the word
    (found,) = at(world, commit)
    assert (found.run, found.answer) == (run, Answer.UNVERIFIABLE)


def test_a_git_that_does_not_answer_is_not_a_record_that_is_not_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, (commit,) = a_run(world)
    world.git("notes", "--ref=govrun", "remove", commit)
    assert at(world, commit)[0].run == run
    silent = Silent("git cat-file took too long", "", None)
    monkeypatch.setattr(Records, "_folder", lambda *_: (_ for _ in ()).throw(silent))
    with pytest.raises(Silent):
        at(world, commit)
