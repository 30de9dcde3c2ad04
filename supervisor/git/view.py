"""A repository as git would see it, through a git directory of ours: which files it tracks or would track, and which
commit a revision means. Nothing that the user's git directory configures is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from supervisor.git import refs
from supervisor.git.layout import Repository, is_object_id, read_small
from supervisor.git.neutral import Git, GitError
from supervisor.git.own import make_own
from supervisor.vocabulary.errors import StopRun, UsageError

_PATIENCE = 120.0  # seconds for a listing
_MOST_INDEX = 1 << 30
_PSEUDO = ("ORIG_HEAD", "FETCH_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REBASE_HEAD")


class View:
    """``folder`` is made, and may be removed afterwards. Errors: ``GovrunError``."""

    def __init__(self, folder: Path, repository: Repository) -> None:
        self._top = os.fsencode(repository.top)
        try:
            for each in (folder, folder / "info"):
                each.mkdir(mode=0o700, exist_ok=True)
            _copy_state(repository, folder)
            make_own(folder, repository.common_dir, repository.object_format)
            if repository.head_commit:
                (folder / "HEAD").write_text(repository.head_commit + "\n")
        except OSError as error:
            raise StopRun("cannot make a git directory to look through", str(error), "free space there") from error
        self.git = Git(folder, timeout=_PATIENCE)

    def files(self, excludes: Iterable[Path] = ()) -> list[bytes]:
        """Paths relative to the top, sorted: in the index, or untracked and not ignored (gitignore(5); ``excludes``
        are further files of patterns). Submodules are among them as folders."""
        return self._listed("--cached", "--others", "--exclude-standard", *(f"--exclude-from={p}" for p in excludes))

    def tracked(self) -> list[bytes]:
        """Those of them that are in the index."""
        return self._listed("--cached")

    def _listed(self, *choice: str) -> list[bytes]:
        words: list[str | bytes] = ["--work-tree=" + os.fsdecode(self._top), "-C", self._top, "ls-files", "-z", *choice]
        try:
            raw = self.git.run(words)
        except GitError as error:
            raise UsageError("the files of the tree cannot be listed", error.why, "git status", exit_code=2) from error
        return sorted(set(raw.split(b"\0")) - {b""})

    def commit(self, revision: str) -> str:
        """The id of the commit that ``revision`` means (gitrevisions(7), without reflogs and upstreams)."""
        try:
            if revision.startswith("-") or not revision:
                raise GitError("", "it is no revision", None)
            found = self.git.run(["rev-parse", "--verify", "--quiet", revision + "^{commit}"]).decode("ascii").strip()
        except (GitError, ValueError) as error:
            why = "no commit is known by that name, or its objects are missing"
            raise UsageError(
                f"cannot find the commit {revision[:80]!r}", why, "git log --oneline", exit_code=2
            ) from error
        if not is_object_id(found):
            raise UsageError(
                f"cannot find the commit {revision[:80]!r}",
                "git names no commit by it",
                "git log --oneline",
                exit_code=2,
            )
        return found

    def blame(self, path: bytes, commit: str = "HEAD") -> list[tuple[str, bytes]]:
        """The commit and the text of each line of ``path`` (relative to the top) as ``commit`` has it."""
        raw = self.git.run(["blame", "--porcelain", commit, "--", path])
        found, made = [], ""
        for line in raw.split(b"\n"):
            if line.startswith(b"\t"):
                found.append((made, line[1:]))
            elif is_object_id(first := line.partition(b" ")[0].decode("ascii", "replace")):
                made = first  # the other lines before the text begin with a word (git-blame(1), PORCELAIN FORMAT)
        return found


def _copy_state(repository: Repository, folder: Path) -> None:
    """The index, what is excluded, and the refs. Errors: OSError."""
    sources = [repository.git_dir / "index", *sorted(repository.git_dir.glob("sharedindex.*"))[:8]]
    for source in sources:
        _copy(source, folder / source.name)
    _copy(repository.common_dir / "info" / "exclude", folder / "info" / "exclude")
    known = refs.snapshot(repository.common_dir) if repository.ref_format == "files" else {}
    lines = [f"{value} {name}\n" for name, value in sorted(known.items())]
    (folder / "packed-refs").write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    for name in _PSEUDO:
        value = (read_small(repository.git_dir / name) or "").split("\t")[0].strip()
        if is_object_id(value):
            (folder / name).write_text(value + "\n")


def _copy(source: Path, target: Path) -> None:
    """A regular file, not through a link; nothing when there is none."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    with open(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if info.st_mode & 0o170000 != 0o100000 or info.st_size > _MOST_INDEX:
            return
        with open(target, "wb") as out:
            shutil.copyfileobj(file, out)
