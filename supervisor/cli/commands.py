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
_MEANT = {"version": "--version", "-V": "--version", "-v": "--version", "-?": "--help"}

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

    if not words or words[0] == "help":
        words = [*words[1:], "--help"]
    # What is asked for is named first; the others are loaded to be listed.
    for module in dict.fromkeys([_COMMANDS[words[0]]] if words[0] in _COMMANDS else _COMMANDS.values()):
        import_module(f"supervisor.cli.{module}").register(app)
    try:
        result = _plain_flags(app)(words, standalone_mode=False, prog_name="govrun")
    except typer.Exit as done:
        return int(done.exit_code)
    except _USAGE as error:
        if not getattr(error, "message", "") and getattr(error, "param", None) is None:
            return 2  # a group without a command: its help was printed, which says all
        raise _told(words[0], error) from error
    return result if isinstance(result, int) else 0


def _told(word: str, error: Exception) -> UsageError:
    """What is wrong with the line that begins with ``word``."""
    what = str(error).rstrip(".")
    if word in _MEANT:
        reason, fix = "it is written otherwise", f"govrun {_MEANT[word]}"
    elif word in _COMMANDS:
        what, reason = _of_a_parameter(word, error) or (what, f"`{word}` does not take it")
        fix = f"govrun {word} --help"
    else:
        reason = f"commands: {', '.join(_COMMANDS)}"
        meant = word if word.strip() and not word.startswith("-") else "COMMAND"
        fix = f"govrun -- {meant} … runs it as a command; govrun --help lists the rest"
    return UsageError(what, reason, fix, exit_code=2)


def _of_a_parameter(word: str, error: Exception) -> tuple[str, str] | None:
    """What is wrong with one that is missing, or is none of its kind, and why."""
    message, param = str(getattr(error, "message", "")).rstrip("."), getattr(error, "param", None)
    if message.endswith("requires an argument"):
        return message, "nothing follows it"
    if param is None:
        return None
    dashed = max((name for name in param.opts if name.startswith("-")), key=len, default="")
    name = dashed or param.metavar or param.name.upper()
    if not message:
        return f"{name} is missing", f"`{word}` needs one"
    errors = getattr(error.__cause__ or error.__context__, "errors", None)  # as pydantic has it
    value = f": {errors()[0].get('input')!r:.60}" if errors is not None else ""
    if "integer" in message:
        return f"{name} is a number{value}", f"`{word}` takes nothing else there"
    return f"{name}: {message}{value}", f"`{word}` does not take it"


def _plain_flags(app: typer.Typer) -> Callable[..., object]:
    """The program behind ``app``; its help names no type (``<bool>``) beside options that take no value."""
    group = typer.main.get_group(app)
    context = group.make_context("govrun", [], resilient_parsing=True)
    for each in (group, *group.commands.values()):
        for option in each.get_params(context):
            if getattr(option, "is_flag", False):
                option.metavar = ""
    return group
