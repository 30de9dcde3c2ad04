"""Which names a run may change: zones, moved directories, links, spelling, devices."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.invariants.globs import Globs
from supervisor.invariants.places import Zone, locate
from supervisor.invariants.policy import CompiledPolicy, Grant
from supervisor.profile.model import Entry
from supervisor.vocabulary.events import FsEvent, FsOp, Kind
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import (
    AGENT,
    AGENT_FILE,
    CACHE,
    HOME,
    STATE,
    TREE,
    create,
    effect,
    fs,
    label,
    link,
    meta,
    place,
    policy_of,
    rename,
    ruling,
    unlink,
    verdict,
    write,
)

CI = b".github/workflows/ci.yml"
SCOPED = 'version = 1\n[scope]\nwhy = "w"\nwrite = ["src/**", "/docs/*.md", "tests/"]\nprotect = ["src/keep/**"]\n'

# ------------------------------------------------------------------------------------------------------- zones

ZONES: list[tuple[bytes, Zone, bytes]] = [
    (b"", Zone.TREE, b""),
    (b"src/a", Zone.TREE, b"src/a"),
    (b"a\nb\xff", Zone.TREE, b"a\nb\xff"),
    (TREE + b"2/a", Zone.OUTSIDE, b"w/tree2/a"),
    (TREE[:-1], Zone.OUTSIDE, b"w/tre"),
    (b"/", Zone.OUTSIDE, b""),
    (b".git", Zone.GIT, b""),
    (b".git/refs/heads/x", Zone.GIT, b"refs/heads/x"),
    (b".github/x", Zone.TREE, b".github/x"),
    (b".gitignore", Zone.TREE, b".gitignore"),
    (b"x.git/y", Zone.TREE, b"x.git/y"),
    (b"sub/.git/config", Zone.GIT, b"config"),
    (b"sub/.gitmodules", Zone.TREE, b"sub/.gitmodules"),
    (STATE, Zone.STATE, b""),
    (STATE + b"/runs/1/journal.jsonl", Zone.STATE, b"runs/1/journal.jsonl"),
    (STATE + b"2", Zone.OUTSIDE, (STATE + b"2")[1:]),
    (HOME + b"/.ssh", Zone.HIDDEN, b""),
    (HOME + b"/.ssh/id", Zone.HIDDEN, b"id"),
    (HOME + b"/.ssh2/id", Zone.OUTSIDE, (HOME + b"/.ssh2/id")[1:]),
    (CACHE + b"/pip/x", Zone.GRANTED, b"pip/x"),
    (AGENT_FILE, Zone.GRANTED, b""),
    (AGENT_FILE + b"/x", Zone.OUTSIDE, (AGENT_FILE + b"/x")[1:]),
    (b"/tmp/x", Zone.TEMP, b"x"),
    (b"/tmp", Zone.TEMP, b""),
    (b"/tmpx", Zone.OUTSIDE, b"tmpx"),
    (b"/var/tmp/x", Zone.TEMP, b"x"),
    (b"/etc/passwd", Zone.OUTSIDE, b"etc/passwd"),
]


@pytest.mark.parametrize(("path", "zone", "relative"), ZONES)
def test_where_a_path_lies(path: bytes, zone: Zone, relative: bytes) -> None:
    found = locate(policy_of(), place(path))
    assert (found.zone, found.relative) == (zone, relative)


def test_a_file_is_granted_with_the_names_that_programs_replace_it_by() -> None:
    policy = policy_of(grants=(Grant(AGENT_FILE, "pack:agents/x", folder=False, beside=True),))
    for free in (AGENT_FILE, AGENT_FILE + b".lock", AGENT_FILE + b".tmp.1.ab"):
        assert ruling(policy, create(free)) == "", free
    for other in (AGENT_FILE + b"x", AGENT_FILE + b".d/x", AGENT_FILE + b"/x", HOME + b"/.agent", HOME + b"/.bashrc"):
        assert ruling(policy, create(other)) == "scope.write", other
    assert ruling(policy, rename(AGENT_FILE + b".tmp", AGENT_FILE, onto=Kind.FILE)) == ""
    assert ruling(policy, rename(AGENT_FILE + b".tmp", HOME + b"/.bashrc")) == "scope.write"


def test_in_an_agents_own_folder_only_what_the_run_made_is_its_to_change() -> None:
    """Sessions beside the run source or obey what they put there."""
    own = AGENT + b"/own"
    policy = policy_of(temp=(b"/tmp", own), grants=())
    assert ruling(policy, create(own + b"/1.sh")) == ""
    assert ruling(policy, write(own + b"/1.sh", made=True)) == ""
    assert ruling(policy, write(own + b"/2.sh")) == "scope.write"
    assert ruling(policy, rename(own + b"/1.sh", own + b"/2.sh", onto=Kind.FILE, made=True)) == "scope.write"
    assert ruling(policy, create(own + b"/theirs/x")) == "scope.write"
    assert ruling(policy, unlink(own, Kind.DIR)) == "scope.write"
    assert ruling(policy, meta(own, Kind.DIR, mode=0o700)._replace(call="chmod")) == ""
    assert ruling(policy, meta(own, Kind.DIR, mode=0o777)._replace(call="chmod")) == "scope.write"
    assert ruling(policy, meta(b"/tmp", Kind.DIR, mode=0o700)._replace(call="chmod")) == "scope.write"


def test_of_a_new_name_in_temporary_space_its_folder_was_there() -> None:
    policy = policy_of()
    (new,) = verdict(policy, create(b"/tmp/theirs/new")).matches
    assert new.message == "/tmp/theirs/new: its folder /tmp/theirs was there before this run"
    assert "$TMPDIR" in new.invariant.use
    (old,) = verdict(policy, write(b"/tmp/theirs/old")).matches
    assert old.message == "/tmp/theirs/old was there before this run"


def test_hidden_and_state_folders_inside_a_grant_stay_closed() -> None:
    policy = policy_of()
    grant = policy.grants[0]._replace(path=HOME)
    wide = policy._replace(grants=(grant,))
    assert ruling(wide, write(HOME + b"/x")) == ""
    assert ruling(wide, write(HOME + b"/.ssh/id")) == "scope.hide"
    assert ruling(wide, write(STATE + b"/x")) == "govrun.state"


PROGRAMS = Globs([Entry("/config.toml", "pack:agents/x"), Entry("/plugins/**", "pack:agents/x")])


def agent_policy() -> CompiledPolicy:
    """The agent's folder holds files that the agent program runs later."""
    policy = policy_of(grants=(Grant(AGENT, "pack:agents/x", True, PROGRAMS, PROGRAMS.leads()),))
    assert policy.invariants["govrun.agent"].use
    return policy


