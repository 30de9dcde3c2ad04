"""``govrun [OPTIONS] -- COMMAND``: parse, say, hand over."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from supervisor.kernel import probe
from supervisor.run.start import Options, launch, prepare
from supervisor.vocabulary.errors import UsageError

_VALUES = {"--profile", "--agent", "--root", "--require", "--fail-on", "--accept", "--tree"}
_FLAGS = {"--require-committed", "--dry-run", "--quiet"}


def start(words: list[str]) -> int:
    """Run the command after ``--``; the exit code of the run."""
    options = parse(words)
    outer = probe.run_id()
    if outer:
        return _inside(outer, options)
    prepared = prepare(options, os.environ)
    if options.dry_run:
        from supervisor.cli.explain import plan

        for line in plan(prepared):
            print(line)
        return 0
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None: closed by the caller; what is buffered must not be written by two processes
            stream.flush()
    return launch(prepared, say)


def _inside(run: str, options: Options) -> int:
    """Called by something that is already supervised: a second filter could not be loaded, and is not needed."""
    if not options.quiet:
        say(f"govrun: already inside run {run}; the command starts under the supervision that is there")
    try:
        os.execvp(options.command[0], options.command)
    except FileNotFoundError:
        raise UsageError(f"command not found: {options.command[0]!r}", exit_code=127) from None
    except OSError as error:
        raise UsageError(f"cannot execute {options.command[0]!r}", str(error), exit_code=126) from error


def say(line: str) -> None:
    """One line on govrun's own standard error. A stderr that is gone or full stops nothing."""
    try:
        os.write(2, (line + "\n").encode("utf-8", "backslashreplace"))
    except OSError:
        return


def parse(words: list[str]) -> Options:
    """The options before ``--`` and the command after it. Errors: ``UsageError``."""
    at = words.index("--")
    command = tuple(words[at + 1 :])
    given, accept = _options(words[:at])
    if not command:
        raise UsageError("no command after --", "", "govrun -- COMMAND ARGS…")
    tree = given.get("--tree", "inplace")
    if tree != "inplace":
        raise UsageError(f"--tree {tree} is not built yet", "this version works in place", "leave --tree out")
    for name, words_ in (
        ("--require", ("enforced", "supervised", "observed")),
        ("--fail-on", ("warn", "deny", "revert")),
    ):
        if given.get(name, words_[0]) not in words_:
            raise UsageError(f"{name} {given[name]!r} is no level", f"levels: {', '.join(words_)}", "")
    return Options(
        command=command,
        profile=Path(given["--profile"]) if "--profile" in given else None,
        agent=given.get("--agent"),
        root=Path(given["--root"]) if "--root" in given else None,
        require=given.get("--require"),
        require_committed="--require-committed" in given,
        fail_on=given.get("--fail-on"),
        accept=tuple(accept),
        dry_run="--dry-run" in given,
        quiet="--quiet" in given,
    )


def _options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    given: dict[str, str] = {}
    accept: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in _FLAGS and not equals:
            given[name] = ""
        elif name in _VALUES:
            found = value if equals else next(rest, None)
            if found is None:
                raise UsageError(f"{name} needs a value", "", "govrun --help")
            if name == "--accept":
                accept.append(found)
            given[name] = found
        else:
            raise UsageError(f"unknown option {word!r}", _nearest(name), "govrun --help")
    return given, accept


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, [*_VALUES, *_FLAGS], 1)
    return f"did you mean {close[0]}?" if close else ""
