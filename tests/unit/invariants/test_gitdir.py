"""What of a git directory may change: everything git does, nothing that git would run or trust.

The paths of OPERATIONS are what git 2.39 was seen to write (strace), object names shortened.
"""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.invariants.gitdir import is_record
from supervisor.invariants.policy import GitDir
from supervisor.vocabulary.events import ConfigChange, FsEvent, FsOp, GitConfigEvent, Kind
from tests.property.world import (
    ACTOR,
    TREE,
    config,
    create,
    label,
    link,
    meta,
    policy_of,
    rename,
    ruling,
    target,
    unlink,
    write,
)

HEX = "0123456789abcdef0123456789abcdef01234567"
# "verb name [new name]": + mkdir, c create, w write, r rename, u unlink, - rmdir, l link, s symlink, m chmod
OPERATIONS: dict[str, str] = {
    "commit": f"""c index.lock; + objects/ab; c objects/ab/tmp_obj_x1; l objects/ab/tmp_obj_x1 objects/ab/{HEX};
        u objects/ab/tmp_obj_x1; r index.lock index; w COMMIT_EDITMSG; c HEAD.lock; c refs/heads/main.lock; + logs;
        w logs/HEAD; + logs/refs; + logs/refs/heads; w logs/refs/heads/main; r refs/heads/main.lock refs/heads/main;
        u HEAD.lock; c objects/maintenance.lock; u objects/maintenance.lock""",
    "rebase": f"""+ rebase-merge; w rebase-merge/interactive; c rebase-merge/git-rebase-todo.lock;
        r rebase-merge/git-rebase-todo.lock rebase-merge/git-rebase-todo; c ORIG_HEAD.lock; r ORIG_HEAD.lock ORIG_HEAD;
        r HEAD.lock HEAD; w rebase-merge/done; c REBASE_HEAD.lock; c packed-refs.lock; u REBASE_HEAD.lock;
        u packed-refs.lock; w AUTO_MERGE; r MERGE_MSG.lock MERGE_MSG; r CHERRY_PICK_HEAD.lock CHERRY_PICK_HEAD;
        u CHERRY_PICK_HEAD; u MERGE_MSG; u rebase-merge/rewritten-pending; u rebase-merge/author-script; - rebase-merge;
        r refs/heads/topic.lock refs/heads/topic; m objects/ab/{HEX}""",
    "am": """+ rebase-apply; w rebase-apply/info; w rebase-apply/patch; u rebase-apply/info;
        u rebase-apply/0001; - rebase-apply""",
    "stash": f"""r index.lock index.stash.4374; r index.stash.4374.lock index.stash.4374; u index.stash.4374;
        c refs/stash.lock; w logs/refs/stash; r refs/stash.lock refs/stash; r logs/refs/stash.lock logs/refs/stash;
        u logs/refs/stash; u refs/stash; c objects/ab/{HEX}""",
    "gc": f"""c gc.pid.lock; r gc.pid.lock gc.pid; c packed-refs.lock; c packed-refs.new; u packed-refs.lock;
        c refs/heads/main.lock; u refs/heads/main; u refs/heads/main.lock; r logs/HEAD.lock logs/HEAD;
        r objects/pack/tmp_pack_x objects/pack/.tmp-44-pack-{HEX}.pack; m objects/pack/.tmp-44-pack-{HEX}.pack;
        r objects/pack/.tmp-44-pack-{HEX}.idx objects/pack/pack-{HEX}.idx; u objects/ab/{HEX}; - objects/ab;
        u objects/pack/pack-{HEX}.pack; c info/refs_x1; r info/refs_x1 info/refs; c objects/info/packs_x1;
        r objects/info/packs_x1 objects/info/packs; r objects/info/commit-graph.lock objects/info/commit-graph;
        u gc.pid; r objects/pack/multi-pack-index.lock objects/pack/multi-pack-index; - refs/remotes/o""",
    "gc, the reflogs of other worktrees": """c worktrees/wt/HEAD.lock; c worktrees/wt/logs/HEAD.lock;
        r worktrees/wt/logs/HEAD.lock worktrees/wt/logs/HEAD; u worktrees/wt/HEAD.lock""",
    "gc of govrun's notes": """c refs/notes/govrun.lock; u refs/notes/govrun; u refs/notes/govrun.lock;
        c refs/govrun/runs/01/01X.lock; u refs/govrun/runs/01/01X; u refs/govrun/runs/01/01X.lock""",
    "bisect": f"""c BISECT_HEAD.lock; u BISECT_HEAD.lock; w BISECT_START; w BISECT_NAMES; + refs/bisect;
        r refs/bisect/bad.lock refs/bisect/bad; w BISECT_LOG; r refs/bisect/good-{HEX}.lock refs/bisect/good-{HEX};
        w BISECT_TERMS; r BISECT_EXPECTED_REV.lock BISECT_EXPECTED_REV; u refs/bisect/bad; u BISECT_EXPECTED_REV;
        u BISECT_LOG; u BISECT_START""",
    "sparse-checkout": """c config.lock; m config.lock; c config.worktree.lock; c info/sparse-checkout.lock;
        r info/sparse-checkout.lock info/sparse-checkout; u info/sparse-checkout.lock; w info/sparse-checkout""",
    "notes": """+ refs/notes; c refs/notes/commits.lock; + logs/refs/notes; w logs/refs/notes/commits;
        r refs/notes/commits.lock refs/notes/commits""",
    "fetch, push, pull": f"""w FETCH_HEAD; + refs/remotes; + refs/remotes/o; r refs/remotes/o/main.lock
        refs/remotes/o/main; + logs/refs/remotes/o; w logs/refs/remotes/o/main; + objects/tmp_objdir-incoming-x/pack;
        - objects/tmp_objdir-incoming-x/pack; r objects/tmp_objdir-incoming-x/ab/{HEX} objects/ab/{HEX}; w shallow.lock;
        r shallow.lock shallow""",
    "branches with odd names": """+ refs/heads/info; c refs/heads/info/attributes.lock; + logs/refs/heads/info;
        w logs/refs/heads/info/attributes; r refs/heads/info/attributes.lock refs/heads/info/attributes;
        r refs/heads/config.lock refs/heads/config; u refs/heads/config; u logs/refs/heads/config; - refs/heads/info;
        u refs/heads/info/attributes; c refs/tags/HEAD.lock; r refs/heads/objects.lock refs/heads/objects;
        r refs/heads/govrun.lock refs/heads/govrun""",
    "branches named hooks": """+ refs/heads/hooks; c refs/heads/hooks/x.lock; + logs/refs/heads/hooks;
        w logs/refs/heads/hooks/x; r refs/heads/hooks/x.lock refs/heads/hooks/x; u logs/refs/heads/hooks/x;
        - refs/heads/hooks; c refs/heads/hooks.lock; r refs/heads/hooks.lock refs/heads/hooks; u refs/heads/hooks""",
    "submodule in use": """c modules/mod/index.lock; r modules/mod/index.lock modules/mod/index;
        w modules/mod/logs/HEAD;
        r modules/mod/refs/heads/x.lock modules/mod/refs/heads/x; w modules/mod/COMMIT_EDITMSG""",
    "split index": f"""c sharedindex_x1; r sharedindex_x1 sharedindex.{HEX}; r index.lock index""",
    "symbolic-ref": "c HEAD.lock; r HEAD.lock HEAD",
    "editors": "w EDIT_DESCRIPTION; u EDIT_DESCRIPTION; c .COMMIT_EDITMSG.swp; u .COMMIT_EDITMSG.swp",
}
# What worktrees share (gitrepository-layout(5); git's own list is common_list in path.c).
SHARED = frozenset(
    "branches config gc hooks info logs lost-found modules objects packed-refs refs remotes rr-cache shallow "
    "svn".split()
)
# A repository that the run makes itself: every name in it is the run's.
MADE: dict[str, str] = {
    "init": """+ .; c description; + hooks; c hooks/pre-commit.sample; m hooks/pre-commit.sample; + branches; + info;
        c info/exclude; + refs; + refs/heads; r HEAD.lock HEAD; c config.lock; m config; m config.lock;
        c tQxCzaT; u tQxCzaT; s tQxCzaT; + objects; + objects/info; u config.lock""",
    "worktree add": """+ worktrees; + worktrees/wt; w worktrees/wt/locked; w worktrees/wt/gitdir; w worktrees/wt/HEAD;
        w worktrees/wt/commondir; + worktrees/wt/logs; w worktrees/wt/logs/HEAD; r worktrees/wt/HEAD.lock
        worktrees/wt/HEAD; r worktrees/wt/index.lock worktrees/wt/index; u worktrees/wt/HEAD.lock; u
        worktrees/wt/locked""",
    "worktree remove": """u worktrees/wt/gitdir; u worktrees/wt/logs/HEAD; - worktrees/wt/logs;
        u worktrees/wt/commondir;
        u worktrees/wt/HEAD; u worktrees/wt/index; - worktrees/wt; - worktrees""",
    "clone": f"""l objects/ab/{HEX} objects/ab/{HEX}; l objects/info/commit-graph objects/info/commit-graph;
        r packed-refs.new packed-refs; u packed-refs.lock; r refs/heads/main.lock refs/heads/main""",
}


