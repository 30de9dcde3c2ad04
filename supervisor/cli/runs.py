"""``govrun runs``: the runs of this user, oldest first."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import typer


_HEAD = ("RUN", "START (UTC)", "TIME", "STATUS", "ACTS", "BLOCKED", "REVERTS", "AGENT", "TREE", "COMMAND")
_TREE, _COMMAND = _HEAD.index("TREE"), _HEAD.index("COMMAND")
# In this order, where the terminal is too narrow.
_DROPPED = ("AGENT", "ACTS", "TIME", "START (UTC)", "REVERTS", "TREE", "COMMAND", "BLOCKED")
_GAP, _LEAST = 2, 16  # columns, of those that may be cut
_LONGEST = 80  # of a command, where no terminal sets a limit
_MOST = 50
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
    def runs(
        everything: bool = cli.Option(False, "--all", help="Every run of every tree."),
        most: int | None = cli.Option(
            None, "-n", min=0, metavar="N", help=f"Only the newest N; {_MOST} without --all."
        ),
        as_json: bool = cli.Option(False, "--json", help="One JSON object per run and line."),
    ) -> None:
        """List the runs of this tree, or of all trees where it has none: id, start, duration, status, counts, agent."""
        import sys

        from supervisor.cli.choice import tree_here
        from supervisor.cli.lines import on_terminal
        from supervisor.cli.text import emit
        from supervisor.journal.codec import encode
        from supervisor.journal.store import state_dir

        state = state_dir(os.environ)
        limit = most if most is not None else None if everything else _MOST
        found = _selected(state, "" if everything else tree_here(), limit)
        rows = [row(state / "runs" / run) for run in found.runs]
        if as_json:
            emit(encode(one._asdict()) for one in rows)
            sys.stderr.write("".join(f"govrun: {line}\n" for line in found.notes))
        elif on_terminal():
            emit((*_drawn(rows, state), *found.notes))
        else:
            emit((*_table(rows, state), *found.notes))


class Selected(NamedTuple):
    """Which runs are listed, oldest first, and what is to be said of those that are not."""

    runs: list[str]
    notes: list[str]


def _selected(state: Path, tree: str, limit: int | None) -> Selected:
    """The newest ``limit`` runs of ``tree``; of all trees where that is empty or has none."""
    from supervisor.cli.text import safe
    from supervisor.journal.store import list_runs, read_meta

    everywhere = list_runs(state)
    of_tree = [run for run in everywhere if read_meta(state / "runs" / run).get("tree") == tree] if tree else []
    runs, notes = of_tree or everywhere, []
    if tree and everywhere and not of_tree:
        notes.append(f"no run of {safe(tree)} yet: these are of other trees")
    left = 0 if limit is None else max(0, len(runs) - limit)
    if left:
        notes.append(f"{left} earlier ones: govrun runs{'' if tree else ' --all'} -n {len(runs)}")
    if of_tree and len(everywhere) > len(of_tree):
        notes.append(f"{len(everywhere) - len(of_tree)} of other trees: govrun runs --all")
    return Selected(runs[left:], notes)


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
    from supervisor.cli.text import command_line, safe

    spent = "-" if one.seconds is None else f"{one.seconds:.1f}s"
    counts = one.counts or {}
    counted = (str(counts.get(name, "-")) for name in ("attempted", "blocked", "reverts"))
    begun = safe(one.start[:19].replace("T", " "), 19)
    status, agent, command = safe(one.status, 8), safe(one.agent, 16), command_line(one.argv) or "-"
    return one.run, begun, spent, status, *counted, agent, safe(one.tree), command


def _one_tree(cells: list[tuple[str, ...]]) -> str:
    """The tree, where all rows have the same."""
    trees = {row[_TREE] for row in cells}
    return trees.pop() if len(trees) == 1 else ""


def _table(rows: list[Row], state: Path) -> Iterator[str]:
    """One line per run, for pipes and files."""
    from supervisor.cli.text import safe

    if not rows:
        yield f"no runs yet in {safe(state)}"
        return
    cells = [_cells(one) for one in rows]
    named = _one_tree(cells)
    width = 0 if named else max(len(row[_TREE]) for row in cells) + _GAP
    head = (*_HEAD[:_COMMAND], f"COMMAND (in {named})" if named else "COMMAND")
    for run, begun, spent, status, acts, blocked, reverts, agent, tree, command in (head, *cells):
        place = "" if named else f"{tree:<{width}}"
        ran = command if len(command) <= _LONGEST or run == head[0] else command[: _LONGEST - 1] + "…"
        counted = f"{acts:>8} {blocked:>7} {reverts:>7}"
        yield f"{run:<26}  {begun:<19} {spent:>8} {status:<8} {counted}  {agent:<16} {place}{ran}"


def _drawn(rows: list[Row], state: Path) -> Iterator[str]:
    """The same for a terminal: fitted to its width, the status in colour."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from supervisor.cli.lines import paged

    if not rows:
        yield from _table(rows, state)
        return
    console = Console(color_system=None) if os.environ.get("NO_COLOR") else Console()
    cells = [_cells(one) for one in rows]
    if named := _one_tree(cells):
        yield from paged([f"in {named}"])
    widths = _fitting(cells, console.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, width in widths.items():
        table.add_column(_HEAD[column], overflow="ellipsis", no_wrap=True, max_width=width)
    for one, texts in zip(rows, cells, strict=True):
        drawn_cells = [Text(texts[column]) for column in widths]
        drawn_cells[list(widths).index(_HEAD.index("STATUS"))].stylize(_COLOURS.get(one.status, ""))
        table.add_row(*drawn_cells)
    with console.capture() as drawn:
        console.print(table)
    yield from drawn.get().splitlines()


def _fitting(cells: list[tuple[str, ...]], width: int) -> dict[int, int]:
    """The columns that a terminal has room for, and how wide they may be: tree and command are cut to what is left.
    The tree is none where it is always the same."""
    wanted = [max(len(text) for text in column) for column in zip(_HEAD, *cells, strict=True)]
    widths = {column: size for column, size in enumerate(wanted) if column != _TREE or not _one_tree(cells)}
    cut = [column for column in (_TREE, _COMMAND) if column in widths and wanted[column] > _LEAST]
    widths |= dict.fromkeys(cut, _LEAST)
    for name in _DROPPED:
        if _taken(widths) <= width:
            break
        widths.pop(_HEAD.index(name), None)
    for column in cut:  # the tree first: it tells runs of several trees apart
        if column in widths:
            widths[column] = min(wanted[column], widths[column] + max(0, width - _taken(widths)))
    return widths


def _taken(widths: dict[int, int]) -> int:
    return sum(size + _GAP for size in widths.values()) - _GAP
