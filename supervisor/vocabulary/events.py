"""The closed union of things that are attempted or observed.

An event holds copies only: nothing in it points back into the memory of the process it speaks of, so what is judged
is what is acted on. Paths are bytes, canonical and absolute (symbolic links resolved, no trailing slash).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from supervisor.vocabulary.applied import Document
from supervisor.vocabulary.commands import Command
from supervisor.vocabulary.content import NOTHING_FOUND, Findings, Installation, Statement


class Binding(StrEnum):
    """How firmly an event's facts bind the act."""

    REGISTERS = "registers"
    COPIED = "copied"
    POST_HOC = "post_hoc"


class Actor(NamedTuple):
    """The process that acts. ``start`` is in clock ticks since boot (proc(5), stat field 22); ``action`` numbers
    the process subtree rooted at an exec made by the agent process."""

    pid: int
    ppid: int
    start: int
    exe: bytes
    argv: tuple[bytes, ...]
    action: int


class Kind(StrEnum):
    """What lies at a path."""

    ABSENT = "absent"
    FILE = "file"
    DIR = "dir"
    LINK = "link"
    FIFO = "fifo"
    SOCKET = "socket"
    CHAR = "char"
    BLOCK = "block"
    OTHER = "other"


class Target(NamedTuple):
    """One path as it was resolved.

    ``made``: the run itself created the name (temporary space, a git directory). ``ignored``: untracked, and the
    base commit's ignore rules cover it. ``unlinked``: reached through a descriptor, the name no longer exists.
    ``given``: a file that whoever started the run handed in as standard output or error. ``git``: the innermost
    folder above it that looks like a git directory, where that was asked (names that git runs or trusts).
    """

    path: bytes
    kind: Kind
    dev: int = 0
    ino: int = 0
    nlink: int = 0
    made: bool = False
    ignored: bool = False
    unlinked: bool = False
    given: bool = False
    git: bytes = b""


class FsOp(StrEnum):
    CREATE = "create"
    WRITE = "write"
    RENAME = "rename"
    UNLINK = "unlink"
    LINK = "link"
    META = "meta"
    READ = "read"


class FsEvent(NamedTuple):
    """One path mutation. ``other`` is the new name of a rename or link.

    ``beneath`` and ``beneath_other`` list what a moved directory holds (paths relative to it); None: too many to
    list, which the judge has to treat as the worst case. ``mode``: permission bits that are set. ``records``: govrun's
    own refs whose value the change would alter; ``locked``: git's lock file replaces what it locks. ``exposes``:
    why what lies beside it must not become a git directory by this name; ``settled``: path and judged content of the
    configuration that thereby becomes one. ``xattr``: the attribute that is set or removed. ``rebasing``: for a name
    among git's lists of steps, whether a rebase of git waits for the process. ``refusal``: the path cannot be resolved
    safely and why. ``restorable``: git does it, and what it brings is compared with what other people committed, and
    put back if it is none of that. ``manager``: the actor is a package manager. ``carried``: git moves between commits,
    stashes or the index, so that what changes is no work of the moment. ``applied_by``: a command that goes on, and was
    judged by what this file says.
    stashes or the index, so that what changes is no work of the moment. ``names``: other names of the file, where fixes
    are bounded.
    """

    actor: Actor
    op: FsOp
    call: str
    target: Target
    other: Target | None = None
    exchange: bool = False
    beneath: tuple[bytes, ...] | None = ()
    beneath_other: tuple[bytes, ...] | None = ()
    makes: Kind = Kind.FILE
    git_tool: bool = False
    records: tuple[bytes, ...] = ()
    locked: bool = False
    exposes: str = ""
    settled: tuple[tuple[bytes, bytes], ...] = ()
    xattr: bytes = b""
    rebasing: bool = False
    mode: int = 0
    refusal: str = ""
    manager: bool = False
    restorable: bool = False
    carried: bool = False
    applied_by: str = ""
    names: tuple[bytes, ...] = ()


class ConfigChange(NamedTuple):
    """One key of a git configuration file, before and after (None: absent)."""

    key: str
    old: tuple[str, ...] | None
    new: tuple[str, ...] | None


class ContentEvent(NamedTuple):
    """A version of a file of the tree that has landed, or is about to (``landing``).

    ``actor`` wrote it last. ``now`` is what it says, ``before`` what the version said that it replaces (the tree as
    found, or the last one accepted), ``prior`` what other people's commits say at the same path: those are tolerated.
    ``whole``: nobody has it open for writing any more. ``commit``: it comes as part of this commit. ``placed``: whether
    it may be at this path at all is judged too; ``theirs``: it is exactly what other people committed there (for
    ``Kind.ABSENT``: that nothing is there). ``bases``: what the version at this path says in the tree of each revision
    that a rule names as its baseline.
    """

    actor: Actor
    target: Target
    now: Findings
    before: Findings = NOTHING_FOUND
    prior: Findings = NOTHING_FOUND
    whole: bool = True
    landing: bool = False
    commit: str = ""
    placed: bool = False
    theirs: bool = False
    bases: tuple[tuple[str, Findings], ...] = ()

    def against(self, revision: str) -> ContentEvent:
        """As a rule sees it whose baseline is ``revision`` (empty: the tree as found). What the tree held when the run
        began, or others committed since, excuses nothing then: only exactly what they committed may come back."""
        if not revision:
            return self
        before = next((found for name, found in self.bases if name == revision), NOTHING_FOUND)
        return self._replace(before=before, prior=self.prior if self.theirs else NOTHING_FOUND)


