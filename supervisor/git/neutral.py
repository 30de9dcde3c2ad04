"""Running git so that nothing in a repository, a home folder or the caller's environment decides what runs.

* The environment is built from nothing; system, global and attribute files of the machine are off; so are hooks,
  fsmonitor, replace refs, automatic gc, lazy fetching and every transport protocol.
* Configuration of the repository itself still applies to the one GIT_DIR named. So everything but the ref update runs
  against a GIT_DIR of ours (``own``), where only the objects are the user's.
* git starts in ``/`` and in a session of its own: no discovery, no Ctrl-C meant for the agent.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from supervisor.git.program import FIXED_PATH, find_git
from supervisor.vocabulary.errors import GovrunError

_MAX_TOLD = 400
# Command-line configuration outranks every file (git-config(1), FILES).
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.sshCommand=false",
    "core.askPass=",
    "core.alternateRefsCommand=",
    "core.pager=cat",
    "core.fsync=committed",
    "credential.helper=",
    "gc.auto=0",
    "core.commitGraph=false",  # whoever writes one can have commits of his own choice be missed
    "maintenance.auto=false",
    "protocol.allow=never",
    "core.filesRefLockTimeout=1000",
)


class GitError(GovrunError):
    """git failed, or took too long. ``code`` is its exit status, negative for a signal, None for a time-out."""

    def __init__(self, what: str, why: str, code: int | None) -> None:
        super().__init__(what, why, exit_code=121)
        self.code = code


class Git:
    """git on ``git_dir`` (None: no repository); ``objects`` is a foreign object folder to write to and read from,
    ``index`` a foreign index to read.

    ``timeout`` in seconds for each call. Raises ``HostError`` when there is no git.
    """

    def __init__(
        self, git_dir: Path | None, *, objects: Path | None = None, index: Path | None = None, timeout: float = 10.0
    ) -> None:
        self._command = [find_git(), "--no-pager"]
        for setting in _SETTINGS:
            self._command += ["-c", setting]
        self._environment = environment(git_dir, objects)
        if index is not None:
            self._environment["GIT_INDEX_FILE"] = str(index)
        self._timeout = timeout

    def run(self, args: Sequence[str | bytes], stdin: bytes = b"", *, file: BinaryIO | None = None) -> bytes:
        """Standard output of ``git ARGS``, which reads ``stdin``, or else ``file``. Raises ``GitError`` on a non-zero
        exit or after ``timeout``."""
        with self._start(args, subprocess.PIPE, file) as process:
            try:
                out, told = process.communicate(None if file is not None else stdin, timeout=self._timeout)
            except subprocess.TimeoutExpired as error:
                # Its group: a grandchild that holds the pipe would keep us waiting.
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                raise GitError(f"git {_name(args)} took too long", f"more than {self._timeout} s", None) from error
        if process.returncode:
            why = told.decode("utf-8", "backslashreplace").strip()[-_MAX_TOLD:] or f"exit {process.returncode}"
            raise GitError(f"git {_name(args)} failed", why, process.returncode)
        return out

    def serve(self, args: Sequence[str | bytes]) -> subprocess.Popen[bytes]:
        """A long-lived git with piped stdin and stdout, stderr dropped. The caller ends it. Raises ``GitError``."""
        return self._start(args, subprocess.DEVNULL, None)

    def _start(self, args: Sequence[str | bytes], stderr: int, file: BinaryIO | None) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [*self._command, *args],
                stdin=subprocess.PIPE if file is None else file,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self._environment,
                cwd="/",
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise GitError(f"git {_name(args)} could not be started", str(error), None) from error


def environment(git_dir: Path | None, objects: Path | None) -> dict[str, str]:
    """The whole environment of every git that govrun starts."""
    found = {
        "PATH": FIXED_PATH,
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
        "GIT_CEILING_DIRECTORIES": "/",
        "GIT_COMMITTER_NAME": "govrun",
        "GIT_COMMITTER_EMAIL": "govrun@invalid",
        "GIT_AUTHOR_NAME": "govrun",
        "GIT_AUTHOR_EMAIL": "govrun@invalid",
        # Without a repository any discovery must fail, not find one that is in the way.
        "GIT_DIR": "/nonexistent" if git_dir is None else str(git_dir),
    }
    if objects is not None:
        found["GIT_OBJECT_DIRECTORY"] = str(objects)
    return found


def _name(args: Sequence[str | bytes]) -> str:
    return os.fsdecode(args[0]) if args else ""
