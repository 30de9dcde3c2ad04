"""``govrun log``: what happened in a run, one line per record, and whether its journal is whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.cli.filters import Asked, Filter
    from supervisor.journal.reader import Reader, Report

Record = dict[str, object]
_Lines = Callable[[Record, Record | None], Iterable[str]]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    from supervisor.cli.choice import RUN_HELP

    @app.command("log")
    def log(
        run: str = cli.Argument("latest", help=RUN_HELP),
        as_json: bool = cli.Option(False, "--json", help="The records, one JSON object per line."),
        most: int | None = cli.Option(None, "-n", min=0, metavar="N", help="Only the last N of those that are left."),
        blocked: bool = cli.Option(False, "--blocked", help="What was denied, reverted or killed."),
        path: list[str] = cli.Option(
            [], "--path", metavar="GLOB", help="About this path, or below it: src, 'src/**', '*.py', /etc."
        ),
        command: list[str] = cli.Option(
            [], "--command", metavar="WORDS", help="By, or about, this program or these words: pip, 'git push'."
        ),
        invariant: list[str] = cli.Option(
            [], "--invariant", metavar="ID", help="An invariant that spoke: scope.write, 'scope.*'."
        ),
        verdict: list[str] = cli.Option([], "--verdict", metavar="WORD", help="allow, warn, deny, revert, kill, …"),
        outcome: list[str] = cli.Option(
            [], "--outcome", metavar="WORD", help="succeeded, failed, blocked, reverted, unknown."
        ),
        kind: list[str] = cli.Option(
            [], "--kind", metavar="KIND", help="One kind, such as exec or fs.write; fs means all of fs."
        ),
        since: str = cli.Option("", metavar="TIME", help="10:30, 2026-11-27T10:30 (UTC), or an age: 90s, 10m, 2h."),
        until: str = cli.Option("", metavar="TIME", help="The same, for the end."),
        seq: str = cli.Option("", metavar="RANGE", help="12, 12-40, 12- or =-40."),
    ) -> None:
        """Show a run's journal and verify its chain.

        Filters combine; one that is given more than once means any of its values. Exit status 1: the chain is broken.
        """
        from supervisor.cli.filters import Asked

        several = [tuple(given) for given in (path, command, invariant, verdict, outcome, kind)]
        asked = Asked(*several, blocked=blocked, since=since, until=until, seqs=seq)
        if not _log(run, asked, most, as_json=as_json):
            raise cli.Exit(1)


def _log(run: str, asked: Asked, most: int | None, *, as_json: bool) -> bool:
    """Print what is asked for; whether the journal is whole."""
    import os
    import sys

    from supervisor.cli.choice import choose, heading
    from supervisor.cli.filters import Asked, Filter
    from supervisor.cli.lines import paged
    from supervisor.cli.text import emit
    from supervisor.journal.store import read_meta, state_dir
    from supervisor.run.acts import reader_of

    folder = choose(state_dir(os.environ), run)
    meta = read_meta(folder)
    tree, reader = str(meta.get("tree", "")), reader_of(folder)
    shown = _Shown(reader, Filter(asked, tree, _start(meta, folder)), _form(tree, as_json=as_json), most)
    if not as_json:
        emit(paged([f"{folder.name}   {heading(folder, run)}"]))
    emit(shown)
    lines, whole, state = chain_lines(reader.report, folder)
    if whole and (asked != Asked() or most is not None):
        lines[0] = f"{shown.count} of {lines[0].partition(': ')[2]}"
    if as_json:
        # What is in order is not worth a line beside data.
        emit([f"govrun: {line}" for line in lines] if state or not whole else (), sys.stderr)
    else:
        emit(paged(lines))
    return whole


def _start(meta: Record, folder: Path) -> str:
    import time

    from supervisor.journal.ids import born

    return str(meta.get("start") or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(born(folder.name))))


def _form(tree: str, *, as_json: bool) -> _Lines:
    from supervisor.cli.lines import Terminal, drawer, line_of, on_terminal

    if as_json:
        from supervisor.journal.codec import encode

        return lambda record, _: (encode(record),)
    if on_terminal():
        return drawer(Terminal(), tree)
    return lambda record, cause: (line_of(record, cause),)


class _Shown:
    """The lines of the wanted records, of the last ``most`` if that is given; ``count`` of them, once iterated."""

    def __init__(self, reader: Reader, wanted: Filter, form: _Lines, most: int | None) -> None:
        self._reader, self._wanted, self._form, self._most = reader, wanted, form, most
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        from supervisor.run.acts import Acts, records_of

        known, kept = Acts(self._reader), deque[tuple[Record, Record | None]](maxlen=self._most)
        for record in records_of(self._reader):
            cause = known.cause_of(record)
            if not self._wanted(record, cause):
                continue
            if self._most is not None:
                kept.append((record, cause))
                continue
            self.count += 1
            yield from self._form(record, cause)
        self.count += len(kept)
        for record, cause in kept:
            yield from self._form(record, cause)


def chain_lines(report: Report, folder: Path) -> tuple[list[str], bool, str]:
    """What a full read has found, in lines; whether the journal is whole; why it has no end, empty where it has one."""
    from supervisor.cli.text import safe
    from supervisor.journal.reader import is_live

    if is_live(folder):
        state = "the run goes on"
    elif report.torn:
        state = "the last line is torn: the run ended without closing its journal"
    else:
        state = ""
    if report.intact:
        head = f"{folder.name}: {report.records} records, chain intact, head {report.head[:16]}"
        return [head + (f" ({state})" if state else "")], True, state
    lines = [f"{folder.name}: {report.records} records, chain BROKEN" + (f" ({state})" if state else "")]
    lines += [f"  {f'line {p.line}' if p.line else 'journal'}: {safe(p.text, 200)}" for p in report.problems]
    return lines, False, state
