"""Git internals: what of a git directory a run may change (gitrepository-layout(5)).

Git itself works as it does without govrun. Never writable: hooks, ``info/``, ``objects/info/alternates``, govrun's
own refs; ``config`` only through git's lock file, judged by key. Removing what git keeps needs git.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from supervisor.vocabulary.events import ConfigChange, FsEvent, FsOp, GitConfigEvent, Kind, Target

INVARIANT = "git.internals"
# Refs in which git notes down what it needs itself (gitglossary(7), per-worktree ref; git-stash(1), git-rebase(1)).
NOTEBOOK = ("refs/stash", "refs/bisect/", "refs/rewritten/", "refs/worktree/", "refs/prefetch/")

_ABOVE_RECORDS = frozenset(
    b"refs/notes refs/govrun refs/notes.lock refs/govrun.lock logs logs/refs logs/refs/notes logs/refs/govrun".split()
)
_REPLACE = b"refs/replace/"
_FOLDERS = re.compile(rb"objects/(?:[0-9a-f]{2}|pack|info)")
_KEPT_FILES = frozenset(b"HEAD index config.worktree description commondir gitdir ORIG_HEAD".split())
_SKELETON = (b"packed-refs", b"HEAD", b"commondir", b"gitdir", b"objects", b"refs")
_PROBE = re.compile(rb"t[A-Za-z0-9]{6}")  # git init asks whether symbolic links work by making one
_SCRATCH = re.compile(
    rb"(?:\.lock|(?:^|/)tmp_[^/]*|(?:^|/)[A-Z_]*(?:HEAD|MSG|DESCR)|~|\.swp|\.swx|\.orig|\.new)$|(?:^|/)(?:rebase-[a-z]+|sequencer)(?:/|$)"
)


class Refusal(NamedTuple):
    message: str
    use: str = ""


def holds_history(ref: str) -> bool:
    """Whether what a ref leads to is the project's: commits that only others lead to were asked nothing yet."""
    return not ref.startswith((*NOTEBOOK, "refs/notes/"))


def refuses(event: FsEvent, target: Target, relative: bytes, *, new: bool, shared: bool = False) -> Refusal | None:
    """Why this change inside a git directory is refused, or None.

    ``relative`` is the path in it; ``new``: the change puts something at this name (create, write, rename or link
    onto it), else it takes something away or alters what is there. ``shared``: the directory is not this worktree's
    own but the one that all worktrees share.
    """
    if event.git_tool and relative.startswith(b"objects/") and _is_storing(event, target, relative, shared=shared):
        return None
    if _shuts(event, target, relative):
        return Refusal("git, and the record of this run, need to get into it")
    if relative == b"":
        return _whole(event, target, new=new)
    if _elsewhere(event, target, relative, shared=shared):
        return Refusal("this belongs to another worktree of the repository")
    if refusal := _reserved(relative, target, event, new=new) or _steps(event, relative, new=new):
        return refusal
    takes = not new and event.op in (FsOp.UNLINK, FsOp.RENAME)
    if takes and not event.git_tool and not target.made and not _is_scratch(relative):
        return Refusal("only git may remove what a git directory keeps", "git gc, git branch -d, git worktree remove …")
    return None


def _is_storing(event: FsEvent, target: Target, relative: bytes, *, shared: bool) -> bool:
    """The bulk of what git does in its folder, told apart first: an object comes under a new name, a temporary goes."""
    if shared or b"/info" in relative or target.kind not in (Kind.FILE, Kind.ABSENT, Kind.DIR):
        return False
    if event.op is FsOp.CREATE:
        if event.makes is Kind.DIR:
            return not _shuts(event, target, relative)
        return event.makes is Kind.FILE and not _FOLDERS.fullmatch(relative)
    if event.op is FsOp.LINK:
        return event.target.kind is Kind.FILE and not _FOLDERS.fullmatch(relative)
    return event.op is FsOp.UNLINK and target.kind is Kind.FILE


# What worktrees share besides `worktrees/` (gitrepository-layout(5), git-worktree(1)).
_SHARED = frozenset(
    b"objects refs logs packed-refs config hooks info modules lfs rr-cache shallow gc branches remotes lost-found "
    b"svn".split()
)


def _elsewhere(event: FsEvent, target: Target, relative: bytes, *, shared: bool) -> bool:
    """Whether the path is another worktree's own: `worktrees/OTHER/…`, or the main worktree's HEAD, index …"""
    parts = relative.split(b"/")
    upkeep = b"logs" in parts or (relative.endswith(b".lock") and event.op is not FsOp.RENAME)
    if target.made or (event.git_tool and upkeep):
        return False  # a worktree that this run made; git gc expires the logs of all
    if parts[0] == b"worktrees":
        makes_it = event.op is FsOp.CREATE and event.makes is Kind.DIR and target.kind is Kind.ABSENT
        return len(parts) > 2 or (len(parts) == 2 and not makes_it)
    return shared and parts[0].partition(b".")[0] not in _SHARED


