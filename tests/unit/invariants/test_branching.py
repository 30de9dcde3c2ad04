"""``[scope] branches`` and ``commits`` as values: what may move, and what a commit has to say."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.decide import decide
from supervisor.invariants.policy import NO_STATE, CompiledPolicy
from supervisor.vocabulary.commands import Command, Proposal, Push, PushedRef
from supervisor.vocabulary.errors import ProfileError
from supervisor.vocabulary.events import CommitFacts, ExecEvent, RefEvent
from supervisor.vocabulary.policy import Coverage
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import ACTOR, policy_of, target

ONE, TWO = "1" * 40, "2" * 40


def with_scope(lines: str, then: str = "deny") -> CompiledPolicy:
    return policy_of(f'version = 1\nextends = []\n[scope]\nwhy = "w"\nthen = "{then}"\n{lines}\n')


def move(ref: str, old: str = ONE, new: str = TWO, *, fetched: bool = False, commits: tuple[CommitFacts, ...] = ()):
    return RefEvent(ACTOR, ref, old, new, fetched, landing=True, commits=commits)


def told(policy: CompiledPolicy, event: RefEvent) -> list[str]:
    return [match.message for match in decide(policy, NO_STATE, event).matches]


@pytest.mark.parametrize("pattern", ["agent/*", "refs/heads/agent/*", "agent/x/y", "a*"])
def test_patterns_speak_of_branches(pattern: str) -> None:
    policy = with_scope(f'branches = ["{pattern}"]')
    assert not told(policy, move("refs/heads/agent/x/y"))
    for other in ("refs/heads/main", "refs/tags/agent/x/y", "refs/notes/agent/x", "refs/heads/x/agent/x/y"):
        assert told(policy, move(other)), other


def test_a_full_name_speaks_of_any_ref() -> None:
    policy = with_scope('branches = ["refs/tags/v*", "refs/*/wip"]')
    assert not told(policy, move("refs/tags/v1"))
    assert not told(policy, move("refs/remotes/origin/wip"))
    assert told(policy, move("refs/heads/v1"))


def test_no_branch_at_all() -> None:
    policy = with_scope("branches = []")
    assert told(policy, move("refs/heads/x")) == [
        "refs/heads/x would move from 111111111111 to 222222222222; this scope moves none"
    ]


@pytest.mark.parametrize(
    "ref",
    ["HEAD", "worktrees/w/HEAD", "worktrees/w/refs/bisect/bad", "refs/stash", "refs/bisect/good-1", "refs/rewritten/x"],
)
def test_notebooks_of_git_are_free(ref: str) -> None:
    assert not told(with_scope("branches = []"), move(ref))


@pytest.mark.parametrize("ref", ["refs/remotes/origin/main", "refs/tags/v1"])
def test_what_is_exchanged_is_free(ref: str) -> None:
    policy = with_scope("branches = []")
    assert told(policy, move(ref)) and not told(policy, move(ref, fetched=True))
    assert told(policy, move("refs/heads/main", fetched=True))


def test_what_has_happened_is_not_judged() -> None:
    assert not told(with_scope("branches = []"), move("refs/heads/main")._replace(landing=False))
    assert not told(policy_of(), move("refs/heads/main"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (ONE, TWO, "would move from 111111111111 to 222222222222"),
        ("", TWO, "would be made, at 222222222222"),
        (ONE, "", "would be deleted (it is at 111111111111)"),
        (ONE, "ref: refs/heads/x", "would lead to refs/heads/x"),
    ],
)
def test_words(old: str, new: str, words: str) -> None:
    assert words in told(with_scope('branches = ["a"]'), move("refs/heads/main", old, new))[0]


def test_a_name_that_cannot_be_written_is_one_line() -> None:
    (message,) = told(with_scope("branches = []"), move("refs/heads/a\n\x1b[31m" + "x" * 500))
    assert message.isprintable() and len(message) < 400


@pytest.mark.parametrize("word", ["observe", "warn", "ask", "deny", "pause", "kill"])
def test_the_word_of_the_scope(word: str) -> None:
    verdict = decide(with_scope('branches = ["a"]', word), NO_STATE, move("refs/heads/main"))
    assert verdict.effect is Effect[word.upper()]
    assert verdict.matches[0].invariant.id == "scope.branches" and verdict.matches[0].invariant.use == "git switch -c a"


@pytest.mark.parametrize(
    ("branches", "use"),
    [
        ('["agent/*"]', "git switch -c agent/topic"),
        ('["refs/tags/x", "refs/heads/wip-*"]', "git switch -c wip-topic"),
        ('["*/x"]', ""),
        ("[]", ""),
    ],
)
def test_what_to_do_instead(branches: str, use: str) -> None:
    assert with_scope(f"branches = {branches}").invariants["scope.branches"].use == use


# ------------------------------------------------------------------------------------------------------ commits

ADA = CommitFacts(ONE, "Ada <ada@example.com>", "ada@example.com", (("Signed-off-by", "Ada"), ("Assisted-By", "m 7")))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ('author = "ada@example.com"', ""),
        ('author = "*@example.com"', ""),
        ('author = "Ada <*>"', ""),
        ('author = "Ada <ada@example.com>"', ""),
        ('author = "Ada"', "its author is Ada <ada@example.com>, not Ada"),
        ('author = "*@example.org"', "not *@example.org"),
        ('trailers = ["Signed-off-by"]', ""),
        ('trailers = ["signed-off-by", "assisted-by: m *"]', ""),
        ('trailers = ["Assisted-by: x"]', "it has no trailer Assisted-by: x (it says m 7)"),
        ('trailers = ["Reviewed-by"]', "it has no trailer Reviewed-by"),
        ('author = "*@example.com", trailers = ["Reviewed-by"]', "it has no trailer Reviewed-by"),
    ],
)
def test_what_a_commit_has_to_say(said: str, problem: str) -> None:
    found = told(with_scope(f"commits = {{ {said} }}"), move("refs/heads/main", commits=(ADA,)))
    assert bool(found) is bool(problem)
    assert all(
        problem in message and message.startswith(f"commit {ONE[:12]} for refs/heads/main: ") for message in found
    )


def test_nobody_is_not_anybody() -> None:
    nobody = CommitFacts(ONE, "", "")
    assert "not named" in told(with_scope('commits = { author = "?*" }'), move("refs/heads/x", commits=(nobody,)))[0]


@pytest.mark.parametrize("said", ['author = "*@example.com"', 'author = "*"', 'trailers = ["Signed-off-by"]'])
def test_an_author_that_cannot_be_told_is_none(said: str) -> None:
    unclear = ADA._replace(unclear="it has 2 author lines")
    found = told(with_scope(f"commits = {{ {said} }}"), move("refs/heads/x", commits=(unclear,)))
    assert found == [f"commit {ONE[:12]} for refs/heads/x: its author cannot be told: it has 2 author lines"]


def test_an_empty_trailer_is_none() -> None:
    empty = ADA._replace(trailers=(("Signed-off-by", ""),))
    policy = with_scope('commits = { trailers = ["Signed-off-by"] }')
    assert told(policy, move("refs/heads/x", commits=(empty,)))


def test_one_word_for_many_commits() -> None:
    policy = with_scope('branches = ["a"]\ncommits = { author = "x" }')
    found = decide(policy, NO_STATE, move("refs/heads/main", commits=(ADA, ADA)))
    assert [match.invariant.id for match in found.matches] == ["scope.branches", "scope.commits"]


def test_coverage_and_source() -> None:
    policy = with_scope('branches = ["a"]\ncommits = { author = "x" }')
    for key, line in (("branches", 6), ("commits", 7)):
        rule = policy.invariants[f"scope.{key}"]
        assert rule.coverage is Coverage.SUPERVISED and rule.note and rule.source == f"govrun.toml:{line}"
    assert with_scope('branches = ["a"]', "warn").invariants["scope.branches"].coverage is Coverage.OBSERVED


# ------------------------------------------------------------------------------------------------------- pushes


def pushed(lines: str, *refs: PushedRef, remote: str = "origin", **facts: Any) -> list[str]:
    push = Push(remote, refs, facts.pop("known", True), facts.pop("by_default", False))
    command = Command("git", "push", ("git", "push"), ("vcs-remote",), push=push, **facts)
    return ran(lines, command)


def ran(lines: str, *commands: Command) -> list[str]:
    event = ExecEvent(ACTOR, target(b"/usr/bin/git"), b"git", (b"git",), b"/", "call", commands=commands)
    return [each.message for each in decide(with_scope(lines), NO_STATE, event).matches]


AGENT = PushedRef("refs/heads/agent/x")
RULE = 'push = ["origin agent/*", "origin +agent/wip/*", "refs/tags/agent-*"]'


@pytest.mark.parametrize(
    ("ref", "problem"),
    [
        (AGENT, ""),
        (PushedRef("refs/heads/agent/*"), ""),
        (PushedRef("refs/heads/main"), "refs/heads/main is not to be pushed;"),
        (PushedRef("refs/heads/*"), "refs/heads/* is not to be pushed;"),
        (PushedRef("refs/*", True, True), "refs/* is not to be pushed;"),
        (AGENT._replace(forced=True), "refs/heads/agent/x is not to be forced;"),
        (AGENT._replace(deleted=True), "refs/heads/agent/x is not to be deleted;"),
        (AGENT._replace(forced=True, deleted=True), "not to be forced or deleted;"),
        (PushedRef("refs/heads/agent/wip/x", True, True), ""),
        (PushedRef("refs/tags/agent-1"), ""),
        (PushedRef("refs/tags/agent-1", True), "not to be forced;"),
    ],
)
def test_what_may_be_pushed(ref: PushedRef, problem: str) -> None:
    found = pushed(RULE, ref)
    assert bool(found) is bool(problem) and all(problem in message for message in found)


def test_every_ref_has_to_be_in_an_entry() -> None:
    assert pushed(RULE, AGENT, PushedRef("refs/heads/main"))
    assert "cannot be told" in pushed(RULE)[0]
    assert "cannot be told" in pushed(RULE, AGENT, known=False)[0]
    assert "cannot be told" in pushed(RULE, AGENT, by_default=True, resolved=False)[0]
    assert pushed("push = []", AGENT)[0].endswith("this scope pushes none")


def test_remotes_by_name_and_address() -> None:
    assert "to be pushed to other" in pushed(RULE, AGENT, remote="other")[0]
    assert "a remote that cannot be told" in pushed(RULE, AGENT, resolved=False)[0]
    assert not pushed('push = ["agent/*"]', AGENT, remote="other", resolved=False)
    rule = 'push = ["git@host:org/* agent/*"]'
    here, there = ("origin", "git@host:org/x"), ("origin", "git@host:else/x")
    assert not pushed(rule, AGENT, stands_for=(here,))
    assert pushed(rule, AGENT, stands_for=(here, there))
    assert pushed(rule, AGENT)


def test_a_pattern_that_is_pushed_needs_a_wider_one() -> None:
    assert pushed('push = ["agent/?"]', PushedRef("refs/heads/agent/*"))
    assert not pushed('push = ["agent/?"]', AGENT)


@pytest.mark.parametrize(
    ("proposal", "problem"),
    [
        (Proposal("open", "main", True), ""),
        (Proposal("open", "release/1", True), ""),
        (Proposal("open", "topic", True), "it is for topic, and not for main, release/*"),
        (Proposal("open", "", True), "the branch it is for is not told"),
        (Proposal("open", "main"), "it would not be a draft"),
        (Proposal("retarget", "main", True), ""),
        (Proposal("retarget", "topic", True), "it is for topic"),
        (Proposal("ready"), "it would not stay a draft"),
        (Proposal("merge"), "it would not stay a draft"),
    ],
)
def test_requests(proposal: Proposal, problem: str) -> None:
    command = Command("gh", "pr create", ("gh", "pr", "create"), ("vcs-remote",), proposals=(proposal,))
    found = ran('pull_requests = { base = ["main", "release/*"], draft = true }', command)
    assert bool(found) is bool(problem) and all(problem in message for message in found)


def test_requests_with_a_base_alone() -> None:
    def asked(proposal: Proposal) -> list[str]:
        command = Command("gh", "pr", ("gh", "pr"), ("vcs-remote",), proposals=(proposal,))
        return ran('pull_requests = { base = "main" }', command)

    assert not asked(Proposal("open", "main")) and not asked(Proposal("ready"))
    assert asked(Proposal("merge")) and asked(Proposal("open"))


@pytest.mark.parametrize(
    "line",
    [
        'branches = ["a b"]',
        'branches = ["/a"]',
        'branches = ["a..b"]',
        'push = ["a b c"]',
        'push = ["+origin agent/*"]',
        'push = ["+"]',
        'push = ["a:b"]',
        'commits = { trailers = ["Signed off by"] }',
        'commits = { trailers = [""] }',
        "pull_requests = { drafts = true }",
    ],
)
def test_what_means_nothing_is_an_error(line: str) -> None:
    with pytest.raises(ProfileError):
        with_scope(line)
