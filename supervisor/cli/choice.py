"""Which run a command speaks of: named, or the newest one of the tree around the working directory."""

from __future__ import annotations

from pathlib import Path

RUN_HELP = "A run's id, the beginning of one, or 'latest': the newest of this tree."
_MOST_COMMAND = 120


def tree_here() -> str:
    """The tree that a run started here would govern, as ``meta.json`` names it; empty when that is not known."""
    from supervisor.run.place import place_of, working_directory
    from supervisor.vocabulary.errors import UsageError

    try:
        return str(place_of(working_directory(), None).tree)
    except (UsageError, OSError):
        return ""


def choose(state: Path, word: str) -> Path:
    """Folder of the run that ``word`` names; ``latest`` is the newest of this tree, if it has one. Errors:
    ``UsageError`` (exit code 2, from every command that reads)."""
    from supervisor.journal.store import find_run
    from supervisor.vocabulary.errors import UsageError

    try:
        return find_run(state, word, tree_here() if word == "latest" else "")
    except UsageError as error:
        error.exit_code = 2
        raise


def heading(folder: Path, word: str) -> str:
    """Tree and command of the run in ``folder``, which ``word`` has led to."""
    from supervisor.cli.text import command_line, safe
    from supervisor.journal.store import read_meta

    meta = read_meta(folder)
    tree, argv = meta.get("tree"), meta.get("argv")
    command = command_line(argv) if isinstance(argv, list) else ""
    if len(command) > _MOST_COMMAND:
        command = command[: _MOST_COMMAND - 1] + "…"
    elsewhere = word == "latest" and tree != (here := tree_here()) and here
    note = "   (the newest of all: this tree has no run yet)" if elsewhere else ""
    return f"{safe(tree or '-')}: {command or '-'}{note}"
