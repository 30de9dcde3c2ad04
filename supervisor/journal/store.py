"""The state folder and the runs in it.

``<state>/runs/<ULID>/`` holds ``journal.jsonl``, ``chain.jsonl``, ``meta.json``, ``refs.json`` and ``notes.jsonl``.

``meta.json``: ``run``, ``agent``, ``argv`` (texts), ``tree`` (text), ``start`` (ISO, UTC), ``pid``; in a repository
``git``: ``git_dir``, ``common_dir`` (paths as ``os.fsdecode`` gives them), ``object_format``, ``base`` (commit, or ""
before the first); after the end ``end``: ``status``, ``reason``, ``exit`` (int or null), ``seconds``, ``counts``
(attempted, succeeded, failed, blocked, unknown, reverts, kills, external, divergence, and
what ``Counts.shown`` has), ``seq``, ``chain``.
``refs.json``: {ref: object id} at the start.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from supervisor.journal.codec import encode
from supervisor.journal.ids import LENGTH, is_ulid, new_ulid
from supervisor.vocabulary.errors import HostError, StopRun, UsageError

META = "meta.json"
REFS = "refs.json"
_MAX_META = 1 << 20
_MAX_REFS = 256 << 20


def state_dir(environ: Mapping[str, str]) -> Path:
    """``$XDG_STATE_HOME/govrun`` (default ``~/.local/state/govrun``), made 0700 when absent, symlinks resolved.

    A relative ``XDG_STATE_HOME`` is ignored (XDG base directory specification). Raises ``HostError`` when the folder
    belongs to somebody else, others may write it, or it cannot be made.
    """
    return make_state(state_path(environ))


def state_path(environ: Mapping[str, str]) -> Path:
    """Where ``state_dir`` is or would be. Makes and changes nothing. Raises ``HostError`` for what is there already
    and cannot be trusted."""
    base = environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        home = environ.get("HOME", "")
        base = (home if home.startswith("/") else _home()) + "/.local/state"
    folder = Path(base) / "govrun"
    try:
        if not os.path.lexists(folder):
            return Path(os.path.realpath(folder))
        resolved = folder.resolve(strict=True)
        _mode_of_ours(resolved)
    except OSError as error:
        raise _unusable(folder, str(error)) from error
    return resolved


def make_state(folder: Path) -> Path:
    """Make what ``state_path`` has named. Raises ``HostError``, also when something else stands there by now."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.resolve(strict=True) != folder:
            raise _unusable(folder, "a symbolic link was put in its way")
        seal(folder)
    except OSError as error:
        raise _unusable(folder, str(error)) from error
    return folder


def check_makeable(folder: Path) -> None:
    """Raise what ``make_state`` would raise, as far as that can be told without trying."""
    if why := obstacle(folder):
        raise _unusable(folder, why)


def obstacle(folder: Path) -> str:
    """Why names cannot be made in ``folder``, or it cannot be made itself; empty when nothing is in the way."""
    there = folder
    while not os.path.lexists(there):
        there = there.parent
    if not os.path.isdir(there):
        return f"{str(there)!r} is not a folder"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"{str(there)!r} cannot be written"


def _unusable(folder: Path, why: str) -> HostError:
    fix = "set XDG_STATE_HOME to a folder of yours that can be written"
    return HostError(f"cannot use the state folder {str(folder)!r}", why, fix)


def _home() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError as error:
        fix = "set XDG_STATE_HOME or HOME"
        raise HostError("no home folder is known for this user", "neither HOME nor the user database", fix) from error


def seal(folder: Path) -> None:
    """Make sure that a folder of ours is ours alone. Raises ``HostError`` when it was open to others' writing."""
    if _mode_of_ours(folder) & 0o077:
        os.chmod(folder, 0o700)


