"""Records in the formats of others: each kind, each verdict and outcome, text that is no text, bounds."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from supervisor.journal.codec import encode
from supervisor.journal.schema import KINDS, OUTCOMES, VERDICTS
from supervisor.provenance import tracing
from supervisor.provenance.exporting import cloudevent, event
from supervisor.provenance.ocsf import CLASSES, ocsf
from supervisor.provenance.tracing import Trace, commits_in

RUN = "01M8G33XRF6YWYX93F34SEXTEQ"
TIME = "2026-11-28T03:27:55.158Z"
ACTOR = {"pid": 7, "ppid": 3, "start": 11, "exe": "/bin/sh", "argv": ["sh", "-c", "echo 'x'"]}
PATH = {"call": "openat", "path": "/t/src/a.py"}
NET = {"call": "connect", "host": "192.0.2.1", "port": 443, "transport": "tcp"}
REF = {"ref": "refs/heads/main", "old": "a" * 40, "new": "b" * 40}
# Kind -> an `op` of it, the class and the activity that it has in OCSF.
SAMPLES: dict[str, tuple[dict[str, Any], int, int]] = {
    "exec": ({"path": "/bin/ls", "argv": ["ls", "a b"], "cwd": "/t"}, 1007, 1),
    "fs.create": (PATH, 1001, 1),
    "fs.write": (PATH, 1001, 3),
    "fs.rename": (PATH | {"to": "/t/b"}, 1001, 5),
    "fs.unlink": (PATH, 1001, 4),
    "fs.link": (PATH | {"to": "/t/b"}, 1001, 1),
    "fs.meta": (PATH | {"mode": "0755"}, 1001, 6),
    "fs.read": (PATH, 1001, 2),
    "net.connect": (NET, 4001, 1),
    "net.listen": (NET | {"host": "::1"}, 4001, 7),
    "net.send": (NET | {"transport": "udp"}, 4001, 6),
    "net.http": (NET, 4001, 6),
    "db.query": ({}, 6003, 99),
    "git.ref": (REF, 6003, 3),
    "mcp.list": ({}, 6003, 2),
    "mcp.call": ({}, 6003, 99),
    "process": ({"call": "kill", "pid": 9}, 1007, 99),
    "state": ({"path": "/t/.git/config", "keys": ["user.name"]}, 1001, 3),
    "operator": ({"call": "approve"}, 0, 99),
    "external": ({"path": "/t/a"}, 1001, 3),
    "gap": ({"reason": "overflow"}, 0, 99),
    "contract": ({"call": "passed", "id": "c"}, 0, 99),
    "policy": ({"call": "timeout"}, 0, 99),
    "run.start": ({"argv": ["sh"], "cwd": "/t"}, 1007, 1),
    "run.end": ({"reason": "exit", "status": "PASSED", "exit": 0}, 1007, 2),
}
CATEGORIES = {0: 0, 1001: 1, 1007: 1, 4001: 4, 6003: 6}
ACTIVITIES = {0: {0, 99}, 1001: {*range(15), 99}, 1007: {*range(6), 99}, 4001: {*range(8), 99}, 6003: {*range(5), 99}}
DEMANDED = {0: (), 1001: ("actor", "device", "file"), 1007: ("actor", "device", "process"),
            4001: ("dst_endpoint",), 6003: ("actor", "api", "src_endpoint")}  # fmt: skip
# object -> (what it must have, of what it must have one)
OBJECTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "metadata": (("product", "version"), ()), "product": (("name", "vendor_name", "version"), ()),
    "file": (("name", "type_id"), ()), "file_result": (("name", "type_id"), ()),
    "process": ((), ("pid", "uid")), "parent_process": ((), ("pid", "uid")),
    "actor": ((), ("process", "session", "app_name")), "device": (("type_id", "hostname"), ()),
    "policy": ((), ("name", "uid")), "api": (("operation",), ()), "connection_info": (("direction_id",), ()),
    "src_endpoint": ((), ("ip", "hostname", "name")), "dst_endpoint": ((), ("ip", "hostname", "name")),
    "resources": ((), ("name", "uid")), "hashes": (("algorithm_id", "value"), ()),
}  # fmt: skip


def made(kind: str, *, phase: str = "intent", cause: dict[str, Any] | None = None, **keys: Any) -> Any:
    """An event; ``cause``: what the intent said, which the act then has as well."""
    record = {"v": 2, "run": RUN, "seq": 5, "time": TIME, "kind": kind, "phase": phase, **keys}
    return event(RUN, 5, record, record if cause is None else cause | record, "host")


def strict(line: str) -> Any:
    """As a parser takes it that knows no lone surrogates; nothing in the line reaches a terminal as it is."""
    assert line.isascii() and line.isprintable()
    value = json.loads(line)
    json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def is_cloudevent(told: Any) -> None:
    """CloudEvents 1.0.2: required attributes, the type of each, names."""
    assert told["specversion"] == "1.0"
    assert {"id", "source", "type", "specversion"} <= told.keys()
    assert told.keys() <= {"id", "source", "type", "specversion", "time", "subject", "datacontenttype", "data"}
    for name, value in told.items():
        assert re.fullmatch("[a-z0-9]+", name)
        if name != "data":
            assert isinstance(value, str) and value
            assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]", value), name
    assert told["source"] == f"urn:govrun:run:{RUN}" and told["datacontenttype"] == "application/json"
    assert "time" not in told or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", told["time"])


def is_ocsf(told: Any) -> None:
    """OCSF 1.4.0: what base event and class demand, ids that exist, objects that are whole."""
    for name in ("activity_id", "category_uid", "class_uid", "severity_id", "type_uid", "time", "status_id",
                 "action_id", "disposition_id"):  # fmt: skip
        assert type(told[name]) is int, name
    uid = told["class_uid"]
    assert told["category_uid"] == CATEGORIES[uid] and told["activity_id"] in ACTIVITIES[uid]
    assert told["type_uid"] == uid * 100 + told["activity_id"]
    assert told["severity_id"] in range(7) and told["status_id"] in (0, 1, 2, 99)
    assert told["action_id"] in range(5) and told["disposition_id"] in range(28)
    assert (told["status_id"] == 99) == ("status" in told) and (told["activity_id"] == 99) == ("activity_name" in told)
    assert told["metadata"]["version"] == "1.4.0" and told["metadata"]["profiles"] == ["host", "security_control"]
    assert {"metadata", "actor", "device", *DEMANDED[uid]} <= told.keys()
    whole({name: value for name, value in told.items() if name != "unmapped"})


def whole(value: Any) -> None:
    for name, part in value.items():
        for each in part if isinstance(part, list) else [part]:
            if isinstance(each, dict):
                every, some = OBJECTS.get(name, ((), ()))
                assert set(every) <= each.keys() and (not some or set(some) & each.keys()), name
                whole(each)


def is_trace(told: Any) -> None:
    """in-toto statement v1 and runtime-trace v0.1."""
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == "https://in-toto.io/attestation/runtime-trace/v0.1"
    assert told["subject"] and all(each["digest"] for each in told["subject"])
    predicate = told["predicate"]
    assert predicate["monitor"]["type"].startswith("urn:")
    assert all(predicate["monitoredProcess"][name] for name in ("hostID", "type", "event"))
    assert predicate["monitorLog"].keys() == {"process", "network", "fileAccess"}
    for each in predicate["monitorLog"]["fileAccess"]:
        assert each.keys() <= {"name", "uri", "digest", "annotations"} and each["uri"].startswith("file:///")


def test_every_kind_is_mapped() -> None:
    assert SAMPLES.keys() == KINDS.keys() == CLASSES.keys()


@pytest.mark.parametrize("kind", SAMPLES)
def test_kind(kind: str) -> None:
    op, class_uid, activity = SAMPLES[kind]
    sample = made(kind, op=op, actor=ACTOR, verdict="allow")
    told = strict(encode(ocsf(sample)))
    is_ocsf(told)
    assert (told["class_uid"], told["activity_id"]) == (class_uid, activity)
    assert told["unmapped"] == sample.record and told["time"] == 1795836475158
    process = told["actor"]["process"]
    assert (process["pid"], process["parent_process"], process["file"]["path"]) == (7, {"pid": 3}, "/bin/sh")
    assert process["cmd_line"] == "sh -c 'echo '\"'\"'x'\"'\"''"
    assert told["metadata"]["uid"] == f"{RUN}/5" and told["metadata"]["correlation_uid"] == RUN
    cloud = strict(encode(cloudevent(sample)))
    is_cloudevent(cloud)
    assert cloud["type"] == f"govrun.{kind}.intent" and cloud["data"] == sample.record and cloud["time"] == TIME
    subjects = {1001: "path", 6003: "ref"}
    if class_uid in subjects and subjects[class_uid] in op:
        assert cloud["subject"] == op[subjects[class_uid]]


def test_what_each_class_says() -> None:
    exec_ = ocsf(made("exec", op=SAMPLES["exec"][0], actor=ACTOR))["process"]
    assert exec_ == {"pid": 7, "cmd_line": "ls 'a b'", "file": {"name": "ls", "path": "/bin/ls", "type_id": 1},
                     "working_directory": "/t", "parent_process": {"pid": 3}}  # fmt: skip
    moved = ocsf(made("fs.rename", op=PATH | {"to": "/t/b"}))
    assert (moved["file"]["name"], moved["file_result"]["path"]) == ("a.py", "/t/b")  # type: ignore[index]
    made_folder: Any = ocsf(made("fs.create", op={"call": "mkdir", "path": "/t/d"}))
    assert made_folder["file"]["type_id"] == 2
    there: Any = ocsf(made("net.connect", op=NET))
    assert there["dst_endpoint"] == {"ip": "192.0.2.1", "port": 443}
    assert there["connection_info"] == {"direction_id": 2, "protocol_name": "tcp"}
    unix: Any = ocsf(made("net.connect", op={"call": "connect", "unix": "/run/x", "port": 0}))
    assert unix["dst_endpoint"] == {"name": "/run/x"} and unix["connection_info"]["direction_id"] == 4
    ended: Any = ocsf(made("run.end", phase="outcome", op={"status": "FAILED", "exit": 3, "reason": "exit"}))
    assert (ended["exit_code"], ended["status_id"], ended["severity_id"]) == (3, 2, 3)
    changed: Any = ocsf(made("state", phase="outcome", op=PATH, post="sha256:" + "c" * 64))
    assert changed["file"]["hashes"] == [{"algorithm_id": 3, "value": "c" * 64}]


@pytest.mark.parametrize(
    ("old", "new", "activity"), [("", "b" * 40, 1), ("a" * 40, "b" * 40, 3), ("a" * 40, "", 4), ("", "", 3)]
)
@pytest.mark.parametrize("kind", ["git.ref", "external"])
def test_refs(kind: str, old: str, new: str, activity: int) -> None:
    told: Any = ocsf(made(kind, phase="outcome", op={"ref": "refs/heads/x", "old": old, "new": new}))
    is_ocsf(told)
    assert (told["class_uid"], told["activity_id"]) == (6003, activity)
    assert told["resources"][0]["name"] == "refs/heads/x"


@pytest.mark.parametrize(
    ("op", "subject"),
    [
        (NET, "192.0.2.1:443"),
        (NET | {"host": "2001:db8::1"}, "[2001:db8::1]:443"),
        ({"unix": "\\x00abstract", "host": "", "port": 0}, "\\x00abstract"),
        ({}, None),
    ],
)
def test_subjects_of_connections(op: dict[str, Any], subject: str | None) -> None:
    assert cloudevent(made("net.connect", op=op)).get("subject") == subject


CONTROL = {  # (verdict of the intent, outcome) -> action, disposition
    ("allow", None): (1, 1), ("allow", "succeeded"): (1, 1), ("allow", "failed"): (1, 1),
    ("observe", None): (3, 17), ("warn", None): (3, 15), ("warn", "succeeded"): (3, 15),
    ("ask", None): (0, 14), ("ask", "succeeded"): (1, 8), ("pause", None): (0, 14), ("pause", "failed"): (1, 8),
    ("deny", None): (2, 2), ("kill", None): (2, 2), ("revert", None): (3, 15), ("revert", "reverted"): (4, 11),
    (None, None): (3, 17), ("ask", "unknown"): (0, 14),
}  # fmt: skip


@pytest.mark.parametrize(("verdict", "outcome"), CONTROL)
def test_control(verdict: str | None, outcome: str | None) -> None:
    given = {"verdict": verdict} if verdict else {}
    told: Any = ocsf(made("fs.write", op=PATH, cause=given, **({"outcome": outcome} if outcome else {})))
    assert (told["action_id"], told["disposition_id"]) == CONTROL[verdict, outcome]


def test_every_verdict_and_outcome_has_an_action() -> None:
    assert {verdict for verdict, _ in CONTROL if verdict} == set(VERDICTS)
    for verdict in VERDICTS:
        for outcome in OUTCOMES:
            told: Any = ocsf(made("fs.write", phase="outcome", op=PATH, cause={"verdict": verdict}, outcome=outcome))
            is_ocsf(told)
            assert (told["action_id"] == 4) == (outcome == "reverted")
            assert told["action_id"] == 2 or outcome != "blocked"
            assert (
                told["status_id"] == {"succeeded": 1, "failed": 2, "blocked": 2, "reverted": 99, "unknown": 0}[outcome]
            )


@pytest.mark.parametrize(
    ("how", "outcome", "expected"),
    [
        ("removed", "reverted", (4, 5)),
        ("restored", "reverted", (4, 11)),
        ("replaced", "reverted", (4, 11)),
        ("external", "succeeded", (3, 13)),
        ("failed", "failed", (3, 13)),
        ("gone", "succeeded", (3, 16)),
    ],
)
def test_what_became_of_a_revert(how: str, outcome: str, expected: tuple[int, int]) -> None:
    op = {"path": "/t/a", "how": how, "diff": "-x"}
    told: Any = ocsf(made("fs.write", phase="outcome", op=op, cause={"verdict": "revert"}, outcome=outcome))
    assert (told["action_id"], told["disposition_id"]) == expected and told["file_diff"] == "-x"


def test_the_rule_that_spoke() -> None:
    spoke = {"invariant": "scope.write", "why": "no", "policy_blob": "d" * 64, "verdict": "deny", "message": "m"}
    told: Any = ocsf(made("fs.write", phase="outcome", op=PATH, outcome="blocked", errno=13, **spoke))
    assert told["policy"] == {"name": "scope.write", "uid": "scope.write", "desc": "no", "version": "d" * 64}
    assert (told["message"], told["status_code"], told["is_alert"], told["severity_id"]) == ("m", "13", True, 3)


@pytest.mark.parametrize(("errno", "outcome", "activity"), [(111, "failed", 5), (110, "failed", 4), (13, "blocked", 5)])
def test_connections_that_fail(errno: int, outcome: str, activity: int) -> None:
    told = ocsf(made("net.connect", phase="outcome", op=NET, outcome=outcome, errno=errno))
    assert told["activity_id"] == activity


@pytest.mark.parametrize(
    ("kind", "op"),
    [("fs.write", {}), ("net.connect", {"call": "connect"}), ("process", {"call": "kill"}), ("exec", {})],
)
def test_what_a_class_demands_and_nobody_tells(kind: str, op: dict[str, Any]) -> None:
    """An outcome whose intent is lost."""
    told = ocsf(made(kind, phase="outcome", op=op, outcome="succeeded", cause={}))
    is_ocsf(told)
    assert (told["class_uid"], told["activity_id"]) == (0, 99)


HOSTILE = ["\x1b[31m\r\n", "\u202e\u2066x", "a\udcffb\ud800", "\ufdd0\U0001fffe", "\x00", "é\U0001f600"]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_text_that_is_none(name: str) -> None:
    sample = made("fs.write", op={"path": f"/t/{name}", name: [name]}, actor=ACTOR | {"argv": [name]}, why=name)
    is_ocsf(strict(encode(ocsf(sample))))
    cloud = strict(encode(cloudevent(sample)))
    is_cloudevent(cloud)
    assert not re.search("[\x00-\x1f\u202e\u2066\ud800-\udfff]", cloud["subject"])
    trace = Trace(RUN, f"h{name}")
    trace.add(sample.record)
    is_trace(strict(encode(trace.statement({"invariants": {name: name}}, {}, "e" * 64))))


def test_names_stay_what_they_are() -> None:
    assert cloudevent(made("fs.write", op={"path": "/t/é\U0001f600 x"}))["subject"] == "/t/é\U0001f600 x"
    assert cloudevent(made("fs.write", op={"path": "/a\n\udcff"}))["subject"] == "/a\\x0a\\xff"


DEEP: Any = []
for _ in range(400):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"kind": 3, "phase": None, "time": "2026-02-31T00:00:00.000Z", "op": [], "actor": "x"},
        {"kind": "\x1b" * 100, "phase": "\n", "time": TIME, "op": {"path": 3, "deep": DEEP}},
        {"kind": "exec", "actor": {"pid": -1, "argv": [1]}, "op": {"argv": "x", "path": []}},
        {"kind": "net.connect", "op": {"host": "h", "port": 10**30, "inf": float("inf")}, "verdict": [], "outcome": {}},
        {"kind": "fs.write", "op": {"path": "/x"}, "invariant": {}, "errno": True, "outcome": "invented"},
        {"kind": "run.end", "op": {"exit": 1 << 40, "status": []}}, {"kind": "contract", "op": {"call": []}},
    ],
    ids=range(8),
)  # fmt: skip
def test_records_of_a_broken_journal(record: dict[str, Any]) -> None:
    sample = event(RUN, 9, record, record, "")
    is_cloudevent(strict(encode(cloudevent(sample))))
    told = strict(encode(ocsf(sample)))
    is_ocsf(told)
    assert told["time"] > 1_700_000_000_000  # the beginning of the run, where the record has no time
    trace = Trace(RUN, "")
    trace.add(record)
    is_trace(strict(encode(trace.statement({"policy": 3, "start": "yesterday", "invariants": []}, {}, "e" * 64))))


def test_trace() -> None:
    trace = Trace(RUN, "a host")
    for kind, (op, *_) in SAMPLES.items():
        for _ in range(2):
            trace.add(made(kind, op=op, actor=ACTOR, verdict="allow", outcome="succeeded").record)
    trace.commit("a" * 40)
    trace.commit("a" * 40)
    meta = {"policy": "b" * 64, "start": "2026-11-28T03:27:54Z", "invariants": {"scope.write": "supervised"}}
    told: Any = trace.statement(meta, {"whole": True}, "e" * 64)
    is_trace(told)
    assert told["subject"] == [{"name": "commit", "digest": {"gitCommit": "a" * 40}}]
    log = told["predicate"]["monitorLog"]
    assert {name: len(entries) for name, entries in log.items()} == {"process": 2, "network": 4, "fileAccess": 9}
    assert log["process"][0] == {"eventType": "exec", "processBinary": "/bin/ls", "arguments": ["ls", "a b"], "pid": 7,
                                 "ppid": 3, "verdict": "allow", "outcome": "succeeded"}  # fmt: skip
    assert log["network"][0] == {"eventType": "net.connect", "ip": "192.0.2.1", "port": 443, "protocol": "tcp",
                                 "invokingProcess": {"processBinary": "/bin/sh"}, "verdict": "allow",
                                 "outcome": "succeeded"}  # fmt: skip
    assert told["predicate"]["monitor"]["configSource"]["digest"] == {"sha256": "b" * 64}
    assert told["predicate"]["metadata"] == {"buildStartedOn": "2026-11-28T03:27:54Z", "buildFinishedOn": TIME}
    assert told["predicate"]["monitoredProcess"]["hostID"] == "urn:govrun:host:a%20host"
    assert not any(told["predicate"]["annotations"]["leftOut"].values())


def test_a_trace_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace(RUN, "h", most=3)
    for number in [*range(5), 0, 1]:
        trace.add(made("fs.write", op={"path": f"/t/{number}"}).record)
    told: Any = trace.statement({}, {}, "e" * 64)
    assert len(told["predicate"]["monitorLog"]["fileAccess"]) == 3
    assert told["predicate"]["annotations"]["leftOut"] == {"process": 0, "network": 0, "fileAccess": 2, "commits": 0}
    assert told["subject"] == [{"name": "journal.jsonl", "digest": {"sha256": "e" * 64}}]
    monkeypatch.setattr(tracing, "_ROOM", 1000)
    narrow = Trace(RUN, "h")
    for number in range(100):
        narrow.add(made("exec", op={"path": "/bin/ls", "argv": ["x" * 100, str(number)]}).record)
    told = narrow.statement({}, {}, "e" * 64)
    kept = len(told["predicate"]["monitorLog"]["process"])
    assert 0 < kept < 10 and told["predicate"]["annotations"]["leftOut"]["process"] == 100 - kept


def test_commits_of_the_notes() -> None:
    lines = [{"commit": "a" * 40}, {"commit": "b" * 40, "problem": "gone"}, {"commit": "HEAD"}, {"end": "PASSED"}]
    assert list(commits_in([*lines, {"commit": "c" * 64}])) == ["a" * 40, "c" * 64]


def test_the_checkers_find_what_they_look_for() -> None:
    told = ocsf(made("fs.write", op=PATH))
    for broken in ({"type_uid": 1}, {"file": {"name": "x"}}, {"activity_id": 98}, {"time": "x"}, {"actor": {}}):
        with pytest.raises(AssertionError):
            is_ocsf(told | broken)
    event_ = cloudevent(made("fs.write", op=PATH))
    for wrong in ({"id": ""}, {"subject": "a\n"}, {"Extra": "x"}, {"time": "now"}):
        with pytest.raises(AssertionError):
            is_cloudevent(event_ | wrong)
