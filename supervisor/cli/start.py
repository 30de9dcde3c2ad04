"""``govrun [OPTIONS] -- COMMAND``: parse, say, hand over."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from supervisor.kernel import probe
from supervisor.run.prepare import Options, prepare
from supervisor.run.start import launch
from supervisor.vocabulary.errors import UsageError

_VALUES = {"--profile", "--agent", "--root", "--require", "--fail-on", "--accept", "--tree"}
_FLAGS = {"--require-committed", "--dry-run", "--json", "--quiet"}
_ACCEPTED = ("yama",)  # the gaps of a host that a run can start with all the same
_CHOICES = {"--require": ("enforced", "supervised", "observed"), "--fail-on": ("warn", "deny", "revert")}


def start(words: list[str]) -> int:
    """Run the command after ``--``; the exit code of the run."""
    options = parse(words)
    outer = probe.run_id()
    if options.dry_run:
        from supervisor.cli.plan import show

        return show(outer, options)
    if outer:
        return _inside(outer, options)
    prepared = prepare(options, os.environ)
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
    except FileNotFoundError as error:
        what = f"command not found: {options.command[0]!r}"
        raise UsageError(what, str(error), "check the spelling and PATH", exit_code=127) from None
    except (OSError, ValueError) as error:
        fix = "chmod +x, or name the interpreter before it"
        raise UsageError(f"cannot execute {options.command[0]!r}", str(error), fix, exit_code=126) from error


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
        raise UsageError("no command after --", "nothing follows it", "govrun -- COMMAND ARGS…")
    if not command[0].strip():
        why = f"{command[0]!r} is its first word, as a variable leaves it that is not set"
        raise UsageError("the command is empty", why, "govrun -- COMMAND ARGS…", exit_code=127)
    tree = given.get("--tree", "inplace")
    if tree != "inplace":
        raise UsageError(f"--tree {tree} is not built yet", "this version works in place", "leave --tree out")
    for name, choices in _CHOICES.items():
        if given.get(name, choices[0]) not in choices:
            fix = _close(given[name], choices) or "leave it out"
            raise UsageError(f"{name} {given[name]!r} is no level", f"{name} takes {', '.join(choices)}", fix)
    for word in accept:
        if word not in _ACCEPTED:
            told = f"a run can be started without: {', '.join(_ACCEPTED)}"
            raise UsageError(f"--accept {word!r} names nothing that can be missing", told, "govrun doctor")
    if "--json" in given and "--dry-run" not in given:
        raise UsageError("--json goes with --dry-run", "standard output is the command's own", "govrun log --json")
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
        as_json="--json" in given,
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
                raise UsageError(f"{name} needs a value", "-- came right after it", f"{name} VALUE, or {name}=VALUE")
            if name == "--accept":
                accept.append(found)
            given[name] = found
        elif name in _FLAGS:
            raise UsageError(f"{name} takes no value", f"{word!r} gives one", name)
        else:
            why = f"a run knows {', '.join(sorted(_VALUES | _FLAGS))}"
            close = "did you mean --quiet?" if word == "-q" else _close(name, [*_VALUES, *_FLAGS])
            raise UsageError(f"unknown option {word!r}", why, close or "govrun --help")
    return given, accept


def without_dashes(words: list[str]) -> UsageError:
    """Options of a run, and no ``--``: where it belongs, if a command follows them."""
    from supervisor.cli.text import command_line

    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in _VALUES else 1
    fix = "govrun [OPTIONS] -- COMMAND ARGS…"
    if words[at:]:
        fix = f"govrun {command_line(words[:at])} -- {command_line(words[at:])}"
    return UsageError("no command after --", "the options of a run end with --, and what to run follows", fix)


def is_option(word: str) -> bool:
    """Whether ``word`` is an option of a run."""
    return word.partition("=")[0] in _VALUES | _FLAGS


def _close(word: str, valid: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, list(valid), 1)
    return f"did you mean {close[0]}?" if close else ""
