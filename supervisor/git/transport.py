"""The user's own git, with the user's settings and credentials, for what only that can do: talk to a remote, and set
what the user asked to have set. Never inside a run, and never on a run's behalf.

What the repository configures to be run when refs move or files are looked at is left out: nothing here is for hooks.
How to reach the remote (``core.sshCommand``, ``credential.helper``, ``remote.NAME.uploadpack``, ``url.BASE.insteadOf``)
is the repository's to say, as it is for ``git fetch``.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from supervisor.git.neutral import GitError
from supervisor.git.program import find_git

_MOST_TOLD = 2000
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=",
    "fetch.recurseSubmodules=false",
    "push.recurseSubmodules=no",
    "push.gpgSign=false",
    "log.showSignature=false",
    "gc.auto=0",  # which may run programs too (gc.recentObjectsHook)
    "maintenance.auto=false",
)


def by_the_user(top: Path, words: Sequence[str], stdin: str = "") -> str:
    """What ``git WORDS`` in ``top`` says on standard output. Its terminal is the user's: it may ask for a password.
    Errors: ``GitError`` with what it said last, ``HostError`` without git."""
    environment = {**os.environ, "LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1"}
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    try:
        done = subprocess.run(
            [find_git(), *settings, "-C", str(top), *words], env=environment, capture_output=True, check=False,
            input=stdin.encode("utf-8", "surrogateescape"),
        )  # fmt: skip
    except OSError as error:
        raise GitError(f"git {words[0]} could not be started", str(error), None) from error
    if done.returncode:
        why = done.stderr.decode("utf-8", "backslashreplace").strip()[-_MOST_TOLD:] or f"exit {done.returncode}"
        raise GitError(f"git {words[0]} failed", why, done.returncode)
    return done.stdout.decode("utf-8", "surrogateescape")
