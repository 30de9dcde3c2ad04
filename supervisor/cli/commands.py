"""Every command but a run, through typer."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import typer
import typer.main

from supervisor import __version__
from supervisor.vocabulary.errors import UsageError

# typer carries its own click, and exports no other name for the errors of a command line.
_USAGE: tuple[type[Exception], ...] = tuple(c for c in typer.BadParameter.__mro__ if issubclass(c, Exception))[1:3]

# Command -> the module that adds it, in the order in which they are listed.
_COMMANDS = {
    "init": "init", "check": "check", "test": "test", "brief": "brief", "explain": "explain", "doctor": "doctor",
    "ps": "ps", "approve": "approve", "deny": "approve", "pause": "pause", "resume": "pause", "stop": "pause",
    "runs": "runs", "log": "log", "show": "show", "why": "why", "export": "export", "verify": "verify",
    "packet": "verify", "key": "verify", "notes": "notes",
    "lineage": "lineage", "blame": "blame", "undo": "undo", "recover": "recover",
}  # fmt: skip
# What other programs call it.
_MEANT = {"version": "--version", "-V": "--version", "-v": "--version", "help": "--help", "-?": "--help"}

_HELP = """Runtime governance for AI agents.

govrun [OPTIONS] -- COMMAND ARGS…   runs a command under the invariants of this repository.

Options of a run: --profile FILE, --agent NAME, --root DIR, --tree inplace, --accept yama,
--require enforced|supervised|observed, --require-committed, --fail-on warn|deny|revert,
--dry-run (say what would bind and stop; with --json as one object), --quiet (violations only).
"""


def run_command(words: list[str]) -> int:
    """Parse and run; returns the exit code (2 for a command line that cannot be understood)."""
    app = typer.Typer(help=_HELP, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback(invoke_without_command=True)
    def top(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
        if version:
            typer.echo(f"govrun {__version__}")
            raise typer.Exit

    if not words:
        words = ["--help"]
    # What is asked for is named first; the others are loaded to be listed.
    for module in dict.fromkeys([_COMMANDS[words[0]]] if words[0] in _COMMANDS else _COMMANDS.values()):
        import_module(f"supervisor.cli.{module}").register(app)
    try:
        result = _plain_flags(app)(words, standalone_mode=False, prog_name="govrun")
    except typer.Exit as done:
        return int(done.exit_code)
    except _USAGE as error:
        if words[0] in _MEANT:
            reason, fix = "it is written otherwise", f"govrun {_MEANT[words[0]]}"
        elif words[0] in _COMMANDS:
            reason, fix = f"`{words[0]}` does not take it", f"govrun {words[0]} --help"
        else:
            reason = f"commands: {', '.join(_COMMANDS)}"
            meant = words[0] if not words[0].startswith("-") else "COMMAND"
            fix = f"govrun -- {meant} … runs it as a command; govrun --help lists the rest"
        raise UsageError(str(error).rstrip("."), reason, fix, exit_code=2) from error
    return result if isinstance(result, int) else 0


def _plain_flags(app: typer.Typer) -> Callable[..., object]:
    """The program behind ``app``; its help names no type (``<bool>``) beside options that take no value."""
    group = typer.main.get_group(app)
    context = group.make_context("govrun", [], resilient_parsing=True)
    for each in (group, *group.commands.values()):
        for option in each.get_params(context):
            if getattr(option, "is_flag", False):
                option.metavar = ""
    return group
