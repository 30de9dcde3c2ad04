"""Files hidden by name: which reads a policy objects to, and which other acts would be reads by another name."""

from __future__ import annotations

import pytest

from supervisor.invariants.policy import CompiledPolicy
from supervisor.vocabulary.events import Actor, ExecEvent, FsEvent, Kind
from tests.property.world import (
    HOME,
    STATE,
    TREE,
    create,
    link,
    meta,
    policy_of,
    read,
    rename,
    ruling,
    target,
    unlink,
    verdict,
    write,
)

FILES = "scope.hide.files"
HIDE = policy_of(
    'version = 1\n[scope]\nwhy = "w"\nhide = [".env*", "/conf/prod.json", "vault/", "~/.netrc", "~/.ssh/**"]\n'
)
READ = policy_of('version = 1\n[scope]\nwhy = "w"\nread = ["src/**", "*.md"]\n')
DATA = policy_of(
    'version = 1\n[[data]]\nid = "dumps"\nwhy = "w"\npaths = ["*.sqlite", "dumps/**", "~/db/**"]\n'
    'except = ["dumps/README.md"]\naccess = "hide"\n'
)


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        (b".env", True),
        (b".env.local", True),
        (b"a/b/.env", True),
        (b".env/inner", True),
        (b"conf/prod.json", True),
        (b"vault/deep/key", True),
        (HOME + b"/.netrc", True),
        (b"x.env", False),
        (b"a/conf/prod.json", False),
        (b"vault", False),
        (b"docs/.envoy/x.txt", True),
        (HOME + b"/sub/.netrc2", False),
        (b"/etc/passwd", False),
        (b"/h/bob/.netrc", False),
        (b".git/.env", False),
    ],
)
def test_reads(path: bytes, refused: bool) -> None:
    assert ruling(HIDE, read(path)) == (FILES if refused else "")
    assert ruling(policy_of(), read(path)) == ""


def test_folders_are_listed_unless_a_pattern_names_them() -> None:
    assert ruling(HIDE, read(b"", Kind.DIR)) == "" and ruling(HIDE, read(b"conf", Kind.DIR)) == ""
    assert ruling(HIDE, read(b"vault", Kind.DIR)) == FILES
    assert ruling(READ, read(b"docs", Kind.DIR)) == "" and ruling(READ, read(b"docs/x", Kind.FILE)) == "scope.read"


def test_folders_that_the_kernel_hides_keep_their_rule() -> None:
    assert ruling(HIDE, read(HOME + b"/.ssh/id")) == "scope.hide"
    assert ruling(HIDE, read(STATE + b"/.env")) == "govrun.state"


@pytest.mark.parametrize("policy", [HIDE, DATA], ids=["scope", "data"])
@pytest.mark.parametrize(
    "event",
    [
        write(b"X"),
        create(b"X"),
        unlink(b"X"),
        meta(b"X"),
        rename(b"X", b"b"),
        rename(b"b", b"X"),
        rename(b"b", b"X", onto=Kind.FILE, exchange=True),
        link(b"X", b"b"),
        link(b"b", b"X"),
        write(b"X", ignored=True),
    ],
    ids=lambda event: f"{event.op}-{event.target.path[-1:].decode()}{'-exchange' if event.exchange else ''}",
)
def test_what_would_be_a_read_by_another_name(policy: CompiledPolicy, event: FsEvent) -> None:
    hidden, rule = (b".env", FILES) if policy is HIDE else (b"a.sqlite", "dumps")

    def moved(path: bytes) -> bytes:
        return TREE + b"/" + hidden if path == TREE + b"/X" else path

    other = event.other._replace(path=moved(event.other.path)) if event.other is not None else None
    event = event._replace(target=event.target._replace(path=moved(event.target.path)), other=other)
    assert ruling(policy, event) == rule
    assert ruling(policy_of(), event) == ""


