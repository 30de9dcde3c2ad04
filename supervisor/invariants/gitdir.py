"""Git internals: what of a git directory a run may change (gitrepository-layout(5)).

Git itself works as it does without govrun. Never writable: hooks, ``info/``, ``objects/info/alternates``, govrun's
own refs; ``config`` only through git's lock file, judged by key. Removing what git keeps needs git.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from supervisor.vocabulary.events import FsEvent, FsOp, GitConfigEvent, Kind, Target

INVARIANT = "git.internals"

_SKELETON = (b"HEAD", b"commondir", b"gitdir", b"objects", b"refs")
_HOOK = re.compile(rb"(?:^|/)hooks/([^/]+)(?:$|/)")
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


# What worktrees share besides `worktrees/` (gitrepository-layout(5), git-worktree(1)).
_SHARED = frozenset(
    b"objects refs logs packed-refs config hooks info modules lfs rr-cache shallow gc branches remotes".split()
)


def _elsewhere(event: FsEvent, target: Target, relative: bytes, *, shared: bool) -> bool:
    """Whether the path is another worktree's own: `worktrees/OTHER/…`, or the main worktree's HEAD, index …"""
    parts = relative.split(b"/")
    if target.made or (event.git_tool and b"logs" in parts):
        return False  # a worktree that this run made; git gc expires the logs of all
    if parts[0] == b"worktrees":
        makes_it = event.op is FsOp.CREATE and event.makes is Kind.DIR and target.kind is Kind.ABSENT
        return len(parts) > 2 or (len(parts) == 2 and not makes_it)
    return shared and parts[0].partition(b".")[0] not in _SHARED


def _is_scratch(relative: bytes) -> bool:
    """Files that tools make beside git's own: locks, messages, editors' files. Not below refs or logs."""
    below = relative.startswith((b"refs/", b"logs/")) or b"/refs/" in relative or b"/logs/" in relative
    return relative.endswith(b".lock") if below else _SCRATCH.search(relative) is not None


def _whole(event: FsEvent, target: Target, *, new: bool) -> Refusal | None:
    if new and event.op is FsOp.CREATE and target.kind is Kind.ABSENT and event.makes in (Kind.DIR, Kind.FILE):
        return None  # git init, clone, submodule and worktree make it
    if event.op is FsOp.WRITE and target.kind is Kind.FILE and target.made:
        return None
    if not new and (target.made or (event.git_tool and target.kind is Kind.FILE)):
        return None  # a repository of this run; the gitfile of a worktree that git removes
    if new and target.kind is Kind.ABSENT:
        # A directory renamed to `.git` was judged file by file under its new name.
        return None if event.op is FsOp.RENAME else Refusal("a git directory is made by git init")
    if event.op is FsOp.META:
        return None
    return Refusal("a git directory cannot be moved, replaced or removed")


def _reserved(relative: bytes, target: Target, event: FsEvent, *, new: bool) -> Refusal | None:
    parts = relative.split(b"/")
    names_refs = parts[0] in (b"refs", b"logs")  # a branch may be called hooks or info/x
    hook = None if names_refs else _HOOK.search(relative)
    if hook and not hook.group(1).endswith(b".sample"):
        return Refusal("git runs what lies in hooks", "a command in the tree, or ask the user to install the hook")
    if (
        not names_refs
        and parts[-1] == b"hooks"
        and target.kind is not Kind.ABSENT
        and event.op in (FsOp.RENAME, FsOp.UNLINK, FsOp.LINK)
    ):
        return None if target.made else Refusal("the hooks folder cannot be moved or removed")
    if not names_refs and parts[-1] == b"hooks" and new and event.makes is Kind.LINK:
        return Refusal("hooks cannot become a symbolic link")
    if ((inner := _within(parts)) and inner[0] == b"info") or (parts[-2:-1] == [b"info"] and parts[-1] in _INFO_FILES):
        return _info(parts, target, event)
    if is_record(relative) and not _is_housekeeping(event, relative):
        return Refusal("these refs hold the record of runs; govrun alone writes them")
    if event.records:
        return Refusal("this would change refs that hold the record of runs; govrun alone writes them")
    if parts[-1] in (b"config", b"config.worktree") and b"refs" not in parts and b"logs" not in parts:
        return _config(target, event)
    if relative in (b"commondir", b"gitdir") and not target.made and event.op is not FsOp.META:
        return Refusal("this file says where the repository lies")
    takes = event.op is FsOp.UNLINK or (event.op is FsOp.RENAME and not new) or event.makes is Kind.LINK
    if takes and relative in _SKELETON and not target.made and target.kind is not Kind.ABSENT:
        return Refusal("a git directory cannot be taken apart")
    return None


_INFO_FILES = (b"attributes", b"exclude", b"grafts", b"alternates", b"http-alternates", b"sparse-checkout")


def _within(parts: list[bytes]) -> list[bytes]:
    """The path inside the git directory of a submodule or linked worktree, whose layout is that of any other."""
    while len(parts) > 2 and parts[0] in (b"modules", b"worktrees"):
        parts = parts[2:]
    return parts


def _info(parts: list[bytes], target: Target, event: FsEvent) -> Refusal | None:
    if parts[-1] in (b"alternates", b"http-alternates"):
        return Refusal("alternates would make foreign objects part of this repository")
    if parts[0] in (b"refs", b"logs") or (b"objects" in parts and parts[-1] != b"info"):
        return None  # a branch named info/…; objects/info/packs and commit-graphs
    if target.made or (event.op is FsOp.CREATE and event.makes is Kind.DIR):
        return None  # a repository that this run made (git init and clone copy info/exclude)
    if parts[-1] == b"info" and event.op is FsOp.META:
        return None
    if event.git_tool and parts[-1].startswith((b"refs", b"sparse-checkout")):
        return None  # git update-server-info, git sparse-checkout: no code, no other objects
    return Refusal(
        "info/ changes what git sees and runs (attributes, exclude, grafts)", ".gitignore and .gitattributes"
    )


def _config(target: Target, event: FsEvent) -> Refusal | None:
    # The rename of config.lock onto config is a GitConfigEvent and does not come here.
    if event.op is FsOp.META or (target.made and (target.kind is Kind.ABSENT or event.op is FsOp.UNLINK)):
        return None
    return Refusal("git configuration is changed through git, which is judged by key", "git config KEY VALUE")


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
