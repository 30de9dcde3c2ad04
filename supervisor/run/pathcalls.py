"""What turns path calls into events, put together for one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.invariants.places import Zone, locate
from supervisor.invariants.policy import CompiledPolicy
from supervisor.run.record import Recorder
from supervisor.run.world import Oracles
from supervisor.surfaces.attributes import Attributes
from supervisor.surfaces.files import Files
from supervisor.surfaces.made import Made
from supervisor.surfaces.paths import Resolver
from supervisor.surfaces.processes import Processes
from supervisor.surfaces.renames import Renames

if TYPE_CHECKING:
    from supervisor.run.reading import Reading
    from supervisor.surfaces.reads import Reads


def path_calls(policy: CompiledPolicy, oracles: Oracles, resolver: Resolver, reads: Reads | None) -> Files:
    """The decoder of path calls: what lies in a git directory and in temporary space is looked at otherwise."""
    renames = Renames(
        resolver,
        lambda path: locate(policy, path).zone is Zone.GIT,
        oracles.config_delta,
        lambda old, new: all(locate(policy, path).zone is Zone.TEMP for path in (old, new)),
    )
    return Files(resolver, renames, Attributes(resolver), reads)


def path_reads(policy: CompiledPolicy, resolver: Resolver, processes: Processes) -> Reads | None:
    """The decoder of opens that only read; None where no rule hides files. Errors: OSError."""
    if not policy.judges_reads:
        return None
    from supervisor.surfaces.mounts import aliases
    from supervisor.surfaces.reads import Reads

    return Reads(resolver, processes.belongs, aliases(policy.tree))


def reading(reads: Reads | None, recorder: Recorder, made: Made) -> Reading | None:
    """What performs them."""
    if reads is None:
        return None
    from supervisor.run.reading import Reading

    return Reading(reads, recorder, made.terminal)