class GitConfigEvent(NamedTuple):
    """A git ``config`` file is about to be replaced by its lock file. ``executable``: keys whose value git runs."""

    actor: Actor
    source: Target
    target: Target
    changes: tuple[ConfigChange, ...]
    executable: tuple[str, ...]
    refusal: str = ""


class CommitFacts(NamedTuple):
    """What a commit says of itself. ``author``: ``NAME <ADDRESS>``, ``address`` that part alone, both empty where it
    names none. ``trailers``: (key, value) of its last paragraph (git-interpret-trailers(1)). ``unclear``: why its
    author cannot be told, in words, empty where it can."""

    id: str
    author: str
    address: str
    trailers: tuple[tuple[str, str], ...] = ()
    unclear: str = ""


class RefEvent(NamedTuple):
    """A ref moved, was made or deleted (``new`` empty). Object names are hexadecimal; ``ref: NAME`` for a symbolic ref.
    ``fetched``: git moved it while it exchanged commits with another repository. ``landing``: it is about to move;
    ``commits``: what it would then lead to, and no ref at the start did."""

    actor: Actor
    ref: str
    old: str
    new: str
    fetched: bool = False
    landing: bool = False
    commits: tuple[CommitFacts, ...] = ()


class ExecEvent(NamedTuple):
    """A program is about to run. ``stage`` is ``call`` (copied from memory) or ``stop`` (read at the exec stop, from
    what is really there). ``given``: the path as the process named it; ``alias``: its canonical folder
    and its last component, where that differs from the program's own name. ``chain``: scripts before the image.
    ``installs``: the packages it would bring in, if it is a package manager.
    ``anonymous``: the image has no name (memfd, unlinked). ``hidden``: arguments that name hidden folders.
    ``commands``: what it does, in normal form, and ``applied``: what it would apply. ``statements``: what it would have
    a database do; ``database`` is the name or path of that. ``authored``: the files of which it would execute something
    and that the run made or changed, where a rule asks for them. ``servers``: names of the tool servers that it would
    add, empty for one that cannot be told. ``injected``: variables that make it load something, beyond those of the
    start, and the file of the run's that they lead to (empty: the variable itself
    is what matters, or where it leads cannot be told)."""

    actor: Actor
    target: Target
    given: bytes
    argv: tuple[bytes, ...]
    cwd: bytes
    stage: str
    alias: bytes = b""
    chain: tuple[bytes, ...] = ()
    anonymous: bool = False
    hidden: tuple[bytes, ...] = ()
    refusal: str = ""
    installs: Installation | None = None
    commands: tuple[Command, ...] = ()
    applied: tuple[Document, ...] = ()
    statements: tuple[Statement, ...] = ()
    database: str = ""
    authored: tuple[bytes, ...] = ()
    servers: tuple[str, ...] = ()
    injected: tuple[tuple[str, bytes], ...] = ()


class NetEvent(NamedTuple):
    """connect, bind, listen or an addressed send.

    ``family``: ``inet``, ``inet6``, ``unix``, ``other``; ``transport``: ``tcp``, ``udp``, ``stream``, ``dgram`` …
    ``host`` is the literal address; v4-mapped addresses read as v4. ``unix``: canonical path, or ``\\0name`` for the
    abstract space. ``own``: every listener behind the address was opened by the run. ``local``: the
    address belongs to this machine. ``agent``: the peer is the user's agent, and git's signer asks (``signer``),
    an ssh that git started (``login``) or somebody else (``other``); empty for every other peer.
    """

    actor: Actor
    op: str
    family: str
    transport: str
    host: str = ""
    port: int = 0
    unix: bytes = b""
    own: bool = False
    local: bool = False
    refusal: str = ""
    agent: str = ""


class ProcessEvent(NamedTuple):
    """A signal, limit, priority, trace or memory access aimed at another process. ``own``: it belongs to the run."""

    actor: Actor
    op: str
    target: int
    own: bool
    detail: str


class LifecycleEvent(NamedTuple):
    """Something of the run itself: a time-out, an operator's word."""

    op: str
    detail: str


class ObservationGap(NamedTuple):
    """Something happened that could not be observed."""

    reason: str
    detail: str


Event = (
    FsEvent | ContentEvent | GitConfigEvent | RefEvent | ExecEvent | NetEvent | ProcessEvent | LifecycleEvent
    | ObservationGap
)  # fmt: skip
