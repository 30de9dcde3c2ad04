"""Git internals: what of a git directory a run may change (gitrepository-layout(5)).

Git itself works as it does without govrun. Never writable: hooks, ``info/``, ``objects/info/alternates``, govrun's
own refs; ``config`` only through git's lock file, judged by key. Removing what git keeps needs git.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from supervisor.vocabulary.events import FsEvent, FsOp, GitConfigEvent, Kind, Target

INVARIANT = "git.internals"

_KEPT_FILES = frozenset(b"HEAD index config.worktree description commondir gitdir ORIG_HEAD".split())
_SKELETON = (b"packed-refs", b"HEAD", b"commondir", b"gitdir", b"objects", b"refs")
_PROBE = re.compile(rb"t[A-Za-z0-9]{6}")  # git init asks whether symbolic links work by making one
_SCRATCH = re.compile(
    rb"(?:\.lock|(?:^|/)tmp_[^/]*|(?:^|/)[A-Z_]*(?:HEAD|MSG|DESCR)|~|\.swp|\.swx|\.orig|\.new)$|(?:^|/)(?:rebase-[a-z]+|sequencer)(?:/|$)"
)


class Refusal(NamedTuple):
    message: str
    use: str = ""


def refuses(event: FsEvent, target: Target, relative: bytes, *, new: bool, shared: bool = False) -> Refusal | None:
    """Why this change inside a git directory is refused, or None.

    ``relative`` is the path in it; ``new``: the change puts something at this name (create, write, rename or link
    onto it), else it takes something away or alters what is there. ``shared``: the directory is not this worktree's
    own but the one that all worktrees share.
    """
    if event.git_tool and relative.startswith(b"objects/") and _is_storing(event, target, relative, shared=shared):
        return None
    if _shuts(event, target):
        return Refusal("git, and the record of this run, need to get into it")
    if relative == b"":
        return _whole(event, target, new=new)
    if _elsewhere(event, target, relative, shared=shared):
        return Refusal("this belongs to another worktree of the repository")
    if reserved := _reserved(relative, target, event, new=new):
        return reserved
    takes = not new and event.op in (FsOp.UNLINK, FsOp.RENAME)
    if takes and not event.git_tool and not target.made and not _is_scratch(relative):
        return Refusal("only git may remove what a git directory keeps", "git gc, git branch -d, git worktree remove …")
    return None


def _is_storing(event: FsEvent, target: Target, relative: bytes, *, shared: bool) -> bool:
    """The bulk of what git does in its folder, told apart first: an object comes under a new name, a temporary goes."""
    if shared or b"/info" in relative or target.kind not in (Kind.FILE, Kind.ABSENT, Kind.DIR):
        return False
    if event.op is FsOp.CREATE:
        return event.makes in (Kind.FILE, Kind.DIR)
    if event.op is FsOp.LINK:
        return event.target.kind is Kind.FILE
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
    if is_record(relative) and not _is_housekeeping(event, relative):
        return Refusal("these refs hold the record of runs; govrun alone writes them")
    if event.records:
        return Refusal("this would change refs that hold the record of runs; govrun alone writes them")
    if relative == b"packed-refs" and new and not event.locked and not target.made:
        return Refusal("packed refs are replaced through git's lock", "git pack-refs, git update-ref")
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


def _shuts(event: FsEvent, target: Target) -> bool:
    """Whether a chmod takes its owner's rights from a folder, or the packed refs, that were there before the run."""
    chmod = event.op is FsOp.META and event.call in ("chmod", "fchmod", "fchmodat", "fchmodat2")
    if not chmod or target.made:
        return False
    if target.kind is Kind.DIR:
        return event.mode & 0o700 != 0o700
    return target.path.endswith(b"/packed-refs") and event.mode & 0o600 != 0o600


def _is_odd(event: FsEvent, target: Target) -> bool:
    """A symbolic link, FIFO, socket or device is about to get this name: each leads whoever reads it elsewhere."""
    if event.op is FsOp.CREATE:
        return event.makes not in (Kind.FILE, Kind.DIR)
    moved = event.target if event.other is not None and target.path == event.other.path else event.other
    return moved is not None and moved.kind not in (Kind.FILE, Kind.DIR)


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
    """Git gc packs refs: it locks each, and unlinks the loose one once packed-refs holds its value."""
    if not event.git_tool:
        return False
    if relative.endswith(b".lock"):
        return event.op in (FsOp.CREATE, FsOp.WRITE, FsOp.UNLINK)
    return event.op is FsOp.UNLINK and not event.records


def is_record(relative: bytes) -> bool:
    """Whether a path in a git directory is one of govrun's own refs, a folder of them, or a lock of one."""
    return relative.startswith((b"refs/notes/govrun", b"refs/govrun/")) or relative == b"refs/govrun"


def refuses_config(event: GitConfigEvent) -> Refusal | None:
    """Why this change of configuration keys is refused, or None: git runs what these keys hold."""
    if event.refusal:
        return Refusal(event.refusal)
    if event.executable:
        keys = ", ".join(event.executable)
        return Refusal(f"git runs what {keys} holds", "ask the user to set it")
    return None
