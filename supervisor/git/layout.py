"""Finding the repository and its layout by reading files, as git does (gitrepository-layout(5)), without starting git.

* ``GIT_DIR`` and its like are not honoured: the environment must not choose what is governed.
* Nothing found here is trusted further than its use: sizes are bounded, object ids and ref names are checked.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from supervisor.vocabulary.errors import UsageError

_MAX_SMALL = 64 << 10
_MAX_PACKED = 256 << 20
_HEX = frozenset("0123456789abcdef")
_SYMREF_DEPTH = 5
_NOT_IN_REFS = frozenset(" ~^:?*[\\\x7f") | frozenset(map(chr, range(32)))


class Repository(NamedTuple):
    """``git_dir`` is that of this worktree, ``common_dir`` what all worktrees share; both absolute, symlinks resolved.

    ``top`` is the top of the worktree (equal to ``git_dir`` when ``bare``). ``head_ref`` is ``refs/heads/x``, or None
    when detached; ``head_commit`` an object id, or "" before the first commit. ``ref_format``: ``files`` or
    ``reftable``. ``worktrees`` are the git dirs of linked worktrees, ``modules`` is where those of submodules would be.
    """

    top: Path
    git_dir: Path
    common_dir: Path
    head_ref: str | None
    head_commit: str
    object_format: str
    ref_format: str
    bare: bool
    worktrees: tuple[Path, ...]
    modules: Path


def discover(cwd: Path) -> Repository | None:
    """The repository that ``cwd`` is in, or None. Raises ``UsageError`` when one is there but cannot be understood."""
    here = Path(os.path.realpath(cwd))
    for folder in (here, *here.parents):
        git_dir = _git_dir_at(folder)
        if git_dir is not None:
            return _describe(folder, git_dir)
    return None


def _git_dir_at(folder: Path) -> Path | None:
    """The git dir ``folder`` leads to: its ``.git`` folder, the target of its ``.git`` file, or itself when bare."""
    dot = folder / ".git"
    try:
        mode = os.stat(dot).st_mode
    except (FileNotFoundError, NotADirectoryError):
        # A dangling .git symlink counts as absent, for git too.
        return folder if _is_git_dir(folder) else None
    except OSError as error:
        raise UsageError(f"cannot read {str(dot)!r}", str(error), "make it readable") from error
    if stat.S_ISDIR(mode):
        resolved = Path(os.path.realpath(dot))
        # git passes over a .git folder without HEAD, objects and refs, and looks further up.
        return resolved if _is_git_dir(resolved) else None
    if not stat.S_ISREG(mode):
        raise UsageError(f"{str(dot)!r} is neither a folder nor a file", "git cannot read it either", "move it away")
    line = read_small(dot) or ""
    if not line.startswith("gitdir: "):
        raise UsageError(f"{str(dot)!r} is not a gitfile", "it does not begin with 'gitdir: '", "repair or move it")
    target = Path(os.path.realpath(folder / line.removeprefix("gitdir: ").rstrip("\r\n")))
    if not _is_git_dir(target):
        what = f"{str(dot)!r} leads to {str(target)!r}"
        raise UsageError(what, "which is not a git directory", "git worktree repair")
    return target


def _is_git_dir(folder: Path) -> bool:
    """Git's own test: a HEAD that reads as one, and objects and refs (there or in the common dir)."""
    head = read_small(folder / "HEAD")
    if head is None or not (head.startswith("ref:") or is_object_id(head.strip())):
        return False
    common = _common(folder)
    return (common / "objects").is_dir() and (common / "refs").is_dir()


def _common(git_dir: Path) -> Path:
    line = read_small(git_dir / "commondir")
    return Path(os.path.realpath(git_dir / line.rstrip("\r\n"))) if line else git_dir


def _describe(folder: Path, git_dir: Path) -> Repository:
    common = _common(git_dir)
    found = settings(common / "config")
    object_format = found.get("extensions.objectformat", "sha1").lower()
    if object_format not in ("sha1", "sha256"):
        raise UsageError("unknown object format", f"extensions.objectFormat = {object_format!r}", "use sha1 or sha256")
    bare = folder == git_dir and found.get("core.bare", "true").lower() in ("true", "yes", "on", "1")
    if folder == git_dir and not bare:
        raise UsageError(
            f"{str(folder)!r} is inside a git directory", "there is no working tree here", "cd to the tree"
        )
    head_ref, head_commit = resolve_head(git_dir, common)
    return Repository(
        top=folder,
        git_dir=git_dir,
        common_dir=common,
        head_ref=head_ref,
        head_commit=head_commit,
        object_format=object_format,
        ref_format=found.get("extensions.refstorage", "files").lower(),
        bare=bare,
        worktrees=_worktrees(common),
        modules=common / "modules",
    )


