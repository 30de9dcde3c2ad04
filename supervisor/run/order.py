"""What a run is started with, fixed before the fork, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supervisor.confine.domains import Domain
from supervisor.invariants.contract import Contract, Shown
from supervisor.invariants.policy import CompiledPolicy
from supervisor.profile.model import AgentPack, Profile
from supervisor.run.agent import Late
from supervisor.run.world import Oracles
from supervisor.vocabulary.verdicts import Effect

if TYPE_CHECKING:
    from supervisor.run import logins, signing
    from supervisor.run.limiting import Bounds
    from supervisor.run.options import Options


class Order(NamedTuple):
    """What one run needs, fixed before the fork. ``seccomp`` is the filter program; ``say`` prints a line on govrun's
    own standard error. ``base`` is the commit that is checked out, ``head`` the same where no branch is. ``guard`` is
    the write end of the pipe to the guard, ``scratch`` the run's temporary folder, empty where none could be made.
    ``governed`` makes another run. ``bounds``: None where no limit is set. ``shown``: contracts that
    were shown before anything began. ``bound``: the profile in force; ``profile``: the file that was named on the
    command line."""

    run: str
    folder: Path
    policy: CompiledPolicy
    program: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    cwd: bytes
    seccomp: bytes
    agent_domain: Domain
    own_domain: Domain
    given: frozenset[tuple[int, int]]
    scoped: bool
    fail_on: Effect | None
    files: int | None
    git_tools: tuple[bytes, ...]
    unverified: bool
    oracles: Oracles
    refs: dict[str, str]
    head: str
    base: str
    guard: int
    terminal: int
    umask: int
    ignored: tuple[int, ...]
    say: Callable[[str], None]
    scratch: bytes
    agent: AgentPack
    late: Late
    bound: Profile
    signing: signing.Grant | None = None
    logins: logins.Grant | None = None
    unsigned: str = ""
    contracts: tuple[Contract, ...] = ()
    shown: tuple[Shown, ...] = ()
    profile: Path | None = None
    governed: Callable[[Options, Callable[[str], None]], int] | None = None
    ask: str = "auto"
    ask_timeout: float = 60.0
    bounds: Bounds | None = None


class Result(NamedTuple):
    code: int
    status: str
    reason: str
