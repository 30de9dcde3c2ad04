"""The compiled policy: what ``decide`` looks things up in. Frozen; holds no text that still has to be parsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from supervisor.invariants.commands import CommandRules
from supervisor.invariants.dependency import DependencyRules
from supervisor.invariants.globs import Globs
from supervisor.invariants.hosts import HostRules
from supervisor.profile.model import Words
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Effect

if TYPE_CHECKING:
    from supervisor.invariants.actions import ActionRules
    from supervisor.invariants.boundary import BoundaryRules
    from supervisor.invariants.branching import BranchRules
    from supervisor.invariants.data import DataRules
    from supervisor.invariants.edges import Graph
    from supervisor.invariants.expression import ExpressionRules
    from supervisor.invariants.guardrail import GuardRules, Increment, LoopState, Usage
    from supervisor.invariants.hidden import Hidden
    from supervisor.invariants.infra import InfraRules
    from supervisor.invariants.injection import InjectionRules
    from supervisor.invariants.lineage import StateRules
    from supervisor.invariants.remediation import EpisodeStates, RemediationRules
    from supervisor.invariants.secrets import SecretRules
    from supervisor.invariants.tools import ToolRules
    from supervisor.vocabulary.limits import Limit

# No rule of a kind: its module is loaded where there is one, since a start must not pay for all of them.
_NONE: Final[Any] = ()


class Grant(NamedTuple):
    """A place outside the tree that the run may write, and who says so. ``folder``: with everything in it but what
    ``protect`` matches below it. ``leads``: the folders on the way there. ``beside``: a file, and the names that begin
    with its own and a dot: programs lock it and write its next version there."""

    path: bytes
    source: str
    folder: bool = True
    protect: Globs = Globs(())
    leads: Globs = Globs(())
    beside: bool = False


class GitDir(NamedTuple):
    """A git directory of the tree: ``path`` is this work tree's own, ``common`` the shared one; equal for a main work
    tree (gitrepository-layout(5))."""

    path: bytes
    common: bytes


class Baselines(NamedTuple):
    """The revisions that rules name as their ``baseline``, by the ids of the commits that they meant at the start.
    ``common``: the shared git directory that has them."""

    common: bytes = b""
    commits: Mapping[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.commits)


NO_BASELINES: Final = Baselines()


class CompiledPolicy(NamedTuple):
    """One compiled set of invariants for one run. Paths are canonical, without a trailing slash. ``around``: hidden
    folders that hold the tree, temporary space and grants of a run that another one makes, which are not hidden."""

    tree: bytes
    state: bytes
    home: bytes
    temp: tuple[bytes, ...]
    git: GitDir | None
    grants: tuple[Grant, ...]
    write: tuple[Globs, ...]
    code: tuple[bytes, ...]
    protect: Globs
    protected_files: frozenset[bytes]
    leads: Globs
    home_protect: Globs
    hide: tuple[bytes, ...]
    hosts: HostRules
    commands: CommandRules
    words: dict[str, Words]
    scope_then: Effect
    debug: bool
    timeout: float | None
    invariants: dict[str, Invariant]
    digest: str
    dependencies: DependencyRules = DependencyRules()
    boundaries: BoundaryRules = _NONE
    documents: InfraRules = _NONE
    secrets: SecretRules = _NONE
    actions: ActionRules = _NONE
    data: DataRules = _NONE
    guards: GuardRules = _NONE
    remediation: RemediationRules = _NONE
    expressions: ExpressionRules = _NONE
    limits: tuple[Limit, ...] = ()
    branching: BranchRules = _NONE
    tools: ToolRules = _NONE
    remembered: StateRules = _NONE
    injection: InjectionRules = _NONE
    hidden: Hidden = _NONE
    around: tuple[bytes, ...] = ()
    baselines: Baselines = Baselines()

    @property
    def judges_reads(self) -> bool:
        """Whether what is opened for reading has to be known."""
        return bool(self.hidden) or (bool(self.data) and self.data.hides)

    def unread(self) -> tuple[bytes, ...]:
        """What a run may not read: the state folder, hidden folders, patterns of hidden files."""
        return (self.state, *self.hide, *(self.hidden.patterns() if self.hidden else ()))

    def invariant(self, ident: str) -> Invariant:
        return self.invariants[ident]

    def rule(self, ident: str, source: str) -> tuple[Invariant, Effect]:
        """A scope invariant in the words of the layer that wrote ``source`` (``govrun.toml:7``), and its effect."""
        found = self.invariants[ident]
        words = self.words.get(source.rpartition(":")[0])
        if words is None:
            return found, self.scope_then
        adr, blob = (words.adr.id or words.adr.ref, words.adr.sha1_blob) if words.adr is not None else ("", "")
        told = found._replace(
            then=words.then,
            why=words.why if not source.startswith("pack:") else words.why or found.why,
            use=words.use or found.use,
            adr=adr,
            adr_blob=blob,
            source=source,
        )
        return told, Effect[words.then.upper()]


class RunState(NamedTuple):
    """What of the run's past a verdict may depend on. ``counted``: the next five are known, as they are
    where guardrails are in force. ``usage``: by the id of a guardrail, what its window holds;
    ``increment``: what the act would add to it, ``remaining``: how many entries a folder would keep. ``loop``: what is
    known of repetition, and ``command``, of which command. ``graphs``: by the id of a boundary, how the tree's parts
    lead to each other. ``episodes``: what was refused and is not put right; ``standing``: how many violations more than
    at the start there are in all other files, ``changed``: what no fix may change has been written to since. ``now``:
    seconds since the epoch, where a rule may ask. ``unmet``: by the id of a contract, why it is not met by what the act
    is about."""

    counted: bool = False
    usage: Mapping[str, Usage] = {}
    increment: Increment = _NONE
    remaining: Mapping[bytes, int] = {}
    loop: LoopState = _NONE
    command: str = ""
    graphs: Mapping[str, Graph] = {}
    episodes: EpisodeStates = _NONE
    now: float = 0.0
    standing: int = 0
    changed: bool = False
    unmet: Mapping[str, str] = {}


NO_STATE = RunState()
