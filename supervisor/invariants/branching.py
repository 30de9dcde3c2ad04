"""``[scope] branches``, ``commits``, ``push`` and ``pull_requests``: which refs may move here, what the commits must
say that they then lead to, what may be pushed, and which requests to take it over may be opened.

A pattern of ``branches`` speaks of a branch (``agent/*``) or, written in full, of any ref (``refs/tags/agent-*``), and
``*`` stands for anything, slashes too. What git notes down for itself is free (stash, bisect, rebase), and so are
remote-tracking refs and tags that a fetch brings.

A pattern of ``commits.author`` is compared with ``NAME <ADDRESS>`` and with the address alone. A trailer is a key, or a
key with a pattern for its value: ``Signed-off-by``, ``Assisted-by: *``.

An entry of ``push`` is a pattern of refs as those of ``branches``, with the remote (by its name or its address) and a
space before it where it is for that one only. A ``+`` before the pattern lets refs be forced and deleted too. Every ref
that a push would change must be in an entry; where they, or the remote that an entry asks for, cannot be told, none is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from supervisor.invariants.gitdir import NOTEBOOK
from supervisor.profile.model import Entry, Scope
from supervisor.vocabulary.commands import Command, Proposal, Push, PushedRef
from supervisor.vocabulary.events import CommitFacts, ExecEvent, RefEvent
from supervisor.vocabulary.verdicts import Match

if TYPE_CHECKING:
    from supervisor.invariants.policy import CompiledPolicy

BRANCHES, COMMITS = "scope.branches", "scope.commits"
PUSH, REQUESTS = "scope.push", "scope.pull_requests"
_EXCHANGED = ("refs/remotes/", "refs/tags/")
_TOLD = 4
_LONGEST = 120
_PLAIN = re.compile(r"[\w./-]+\*?")


class CommitRule(NamedTuple):
    """``author``: a pattern, empty for anybody. ``trailers``: (key in small letters, pattern of its value, as
    written)."""

    author: str
    trailers: tuple[tuple[str, str, str], ...]
    source: str


class PushEntry(NamedTuple):
    """``remote``: a pattern of names and addresses, empty for any; ``refs``: a full name with ``*``."""

    remote: str
    refs: str
    forced: bool


class PushRule(NamedTuple):
    entries: tuple[PushEntry, ...]
    shown: str
    source: str


class RequestRule(NamedTuple):
    """``base``: patterns of branches, empty for any; ``draft``: nothing but drafts."""

    base: tuple[str, ...]
    draft: bool
    source: str


class BranchRules(NamedTuple):
    """``branches``: full names with ``*``, None where every ref may move."""

    branches: tuple[str, ...] | None = None
    shown: str = ""
    source: str = ""
    commits: CommitRule | None = None
    push: PushRule | None = None
    requests: RequestRule | None = None

    def __bool__(self) -> bool:
        return self.judges_refs or self.judges_commands

    def moves(self, ref: str) -> bool:
        """Whether ``branches`` has the ref."""
        return self.branches is None or any(fnmatchcase(ref, pattern) for pattern in self.branches)

    @property
    def judges_refs(self) -> bool:
        return self.branches is not None or self.commits is not None

    @property
    def judges_commands(self) -> bool:
        return self.push is not None or self.requests is not None


# ------------------------------------------------------------------------------------------------- compilation


def compile_branching(scope: Scope) -> BranchRules:
    """The keys of a merged scope; each counts where a layer sets it."""
    sources = scope.sources
    branches, shown, source = None, "", ""
    if "branches" in sources:
        branches = tuple(_in_full(entry.value) for entry in scope.branches)
        shown = _listed(scope.branches)
        source = scope.branches[0].source if scope.branches else sources["branches"]
    commits = None
    if "commits" in sources:
        said = scope.commits
        trailers = said.get("trailers")
        commits = CommitRule(
            str(said.get("author") or ""),
            tuple(map(_trailer, trailers)) if isinstance(trailers, tuple) else (),
            sources["commits"],
        )
    return BranchRules(branches, shown, source, commits, _push_rule(scope), _request_rule(scope))


def _push_rule(scope: Scope) -> PushRule | None:
    if "push" not in scope.sources:
        return None
    source = scope.push[0].source if scope.push else scope.sources["push"]
    return PushRule(tuple(_push_entry(entry.value) for entry in scope.push), _listed(scope.push), source)


def _push_entry(text: str) -> PushEntry:
    *remote, refs = text.split()
    return PushEntry("".join(remote), _in_full(refs.removeprefix("+")), refs.startswith("+"))


def _request_rule(scope: Scope) -> RequestRule | None:
    if "pull_requests" not in scope.sources:
        return None
    base = scope.pull_requests.get("base")
    draft = scope.pull_requests.get("draft") is True
    return RequestRule(tuple(base) if isinstance(base, tuple) else (), draft, scope.sources["pull_requests"])


def _in_full(pattern: str) -> str:
    return pattern if pattern.startswith("refs/") else f"refs/heads/{pattern}"


def _listed(entries: tuple[Entry, ...]) -> str:
    told = ", ".join(entry.value for entry in entries[:_TOLD])
    more = f", and {len(entries) - _TOLD} more" if len(entries) > _TOLD else ""
    return _cut(told) + more if entries else "none"


def _trailer(text: str) -> tuple[str, str, str]:
    key, colon, value = text.partition(":")
    return key.strip().lower(), (value.strip() or "*") if colon else "*", text.strip()


class Described(NamedTuple):
    """What a key comes to: how it is judged, why it is there, and what to do instead. ``at_exec``: by what starts,
    else by the refs of the repository."""

    key: str
    note: str
    why: str
    use: str
    at_exec: bool = False


def describe(scope: Scope) -> Iterator[Described]:
    """The keys that are set."""
    if "branches" in scope.sources:
        note = "every ref, at the rename of git's lock file or its removal; HEAD may lead anywhere"
        yield Described("branches", note, "other branches are other people's", _branch_to_use(scope.branches))
    if "commits" in scope.sources:
        rule = compile_branching(scope).commits
        assert rule is not None
        note = "every commit that a ref would lead to and none did at the start"
        yield Described("commits", note, "who made a commit, and how, is read from it", _commit_to_use(rule))
    if "push" in scope.sources:
        yield Described(
            "push", f"git push, {_EXEC}", "what is pushed is there for others", _push_to_use(scope.push), True
        )
    if "pull_requests" in scope.sources:
        note = f"gh, glab, hub, tea and options of git push, {_EXEC}"
        asked = _request_rule(scope)
        assert asked is not None
        yield Described("pull_requests", note, "requests take up people's time", _request_to_use(asked), True)


_EXEC = "at the exec; what speaks to a forge by itself is seen by its connections only"


def _push_to_use(entries: tuple[Entry, ...]) -> str:
    for entry in entries:
        *remote, name = entry.value.replace("+", "").split()
        branch = name.removeprefix("refs/heads/")
        if not branch.startswith("refs/") and _PLAIN.fullmatch(branch):
            where = (
                "".join(remote) if remote and _PLAIN.fullmatch("".join(remote)) and "*" not in remote[0] else "origin"
            )
            return f"git push {where} {branch.removesuffix('*')}{'topic' if branch.endswith('*') else ''}"
    return ""


def _request_to_use(rule: RequestRule) -> str:
    base = next((each for each in rule.base if _PLAIN.fullmatch(each) and "*" not in each), "")
    words = (["--draft"] if rule.draft else []) + ([f"--base {base}"] if base else [])
    return f"gh pr create {' '.join(words)}" if words else ""


def _branch_to_use(entries: tuple[Entry, ...]) -> str:
    for entry in entries:
        name = entry.value.removeprefix("refs/heads/")
        if not name.startswith("refs/") and _PLAIN.fullmatch(name):
            return f"git switch -c {name.removesuffix('*')}{'topic' if name.endswith('*') else ''}"
    return ""


def _commit_to_use(rule: CommitRule) -> str:
    words = []
    if rule.author and not any(sign in rule.author for sign in "*?["):
        words.append(f"--author='{rule.author}'" if "<" in rule.author else "")
    for key, value, _ in rule.trailers:
        words.append("-s" if key == "signed-off-by" and value == "*" else f"--trailer '{key.capitalize()}: …'")
    said = " ".join(dict.fromkeys(filter(None, words)))
    return f"git commit --amend {said or '--reset-author, with the identity that is asked for'}"


# --------------------------------------------------------------------------------------------------- judgement


def is_free(event: RefEvent) -> bool:
    """Whether the ref is git's own notebook: the heads of work trees, and what commands leave for their next step."""
    return not event.ref.startswith("refs/") or event.ref.startswith(NOTEBOOK)


