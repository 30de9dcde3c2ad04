"""Every command but a run, through typer."""

from __future__ import annotations

import typer

from supervisor import __version__
from supervisor.cli import doctor, explain, log, runs

_HELP = """Runtime governance for AI agents.

govrun [OPTIONS] -- COMMAND ARGS…   runs a command under the invariants of this repository.
"""


def run_command(words: list[str]) -> int:
    """Parse and run; returns the exit code (2 for a command line that cannot be understood)."""
    app = typer.Typer(help=_HELP, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback(invoke_without_command=True)
    def top(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
        if version:
            typer.echo(f"govrun {__version__}")
            raise typer.Exit

    for module in (explain, doctor, runs, log):
        module.register(app)
    result = app(words, standalone_mode=False, prog_name="govrun")
    return result if isinstance(result, int) else 0
