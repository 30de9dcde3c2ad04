"""``govrun blame``: which run wrote each line of a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import typer

    from supervisor.git.layout import Repository
    from supervisor.provenance.answers import Finding
    from supervisor.run.blaming import Line

_COMMAND = 24
_SHORT = 12
_MOST_BASES = 8


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    @app.command("blame")
    def blame(
        file: str = cli.Argument(..., metavar="FILE", help="A file of a tree in which runs have worked."),
        as_json: bool = cli.Option(False, "--json", help="One JSON object per line."),
    ) -> None:
        """Each line of a file with the run, the record and the command that wrote it, and the verdict on that.

        What no run of this tree wrote is told by its commit, and by the run that the commit's note names; `-` is
        what nobody of them wrote.
        """
        _blame(file, as_json=as_json)


class _Told(NamedTuple):
    line: Line
    commit: str
    runs: tuple[str, ...]  # that the commit's note names


def _blame(name: str, *, as_json: bool) -> None:
    from supervisor.cli.choice import tree_here
    from supervisor.cli.lines import paged
    from supervisor.cli.text import emit
    from supervisor.journal.store import state_dir
    from supervisor.run.blaming import blame
    from supervisor.vocabulary.errors import UsageError

    path = os.path.join(os.path.realpath(os.path.dirname(name) or "."), os.path.basename(name))
    tree = tree_here()
    if not tree or not path.startswith(tree + "/"):
        raise UsageError(f"{name!r} is not in this tree", f"the tree is {tree or '-'}", "cd into its tree", exit_code=2)
    lines, bases = blame(state_dir(os.environ), tree, os.fsencode(path))
    told = _committed(lines, bases, Path(tree), os.fsencode(path[len(tree) + 1 :]))
    emit(map(_object, told) if as_json else paged(_shown(told)))


def _committed(lines: list[Line], bases: list[str], tree: Path, relative: bytes) -> list[_Told]:
    """With the commits that git names for what no run is known to have written."""
    from supervisor.git.layout import discover
    from supervisor.vocabulary.errors import GovrunError

    old = [number for number, line in enumerate(lines) if line.author is None]
    repository = discover(tree) if old else None
    commits: dict[int, str] = {}
    runs: dict[str, tuple[str, ...]] = {}
    if repository is not None:
        with contextlib.suppress(GovrunError):  # there is no commit yet
            commits, runs = _history(repository, relative, lines, old, bases)
    found = ((line, commits.get(number, "")) for number, line in enumerate(lines))
    return [_Told(line, commit, runs.get(commit, ())) for line, commit in found]


def _history(
    repository: Repository, relative: bytes, lines: list[Line], old: list[int], bases: list[str]
) -> tuple[dict[int, str], dict[str, tuple[str, ...]]]:
    """The commit of each line that ``old`` numbers, and the runs that made these commits, as their notes say."""
    import tempfile

    from supervisor.git.base import Objects
    from supervisor.git.refs import snapshot
    from supervisor.git.view import View
    from supervisor.provenance.answers import trusted_by
    from supervisor.provenance.verifying import Verifier
    from supervisor.vocabulary.errors import GovrunError

    commits: dict[int, str] = {}
    with tempfile.TemporaryDirectory(prefix="govrun-blame-") as folder:
        view = View(Path(folder) / "view.git", repository)
        for revision in ("HEAD", *bases[:_MOST_BASES]):
            left = [number for number in old if number not in commits]
            with contextlib.suppress(GovrunError):  # the file is not in it
                commits |= _matched(view.blame(relative, revision), lines, left) if left else {}
        objects = Objects(view.git, timeout=60.0)
        try:
            refs = snapshot(repository.common_dir)
            trusted = trusted_by(None, os.environ)
            verifier = Verifier(objects, lambda name: refs.get(name, ""), trusted, events=False)
            named = {commit: verifier.commit(commit, "") for commit in set(commits.values())}
        finally:
            objects.close()
    made = {commit: (each.run for each in found if each.run and _made(each)) for commit, found in named.items()}
    return commits, {commit: tuple(runs) for commit, runs in made.items()}


def _made(found: Finding) -> bool:
    """Whether the run may have made the commit, as far as its record goes."""
    return found.how != "base" and found.answer != "refuted"


def _matched(known: list[tuple[str, bytes]], lines: list[Line], left: list[int]) -> dict[int, str]:
    import difflib

    texts = [lines[number].text for number in left]
    matcher = difflib.SequenceMatcher(None, [text for _, text in known], texts, autojunk=False)
    blocks = matcher.get_matching_blocks()
    return {left[block.b + at]: known[block.a + at][0] for block in blocks for at in range(block.size)}


def _object(told: _Told) -> str:
    from supervisor.journal.codec import encode

    author = told.line.author
    record: dict[str, object] = {"line": told.line.text}
    if author is not None:
        record |= {"run": author.run, "since": author.since, "upto": author.upto, "argv": list(author.argv),
                   "verdict": author.verdict}  # fmt: skip
        record |= {"invariant": author.invariant} if author.invariant else {}
    elif told.commit:
        record |= {"commit": told.commit, "runs": list(told.runs)}
    return encode(record)


def _shown(told: list[_Told]) -> Iterator[str]:
    from supervisor.cli.text import command_line, safe

    for number, each in enumerate(told, 1):
        author = each.line.author
        who, what = "-", ""
        if author is not None:
            who, what = f"{author.run[:_SHORT]} {author.upto}", f"{command_line(author.argv)} {author.verdict}"
            what = what if len(what) <= _COMMAND else f"{what[: _COMMAND - len(author.verdict) - 2]}… {author.verdict}"
        elif each.commit:
            who, what = f"commit {each.commit[:_SHORT]}", " ".join(run[:_SHORT] for run in each.runs[:2])
        yield f"{who:<20} {what:<{_COMMAND}} {number:>5}  {safe(each.line.text.expandtabs())}"
