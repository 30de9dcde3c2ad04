"""Notes and records between clones: fetched and merged line by line, pushed without force, rebuilt from records.

Records are refs of their own, never changed. Notes of two clones are merged here, not by ``git notes merge``: that
dies of trees with two fan-outs, and knows nothing of a note that was finished since.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from supervisor.git.base import TREE, TooLarge
from supervisor.git.layout import Repository as Place
from supervisor.git.neutral import GitError
from supervisor.git.refs import snapshot
from supervisor.git.transport import by_the_user
from supervisor.journal.ids import is_ulid
from supervisor.provenance import note
from supervisor.provenance.answers import No
from supervisor.provenance.keys import Trusted
from supervisor.provenance.ledger import LEDGERS
from supervisor.provenance.recorded import Records
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
_MOST_NOTE = 1 << 20  # as whoever writes notes reads them
_LEFT_OUT = "a note of more than 1 MiB was left out here\n"
_DONE = 8  # the number of the last line of a note that is finished


class Synced(NamedTuple):
    """How many notes were changed here, how many of them are on commits that are not here, how many records there are,
    and on which commits a note is left as it is because one would be too large to be read again."""

    changed: int = 0
    absent: int = 0
    records: int = 0
    skipped: tuple[str, ...] = ()


class Syncing:
    """Of the repository at ``place``; ``state`` is the state folder, ``trusted`` are the keys that are believed. Close
    it. Errors: ``GovrunError``."""

    def __init__(self, place: Place, state: Path, trusted: Sequence[Trusted] = ()) -> None:
        self._place = place
        self._folder = state / "sync" / os.urandom(8).hex()
        self._folder.mkdir(mode=0o700, parents=True)
        (state / "sync").chmod(0o700)
        told = {"common_dir": str(place.common_dir), "object_format": place.object_format}
        self._repository = Repository(self._folder, told)
        self._refs: Mapping[str, str] = {}
        self._records = Records(self._repository.objects, lambda name: self._refs.get(name, ""), trusted)
        self._known: dict[str, dict[str, frozenset[str]] | None] = {}

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
        self._refs = snapshot(self._place.common_dir)
        done = self._merge(self._repository.ref(tracking)) if NOTES_REF in there else Synced(records=self._count())
        known = known | {name: at for name, at in self._refs.items() if name in wanted}
        others = [name for name, at in there.items() if name.startswith(_RECORDS) and known.get(name, at) != at]
        others += [name for name in wanted if name.startswith(LEDGERS) and known.get(name) != there[name]]
        if others:
            why = f"{others[0]} is another one at {remote}" + (
                f", and {len(others) - 1} more" if len(others) > 1 else ""
            )
            fix = f"ask whoever runs {remote}: a record never changes, and a ledger only grows"
            raise GovrunError("not everything was taken over", why, fix)
        return done

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
        self._refs = snapshot(self._place.common_dir)
        ours = self._notes(self._refs.get(NOTES_REF, ""))
        wanted = dict.fromkeys(ours, "")  # in any of them may be lines that a run has not signed
        for name in sorted(self._refs):
            if name.startswith(_RECORDS):
                run = name.rpartition("/")[2]
                lines = self._signed(run)
                for commit, each in (self._unbelieved(run) if lines is None else lines).items():
                    wanted[commit] = wanted.get(commit, "") + _text(each)
        return self._write(ours, wanted, "")

    def _signed(self, run: str) -> dict[str, frozenset[str]] | None:
        """The lines that its notes have, by commit, as somebody who is believed has signed them; None if nobody has."""
        if run not in self._known:
            try:
                record = self._records.verified(run, events=False)
                self._known[run] = {commit: frozenset(record.text(commit).splitlines()) for commit in record.commits}
            except (No, ValueError, OverflowError):  # of a later version: what its notes say is left as it is
                self._known[run] = None
        return self._known[run]

    def _unbelieved(self, run: str) -> dict[str, frozenset[str]]:
        """The same as its record has it: what that is worth is for ``govrun verify`` to say."""
        record = self._records.unbelieved(run)
        found: dict[str, frozenset[str]] = {}
        for commit in record.commits if record is not None else ():
            try:
                lines = frozenset(record.text(commit).splitlines()) if record is not None else frozenset()
            except (ValueError, OverflowError):
                continue  # numbers that are none, a status that is none
            if self._repository.is_object_id(commit) and all(note.owner(line) == run for line in lines):
                found[commit] = lines
        return found

    def _count(self) -> int:
        return sum(name.startswith(_RECORDS) for name in self._refs)

    def _is_in(self, theirs: str, ours: str | None) -> bool:
        """Whether what is there was here before."""
        here = ours is not None and self._repository.content(theirs) is not None
        return here and (theirs == ours or self._has(str(ours), theirs))

    def _merge(self, theirs: str) -> Synced:
        ours = self._repository.ref(NOTES_REF)
        if not theirs or theirs == ours or (ours and self._has(ours, theirs)):
            return Synced(records=self._count())
        here, there = self._notes(ours), self._notes(theirs)
        changed = {commit: self._text(idents) for commit, idents in there.items() if here.get(commit) != idents}
        told = {commit: _LEFT_OUT if text is None else text for commit, text in changed.items()}
        done = self._write(here, told, theirs)
        left = [commit for commit, text in changed.items() if text is None]
        return done._replace(skipped=tuple(sorted({*done.skipped, *left})))

    def _notes(self, tip: str) -> dict[str, list[str]]:
        """Ids of the notes on each object: of several, where the tree has several fan-outs."""
        found: dict[str, list[str]] = {}
        for commit, ident in _places(self._repository, tip) if tip else ():
            found.setdefault(commit, []).append(ident)
        return found

    def _has(self, ours: str, theirs: str) -> bool:
        try:
            self._repository.reader.run(["merge-base", "--is-ancestor", theirs, ours])
        except GitError as error:
            if error.code == 1:
                return False
            raise
        return True

    def _text(self, idents: Iterable[str]) -> str | None:
        """None: it is too large."""
        try:
            found = [self._repository.objects.get(each, limit=_MOST_NOTE) for each in idents]
        except TooLarge:
            return None
        return "\n".join(each[2].decode("utf-8", "surrogateescape") for each in found if each is not None)

    def _write(self, here: Mapping[str, list[str]], wanted: Mapping[str, str], theirs: str) -> Synced:
        """Add ``wanted`` to the notes that are ``here``. One that could not be read again is left as it is."""
        edits: dict[str, Edit] = {}
        skipped = []
        for commit, text in wanted.items():
            ours = self._text(here.get(commit, ()))
            edit = self._adding(commit, text)
            if ours is None or _is_large(edit(ours)):
                skipped.append(commit)
            elif edit(ours) != ours:
                edits[commit] = edit
        if edits or theirs:
            self._repository.write(edits, {}, also=theirs, absent=True)
        absent = sum(self._repository.content(commit) is None for commit in edits)
        return Synced(len(edits), absent, self._count(), tuple(sorted(skipped)))

    def _adding(self, commit: str, text: str) -> Edit:
        return lambda ours: note.bounded(self._true(commit, merged(ours, text)))

    def _true(self, commit: str, text: str) -> str:
        """Without lines that a run has not signed, where it has signed any: a note is text that anybody can push."""
        for run, lines in note.said(text).items():
            signed = self._signed(run)
            if signed is None:
                continue
            rightful = signed.get(commit) or lines & frozenset().union(*signed.values())
            if lines != rightful:
                text = note.replaced(text, run, rightful)
        return text


def _is_ours(name: str) -> bool:
    """Whether govrun gives such names: ``refs/govrun/runs/XX/RUN``, ``refs/govrun/ledger/KEY/RUN``."""
    if name.startswith(_RECORDS):
        run = name.rpartition("/")[2]
        return is_ulid(run) and name == note.ref_of(run)
    key, _, run = name.removeprefix(LEDGERS).partition("/")
    return _KEY.fullmatch(key) is not None and is_ulid(run)


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in sorted(lines, key=note.order))


def _is_large(text: str) -> bool:
    return len(text.encode("utf-8", "surrogateescape")) > _MOST_NOTE


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
