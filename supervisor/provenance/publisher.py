"""The notes and the record of one run: which commits are its own, and what is said of each.

``notes.jsonl`` in the run's folder says what was written; a second publisher of the same run goes on from there.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, cast

from supervisor.git.neutral import GitError
from supervisor.journal.store import read_meta, read_refs
from supervisor.provenance import note
from supervisor.provenance.answers import No
from supervisor.provenance.booking import Booking
from supervisor.provenance.bundle import Bundle, Log
from supervisor.provenance.keys import Trusted, own_public
from supervisor.provenance.ledger import LEDGERS, Place
from supervisor.provenance.lineage import Lineage
from supervisor.provenance.progress import put_down, records
from supervisor.provenance.transaction import NOTES_REF, Edit, Goal, Repository, Wanted, Written
from supervisor.vocabulary.errors import GovrunError, HostError, UsageError

__all__ = ["NOTES_REF", "Ending", "IncompleteError", "Publisher"]

_MAX_COMMITS = 100_000
_OF_THE_END = (0, 2, 3, 5, 6, 7, 8)  # lines of a note that the end of the run writes again
_COUNTED_LAST = ("kills", "external", "divergence", "contracts", "contracts_passed")
_EPISODES = "episodes_"
_NOT_OURS = ("refs/notes/", "refs/govrun/")


class Ending(NamedTuple):
    """How the run ended, as ``end`` of ``meta.json`` has it: ``reason`` is the run's ``end`` field, ``code`` the
    agent's exit status; ``counts`` and ``decisions`` are those of the whole run, up to record ``upto``."""

    status: str = "UNKNOWN"
    reason: str = "crash"
    code: int | None = None
    seconds: float = 0.0
    counts: Mapping[str, int] = {}
    decisions: Mapping[str, int] = {}
    upto: int = 0

    @classmethod
    def read(cls, told: Mapping[str, object]) -> Ending:
        """From JSON. What is not there, or not of its kind, is as unknown as after a crash."""
        code, seconds = told.get("exit"), told.get("seconds")
        return cls(
            str(told.get("status", "UNKNOWN")),
            str(told.get("reason", "crash")),
            code if isinstance(code, int) else None,
            float(seconds) if isinstance(seconds, int | float) else 0.0,
            _numbers(told.get("counts")),
            _numbers(told.get("decisions")),
            _whole(told.get("upto", told.get("seq"))),
        )


class IncompleteError(GovrunError):
    """Part of it was written; ``notes.jsonl`` says what was not."""