@pytest.mark.parametrize(
    ("act", "rule"),
    [
        (write(AGENT + b"/history"), ""),
        (write(AGENT + b"/sub/config.toml"), ""),
        (write(AGENT + b"/config.toml"), "govrun.agent"),
        (create(AGENT + b"/config.toml"), "govrun.agent"),
        (unlink(AGENT + b"/config.toml"), "govrun.agent"),
        (meta(AGENT + b"/config.toml"), "govrun.agent"),
        (create(AGENT + b"/plugins", Kind.DIR), ""),
        (create(AGENT + b"/plugins/a/b.js"), "govrun.agent"),
        (create(AGENT + b"/plugins", Kind.LINK), "govrun.agent"),
        (create(AGENT + b"/other", Kind.LINK), ""),
        (rename(AGENT + b"/new", AGENT + b"/config.toml"), "govrun.agent"),
        (rename(AGENT + b"/config.toml", b"src/a"), "govrun.agent"),
        (rename(AGENT + b"/mine", AGENT + b"/plugins", Kind.DIR, beneath=(b"a.js",)), "govrun.agent"),
        (rename(AGENT + b"/plugins", AGENT + b"/gone", Kind.DIR, beneath=(b"a.js",)), "govrun.agent"),
    ],
)
def test_what_an_agent_program_would_run_later(act: FsEvent, rule: str) -> None:
    assert ruling(agent_policy(), act) == rule


