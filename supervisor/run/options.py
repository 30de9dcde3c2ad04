"""The command line of a start."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Options(NamedTuple):
    """The command line of a start. ``as_json`` is how ``dry_run`` is printed."""

    command: tuple[str, ...]
    profile: Path | None = None
    agent: str | None = None
    root: Path | None = None
    require: str | None = None
    require_committed: bool = False
    fail_on: str | None = None
    accept: tuple[str, ...] = ()
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False
