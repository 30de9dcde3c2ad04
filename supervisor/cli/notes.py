"""``govrun notes``: notes and records between clones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from supervisor.git.layout import Repository
    from supervisor.provenance.syncing import Synced, Syncing


_TRACKING = "refs/notes/govrun-remotes/"


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
        with _syncing(remote) as each:
            before = _ours()
            done = each.fetch(remote)
            nothing = _ours() == before and not done.skipped
            _say(done, f"nothing new at {remote}: {_records(done)} here" if nothing else "")

    @group.command("push")
    def push(remote: str = cli.Argument("origin", help="A remote of this repository.")) -> None:
        """Give notes and records to a remote, without force, after taking over its own."""
        from supervisor.cli.text import emit

        with _syncing(remote) as each:
            before = _ours()
            done = each.push(remote)
            if _ours() != before or done.skipped:
                _say(done)
            has = f"pushed: {remote} has all that is here, {_records(done)} and the notes"
            emit([has if before else "nothing to push: there are neither records nor notes here"])

    @group.command("rebuild")
    def rebuild() -> None:
        """Write the notes again from the records that are here."""
        with _syncing() as each:
            _say(each.rebuild())


@contextmanager
def _syncing(remote: str = "") -> Iterator[Syncing]:
    """Errors: ``UsageError`` where there is no such ``remote``, or it does not answer or refuses."""
    import os

    from supervisor.git.neutral import GitError
    from supervisor.journal.store import state_dir
    from supervisor.provenance.answers import trusted_by
    from supervisor.provenance.syncing import Syncing
    from supervisor.vocabulary.errors import UsageError

    place = _place()
    if remote:
        _look_for(_remote(remote), place)
    syncing = Syncing(place, state_dir(os.environ), trusted_by(None, os.environ))
    try:
        yield syncing
    except GitError as error:
        if error.what not in _OF_A_REMOTE:
            raise
        what, fix = _OF_A_REMOTE[error.what]
        raise UsageError(f"{remote} {what}", _first(error.why), fix.format(remote), exit_code=2) from error
    finally:
        syncing.close()


# What git says of a remote -> what that means, and what to do.
_OF_A_REMOTE = MappingProxyType(
    {
        "git ls-remote failed": (
            "does not answer",
            "git ls-remote {0} has to work first; git remote -v has its address",
        ),
        "git fetch failed": ("does not give what it has", "git fetch {0} has to work first"),
        "git push failed": (
            "does not take it",
            "whoever runs {0} has to let you push refs/notes/govrun, refs/govrun/*",
        ),
    }
)


def _first(told: str) -> str:
    """The line in which git says what is wrong: those after it are consequences, and advice."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    beside = ("To ", "warning:", "hint:")
    return next((line for line in lines if not line.startswith(beside)), told)


def _look_for(remote: str, place: Repository) -> None:
    """Errors: ``UsageError``."""
    from supervisor.git.transport import by_the_user
    from supervisor.vocabulary.errors import UsageError

    known = by_the_user(place.top, ["remote"]).split()
    if not known:
        why = "notes and records are shared through one"
        fix = f"git remote add {remote} ADDRESS"
        raise UsageError("this repository has no remote", why, fix, exit_code=2)
    if remote not in known:
        raise UsageError(f"no remote {remote!r}", f"remotes: {', '.join(known)}", "git remote", exit_code=2)


def _ours() -> dict[str, str]:
    """Records, ledgers and notes that are here."""
    from supervisor.git.refs import snapshot

    beginnings = ("refs/govrun/", "refs/notes/govrun")
    known = snapshot(_place().common_dir)
    return {n: at for n, at in known.items() if n.startswith(beginnings) and not n.startswith(_TRACKING)}


def _records(done: Synced) -> str:
    return f"{done.records} record{'' if done.records == 1 else 's'}"


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


def _say(done: Synced, first: str = "") -> None:
    from supervisor.cli.text import emit

    lines = [first or f"{done.changed} note{'' if done.changed == 1 else 's'} changed here, {_records(done)}"]
    if done.absent:
        lines.append(f"{done.absent} of them on commits that are not here: git fetch")
    lines += [f"left as it is: the note on {commit}, which would have more than 1 MiB" for commit in done.skipped]
    emit(lines)
