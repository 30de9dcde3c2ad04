"""``govrun test``: do the examples and contracts of the profile hold, and do they show anything?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.run.testing import Tested


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("test")
    def test(
        run: bool = cli.Option(False, "--run", help="Also run the commands of contracts, each confined on a copy."),
        as_json: bool = cli.Option(False, "--json", help="One JSON object for each, then one for the whole."),
    ) -> None:
        """Show the examples and contracts of the profile. Exit status 0 all hold, 1 one does not or shows nothing,
        2 the profile cannot be taken."""
        import os

        from supervisor.cli.text import emit
        from supervisor.run.testing import FAILED, WORTHLESS, shown

        found = shown(os.environ, run=run)
        emit(_documents(found) if as_json else _lines(found))
        if any(each.state in (FAILED, WORTHLESS) for each in found):
            raise cli.Exit(1)


def _documents(found: list[Tested]) -> Iterator[str]:
    from supervisor.journal.codec import encode

    for each in found:
        yield encode(each._asdict())
    yield encode({"summary": True, **_counts(found)})


def _lines(found: list[Tested]) -> Iterator[str]:
    from supervisor.cli.text import safe

    width = max((len(each.state) for each in found), default=0)
    for each in found:
        detail = f" — {safe(each.detail)}" if each.detail and each.state != "passed" else ""
        yield f"{each.state:{width}}  {each.kind} {safe(each.id)} ({safe(each.source)}): {safe(each.text)}{detail}"
    if not found:
        yield "the profile has no examples and no contracts"
        return
    yield ", ".join(f"{number} {state}" for state, number in _counts(found).items() if number)


def _counts(found: list[Tested]) -> dict[str, int]:
    from supervisor.run.testing import FAILED, PASSED, SKIPPED, WORTHLESS

    return {state: sum(each.state == state for each in found) for state in (PASSED, FAILED, WORTHLESS, SKIPPED)}