def _is_scratch(relative: bytes) -> bool:
    """What git does not keep: messages, editors' files and whatever else lies at the top; locks and temporary files
    among what it does keep."""
    parts = _within(relative.split(b"/"))
    if len(parts) == 1:
        return parts[0] not in _KEPT_FILES and parts[0] not in _SHARED
    if parts[0] in (b"refs", b"logs"):
        return parts[-1].endswith(b".lock")
    return parts[0] not in _SHARED or _SCRATCH.search(relative) is not None


def _within(parts: list[bytes]) -> list[bytes]:
    """The path inside the git directory of a submodule or linked worktree, whose layout is that of any other."""
    while len(parts) > 2 and parts[0] in (b"modules", b"worktrees"):
        parts = parts[2:]
    return parts


def _whole(event: FsEvent, target: Target, *, new: bool) -> Refusal | None:
    makes = event.makes if event.op is FsOp.CREATE else None
    if new and target.kind is Kind.ABSENT and (makes is Kind.DIR or (makes is Kind.FILE and event.git_tool)):
        return None  # git init and clone; the gitfile of a worktree or submodule, which git alone may point anywhere
    if event.op is FsOp.WRITE and target.kind is Kind.FILE and target.made and event.git_tool:
        return None
    if not new and (target.made or (event.git_tool and target.kind is Kind.FILE)):
        return None  # a repository of this run; the gitfile of a worktree that git removes
    if new and target.kind is Kind.ABSENT and event.op is FsOp.RENAME and event.makes is Kind.DIR:
        return None  # what is in it was judged name by name
    if event.op is FsOp.META:
        return None
    return Refusal("a git directory is made by git, and cannot be moved, replaced or removed")


def _reserved(relative: bytes, target: Target, event: FsEvent, *, new: bool) -> Refusal | None:
    parts = relative.split(b"/")
    if new and _is_odd(event, target) and not _PROBE.fullmatch(b"/".join(_within(parts))):
        return Refusal("only files and folders belong into a git directory")
    if refusal := reserved(event, target, _inner(target, relative, parts), new=new):
        return refusal
    if (relative in _ABOVE_RECORDS or _FOLDERS.fullmatch(relative)) and new and _lands(event, target) is not Kind.DIR:
        return Refusal("a file by this name takes the place of a folder that git, and the record of this run, need")
    if relative.startswith(_REPLACE) and new and _replaces(event, target, relative):
        return Refusal("a replacement changes what git shows of commits and of notes on them")
    if is_record(relative) and not _is_housekeeping(event, relative):
        return Refusal("these refs hold the record of runs; govrun alone writes them")
    if event.records and not (target.made and all(name.startswith(_REPLACE) for name in event.records)):
        return Refusal("this would change refs that hold the record of runs, or what git shows of it")
    if relative == b"packed-refs" and new and not event.locked and not target.made:
        return Refusal("packed refs are replaced through git's lock", "git pack-refs, git update-ref")
    if _is_ref(parts, relative) and not target.made and _bypasses_lock(event, new=new):
        return Refusal("refs are moved through git's lock, where they are judged", "git branch, git update-ref")
    if parts[0] == b"objects" and _alters(event, target, parts, new=new):
        return Refusal("git never changes an object that is there")
    if relative in (b"commondir", b"gitdir") and not target.made and event.op is not FsOp.META:
        return Refusal("this file says where the repository lies")
    takes = event.op is FsOp.UNLINK or (event.op is FsOp.RENAME and not new)
    if takes and relative in _SKELETON and not target.made and target.kind is not Kind.ABSENT:
        return Refusal("a git directory cannot be taken apart")
    return None


def _alters(event: FsEvent, target: Target, parts: list[bytes], *, new: bool) -> bool:
    """Whether an object or pack that exists would be written or made writable; git creates them under names of their
    own and renames."""
    if target.made or target.kind is not Kind.FILE or parts[-1].startswith(b"tmp_"):
        return False
    if event.op is FsOp.RENAME:
        return new and not event.git_tool
    return event.op is FsOp.WRITE or (event.op is FsOp.META and event.mode & 0o222 != 0)


def _is_ref(parts: list[bytes], relative: bytes) -> bool:
    return (parts[0] == b"refs" or relative == b"HEAD") and not relative.endswith(b".lock")


