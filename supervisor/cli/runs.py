"""``govrun runs``: the runs of this user, oldest first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import typer


_HEAD = ("RUN", "START (UTC)", "TIME", "STATUS", "ACTS", "BLOCKED", "AGENT", "TREE")
_COLOURS = MappingProxyType(
    {"PASSED": "green", "WARNED": "yellow", "FAILED": "red", "UNKNOWN": "magenta", "RUNNING": "cyan"}
)


class Row(NamedTuple):
    """One run; ``status`` is RUNNING while its journal is held open, UNKNOWN when it ended without saying how."""

    run: str
    agent: str
    argv: list[str]
    tree: str
    start: str
    seconds: float | None
    status: str
    exit: int | None
    reason: str
    counts: dict[str, int] | None


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("runs")
    def runs(as_json: bool = cli.Option(False, "--json", help="One JSON object per run and line.")) -> None:
        """List runs: id, start, duration, status, what was attempted and blocked, agent, tree."""
        import os
        import sys

        from supervisor.cli.text import emit
        from supervisor.journal.codec import encode
        from supervisor.journal.store import list_runs, state_dir

        state = state_dir(os.environ)
        rows = (row(state / "runs" / run) for run in list_runs(state))
        if as_json:
            emit(encode(one._asdict()) for one in rows)
        elif sys.stdout.isatty():
            emit(_drawn(list(rows), state))
        else:
            emit(_table(list(rows), state))


def row(folder: Path) -> Row:
    """What is known of the run in ``folder``. Never fails on what the files hold."""
    from supervisor.journal.ids import born
    from supervisor.journal.reader import is_live
    from supervisor.journal.store import read_meta

    meta = read_meta(folder)
    end = meta.get("end")
    ended = end if isinstance(end, dict) else {}
    live = not ended and is_live(folder)
    counts, argv, code = ended.get("counts"), meta.get("argv"), ended.get("exit")
    seconds = ended.get("seconds") if ended else max(0.0, time.time() - born(folder.name)) if live else None
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(born(folder.name)))
    return Row(
        run=folder.name,
        agent=str(meta.get("agent", "-")),
        argv=[str(word) for word in argv] if isinstance(argv, list) else [],
        tree=str(meta.get("tree", "-")),
        start=str(meta.get("start", begun)),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        status=str(ended.get("status", "RUNNING" if live else "UNKNOWN")),
        exit=code if isinstance(code, int) else None,
        reason=str(ended.get("reason", "-")),
        counts={str(k): v for k, v in counts.items() if isinstance(v, int)} if isinstance(counts, dict) else None,
    )


def _cells(one: Row) -> tuple[str, ...]:
    from supervisor.cli.text import safe

    spent = "-" if one.seconds is None else f"{one.seconds:.1f}s"
    counts = one.counts or {}
    acts, blocked = (str(counts.get(name, "-")) for name in ("attempted", "blocked"))
    begun = safe(one.start[:19].replace("T", " "), 19)
    return one.run, begun, spent, safe(one.status, 8), acts, blocked, safe(one.agent, 16), safe(one.tree)


def _table(rows: list[Row], state: Path) -> Iterator[str]:
    """One line per run, for pipes and files."""
    from supervisor.cli.text import safe

    if not rows:
        yield f"no runs yet in {safe(state)}"
        return
    for run, begun, spent, status, acts, blocked, agent, tree in (_HEAD, *map(_cells, rows)):
        yield f"{run:<26}  {begun:<19} {spent:>8} {status:<8} {acts:>8} {blocked:>7}  {agent:<16} {tree}"


def _drawn(rows: list[Row], state: Path) -> Iterator[str]:
    """The same for a terminal: fitted to its width, the status in colour."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        yield from _table(rows, state)
        return
    table = Table(*_HEAD[:-1], box=None, pad_edge=False, header_style="bold")
    for column in (0, 1, 3):
        table.columns[column].no_wrap = True
    table.add_column(_HEAD[-1], overflow="ellipsis", no_wrap=True)
    for one in rows:
        cells = [Text(cell) for cell in _cells(one)]
        cells[3].stylize(_COLOURS.get(one.status, ""))
        table.add_row(*cells)
    console = Console()
    with console.capture() as drawn:
        console.print(table)
    yield from drawn.get().splitlines()