def test_what_an_agent_program_would_run_later_in_a_tree_that_holds_it() -> None:
    odd = TREE + b"/h*me/.x"
    policy = policy_of(grants=(Grant(odd, "pack:agents/x", True, PROGRAMS, PROGRAMS.leads()),))
    assert ruling(policy, write(odd + b"/plugins/a")) == "scope.protect"
    assert ruling(policy, write(odd + b"/history")) == ""
    assert ruling(policy, write(TREE + b"/hume/.x/plugins/a")) == ""


def test_a_hidden_folder_in_temporary_space_is_hidden_and_a_tree_there_is_a_tree() -> None:
    policy = policy_of()
    assert locate(policy._replace(hide=(b"/tmp/secret",)), b"/tmp/secret/x").zone is Zone.HIDDEN
    assert locate(policy._replace(tree=b"/tmp/t", git=None), b"/tmp/t/x").zone is Zone.TREE


# -------------------------------------------------------------------------------------- one name, one verdict

ONE_NAME: list[tuple[Any, str]] = [
    (create(b"src/a"), ""),
    (write(b"src/a"), ""),
    (unlink(b"src/a"), ""),
    (meta(b"", Kind.DIR), ""),
    (unlink(b"", Kind.DIR), "scope.write"),
    (create(b"govrun.toml"), "govrun.policy"),
    (unlink(b"govrun.toml"), "govrun.policy"),
    (meta(b"govrun.toml"), "govrun.policy"),
    (create(b"deep/er/govrun.toml"), "govrun.policy"),
    (create(b"govrun.toml.proposed"), ""),
    (create(b"GOVRUN.TOML"), ""),  # another name on a case-sensitive file system
    (write(CI), "scope.protect"),
    (unlink(CI), "scope.protect"),
    (create(b".github/workflows/a\nb"), "scope.protect"),
    (create(b".github/workflows/\xff\xfe"), "scope.protect"),
    (create(b".GITHUB/workflows/x"), ""),
    (create(b"sub/.github/workflows/x"), ""),
    (create(b"a/b/.claude/settings.json"), "scope.protect"),
    (create(b"a/b/.claude/settings.json5"), ""),
    (create(b"a\n/.envrc"), "scope.protect"),
    (create(b".envrc", ignored=True), "scope.protect"),
    (create(HOME + b"/.bashrc"), "scope.write"),
    (meta(b"/etc/passwd"), "scope.write"),
    (write(CACHE + b"/pip/x"), ""),
    (unlink(CACHE + b"/pip", Kind.DIR), ""),
    (unlink(CACHE, Kind.DIR), "scope.write"),
    (unlink(AGENT_FILE), ""),
    (write(AGENT + b"/history"), ""),
    (write(AGENT + b"/.env"), "scope.protect"),
    (create(AGENT + b"/sub/.env"), ""),
    # Temporary space: names the run made, and new names directly in it.
    (create(b"/tmp/x"), ""),
    (create(b"/tmp/x/y"), "scope.write"),
    (create(b"/tmp/x/y", made=True), ""),
    (write(b"/tmp/x"), "scope.write"),
    (write(b"/tmp/x", made=True), ""),
    (unlink(b"/tmp/x"), "scope.write"),
    (unlink(b"/tmp/x", made=True), ""),
    (meta(b"/tmp/x"), "scope.write"),
    (meta(b"/tmp", Kind.DIR), "scope.write"),
    (create(b"/tmp/l", Kind.LINK), ""),
    (create(b"/tmp/p", Kind.FIFO), ""),
    # Inodes without a name harm nobody; a device does.
    (write(b"/etc/gone", unlinked=True), ""),
    (write(b"/dev/null", Kind.CHAR), ""),
    (write(b"/dev/ptmx", Kind.CHAR), ""),
    (write(b"/dev/pts/3", Kind.CHAR), "scope.write"),  # somebody else's terminal
    (write(b"/dev/pts/3", Kind.CHAR, made=True), ""),
    (write(b"/dev/pts/3", Kind.CHAR, given=True), ""),
    (write(b"/dev/ptsx", Kind.CHAR), "scope.write"),
    (write(b"/dev/mem", Kind.CHAR), "scope.write"),
    (write(b"dev/null", Kind.CHAR), "scope.write"),
    (meta(b"/dev/null", Kind.CHAR), "scope.write"),
    (unlink(b"/dev/null", Kind.CHAR), "scope.write"),
    (write(b"/dev/sda", Kind.BLOCK), "scope.write"),
    (write(b"/dev/tty", Kind.BLOCK), "scope.write"),
    (write(b"blockdevice", Kind.BLOCK), "scope.write"),
    # Set-user-id programs outlive the run with more than its rights.
    (create(b"src/a", mode=0o4755), "govrun.path"),
    (meta(b"src/a", mode=0o4755), "govrun.path"),
    (meta(b"/tmp/a", made=True, mode=0o6711), "govrun.path"),
    (meta(b"src", Kind.DIR, mode=0o4755), ""),
    (create(b"src/d", Kind.DIR, mode=0o2755), ""),
    (meta(b"src/a", mode=0o755), ""),
]


