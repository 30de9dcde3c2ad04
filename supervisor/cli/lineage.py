"""``govrun lineage``: the states that a run's tree went through, each a tree of git."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.provenance.lineage import Lineage
    from supervisor.run.lineages import Told

_LONGEST = 60
_SHORT = 12
_WHY = {
    "first": "as it was found, for the first time",
    "anew": "as it was found; what was before is lost",
    "between-runs": "changed since that run",
    "crash": "at the end",
    "others": "changed by others while it ran",
}


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    from supervisor.cli.choice import RUN_HELP

    @app.command("lineage")
    def lineage(
        run: str = cli.Argument("latest", help=RUN_HELP),
        as_json: bool = cli.Option(False, "--json", help="One JSON object per transition."),
    ) -> None:
        """The states of the tree from the run before to the end of this one: tree to tree, and what led there.

        Trees can be compared with git, in the repository that is named at the end. Exit status 1 when the journal is
        not whole.
        """
        if not _lineage(run, as_json=as_json):
            raise cli.Exit(1)


def _lineage(run: str, *, as_json: bool) -> bool:
    from supervisor.cli.choice import choose, heading
    from supervisor.cli.lines import paged
    from supervisor.cli.text import emit
    from supervisor.journal.store import read_meta, state_dir
    from supervisor.run.acts import reader_of
    from supervisor.run.lineages import lineage_of, told

    folder = choose(state_dir(os.environ), run)
    found, reader = lineage_of(folder), reader_of(folder)
    steps = told(reader, found)
    if as_json:
        emit(_object(each) for each in steps)
    else:
        emit(paged(_page(folder, heading(folder, run), found, steps, str(read_meta(folder).get("tree", "")))))
    return reader.report.intact


def _object(told: Told) -> str:
    from supervisor.journal.codec import encode

    more = {"causes": [list(each) for each in told.causes], **({"more": told.more} if told.more else {})}
    return encode(told.transition._asdict() | more)


def _page(folder: Path, heading: str, found: Lineage, steps: Iterator[Told], tree: str) -> Iterator[str]:
    from supervisor.cli.text import safe
    from supervisor.git.history import folder_of
    from supervisor.run.lineages import why_no_trees

    yield f"{folder.name}   {heading}"
    if found.previous:
        yield f"after      {found.previous}"
    none = True
    for each in steps:
        none = False
        yield _line(each)
    if none:
        yield "the tree was not changed"
    if found.tree:
        place = folder_of(folder.parent.parent, tree) / "states.git"
        if not place.exists():
            yield "the trees themselves were dropped to make room"
            return
        yield f"git --git-dir={place} diff {found.base[:_SHORT]} {found.tree[:_SHORT]}"
    elif not none:
        yield f"without trees: {safe(why_no_trees(folder))}"


def _line(told: Told) -> str:
    from supervisor.cli.text import command_line, safe

    each = told.transition
    trees = f"{each.pre[:_SHORT] or '-':<{_SHORT}} {each.post[:_SHORT] or '-':<{_SHORT}}"
    where = f"{each.since}-{each.upto}" if each.upto else "-"
    causes = "; ".join(command_line(words) for words in told.causes)
    if len(causes) > _LONGEST:
        causes = causes[: _LONGEST - 1] + "…"
    why = _WHY.get(each.why, each.why)
    count = f"{each.paths} path{'' if each.paths == 1 else 's'}"
    return f"{each.n:>5}  {trees}  {where:<11} {count:<11} {safe(why) or causes}{f' +{told.more}' if told.more else ''}"
