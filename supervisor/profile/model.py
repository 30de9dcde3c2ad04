"""The values a profile is loaded into: frozen, comparable, without I/O and without policy logic.

NamedTuples, because a start without a profile must not pay for importing dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Entry(NamedTuple):
    """One element of a list, and where it was written (``govrun.toml:7``, ``pack:default:12``)."""

    value: str
    source: str


Layers = tuple[tuple[Entry, ...], ...]


class Adr(NamedTuple):
    """A decision record in force.

    ``ref`` is how the profile named it, ``path`` is relative to the tree when it lies inside, ``sha1_blob`` the id git
    gives the bytes that were read (SHA-1 of ``blob N\\0`` and the bytes).
    """

    ref: str
    path: str
    id: str
    status: str
    sha1_blob: str
    title: str = ""


class Words(NamedTuple):
    """What one layer says about its own ``[scope]``: the verdict word and what a denial tells."""

    then: str = "deny"
    why: str = ""
    use: str = ""
    adr: Adr | None = None
    require: str | None = None
    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


class Scope(NamedTuple):
    """The merged ``[scope]`` of all layers.

    ``write``, ``read``, ``hosts`` and ``commands`` hold one inner tuple per layer that sets the key: a value must match
    in EVERY inner tuple; ``()`` means no layer sets it, ``((),)`` that a layer allows nothing. ``protect``, ``hide``
    and ``env_drop`` add up. Times are seconds, sizes bytes. ``then`` is the strictest word of all layers; what one
    layer said for its own entries is ``words_of(entry.source)``.
    """

    then: str = "deny"
    write: Layers = ()
    read: Layers = ()
    hosts: Layers = ()
    commands: Layers = ()
    protect: tuple[Entry, ...] = ()
    hide: tuple[Entry, ...] = ()
    branches: tuple[Entry, ...] = ()
    push: tuple[Entry, ...] = ()
    tls: tuple[Entry, ...] = ()
    state: tuple[Entry, ...] = ()
    env_pass: tuple[Entry, ...] = ()
    env_drop: tuple[Entry, ...] = ()
    env_set: Mapping[str, Entry] = NOTHING
    debug: bool = False
    timeout: float | None = None
    cpu: float | None = None
    memory: int | None = None
    disk: int | None = None
    processes: int | None = None
    files: int | None = None
    pull_requests: Mapping[str, object] = NOTHING
    commits: Mapping[str, object] = NOTHING
    tools: Mapping[str, object] = NOTHING
    sources: Mapping[str, str] = NOTHING
    layers: Mapping[str, Words] = NOTHING

    def words_of(self, source: str) -> Words:
        """The words of the layer that wrote ``source`` (``govrun.toml:7``); the strictest ``then`` if it is unknown."""
        words: Words | None = self.layers.get(source.rpartition(":")[0])
        return words if words is not None else Words(self.then)


class Rule(NamedTuple):
    """One ``[[kind]]`` table.

    ``fields`` holds the kind's own keys, validated, lists as tuples. ``then`` is the effective word, with the kind's
    default filled in. ``exempt`` is the key ``except``; ``denied`` and ``allowed`` are ``examples``. ``layer`` is the
    file that carries the rule: ``govrun.toml``, ``pack:default`` or an ADR's path.
    """

    kind: str
    id: str
    then: str | None = None
    why: str = ""
    use: str = ""
    adr: Adr | None = None
    paths: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()
    baseline: str = "freeze"
    denied: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    until: str | None = None
    require: str | None = None
    fields: Mapping[str, object] = NOTHING
    source: str = ""
    layer: str = ""

    @property
    def revision(self) -> str:
        """The revision that ``baseline`` names, empty for a word."""
        return "" if self.baseline in ("freeze", "none") else self.baseline


class Contract(Rule):
    """A ``[[contract]]``: ``fields`` are ``proves``, ``when``, and ``run``, ``try`` with ``expect``, or ``canary``."""

    __slots__ = ()


class AgentPack(NamedTuple):
    """What a shipped pack says of one agent program. Paths begin with ``~``, ``keep`` are environment names.

    ``state``: folders (``/**``) and files that it writes; ``protect``: what in them stays as it is, since the program
    would run it later. ``own``: folders where the run may change only the names it created itself, since sessions
    outside it use the others. ``set``: variables and their values, which may begin with ``~``. ``state_from``,
    ``state_in``: a JSON file of the user's, and where runs have their own of it; ``starts``: keys that are always the
    user's, since the agent runs what they say (``servers``, ``projects.*.servers``). ``unconfined``: how the agent is
    started without a sandbox of its own, which cannot work inside a run.
    """

    name: str
    programs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    executables: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    unconfined: str = ""
    own: tuple[str, ...] = ()
    set: Mapping[str, str] = NOTHING
    state_from: str = ""
    state_in: str = ""
    starts: tuple[str, ...] = ()


class SourceFile(NamedTuple):
    """A file whose bytes bind. ``committed`` is None until somebody who may ask git has compared it."""

    name: str
    path: str
    sha256: str
    committed: bool | None = None


class Profile(NamedTuple):
    """Everything in force. ``digest`` is the SHA-256 over all sources, ``ask_timeout`` is in seconds.

    ``protected_files`` are absolute paths inside the tree that bind this run and that it therefore cannot change.
    """

    scope: Scope = Scope()
    rules: tuple[Rule, ...] = ()
    contracts: tuple[Contract, ...] = ()
    default_then: str | None = None
    ask: str = "auto"
    ask_timeout: float = 60.0
    require: str | None = None
    require_committed: bool = False
    relaxed: tuple[str, ...] = ()
    sources: tuple[SourceFile, ...] = ()
    warnings: tuple[str, ...] = ()
    digest: str = ""
    adrs: tuple[Adr, ...] = ()
    protected_files: tuple[str, ...] = ()
