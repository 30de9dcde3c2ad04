"""How a run ended: its exit code, and what is left to be said and tidied up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor.enforce.explain import reason
from supervisor.invariants.policy import GitDir
from supervisor.profile.problems import plain
from supervisor.provenance.feed import last_problem
from supervisor.run.leftovers import steps_left
from supervisor.run.loop import End
from supervisor.run.record import Counts
from supervisor.surfaces.paths import Refused
from supervisor.vocabulary.errors import GovrunError
from supervisor.vocabulary.verdicts import Effect, Verdict

if TYPE_CHECKING:
    from supervisor.run.commits import Commits
    from supervisor.run.external import Touched
    from supervisor.run.record import Recorder

EXIT_FAILED, EXIT_STOPPED, EXIT_ENFORCED, EXIT_TIMEOUT = 121, 122, 123, 124
_STEPS = 20  # of a rebase that are named
Say = Callable[[str], None]


def outcome(end: End, counts: Counts, fail_on: Effect | None, *, unmet: int = 0) -> tuple[int, str]:
    """Exit code and status word. ``unmet``: contracts that are not met at the end."""
    if end.reason in ("internal", "crash"):
        return EXIT_FAILED, "UNKNOWN"
    if end.reason in ("invariant", "operator"):
        return EXIT_STOPPED, "FAILED"
    if end.reason == "timeout":
        return EXIT_TIMEOUT, "FAILED"
    status = end.status or 0
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    crossed = fail_on is not None and (counts.blocked > 0 or (fail_on is Effect.WARN and counts.warned > 0))
    if unmet or crossed:
        return (EXIT_ENFORCED if code == 0 else code), "FAILED"
    return code, "WARNED" if counts.warned else "PASSED"


def say_what_waits(git: GitDir | None, started: float, say: Say) -> None:
    """Steps of a rebase that the run leaves behind; ``started``: monotonic seconds."""
    since = time.time() - (time.monotonic() - started) - 1
    steps = steps_left(git.path, git.common, since) if git is not None else []
    if steps:
        say("govrun: a rebase is under way; git rebase --continue would run, outside of this run:")
        for step in steps[:_STEPS]:
            say(f"  {plain(step[:200])}")
        say("  use: git rebase --abort, or read git rebase --edit-todo first")


def look_at_index(commits: Commits, git: GitDir | None, touched: Touched, recorder: Recorder, say: Say) -> None:
    """What is staged is nobody's commit yet, and not taken away: the user's next one would take it up."""
    if git is None or not touched.is_after(git.path + b"/index"):
        return
    try:
        for found in commits.staged():
            warned = Verdict(Effect.WARN, found.verdict.matches)
            recorder.warned(found.event, warned)
            message = reason(warned.matches[0], Effect.WARN, "noticed in the index")
            say(f"{message} · take it out: git restore --staged PATH")
    except (GovrunError, Refused) as error:
        recorder.note("gap", reason="the index could not be looked at", detail=str(error))


def say_what_is_missing(folder: Path, say: Say, why: str = "") -> None:
    """The publisher did not write everything."""
    say(f"govrun: not all notes could be written; see {folder / 'notes.jsonl'}")
    if why := why or last_problem(folder):
        say(f"  why: {plain(why)}")
    say("  fix: govrun recover writes them, once that is mended")


def remove_stale_locks(locks: Mapping[bytes, tuple[int, int]]) -> None:
    """Whoever held them is dead by now."""
    for path, inode in locks.items():
        try:
            found = os.lstat(path)
            if (found.st_dev, found.st_ino) == inode:
                os.unlink(path)
        except OSError:
            continue  # removed by its owner, as it should be


def say_why_not(tell: int, program: str, say: Say, *, refused: bool) -> None:
    """The child reports an exec that failed before the agent ever ran; ``refused``: by a rule, as the record says."""
    if tell < 0:
        return
    os.set_blocking(tell, False)
    try:
        line = os.read(tell, 4096)
    except BlockingIOError:
        return
    if line.startswith(b"E"):
        text = line.strip().decode("utf-8", "replace").partition(" ")[2]
        say(f"govrun: cannot execute {program}")
        if refused:
            say("  why: a rule of this run refused it")
            say("  fix: `govrun why latest` has the rule, and what to do instead")
            return
        say(f"  why: {text}")
        first = "look at the interpreter in its first line (#!)"
        other = "`govrun log latest --blocked` tells whether it was refused, govrun doctor what this machine lacks"
        say(f"  fix: {first if '[Errno 2]' in text else other}")