def _bypasses_lock(event: FsEvent, *, new: bool) -> bool:
    """Whether a ref would get its value otherwise than by the rename of its lock file."""
    if event.op is FsOp.CREATE:
        return event.makes is Kind.FILE
    if event.op is FsOp.RENAME:
        return new and event.makes is Kind.DIR and not event.git_tool
    return event.op in (FsOp.WRITE, FsOp.LINK)


def _shuts(event: FsEvent, target: Target, relative: bytes) -> bool:
    """Whether this takes its owner's rights from what was there before the run, by mode or by an access control list
    (acl(5)), or makes a folder without them."""
    if target.made:
        return False
    if event.op is FsOp.CREATE:
        return event.makes is Kind.DIR and event.mode & 0o700 != 0o700
    if event.op is not FsOp.META or (target.kind is Kind.FILE and relative and _is_scratch(relative)):
        return False  # editors keep the modes and lists of messages and the like
    if event.xattr:
        return event.xattr.startswith(b"system.posix_acl_")
    if event.call not in ("chmod", "fchmod", "fchmodat", "fchmodat2"):
        return False
    if target.kind is Kind.DIR:
        return event.mode & 0o700 != 0o700
    needed = 0o600 if relative in (b"packed-refs", b"config") or is_record(relative) else 0o400
    return event.mode & needed != needed


def _lands(event: FsEvent, target: Target) -> Kind:
    """What will lie at the name of ``target``."""
    if event.op is FsOp.CREATE:
        return event.makes
    if event.op is FsOp.WRITE or event.op is FsOp.META:
        return target.kind
    moved = event.target if event.other is not None and target.path == event.other.path else event.other
    return moved.kind if moved is not None else target.kind


def _is_odd(event: FsEvent, target: Target) -> bool:
    """A symbolic link, FIFO, socket or device is about to get this name: each leads whoever reads it elsewhere."""
    return event.op is not FsOp.WRITE and _lands(event, target) not in (Kind.FILE, Kind.DIR)


# Lists of what git does next: `exec` lines in them are commands, run by whoever continues.
_STEPS = (b"rebase-merge", b"rebase-apply", b"sequencer")
_EDITORS = re.compile(rb".*git-rebase-todo.*|sed[A-Za-z0-9]{6}|4913")  # what vim, sed -i and their kin make beside it


def _steps(event: FsEvent, relative: bytes, *, new: bool) -> Refusal | None:
    parts = _within(relative.split(b"/"))
    if not new or parts[0] not in _STEPS or event.git_tool:
        return None
    if event.rebasing and len(parts) == 2 and _EDITORS.fullmatch(parts[1]):
        return None
    return Refusal("these are steps that git takes when it goes on", "git rebase --edit-todo, with an editor")


def _inner(target: Target, relative: bytes, parts: list[bytes]) -> bytes:
    """The path in the innermost git directory: as it looks on disk, else by name (one that is being made)."""
    if target.git and target.path.startswith(target.git + b"/"):
        inner = target.path[len(target.git) + 1 :]
        if not inner.startswith((b"modules/", b"worktrees/")):
            return inner
    while len(parts) > 2 and parts[0] in (b"modules", b"worktrees"):
        # The name of a submodule may hold slashes: what looks like hooks or config further down counts.
        parts = parts[2:]
        for at, part in enumerate(parts[:-1]):
            if part in (b"hooks", b"info") and parts[0] not in (b"refs", b"logs", b"objects"):
                return b"/".join(parts[at:])
        if parts[-1] in _CONFIGS and parts[0] not in (b"refs", b"logs", b"objects"):
            return parts[-1]
    return b"/".join(parts) if parts else relative


_CONFIGS = (b"config", b"config.worktree")


def reserved(event: FsEvent, target: Target, inner: bytes, *, new: bool) -> Refusal | None:
    """What git runs or trusts, by its path in the git directory it belongs to; also for repositories without a
    ``.git`` of their own (bare ones)."""
    parts = inner.split(b"/")
    if parts[0] == b"hooks":
        return _hooks(parts, target, event, new=new)
    if parts[0] == b"info" or inner in (b"objects/info/alternates", b"objects/info/http-alternates"):
        return _info(parts, target, event)
    if inner in (b"commondir", b"gitdir") and not event.git_tool:
        if event.op is FsOp.META or (target.made and event.op is FsOp.UNLINK):
            return None
        return Refusal("this file says where the repository lies", "git worktree")
    if inner in _CONFIGS:
        # The rename of config.lock onto config is a GitConfigEvent and does not come here.
        if event.op is FsOp.META or (target.made and event.op is FsOp.UNLINK):
            return None
        return Refusal("git configuration is changed through git, which is judged by key", "git config KEY VALUE")
    return None


