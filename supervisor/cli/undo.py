"""``govrun undo``: what a run has changed in its tree is put back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.run.restore import Done, Wish
    from supervisor.run.undo import Plan, Undone


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    from supervisor.cli.choice import RUN_HELP

    @app.command("undo")
    def undo(
        run: str = cli.Argument(..., metavar="RUN", help=RUN_HELP),
        paths: list[str] = cli.Argument(None, metavar="[PATH]…", help="Only these, and what lies below them."),
        to: int = cli.Option(None, "--to", metavar="SEQ", help="Only what came after record SEQ (govrun log)."),
        dry_run: bool = cli.Option(False, "--dry-run", help="Say what would be done; change nothing."),
        as_json: bool = cli.Option(False, "--json", help="One JSON object per path."),
    ) -> None:
        """Put back what a run changed in its tree: content, mode, times, attributes, links.

        What somebody has changed since is named and left as it is; exit status 1 then. Ignored files and what lies in
        .git (commits, branches, the index) are not touched. The undo is a run of its own: it can be undone as well.
        """
        if not _undo(run, list(paths or ()), to, dry_run=dry_run, as_json=as_json):
            raise cli.Exit(1)


def _undo(run: str, names: list[str], to: int | None, *, dry_run: bool, as_json: bool) -> bool:
    """Whether all of it is (or would be) put back."""
    from supervisor.cli.choice import choose
    from supervisor.cli.live import state_outside
    from supervisor.cli.text import emit
    from supervisor.run.undo import carry_out, planned

    state = state_outside("undo")
    folder = choose(state, run)
    found = planned(folder, to, [_place(name) for name in names])
    if dry_run:
        emit(_foreseen(found, as_json=as_json))
        return not any(wish.left for wish in found.wishes if not wish.done)
    words = ["govrun", "undo", folder.name, *(["--to", str(to)] if to is not None else []), *names]
    done = carry_out(state, found, words, _teller(found, as_json=as_json))
    if not as_json:
        emit(_told(folder, done))
    return not done.left


def _place(name: str) -> bytes:
    """Its path, through no link that it names itself."""
    from supervisor.vocabulary.errors import UsageError

    if not name:  # a variable of a script that was never set
        raise UsageError("a path is empty", "it would mean all that lies below here", "govrun undo RUN .", exit_code=2)
    folder, last = os.path.split(name.rstrip("/") or "/")
    return os.fsencode(os.path.normpath(os.path.join(os.path.realpath(folder or "."), last)))


def _foreseen(found: Plan, *, as_json: bool) -> Iterator[str]:
    wishes = [wish for wish in found.wishes if not wish.done and not _is_folder_alone(wish)]
    for wish in wishes:
        how = "left" if wish.left else _verb(wish)
        yield _line(found, wish.path, how, wish.left, as_json=as_json)
    if not as_json:
        left = sum(bool(wish.left) for wish in wishes)
        kept = f", {left} left as they are" if left else ""
        yield f"{len(wishes) - left} would be put back{kept}; nothing was changed"


def _is_folder_alone(wish: Wish) -> bool:
    """A folder that only gets its times back."""
    from supervisor.vocabulary.events import Kind

    return wish.want.version.kind is wish.now.version.kind is Kind.DIR and not wish.left


def _verb(wish: Wish) -> str:
    from supervisor.vocabulary.events import Kind

    return "removed" if wish.want.version.kind is Kind.ABSENT else "restored"


def _teller(found: Plan, *, as_json: bool) -> Callable[[Done], None]:
    from supervisor.cli.text import emit

    return lambda done: emit([_line(found, done.path, done.how, done.detail, as_json=as_json)])


def _line(found: Plan, path: bytes, how: str, detail: str, *, as_json: bool) -> str:
    from supervisor.cli.text import safe
    from supervisor.journal.codec import encode

    if as_json:
        return encode({"path": path, "how": how, **({"detail": detail} if detail else {})})
    shown = safe(path.removeprefix(found.tree + b"/"))
    return f"  {how:<9} {shown}{f': {safe(detail)}' if detail else ''}"


def _told(folder: Path, done: Undone) -> Iterator[str]:
    from supervisor.cli.text import safe

    if not done.run:
        yield f"nothing to do: the tree is as it was before {folder.name}"
        return
    left = f", {len(done.left)} left as they are" if done.left else ""
    yield f"{done.restored} put back{left}   (run {done.run})"
    yield from (f"  {safe(note)}" for note in done.notes)
    yield f"  to undo this: govrun undo {done.run}"
