"""``govrun recover``: bring runs that ended without a word to an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from supervisor.run.recovery import Recovered


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("recover")
    def recover(
        run: str = cli.Argument(
            "", help="A run's id, the beginning of one, or 'latest'; without it all runs of yours."
        ),
        as_json: bool = cli.Option(False, "--json", help="One JSON object per run that was recovered."),
    ) -> None:
        """Finish what killed runs left half-done: all of yours, in every tree, unless one is named.

        Live runs are left alone. Exit status 1 when something remains, and each time until it is finished. A run whose
        repository cannot be written any more is given up by removing its folder, runs/ID in the state folder.
        """
        import os

        from supervisor.cli.choice import choose
        from supervisor.cli.text import emit
        from supervisor.journal.codec import encode
        from supervisor.journal.store import state_dir
        from supervisor.run.recovery import recover_all, recover_run

        state = state_dir(os.environ)
        found = [recover_run(choose(state, run))] if run else list(recover_all(state))
        emit((encode(each._asdict()) for each in found) if as_json else _lines(found, state))
        if any(each.failed for each in found):
            raise cli.Exit(1)


def _lines(found: Iterable[Recovered], state: Path) -> Iterator[str]:
    import shlex

    from supervisor.cli.text import safe

    nothing = True
    for each in found:
        nothing = False
        words = {
            "live": "it goes on: nothing was done",
            "ended": "it has ended: nothing to do",
            "recovered": "recovered",
        }
        yield f"{each.run}: {words[each.state]}   {safe(each.tree)}"
        yield from (f"  {safe(line)}" for line in each.told)
        if each.failed:
            yield f"  to give it up: rm -r {safe(shlex.quote(f'{state}/runs/{each.run}'))}"
    if nothing:
        yield "nothing to recover"