def _events(script: str, base: bytes, made: bool, git_tool: bool) -> list[FsEvent]:
    found: list[FsEvent] = []
    for step in script.split(";"):
        verb, first, *rest = step.split()
        name = base if first == "." else base + b"/" + first.encode()
        facts: dict[str, Any] = {"made": made and first != ".", "git_tool": git_tool}
        match verb:
            case "+" | "c" | "s":
                makes = {"+": Kind.DIR, "c": Kind.FILE, "s": Kind.LINK}[verb]
                found.append(create(name, makes, **facts))
            case "w":
                found += [create(name, **facts), write(name, **facts)]
            case "u":
                found.append(unlink(name, **facts))
            case "-":
                found.append(unlink(name, Kind.DIR, **facts))
            case "m":
                found.append(meta(name, **facts))
            case "r" | "l":
                new = base + b"/" + rest[0].encode()
                event = rename(name, new, made=made, new_made=made) if verb == "r" else link(name, new)
                found.append(event._replace(git_tool=git_tool))
                if verb == "r":
                    over = rename(name, new, onto=Kind.FILE, made=made, new_made=made)
                    found.append(over._replace(git_tool=git_tool))
    return found


@pytest.mark.parametrize("base", [b".git", b"nested/.git"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_git_does_is_allowed(name: str, base: bytes) -> None:
    refused = [label(e) for e in _events(OPERATIONS[name], base, False, True) if ruling(policy_of(), e)]
    assert refused == []


@pytest.mark.parametrize("base", [b"new/.git", b".git/modules/new"])
@pytest.mark.parametrize("name", MADE)
def test_making_a_repository_is_allowed(name: str, base: bytes) -> None:
    refused = [label(e) for e in _events(MADE[name], base, True, True) if ruling(policy_of(), e)]
    assert refused == []


def test_a_linked_worktree_works_in_both_its_directories() -> None:
    common = b"/w/main/.git"
    own = common + b"/worktrees/wt"
    policy = policy_of(git=GitDir(own, common))
    for name in ("commit", "rebase", "am", "stash", "notes", "bisect", "fetch, push, pull"):
        for step in OPERATIONS[name].split(";"):
            first = step.split()[1]
            shared = first.split("/")[0].split(".")[0] in SHARED and first != "logs/HEAD" and "bisect" not in first
            for event in _events(step, common if shared else own, False, True):
                assert ruling(policy, event) == "", label(event)
    # The main worktree's and others' own files.
    for path in (b"/HEAD", b"/index", b"/worktrees/other/HEAD", b"/worktrees/other"):
        for event in (write(common + path), unlink(common + path), rename(common + path, b"x")):
            assert ruling(policy, event._replace(git_tool=True)) == "git.internals", label(event)
    assert ruling(policy, write(common + b"/hooks/pre-commit")) == "git.internals"
    assert ruling(policy, create(common + b"/info/attributes")) == "git.internals"
    assert ruling(policy, write(b"/w/main/file")) == "scope.write"


# ------------------------------------------------------------------------------------------------------ attacks

G = b".git/"
ATTACKS: list[FsEvent] = [
    create(G + b"hooks/pre-commit"),
    write(G + b"hooks/pre-commit"),
    meta(G + b"hooks/pre-commit", mode=0o755),
    unlink(G + b"hooks/pre-push"),
    rename(G + b"hooks/pre-commit.sample", G + b"hooks/pre-commit"),
    rename(b"evil", G + b"hooks/post-checkout"),
    link(b"evil", G + b"hooks/post-checkout"),
    link(G + b"hooks/pre-push", b"mine"),
    create(G + b"hooks/pre-commit", Kind.LINK),
    create(G + b"hooks", Kind.LINK),
    create(G + b"hooks/sub/x"),
    rename(G + b"hooks", G + b"h2", Kind.DIR),
    rename(b"evil", G + b"hooks", Kind.DIR, Kind.DIR),
    rename(b"evil", G + b"hooks", Kind.DIR, beneath=(b"pre-commit",)),
    rename(b"evil", G + b"hooks", Kind.DIR, Kind.DIR, exchange=True, beneath=(b"pre-commit",)),
    create(G + b"modules/mod/hooks/pre-commit"),
    create(G + b"modules/a/modules/b/hooks/pre-commit"),
    create(b"sub/.git/hooks/pre-commit"),
    create(b"new/.git/hooks/pre-commit", made=True),
    rename(b"x", b"new/.git", Kind.DIR, beneath=(b"HEAD", b"hooks", b"hooks/pre-commit")),
    # What git sees and trusts.
    create(G + b"info/attributes"),
    write(G + b"info/exclude"),
    create(G + b"info/grafts"),
    create(G + b"info", Kind.LINK),
    rename(G + b"info", b"x", Kind.DIR),
    rename(b"x", G + b"info", Kind.DIR, beneath=(b"attributes",)),
    rename(b"x", G + b"modules/mod/info", Kind.DIR, beneath=(b"attributes",)),
    rename(b"x", G + b"modules/mod", Kind.DIR, beneath=(b"hooks/pre-commit",)),
    rename(b"sub/.git/hooks", b"other/.git/hooks", Kind.DIR, beneath=(b"pre-commit",)),
    create(G + b"modules/mod/info/attributes"),
    create(G + b"worktrees/wt/info/attributes"),
    create(G + b"objects/info/alternates"),
    create(G + b"objects/info/http-alternates"),
    rename(b"x", G + b"objects/info/alternates"),
    create(b"new/.git/objects/info/alternates", made=True),
    create(G + b"modules/mod/objects/info/alternates"),
    write(G + b"config"),
    create(G + b"config.worktree"),
    unlink(G + b"config"),
    rename(b"x", G + b"modules/mod/config", onto=Kind.FILE),
    link(b"x", G + b"worktrees/wt/config.worktree"),
    create(G + b"config", Kind.LINK),
    # The directory itself, taken away or replaced.
    unlink(b".git", Kind.DIR),
    rename(b".git", b"x", Kind.DIR),
    rename(b".git", b"x", Kind.DIR, Kind.DIR, exchange=True),
    rename(b"x", b".git", Kind.DIR, Kind.DIR, exchange=True),
    create(b"sub/.git", Kind.LINK),
    write(b"sub/.git"),
    unlink(b"sub/.git"),
    rename(b"x", b"sub/.git", onto=Kind.FILE),
    unlink(G + b"HEAD"),
    rename(G + b"objects", b"x", Kind.DIR),
    rename(G + b"refs", G + b"r", Kind.DIR),
    unlink(G + b"index"),
    unlink(G + b"refs/heads/main"),
    unlink(G + b"objects/ab/" + HEX.encode()),
    unlink(G + b"logs/HEAD"),
    unlink(G + b"packed-refs"),
    # The record of runs.
    write(G + b"refs/notes/govrun"),
    create(G + b"refs/notes/govrun.lock"),
    create(G + b"refs/notes/govrun-trees"),
    create(G + b"refs/govrun/runs/AB/01ABC"),
    create(G + b"refs/govrun", Kind.LINK),
    rename(b"x", G + b"refs/notes/govrun", onto=Kind.FILE),
    unlink(G + b"refs/notes/govrun"),
    rename(G + b"refs/notes", G + b"refs/n", Kind.DIR, beneath=(b"govrun",)),
    rename(b"x", G + b"refs/notes", Kind.DIR, Kind.DIR, exchange=True, beneath_other=(b"govrun",)),
    link(G + b"refs/notes/govrun", b"x"),
    rename(G + b"packed-refs.new", G + b"packed-refs", onto=Kind.FILE, locked=True, records=(b"refs/notes/govrun",)),
    rename(b"x", G + b"packed-refs", onto=Kind.FILE),
    write(G + b"packed-refs"),
    create(G + b"packed-refs"),
    # Links inside lead whoever reads there elsewhere.
    create(G + b"refs/heads/x", Kind.LINK),
    create(G + b"objects", Kind.LINK),
    rename(b"x", G + b"logs", Kind.LINK),
]


@pytest.mark.parametrize("event", ATTACKS, ids=label)
def test_attacks_are_refused(event: FsEvent) -> None:
    assert ruling(policy_of(), event) == "git.internals"


GIT_TOO: list[FsEvent] = [
    write(G + b"refs/notes/govrun"),
    rename(G + b"refs/notes/govrun.lock", G + b"refs/notes/govrun"),
    rename(G + b"refs/govrun/ledger/1.lock", G + b"refs/govrun/ledger/1"),
    unlink(G + b"refs/notes/govrun", records=(b"refs/notes/govrun",)),
    rename(G + b"packed-refs.new", G + b"packed-refs", onto=Kind.FILE, locked=True, records=(b"refs/govrun/x",)),
    create(G + b"hooks/pre-commit"),
    create(G + b"info/attributes"),
    create(G + b"objects/info/alternates"),
    unlink(b".git", Kind.DIR),
    rename(b".git", b"x", Kind.DIR),
    unlink(G + b"HEAD"),
]


@pytest.mark.parametrize("event", GIT_TOO, ids=label)
def test_git_itself_is_no_way_around(event: FsEvent) -> None:
    assert ruling(policy_of(), event._replace(git_tool=True)) == "git.internals"


REDIRECTS: list[FsEvent] = [
    create(G + b"commondir"),
    write(G + b"commondir"),
    rename(b"x", G + b"commondir"),
    write(G + b"worktrees/wt/commondir"),
    write(G + b"worktrees/wt/gitdir"),
]


@pytest.mark.parametrize("event", REDIRECTS, ids=label)
def test_git_is_not_led_to_another_directory(event: FsEvent) -> None:
    """commondir names where config, hooks and refs are read from (gitrepository-layout(5))."""
    assert ruling(policy_of(), event) == "git.internals"


@pytest.mark.parametrize("kind", [Kind.FILE, Kind.DIR])
def test_removing_what_git_keeps_needs_git(kind: Kind) -> None:
    for name in (b"refs/heads/x", b"logs/refs/heads/x", b"objects/pack/x.pack", b"modules/mod"):
        assert ruling(policy_of(), unlink(G + name, kind)) == "git.internals"
        assert ruling(policy_of(), unlink(G + name, kind, git_tool=True)) == ""
        assert ruling(policy_of(), unlink(G + name, kind, made=True)) == ""


def test_what_a_repository_of_the_run_still_may_not_do() -> None:
    policy = policy_of()
    assert ruling(policy, unlink(b"new/.git", Kind.DIR, made=True)) == ""
    assert ruling(policy, unlink(b"new/.git/hooks", Kind.DIR, made=True)) == ""
    assert ruling(policy, write(b"new/.git/config", made=True)) == "git.internals"
    assert ruling(policy, create(b"new/.git/refs/notes/govrun", made=True)) == "git.internals"
    locked = rename(G + b"packed-refs.new", G + b"packed-refs", onto=Kind.FILE, locked=True)
    assert ruling(policy, locked) == ""


def test_what_all_worktrees_share_is_writable_from_each() -> None:
    common = b"/w/main/.git"
    policy = policy_of(git=GitDir(common + b"/worktrees/wt", common))
    for name in SHARED - {"hooks", "info", "config"}:
        # A ref comes by the rename of its lock.
        last = b"/x.lock" if name == "refs" else b"/x"
        event = create(common + b"/" + name.encode() + last, git_tool=True)
        assert ruling(policy, event) == "", name


def test_names_that_only_look_like_git() -> None:
    policy = policy_of()
    for path in (b"hooks/pre-commit", b"x.git/hooks/pre-commit", b".gitx/config", b"info/attributes", b"a.git/config"):
        assert ruling(policy, create(path)) == ""


def test_a_folder_with_a_repository_in_it_moves_as_a_whole() -> None:
    whole = (b".git", b".git/HEAD", b".git/config", b".git/hooks", b".git/hooks/pre-commit", b".git/info/exclude", b"x")
    assert ruling(policy_of(), rename(b"sub", b"elsewhere/sub", Kind.DIR, beneath=whole)) == ""
    made = (b"HEAD", b"config", b"hooks/pre-commit.sample", b"refs/heads/main")
    assert ruling(policy_of(), rename(b"a/.git", b"b/.git", Kind.DIR, made=True, beneath=made)) == ""


def test_own_refs() -> None:
    assert is_record(b"refs/notes/govrun")
    assert is_record(b"refs/notes/govrun-trees.lock")
    assert is_record(b"refs/govrun")
    assert is_record(b"refs/govrun/runs/1")
    assert not is_record(b"refs/heads/govrun")
    assert not is_record(b"refs/govrunner/x")
    assert not is_record(b"refs/notes/commits")


def test_what_a_new_configuration_would_run_is_refused() -> None:
    for path in (b".git/config", b"sub/.git/config", b".git/modules/mod/config", b".git/config.worktree"):
        assert ruling(policy_of(), config(path, ("core.hookspath",))) == "git.internals"
        assert ruling(policy_of(), config(path, refusal="unreadable")) == "git.internals"
    assert ruling(policy_of(), config(b".git/config")) == ""


def test_a_repository_made_by_a_run_outside_any_repository() -> None:
    policy = policy_of(git=None)
    assert ruling(policy, create(b".git", Kind.DIR)) == ""
    assert ruling(policy, create(b".git/hooks/pre-commit.sample", made=True)) == ""
    assert ruling(policy, create(b".git/hooks/pre-commit", made=True)) == "git.internals"
    assert ruling(policy, config(b".git/config", ("core.hookspath",))) == "git.internals"


def test_every_act_on_a_hook_is_refused() -> None:
    for op in (FsOp.CREATE, FsOp.WRITE, FsOp.UNLINK, FsOp.META):
        event = FsEvent(ACTOR, op, op.value, target(TREE + b"/.git/hooks/commit-msg"))
        assert ruling(policy_of(), event) == "git.internals"


# ------------------------------------------------------------------------- what others run, or need to write, later


@pytest.mark.parametrize("name", [b"refs/notes", b"logs", b"logs/refs", b"logs/refs/notes", b"objects/ab"])
def test_no_file_takes_the_place_of_a_folder(name: bytes) -> None:
    policy = policy_of()
    for git_tool in (True, False):
        assert ruling(policy, create(G + name, git_tool=git_tool)) == "git.internals"
        assert ruling(policy, rename(G + b"x", G + name, git_tool=git_tool)) == "git.internals"
        assert ruling(policy, create(G + name, Kind.DIR, git_tool=git_tool)) == ""
        assert ruling(policy, create(G + name, Kind.DIR, git_tool=git_tool, mode=0o077)) == "git.internals"


def test_logs_of_own_refs_are_gits_to_expire() -> None:
    policy, log = policy_of(), G + b"logs/refs/notes/govrun"
    for event in (create(log), create(log, Kind.DIR, git_tool=True), create(log + b"/x"), write(log), unlink(log)):
        assert ruling(policy, event) == "git.internals", label(event)
    for event in (
        create(log + b".lock", git_tool=True),
        rename(log + b".lock", log, onto=Kind.FILE, git_tool=True),
        unlink(log + b".lock", git_tool=True),
    ):
        assert ruling(policy, event) == "", label(event)
    assert ruling(policy, rename(log + b".lock", log, Kind.DIR, git_tool=True)) == "git.internals"


def test_replacements() -> None:
    policy, name = policy_of(), G + b"refs/replace/" + HEX.encode()
    for event in (create(name), write(name), rename(name + b".lock", name, git_tool=True), link(G + b"x", name)):
        assert ruling(policy, event) == "git.internals", label(event)
    for event in (
        create(G + b"refs/replace", Kind.DIR),
        create(name + b".lock", git_tool=True),
        unlink(name, git_tool=True),
        create(b"new/.git/refs/replace/x", made=True),
    ):
        assert ruling(policy, event) == "", label(event)
    packed = rename(
        G + b"packed-refs.lock", G + b"packed-refs", onto=Kind.FILE, locked=True, records=(b"refs/replace/x",)
    )
    assert ruling(policy, packed) == "git.internals"


def test_rights_are_not_taken_by_lists_either() -> None:
    policy = policy_of()
    for name, kind in ((b"refs/notes", Kind.DIR), (b"HEAD", Kind.FILE), (b"refs/heads/main", Kind.FILE)):
        for xattr in (b"system.posix_acl_access", b"system.posix_acl_default"):
            assert ruling(policy, meta(G + name, kind, xattr=xattr)) == "git.internals"
        assert ruling(policy, meta(G + name, kind, xattr=b"user.x")) == ""
    assert ruling(policy, meta(G + b"COMMIT_EDITMSG", xattr=b"system.posix_acl_access")) == ""
    assert ruling(policy, meta(b"new/.git/refs", Kind.DIR, xattr=b"system.posix_acl_access", made=True)) == ""
    assert ruling(policy, meta(b"src/x", xattr=b"system.posix_acl_access")) == ""


@pytest.mark.parametrize("folder", [b"rebase-merge", b"rebase-apply", b"sequencer", b"worktrees/w/rebase-merge"])
def test_steps_are_written_by_git(folder: bytes) -> None:
    policy, todo = policy_of(), G + folder + b"/git-rebase-todo"
    made = folder.startswith(b"worktrees")
    for event in (create(todo, made=made), write(todo, made=made), create(G + folder, Kind.DIR, made=made)):
        assert ruling(policy, event) == "git.internals", label(event)
    assert ruling(policy, create(todo, git_tool=True, made=made)) == ""
    for name in (b"git-rebase-todo", b"sedAb12Cd", b"4913", b".git-rebase-todo.swp", b"git-rebase-todo~"):
        assert ruling(policy, write(G + folder + b"/" + name, rebasing=True, made=made)) == ""
    assert ruling(policy, write(G + folder + b"/done", rebasing=True, made=made)) == "git.internals"
    assert ruling(policy, unlink(todo, made=made)) == ""


@pytest.mark.parametrize(
    ("key", "old", "new", "allowed"),
    [
        ("core.repositoryformatversion", ("0",), ("1",), True),
        ("core.repositoryformatversion", ("1",), ("0",), False),
        ("core.repositoryformatversion", ("0",), ("9",), False),
        ("core.repositoryformatversion", ("0",), ("0", "junk"), False),
        *(
            ("core.sharedRepository", None, (value,), True)
            for value in ("group", "0", "2", "0660", "750", "TRUE", "umask")
        ),
        *(("core.sharedRepository", None, (value,), False) for value in ("0400", "rubbish", "", "0066", "07777", "-1")),
        ("core.repositoryformatversion", ("0",), None, False),
        ("extensions.worktreeconfig", None, ("true",), True),
        ("extensions.worktreeconfig", None, ("junk",), False),
        ("extensions.worktreeconfig", ("true",), None, True),
        ("extensions.partialclone", None, ("origin",), True),
        ("extensions.objectformat", None, ("sha256",), False),
        ("extensions.refstorage", None, ("reftable",), False),
        ("extensions.foo", None, ("1",), False),
        ("extensions.x.worktreeconfig", None, ("true",), False),
    ],
)
def test_how_a_repository_is_stored(
    key: str, old: tuple[str, ...] | None, new: tuple[str, ...] | None, allowed: bool
) -> None:
    for path, made in ((b".git/config", False), (b"new/.git/config", True)):
        lock, target_ = target(path + b".lock"), target(path, made=made)
        event = GitConfigEvent(ACTOR, lock, target_, (ConfigChange(key, old, new),), ())
        assert ruling(policy_of(), event) == ("" if allowed or made else "git.internals")


def test_where_a_repository_lies() -> None:
    policy = policy_of()
    for path in (b"sub/.git/commondir", b"sub/.git/gitdir", G + b"worktrees/w/commondir"):
        assert ruling(policy, create(path, made=True)) == "git.internals"
        assert ruling(policy, write(path, made=True)) == "git.internals"
        assert ruling(policy, unlink(path, made=True)) == ""
        assert ruling(policy, create(path, made=True, git_tool=True)) == ""


def test_other_spellings_of_git() -> None:
    for path in (b".GIT", b"sub/.Git", b"sub/.gIT/x"):
        assert ruling(policy_of(), create(path)) == "git.internals"
        assert ruling(policy_of(), create(path, Kind.DIR)) == "git.internals"
    for path in (b".GITHUB/x", b"x.GIT/y", b".gitIGNORE"):
        assert ruling(policy_of(), create(path)) == ""
