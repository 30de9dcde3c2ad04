"""A policy compiled from a profile's text, and events to ask it about. Everything lies at fixed, invented paths."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from supervisor.decide import decide
from supervisor.invariants.compile import Context, compile_policy
from supervisor.invariants.policy import CompiledPolicy, GitDir, Grant, RunState
from supervisor.profile.load import load
from supervisor.profile.model import Profile
from supervisor.vocabulary.events import Actor, ConfigChange, FsEvent, FsOp, GitConfigEvent, Kind, Target
from supervisor.vocabulary.verdicts import Effect, Verdict

TREE, HOME = b"/w/tree", b"/h/ada"
STATE = HOME + b"/.local/state/govrun"
CACHE, AGENT, AGENT_FILE = HOME + b"/.cache/govrun/1", HOME + b"/.config/mini-swe-agent", HOME + b"/.agent.json"
ACTOR = Actor(7, 1, 9, b"/usr/bin/x", (b"x",), 1)
CONTEXT = Context(
    tree=TREE,
    state=STATE,
    home=HOME,
    temp=(b"/tmp", b"/var/tmp"),
    git=GitDir(TREE + b"/.git", TREE + b"/.git"),
    grants=(Grant(CACHE, "caches"), Grant(AGENT, "pack:agents/x"), Grant(AGENT_FILE, "pack:agents/x", folder=False)),
    code=(),
    resolvers=("192.0.2.1",),
    agent_hosts=(),
    abi=6,
)


def profile_of(text: str, adrs: dict[str, str] | None = None) -> Profile:
    """The text as ``govrun.toml`` through the real loader, its paths moved to ``TREE``."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "govrun.toml").write_text(text)
        for name, content in (adrs or {}).items():
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / name).write_text(content)
        found = load(Path(folder))
        return found._replace(protected_files=tuple(p.replace(folder, TREE.decode()) for p in found.protected_files))


@functools.cache
def policy_of(text: str = "version = 1\n", **changes: Any) -> CompiledPolicy:
    """The compiled policy of a profile; ``changes`` replace fields of ``CONTEXT``."""
    return compile_policy(profile_of(text), CONTEXT._replace(**changes))


def place(path: bytes) -> bytes:
    """Relative paths lie in the tree."""
    return path if path.startswith(b"/") else TREE + b"/" + path if path else TREE


def target(path: bytes, kind: Kind = Kind.FILE, **facts: Any) -> Target:
    return Target(place(path), kind, 1, 2, facts.pop("nlink", 1), **facts)


def fs(op: FsOp, path: bytes, kind: Kind | None = None, **fields: Any) -> FsEvent:
    """An event on one name. A creation starts from nothing, everything else from a file."""
    facts = {name: fields.pop(name) for name in ("made", "ignored", "unlinked", "given") if name in fields}
    kind = kind or (Kind.ABSENT if op is FsOp.CREATE else Kind.FILE)
    return FsEvent(ACTOR, op, op.value, target(path, kind, **facts), **fields)


def create(path: bytes, makes: Kind = Kind.FILE, **fields: Any) -> FsEvent:
    if makes is Kind.DIR:
        fields.setdefault("mode", 0o755)
    return fs(FsOp.CREATE, path, makes=makes, **fields)


def write(path: bytes, kind: Kind = Kind.FILE, **fields: Any) -> FsEvent:
    return fs(FsOp.WRITE, path, kind, **fields)


def unlink(path: bytes, kind: Kind = Kind.FILE, **fields: Any) -> FsEvent:
    return fs(FsOp.UNLINK, path, kind, **fields)


def meta(path: bytes, kind: Kind = Kind.FILE, **fields: Any) -> FsEvent:
    return fs(FsOp.META, path, kind, **fields)


def read(path: bytes, kind: Kind = Kind.FILE) -> FsEvent:
    return fs(FsOp.READ, path, kind)


def link(old: bytes, new: bytes, kind: Kind = Kind.FILE, **facts: Any) -> FsEvent:
    other = target(new, Kind.ABSENT, **{name.removeprefix("new_"): v for name, v in facts.items() if "new_" in name})
    old_facts = {name: v for name, v in facts.items() if "new_" not in name}
    return FsEvent(ACTOR, FsOp.LINK, "link", target(old, kind, **old_facts), other, makes=kind)


def rename(old: bytes, new: bytes, kind: Kind = Kind.FILE, onto: Kind = Kind.ABSENT, **fields: Any) -> FsEvent:
    facts = {name: fields.pop(name) for name in ("made", "ignored") if name in fields}
    other = {name.removeprefix("new_"): fields.pop(name) for name in ("new_made", "new_ignored") if name in fields}
    first, second = target(old, kind, **facts), target(new, onto, **other)
    return FsEvent(ACTOR, FsOp.RENAME, "rename", first, second, makes=kind, **fields)


def config(
    path: bytes, executable: tuple[str, ...] = (), refusal: str = "", lock: bytes = b"", **facts: Any
) -> GitConfigEvent:
    """The rename of a configuration's lock file onto it."""
    old = target(lock or path + b".lock", **facts)
    change = tuple(ConfigChange(key, None, ("x",)) for key in executable or ("user.name",))
    return GitConfigEvent(ACTOR, old, target(path, **facts), change, executable, refusal)


def verdict(policy: CompiledPolicy, event: Any) -> Verdict:
    return decide(policy, RunState(), event)


def ruling(policy: CompiledPolicy, event: Any) -> str:
    """The invariant that refuses, "" when the act may happen."""
    found = verdict(policy, event)
    return found.matches[0].invariant.id if found.blocks else ""


def effect(policy: CompiledPolicy, event: Any) -> Effect:
    return verdict(policy, event).effect


def label(value: Any) -> str:
    """A short name of an event for test ids."""
    if not isinstance(value, FsEvent):
        return str(value)
    names = [value.target] + ([value.other] if value.other is not None else [])
    shown = ">".join(f"{each.path.decode('utf-8', 'backslashreplace')}({each.kind.value})" for each in names)
    return f"{value.op.value}-{value.makes.value}-{shown}".replace("\n", "_").replace(TREE.decode() + "/", "")
