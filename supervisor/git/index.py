"""What is staged: where an index differs from a commit, asked of a git directory of ours (git-diff-index(1))."""

from __future__ import annotations

from pathlib import Path

from supervisor.git.base import Entry
from supervisor.git.layout import is_object_id
from supervisor.git.neutral import Git

# The empty tree: git knows it without an object (sha1 repositories only).
_NOTHING = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def staged(own: Path, index: Path, head: str) -> list[tuple[bytes, Entry]]:
    """(path from the top, entry) of files that ``index`` has and the commit ``head`` (empty: none yet) has not, or not
    like that. Raises ``GitError``, also for an index that git cannot read."""
    words = [
        "diff-index",
        "--cached",
        "--raw",
        "-z",
        "--no-renames",
        "--diff-filter=AMT",
        "--abbrev=64",
        head or _NOTHING,
    ]
    raw = Git(own, index=index).run(words)
    parts = raw.split(b"\0")
    found = []
    # ``:100644 100755 OLD NEW M`` and the path, each with its zero.
    for said, path in zip(parts[::2], parts[1::2], strict=False):
        fields = said.split(b" ")
        value = fields[3].decode("ascii", "replace") if len(fields) > 3 else ""
        if is_object_id(value):
            found.append((path, Entry(int(fields[1], 8), value)))
    return found
