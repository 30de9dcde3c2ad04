"""``govrun pause``, ``resume`` and ``stop``: a run held still, let go on, or ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.cli.live import LIVE_HELP

if TYPE_CHECKING:
    import typer

_HELP = f"{LIVE_HELP} May be left out where one run is going on."


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    import typer as cli

    @app.command("pause")
    def pause(run: str = cli.Argument("", metavar="RUN", help=_HELP)) -> None:
        """Hold a run still: its processes stop, and what they ask for waits. The time of questions does not run."""
        _order("pause", run)

    @app.command("resume")
    def resume(run: str = cli.Argument("", metavar="RUN", help=_HELP)) -> None:
        """Let a paused run go on. Exit status 1 when it is not paused."""
        _order("resume", run)

    @app.command("stop")
    def stop(run: str = cli.Argument("", metavar="RUN", help=_HELP)) -> None:
        """End a run: its processes are killed, and it ends with 122 and the reason `operator`."""
        _order("stop", run)


def _order(word: str, run: str) -> None:
    from supervisor.cli.live import choose_live, order, state_outside, told
    from supervisor.cli.text import emit
    from supervisor.operator.protocol import Asked
    from supervisor.vocabulary.errors import UsageError

    folder = choose_live(state_outside(word), run)
    answer = order(folder, Asked(word))
    if not answer.ok:
        raise UsageError(f"`{word}` had no effect on run {folder.name}", told(answer), "govrun ps", exit_code=1)
    emit([f"{told(answer)}   (run {folder.name})"])
