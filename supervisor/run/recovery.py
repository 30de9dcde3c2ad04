"""Runs that ended without a word: what they left half-done is brought to an end."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from supervisor.enforce.recover import recover
from supervisor.journal.ids import born
from supervisor.journal.store import list_runs, read_meta, update_meta
from supervisor.journal.writer import JOURNAL
from supervisor.run import scratch
from supervisor.run.nested import PROOFS
from supervisor.run.place import TEMPORARY
from supervisor.trees.looking import complete
from supervisor.vocabulary.errors import GovrunError

EXIT_CODE = 121
_YOUNG = 60.0  # seconds in which a run that wrote nothing yet may still be starting
_TRIES = 20


class Recovered(NamedTuple):
    """``state``: ``recovered`` (it ended without a word), ``live``, ``ended`` (nothing to do). ``told``: what was done,
    one line each; ``failed``: something could not be finished, and is tried again the next time."""

    run: str
    tree: str
    state: str
    told: tuple[str, ...] = ()
    failed: bool = False


def recover_all(state: Path) -> Iterator[Recovered]:
    """Every run of this user that needs it, oldest first. Never raises for one run."""
    for run in list_runs(state):
        try:
            found = recover_run(state / "runs" / run)
        except OSError as error:
            found = Recovered(run, "-", "recovered", (f"cannot be read: {error}",), failed=True)
        if found.state == "recovered":
            yield found


def recover_run(folder: Path, *, over: bool = False) -> Recovered:
    """Recover the run in ``folder``. Live runs are left alone; may be repeated, and killed. ``over``: the process that
    started the run asks, and knows that it is over."""
    meta = read_meta(folder)
    run, tree = folder.name, str(meta.get("tree", "-"))
    with _claimed(folder) as claimed:
        if not claimed or (not over and _may_start(run, meta)):
            return Recovered(run, tree, "live")
        end = read_meta(folder).get("end")
        told: list[str] = []
        failed = _leave_group(meta, run, told)  # before anything else: who is left in it goes on writing
        if not isinstance(end, dict) or end.get("reason") in ("crash", "internal"):
            failed |= _put_right(folder, run, told)
        # Not published without an end: what is published once is not published again with what it lacked.
        if isinstance(end, dict) or _ended(folder, told):
            failed |= _publish(folder, told)
        else:
            failed = True
    return Recovered(run, tree, "recovered" if told else "ended", tuple(told), failed)


def _ended(folder: Path, told: list[str]) -> bool:
    """Keep the last state that the run has left, then put down its end; False when that has to be tried again."""
    from supervisor.provenance.completion import crashed

    try:
        paths = complete(folder, crashed(folder).upto)
        if paths:
            told.append(f"what it left at {paths} path{'' if paths == 1 else 's'} is kept")
        update_meta(folder, end=_unknown(folder))
    except GovrunError as error:
        told.append(f"{error.what}: {error.why}")
        return False
    told.append("marked UNKNOWN: it ended without a word")
    return True


def _leave_group(meta: dict[str, object], run: str, told: list[str]) -> bool:
    """The run's cgroup, with whoever is left in it; True when it cannot be removed now."""
    path = meta.get("cgroup")
    if not isinstance(path, str) or not path.endswith(f"/govrun-{run}") or not os.path.isdir(path):
        return False
    from supervisor.kernel import cgroups

    gone = cgroups.remove(path)
    told.append(f"{path}: cgroup {'removed' if gone else 'cannot be removed'}")
    return not gone


def _unknown(folder: Path) -> dict[str, object]:
    from supervisor.provenance.completion import crashed

    told: dict[str, object] = {"status": "UNKNOWN", "reason": "crash", "exit": None, "code": EXIT_CODE}
    return told | {"counts": dict(crashed(folder).counts)}


def _publish(folder: Path, told: list[str]) -> bool:
    """Notes and record that the run still owes; True when they cannot be written now."""
    from supervisor.provenance.completion import complete

    try:
        done = complete(folder)
    except GovrunError as error:
        told.append(f"not noted: {error.what}: {error.why}")
        return True
    if done:
        told.append(done)
    return False


def _put_right(folder: Path, run: str, told: list[str]) -> bool:
    """Reverts that were under way, and what lies in temporary places; True when something is left."""
    try:
        lines = recover(folder)
        failed = any(": not finished:" in line for line in lines)
    except OSError as error:
        lines, failed = [f"cannot be recovered: {error}"], True
    told += lines
    if (proofs := folder / PROOFS).is_dir():
        shutil.rmtree(proofs, ignore_errors=True)
        failed = failed or proofs.exists()
        told.append(f"copies that contracts were shown on {'cannot be removed' if proofs.exists() else 'removed'}")
    for place in _scratch_of(run):
        scratch.remove(place)
        left = os.path.lexists(place)
        failed = failed or left
        told.append(f"{os.fsdecode(place)}: temporary folder {'cannot be removed' if left else 'removed'}")
    return failed


def _scratch_of(run: str) -> Iterator[bytes]:
    """The temporary folder of the run, if it is there and ours."""
    for base in dict.fromkeys(os.path.realpath(path) for path in TEMPORARY):
        path = scratch.name_in(base, run)
        try:
            info = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid():
            yield path


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Hold the lock of the journal, as the supervisor does; False while somebody else holds it."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(folder / JOURNAL, flags)
    except FileNotFoundError:
        descriptor = os.open(folder, flags | os.O_DIRECTORY)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    for _ in range(_TRIES):  # a reader asks with a lock of its own, for a moment
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.005)
        else:
            return True
    return False


def _may_start(run: str, meta: dict[str, object]) -> bool:
    """Between its folder and its journal a run is told by the process that starts it."""
    pid = meta.get("pid")
    if not isinstance(pid, int):
        return time.time() - born(run) < _YOUNG
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open("/proc/uptime", "rb") as file:
            up = float(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return False
    started = time.time() - up + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    # A process that is younger than the run has got the number of one that is gone.
    return fields[0] != b"Z" and started <= born(run) + 1