def _mode_of_ours(folder: Path) -> int:
    info = os.lstat(folder)
    what = f"the state folder {str(folder)!r} cannot be trusted"
    if not stat.S_ISDIR(info.st_mode):
        raise HostError(what, "it is not a folder", "move it away")
    if info.st_uid != os.geteuid():
        fix = "set XDG_STATE_HOME to a folder of yours"
        raise HostError(what, f"it belongs to uid {info.st_uid}, you are {os.geteuid()}", fix)
    if info.st_mode & 0o022:
        raise HostError(what, f"others may write it (mode {info.st_mode & 0o7777:o})", f"chmod 700 {str(folder)!r}")
    return info.st_mode


def new_run(state: Path) -> tuple[str, Path]:
    """A fresh ULID and its folder (0700). Raises ``HostError``."""
    try:
        runs = state / "runs"
        runs.mkdir(mode=0o700, exist_ok=True)
        seal(runs)
        run = new_ulid()
        folder = runs / run
        folder.mkdir(mode=0o700)
    except OSError as error:
        fix = "check space and mode of the state folder"
        raise HostError("cannot make the folder of the run", str(error), fix) from error
    return run, folder


def list_runs(state: Path) -> list[str]:
    """ULIDs of all runs, oldest first."""
    try:
        return sorted(entry.name for entry in os.scandir(state / "runs") if is_ulid(entry.name))
    except FileNotFoundError:
        return []


def find_run(state: Path, prefix: str, tree: str = "") -> Path:
    """Folder of the run named by a ULID, a unique prefix of one, or ``latest``: the newest of ``tree`` (as
    ``meta.json`` names it), where there is none the newest of all. Raises ``UsageError``."""
    runs = list_runs(state)
    if not runs:
        raise UsageError("there are no runs yet", f"{str(state / 'runs')!r} is empty", "govrun -- COMMAND")
    if prefix == "latest":
        folders = [state / "runs" / run for run in reversed(runs)]
        of_tree = (folder for folder in folders if read_meta(folder).get("tree") == tree)
        return next(of_tree, folders[0]) if tree else folders[0]
    wanted = prefix.upper()
    found = [run for run in runs if run.startswith(wanted)] if 0 < len(wanted) <= LENGTH else []
    if len(found) == 1:
        return state / "runs" / found[0]
    if found:
        why = f"{len(found)} runs begin with it, such as {found[-1]} and {found[-2]}"
        raise UsageError(f"the run {prefix!r} is not unique", why, "give more characters")
    raise UsageError(f"no run {prefix[:40]!r}", f"{len(runs)} runs, the latest is {runs[-1]}", "govrun runs")


def write_meta(folder: Path, meta: Mapping[str, object]) -> None:
    """Replace ``meta.json`` in one step. Not synced: the journal is what must survive. Raises ``StopRun``."""
    _replace(folder / META, (encode(dict(meta)) + "\n").encode("ascii"))


def update_meta(folder: Path, **changes: object) -> None:
    """Set some keys of ``meta.json``. One writer at a time: the supervisor. Raises ``StopRun``."""
    write_meta(folder, read_meta(folder) | changes)


def write_refs(folder: Path, refs: Mapping[str, str]) -> None:
    """Keep the refs at the start beside ``meta.json``, apart from it: there may be many. Raises ``StopRun``."""
    _replace(folder / REFS, (encode(dict(refs)) + "\n").encode("ascii"))


def read_meta(folder: Path) -> dict[str, object]:
    """The object in ``meta.json``; empty when there is none or it cannot be read: a listing must go on."""
    return _read_object(folder / META, _MAX_META)


def read_refs(folder: Path) -> dict[str, str]:
    """The refs at the start. Empty when there are none or they cannot be read."""
    return {name: value for name, value in _read_object(folder / REFS, _MAX_REFS).items() if isinstance(value, str)}


def _read_object(path: Path, limit: int) -> dict[str, object]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            raw = file.read(limit + 1)
        value = json.loads(raw) if len(raw) <= limit else None
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        raise StopRun(f"cannot write {path.name}", str(error), "free space in the state folder") from error
