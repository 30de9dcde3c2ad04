"""What may leave the state folder, and the tree over it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from supervisor.journal import chain
from supervisor.journal.codec import encode
from supervisor.journal.merkle import Tree
from supervisor.provenance.completion import Tally
from supervisor.provenance.published import OMITTED, Projector, shape

KEY = b"k" * 32


def published(record: dict[str, Any]) -> Any:
    head = {"v": 1, "run": "R", "seq": 1, "time": "t"}
    return json.loads(Projector(KEY).line(encode(head | record).encode()))


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["git", "commit", "-m", "token=abc"], ["git", "commit", "-m", OMITTED]),
        (["pip", "install", "--index-url=http://u:p@h/", "x"], ["pip", "install", "--index-url=…", OMITTED]),
        (["mysql", "-psecret", "db"], ["mysql", OMITTED]),
        (["sh", "-c", "echo secret > f"], ["sh", "-c", OMITTED]),
        (["/usr/bin/env", "A=secret", "make", "all"], ["/usr/bin/env", OMITTED]),
        (["login", "alice", "--password", "hunter"], ["login", "alice", "--password", OMITTED]),
        (["x", "one", "two", "three"], ["x", "one", "two", OMITTED]),
        (["x", "--token", "abc", "--verbose"], ["x", "--token", OMITTED, "--verbose"]),
        ([], []),
        (["x SECRET --password=SECRET", "run"], ["x …", "run"]),
        (["/opt/My App/x", "-v"], ["/opt/My …", "-v"]),
    ],
)
def test_a_command_line_is_told_by_its_shape(argv: list[str], told: list[str]) -> None:
    assert shape(argv) == told


def test_a_long_command_line_is_cut() -> None:
    assert len(shape(["x", *(f"--o{'p' * n}" for n in range(1, 60))])) <= 33


ACTOR = {"pid": 1, "ppid": 2, "start": 3, "exe": "/bin/sh", "argv": ["sh", "-c", "secret"]}


def test_the_two_ways_of_a_line_agree() -> None:
    """The short cut for lines that differ in the actor only must not tell more, or other things, than the long way."""
    strange = 'x "actor":{ "argv":["a"] },"action": y\\'
    for path in ("/t/a", strange, "\u202e\x1b[31m", '"},"action":'):
        record = {"kind": "fs.write", "phase": "intent", "op": {"path": path}, "actor": ACTOR, "action": 7}
        line = encode({"v": 1, "run": "R", "seq": 1, "time": "t"} | record).encode()
        projector = Projector(KEY)
        assert projector._actor_only(line) == projector._slowly(line)
        assert b"secret" not in projector.line(line)
        assert json.loads(projector.line(line))["op"]["path"] == path


def test_an_act_keeps_everything_but_its_words() -> None:
    record = {
        "kind": "exec",
        "op": {"path": "/usr/bin/git", "argv": ["git", "push", "-f", "x"]},
        "actor": ACTOR,
        "action": 1,
    }
    found = published(record)
    digest = found["op"].pop("argv_hmac")
    assert found["op"] == {"path": "/usr/bin/git", "argv": ["git", "push", "-f", OMITTED]}
    assert found["actor"] == {**ACTOR, "argv": ["sh", "-c", OMITTED]}
    again = published({**record, "op": {"path": "/usr/bin/git", "argv": ["git", "push", "-f", "y"]}})
    assert again["op"]["argv_hmac"] != digest
    other = json.loads(Projector(b"o" * 32).line(encode({"v": 1, "op": {"argv": ["git", "push", "-f", "x"]}}).encode()))
    assert other["op"]["argv_hmac"] != digest  # nobody can try short commands without the key


@pytest.mark.parametrize("where", ["top", "op"])
def test_a_difference_is_told_by_its_hunks(where: str) -> None:
    diff = "--- a\n+++ b\n@@ -1,2 +1,3 @@ def secret():\n context\n+import secret\n@@ -9 +10 @@\n-secret\n"
    record: dict[str, Any] = {"kind": "fs.write", "phase": "outcome"}
    found = published(record | ({"diff": diff} if where == "top" else {"op": {"diff": diff}}))
    inner = found if where == "top" else found["op"]
    assert inner["hunks"] == ["@@ -1,2 +1,3 @@", "@@ -9 +10 @@"]
    assert "diff" not in inner
    assert "secret" not in json.dumps(found)


def test_credentials_in_addresses_are_gone() -> None:
    found = published({"kind": "exec", "message": "clone of https://us\u00e9r:secret@example.com/x refused"})
    assert found["message"] == "clone of https://…@example.com/x refused"


def test_rubbish_is_left_out() -> None:
    for line in (b'{"argv":[', b'["argv":1', b'\xff"argv":'):
        assert b"argv" not in Projector(KEY).line(line)


def reference(leaves: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + reference(leaves[:k]) + reference(leaves[k:])).digest()


def test_the_root_is_that_of_the_standard() -> None:
    leaves = [chain.leaf(b"%d" % n) for n in range(70)]
    tree = Tree()
    for count in range(71):
        assert tree.root() == reference(leaves[:count])
        if count < 70:
            tree.add(leaves[count])


def test_a_crash_is_counted_from_its_journal() -> None:
    tally = Tally()
    for kind, op in (
        ("state", {"call": "episode", "outcome": "fixed"}),
        ("state", {"call": "episode", "outcome": "exhausted"}),
        ("state", {"call": "episode", "outcome": "fixed"}),
        ("state", {"call": "undone", "paths": 7}),
        ("state", {"path": "/x", "keys": []}),
        ("contract", {"id": "a", "call": "failed"}),
        ("contract", {"id": "b", "call": "failed"}),
        ("contract", {"id": "a", "call": "passed"}),
    ):
        tally.add({"kind": kind, "phase": "outcome", "op": op})
    counts = tally.counts()
    assert counts["attempted"] == counts["unknown"] == 0 and counts["reverts"] == 7
    assert {name: number for name, number in counts.items() if name[:8] in ("episodes", "contract")} == {
        "episodes_fixed": 2, "episodes_exhausted": 1, "contracts": 2, "contracts_passed": 1,
    }  # fmt: skip