def test_a_folder_moves_with_what_is_hidden_in_it() -> None:
    assert ruling(HIDE, rename(b"a", b"b", Kind.DIR, beneath=(b"x", b"deep/.env"))) == FILES
    assert ruling(HIDE, rename(b"conf", b"b", Kind.DIR, beneath=(b"prod.json",))) == FILES
    assert ruling(HIDE, rename(b"conf", b"b", Kind.DIR, beneath=(b"dev.json",))) == ""


def test_a_name_that_is_gone() -> None:
    """A descriptor that only names a file is opened through /proc after the file was replaced (proc(5))."""
    gone = read(b".env (deleted)")._replace(target=target(b".env (deleted)", unlinked=True))
    assert ruling(HIDE, gone) == FILES
    assert ruling(HIDE, gone._replace(target=target(b".env (deleted)"))) == FILES
    assert ruling(HIDE, write(b".env (deleted)", unlinked=True)) == FILES
    assert ruling(HIDE, read(b"x (deleted)")) == ""
    assert ruling(DATA, read(b"a.sqlite (deleted)")) == "dumps"


def test_the_name_of_a_link_counts() -> None:
    named = read(b"shared.txt")._replace(other=target(b".env", Kind.LINK))
    assert ruling(HIDE, named) == FILES
    assert ruling(DATA, read(b"x")._replace(other=target(b"a.sqlite", Kind.LINK))) == "dumps"


def test_programs_are_read_by_the_kernel() -> None:
    actor = Actor(7, 1, 9, b"/usr/bin/x", (b"x",), 1)

    def run(path: bytes) -> ExecEvent:
        return ExecEvent(actor, target(path), path, (path,), TREE, "call")

    assert ruling(HIDE, run(b".env.sh")) == FILES
    assert ruling(DATA, run(b"dumps/tool")) == "dumps"
    assert ruling(READ, run(b"tool")) == "scope.read"
    assert ruling(HIDE, run(b"tool")) == "" and ruling(READ, run(b"/usr/bin/env")) == ""


def test_the_scope_of_reads() -> None:
    assert ruling(READ, read(b"src/x")) == "" and ruling(READ, read(b"a/b.md")) == ""
    assert ruling(READ, read(b"b.txt")) == "scope.read"
    assert ruling(READ, read(b"b.txt")._replace(target=target(b"b.txt", ignored=True))) == ""
    assert ruling(READ, rename(b"b.txt", b"src/x")) == "scope.read" and ruling(READ, link(b"b.txt", b"src/x"))
    assert ruling(READ, write(b"b.txt")) == "scope.read"
    assert ruling(READ, read(b".git/config")) == "" and ruling(READ, read(b"/usr/lib/x")) == ""


def test_of_data() -> None:
    assert ruling(DATA, read(b"dumps/README.md")) == "" and ruling(DATA, read(b"dumps/x")) == "dumps"
    assert ruling(DATA, read(HOME + b"/db/x")) == "dumps"


def test_a_tree_in_the_home_folder() -> None:
    """However a file of the tree is named there, it is that file."""
    text = 'version = 1\n[scope]\nwhy = "w"\nhide = ["~/w/app/.env", "~/w/*/*.pem", "/h/ada/w/app/conf/**"]\n'
    policy = policy_of(text, tree=HOME + b"/w/app", git=None)
    for path in (b"/w/app/.env", b"/w/app/x.pem", b"/w/app/conf/a"):
        assert ruling(policy, read(HOME + path)) == FILES and ruling(policy, unlink(HOME + path)) == FILES
    for path in (b"/w/app/sub/.env", b"/w/app/sub/x.pem", b"/w/app/x"):
        assert ruling(policy, read(HOME + path)) == "" and ruling(policy, unlink(HOME + path)) == ""


def test_it_is_told_in_the_words_of_its_layer() -> None:
    (match,) = verdict(HIDE, read(b"a/.env")).matches
    assert (match.message, match.invariant.why) == ("a/.env is hidden from this run", "w")
    assert match.invariant.source == "govrun.toml:4"
