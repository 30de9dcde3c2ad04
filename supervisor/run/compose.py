"""Profile, host and place -> compiled policy. Everything a run is bound by is fixed here, before anything starts."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supervisor.invariants.compile import Context, compile_policy
from supervisor.invariants.dependency import is_judged
from supervisor.invariants.globs import Globs
from supervisor.invariants.places import is_under
from supervisor.invariants.policy import NO_BASELINES, Baselines, CompiledPolicy, GitDir, Grant
from supervisor.profile.model import AgentPack, Entry, Profile, Scope
from supervisor.run.place import TEMPORARY, Place
from supervisor.vocabulary.host import HostFacts
from supervisor.vocabulary.limits import KEYS, LimitFacts

if TYPE_CHECKING:
    from supervisor.run.baselocks import Locks


def baselines_of(place: Place, profile: Profile) -> Baselines:
    """What the revisions mean that rules name as their baseline. Errors: ``UsageError``."""
    if not any(rule.revision for rule in profile.rules):
        return Baselines()
    from supervisor.run.baselines import resolved

    return resolved(profile, place.repository)


def base_locks(tree: Path, profile: Profile, baselines: Baselines) -> Locks | None:
    """What the locks of the tree name, and of the trees of revisions; None where no rule asks for it, which costs
    nothing. Errors: ``GovrunError``."""
    if not any(rule.kind == "dependency" and is_judged(rule) for rule in profile.rules):
        return None
    from supervisor.run.baselocks import read_locks, with_baselines

    found = read_locks(os.fsencode(tree))
    return with_baselines(found, baselines) if baselines else found


def resolvers() -> tuple[str, ...]:
    """Name servers of resolv.conf(5), as written."""
    found = []
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.split()
                if len(words) >= 2 and words[0] == "nameserver":
                    found.append(words[1])
    except OSError:
        return ()
    return tuple(found) or ("127.0.0.1",)  # resolv.conf(5): without one, the local machine is asked


def grants(agent: AgentPack, home: Path, caches: Path) -> tuple[Grant, ...]:
    """Places outside the tree that the run may write. They come from shipped packs and from this list only."""
    found = [Grant(os.fsencode(os.path.realpath(caches)), "package caches of this tree")]
    source = f"pack:agents/{agent.name}"
    for pattern in agent.state:
        path, folder = _state_path(pattern, home)
        # Below the folder as the pack names it, to hold where that leads: people keep such folders behind links.
        base = pattern.removesuffix("**").rstrip("/") + "/"
        inside = [entry for entry in agent.protect if folder and entry.startswith(base)]
        protect = Globs(Entry("/" + entry[len(base) :], source) for entry in inside)
        found.append(Grant(os.fsencode(os.path.realpath(path)), source, folder, protect, protect.leads(), not folder))
    return tuple(found)


def state_places(agent: AgentPack, home: Path) -> list[bytes]:
    """Where an agent program keeps its state."""
    return [os.fsencode(os.path.realpath(_state_path(pattern, home)[0])) for pattern in agent.state]


def own_folders(agent: AgentPack, home: Path) -> tuple[bytes, ...]:
    """Where the run may change only names that it created, as in temporary space."""
    return tuple(os.fsencode(os.path.realpath(_state_path(pattern, home)[0])) for pattern in agent.own)


def home_grants(profile: Profile, home: Path) -> tuple[Grant, ...]:
    """Folders in the home folder that every layer which sets ``write`` names (``~/remote.git/**``), and that are there:
    the kernel grants no others."""
    return tuple(
        Grant(os.fsencode(os.path.realpath(path)), entry.source, folder)
        for entry, path, folder in _named_at_home(profile, home)
        if os.path.exists(path)
    )


def absent_at_home(profile: Profile, home: Path) -> tuple[str, ...]:
    """What ``write`` names in the home folder and is not there, in words."""
    return tuple(
        f'{entry.value} in "write" ({entry.source}) is not there, so nothing can be written to it: make it first'
        for entry, path, _ in _named_at_home(profile, home)
        if not os.path.exists(path)
    )


def _named_at_home(profile: Profile, home: Path) -> Iterator[tuple[Entry, str, bool]]:
    layers = profile.scope.write
    for entry in layers[0] if layers else ():
        if entry.value.startswith("~/") and all(entry.value in [e.value for e in layer] for layer in layers):
            yield entry, *_state_path(entry.value, home)


def _state_path(pattern: str, home: Path) -> tuple[str, bool]:
    """``~/.config/x/**`` is the folder, ``~/.x.json`` a file."""
    path = pattern.replace("~", str(home), 1) if pattern.startswith("~") else pattern
    if path.endswith("/**"):
        return path[:-3], True
    return path.rstrip("/"), path.endswith("/")


class Given(NamedTuple):
    """What the command is started on: files open for writing as standard output or error, and terminals; by path, and
    the (device, inode) of all of them."""

    files: tuple[bytes, ...]
    terminals: tuple[bytes, ...]
    inodes: frozenset[tuple[int, int]]


def handed_in() -> Given:
    """Whoever starts a run gives it these; a command may reopen them as /dev/stdout."""
    files, terminals, inodes = [], [], set()
    for number in (0, 1, 2):
        try:
            info = os.fstat(number)
            writes = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        except OSError:
            continue  # closed
        path = os.readlink(b"/proc/self/fd/%d" % number)
        if stat.S_ISCHR(info.st_mode) and os.isatty(number):
            terminals.append(path)
        elif number and stat.S_ISREG(info.st_mode) and writes and info.st_nlink and os.access(path, os.W_OK):
            files.append(path)
        else:
            continue
        inodes.add((info.st_dev, info.st_ino))
    return Given(tuple(files), tuple(terminals), frozenset(inodes))


def own_code(writable: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Where this very govrun and its interpreter lie, as far as a run could write there. Modules are loaded while the
    agent works, so they are no more its to change than the policy is."""
    places = {os.path.dirname(os.path.dirname(os.path.abspath(__file__))), sys.prefix, sys.base_prefix}
    found = {os.fsencode(os.path.realpath(place)) for place in places}
    return tuple(sorted(place for place in found if any(is_under(place, base) for base in writable)))


def compile_for(
    place: Place,
    profile: Profile,
    agent: AgentPack,
    host: HostFacts,
    state: Path,
    home: Path,
    caches: Path,
    *,
    verified: bool = True,
    locks: Locks | None = None,
    own: bool = True,
    baselines: Baselines = NO_BASELINES,
) -> CompiledPolicy:
    """The policy of a run at ``place``. ``own``: it may have a cgroup of its own. ``verified``: what is executed
    can be looked at before it runs. ``locks``: what ``base_locks`` found.
    ``baselines``: what ``baselines_of`` did."""
    repository = place.repository
    git = None
    if repository is not None:
        git = GitDir(os.fsencode(repository.git_dir), os.fsencode(repository.common_dir))
    tree = os.fsencode(place.tree)
    granted = (*grants(agent, home, caches), *home_grants(profile, home))
    temp = tuple(os.fsencode(os.path.realpath(path)) for path in TEMPORARY if os.path.isdir(path))
    context = Context(
        tree=tree,
        state=os.fsencode(state),
        home=os.fsencode(home),
        temp=(*temp, *own_folders(agent, home)),
        git=git,
        grants=granted,
        code=own_code((tree, *(grant.path for grant in granted))),
        resolvers=resolvers(),
        agent_hosts=agent.hosts,
        agent_programs=agent.executables,
        abi=host.landlock_abi,
        verified=verified,
        locked=locks.named if locks is not None else frozenset(),
        with_lock=locks.ecosystems if locks is not None else frozenset(),
        locked_at=locks.at if locks is not None else {},
        baselines=baselines,
        limits=_limit_facts(profile.scope, own=own),
    )
    return compile_policy(_resolved(profile, home, str(place.tree)), context)


def _limit_facts(scope: Scope, *, own: bool) -> LimitFacts:
    """What this machine can hold of the limits that are set; nothing is loaded where there are none."""
    if not any(key in scope.sources for key in KEYS):
        return LimitFacts()
    from supervisor.run.limiting import facts

    return facts(scope, own=own)


def _resolved(profile: Profile, home: Path, tree: str) -> Profile:
    """Hidden folders by the name they are written with and by where it leads: the kernel hides inodes, and dotfile
    managers put symbolic links there. ``/name/**`` is the tree's own, as everywhere, where it has one, and a folder of
    the machine where that has one."""
    found = []
    for entry in profile.scope.hide:
        path, folder = _state_path(entry.value, home)
        rooted = entry.value.startswith("/") and not path.startswith(tree + "/")
        if rooted and folder and (os.path.lexists(tree + path) or not os.path.isdir(path)):
            found.append(entry._replace(value=path[1:] + "/**"))
            found += _led_to(found[-1], tree)
            if not os.path.isdir(path):
                continue
        found.append(entry)
        real = os.path.realpath(path)
        if path.startswith("/") and real != path and os.path.isdir(real):
            found.append(entry._replace(value=real + "/**" if folder else real))
        found += _led_to(entry, tree)
    return profile._replace(scope=profile.scope._replace(hide=tuple(found)))


def _led_to(entry: Entry, tree: str) -> list[Entry]:
    """Where a name of the tree leads that is reached through a symbolic link: paths are judged as they resolve."""
    bare = entry.value.removesuffix("/**").strip("/")
    if entry.value.startswith("~") or "/" not in entry.value.rstrip("/") or any(sign in bare for sign in "*?[\\"):
        return []
    path = os.path.join(tree, bare)
    real = os.path.realpath(path)
    if real == path or not os.path.exists(real):
        return []
    if real.startswith(tree + "/"):
        return [entry._replace(value=re.sub(r"([*?\[\]\\])", r"\\\1", real[len(tree) :]))]
    return [entry._replace(value=real + "/**")] if os.path.isdir(real) else []
