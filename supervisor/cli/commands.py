"""Every command but a run, through typer."""

from __future__ import annotations

import typer

from supervisor import __version__
from supervisor.cli import check, doctor, explain, init, log, recover, runs, show, why
from supervisor.vocabulary.errors import UsageError

# typer carries its own click, and exports no other name for the errors of a command line.
_USAGE: tuple[type[Exception], ...] = tuple(c for c in typer.BadParameter.__mro__ if issubclass(c, Exception))[1:3]

_HELP = """Runtime governance for AI agents.

govrun [OPTIONS] -- COMMAND ARGS…   runs a command under the invariants of this repository.

Options of a run: --profile FILE, --agent NAME, --root DIR, --accept yama,
--require enforced|supervised|observed, --fail-on warn|deny,
--dry-run (say what would bind and stop), --quiet (violations only).
"""


def run_command(words: list[str]) -> int:
    """Parse and run; returns the exit code (2 for a command line that cannot be understood)."""
    app = typer.Typer(help=_HELP, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback(invoke_without_command=True)
    def top(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
        if version:
            typer.echo(f"govrun {__version__}")
            raise typer.Exit

    for module in (init, check, explain, doctor, runs, log, show, why, recover):
        module.register(app)
    names = ("init", "check", "explain", "doctor", "runs", "log", "show", "why", "recover")
    if not words:
        words = ["--help"]
    try:
        result = app(words, standalone_mode=False, prog_name="govrun")
    except typer.Exit as done:
        return int(done.exit_code)
    except _USAGE as error:
        if words[0] in names:
            reason, fix = f"`{words[0]}` does not take it", f"govrun {words[0]} --help"
        else:
            reason = f"commands: {', '.join(names)}"
            meant = words[0] if not words[0].startswith("-") else "COMMAND"
            fix = f"govrun -- {meant} … runs it as a command; govrun --help lists the rest"
        raise UsageError(str(error).rstrip("."), reason, fix, exit_code=2) from error
    return result if isinstance(result, int) else 0
