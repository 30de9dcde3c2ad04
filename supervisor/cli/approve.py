"""``govrun approve`` and ``govrun deny``: the answer to a question of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from supervisor.operator.protocol import Answer, Asked

_ID = "The question, as `govrun ps` and the run itself name it, such as 3F."
_RUN = "The run that asks: its id or the beginning of one; needed where several know that question."


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    import typer as cli

    @app.command("approve")
    def approve(
        question: str = cli.Argument(..., metavar="ID", help=_ID),
        run: str = cli.Option("", "--run", metavar="RUN", help=_RUN),
        for_run: bool = cli.Option(
            False, "--for-run", help="The same command, program and folder too, until the run ends."
        ),
    ) -> None:
        """Let an act happen that waits for an answer.

        Exit status 1 when nothing waits under that id, 2 when the run cannot be reached.
        """
        from supervisor.operator.protocol import Asked

        _answer(Asked("approve", question, for_run), run)

    @app.command("deny")
    def deny(
        question: str = cli.Argument(..., metavar="ID", help=_ID),
        run: str = cli.Option("", "--run", metavar="RUN", help=_RUN),
        why: str = cli.Option("", "--why", metavar="TEXT", help="A reason, which the agent is told."),
    ) -> None:
        """Refuse an act that waits for an answer.

        Exit status 1 when nothing waits under that id, 2 when the run cannot be reached.
        """
        from supervisor.operator.protocol import MAX_WHY, Asked, one_line

        _answer(Asked("deny", question, why=one_line(why, MAX_WHY)), run)


def _answer(asked: Asked, run: str) -> None:
    from supervisor.cli.live import choose_live, live_runs, order, state_outside, told
    from supervisor.cli.text import emit
    from supervisor.vocabulary.errors import UsageError

    state = state_outside(asked.do)
    _check_id(asked)
    folders = [choose_live(state, run)] if run else live_runs(state)
    if not folders:
        raise UsageError(f"no question {asked.id!r} waits", "no run is going on", "govrun ps", exit_code=1)
    folder = _asking(folders, asked)
    answer = order(folder, asked)
    if not answer.ok:
        raise _not_done(asked, answer, folder)
    emit([f"{told(answer)}   (run {folder.name})"])


def _check_id(asked: Asked) -> None:
    from supervisor.operator.protocol import MalformedError, order_line, read_order
    from supervisor.vocabulary.errors import UsageError

    try:
        read_order(order_line(asked).rstrip(b"\n"))
    except MalformedError:
        what = f"{asked.id[:40]!r} is not the id of a question"
        raise UsageError(what, "ids are hexadecimal, such as 3F", "govrun ps lists them", exit_code=2) from None


def _asking(folders: list[Path], asked: Asked) -> Path:
    """The one run that has asked this question. Another live run that once used the same id makes it two: which of
    them is meant cannot be known."""
    from supervisor.cli.live import unreached
    from supervisor.operator.client import Silence, ask_all
    from supervisor.operator.protocol import Asked
    from supervisor.vocabulary.errors import UsageError

    answers = ask_all(folders, Asked("state", asked.id), 1.0)
    silent = [(folder, found) for folder, found in answers.items() if isinstance(found, Silence)]
    known = [folder for folder, found in answers.items() if not isinstance(found, Silence) and found.ok]
    if len(known) > 1:
        shown = "\n".join(f"{folder.name}: {_word(answers[folder])}" for folder in known)
        fix = f"govrun {asked.do} {asked.id} --run RUN"
        raise UsageError(f"{len(known)} runs know a question {asked.id!r}", shown, fix, exit_code=1)
    if known:
        return known[0]
    if silent:
        raise unreached(*silent[0])
    refused = next((found for found in answers.values() if not isinstance(found, Silence) and found.told), None)
    if refused is not None:
        raise _not_done(asked, refused, folders[0])
    why = f"{len(folders)} live run{'s' if len(folders) > 1 else ''}, and none has asked it"
    raise UsageError(f"no question {asked.id!r} waits", why, "govrun ps lists those that do", exit_code=1)


def _word(answer: object) -> str:
    from supervisor.cli.text import safe

    return safe(getattr(answer, "word", ""), 40)


def _not_done(asked: Asked, answer: Answer, folder: Path) -> Exception:
    from supervisor.cli.live import told
    from supervisor.vocabulary.errors import UsageError

    what = f"{asked.id} was not {'approved' if asked.do == 'approve' else 'denied'}"
    return UsageError(what, f"{told(answer)} (run {folder.name})", "govrun ps lists what waits", exit_code=1)
