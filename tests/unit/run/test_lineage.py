"""Each change of a declared file, once, with what was there before and after."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from supervisor.run import lineage
from supervisor.run.lineage import Lineage
from supervisor.vocabulary.events import Actor, FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.policy import Coverage
from tests.property.world import ACTOR, policy_of

PROFILE = 'version = 1\n[scope]\nwhy = "w"\nstate = ["memory/**", "AGENTS.md", "~/.agent/notes/**"]\n'
OTHER = ACTOR._replace(pid=8)


def sha(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class Place:
    def __init__(self, root: Path) -> None:
        self.tree, self.home = root / "tree", root / "home"
        (self.tree / "memory").mkdir(parents=True)
        (self.home / ".agent" / "notes").mkdir(parents=True)
        policy = policy_of(PROFILE)._replace(tree=os.fsencode(self.tree), home=os.fsencode(self.home))
        self.told: list[tuple[str, int, str, str]] = []
        self.gaps: list[str] = []
        self.lineage = Lineage(policy, self._record, lambda why, _more: self.gaps.append(why))

    def _record(self, path: bytes, actor: Actor | None, before: str, after: str) -> None:
        self.told.append((os.fsdecode(path).rpartition("/")[2], actor.pid if actor else 0, before, after))

    def target(self, name: str) -> Target:
        return Target(os.fsencode(self.tree / name), Kind.FILE)

    def open(self, name: str, *texts: str, actor: Actor = ACTOR) -> None:
        """Open a file for writing, and write into it."""
        event = FsEvent(actor, FsOp.WRITE, "openat", self.target(name))
        self.lineage.before(event)
        (self.tree / name).write_text("")
        self.lineage.landed(event)
        for text in texts:
            (self.tree / name).write_text(text)

    def move(self, name: str, other: str, **fields: tuple[bytes, ...]) -> None:
        event = FsEvent(ACTOR, FsOp.RENAME, "rename", self.target(name), self.target(other), **fields)
        self.lineage.before(event)
        os.rename(self.tree / name, self.tree / other)
        self.lineage.landed(event)

    def remove(self, name: str) -> None:
        event = FsEvent(ACTOR, FsOp.UNLINK, "unlink", self.target(name))
        self.lineage.before(event)
        (self.tree / name).unlink()
        self.lineage.landed(event)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_change_is_told_when_it_is_settled(place: Place) -> None:
    (place.tree / "AGENTS.md").write_text("old")
    place.open("AGENTS.md", "new")
    assert place.told == []
    place.lineage.settle()
    place.lineage.settle()
    place.lineage.over()
    assert place.told == [("AGENTS.md", 7, sha("old"), sha("new"))]


def test_each_opening_is_a_change_of_its_own(place: Place) -> None:
    place.open("memory/a", "one")
    place.open("memory/a", "two", actor=OTHER)
    place.lineage.settle()
    assert place.told == [("a", 7, "", sha("one")), ("a", 8, sha("one"), sha("two"))]


def test_the_same_text_is_no_change(place: Place) -> None:
    (place.tree / "memory" / "a").write_text("one")
    place.open("memory/a", "one")
    place.lineage.settle()
    place.lineage.over()
    assert place.told == []


def test_a_file_that_stays_open_is_looked_at_again(place: Place) -> None:
    place.open("memory/a", "one")
    place.lineage.settle()
    (place.tree / "memory" / "a").write_text("more")
    place.lineage.settle()
    (place.tree / "memory" / "a").write_text("most of it")
    place.lineage.over()
    assert [(before, after) for _, _, before, after in place.told] == [
        ("", sha("one")),
        (sha("one"), sha("more")),
        (sha("more"), sha("most of it")),
    ]


def test_a_file_that_was_only_cut_is_told_in_the_end(place: Place) -> None:
    (place.tree / "memory" / "a").write_text("one")
    place.open("memory/a")
    place.lineage.settle()
    assert place.told == []
    place.lineage.over()
    assert place.told == [("a", 7, sha("one"), sha(""))]


def test_moved_onto_away_and_removed(place: Place) -> None:
    (place.tree / "x").write_text("x")
    place.move("x", "memory/a")
    place.move("memory/a", "memory/b")
    place.move("memory/b", "y")
    place.open("memory/c", "c")
    place.remove("memory/c")
    assert place.told == [
        ("a", 7, "", sha("x")), ("a", 7, sha("x"), ""), ("b", 7, "", sha("x")), ("b", 7, sha("x"), ""),
        ("c", 7, "", sha("c")), ("c", 7, sha("c"), ""),
    ]  # fmt: skip


def test_a_moved_folder(place: Place) -> None:
    (place.tree / "x").mkdir()
    (place.tree / "x" / "a").write_text("a")
    place.move("x", "memory/x", beneath=(b"a",))
    place.move("memory/x", "z", beneath=(b"a",))
    assert place.told == [("a", 7, "", sha("a")), ("a", 7, sha("a"), "")]


def test_other_files_and_reading_are_not_followed(place: Place) -> None:
    place.open("other", "x")
    place.lineage.before(FsEvent(ACTOR, FsOp.READ, "openat", place.target("memory/a")))
    place.lineage.over()
    assert place.told == []
    note = os.fsencode(place.home / ".agent" / "notes" / "n")
    event = FsEvent(ACTOR, FsOp.CREATE, "openat", Target(note, Kind.ABSENT))
    place.lineage.before(event)
    Path(os.fsdecode(note)).write_text("n")
    place.lineage.landed(event)
    place.lineage.settle()
    assert place.told == [("n", 7, "", sha("n"))]


def test_it_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "_MOST_KNOWN", 2)
    monkeypatch.setattr(lineage, "_MOST_OPEN", 1)
    for name in ("a", "b", "c", "d"):
        place.open(f"memory/{name}", name)
    assert [name for name, *_ in place.told] == ["a"] and len(place.gaps) == 1
    place.lineage.over()
    assert [name for name, *_ in place.told] == ["a", "b"]


def test_a_large_file_is_known_by_its_size(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "_LARGEST", 4)
    place.open("memory/a", "12345")
    place.lineage.settle()
    assert place.told[0][3].startswith("large:5:")


def test_what_is_read_at_once_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "_MOST_READ", 1)
    place.open("memory/a", "12")
    place.open("memory/b", "12")
    place.lineage.settle()
    assert len(place.told) == 1
    place.lineage.settle()
    assert len(place.told) == 2


def test_links_by_where_they_lead(place: Place) -> None:
    event = FsEvent(ACTOR, FsOp.CREATE, "symlink", place.target("memory/l"), makes=Kind.LINK)
    place.lineage.before(event)
    (place.tree / "memory" / "l").symlink_to("AGENTS.md")
    place.lineage.landed(event)
    place.lineage.settle()
    assert place.told == [("l", 7, "", "link:" + sha("AGENTS.md"))]


def test_it_is_listed_with_how_firmly_it_holds() -> None:
    rule = policy_of(PROFILE).invariants["scope.state"]
    assert (rule.coverage, rule.source) == (Coverage.OBSERVED, "govrun.toml:4")
    assert "scope.state" not in policy_of().invariants and not policy_of().remembered
