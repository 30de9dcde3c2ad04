"""State of an agent that lies in one file with what it runs: runs have a version of their own.

A file in the home folder that is replaced by rename can be neither granted (the kernel knows no rule for one name) nor
read again (new files beside hidden folders are unreadable). And what it says is run by sessions that nobody governs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from supervisor.profile.model import AgentPack
from supervisor.vocabulary.errors import HostError

_MOST = 64 << 20
_LEVELS = 2  # tables in tables that are put together key by key


def bring(agent: AgentPack, home: Path) -> None:
    """Put the runs' version of the agent's file in place, before a run starts. Errors: ``HostError``."""
    if not agent.state_in:
        return
    source, target = (path.replace("~", str(home), 1) for path in (agent.state_from, agent.state_in))
    patterns = [pattern.split(".") for pattern in agent.starts]
    # A run may have put a link in its place, to a file that is hidden from it.
    theirs, ours = _read(source), _read(target, os.O_NOFOLLOW)
    wanted = merged(theirs, ours, patterns)
    if wanted == ours:
        return
    temporary = f"{target}.govrun-{os.urandom(8).hex()}"
    try:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with open(fd, "w", encoding="utf-8") as file:
                json.dump(wanted, file, indent=2)  # ASCII: half a surrogate has no UTF-8
            os.rename(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise HostError(f"cannot write {target!r}", str(error), "make room, or see to its folder") from error


def merged(theirs: dict[str, object], ours: dict[str, object], starts: Sequence[Sequence[str]]) -> dict[str, object]:
    """The user's file, with what runs have added where it says nothing. What the keys ``starts`` say comes from the
    user alone."""
    return _union(theirs, _without(ours, starts), _LEVELS)


def _without(table: dict[str, object], patterns: Sequence[Sequence[str]]) -> dict[str, object]:
    left = {}
    for key, value in table.items():
        rest = [pattern[1:] for pattern in patterns if pattern[0] in (key, "*")]
        if not all(rest):
            continue  # a pattern ends here
        left[key] = _without(value, rest) if rest and isinstance(value, dict) else value
    return left


def _union(first: dict[str, object], second: dict[str, object], levels: int) -> dict[str, object]:
    found = dict(first)
    for key, value in second.items():
        known = found.get(key)
        if levels and isinstance(known, dict) and isinstance(value, dict):
            found[key] = _union(known, value, levels - 1)
        elif not known:
            found[key] = value
    return found


def _read(path: str, flags: int = 0) -> dict[str, object]:
    """The object in a JSON file, empty where there is none that could be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | flags)
        with open(fd, "rb") as file:
            data = file.read(_MOST + 1)
        value = json.loads(data.decode("utf-8")) if len(data) <= _MOST else None
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
