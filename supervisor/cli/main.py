"""The command ``govrun``: a run when there is a ``--`` (or no known command), else one of the other commands.

A run is parsed by hand: typer costs more to import than the run may cost to start.
"""

from __future__ import annotations

import os
import sys

from supervisor.vocabulary.errors import GovrunError, InternalError, UsageError


def main(argv: list[str] | None = None) -> int:
    """Exit code of the whole program; the only handler of errors that reach a user."""
    words = sys.argv[1:] if argv is None else argv
    words = ["--help"] if words == ["-h"] else words
    _hold_streams()
    try:
        code = _run(words)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except GovrunError as error:
        _say(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away; what is left unsaid is not an error.
        _drop_output()
        return 141
    except OSError as error:
        return _system_error(error)
    except Exception as error:
        if os.environ.get("GOVRUN_DEBUG"):
            raise
        _say(InternalError(f"{type(error).__name__}: {error}"))
        return 125


def _run(words: list[str]) -> int:
    if words and words[0].startswith("-") and words[0] not in ("--help", "--version"):
        from supervisor.cli.start import is_option, start, without_dashes

        if "--" in words:
            return start(words)
        if is_option(words[0]):
            raise without_dashes(words)
    return _command(words)


def _hold_streams() -> None:
    """Standard streams that were closed are taken: a file opened in their place would get what is said to the user.
    Close-on-exec, so that the command finds them closed, as it would without govrun."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # open(2) gives the lowest free number


def _system_error(error: OSError) -> int:
    """What no command has told in its own words. Never taken for success."""
    if _output_fails(error):
        _drop_output()
        why = error.strerror or str(error)
        _say(UsageError("cannot write to standard output", why, "free space there, or send it elsewhere"))
    elif isinstance(error, PermissionError):
        from supervisor.kernel import probe

        why = "inside a run its records are hidden" if probe.run_id() else "the file belongs to somebody else"
        _say(UsageError(f"cannot read {error.filename or 'a file'}", f"{error.strerror}: {why}", "run it outside"))
    elif os.environ.get("GOVRUN_DEBUG"):
        raise error
    else:
        _say(InternalError(f"{type(error).__name__}: {error}"))
    return 125


def _output_fails(error: OSError) -> bool:
    """Whether it was a print: commands open no files themselves. What is still in the buffer fails again."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    here = os.path.dirname(__file__)
    if error.filename is None and at is not None and os.path.dirname(at.tb_frame.f_code.co_filename) == here:
        return True
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        return True
    return False


def _drop_output() -> None:
    """The interpreter flushes once more at its end: give it somewhere to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say(error: GovrunError) -> None:
    from supervisor.cli.text import safe

    text = "".join(f"{safe(line)}\n" for line in error.lines())
    try:
        # Not print: with standard error closed it would write to standard output.
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        return


def _command(words: list[str]) -> int:
    from supervisor.cli.commands import run_command

    return run_command(words)