def judge_ref(policy: CompiledPolicy, event: RefEvent) -> Iterator[Match]:
    """What the move of a ref breaks, before it happens."""
    rules = policy.branching
    if not event.landing:
        return
    if not _may_move(rules, event):
        rule, effect = policy.rule(BRANCHES, rules.source)
        yield Match(rule, effect, f"{_cut(event.ref)} would {_how(event)}; this scope moves {rules.shown}")
    if rules.commits is not None:
        for commit in event.commits:
            problem = _wrong(rules.commits, commit)
            if problem:
                rule, effect = policy.rule(COMMITS, rules.commits.source)
                yield Match(rule, effect, f"commit {commit.id[:12]} for {_cut(event.ref)}: {problem}")
                return


def _may_move(rules: BranchRules, event: RefEvent) -> bool:
    free = is_free(event) or (event.fetched and event.ref.startswith(_EXCHANGED))
    return free or rules.moves(event.ref)


def _how(event: RefEvent) -> str:
    if not event.new:
        return f"be deleted (it is at {event.old[:12]})"
    new = f"lead to {event.new[5:]}" if event.new.startswith("ref: ") else event.new[:12]
    if event.new.startswith("ref: "):
        return _cut(new)
    return f"move from {event.old[:12]} to {new}" if event.old else f"be made, at {new}"