@pytest.mark.parametrize(("event", "invariant"), ONE_NAME, ids=label)
def test_one_name(event: Any, invariant: str) -> None:
    assert ruling(policy_of(), event) == invariant


SCOPED_NAMES: list[tuple[Any, bool]] = [
    (create(b"src/x"), True),
    (create(b"src/deep/er/x"), True),
    (create(b"src", Kind.DIR), True),
    (unlink(b"src", Kind.DIR), True),
    (create(b"srcs/x"), False),
    (create(b"sub/src/x"), False),  # a slash inside anchors at the root
    (create(b"sub/tests/x"), True),  # none but the last matches at any depth
    (create(b"tests", Kind.FILE), False),  # a pattern with a final slash is a directory
    (create(b"tests", Kind.DIR), True),
    (create(b"docs/a.md"), True),
    (create(b"docs/sub/a.md"), False),
    (create(b"docs", Kind.DIR), True),
    (create(b"docs", Kind.FILE), False),
    (create(b"docs", Kind.LINK), False),
    (create(b"src/keep/x"), False),
    (create(b"src/keep2"), True),
    (create(b"top"), False),
    (create(b"build/x", ignored=True), True),
    (meta(b"", Kind.DIR), True),
    (create(b"SRC/x"), False),
]


@pytest.mark.parametrize(("event", "allowed"), SCOPED_NAMES, ids=label)
def test_write_patterns(event: Any, allowed: bool) -> None:
    assert (ruling(policy_of(SCOPED), event) == "") is allowed


@pytest.mark.parametrize(
    ("profile", "path", "told"),
    [
        ("", HOME + b"/out/x", 'write = ["**", "~/out/**"] of govrun.toml permits more'),
        (SCOPED, HOME + b"/out/x", 'a further pattern such as "~/out/**" in write of govrun.toml'),
        ("", b"/etc/passwd", ""),
        ("", b"/tmp/others/x", ""),
        (SCOPED, b"top.py", "add a pattern for that path to write"),
        (SCOPED.replace("protect", 'use = "ask Ada"\nprotect'), b"top.py", "ask Ada"),
    ],
)
def test_what_a_refusal_says_to_do(profile: str, path: bytes, told: str) -> None:
    """Only what can be granted is proposed: the tree, and folders of the home folder."""
    use = verdict(policy_of(profile or "version = 1\n"), write(path)).matches[0].invariant.use
    assert told in use and bool(told) == bool(use)


def test_an_empty_write_list_allows_nothing_in_the_tree() -> None:
    policy = policy_of('version = 1\n[scope]\nwhy = "w"\nwrite = []\n')
    assert ruling(policy, create(b"x")) == "scope.write"
    assert ruling(policy, create(b"/tmp/x")) == ""


def test_ignored_files_escape_the_write_list_but_not_protection() -> None:
    policy = policy_of(SCOPED)
    assert ruling(policy, create(b"src/keep/x", ignored=True)) == "scope.protect"
    assert ruling(policy, create(b"govrun.toml", ignored=True)) == "govrun.policy"


def test_the_code_that_supervises_is_out_of_reach() -> None:
    policy = policy_of(code=(TREE + b"/supervisor",))
    assert ruling(policy, write(b"supervisor/decide.py")) == "govrun.code"
    assert ruling(policy, unlink(b"supervisor", Kind.DIR)) == "govrun.code"
    assert ruling(policy, write(b"supervisor2/x")) == ""


