"""Prior content: what other people committed, as the refs at the start reach it (and what is fetched from a remote
that was configured then). It may come back through git, and is recorded, not counted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from supervisor.git.base import GITLINK, SYMLINK, TREE, Objects
from supervisor.git.layout import Repository
from supervisor.git.neutral import Git
from supervisor.git.own import make_own
from supervisor.invariants.gitdir import holds_history
from supervisor.vocabulary.content import NOTHING_FOUND, Findings
from supervisor.vocabulary.errors import GovrunError

_TIPS = 256  # refs whose version of a path is looked at
_BLOBS = 16  # different versions of one path among them
_LARGEST = 2 << 20
_PATIENCE = 5.0  # seconds for a search of the history

Inspect = Callable[[str, bytes | None], Findings]


class Prior:
    """``refs``: {ref: object id} at the start; ``head``: the commit that was checked out, or "". ``folder``: the git
    directory of ours that is asked."""

    def __init__(self, repository: Repository, own: Path, refs: dict[str, str], head: str) -> None:
        self.folder = make_own(own, repository.common_dir, repository.object_format)
        self.objects = Objects(Git(self.folder))
        self.tips: dict[str, None] = dict.fromkeys(tip for tip in (head, *refs.values()) if tip)
        # Without what was put aside (a stash): a run before this one may have, and nobody was asked for its commits.
        kept = (tip for ref, tip in refs.items() if holds_history(ref))
        self.history: dict[str, None] = dict.fromkeys(tip for tip in (head, *kept) if tip)
        self._algorithm = repository.object_format
        self._searched: dict[tuple[bytes, str], bool] = {}

    def fetched(self, commit: str, ref: str) -> None:
        """``ref`` was moved there by others, or by a fetch from a remote that was configured at the start."""
        self.tips[commit] = None
        if holds_history(ref):
            self.history[commit] = None

    def says(self, path: bytes, kind: str, content: bytes | None, inspect: Inspect) -> tuple[Findings, bool]:
        """What the versions of ``path`` (relative to the tree) at the tips say, or ``content`` itself when exactly that
        lies in their history at this path, and whether it does. Nothing where that cannot be found out."""
        try:
            blobs = self._at_tips(path)
            if content is not None:
                blob = self.blob_id(content)
                if blob in blobs or self._in_history(path, blob):
                    return inspect(kind, content), True
            said = NOTHING_FOUND
            for each in list(blobs)[:_BLOBS]:
                found = self.objects.get(each, limit=_LARGEST)
                if found is not None:
                    # What cannot be read of one version excuses no other.
                    said = said.joined(inspect(kind, found[2])._replace(refusal="", digest=b""))
            return said, False
        except GovrunError:
            return NOTHING_FOUND, False

    def brought(
        self,
        inside: bytes,
        path: bytes,
        kind: str,
        content: bytes | None,
        inspect: Callable[[str, bytes, bytes | None], Findings],
    ) -> tuple[Findings, bool]:
        """What is other people's of a version that git brings to ``path``, and whether all of it is. ``inside``: the
        tree, with a slash."""

        def read(kind: str, content: bytes | None) -> Findings:
            return inspect(kind, path, content)

        nested = _nested(inside, path)
        if nested:
            # A work tree inside this one: only exactly what others committed, at the path it has there.
            same = content is not None and self.has(path[len(nested) + 1 :], content)
            return (read(kind, content), True) if same else (NOTHING_FOUND, False)
        return self.says(path[len(inside) :], kind, content, read)

    def at(self, commit: str, path: bytes) -> tuple[bool, bytes] | None:
        """The file as a commit has it: whether it is a link, and what it says; None where it has none. Errors:
        ``GovrunError``."""
        entry = self.objects.entry(commit, path) if commit else None
        if entry is None or entry.mode in (TREE, GITLINK):
            return None
        found = self.objects.get(entry.id, limit=_LARGEST)
        return (entry.mode == SYMLINK, found[2]) if found is not None else None

    def has(self, path: bytes, content: bytes) -> bool:
        """Whether other people committed exactly this at ``path``."""
        try:
            blob = self.blob_id(content)
            return blob in self._at_tips(path) or self._in_history(path, blob)
        except GovrunError:
            return False

    def has_blob(self, path: bytes, blob: str) -> bool:
        """``has`` for content that is known by its id in this repository."""
        try:
            return blob in self._at_tips(path) or self._in_history(path, blob)
        except GovrunError:
            return False

    def blob_id(self, content: bytes) -> str:
        """The id that this repository gives a content."""
        digest = hashlib.new(self._algorithm, b"blob %d\0" % len(content), usedforsecurity=False)
        digest.update(content)
        return digest.hexdigest()

    def lack(self, commits: Iterable[str], path: bytes) -> bool:
        """Whether one of the commits holds nothing at ``path``."""
        try:
            return any(commit and self.objects.entry(commit, path) is None for commit in commits)
        except GovrunError:
            return False

    def _at_tips(self, path: bytes) -> dict[str, None]:
        found: dict[str, None] = {}
        for tip in list(self.tips)[-_TIPS:]:
            entry = self.objects.entry(tip, path)
            if entry is not None and entry.mode not in (TREE, GITLINK, SYMLINK):
                found[entry.id] = None
        return found

    def _in_history(self, path: bytes, blob: str) -> bool:
        """Whether a commit that the tips reach has exactly this blob at this path (git-log(1), --find-object)."""
        key = (path, blob)
        if key not in self._searched:
            command: list[str | bytes] = [
                "log", "--format=%H", "-n1", "-m", f"--find-object={blob}", "--stdin", "--", b":(literal)" + path,
            ]  # fmt: skip
            tips = "".join(f"{tip}\n" for tip in self.tips).encode()
            try:
                self._searched[key] = bool(Git(self.folder, timeout=_PATIENCE).run(command, tips).strip())
            except GovrunError:
                return False  # not known to be prior: it counts
        return self._searched[key]

    def close(self) -> None:
        self.objects.close()


def _nested(inside: bytes, path: bytes) -> bytes:
    """The root of the innermost work tree below this one that holds ``path``, empty when there is none."""
    folder = path.rpartition(b"/")[0]
    while len(folder) >= len(inside):
        if os.path.lexists(folder + b"/.git"):
            return folder
        folder = folder.rpartition(b"/")[0]
    return b""
