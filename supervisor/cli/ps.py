"""``govrun ps``: the runs that go on, and what they wait for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from supervisor.operator.client import Silence
    from supervisor.operator.protocol import Answer

_PATIENCE = 1.0  # seconds for all runs together
_MOST_LINE = 400


class Live(NamedTuple):
    """One run: ``state`` is running, paused, or ``not answering``. ``age`` in seconds; ``questions`` as the control
    protocol has them; ``more``: so many are not listed."""

    run: str
    agent: str
    tree: str
    pid: int | None
    age: float
    state: str
    questions: list[dict[str, Any]]
    more: int


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("ps")
    def ps(as_json: bool = cli.Option(False, "--json", help="One JSON object per run and line.")) -> None:
        """List the runs of yours that go on, in every tree, with the questions that wait for an answer."""
        from supervisor.cli.live import live_runs, state_outside
        from supervisor.cli.text import emit
        from supervisor.journal.codec import encode
        from supervisor.operator.client import ask_all
        from supervisor.operator.protocol import Asked

        folders = live_runs(state_outside("ps"))
        answers = ask_all(folders, Asked("ps"), _PATIENCE)
        found = [_live(folder, answers[folder]) for folder in folders if not _ended(folder, answers[folder])]
        emit((encode(one._asdict()) for one in found) if as_json else _lines(found))


def _ended(folder: Path, answer: Answer | Silence) -> bool:
    """Whether a run ended while it was asked."""
    from supervisor.journal.reader import is_live
    from supervisor.operator.client import Silence

    return isinstance(answer, Silence) and not is_live(folder)


def _live(folder: Path, answer: Answer | Silence) -> Live:
    from supervisor.journal.ids import born
    from supervisor.journal.store import read_meta
    from supervisor.operator.client import Silence

    meta = read_meta(folder)
    pid = meta.get("pid")
    more: Mapping[str, Any] = {} if isinstance(answer, Silence) else answer.more
    questions, left_out = more.get("questions"), more.get("more")
    known = not isinstance(answer, Silence) and answer.ok
    return Live(
        run=folder.name,
        agent=str(meta.get("agent", "-")),
        tree=str(meta.get("tree", "-")),
        pid=pid if isinstance(pid, int) else None,
        age=round(max(0.0, time.time() - born(folder.name)), 1),
        state=("paused" if more.get("paused") is True else "running") if known else "not answering",
        questions=[one for one in questions if isinstance(one, dict)] if isinstance(questions, list) else [],
        more=left_out if isinstance(left_out, int) else 0,
    )


def _lines(found: list[Live]) -> Iterator[str]:
    from supervisor.cli.text import safe

    if not found:
        yield "no run is going on"
        return
    yield f"{'RUN':<26}  {'AGE':>7}  {'STATE':<13}  {'AGENT':<16}  TREE"
    for one in found:
        yield f"{one.run:<26}  {_age(one.age):>7}  {one.state:<13}  {safe(one.agent, 16):<16}  {safe(one.tree)}"
        for each in one.questions:
            yield "  " + safe(_question(each), _MOST_LINE)
        if one.more:
            yield f"  and {one.more} more questions"
    if any(one.questions for one in found):
        yield "answer: govrun approve ID, or govrun deny ID"


def _question(each: Mapping[str, object]) -> str:
    left = each.get("left")
    seconds = f"{left:.0f} s left" if isinstance(left, int | float) else "-"
    what = each.get("command") or each.get("message") or "-"
    return f"{each.get('id', '-')}  {seconds}  {what}  in {each.get('cwd') or '-'}  ({each.get('invariant', '-')})"


def _age(seconds: float) -> str:
    whole = int(seconds)
    for size, unit, part, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part:02d}{below}"
    return f"{whole}s"