def test_outside_the_tree_the_strictest_word_of_the_scope_counts() -> None:
    policy = policy_of('version = 1\n[scope]\nwhy = "w"\nthen = "kill"\n')
    assert effect(policy, write(b"/etc/passwd")) is Effect.KILL


# --------------------------------------------------------------------------------------- two names, many names

MOVES: list[tuple[Any, str]] = [
    (rename(b"a", b"b"), ""),
    (rename(b"a", CI), "scope.protect"),
    (rename(b"a", CI, onto=Kind.FILE), "scope.protect"),
    (rename(CI, b"b"), "scope.protect"),
    (rename(b"a", b"govrun.toml", onto=Kind.FILE), "govrun.policy"),
    (rename(b"a", b"/etc/passwd"), "scope.write"),
    (rename(b"/etc/passwd", b"a"), "scope.write"),
    (rename(HOME + b"/.ssh", b"a", Kind.DIR), "scope.hide"),
    (rename(b"a", HOME + b"/.ssh/x"), "scope.hide"),
    (rename(b"", b"/tmp/t", Kind.DIR), "scope.write"),
    # Directories: every name beneath, under the old and under the new name.
    (rename(b".github", b"x", Kind.DIR, beneath=(b"workflows", b"workflows/ci.yml")), "scope.protect"),
    (rename(b"x", b".github", Kind.DIR, beneath=(b"workflows", b"workflows/ci.yml")), "scope.protect"),
    (rename(b"x", b".github", Kind.DIR, beneath=(b"README.md",)), ""),
    (rename(b"x", b"y", Kind.DIR, beneath=(b"a", b"b/govrun.toml")), "govrun.policy"),
    (rename(b"x", b"y", Kind.DIR, beneath=None), "govrun.path"),
    (rename(b"x", b"y", Kind.DIR, onto=Kind.DIR, beneath=()), ""),
    (rename(b"x", b".github/workflows", Kind.DIR, onto=Kind.DIR), "scope.protect"),
    # Exchange: both trees get the other's name.
    (rename(b"a", b"b", onto=Kind.FILE, exchange=True), ""),
    (rename(b"a", CI, onto=Kind.FILE, exchange=True), "scope.protect"),
    (rename(CI, b"a", onto=Kind.FILE, exchange=True), "scope.protect"),
    (
        rename(b"x", b".github", Kind.DIR, Kind.DIR, exchange=True, beneath_other=(b"workflows/ci.yml",)),
        "scope.protect",
    ),
    (rename(b".github", b"x", Kind.DIR, Kind.DIR, exchange=True, beneath_other=(b"workflows/new",)), "scope.protect"),
    (rename(b"x", b"y", Kind.DIR, Kind.DIR, exchange=True, beneath_other=None), "govrun.path"),
    (rename(b"a", b"/etc/passwd", onto=Kind.FILE, exchange=True), "scope.write"),
    # Temporary space.
    (rename(b"a", b"/tmp/new"), ""),
    (rename(b"a", b"/tmp/theirs", onto=Kind.FILE), "scope.write"),
    (rename(b"/tmp/theirs", b"a"), "scope.write"),
    (rename(b"/tmp/mine", b"a", made=True), ""),
    (rename(b"/tmp/mine", b"a", Kind.DIR, made=True, beneath=(b"x",)), ""),
    (rename(b"d", b"/tmp/new", Kind.DIR, beneath=(b"x", b"x/y")), ""),
    (rename(b"d", b"/tmp/theirs", Kind.DIR, Kind.DIR, beneath=(b"x",)), "scope.write"),
    # Protected files in a granted folder.
    (rename(AGENT + b"/x", AGENT + b"/.env"), "scope.protect"),
    (rename(AGENT, b"/tmp/a", Kind.DIR), "scope.write"),
    # Hard links: two names for one content.
    (link(b"a", b"b"), ""),
    (link(CI, b"b"), "scope.protect"),
    (link(b"a", CI), "scope.protect"),
    (link(b"/etc/passwd", b"b"), "scope.write"),
    (link(b"a", b"/etc/cron.d/x"), "scope.write"),
    (link(b"/tmp/theirs", b"/tmp/mine"), "scope.write"),
    (link(b"/tmp/mine", b"b", made=True), ""),
    (link(b"/tmp/#1", b"b", unlinked=True), ""),
    (link(b"/tmp/#1", CI, unlinked=True), "scope.protect"),
    (link(HOME + b"/.ssh/id", b"b"), "scope.hide"),
]


