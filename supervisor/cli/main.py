"""The command ``govrun``: a run when there is a ``--`` (or no known command), else one of the other commands.

A run is parsed by hand: typer costs more to import than the run may cost to start.
"""

from __future__ import annotations

import os
import sys

from supervisor.kernel import probe
from supervisor.vocabulary.errors import GovrunError, InternalError, UsageError


def main(argv: list[str] | None = None) -> int:
    """Exit code of the whole program; the only handler of errors that reach a user."""
    words = sys.argv[1:] if argv is None else argv
    try:
        if "--" in words and words[0].startswith("-"):
            from supervisor.cli.start import start

            return start(words)
        if words and words[0] in ("--quiet", "--dry-run", "--agent", "--root", "--profile", "--accept", "--fail-on"):
            raise UsageError("no command after --", "", "govrun [OPTIONS] -- COMMAND ARGS…", exit_code=125)
        return _command(words)
    except GovrunError as error:
        _say(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except PermissionError as error:
        why = "inside a run its records are hidden" if probe.run_id() else "the file belongs to somebody else"
        _say(UsageError(f"cannot read {error.filename or 'a file'}", f"{error.strerror}: {why}", "run it outside"))
        return 125
    except BrokenPipeError:
        # The reader of our output went away; what is left unsaid is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:
        if os.environ.get("GOVRUN_DEBUG"):
            raise
        _say(InternalError(f"{type(error).__name__}: {error}"))
        return 125


def _say(error: GovrunError) -> None:
    for line in error.lines():
        print(line, file=sys.stderr)


def _command(words: list[str]) -> int:
    from supervisor.cli.commands import run_command

    return run_command(words)
