"""``govrun log``: what happened in a run, one line per record, and whether its journal is whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.journal.reader import Reader


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("log")
    def log(
        run: str = cli.Argument(
            "latest", help="A run's id, the beginning of one, or 'latest': the newest of this tree."
        ),
        as_json: bool = cli.Option(False, "--json", help="The records as they are, one JSON object per line."),
        blocked: bool = cli.Option(False, "--blocked", help="Only what was denied, reverted or killed."),
        kind: str = cli.Option("", "--kind", help="Only one kind, such as exec or fs.write; fs means all fs kinds."),
    ) -> None:
        """Show a run's journal and verify its chain. Exit status 1 when the chain is broken."""
        import os
        import sys

        from supervisor.cli.choice import choose, heading
        from supervisor.cli.text import emit
        from supervisor.journal.codec import encode
        from supervisor.journal.store import state_dir

        folder = choose(state_dir(os.environ), run)
        reader = _reader(folder)
        records = (record for record in _records(reader, folder) if _wanted(record, blocked, kind))
        if not as_json:
            emit([f"{folder.name}   {heading(folder, run)}"])
        emit(map(encode, records) if as_json else map(line_of, records))
        lines, whole = _chain(reader, folder)
        if as_json:
            sys.stderr.write("".join(f"govrun: {line}\n" for line in lines))
        else:
            emit(lines)
        if not whole:
            raise cli.Exit(1)


def _reader(folder: Path) -> Reader:
    from supervisor.journal.reader import Reader
    from supervisor.journal.store import read_meta

    end = read_meta(folder).get("end")
    known = (end.get("seq"), end.get("chain")) if isinstance(end, dict) else (None, None)
    if isinstance(known[0], int) and isinstance(known[1], str):
        return Reader(folder, run=folder.name, end=(known[0], known[1]))
    return Reader(folder, run=folder.name)


def _records(reader: Reader, folder: Path) -> Iterator[dict[str, object]]:
    from supervisor.vocabulary.errors import UsageError

    try:
        yield from reader
    except OSError as error:
        what = f"the journal of {folder.name} cannot be read"
        raise UsageError(what, str(error), "the run may have failed before it began", exit_code=1) from error


def _wanted(record: dict[str, object], blocked: bool, kind: str) -> bool:
    from supervisor.run.reasons import is_refusal

    if blocked and not is_refusal(record):
        return False
    found = str(record.get("kind", ""))
    return not kind or found == kind or found.startswith(kind + ".")


def line_of(record: dict[str, object]) -> str:
    """One record as one line: seq, time, kind, verdict, outcome or phase, invariant, subject, message."""
    from supervisor.cli.text import safe

    when = str(record.get("time", ""))[11:23]
    ended = record.get("outcome") or record.get("phase") or "-"
    invariant = record.get("invariant") or "-"
    source = record.get("adr")
    words = [
        f"{safe(record.get('seq', '-'), 9):>6} {safe(when):<12} {safe(record.get('kind', '-'), 16):<11}",
        f"{safe(record.get('verdict', '-'), 8):<7} {safe(ended, 10):<9}",
        safe(f"{invariant}<-{source}" if source else invariant, 60),
        subject(record),
    ]
    if record.get("errno"):
        words.append(f"[{safe(record['errno'], 20)}]")
    if record.get("message"):
        words.append(f"· {safe(record['message'], 300)}")
    return " ".join(word for word in words if word)


def subject(record: dict[str, object]) -> str:
    """What the act was about: a path, a command line, or the remaining facts as name=value."""
    from supervisor.cli.text import command_line, safe

    op = record.get("op")
    if not isinstance(op, dict):
        return ""
    parts = []
    if isinstance(op.get("argv"), list):
        parts.append(command_line(op["argv"]))
    elif "path" in op:
        other = next((op[name] for name in ("path2", "other", "to") if op.get(name)), None)
        parts.append(safe(op["path"]) + (f" -> {safe(other)}" if other else ""))
    else:
        parts += [f"{safe(name)}={safe(value, 120)}" for name, value in op.items() if not isinstance(value, dict)]
    text = " ".join(parts)
    return text if len(text) <= 400 else text[:399] + "…"


def _chain(reader: Reader, folder: Path) -> tuple[list[str], bool]:
    from supervisor.cli.text import safe
    from supervisor.journal.reader import is_live

    report = reader.report
    if is_live(folder):
        state = "the run goes on"
    elif report.torn:
        state = "the last line is torn: the run ended without closing its journal"
    else:
        state = ""
    if report.intact:
        head = f"{folder.name}: {report.records} records, chain intact, head {report.head[:16]}"
        return [head + (f" ({state})" if state else "")], True
    lines = [f"{folder.name}: {report.records} records, chain BROKEN" + (f" ({state})" if state else "")]
    lines += [f"  {f'line {p.line}' if p.line else 'journal'}: {safe(p.text, 200)}" for p in report.problems]
    return lines, False
