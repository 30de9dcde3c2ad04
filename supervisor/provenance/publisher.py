"""Writing the notes of one run into the user's repository.

* Which commits are the run's is asked of a git directory of ours, over the user's objects. Objects of notes are written
  by ``fast-import`` there too; the user's repository sees one ``update-ref`` transaction with the expected old value,
  through a second git directory of ours over its refs and logs: its configuration is read by none of them.
* Losing that race is normal: read again, build again, try again. No line of another run, or of a human, is lost.
* ``notes.jsonl`` in the run's folder says what was written; a second publisher of the same run goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from supervisor.git.base import Objects
from supervisor.git.layout import is_object_id, packed, read_small
from supervisor.git.neutral import Git, GitError
from supervisor.git.own import make_own, make_window, refresh
from supervisor.journal.codec import encode
from supervisor.journal.store import read_meta, read_refs
from supervisor.provenance import note
from supervisor.vocabulary.errors import GovrunError, UsageError

NOTES_REF = "refs/notes/govrun"
RECORD = "notes.jsonl"
OWN = "repo.git"
WINDOW = "refs.git"
_ATTEMPTS = 50
_MAX_COMMITS = 100_000
_MAX_FOREIGN_NOTE = 1 << 20
_VERIFIED = 32
_TIPS = 64
_LOCK_PATIENCE = 5.0
_OF_THE_END = ("kills", "external", "divergence")
_NOT_OURS = ("refs/notes/", "refs/govrun/")


class Publisher:
    """Publisher of the run in ``run_dir`` (``meta.json`` and ``refs.json`` must be there; see ``journal.store``).

    Raises ``UsageError`` when the run was not in a repository, ``HostError`` without git.
    """

    def __init__(self, run_dir: Path) -> None:
        meta = read_meta(run_dir)
        git = meta.get("git")
        if not isinstance(git, dict) or not isinstance(git.get("common_dir"), str):
            raise UsageError("this run has no repository", f"{run_dir.name}: nothing in meta.json under git", "")
        self.run = str(meta.get("run", run_dir.name))
        self._agent = str(meta.get("agent", ""))
        self._folder = run_dir
        self._common = Path(git["common_dir"])
        self._width = 64 if git.get("object_format") == "sha256" else 40
        self._own = make_own(run_dir / OWN, self._common, str(git.get("object_format", "sha1")))
        self._reader = Git(self._own, timeout=120.0)
        self._importer = Git(self._own, objects=self._common / "objects", timeout=120.0)
        window = make_window(run_dir / WINDOW, self._common, str(git.get("object_format", "sha1")))
        self._user = Git(window, timeout=20.0)
        self._objects = Objects(Git(self._own), timeout=10.0)
        base = str(git.get("base", ""))
        self._foreign = {*read_refs(run_dir).values(), base} - {""}
        found = self._objects.get(f"{base}^{{commit}}") if base else None
        self._base = _tree_of(found[2]) if found else ""
        self.noted: dict[str, note.Summary] = {}
        self.pending: dict[str, note.Summary] = {}
        self._tips: deque[str] = deque(maxlen=_TIPS)  # of the notes ref, as read and as written here
        self._resume()

    # ---- which commits ------------------------------------------------------------------------------------------

    def moved(self, message: Mapping[str, object]) -> None:
        """Take in ``{"ref", "commit", "counts", "decisions", "upto", "seconds", "fetched"}``.

        Its new commits become pending. A remote-tracking ref that git moved while it fetched brings other people's
        commits, unless the run made them before; one that was moved otherwise is like any other. Raises ``GitError``.
        """
        ref, tip = str(message.get("ref", "")), str(message.get("commit", ""))
        if ref.startswith(_NOT_OURS) or len(tip) != self._width or not is_object_id(tip) or not tip.strip("0"):
            return
        found = self._objects.get(tip + "^{commit}")
        if found is None:
            self.problem("gone before it could be read", commit=tip, ref=ref)
            return
        commit, _, body = found
        if commit in self.noted or commit in self.pending or commit in self._foreign:
            return
        if ref.startswith("refs/remotes/") and message.get("fetched") is not False:
            self._foreign.add(commit)
            return
        for new in self._new_commits(commit, body):
            content = body if new == commit else self._content(new)
            if content is not None and new not in self.noted:
                self.pending[new] = self._summary(message, _tree_of(content))

    def made_by_others(self, commit: str) -> None:
        """Somebody else moved a ref there while the run went on: neither it nor what it rests on is the run's."""
        if len(commit) == self._width and is_object_id(commit) and commit not in self.noted:
            self._foreign.add(commit)

    def _new_commits(self, commit: str, body: bytes) -> list[str]:
        parents = [line[7:].decode("ascii") for line in _header(body) if line.startswith(b"parent ")]
        ours = [parent in self.noted or parent in self.pending for parent in parents]
        if any(ours) and all(known or parent in self._foreign for parent, known in zip(parents, ours, strict=True)):
            return [commit]  # made on top of a commit of this run: it cannot be older than the run
        refresh(self._own, self._common)
        stop = "".join(f"^{known}\n" for known in (*self._foreign, *self.noted, *self.pending))
        args = ["rev-list", "--ignore-missing", f"--max-count={_MAX_COMMITS + 1}", "--stdin"]
        found = self._reader.run(args, f"{commit}\n{stop}".encode()).decode("ascii").split()
        if len(found) > _MAX_COMMITS:
            self.problem(f"more than {_MAX_COMMITS} new commits, the older ones get no note", commit=commit)
        return found[:_MAX_COMMITS]

    def _content(self, commit: str) -> bytes | None:
        found = self._objects.get(commit)
        return found[2] if found is not None and found[1] == "commit" else None

    def _summary(self, message: Mapping[str, object], tree: str) -> note.Summary:
        return note.Summary(
            run=self.run,
            status="RUNNING",
            agent=self._agent,
            exit=None,
            seconds=_whole(message.get("seconds")),
            upto=_whole(message.get("upto")),
            counts=_numbers(message.get("counts")),
            base=self._base,
            tree=tree,
            decisions=_numbers(message.get("decisions")),
        )

    # ---- writing ------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write a note on every pending commit, in one transaction. Raises ``GovrunError``; they then stay pending.

        Without any, the notes are written again if a prune has taken them (see ``_base_of``).
        """
        if not self.pending:
            if self._tips and not self._readable(self._tip()):
                self._write(self.noted, None)
            return
        tip, missing = self._write(self.pending, None)
        for commit, summary in self.pending.items():
            if commit in missing:
                self.problem("gone before it got a note", commit=commit)
                continue
            self.noted[commit] = summary
            self._record({"commit": commit, "notes": tip, **_fields(summary)})
        self.pending.clear()

    def finish(
        self, *, status: str, code: int | None, seconds: float, counts: Mapping[str, object] | None = None
    ) -> None:
        """Write what is pending, then give every note of this run what only the end knows, in one transaction: line 0,
        and the ``counts`` of lines 2 and 3 (``kills``, ``external``, ``divergence``).

        Raises ``GovrunError`` when that could not be done, ``ValueError`` for an unknown status.
        """
        failed: GovrunError | None = None
        try:
            self.flush()
        except GovrunError as error:
            failed = error  # the notes that are there get their last line all the same
        last = {name: number for name, number in _numbers(counts).items() if name in _OF_THE_END}
        final = {
            commit: told._replace(status=status, exit=code, seconds=int(seconds), counts={**told.counts, **last})
            for commit, told in self.noted.items()
        }
        if final:
            tip, missing = self._write(final, (0, 2, 3))
            self.noted = {commit: summary for commit, summary in final.items() if commit not in missing}
            self._record({"end": status, "exit": code, "notes": tip, "commits": len(self.noted), "gone": len(missing)})
        if failed is not None:
            raise failed

    def close(self) -> None:
        """End the helper process."""
        self._objects.close()

    def _write(self, wanted: Mapping[str, note.Summary], only: tuple[int, ...] | None) -> tuple[str, set[str]]:
        """(new tip of the notes ref, commits that do not exist any more). Raises ``GitError`` after all attempts."""
        last = GitError("the notes could not be written", "", None)
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0.002, min(0.2, 0.005 * attempt)))
            try:
                with self._turn():
                    old = self._tip()
                    base = self._base_of(old)
                    lost = base != old
                    stream, missing = self._stream(base, {**self.noted, **wanted} if lost else wanted, only)
                    if not lost and len(missing) == len(wanted):
                        return old, missing
                    new = self._importer.run(["fast-import", "--quiet", "--force", "--done"], stream).decode().strip()
                    self._tips += (base, new)
                    self._swap(old, new)
                    if lost:  # git fsck counts entries of the log whose commit is gone as damage
                        self._user.run(["reflog", "expire", "--expire=all", NOTES_REF])
                    self._verify(new, [commit for commit in wanted if commit not in missing])
                    return new, missing
            except GitError as error:
                last = error
                if error.code is None and attempt >= 2:
                    break  # too slow or damaged: fifty more of that would not help
        raise GitError("the notes could not be written", f"{last.what}: {last.why}", last.code)

    def _tip(self) -> str:
        """Commit that the notes ref is at, "" when there is none. Raises ``UsageError`` when it is a symbolic ref."""
        text = read_small(self._common / NOTES_REF)
        if text is None:
            return packed(self._common).get(NOTES_REF, "")
        value = text.strip()
        if not is_object_id(value):
            raise UsageError(f"{NOTES_REF} is not a plain ref", repr(value[:60]), f"git update-ref -d {NOTES_REF}")
        return value

    def _base_of(self, old: str) -> str:
        """Commit to build upon: ``old``, or the newest tip known here that is still there, "" for none.

        A prune that read the refs before ours moved deletes the new objects after: git guards new loose objects by
        their age only, and ``git prune`` sets that to nothing (git-prune(1), --expire). Raises ``GitError``.
        """
        if self._readable(old):
            return old
        for tip in reversed(self._tips) if old in self._tips else ():
            if self._readable(tip):
                return tip
        raise GitError(f"{NOTES_REF} is damaged", f"its commit {old} or tree cannot be read", None)

    def _readable(self, tip: str) -> bool:
        return not tip or all(self._objects.get(name) is not None for name in (tip, tip + "^{tree}"))

    def _stream(
        self, old: str, wanted: Mapping[str, note.Summary], only: tuple[int, ...] | None
    ) -> tuple[bytes, set[str]]:
        """The input of fast-import (git-fast-import(1)) and the commits that are gone: N dies on them."""
        title = f"govrun {self.run}\n".encode()
        parts = [
            b"commit refs/govrun/staging\nmark :1\n",
            b"committer govrun <govrun@invalid> %d +0000\ndata %d\n%s" % (int(time.time()), len(title), title),
        ]
        if old:
            parts.append(b"from %s\n" % old.encode())
        missing: set[str] = set()
        for commit, summary in wanted.items():
            if self._content(commit) is None:
                missing.add(commit)
                continue
            places, text = self._existing(old, commit)
            has_ours = any(line.startswith(self.run + " ") for line in text.splitlines())
            merged = note.merge(text, self.run, note.render(summary), only=only if has_ours else None)
            raw = merged.encode("utf-8", "surrogateescape")
            if len(places) > 1:  # N replaces one of several fan-outs only, and git crashes on such trees
                parts += [b"D %s\n" % place for place in places]
            parts.append(b"N inline %s\ndata %d\n%s\n" % (commit.encode(), len(raw), raw))
        parts.append(b"get-mark :1\ndone\n")
        return b"".join(parts), missing

    def _existing(self, tip: str, commit: str) -> tuple[list[bytes], str]:
        """Paths at which the notes tree has a note for ``commit`` (one, normally), and their text together."""
        if not tip:
            return [], ""
        name = commit.encode("ascii")
        places, texts = [], []
        for path in (name, name[:2] + b"/" + name[2:], name[:2] + b"/" + name[2:4] + b"/" + name[4:]):
            entry = self._objects.entry(tip, path)
            if entry is None:
                continue
            found = self._objects.get(entry.id, limit=_MAX_FOREIGN_NOTE)
            if found is None:
                raise GitError(f"{NOTES_REF} is damaged", f"the note on {commit} cannot be read", None)
            places.append(path)
            texts.append(found[2].decode("utf-8", "surrogateescape"))
        return places, "\n".join(texts)

    def _swap(self, old: str, new: str) -> None:
        # no-deref: were it a symbolic ref, the branch it points to would move.
        expected = old or "0" * self._width
        script = f"start\noption no-deref\nupdate {NOTES_REF} {new} {expected}\nprepare\ncommit\n"
        self._user.run(["update-ref", "--stdin"], script.encode())

    def _verify(self, tip: str, commits: list[str]) -> None:
        """What a prune has taken by now is written again at once; what it takes later, by the next flush."""
        for commit in commits[:_VERIFIED]:
            if not self._existing(tip, commit)[0]:
                raise GitError("a note vanished while it was written", commit, 1)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Runs of one state folder write in turn. Only courtesy: what keeps notes is the expected old value."""
        import fcntl

        folder = self._folder.parent.parent / "locks"
        folder.mkdir(mode=0o700, exist_ok=True)
        name = hashlib.sha256(os.fsencode(self._common)).hexdigest()[:24]
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            deadline = time.monotonic() + _LOCK_PATIENCE
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(random.uniform(0.002, 0.02))
            yield
        finally:
            os.close(descriptor)

    # ---- the publisher's own record -----------------------------------------------------------------------------

    def problem(self, text: str, **more: object) -> None:
        """Put down what could not be done."""
        self._record({"problem": text, **more})

    def _record(self, record: dict[str, object]) -> None:
        put_down(self._folder, {"run": self.run, **record})

    def _resume(self) -> None:
        text = read_small(self._folder / RECORD, 64 << 20) or ""
        for line in text.splitlines():
            try:
                record = json.loads(line)
                commit = record["commit"]
                if "problem" in record or len(commit) != self._width or not is_object_id(commit):
                    continue
                self.noted[commit] = self._summary(record, str(record["tree"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # torn, or of another kind


def put_down(folder: Path, record: Mapping[str, object]) -> None:
    """Append one record to ``notes.jsonl`` of the run in ``folder``. Raises ``GovrunError``."""
    head = {"v": 1, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    line = encode(head | dict(record)).encode("ascii") + b"\n"
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(folder / RECORD, flags, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise GovrunError(f"cannot write {RECORD}", str(error), exit_code=121) from error


def _fields(summary: note.Summary) -> dict[str, object]:
    return {
        "tree": summary.tree,
        "upto": summary.upto,
        "seconds": summary.seconds,
        "counts": dict(summary.counts),
        "decisions": dict(summary.decisions),
    }


def _header(commit: bytes) -> list[bytes]:
    return commit.partition(b"\n\n")[0].split(b"\n")


def _tree_of(commit: bytes) -> str:
    first = _header(commit)[0]
    return first[5:].decode("ascii", "replace") if first.startswith(b"tree ") else ""


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _numbers(value: object) -> dict[str, int]:
    items = cast("dict[str, object]", value).items() if isinstance(value, dict) else ()
    return {name: _whole(number) for name, number in items}
