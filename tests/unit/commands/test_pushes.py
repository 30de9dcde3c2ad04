"""What a push would change over there, and what is done about pull requests: facts, no rule."""

from __future__ import annotations

import shlex

import pytest

from supervisor.commands.normal import commands
from supervisor.vocabulary.commands import Command, Proposal, Push, PushedRef

CONFIG = b'[remote "origin"]\nurl = git@host:org/repo\n[branch "main"]\n\tremote = origin\n\tmerge = refs/heads/main\n'
HEAD = {b"/w/.git/HEAD": b"ref: refs/heads/main\n"}


def asked(line: str, config: bytes = CONFIG, variables: dict[bytes, bytes] | None = None) -> Command:
    argv = tuple(word.encode() for word in shlex.split(line))
    files = {**HEAD, b"/w/.git/config": config}
    return commands(argv, argv[0], lambda: variables or {b"HOME": b"/home/u"}, b"/w", files.get)[0]


def push(line: str, config: bytes = CONFIG, variables: dict[bytes, bytes] | None = None) -> Push:
    found = asked(line, config, variables).push
    assert found is not None
    return found


def ref(name: str, mark: str = "") -> PushedRef:
    full = name if name.startswith("refs/") else f"refs/heads/{name}"
    return PushedRef(full, "f" in mark, "d" in mark)


@pytest.mark.parametrize(
    ("line", "refs"),
    [
        ("git push origin x", [ref("x")]),
        ("git push", [ref("main")]),
        ("git push origin", [ref("main")]),
        ("git push origin HEAD", [ref("main")]),
        ("git push origin x:y z", [ref("y"), ref("z")]),
        ("git push origin +x", [ref("x", "f")]),
        ("git push origin +x y", [ref("x", "f"), ref("y")]),
        ("git push -f origin x", [ref("x", "f")]),
        ("git push -uf origin x", [ref("x", "f")]),
        ("git push origin x --force-with-lease=x:1", [ref("x", "f")]),
        ("git push --force-w origin x", [ref("x", "f")]),
        ("git push origin --force-if-includes x", [ref("x")]),
        ("git push origin :refs/heads/x", [ref("x", "d")]),
        ("git push -d origin refs/heads/x", [ref("x", "d")]),
        ("git push --prune origin refs/heads/*:refs/heads/a/*", [ref("a/*", "d")]),
        ("git push --mirror origin", [ref("refs/*", "fd")]),
        ("git push --all origin", [ref("refs/heads/*")]),
        ("git push --tags origin x", [ref("refs/tags/*"), ref("x")]),
        ("git push --follow-tags origin x", [ref("refs/tags/*"), ref("x")]),
        ("git push origin tag v1", [ref("refs/tags/v1")]),
        ("git push origin :", [ref("refs/heads/*")]),
        ("git send-pack git@host:x a:refs/heads/y", [ref("y")]),
        ("git send-pack --force git@host:x a:refs/heads/y", [ref("y", "f")]),
    ],
)
def test_what_is_pushed(line: str, refs: list[PushedRef]) -> None:
    found = push(line)
    assert found.refs_known and sorted(found.refs) == sorted(refs)


@pytest.mark.parametrize(
    "line",
    [
        "git push origin :x",
        "git push -d origin x",
        f"git push origin {'1' * 40}",
        "git -c push.followTags=true push origin x",
        "git send-pack --stdin git@host:x",
        "git send-pack --all git@host:x",
        "git http-push http://host/x a",
        "git svn dcommit",
        "jj git push",
        "hg push",
        "gh repo sync org/x",
    ],
)
def test_what_cannot_be_told(line: str) -> None:
    assert not push(line).refs_known


def test_what_is_left_to_configuration() -> None:
    more = b'[remote "origin"]\n\tpush = +x:y\n\tpush = :z\n'
    found = push("git push origin", CONFIG + more)
    assert found.by_default and not found.refs_known  # the short name may be a tag over there
    assert found.refs == (ref("y", "f"),)
    assert push("git push origin", CONFIG + b'[remote "origin"]\n\tmirror = true\n').refs == (ref("refs/*", "fd"),)
    assert push("git push origin x", CONFIG + b"[push]\n\tfollowTags = true\n").refs[0] == ref("refs/tags/*")
    assert push("git push origin x --no-follow-tags", CONFIG + b"[push]\n\tfollowTags\n").refs == (ref("x"),)
    assert not push("git push origin x").by_default and push("git push").by_default
    assert not push("git push origin x", variables={b"GIT_CONFIG_COUNT": b"1"}).refs_known


@pytest.mark.parametrize(
    "line", ["git push --dry-run origin x", "git fetch", "git commit", "jj log", "hg pull", "gh pr view"]
)
def test_what_pushes_nothing(line: str) -> None:
    assert asked(line).push is None and not asked(line).proposals


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("gh pr create -B main -d", [Proposal("open", "main", True)]),
        ("gh pr create -d -B main --fill", [Proposal("open", "main", True)]),
        ("gh pr create --base=main --draft=false", [Proposal("open", "main")]),
        ("gh pr create --unknown --base main", [Proposal("open")]),
        ("gh pr create", [Proposal("open")]),
        ("gh pr revert 3 --draft", [Proposal("open", "", True)]),
        ("gh pr edit 3 --title x", []),
        ("gh pr edit 3 --base x", [Proposal("retarget", "x", True)]),
        ("gh pr ready 3", [Proposal("ready")]),
        ("gh pr ready 3 --undo", []),
        ("gh pr merge 3 -d --squash", [Proposal("merge")]),
        ("gh pr merge 3 --disable-auto", []),
        ("gh pr comment 3 -b x", []),
        ("gh api repos/a/b/pulls", []),
        ("gh api repos/a/b/pulls -f title=x", [Proposal("open")]),
        ("gh api repos/a/b/issues -f title=x", []),
        ("gh api graphql -f 'query=query { x }'", []),
        ("gh api graphql -f 'query=mutation { x }'", [Proposal("open")]),
        ("gh api graphql -F query=@file", [Proposal("open")]),
        ("glab mr create -f -b main --draft", [Proposal("open", "main", True)]),
        ("glab mr update 3 --ready", [Proposal("ready")]),
        ("glab mr accept 3", [Proposal("merge")]),
        ("hub pull-request -b org:main -d", [Proposal("open", "main", True)]),
        ("tea pr create --base main", [Proposal("open", "main")]),
        ("git push -o merge_request.create -o merge_request.target=main origin x", [Proposal("open", "main")]),
        ("git push -o merge_request.create -o merge_request.draft origin x", [Proposal("open", "", True)]),
        ("git push -o ci.skip origin x", []),
        ("git push -o merge_request.merge_when_pipeline_succeeds origin x", [Proposal("merge")]),
    ],
)
def test_pull_requests(line: str, found: list[Proposal]) -> None:
    assert list(asked(line).proposals) == found