@pytest.mark.parametrize(("event", "invariant"), MOVES, ids=label)
def test_two_names(event: Any, invariant: str) -> None:
    assert ruling(policy_of(), event) == invariant


BECOMES_LINK: list[Any] = [
    create(b".github", Kind.LINK),
    rename(b"x", b".github", Kind.LINK),
    rename(b"x", b".github", Kind.LINK, Kind.LINK),
    rename(b".github", b"x", Kind.DIR, Kind.LINK, exchange=True),
    rename(b"x", b".github", Kind.LINK, Kind.DIR, exchange=True),
    link(b"x", b".github", Kind.LINK),
    create(b".github/workflows", Kind.LINK),
]


@pytest.mark.parametrize("event", BECOMES_LINK, ids=label)
def test_a_folder_on_the_way_to_protected_files_never_becomes_a_link(event: Any) -> None:
    assert ruling(policy_of(), event) == "scope.protect"


DEEP_LINKS: list[Any] = [
    create(b".claude", Kind.LINK),
    create(b"sub/.claude", Kind.LINK),
    create(b"a/.claude/hooks", Kind.LINK),
    create(b".devcontainer", Kind.LINK),
    rename(b"x", b"sub/.vscode", Kind.LINK),
]


@pytest.mark.parametrize("event", DEEP_LINKS, ids=label)
def test_nor_does_one_that_a_pattern_names_at_any_depth(event: Any) -> None:
    """``ln -s mine .claude`` would make mine/settings.json the protected .claude/settings.json."""
    assert ruling(policy_of(), event) == "scope.protect"


def test_links_elsewhere_are_free() -> None:
    policy = policy_of()
    for path in (b"node_modules/.bin/x", b"src", b"latest", b"sub/.github", b"github"):
        assert ruling(policy, create(path, Kind.LINK)) == ""
    assert ruling(policy, create(b".github", Kind.DIR)) == ""


def test_profile_patterns_have_ancestors_too() -> None:
    policy = policy_of('version = 1\n[scope]\nwhy = "w"\nprotect = ["a/b/c*/x", "/d/e"]\n')
    assert ruling(policy, create(b"a", Kind.LINK)) == "scope.protect"
    assert ruling(policy, create(b"a/b", Kind.LINK)) == "scope.protect"
    assert ruling(policy, create(b"d", Kind.LINK)) == "scope.protect"
    assert ruling(policy, create(b"b", Kind.LINK)) == ""


@pytest.mark.parametrize("op", [op for op in FsOp if op is not FsOp.READ])
def test_no_kind_of_change_reaches_another_zone(op: FsOp) -> None:
    for path in (STATE + b"/runs/x", HOME + b"/.aws/credentials", b"/etc/shadow", b"/w", b"/"):
        event = fs(op, path)._replace(other=None)
        assert verdict(policy_of(), event).effect >= Effect.DENY


def test_a_file_handed_in_by_the_user_may_be_written_and_nothing_else() -> None:
    """``govrun -- make > /var/log/build``: what the user opened for the run is the user's word."""
    policy = policy_of()
    assert ruling(policy, write(b"/var/log/build", given=True)) == ""
    for event in (unlink(b"/var/log/build", given=True), meta(b"/var/log/build", given=True)):
        assert ruling(policy, event) == "scope.write"
    assert ruling(policy, rename(b"/var/log/build", b"x")._replace(target=place_given())) == "scope.write"


def place_given() -> Any:
    return write(b"/var/log/build", given=True).target


def test_messages_name_the_path_without_its_raw_bytes() -> None:
    message = verdict(policy_of(), write(b"/etc/\xff")).matches[0].message
    assert message == "/etc/\\xff is outside the write scope"
