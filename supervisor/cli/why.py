"""``govrun why``: one record of a run explained, everything that was done to a path, or the runs behind a commit."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import typer

    from supervisor.journal.reader import Reader
    from supervisor.run.acts import Record
    from supervisor.run.history import History
    from supervisor.run.reasons import Reason

_MOST_LISTED = 20
_REVISION = re.compile(r"HEAD|[0-9a-f]{7,64}|.*(?:[~^][0-9]*|@\{.*)")
_USAGE = (
    "govrun why RUN SEQ, such as: govrun why latest 12; a path: govrun why src/app.py; or a commit: govrun why HEAD"
)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("why")
    def why(
        first: str = cli.Argument("latest", metavar="RUN|PATH|REV", help="A run, as elsewhere; a path; or a commit."),
        second: str = cli.Argument("", metavar="SEQ|PATH", help="The number of a record, or a path; ./12 is a path."),
        as_json: bool = cli.Option(False, "--json", help="One JSON object; of refusals, one per line."),
    ) -> None:
        """Explain: who tried what, which rule spoke, where it is written, and what followed.

        why RUN SEQ    one record of the run, as govrun log numbers them

        why RUN PATH   what it did to a path: the last act in full, before it the others

        why PATH       the same, of the newest run of this tree that touched it

        why [RUN]      what was refused or taken back

        why REV        the runs that made a commit, though it may have been written again, and what each was refused

        A path is meant from the working directory, else from the tree; what is known as one is no revision, unless it
        reads like one (HEAD~2, 1a2b3c4).
        """
        if not _why(first, second, as_json=as_json):
            raise cli.Exit(1)


def _why(first: str, second: str, *, as_json: bool) -> bool:
    """Print what is asked for; whether the journal it comes from is whole."""
    from supervisor.cli.choice import choose
    from supervisor.journal.store import state_dir
    from supervisor.run.acts import reader_of
    from supervisor.vocabulary.errors import UsageError

    state = state_dir(os.environ)
    if second:
        reader = reader_of(_chosen(state, first))
        if second.isdecimal() and second.isascii() and len(second) < 18:
            _one(reader, first, int(second), as_json=as_json)
        else:
            _path(reader, first, second, as_json=as_json)
    elif _names_run(state, first):
        reader = reader_of(choose(state, first))
        _refused(reader, first, as_json=as_json)
    elif (answered := _commit(state, first, as_json=as_json) if _REVISION.fullmatch(first) else None) is not None:
        return answered
    elif first.isdecimal():
        fix = f"govrun why latest {first} explains that record of the newest run of this tree; ./{first} is a path"
        raise UsageError(f"no run {first!r:.60}", "a record has no number without its run", fix, exit_code=2)
    else:
        try:
            reader, found = _newest(state, first)
        except UsageError:
            answered = _commit(state, first, as_json=as_json)
            if answered is None:
                raise
            return answered
        _tell_path(reader.folder, reader.folder.name, found, as_json=as_json)
    return _is_whole(reader)


def _is_whole(reader: Reader) -> bool:
    import sys

    from supervisor.cli.text import emit

    if reader.report.intact:
        return True
    run = reader.folder.name
    emit([f"govrun: the chain of this journal is BROKEN, so it may say what never was: govrun log {run}"], sys.stderr)
    return False


def _names_run(state: Path, word: str) -> bool:
    """Whether ``word`` can only be meant as a run: ``latest``, or the beginning of one that is there."""
    from supervisor.journal.store import list_runs

    return word == "latest" or (word.isalnum() and any(run.startswith(word.upper()) for run in list_runs(state)))


def _chosen(state: Path, run: str) -> Path:
    from supervisor.cli.choice import choose
    from supervisor.vocabulary.errors import UsageError

    try:
        return choose(state, run)
    except UsageError as error:
        error.fix += f"\n{_USAGE}"
        raise


def _show(lines: Iterable[str]) -> None:
    """Lines that begin with a label, fitted to the terminal if there is one."""
    from supervisor.cli.lines import paged
    from supervisor.cli.text import emit

    emit(paged(lines))


def _json(*values: dict[str, object]) -> None:
    from supervisor.cli.text import emit
    from supervisor.journal.codec import encode

    emit(map(encode, values))


# -- one record -------------------------------------------------------------------------------------------------------


def _one(reader: Reader, run: str, seq: int, *, as_json: bool) -> None:
    from supervisor.cli.choice import heading
    from supervisor.cli.explained import explained
    from supervisor.run.reasons import explain

    found = explain(reader, seq)
    if as_json:
        _json(document(found))
    else:
        _show(explained(found, heading(reader.folder, run)))


def document(found: Reason) -> dict[str, object]:
    """The act as one record of the schema, and beside it what explains it."""
    from supervisor.run.acts import merged

    intent, outcome = found.intent, found.outcome
    apart = outcome is not None and outcome is not intent
    act = merged(intent, outcome) if outcome is not None and apart else intent
    return act | {
        "asked": found.seq,
        "records": [intent, outcome] if apart else [intent],
        "parents": list(found.parents),
        "rule": found.rule._asdict(),
        "decision": dict(found.decision),
        "rejected_kept": found.kept,
    }


# -- the refusals of a run --------------------------------------------------------------------------------------------


def _refused(reader: Reader, run: str, *, as_json: bool) -> None:
    from supervisor.cli.choice import heading
    from supervisor.cli.text import emit
    from supervisor.journal.codec import encode
    from supervisor.run.reasons import refusals

    refused = refusals(reader)
    if as_json:
        emit(map(encode, refused))
    else:
        _show(_list(reader.folder, heading(reader.folder, run), refused))


class _Last(NamedTuple):
    kept: tuple[Record, ...]
    earlier: int


def _last(records: Iterable[Record]) -> _Last:
    kept: deque[Record] = deque(maxlen=_MOST_LISTED)
    count = 0
    for record in records:
        kept.append(record)
        count += 1
    return _Last(tuple(kept), count - len(kept))


def _list(folder: Path, told: str, refused: Iterable[Record]) -> Iterator[str]:
    """The last refusals of a run, and how to ask for one."""
    from supervisor.cli.lines import lines_of
    from supervisor.journal.store import read_meta

    yield f"{folder.name}   {told}"
    last = _last(refused)
    if not last.kept:
        yield "nothing was refused or taken back"
        yield f"any other record: govrun why RUN SEQ, with a number that govrun log {folder.name} shows"
        return
    if last.earlier:
        yield f"{last.earlier} earlier ones: govrun log {folder.name} --blocked"
    yield from lines_of(last.kept, str(read_meta(folder).get("tree", "")))
    yield f"to explain one: govrun why RUN SEQ, such as: govrun why {folder.name} {last.kept[-1].get('seq', 1)}"


# -- a commit ---------------------------------------------------------------------------------------------------------


def _commit(state: Path, word: str, *, as_json: bool) -> bool | None:
    """Print the runs behind the commit that ``word`` means; whether their journals are whole, None if it means none."""
    from supervisor.cli.text import emit
    from supervisor.cli.verify import document as told_of
    from supervisor.cli.verify import line, runs_of
    from supervisor.journal.store import list_runs
    from supervisor.run.acts import reader_of
    from supervisor.run.reasons import refusals
    from supervisor.vocabulary.errors import UsageError

    try:
        commit, findings = runs_of(word, os.environ)
    except UsageError:
        return None
    if not any(each.run for each in findings):
        what, why = f"no run is known of the commit {commit[:12]}", "no run is known to have made it, or its content"
        raise UsageError(what, why, "govrun notes fetch brings the notes and records of others", exit_code=2)
    here, whole = set(list_runs(state)), True
    for each in findings:
        reader = reader_of(state / "runs" / each.run) if each.run in here else None
        if as_json:
            refused = list(refusals(reader)) if reader is not None else None
            _json(told_of(each) | {"commit": commit, "refused": refused})
        else:
            _show([f"commit {commit[:12]}: {line(each)}"])
            if reader is not None:
                _refused(reader, each.run, as_json=False)
            else:
                emit(["its journal is not here: where it ran, govrun why tells more"] if each.run else [])
        whole = (reader is None or _is_whole(reader)) and whole
    return whole


# -- a path -----------------------------------------------------------------------------------------------------------


def _path(reader: Reader, run: str, word: str, *, as_json: bool) -> None:
    from supervisor.cli.text import safe
    from supervisor.journal.store import read_meta
    from supervisor.run.history import history, spellings
    from supervisor.vocabulary.errors import UsageError

    folder = reader.folder
    paths = spellings(word, _working_directory(), str(read_meta(folder).get("tree", "")))
    found = history(reader, paths)
    if found is None:
        why = f"looked for {safe(paths[0])}"
        raise UsageError(
            f"the run {folder.name} did nothing to {word!r:.200}", why, f"govrun log {run}\n{_USAGE}", exit_code=2
        )
    _tell_path(folder, run, found, as_json=as_json)


def _newest(state: Path, word: str) -> tuple[Reader, History]:
    from supervisor.cli.choice import tree_here
    from supervisor.cli.text import safe
    from supervisor.run.acts import reader_of
    from supervisor.run.history import history, last_touching, spellings
    from supervisor.vocabulary.errors import UsageError

    tree = tree_here()
    paths = spellings(word, _working_directory(), tree)
    for folder in last_touching(state, paths, tree):
        reader = reader_of(folder)
        if (found := history(reader, paths)) is not None:
            return reader, found
    why = f"no run of {safe(tree) or 'this folder'} touched {safe(paths[0])}, and no run has an id that begins so"
    raise UsageError(f"nothing is known of {word!r:.200}", why, f"govrun runs\n{_USAGE}", exit_code=2)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"  # it was removed


def _tell_path(folder: Path, run: str, found: History, *, as_json: bool) -> None:
    from supervisor.cli.choice import heading
    from supervisor.run.acts import reader_of
    from supervisor.run.reasons import explain

    last = found.acts[-1].get("seq") if found.acts else None
    reason = explain(reader_of(folder), last) if isinstance(last, int) else None
    if as_json:
        told = {"run": folder.name, "path": found.path, "count": found.total, "below": found.below}
        _json(told | {"acts": list(found.acts), "last": document(reason) if reason is not None else None})
    else:
        _show(_of_path(folder, heading(folder, run), found, reason))


def _of_path(folder: Path, told: str, found: History, reason: Reason | None) -> Iterator[str]:
    import shlex

    from supervisor.cli.explained import explained
    from supervisor.cli.lines import lines_of
    from supervisor.cli.text import safe
    from supervisor.journal.store import read_meta

    yield f"{folder.name}   {told}"
    path = safe(found.path)
    earlier = found.acts[:-1][-_MOST_LISTED:]
    log = f"govrun log {folder.name} --path {safe(shlex.quote(found.path))}"
    if found.total > 1:
        more = f", the last {len(earlier)} of them here; all: {log}" if found.total - 1 > len(earlier) else ""
        yield f"path       {path}: {found.total - 1} earlier {'act' if found.total == 2 else 'acts'}{more}"
        yield from lines_of(earlier, str(read_meta(folder).get("tree", "")))
    else:
        yield f"path       {path}"
    if found.below:
        yield f"below it   {found.below} {'act' if found.below == 1 else 'acts'}: {log}"
    if reason is not None:
        yield ""
        yield from explained(reason, told)
