"""The one schema of a record: what the journal holds, what ``--json`` prints and what the documentation lists.

Nothing is validated while a run goes on: writers are held to these tables by tests, over journals of real runs. A key
without a value is absent. What belongs to one kind of record alone lies in ``op``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from supervisor.journal.codec import VERSION


class Field(NamedTuple):
    """One key. ``type`` is a name of ``TYPES``, or the words that are allowed, with ``|`` between them. ``later``:
    reserved, nothing writes it yet."""

    type: str
    says: str
    later: bool = False


class Kind(NamedTuple):
    """One kind of record. ``op``: the keys that its ``op`` may have, in the record that tells of the attempt."""

    says: str
    op: tuple[str, ...]
    later: bool = False


VERDICTS: Final[Sequence[str]] = ("allow", "observe", "warn", "ask", "deny", "revert", "pause", "kill")
OUTCOMES: Final[Sequence[str]] = ("succeeded", "failed", "blocked", "reverted", "unknown")

FIELDS: Final[Mapping[str, Field]] = {
    "v": Field("number", f"version of this schema: {VERSION}"),
    "run": Field("ulid", "the run"),
    "seq": Field("number", "number of the record in its journal, from 1, without gaps"),
    "time": Field("time", "when it was written: UTC, milliseconds"),
    "kind": Field("text", "what it is about: the list below"),
    "phase": Field("intent|outcome", "`intent`: about to happen. `outcome`: how it ended, or what was only seen"),
    "actor": Field("actor", "the process that acts: `pid`, `ppid`, `start` (clock ticks since boot), `exe`, `argv`"),
    "action": Field("number", "the action of the run that the actor belongs to"),
    "op": Field("object", "what is done, by kind: the list below"),
    "binding": Field("registers|copied|post_hoc", "how firmly what was judged binds the act"),
    "coverage": Field("enforced|supervised|observed|unenforceable", "how firmly the invariant binds on this machine"),
    "verdict": Field("|".join(VERDICTS), "what was decided"),
    "outcome": Field("|".join(OUTCOMES), "how it ended"),
    "errno": Field("number", "the error that the process got, as Linux numbers them"),
    "invariant": Field("text", "id of the invariant that decided"),
    "invariant_kind": Field("text", "its kind: `scope`, `dependency`, `builtin`, …"),
    "matched": Field("texts", "ids of all invariants that spoke, the one that decided first"),
    "policy_blob": Field("hex", "SHA-256 of the policy in force"),
    "source": Field("text", "where the invariant is written: `govrun.toml:3`, `pack:default:8`, `docs/adr/0007-x.md`"),
    "adr": Field("text", "id of the decision behind it"),
    "adr_blob": Field("hex", "git object id of that decision's text"),
    "why": Field("text", "the reason that the rule gives"),
    "use": Field("text", "what to do instead"),
    "message": Field("text", "what the agent was told"),
    "cause": Field("number", "seq of the intent that this record tells the outcome of"),
    "pre": Field("text", "digest of what was there before, absent: nothing was"),
    "post": Field("text", "digest of what is there afterwards, absent: nothing is"),
    "episode": Field("text", "the episode it belongs to", later=True),
    "cut": Field("text", "`sha256:` of the whole line: the record was longer than 64 KiB, long values are shortened"),
}
# Beside the keys of the design: where a rule is written, and that a record is not whole.
EXTENSIONS: Final[Sequence[str]] = ("source", "cut")
REQUIRED: Final[Sequence[str]] = ("v", "run", "seq", "time", "kind", "phase")

OP: Final[Mapping[str, Field]] = {
    "call": Field("text", "the system call, or the operator's word; of a contract: `passed` or `failed`"),
    "path": Field("text", "canonical and absolute: UTF-8 as it is, any other byte as `\\xNN`, a backslash doubled"),
    "to": Field("text", "the new name; of an episode: the state of the files when it ended"),
    "mode": Field("text", "permission bits that are set, octal"),
    "inode": Field("number", "the inode that was judged"),
    "commit": Field("text", "the commit that carries the content"),
    "prior": Field("bool", "other people's commits brought it, so it is not counted against the run"),
    "argv": Field("texts", "arguments, 256 at most; of `run.start`: the command"),
    "cwd": Field("text", "working directory"),
    "stage": Field("call|stop", "`call`: as the process asked for it. `stop`: as the kernel loaded it"),
    "chain": Field("texts", "scripts before the program that runs them"),
    "host": Field("text", "address"),
    "port": Field("number", "port, 0 where there is none"),
    "transport": Field("text", "`tcp`, `udp`, `stream`, `dgram`, …"),
    "own": Field("bool", "whatever listens there belongs to the run"),
    "unix": Field("text", "path of a UNIX socket; `\\x00name` is an abstract one"),
    "ref": Field("text", "full name of the ref"),
    "old": Field("text", "object id before, empty: none"),
    "new": Field("text", "object id afterwards, empty: the ref is gone"),
    "fetched": Field("bool", "git moved it while it exchanged commits with another repository"),
    "agent": Field("text", "the agent pack that binds from here on"),
    "grants": Field("texts", "what the run may write because of it"),
    "keys": Field("texts", "keys of the git configuration that change, 64 at most"),
    "paths": Field("number", "how many are put back"),
    "left": Field("texts", "what could not be put back, 20 at most"),
    "intent": Field("number", "seq of the `undo` that is done"),
    "id": Field("text", "the contract"),
    "proves": Field("texts", "the invariants that it is about"),
    "episode": Field("text", "its name in this run"),
    "parent": Field("text", "the episode whose attempt has led to it, empty: none"),
    "invariant": Field("text", "the invariant that refused"),
    "subject": Field("object", "what was refused: `sort` and `name`"),
    "opened": Field("number", "seq of the record of the refusal"),
    "attempts": Field("number", "how many actions tried to put it right; of `fixer`: which one it was"),
    "gates": Field("list", "what each of them met: `action`, `gate`, `result`, `tree`, `command`, `fixer`"),
    "from": Field("text", "the state of the governed files when it began"),
    "outcome": Field("fixed|exhausted|abandoned|superseded", "how it ended"),
    "violations": Field("list", "how many more there were than at the start when it began, and at the end"),
    "output": Field("text", "what a fixer said, the first 4096 bytes"),
    "pid": Field("number", "the process that is aimed at"),
    "detail": Field("text", "more about it, in words"),
    "reason": Field("text", "why; of `run.end`: how, in one word"),
    "target": Field("text", "where the name leads"),
    "divergence": Field("bool", "it is not as the run left it"),
    "more": Field("number", "so many further ones are not named"),
    "how": Field("restored|removed|replaced|external|gone|failed", "what became of a revert"),
    "quarantine": Field("text", "where the rejected version lies"),
    "diff": Field("text", "what the rejected version would have changed, as a unified diff"),
    "status": Field("text", "`PASSED`, `WARNED`, `FAILED`, `UNKNOWN`"),
    "exit": Field("exit", "exit code of the command, negative: the signal; null: it did not end by itself"),
    "counts": Field(
        "object",
        "attempted, succeeded, failed, blocked, unknown, reverts, kills, external, divergence; episodes, contracts",
    ),
    "invariants": Field("object", "by id: `coverage`, `state` (`held`, `violated`, `unproved`), `contracts` about it"),
    "when": Field("checkpoint|commit", "the moment that a contract was shown at, where it is not the end"),
    "ungoverned": Field("number", "changes in caches and temporary space, counted and not recorded"),
}

_FILE = ("call", "path", "to", "mode")
_CONTENT = ("path", "inode", "commit", "prior")
_EPISODE = (
    *("call", "episode", "parent", "invariant", "subject", "opened", "attempts", "gates", "from", "to", "outcome"),
    "violations",
)
_NET = ("call", "host", "port", "transport", "own", "unix")
KINDS: Final[Mapping[str, Kind]] = {
    "exec": Kind("a program is started", ("path", "argv", "cwd", "stage", "chain")),
    "fs.create": Kind("a name is made", _FILE),
    "fs.write": Kind("a file is opened for writing, or its content is judged", (*_FILE, *_CONTENT[1:])),
    "fs.rename": Kind("a name is moved", _FILE),
    "fs.unlink": Kind("a name is removed", _FILE),
    "fs.link": Kind("a further name is given", _FILE),
    "fs.meta": Kind("mode, owner, times or attributes are set", _FILE),
    "fs.read": Kind("a hidden file is opened", _FILE),
    "net.connect": Kind("a connection is made", _NET),
    "net.listen": Kind("an address is taken (`bind`) or listened at", _NET),
    "net.send": Kind("a datagram is sent", _NET),
    "net.http": Kind("an HTTP request", (), later=True),
    "db.query": Kind("a query", (), later=True),
    "git.ref": Kind("a ref moved, or is about to bring a commit", ("ref", "old", "new", "fetched", *_CONTENT)),
    "mcp.list": Kind("a tool server lists its tools", (), later=True),
    "mcp.call": Kind("a tool is called", (), later=True),
    "process": Kind("a signal, limit, priority or trace is aimed at another process", ("call", "pid", "detail")),
    "state": Kind(
        "git configuration changes; `changed`: a file of the agent's state is another one; `episode`: one is over; "
        "`undo`, `undone`: a whole action is put back; `put back`: a file whose new version was refused comes back; "
        "`fixer`: one that govrun started has ended",
        ("path", "keys", *_EPISODE, "paths", "reason", "left", "intent", "how", "argv", "exit", "output", "detail"),
    ),
    "operator": Kind("the operator's word", ("call", "detail")),
    "external": Kind(
        "somebody else changed something, or it is not as the run left it",
        ("path", "target", "reason", "divergence", "more", "ref", "old", "new"),
    ),
    "gap": Kind("something could not be observed", ("reason", "detail")),
    "contract": Kind("a contract was checked", ("call", "id", "proves", "detail", "when", "commit")),
    "policy": Kind(
        "a limit was reached, a pack chosen after the start, or what a baseline means",
        ("call", "detail", "agent", "grants", "commit"),
    ),
    "run.start": Kind("the run begins", ("argv", "cwd")),
    "run.end": Kind("the run is over", ("reason", "status", "exit", "counts", "ungoverned", "invariants")),
}
# Of the outcome of a revert, whatever its kind.
REVERTED: Final[Sequence[str]] = ("path", "how", "quarantine", "detail", "diff")

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_HEX = re.compile(r"[0-9a-f]{40,64}")
_ACTOR: Final[Mapping[str, str]] = {
    "pid": "number", "ppid": "number", "start": "number", "exe": "text", "argv": "texts",
}  # fmt: skip


def fits(value: object, kind: str) -> bool:
    """Whether a value is of a type that ``Field.type`` names."""
    match kind:
        case "number":
            return isinstance(value, int) and not isinstance(value, bool)
        case "exit":
            return value is None or fits(value, "number")
        case "bool":
            return isinstance(value, bool)
        case "text":
            return isinstance(value, str)
        case "texts":
            return isinstance(value, list) and all(isinstance(each, str) for each in value)
        case "object":
            return isinstance(value, dict)
        case "list":
            return isinstance(value, list)
        case "ulid":
            return isinstance(value, str) and _ULID.fullmatch(value) is not None
        case "time":
            return isinstance(value, str) and _TIME.fullmatch(value) is not None
        case "hex":
            return isinstance(value, str) and _HEX.fullmatch(value) is not None
        case "actor":
            return isinstance(value, dict) and value.keys() == _ACTOR.keys() and not _misfits(value, _ACTOR)
    return isinstance(value, str) and value in kind.split("|")


def _misfits(value: Mapping[str, object], types: Mapping[str, str]) -> list[str]:
    return [name for name, kind in types.items() if name in value and not fits(value[name], kind)]


def problems(record: Mapping[str, object]) -> list[str]:
    """What of a record does not fit, in words; empty when it conforms. A cut record is asked for its head only."""
    found = [f"{name} is missing" for name in REQUIRED if name not in record]
    if "cut" in record:
        return found
    found += [f"{name} is not a key of a record" for name in record if name not in FIELDS]
    types = {name: field.type for name, field in FIELDS.items()}
    found += [f"{name} is {record[name]!r:.60}, not {types[name]}" for name in _misfits(record, types)]
    kind = KINDS.get(str(record.get("kind")))
    if kind is None:
        return [*found, f"{record.get('kind')!r:.60} is no kind"]
    found += [f"{name} is reserved" for name in record if name in FIELDS and FIELDS[name].later]
    found += [f"{record['kind']} is reserved"] if kind.later else []
    return found + _of_op(record, kind) + _of_phase(record)


def _of_op(record: Mapping[str, object], kind: Kind) -> list[str]:
    op = record.get("op", {})
    if not isinstance(op, dict):
        return []
    allowed = REVERTED if "how" in op else kind.op
    found = [f"op.{name} does not belong to {record['kind']}" for name in op if name not in allowed]
    types = {name: field.type for name, field in OP.items()}
    return found + [f"op.{name} is {op[name]!r:.60}, not {types[name]}" for name in _misfits(op, types)]


def _of_phase(record: Mapping[str, object]) -> list[str]:
    wanted: tuple[str, ...] = ()
    if record["phase"] == "intent":
        wanted = ("actor", "action", "op", "binding", "verdict")
    elif "cause" in record:
        wanted = ("outcome",)
    if "invariant" in record:
        wanted += ("invariant_kind", "coverage", "matched", "policy_blob", "message", "verdict")
    if record.get("outcome") == "blocked":
        wanted += ("verdict", "invariant", "errno")
    return [
        f"{name} is missing in a record with {', '.join(map(str, _said(record)))}"
        for name in wanted
        if name not in record
    ]


def _said(record: Mapping[str, object]) -> list[object]:
    return [record[name] for name in ("kind", "phase", "outcome", "invariant") if name in record]


_STRAYS: Final[Sequence[str]] = (
    "how", "quarantine", "detail", "diff", "prior", "divergence", "reason", "status", "exit", "counts", "ungoverned",
)  # fmt: skip


def current(record: dict[str, object]) -> dict[str, object]:
    """A record of an earlier version as one of this version; any other as it is. Version 1 had keys beside ``op`` that
    belong in it, called taking an address ``net.bind``, and a violation by somebody else ``violation``."""
    if record.get("v") != 1:
        return record
    op = record.get("op")
    moved = {name: record.pop(name) for name in _STRAYS if name in record}
    if moved:
        record["op"] = (op if isinstance(op, dict) else {}) | moved
    if record.get("kind") == "net.bind":
        record["kind"] = "net.listen"
    if record.pop("violation", False) is True:
        record.setdefault("verdict", "warn")
    record["v"] = VERSION
    return record
