"""A bare repository of our own that sees the user's objects: made by writing files, without starting git."""

from __future__ import annotations

import os
import re
from pathlib import Path

from supervisor.git.layout import is_object_id, read_small, settings
from supervisor.vocabulary.errors import StopRun

_LOGS = frozenset({"true", "false", "always"})
# git dies of any other value, and of a mode that takes the owner's own rights.
_SHARED = re.compile(r"group|true|all|world|everybody|umask|false|[012]|0?[67][0-7]{2}")


def make_own(folder: Path, common_dir: Path, object_format: str) -> Path:
    """Make (or complete) a bare repository at ``folder``, mode 0700, with the objects of ``common_dir`` as alternates.

    Only the object format and how files are shared are taken from the user's configuration: nothing that runs anything.
    Returns ``folder``. Raises ``StopRun`` when it cannot be written.
    """
    config = _config(settings(common_dir / "config"), object_format)
    if (folder / "HEAD").exists():
        refresh(folder, common_dir)
        return folder
    try:
        # One by one: parents that mkdir makes on the way get what the umask leaves, and the supervisor has none.
        for each in (folder.parent, folder, folder / "objects", folder / "objects/info", folder / "refs"):
            each.mkdir(mode=0o700, exist_ok=True)
        (folder / "config").write_text(config)
        (folder / "objects/info/alternates").write_bytes(_quoted(os.fsencode(common_dir / "objects")) + b"\n")
        # Last: with a HEAD it is complete.
        (folder / "HEAD.new").write_text("ref: refs/heads/none\n")
        (folder / "HEAD.new").rename(folder / "HEAD")  # half of one would be there for ever
    except OSError as error:
        raise StopRun("cannot make govrun's own git directory", str(error), "free space in the state folder") from error
    refresh(folder, common_dir)
    return folder


def make_window(folder: Path, common_dir: Path, object_format: str) -> Path:
    """Make a git directory at ``folder`` whose refs, logs and objects are those of ``common_dir``, but neither the
    configuration nor the hooks: a run may have left there what every git stumbles over.

    Returns ``folder``. Raises ``StopRun`` when it cannot be written.
    """
    found = settings(common_dir / "config")
    logs = found.get("core.logallrefupdates", "").lower()
    if logs not in _LOGS:
        logs = "false" if found.get("core.bare", "").lower() in ("true", "yes", "on", "1") else "true"
    try:
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, exist_ok=True)
        if logs != "false":
            (common_dir / "logs").mkdir(exist_ok=True)
        for name in ("objects", "refs", "logs", "packed-refs"):
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(common_dir / name)
        (folder / "config").write_text(_config(found, object_format, f"\tlogAllRefUpdates = {logs}\n"))
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
    except OSError as error:
        raise StopRun("cannot make govrun's own git directory", str(error), "free space in the state folder") from error
    return folder


def _config(found: dict[str, str], object_format: str, more: str = "") -> str:
    shared = found.get("core.sharedrepository", "").lower()
    version = 0 if object_format == "sha1" else 1
    config = f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n{more}"
    if _SHARED.fullmatch(shared):
        config += f"\tsharedRepository = {shared}\n"
    if version:
        config += f"[extensions]\n\tobjectFormat = {object_format}\n"
    return config


def refresh(folder: Path, common_dir: Path) -> None:
    """Take over where a shallow clone's history ends: a fetch may have moved it. Raises ``StopRun``."""
    text = read_small(common_dir / "shallow", 1 << 24)
    ours = folder / "shallow"
    try:
        if text is None:
            ours.unlink(missing_ok=True)
        else:
            ours.write_text("".join(f"{line}\n" for line in text.split("\n") if is_object_id(line)))
    except OSError as error:
        raise StopRun(
            "cannot write govrun's own git directory", str(error), "free space in the state folder"
        ) from error


def _quoted(path: bytes) -> bytes:
    """C-style quoting where a line of ``info/alternates`` needs it (gitrepository-layout(5); git >= 2.11)."""
    if not any(byte < 32 or byte in b'"\\' for byte in path):
        return path
    return b'"' + b"".join(b"\\%03o" % b if b < 32 or b in b'"\\' else bytes([b]) for b in path) + b'"'


def staging() -> bytes:
    """A ref for what fast-import makes, in our own git directory. A name of its own each time: a fast-import that was
    killed leaves its lock."""
    return b"refs/govrun/staging-%s" % os.urandom(8).hex().encode()
