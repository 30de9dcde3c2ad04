"""``govrun notes``: notes and records between clones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.git.layout import Repository
    from supervisor.provenance.syncing import Synced, Syncing


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    import typer as cli

    group = cli.Typer(help="Notes and records: carry them along, share them, write them again.", no_args_is_help=True)
    app.add_typer(group, name="notes")

    @group.command("setup")
    def setup() -> None:
        """Have git carry notes through amend and rebase here, and show them in `git log`."""
        from supervisor.cli.text import emit, safe
        from supervisor.provenance.syncing import set_up

        done = [f"set {safe(line)}" for line in set_up(_place().top)]
        emit(done or ["everything was set already"])

    @group.command("fetch")
    def fetch(remote: str = cli.Argument("origin", help="A remote of this repository.")) -> None:
        """Take over the notes and records of a remote; nothing that is here is lost."""
        with _syncing() as each:
            _say(each.fetch(_remote(remote)))

    @group.command("push")
    def push(remote: str = cli.Argument("origin", help="A remote of this repository.")) -> None:
        """Give notes and records to a remote, without force, after taking over its own."""
        with _syncing() as each:
            _say(each.push(_remote(remote)))

    @group.command("rebuild")
    def rebuild() -> None:
        """Write the notes again from the records that are here."""
        with _syncing() as each:
            _say(each.rebuild())


@contextmanager
def _syncing() -> Iterator[Syncing]:
    import os

    from supervisor.journal.store import state_dir
    from supervisor.provenance.answers import trusted_by
    from supervisor.provenance.syncing import Syncing

    syncing = Syncing(_place(), state_dir(os.environ), trusted_by(None, os.environ))
    try:
        yield syncing
    finally:
        syncing.close()


def _place() -> Repository:
    from pathlib import Path

    from supervisor.git.layout import discover
    from supervisor.kernel import probe
    from supervisor.vocabulary.errors import UsageError

    if probe.run_id():
        raise UsageError("this is a run", "notes and records are not a run's to move", "do it outside", exit_code=2)
    found = discover(Path.cwd())
    if found is None:
        raise UsageError("this is no repository", "notes and records lie in one", "cd into a clone", exit_code=2)
    return found


def _remote(name: str) -> str:
    import re

    from supervisor.vocabulary.errors import UsageError

    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) is None or ".." in name or name.endswith((".lock", ".")):
        raise UsageError(f"{name[:80]!r} is no remote", "its name is wanted, not an address", "git remote", exit_code=2)
    return name


def _say(done: Synced) -> None:
    from supervisor.cli.text import emit

    lines = [f"{done.changed} note{'' if done.changed == 1 else 's'} changed here, {done.records} records"]
    if done.absent:
        lines.append(f"{done.absent} of them on commits that are not here: git fetch")
    lines += [f"left as it is: the note on {commit}, which would have more than 1 MiB" for commit in done.skipped]
    emit(lines)
