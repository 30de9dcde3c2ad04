"""The command line of a start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from supervisor.invariants.policy import Baselines
    from supervisor.run.narrowing import Within


class Options(NamedTuple):
    """The command line of a start. ``as_json`` is how ``dry_run`` is printed. Runs that contracts make show none
    themselves; ``digest``: what the profile of theirs has to be, empty where it does not matter. ``within``: the
    run that makes this one, which binds instead of a profile. ``baselines``: what those of it mean, in a copy that
    has no repository."""

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
    contracts: bool = True
    digest: str = ""
    within: Within | None = None
    baselines: Baselines | None = None