def _worktrees(common: Path) -> tuple[Path, ...]:
    try:
        with os.scandir(common / "worktrees") as entries:
            return tuple(sorted(Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)))
    except OSError:
        return ()


def resolve_head(git_dir: Path, common_dir: Path) -> tuple[str | None, str]:
    """(branch ref or None when detached, object id or "" when unborn or unreadable) of a worktree's HEAD."""
    line = (read_small(git_dir / "HEAD") or "").strip()
    if not line.startswith("ref:"):
        return None, line if is_object_id(line) else ""
    name = line.removeprefix("ref:").strip()
    return name, resolve_ref(git_dir, common_dir, name)


def resolve_ref(git_dir: Path, common_dir: Path, name: str) -> str:
    """Object id of a ref: loose file before packed line (gitrepository-layout(5)), symrefs followed; "" when absent."""
    for _ in range(_SYMREF_DEPTH):
        if not is_ref_name(name):
            return ""
        base = git_dir if name.startswith(("refs/bisect/", "refs/worktree/", "refs/rewritten/")) else common_dir
        line = read_small(base / name)
        if line is None:
            return packed(common_dir).get(name, "")
        line = line.strip()
        if not line.startswith("ref:"):
            return line if is_object_id(line) else ""
        name = line.removeprefix("ref:").strip()
    return ""


def packed(common_dir: Path) -> dict[str, str]:
    """Ref -> object id of ``packed-refs``; empty when there is none. Raises ``UsageError`` beyond 256 MiB."""
    path = common_dir / "packed-refs"
    try:
        # Neither a FIFO nor a link may hold up or lead away whoever reads.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(fd, "rb") as file:
            raw = file.read(_MAX_PACKED + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError:
        return {}
    if len(raw) > _MAX_PACKED:
        raise UsageError("packed-refs is larger than 256 MiB", str(path), "delete refs that are not needed")
    found: dict[str, str] = {}
    for line in raw.decode("utf-8", "surrogateescape").split("\n"):
        # '#' is the header, '^' the object a tag points to.
        value, _, name = line.partition(" ")
        if name and is_object_id(value):
            found[name] = value
    return found


def is_ref_name(name: str) -> bool:
    """True for a name that can be joined to a git dir without leaving it (the essence of git-check-ref-format(1))."""
    return (
        name.startswith("refs/")
        and not name.endswith(("/", ".", ".lock"))
        and not any(part in name for part in ("//", "/.", "..", "@{", ".lock/"))
        and _NOT_IN_REFS.isdisjoint(name)
    )


def is_object_id(text: str) -> bool:
    """True for 40 (SHA-1) or 64 (SHA-256) lower-case hex digits."""
    return len(text) in (40, 64) and _HEX.issuperset(text)


def read_small(path: Path, limit: int = _MAX_SMALL) -> str | None:
    """Text of a regular file, its first ``limit`` bytes, or None. A FIFO does not block; nothing is raised."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return os.read(descriptor, limit).decode("utf-8", "surrogateescape")
    except OSError:
        return None
    finally:
        os.close(descriptor)


def settings(config: Path) -> dict[str, str]:
    """``section.key`` (lower case) -> last value for sections without subsection: enough for core and extensions.

    Reads the plain form that git itself writes (git-config(1), Syntax); includes are not followed, nor does git follow
    them for repository format keys.
    """
    found: dict[str, str] = {}
    section = ""
    for line in (read_small(config) or "").splitlines():
        text = line.strip()
        if text.startswith("["):
            head, _, rest = text[1:].partition("]")
            section = "" if '"' in head else head.strip().lower()
            text = rest.strip()
        if not text or text[0] in "#;" or not section:
            continue
        key, equals, value = text.partition("=")
        value = value.split("#")[0].split(";")[0].strip().strip('"')
        found[f"{section}.{key.strip().lower()}"] = value if equals else "true"
    return found
