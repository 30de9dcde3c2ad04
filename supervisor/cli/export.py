"""``govrun export``: the journal of a run in the formats of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.journal.reader import Reader
    from supervisor.provenance.exporting import Event

Record = dict[str, object]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    from supervisor.cli.choice import RUN_HELP

    @app.command("export")
    def export(
        run: str = cli.Argument("latest", help=RUN_HELP),
        form: str = cli.Option("cloudevents", "--format", metavar="NAME", help="cloudevents, ocsf, runtime-trace."),
    ) -> None:
        """Print a run's journal as CloudEvents or OCSF events, one per line, or as one in-toto statement.

        Exit status 1: the chain of the journal is broken; what is whole is printed.
        """
        if not _export(run, form):
            raise cli.Exit(1)


def _export(run: str, form: str) -> bool:
    """Print it; whether the journal is whole."""
    import os
    import sys

    from supervisor.cli.choice import choose
    from supervisor.cli.log import chain_lines
    from supervisor.cli.text import emit
    from supervisor.journal.codec import encode
    from supervisor.journal.store import state_dir
    from supervisor.provenance.exporting import FORMATS, cloudevent
    from supervisor.provenance.ocsf import ocsf
    from supervisor.run.acts import reader_of
    from supervisor.vocabulary.errors import UsageError

    if form not in FORMATS:
        fix = f"govrun export --format {FORMATS[0]}"
        raise UsageError(f"no format {form[:40]!r}", f"formats: {', '.join(FORMATS)}", fix, exit_code=2)
    folder = choose(state_dir(os.environ), run)
    reader, host = reader_of(folder), os.uname().nodename
    if form == "runtime-trace":
        emit([encode(_trace(folder, reader, host))])
    else:
        mapping = ocsf if form == "ocsf" else cloudevent
        emit(encode(mapping(each)) for each in _events(folder.name, reader, host))
    lines, whole, state = chain_lines(reader.report, folder)
    emit([f"govrun: {line}" for line in lines] if state or not whole else (), sys.stderr)
    return whole


def _events(run: str, reader: Reader, host: str) -> Iterator[Event]:
    from supervisor.provenance.exporting import event
    from supervisor.run.acts import Acts, merged, records_of

    known = Acts(reader)
    for record in records_of(reader):
        act = merged(known.cause_of(record), record)
        yield event(run, reader.report.records, record, act, host)


def _trace(folder: Path, reader: Reader, host: str) -> Record:
    from supervisor.journal.store import read_meta
    from supervisor.provenance.tracing import Trace, commits_in
    from supervisor.run.account import notes_of
    from supervisor.run.acts import acts

    trace = Trace(folder.name, host)
    for act in acts(reader):
        trace.add(act)
    for commit in commits_in(notes_of(folder)):
        trace.commit(commit)
    report = reader.report
    known = {"records": report.records, "chain": report.head, "whole": report.intact}
    return trace.statement(read_meta(folder), known, _digest(folder, report.records))


def _digest(folder: Path, records: int) -> str:
    """SHA-256 of the lines that were read: of a live run there may be more by now, of a torn one there is a rest."""
    import hashlib
    from itertools import islice

    from supervisor.journal.reader import raw_lines

    digest = hashlib.sha256()
    for line in islice(raw_lines(folder), records):
        digest.update(line + b"\n")
    return digest.hexdigest()