def _hooks(parts: list[bytes], target: Target, event: FsEvent, *, new: bool) -> Refusal | None:
    if len(parts) == 1:
        if event.op is FsOp.META or target.made or (event.op is FsOp.CREATE and event.makes is Kind.DIR):
            return None
        return Refusal("the hooks folder cannot be moved, replaced or removed")
    if len(parts) == 2 and parts[1].endswith(b".sample"):
        return None
    if target.made and not new and event.op is FsOp.UNLINK:
        return None
    return Refusal("git runs what lies in hooks", "a command in the tree, or ask the user to install the hook")


def _info(parts: list[bytes], target: Target, event: FsEvent) -> Refusal | None:
    if parts[-1] in (b"alternates", b"http-alternates"):
        return Refusal("alternates would make foreign objects part of this repository")
    if target.made or (event.op is FsOp.CREATE and event.makes is Kind.DIR) or event.op is FsOp.META:
        return None  # a repository that this run made (git init and clone copy info/exclude)
    if event.git_tool and parts[-1].startswith((b"refs", b"sparse-checkout")):
        return None  # git update-server-info, git sparse-checkout: no code, no other objects
    return Refusal(
        "info/ changes what git sees and runs (attributes, exclude, grafts)", ".gitignore and .gitattributes"
    )


def _is_housekeeping(event: FsEvent, relative: bytes) -> bool:
    """Git gc packs refs: it locks each, and unlinks the loose one once packed-refs holds its value. It expires logs: a
    new one is written beside and replaces the old."""
    if not event.git_tool:
        return False
    if relative.startswith(b"logs/") and event.op is FsOp.RENAME:
        return event.target.kind is Kind.FILE and event.target.path.endswith(b".lock")
    if relative.endswith(b".lock"):
        return _is_locking(event, relative)
    return event.op is FsOp.UNLINK and not event.records


def _replaces(event: FsEvent, target: Target, relative: bytes) -> bool:
    return not target.made and not _is_locking(event, relative) and _lands(event, target) is not Kind.DIR


def _is_locking(event: FsEvent, relative: bytes) -> bool:
    if not event.git_tool or not relative.endswith(b".lock"):
        return False
    return event.op in (FsOp.WRITE, FsOp.UNLINK) or (event.op is FsOp.CREATE and event.makes is Kind.FILE)


def is_record(relative: bytes) -> bool:
    """Whether a path in a git directory is one of govrun's own refs or its log, a folder of them, or a lock of one."""
    relative = relative.removeprefix(b"logs/")
    return relative.startswith((b"refs/notes/govrun", b"refs/govrun/")) or relative == b"refs/govrun"


def refuses_config(event: GitConfigEvent) -> Refusal | None:
    """Why this change of configuration keys is refused, or None: git runs what these keys hold."""
    if event.refusal:
        return Refusal(event.refusal)
    for change in event.changes:
        if not event.target.made and not _is_known_format(change):
            return Refusal(f"{change.key} says how the repository is stored, which git sets when it makes one")
        if not event.target.made and _asks_for_signatures(change):
            return Refusal(f"{change.key} says what the keys of the user sign in later runs", "ask the user to set it")
    if event.executable:
        keys = ", ".join(event.executable)
        return Refusal(f"git runs what {keys} holds", "ask the user to set it")
    return None


# git dies of any other value, and of a mode that takes the owner's own rights (git-config(1), core.sharedRepository).
_SHARING = re.compile(r"group|true|all|world|everybody|umask|false|[012]|0?[67][0-7]{2}")
_BOOLEANS = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0"})


def _asks_for_signatures(change: ConfigChange) -> bool:
    """A start lets the run sign with what is configured here: a run could choose another key for the next one."""
    key = change.key.lower()
    if key in ("commit.gpgsign", "tag.gpgsign"):
        return any(value.lower() not in ("false", "no", "off", "0", "") for value in change.new or ())
    return key in ("user.signingkey", "gpg.format") and bool(change.new)


def _is_known_format(change: ConfigChange) -> bool:
    """Whether git still reads the repository after this change of how it is stored; true for every other key.

    git sets these by itself: worktreeConfig (git sparse-checkout, git worktree), partialClone (git fetch --filter).
    """
    section, _, name = change.key.lower().rpartition(".")
    new = change.new or ()
    if change.key.lower() == "core.repositoryformatversion":
        return bool(new) and set(new) <= ({"1"} if "1" in (change.old or ()) else {"0", "1"})
    if change.key.lower() == "core.sharedrepository":
        return all(_SHARING.fullmatch(value.lower()) for value in new)
    if section.partition(".")[0] != "extensions":
        return True
    if section == "extensions" and name in ("worktreeconfig", "preciousobjects"):
        return all(value.lower() in _BOOLEANS for value in new)
    return section == "extensions" and name == "partialclone"
