"""Limits of what a run may use: what this machine can hold and measure, and one that is in force."""

from __future__ import annotations

from typing import Final, NamedTuple

KEYS: Final = ("processes", "memory", "cpu", "disk")
CONTROLLERS: Final = {"processes": "pids", "memory": "memory"}  # cgroup v2: which of them the kernel can hold


class LimitFacts(NamedTuple):
    """``held``: keys that the kernel itself can hold here. ``group``: processes can be counted by a group of their own.
    ``written``: the kernel accounts for what processes write. ``why``: why it holds no more."""

    held: frozenset[str] = frozenset()
    group: bool = False
    written: bool = True
    why: str = ""


class Limit(NamedTuple):
    """``most``: tasks, bytes or seconds of processor time. ``held``: by the kernel, not by looking."""

    key: str
    most: float
    held: bool = False
