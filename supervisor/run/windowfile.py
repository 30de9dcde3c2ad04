"""The file that counts of guardrails outlive their run in: one per tree, in the state folder, which no run can reach.

It is replaced as a whole, so that it is never seen half written. A file that is there and cannot be understood means
that the counts are not known, and what is not known may be used up: nothing starts until a person has removed it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from supervisor.git.turns import locked
from supervisor.invariants.guardrail import COUNTERS
from supervisor.vocabulary.errors import HostError, StopRun

CONTINUES = 600.0  # seconds after which another run of the same agent begins anew, but for the counts of the day
_MOST = 64 << 20
_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False).encode


class Kept(NamedTuple):
    """What a run has left: its agent, when (wall clock, seconds), on which UTC day (number), and per rule what
    ``Window.dump`` said."""

    agent: str
    saved: float
    day: int
    windows: dict[str, dict[str, Any]]


def path_of(folder: Path, tree: str) -> Path:
    name = hashlib.sha256(tree.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return folder / f"windows-{name}.json"


def read(folder: Path, tree: str) -> Kept | None:
    """What is kept for the tree, None where nothing is. Errors: ``HostError``."""
    path = path_of(folder, tree)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unknown(path, str(error)) from error
    try:
        with os.fdopen(descriptor, "rb") as file:
            raw = file.read(_MOST + 1)
        if len(raw) > _MOST:
            raise ValueError("it is too large")
        told = json.loads(raw)
        if told["tree"] != tree:
            raise ValueError("it speaks of another tree")
        windows = {str(ident): _checked(found) for ident, found in told["windows"].items()}
        return Kept(str(told["agent"]), _finite(told["saved"]), int(told["day"]), windows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unknown(path, str(error)[:200]) from error


def _unknown(path: Path, why: str) -> HostError:
    what = "it is not known how much of the guardrails is used up"
    return HostError(what, f"{path} cannot be read: {why}", "remove that file: all counts of this tree begin anew")


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def _numbers(values: object) -> list[int]:
    if not isinstance(values, list) or len(values) != len(COUNTERS):
        raise ValueError("counts of another shape")
    return [int(_finite(value)) for value in values]


def _checked(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same, if it is what ``Window.dump`` says. Raises what a wrong value raises."""
    told: dict[str, Any] = {"per": str(found["per"]), "counts": _numbers(found["counts"])}
    for name in ("files", "made"):
        told[name] = [[str(path), _finite(age)] for path, age in found[name]]
    told["parts"] = [[_finite(age), _numbers(counts)] for age, counts in found["parts"]]
    told["cooling"] = {str(sort): _finite(left) for sort, left in found["cooling"].items()}
    return told


def keep(
    folder: Path, tree: str, own: Kept, base: Mapping[str, Mapping[str, Any]], patience: float = 0.0
) -> dict[str, dict[str, Any]] | None:
    """Write what ``own`` says. Counts of the day are those in the file and what came to ``base`` since: other runs of
    the tree count there too; they are returned as they are now.

    None: somebody else is writing for longer than ``patience`` seconds, and nothing was written. Errors: ``StopRun``.
    """
    path = path_of(folder, tree)
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        if not locked(lock, patience):
            return None
        try:
            there = read(folder, tree)
        except HostError as error:
            raise StopRun(error.what, error.why, error.fix) from error
        windows, daily = _merged(there, own, base)
        told = {"v": 1, "tree": tree, "agent": own.agent, "saved": own.saved, "windows": windows}
        told["day"] = max(own.day, there.day) if there is not None else own.day
        _replace(path, _ENCODE(told).encode())
        return daily
    except (OSError, ValueError) as error:
        raise _unwritten(path, error) from error
    finally:
        os.close(lock)


def _unwritten(path: Path, error: Exception) -> StopRun:
    return StopRun("cannot keep the counts of guardrails", f"{path}: {error}", "free space in the state folder")


def _merged(
    there: Kept | None, own: Kept, base: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Everything that is to be written, and the day's part of it that this run counts too."""
    windows, daily = dict(own.windows), {}
    for ident, found in there.windows.items() if there is not None else ():
        if found["per"] != "day" or there is None or there.day < own.day:
            continue
        mine = own.windows.get(ident)
        if there.day == own.day and mine is not None and mine["per"] == "day":
            windows[ident] = _added(found, mine, base.get(ident))
        else:
            windows[ident] = found  # of a rule that is not in force here, or of a day that has not come here yet
    if there is None or there.day <= own.day:
        daily = {ident: windows[ident] for ident, mine in own.windows.items() if mine["per"] == "day"}
    return windows, daily


def _added(there: dict[str, Any], mine: dict[str, Any], base: Mapping[str, Any] | None) -> dict[str, Any]:
    known = base["counts"] if base is not None else [0] * len(COUNTERS)
    counts = [at + max(0, now - before) for at, now, before in zip(there["counts"], mine["counts"], known, strict=True)]
    told = mine | {"counts": counts}
    for name in ("files", "made"):
        told[name] = [[path, age] for path, age in (dict(there[name]) | dict(mine[name])).items()]
    return told


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.replace(temporary, path)
