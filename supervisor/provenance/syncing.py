"""Notes and records between clones: fetched and merged line by line, pushed without force, rebuilt from records.

Records are refs of their own, never changed. Notes of two clones are merged here, not by ``git notes merge``: that
dies of trees with two fan-outs, and knows nothing of a note that was finished since.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.git.base import TREE
from supervisor.git.layout import Repository as Place
from supervisor.git.neutral import GitError
from supervisor.git.refs import snapshot
from supervisor.git.transport import by_the_user
from supervisor.journal.ids import is_ulid
from supervisor.provenance import note
from supervisor.provenance.ledger import LEDGERS
from supervisor.provenance.transaction import NOTES_REF, Edit, Repository
from supervisor.vocabulary.errors import GovrunError

RECORDS = "refs/govrun/*:refs/govrun/*"
SETTINGS = {
    "notes.rewriteRef": NOTES_REF,
    "notes.rewriteMode": "cat_sort_uniq",
    "notes.govrun.mergeStrategy": "cat_sort_uniq",
    "notes.displayRef": NOTES_REF,
}
_RECORDS = "refs/govrun/runs/"
_KEY = re.compile(r"[0-9a-f]{16}")
_PUSHES = 5
_DEEPEST = 3
_MOST_NOTE = 1 << 20
_DONE = 8  # the number of the last line of a note that is finished


class Synced(NamedTuple):
    """How many notes were changed here, how many of them are on commits that are not here, and how many records there
    are."""

    changed: int = 0
    absent: int = 0
    records: int = 0


class Syncing:
    """Of the repository at ``place``; ``state`` is the state folder. Close it. Errors: ``GovrunError``."""

    def __init__(self, place: Place, state: Path) -> None:
        self._place = place
        self._folder = state / "sync" / os.urandom(8).hex()
        self._folder.mkdir(mode=0o700, parents=True)
        (state / "sync").chmod(0o700)
        told = {"common_dir": str(place.common_dir), "object_format": place.object_format}
        self._repository = Repository(self._folder, told)

    def close(self) -> None:
        self._repository.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def fetch(self, remote: str) -> Synced:
        """Take over notes and records of ``remote``."""
        tracking = f"refs/notes/govrun-remotes/{remote}"
        asked = by_the_user(self._place.top, ["ls-remote", "--refs", remote, NOTES_REF, f"{_RECORDS}*", f"{LEDGERS}*"])
        told = {name: ident for ident, _, name in (line.partition("\t") for line in asked.splitlines())}
        # One by another name could lie in the way of ours: a ref has no refs below it.
        there = {name: ident for name, ident in told.items() if name == NOTES_REF or _is_ours(name)}
        known = snapshot(self._place.common_dir)
        # git replaces a ref that is no branch and leads to no commit without a word, so none is asked for again.
        wanted = {name: name for name in there if name.startswith(_RECORDS) and name not in known}
        # Without force: a ledger only grows. One that is shorter there has grown here.
        wanted |= {n: n for n, at in there.items() if n.startswith(LEDGERS) and not self._is_in(at, known.get(n))}
        wanted |= {f"+{NOTES_REF}": tracking} if NOTES_REF in there else {}
        if wanted:
            self._take(remote, wanted, there)
        done = self._merge(self._repository.ref(tracking)) if NOTES_REF in there else Synced()
        known = known | {name: at for name, at in snapshot(self._place.common_dir).items() if name in wanted}
        others = [name for name, at in there.items() if name.startswith(_RECORDS) and known.get(name, at) != at]
        others += [name for name in wanted if name.startswith(LEDGERS) and known.get(name) != there[name]]
        if others:
            why = f"{others[0]} is another one at {remote}" + (
                f", and {len(others) - 1} more" if len(others) > 1 else ""
            )
            fix = f"ask whoever runs {remote}: a record never changes, and a ledger only grows"
            raise GovrunError("not everything was taken over", why, fix)
        return done._replace(records=self._records())

    def _take(self, remote: str, wanted: Mapping[str, str], there: Mapping[str, str]) -> None:
        """Errors: ``GitError``, but not for a ledger alone: git takes over all others, and says that it did not."""
        words = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--stdin", remote]
        try:
            by_the_user(self._place.top, words, "".join(f"{name}:{ours}\n" for name, ours in wanted.items()))
        except GitError:
            here = snapshot(self._place.common_dir)
            for name, ours in wanted.items():
                if not name.startswith(LEDGERS) and here.get(ours) != there[name.removeprefix("+")]:
                    raise

    def push(self, remote: str) -> Synced:
        """Give notes and records to ``remote``, after taking over its own, as often as others are faster."""
        attempt = 0
        while True:
            attempt += 1
            fetched = self.fetch(remote)
            known = snapshot(self._place.common_dir)
            wanted = [NOTES_REF] if NOTES_REF in known else []
            wanted += [RECORDS] if any(name.startswith("refs/govrun/") for name in known) else []
            try:
                if wanted:
                    by_the_user(self._place.top, ["push", "--quiet", remote, *wanted])
            except GitError as error:
                if attempt == _PUSHES or not _is_race(error.why):
                    raise
            else:
                return fetched

    def rebuild(self) -> Synced:
        """Write the notes again from the records that are here. Lines of other authors stay."""
        from supervisor.provenance.verifying import texts_of

        wanted: dict[str, str] = {}
        known = snapshot(self._place.common_dir)
        for name in sorted(known):
            if name.startswith(_RECORDS):
                for commit, text in texts_of(self._repository.objects, known[name], name.rpartition("/")[2]):
                    wanted[commit] = wanted.get(commit, "") + text
        return self._write(wanted, "")._replace(records=self._records())

    def _records(self) -> int:
        return sum(name.startswith(_RECORDS) for name in snapshot(self._place.common_dir))

    def _is_in(self, theirs: str, ours: str | None) -> bool:
        """Whether what is there was here before."""
        here = ours is not None and self._repository.content(theirs) is not None
        return here and (theirs == ours or self._has(str(ours), theirs))

    def _merge(self, theirs: str) -> Synced:
        ours = self._repository.ref(NOTES_REF)
        if not theirs or theirs == ours or (ours and self._has(ours, theirs)):
            return Synced()
        before = dict(_places(self._repository, ours)) if ours else {}
        changed = {commit: ident for commit, ident in _places(self._repository, theirs) if before.get(commit) != ident}
        return self._write({commit: self._text(ident) for commit, ident in changed.items()}, theirs)

    def _has(self, ours: str, theirs: str) -> bool:
        try:
            self._repository.reader.run(["merge-base", "--is-ancestor", theirs, ours])
        except GitError as error:
            if error.code == 1:
                return False
            raise
        return True

    def _text(self, ident: str) -> str:
        found = self._repository.objects.get(ident, limit=_MOST_NOTE)
        return found[2].decode("utf-8", "surrogateescape") if found is not None else ""

    def _write(self, wanted: Mapping[str, str], theirs: str) -> Synced:
        edits: dict[str, Edit] = {commit: _merging(text) for commit, text in wanted.items()}
        self._repository.write(edits, {}, also=theirs, absent=True)
        return Synced(len(edits), sum(self._repository.content(commit) is None for commit in edits))


def _is_ours(name: str) -> bool:
    """Whether govrun gives such names: ``refs/govrun/runs/XX/RUN``, ``refs/govrun/ledger/KEY/RUN``."""
    if name.startswith(_RECORDS):
        run = name.rpartition("/")[2]
        return is_ulid(run) and name == note.ref_of(run)
    key, _, run = name.removeprefix(LEDGERS).partition("/")
    return _KEY.fullmatch(key) is not None and is_ulid(run)


def _merging(theirs: str) -> Edit:
    return lambda ours: merged(ours, theirs)


def merged(ours: str, theirs: str) -> str:
    """Both, no line twice. Of a run that one side has finished, what the other says of it while it went on goes."""
    mine, others = note.parse(ours), note.parse(theirs)
    stale_here = {run for run in others if _DONE in others[run] and _DONE not in mine.get(run, {})}
    stale_there = {run for run in mine if _DONE in mine[run] and _DONE not in others.get(run, {})}
    kept = [line for line in ours.splitlines() if line.partition(" ")[0] not in stale_here]
    new = [line for line in theirs.splitlines() if line.partition(" ")[0] not in stale_there]
    while kept and not kept[-1]:
        kept.pop()
    known = set(kept)
    kept += [line for line in new if line and line not in known]
    return "".join(f"{line}\n" for line in kept)


def _places(repository: Repository, tip: str) -> Iterator[tuple[str, str]]:
    """(annotated object, id of its note) of a notes tree, whatever its fan-out."""
    waiting = [(b"", tip, 0)]
    while waiting:
        prefix, name, depth = waiting.pop()
        for each, entry in (repository.objects.tree(name) or {}).items():
            whole = prefix + each
            if entry.mode == TREE and depth < _DEEPEST:
                waiting.append((whole, entry.id, depth + 1))
            elif repository.is_object_id(text := whole.decode("ascii", "replace")):
                yield text, entry.id


def _is_race(why: str) -> bool:
    """Somebody else pushed in between: nothing else is worth another try."""
    return any(word in why for word in ("non-fast-forward", "fetch first", "cannot lock ref", "failed to update ref"))


def set_up(top: Path) -> Iterable[str]:
    """Have git carry notes through amend and rebase, and show them. Returns what was set."""
    for key, value in SETTINGS.items():
        try:
            known = by_the_user(top, ["config", "--local", "--get-all", key]).splitlines()
        except GitError as error:
            if error.code != 1:  # git-config(1): the section or key is not there
                raise
            known = []
        if value not in known:
            by_the_user(top, ["config", "--local", "--add", key, value])
            yield f"{key} {value}"