class Publisher:
    """Publisher of the run in ``run_dir`` (``meta.json`` and ``refs.json`` must be there; see ``journal.store``), which
    is ``claimed``.

    Raises as ``Repository`` does.
    """

    def __init__(self, run_dir: Path) -> None:
        meta = self._meta = read_meta(run_dir)
        git = meta.get("git")
        self.run = str(meta.get("run", run_dir.name))
        self._agent = str(meta.get("agent", ""))
        self.folder = run_dir
        repository = self._repository = Repository(run_dir, git)
        self._base = base = str(git.get("base", "")) if isinstance(git, dict) else ""
        self._foreign = {*read_refs(run_dir).values(), base} - {""}
        found = repository.objects.get(f"{base}^{{commit}}") if base else None
        self._base_tree = _tree_of(found[2]) if found else ""
        self.noted: dict[str, note.Summary] = {}
        self.pending: dict[str, note.Summary] = {}
        self._resume()

    # ---- which commits ------------------------------------------------------------------------------------------

    def moved(self, message: Mapping[str, object]) -> None:
        """Take in ``{"ref", "commit", "counts", "decisions", "upto", "seconds", "fetched"}``.

        Its new commits become pending. A remote-tracking ref that git moved while it fetched brings other people's
        commits, unless the run made them before; one that was moved otherwise is like any other. Raises ``GitError``.
        """
        ref, tip = str(message.get("ref", "")), str(message.get("commit", ""))
        if ref.startswith(_NOT_OURS) or not self._repository.is_object_id(tip) or not tip.strip("0"):
            return
        found = self._repository.objects.get(tip + "^{commit}")
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
            content = body if new == commit else self._repository.content(new)
            if content is not None and new not in self.noted:
                self.pending[new] = self._summary(message, _tree_of(content))

    def made_by_others(self, commit: str) -> None:
        """Somebody else moved a ref there while the run went on: neither it nor what it rests on is the run's."""
        if self._repository.is_object_id(commit) and commit not in self.noted:
            self._foreign.add(commit)

    def _new_commits(self, commit: str, body: bytes) -> list[str]:
        parents = [line[7:].decode("ascii") for line in _header(body) if line.startswith(b"parent ")]
        ours = [parent in self.noted or parent in self.pending for parent in parents]
        if any(ours) and all(known or parent in self._foreign for parent, known in zip(parents, ours, strict=True)):
            return [commit]  # made on top of a commit of this run: it cannot be older than the run
        self._repository.refresh()
        stop = "".join(f"^{known}\n" for known in (*self._foreign, *self.noted, *self.pending))
        args = ["rev-list", "--ignore-missing", f"--max-count={_MAX_COMMITS + 1}", "--stdin"]
        found = self._repository.reader.run(args, f"{commit}\n{stop}".encode()).decode("ascii").split()
        if len(found) > _MAX_COMMITS:
            self.problem(f"more than {_MAX_COMMITS} new commits, the older ones get no note", commit=commit)
        return found[:_MAX_COMMITS]

    def _summary(self, message: Mapping[str, object], tree: str) -> note.Summary:
        return note.Summary(
            run=self.run,
            status="RUNNING",
            agent=self._agent,
            exit=None,
            seconds=_whole(message.get("seconds")),
            upto=_whole(message.get("upto")),
            counts=_numbers(message.get("counts")),
            base=self._base_tree,
            tree=tree,
            decisions=_numbers(message.get("decisions")),
            coverage=_numbers(self._meta.get("coverage")),
        )

    # ---- writing ------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write a note on every pending commit, in one transaction. Raises ``GovrunError``; they then stay pending.

        Without any, the notes are written again if a prune has taken them (see ``Repository``).
        """
        wanted = self.pending
        if not wanted:
            if self._repository.intact():
                return
            wanted = self.noted
        edits, everything = self._edits(wanted), self._edits(self.noted)
        written = self._repository.carry_out(lambda: Wanted(edits, everything), partly=True)
        if (error := written.failed.get(NOTES_REF)) is not None:
            raise error
        for commit, summary in self.pending.items():
            if (error := written.failed.get(commit)) is not None:
                self.problem(_told(error), commit=commit)  # the end of the run tries again
                self.noted[commit] = summary
            else:
                self._put_down(commit, summary, written)
        self.pending.clear()

    def _put_down(self, commit: str, summary: note.Summary, written: Written) -> None:
        if commit in written.missing:
            self.problem("gone before it got a note", commit=commit)
            return
        self.noted[commit] = summary
        self._record({"commit": commit, "notes": written.tip, **_fields(summary)})

    def finish(self, end: Ending) -> int:
        """In one transaction, give every note of this run what only the end knows, those that are pending among them,
        and put the run's record at its ref. A run without a commit (any more) is noted on the commit it began at.
        Returns how many commits are noted.

        The last call on this object but ``close``. Raises ``GovrunError`` when something could not be done: what could
        was, ``notes.jsonl`` says what is missing, and another attempt makes up for it. ``ValueError``: an unknown
        status.
        """
        pending = dict(self.pending)
        for commit in [each for each in pending if self._repository.content(each) is None]:
            self.problem("gone before it got a note", commit=commit)
            del pending[commit]
        self.noted |= pending
        self.pending.clear()
        bundle = Bundle(self.folder, self._meta)
        try:
            edits, written, odd = self._recorded(bundle, end)
        finally:
            bundle.close()
        if odd:
            self.problem(odd)
        for commit, summary in pending.items():
            if not {commit, NOTES_REF} & set(written.failed):
                self._put_down(commit, summary, written)
        if written.failed:
            error = self._incomplete(written.failed)
            self.problem(_told(error), missing=list(written.failed))
            raise error
        noted = len(edits) - len(written.missing)
        self._repository.tidy()
        told: dict[str, object] = {"end": end.status, "exit": end.code, "notes": written.tip, "commits": noted}
        self._record(told | {"gone": len(written.missing), "ref": note.ref_of(self.run)})  # the last word
        return noted

    def _incomplete(self, failed: Mapping[str, GovrunError]) -> GovrunError:
        names = {note.ref_of(self.run): "the record", NOTES_REF: "the notes"}
        what = list(dict.fromkeys(names.get(each, _part(each)) for each in failed))
        why = list(dict.fromkeys(_told(error) for error in failed.values()))
        return IncompleteError(f"{' and '.join(what)} could not be written", "; ".join(why), exit_code=121)

    def _recorded(self, bundle: Bundle, end: Ending) -> tuple[Mapping[str, Edit], Written, str]:
        """Write the notes, the record and its entry in the ledger. The place in the ledger is found, and what names it
        signed, while no other run of this installation writes."""
        if bundle.untraced:
            self.problem(bundle.untraced)
        told = self._final(end, bundle.log, bundle.lineage)
        ref = note.ref_of(self.run)
        odd = ""
        edits: Mapping[str, Edit] = {}

        def plan() -> Wanted:
            nonlocal edits
            try:
                booking = Booking(self.folder.parent.parent, self._repository, self.run)
            except HostError as error:  # nothing can be signed: the notes say the rest
                unsigned = Goal(ref, self._repository.expected(ref), partial(_refuse, error))
                return Wanted({}, {}, [unsigned], self._edits(told, _OF_THE_END))
            if (recorded := booking.recorded()) is not None:
                tree, (place, statement) = recorded
                edits = self._as_recorded(tree)
                goals = [Goal(ref, tree, lambda: tree)]
            else:
                final, place, statement = self._placed(bundle, told, end, booking)
                edits = self._edits(final, _OF_THE_END)
                goals = [Goal(ref, self._repository.expected(ref), lambda: bundle.write(self._repository.importer))]
            entry = booking.goal(place, statement, ref) if place is not None else None

            def done(failed: Mapping[str, GovrunError]) -> None:
                nonlocal odd
                if place is not None and ref not in failed:
                    odd = booking.keep(place, statement)

            instead = self._edits(told, _OF_THE_END)
            return Wanted(edits, {}, [*goals, *([entry] if entry is not None else [])], instead, done=done)

        written = self._repository.carry_out(plan, partly=True)
        return edits, written, odd

    def _placed(
        self, bundle: Bundle, told: Mapping[str, note.Summary], end: Ending, booking: Booking
    ) -> tuple[dict[str, note.Summary], Place, str]:
        """What is signed, at the first place that it fits."""
        places = booking.places()
        while True:  # the last one fits whatever is signed
            place, digest = next(places)
            final, statement = self._sealed(bundle, told, end, place)
            if digest in ("", statement):
                return final, place, statement

    def _as_recorded(self, tree: str) -> dict[str, Edit]:
        """The notes as the record at ``tree`` has them, which is this run's own and stays as it is."""
        from supervisor.provenance.recorded import Records

        own = [Trusted(own_public(self.folder.parent.parent) or b"", "")]
        try:
            record = Records(self._repository.objects, lambda _: tree, own).verified(self.run, events=False)
        except No as no:
            raise GitError("the record changed while it was looked at", no.why, 1) from no
        return {each: self._line(record.text(each)) for each in record.commits}

    def _final(self, end: Ending, log: Log, lineage: Lineage | None) -> dict[str, note.Summary]:
        """What the notes say after the end, by commit."""
        last = {
            name: number for name, number in end.counts.items() if name in _COUNTED_LAST or name.startswith(_EPISODES)
        }
        if lineage is not None:
            last["transitions"] = lineage.own

        def ended(told: note.Summary) -> note.Summary:
            return told._replace(
                status=end.status, exit=end.code, seconds=int(end.seconds), counts={**told.counts, **last},
                events=log.events, root=log.root, gaps=log.gaps, end=end.reason,
            )  # fmt: skip

        final = {commit: ended(told) for commit, told in self.noted.items()}
        if self._base and all(self._repository.content(commit) is None for commit in final):
            whole = {"counts": end.counts, "decisions": end.decisions, "upto": end.upto or log.events}
            final[self._base] = ended(self._summary(whole, self._base_tree))
        return final

    def _sealed(
        self, bundle: Bundle, final: Mapping[str, note.Summary], end: Ending, place: Place
    ) -> tuple[dict[str, note.Summary], str]:
        """The same with the lines of the signature, which is over what they say without them; and the digest of what
        was signed."""
        text = note.render(list(final.values())[-1]) if final else ""
        noted = [
            {"role": "commit" if commit in self.noted else "base", "commit": commit, **_fields(told)}
            for commit, told in final.items()
        ]
        more: dict[str, object] = {"end": end._asdict(), "base_tree": self._base_tree, "commits": list(self.noted)}
        more["ledger"] = place.described()
        made = bundle.seal(text, noted, more)
        shown = b64encode(made.signatures[0].value).decode()
        digest = sha256(made.line).hexdigest()
        signed = {commit: told._replace(bundle=digest, signature=shown) for commit, told in final.items()}
        return signed, sha256(made.payload).hexdigest()

    def close(self) -> None:
        """End the helper process."""
        self._repository.close()

    def _edits(self, wanted: Mapping[str, note.Summary], only: tuple[int, ...] | None = None) -> dict[str, Edit]:
        return {commit: self._line(note.render(summary), only) for commit, summary in wanted.items()}

    def _line(self, lines: str, only: tuple[int, ...] | None = None) -> Edit:
        def edit(text: str) -> str:
            has_ours = any(line.startswith(self.run + " ") for line in text.splitlines())
            return note.merge(text, self.run, lines, only=only if has_ours else None)

        return edit

    # ---- the publisher's own record -----------------------------------------------------------------------------

    def problem(self, text: str, **more: object) -> None:
        """Put down what could not be done."""
        self._record({"problem": text, **more})

    def _record(self, record: dict[str, object]) -> None:
        put_down(self.folder, {"run": self.run, **record})

    def _resume(self) -> None:
        for record in records(self.folder):
            commit = str(record.get("commit", ""))
            if "problem" not in record and "tree" in record and self._repository.is_object_id(commit):
                self.noted[commit] = self._summary(record, str(record["tree"]))


def _refuse(error: GovrunError) -> str:
    raise UsageError(error.what, error.why, error.fix)


def _told(error: GovrunError) -> str:
    return f"{error.what}: {error.why}" + (f" ({error.fix})" if error.fix else "")


def _part(name: str) -> str:
    return "the ledger" if name.startswith(LEDGERS) else f"the note on {name[:12]}"


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
