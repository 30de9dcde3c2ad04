"""Records as events of the Open Cybersecurity Schema Framework (schema.ocsf.io). Pure.

Version 1.4.0: the first whose security control knows observed and modified acts.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Mapping
from typing import Final, NamedTuple

from supervisor import __version__
from supervisor.journal.ids import born
from supervisor.journal.schema import fits
from supervisor.provenance.exporting import Event, Record, milliseconds, number, op_of, some, text, words

VERSION: Final = "1.4.0"


class Mapped(NamedTuple):
    """Class and activity of a record, and the attributes that belong to the class."""

    class_uid: int
    activity_id: int
    facts: Record


OTHER = 99
BASE, FILE, _PROCESS, NETWORK, _API = 0, 1001, 1007, 4001, 6003
# Kind -> class, activity. What a class demands and a record does not tell makes it a base event.
CLASSES: Final[Mapping[str, tuple[int, int]]] = {
    "exec": (_PROCESS, 1), "process": (_PROCESS, OTHER), "run.start": (_PROCESS, 1), "run.end": (_PROCESS, 2),
    "fs.create": (FILE, 1), "fs.read": (FILE, 2), "fs.write": (FILE, 3), "fs.unlink": (FILE, 4),
    "fs.rename": (FILE, 5), "fs.meta": (FILE, 6), "fs.link": (FILE, 1), "state": (FILE, 3),
    "net.connect": (NETWORK, 1), "net.send": (NETWORK, 6), "net.listen": (NETWORK, 7), "net.http": (NETWORK, 6),
    "git.ref": (_API, 3), "mcp.list": (_API, 2), "mcp.call": (_API, OTHER), "db.query": (_API, OTHER),
    "external": (FILE, 3),
    "operator": (BASE, OTHER), "gap": (BASE, OTHER), "contract": (BASE, OTHER), "policy": (BASE, OTHER),
}  # fmt: skip
_FOLDER, _LINK, _SHA256 = 2, 7, 3
_TYPES: Final[Mapping[str, int]] = {
    "mkdir": _FOLDER, "mkdirat": _FOLDER, "rmdir": _FOLDER, "symlink": _LINK, "symlinkat": _LINK,
}  # fmt: skip
# (action_id, disposition_id). An act that was asked about and has an outcome was approved.
_OF_VERDICT: Final[Mapping[str, tuple[int, int]]] = {
    "allow": (1, 1), "observe": (3, 17), "warn": (3, 15), "ask": (0, 14), "deny": (2, 2), "revert": (3, 15),
    "pause": (0, 14), "kill": (2, 2),
}  # fmt: skip
_OF_REVERT: Final[Mapping[str, int]] = {"removed": 5}  # deleted; else 11, corrected
_NOT_REVERTED: Final[Mapping[str, int]] = {"external": 13, "failed": 13, "gone": 16}  # uncorrected, no action
_SEVERITY: Final[Mapping[str, int]] = {"warn": 2, "ask": 2, "deny": 3, "revert": 3, "pause": 4, "kill": 4}
_STATUS: Final[Mapping[str, int]] = {"succeeded": 1, "failed": 2, "blocked": 2, "unknown": 0}
_REFUSED = 111  # ECONNREFUSED of errno(3)


def ocsf(event: Event) -> Record:
    """One event, with the profiles host and security_control; ``unmapped`` is the record, ``cause`` included."""
    mapped = _mapped(event)
    action, disposition = _control(event)
    status = _status(event)
    severity = _severity(event, action)
    record, act = event.record, event.act
    found: Record = {
        "category_uid": mapped.class_uid // 1000,
        "class_uid": mapped.class_uid,
        "activity_id": mapped.activity_id,
        "type_uid": mapped.class_uid * 100 + mapped.activity_id,
        "severity_id": severity,
        "status_id": status,
        # A time that cannot be read is told as the beginning of the run, which its id carries.
        "time": ms if (ms := milliseconds(record.get("time"))) is not None else int(born(event.run) * 1000),
        "metadata": _metadata(event),
        "actor": _actor(event),
        "device": {"type_id": 0, "hostname": event.host or "unknown"},
        "action_id": action,
        "disposition_id": disposition,
        "is_alert": severity >= 3,  # medium
        **mapped.facts,
    }
    if mapped.activity_id == OTHER:
        found["activity_name"] = event.told("call") or text(record.get("kind")) or "unknown"
    if status == OTHER:
        found["status"] = text(record.get("outcome")) or text(record.get("phase")) or "unknown"
    if invariant := text(act.get("invariant")):
        blob = text(act.get("policy_blob"))
        found["policy"] = {"name": invariant, "uid": invariant, **some(desc=text(act.get("why")), version=blob)}
    errno = number(record.get("errno"), 1, 4095)
    found |= some(message=text(act.get("message")), status_code=errno and str(errno))
    return found | {"unmapped": record}


def _metadata(event: Event) -> Record:
    return {
        "version": VERSION,
        "product": {"name": "govrun", "vendor_name": "govrun", "version": __version__},
        "profiles": ["host", "security_control"],
        "uid": event.uid,
        "correlation_uid": event.run,
        "sequence": event.seq,
        "log_name": "journal.jsonl",
        **some(original_time=text(event.record.get("time"))),
    }


def _actor(event: Event) -> Record:
    actor = event.act.get("actor")
    session: Record = {"session": {"uid": event.run}}
    if isinstance(actor, dict) and (pid := _pid(actor.get("pid"))) is not None:
        program, parent = text(actor.get("exe")), _pid(actor.get("ppid"))
        process = {
            "pid": pid,
            "uid": f"{event.run}/{pid}/{actor.get('start')}",  # a pid alone comes back
            "cmd_line": shlex.join(words(actor.get("argv"))),
            **some(file=_file(program), parent_process=None if parent is None else {"pid": parent}),
        }
        return {"process": process, **session}
    if event.record.get("kind") == "external":
        return {"app_name": "outside of the run"}
    return session | ({"app_name": "operator"} if event.record.get("kind") == "operator" else {})


def _pid(value: object) -> int | None:
    return number(value, 0, (1 << 31) - 1)


def _file(path: str, kind: int = 1) -> Record:
    """``kind``: 1 is a regular file, and what is not known to be anything else where a program is meant."""
    return {"name": path.rpartition("/")[2] or path, "path": path, "type_id": kind} if path else {}


def _mapped(event: Event) -> Mapped:
    kind = text(event.record.get("kind"))
    class_uid, activity = CLASSES.get(kind, (BASE, OTHER))
    if kind == "external" and event.told("ref"):
        class_uid = _API
    facts: Record | None = {}
    if class_uid == FILE:
        facts = _file_facts(event)
    elif class_uid == _PROCESS:
        facts = _process_facts(event, kind)
    elif class_uid == NETWORK:
        facts, activity = _network_facts(event, kind), _network_activity(event, activity)
    elif class_uid == _API:
        facts = _api_facts(event, kind)
        old, new = event.told("old"), event.told("new")
        activity = activity if activity != 3 or bool(old) == bool(new) else 1 if new else 4  # created, deleted
    return Mapped(class_uid, activity, facts) if facts is not None else Mapped(BASE, OTHER, {})


def _file_facts(event: Event) -> Record | None:
    path, other, op = event.told("path"), event.told("to"), op_of(event.act)
    if not path:
        return None
    kind = _TYPES.get(event.told("call"), 0)
    digest = text(event.record.get("post")) or text(event.record.get("pre"))
    name, _, value = digest.partition(":")
    hashes = (
        [{"algorithm_id": _SHA256, "value": value}]
        if name == "sha256" and len(value) == 64 and fits(value, "hex")
        else []
    )
    file = _file(path, kind) | some(hashes=hashes, uid=str(inode) if (inode := op.get("inode")) else "")
    return {"file": file, **some(file_result=_file(other, kind), file_diff=event.told("diff"))}


def _process_facts(event: Event, kind: str) -> Record | None:
    op, actor = op_of(event.act), event.act.get("actor")
    argv = words(op.get("argv"))
    place: Record = {"cmd_line": shlex.join(argv)} if argv else {}
    place |= some(file=_file(event.told("path")), working_directory=event.told("cwd"))
    if kind in ("run.start", "run.end"):
        code = number(op.get("exit"), -(1 << 31), (1 << 31) - 1)
        return {"process": {"uid": event.run, **place}} | ({} if code is None else {"exit_code": code})
    if kind == "process":
        target = _pid(op.get("pid"))
        return None if target is None else {"process": {"pid": target}}
    # execve(2) keeps the process: it is the one that asked, under another program.
    pid = _pid(actor.get("pid")) if isinstance(actor, dict) else None
    if pid is None or not isinstance(actor, dict):
        return None
    parent = _pid(actor.get("ppid"))
    return {"process": {"pid": pid, **place, **some(parent_process=None if parent is None else {"pid": parent})}}


def _network_activity(event: Event, activity: int) -> int:
    outcome = event.record.get("outcome")
    if activity == 1 and outcome == "failed":
        return 5 if event.record.get("errno") == _REFUSED else 4
    return 5 if outcome == "blocked" and activity in (1, 6) else activity


def _network_facts(event: Event, kind: str) -> Record | None:
    place, local = endpoint(event)
    if not place:
        return None
    direction = 1 if kind == "net.listen" else 4 if local else 2  # inbound, local, outbound
    protocol = some(protocol_name=event.told("transport"))
    return {"dst_endpoint": place, "connection_info": {"direction_id": direction, **protocol}}


def endpoint(event: Event) -> tuple[Record, bool]:
    """The other end of a connection (``ip`` or ``hostname``, and ``port``; of a UNIX socket ``name``), empty when it is
    not known; whether it is on this machine."""
    host, unix = event.told("host"), event.told("unix")
    if unix:
        return {"name": unix}, True
    port = some(port=number(op_of(event.act).get("port"), 1, 65535))
    try:
        return {"ip": host, **port}, ipaddress.ip_address(host).is_loopback
    except ValueError:
        return ({"hostname": host, **port} if host else {}), False


def _api_facts(event: Event, kind: str) -> Record:
    name = event.told("ref") or event.told("path")
    uid = event.told("new") or event.told("commit")
    resources = [{"name": name, **some(uid=uid)}] if name else []
    source = {"hostname": event.host or "unknown"}
    return {"api": {"operation": event.told("call") or kind}, "src_endpoint": source, **some(resources=resources)}


def _control(event: Event) -> tuple[int, int]:
    outcome, verdict, how = event.record.get("outcome"), text(event.act.get("verdict")), event.told("how")
    if outcome == "reverted":
        return 4, _OF_REVERT.get(how, 11)
    if outcome == "blocked":
        return 2, 2
    if verdict == "revert" and how in _NOT_REVERTED:
        return 3, _NOT_REVERTED[how]
    if verdict in ("ask", "pause") and outcome in ("succeeded", "failed"):
        return 1, 8
    return _OF_VERDICT.get(verdict, (3, 17))


def _status(event: Event) -> int:
    record, kind, op = event.record, event.record.get("kind"), op_of(event.record)
    if kind == "contract":
        return {"passed": 1, "failed": 2}.get(text(op.get("call")), 0)
    if kind == "run.end":
        return {"PASSED": 1, "WARNED": 1, "FAILED": 2}.get(text(op.get("status")), 0)
    outcome = text(record.get("outcome"))
    if outcome:
        return _STATUS.get(outcome, OTHER)
    return OTHER if record.get("phase") == "intent" else 0


def _severity(event: Event, action: int) -> int:
    record, op = event.record, op_of(event.record)
    if action in (2, 4):
        return 4 if event.act.get("verdict") == "kill" else 3
    if record.get("kind") == "run.end":
        return {"PASSED": 1, "WARNED": 2}.get(text(op.get("status")), 3)
    if record.get("kind") == "contract":
        return 3 if op.get("call") == "failed" else 1
    if record.get("kind") == "gap" or op.get("divergence") is True:
        return 2
    return _SEVERITY.get(text(event.act.get("verdict")), 1)