def _wrong(rule: CommitRule, commit: CommitFacts) -> str:
    """What the commit says wrongly, or fails to say; empty where it is as asked."""
    if commit.unclear:
        return f"its author cannot be told: {_cut(commit.unclear)}"
    if rule.author and not any(fnmatchcase(said, rule.author) for said in (commit.author, commit.address)):
        return f"its author is {_cut(commit.author) or 'not named'}, not {_cut(rule.author)}"
    for key, pattern, text in rule.trailers:
        values = [value for name, value in commit.trailers if name.lower() == key]
        if not any(value and fnmatchcase(value, pattern) for value in values):
            said = f" (it says {_cut(values[0])})" if values else ""
            return f"it has no trailer {_cut(text)}{said}"
    return ""


# ----------------------------------------------------------------------------------------------------- commands


def judge_exec(policy: CompiledPolicy, event: ExecEvent) -> Iterator[Match]:
    """What the commands of an exec would push, or do about pull requests, that is not allowed."""
    rules = policy.branching
    for command in event.commands:
        if rules.push is not None and command.push is not None:
            problem = _pushes(rules.push, command, command.push)
            if problem:
                rule, effect = policy.rule(PUSH, rules.push.source)
                yield Match(rule, effect, f"{_called(command)}: {problem}; this scope pushes {rules.push.shown}")
        if rules.requests is not None:
            for proposal in command.proposals:
                problem = _proposes(rules.requests, proposal)
                if problem:
                    rule, effect = policy.rule(REQUESTS, rules.requests.source)
                    yield Match(rule, effect, f"{_called(command)}: {problem}")


def _called(command: Command) -> str:
    return _cut(f"{command.tool} {command.verb}".strip())


def _pushes(rule: PushRule, command: Command, push: Push) -> str:
    """In words, what of a push no entry has; empty where all is allowed."""
    if not push.refs_known or not push.refs or (push.by_default and not command.resolved):
        return "what it would push cannot be told; refs that are written out, in full, can"
    names = [push.remote, *(address for name, address in command.stands_for if name == push.remote)]
    for ref in push.refs:
        entries = [entry for entry in rule.entries if _covers(entry.refs, ref.name)]
        if not entries:
            return f"{_cut(ref.name)} is not to be pushed"
        near = [entry for entry in entries if _is_there(entry.remote, names, known=command.resolved)]
        if not near:
            there = _cut(push.remote) if command.resolved else "a remote that cannot be told"
            return f"{_cut(ref.name)} is not to be pushed to {there or 'it'}"
        if (ref.forced or ref.deleted) and not any(entry.forced for entry in near):
            return f"{_cut(ref.name)} is not to be {_harm(ref)}"
    return ""


def _harm(ref: PushedRef) -> str:
    return "forced or deleted" if ref.forced and ref.deleted else "deleted" if ref.deleted else "forced"


def _covers(pattern: str, name: str) -> bool:
    """Whether the pattern has every ref that the name, which may hold a ``*``, stands for."""
    if "*" in name and any(sign in pattern for sign in "?["):
        return False
    return fnmatchcase(name, pattern)


def _is_there(pattern: str, names: list[str], *, known: bool) -> bool:
    """Whether the remote is the one that an entry is for: by its name, or by every address of it."""
    if not pattern:
        return True
    name, *addresses = names
    if not known or not name:
        return False
    return fnmatchcase(name, pattern) or (bool(addresses) and all(fnmatchcase(each, pattern) for each in addresses))


def _proposes(rule: RequestRule, proposal: Proposal) -> str:
    """In words, what is wrong with it; empty where it is as asked."""
    if proposal.act in ("merge", "ready") and rule.draft:
        return "it would not stay a draft"
    if proposal.act == "open" and rule.draft and not proposal.draft:
        return "it would not be a draft"
    if not rule.base or proposal.act == "ready":
        return ""
    if not proposal.base:
        return f"the branch it is for is not told, and has to be {_cut(', '.join(rule.base))}"
    if any(fnmatchcase(proposal.base, pattern.removeprefix("refs/heads/")) for pattern in rule.base):
        return ""
    return f"it is for {_cut(proposal.base)}, and not for {_cut(', '.join(rule.base))}"


def _cut(text: str) -> str:
    """One line that can be written."""
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in short)
