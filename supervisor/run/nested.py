"""A run that a contract makes: in a copy of the tree, with a state folder of its own, in a process of its own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor.kernel import libc
from supervisor.run.options import Options
from supervisor.vocabulary.errors import GovrunError

if TYPE_CHECKING:
    from supervisor.invariants.policy import Baselines
    from supervisor.run.narrowing import Within

# Runs the command of ``Options``; called once, in a process of its own. The exit code.
Governed = Callable[[Options, Callable[[str], None]], int]
PROOFS = "proofs"  # where, in the folder of a run, copies are made
PATIENCE = 300.0  # seconds for one command
GRACE = 10.0  # for it to be ended
_MOST_SHOWN = 400  # characters of what a command said
_MOST_READ = 65536  # bytes of it
_UMASK = 0o022


def last_said(text: str) -> str:
    """The last lines of an output, each whole, as many as are shown; of a last line that is longer, its beginning."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    kept: list[str] = []
    for line in reversed([line for line in lines if line]):
        if kept and sum(map(len, kept)) + len(kept) + len(line) > _MOST_SHOWN:
            break
        kept.insert(0, line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}…")
    return " ".join(kept)


class Nested:
    """``tree``: where the copy belongs, which does not exist yet. ``alive``: whether anybody still waits."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], governed: Governed, alive: Callable[[], bool] = lambda: True
    ) -> None:
        self.tree = folder / "tree"
        self.folder = folder
        self.state = folder / "state"
        self.temp = Path(os.path.realpath(folder)) / "tmp"
        self._environ = dict(environ)
        self._governed = governed
        self._alive = alive

    def run(
        self,
        command: tuple[str, ...],
        *,
        within: Within | None = None,
        profile: Path | None = None,
        digest: str = "",
        baselines: Baselines | None = None,
    ) -> tuple[int, str]:
        """Exit status of a command, and the end of what it said. ``within``: what binds it; else the profile of the
        tree does, or ``profile``. ``digest``: what that has to be, ``baselines``: what they mean in it."""
        if within is not None:
            self.temp.mkdir(mode=0o700)
        output = self.folder / "output"
        options = Options(
            command, profile=profile, root=self.tree, agent="generic", quiet=True, contracts=False, digest=digest,
            within=within, baselines=baselines,
        )  # fmt: skip
        pid = os.fork()
        if pid == 0:
            self._child(options, output)
        end = time.monotonic() + PATIENCE + GRACE
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            if time.monotonic() > end or not self._alive():
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        said = output.read_bytes()[-_MOST_READ:].decode("utf-8", "backslashreplace") if output.exists() else ""
        return os.waitstatus_to_exitcode(status), last_said(said.replace(f"{self.tree}/", ""))

    def _child(self, options: Options, output: Path) -> None:
        """Never returns."""
        code = 125
        try:
            os.setsid()
            # The supervisor lets nobody look into it; its fork has to be let into what it starts, until it says so too.
            libc.prctl(libc.PR_SET_DUMPABLE, 1)
            os.umask(_UMASK)
            fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(fd, 1)
            os.dup2(fd, 2)
            os.chdir(self.tree)
            # What runs at the end is inside of the supervisor's own confinement, which ends at the state folder.
            own = {"XDG_STATE_HOME": str(self.state), "XDG_CACHE_HOME": str(self.state / "cache")}
            os.environ.update(self._environ | own | {"PWD": str(self.tree)})

            def say(line: str) -> None:
                os.write(2, line.encode("utf-8", "backslashreplace") + b"\n")

            code = self._governed(options, say)
        except GovrunError as error:
            os.write(2, "\n".join(error.lines()).encode("utf-8", "backslashreplace"))
            code = error.exit_code
        finally:
            os._exit(code)
