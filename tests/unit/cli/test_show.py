"""``govrun show``: counts per invariant, what was refused, bounded lists, and what ``notes.jsonl`` tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from supervisor.journal import store

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Reading

ACTOR = {"pid": 7, "ppid": 1, "start": 1, "exe": "/bin/sh", "argv": ["sh"]}


def spoke(invariant: str, *others: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "fs.write", "phase": "outcome", "op": {"path": "/w/x"}, "actor": ACTOR, "action": 1, "verdict": "deny",
        "outcome": "blocked", "errno": 13, "invariant": invariant, "invariant_kind": "scope", "coverage": "supervised",
        "matched": [invariant, *others], "source": f"govrun.toml:{len(invariant)}", "message": "m",
    } | more  # fmt: skip


def shown(reading: Reading) -> dict[str, Any]:
    found: dict[str, Any] = json.loads("\n".join(reading("show", "--json")))
    return found


def test_each_act_is_counted_once(reading: Reading) -> None:
    program = {"path": "/bin/x", "argv": ["x", "y z"]}
    reading.crafted(
        [
            spoke("a", "b"),
            spoke("a"),
            spoke("c", phase="intent", verdict="warn", outcome=None),
            {"kind": "fs.write", "phase": "outcome", "cause": 3, "outcome": "succeeded"},
            spoke("d", phase="intent", verdict="revert", outcome=None),
            {"kind": "fs.write", "phase": "outcome", "cause": 5, "outcome": "reverted",
             "op": {"path": "/w/x", "how": "restored", "quarantine": "/no/such"}},
            spoke("c", phase="intent", kind="exec", verdict="warn", outcome=None, op=program),
            spoke("a", kind="exec", cause=7, op=program, verdict="kill"),
            {"kind": "external", "phase": "outcome", "op": {"path": "/w/y"}, "verdict": "warn", "invariant": "d",
             "matched": ["d"], "message": "m"},
        ]
    )  # fmt: skip
    told = shown(reading)
    counts = {each["invariant"]: [each[name] for name in ("judged", "blocked", "reverted", "warned")]
              for each in told["invariants"]}  # fmt: skip
    assert counts == {"a": [2, 3, 0, 0], "b": [1, 0, 0, 0], "c": [2, 0, 0, 2], "d": [2, 0, 1, 1]}
    assert [(each["invariant"], each["subject"], each["count"]) for each in told["refused"]] == [
        ("a", "/w/x", 2), ("a", "x 'y z'", 1),
    ]  # fmt: skip
    assert told["reverts"] == [
        {"seq": 6, "time": "2026-11-27T10:00:06.000Z", "invariant": "d", "path": "/w/x", "how": "restored",
         "quarantine": "/no/such", "kept": False}
    ]  # fmt: skip
    assert [each["seq"] for each in told["kills"]] == [8]
    assert told["external"][0]["path"] == "/w/y"
    text = "\n".join(reading("show"))
    assert "refused    2 times fs.write /w/x (a, record 1)\n           exec x 'y z' (a, record 8)\n" in text
    assert "taken back /w/x restored (d); rejected: /no/such (not there any more) (record 6)\n" in text
    assert "by others  /w/y: m (record 9)\n" in text
    assert "killed     a: m (record 8)\n" in text


def test_lists_are_bounded_and_say_so(reading: Reading) -> None:
    reading.crafted([{"kind": "gap", "phase": "outcome", "op": {"reason": "r", "detail": str(n)}} for n in range(500)])
    told = shown(reading)
    assert (len(told["gaps"]), told["more"], told["kinds"]) == (200, {"gaps": 300}, {"gap": 500})
    assert "           … and 490 more" in reading("show")


def test_an_undo_is_governed_by_nothing_and_puts_back(reading: Reading) -> None:
    put = {"kind": "state", "phase": "outcome", "outcome": "succeeded"}
    reading.crafted(
        [
            put | {"op": {"call": "put back", "path": "/w/x", "how": "restored"}},
            put | {"op": {"call": "put back", "path": "/w/y", "how": "failed", "detail": "changed since"}},
        ],
        agent="govrun-undo",
    )
    text = "\n".join(reading("show"))
    assert "put back   /w/x restored (record 1)\n           /w/y left as it is: changed since (record 2)\n" in text
    assert "agent pack" not in text and "taken back" not in text


def test_what_unproved_means_is_said_where_something_is(reading: Reading) -> None:
    means = "           unproved: no contract showed it; nothing broke it either"
    reading.crafted([spoke("a")], invariants={"a": "supervised"})
    lines = reading("show")
    (at,) = (number for number, line in enumerate(lines) if line.startswith("invariants unproved a"))
    assert lines[at + 1] == means
    end = {"kind": "run.end", "phase": "outcome", "op": {"invariants": {"a": {"state": "held"}}}}
    reading.crafted([spoke("a"), end], invariants={"a": "supervised"})
    assert means not in reading("show")


def test_how_it_ended(reading: Reading) -> None:
    for end, told in (
        ({"status": "PASSED", "reason": "exit", "exit": 0, "code": 0}, "PASSED: the command ended, exit code 0"),
        ({"status": "FAILED", "reason": "exit", "exit": 0, "code": 123}, "exit code 0, govrun's own 123"),
        ({"status": "PASSED", "reason": "signal", "exit": -9, "code": 137}, "was ended by a signal, signal 9"),
        ({"status": "FAILED", "reason": "timeout", "exit": None, "code": 124}, "its time was up, govrun's own 124"),
        ({"status": "UNKNOWN", "reason": "crash", "exit": None, "code": 121}, "UNKNOWN: the supervisor died"),
    ):  # fmt: skip
        folder = reading.run({"kind": "run.start", "phase": "outcome"})
        store.update_meta(folder, end=end)
        (line,) = (line for line in reading("show", folder.name) if line.startswith("ended "))
        assert told in line
    folder = reading.run({"kind": "run.start", "phase": "outcome"})
    assert "ended      UNKNOWN: nothing says how: govrun recover" in reading("show", folder.name)


def test_what_the_notes_tell(reading: Reading) -> None:
    folder = reading.run({"kind": "run.start", "phase": "outcome"}, git={"base": "b" * 40})
    ref = "refs/govrun/runs/AV/X"
    notes = [{"commit": "c" * 40, "tree": "t" * 40, "upto": 7}, {"commit": "c" * 40},
             {"problem": "p", "commit": "d" * 40}, {"end": "PASSED", "commits": 1, "ref": ref}]  # fmt: skip
    (folder / "notes.jsonl").write_text("".join(json.dumps(each) + "\n" for each in notes) + '{"torn')
    told = shown(reading)
    assert told["commits"] == [{"commit": "c" * 40, "tree": "t" * 40, "seq": 7}]
    assert told["unwritten"] == [{"problem": "p", "commit": "d" * 40}]
    assert (told["ref"], told["base"]) == (ref, "b" * 40)
    text = "\n".join(reading("show"))
    assert f"no note    {'d' * 40} p\n" in text and f"without content at {ref}\n" in text


def test_a_broken_chain_is_told_by_all(reading: Reading) -> None:
    folder = reading.run(spoke("a"), spoke("a"))
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b"deny", b"warn", 1))
    assert any("chain BROKEN" in line for line in reading("show", code=1))
    assert json.loads("\n".join(reading("show", "--json", code=1)))["chain"]["intact"] is False
    for words in (["why"], ["why", "latest", "1"], ["why", "/w/x"], ["why", "latest", "/w/x", "--json"]):
        assert reading(*words, code=1)


def episode(name: str, parent: str = "", **more: Any) -> dict[str, Any]:
    op = {
        "call": "episode", "episode": name, "parent": parent, "invariant": "layers", "opened": int(name),
        "subject": {"sort": "path", "name": f"src/{name}.py"}, "attempts": 1, "outcome": "fixed", "from": "a" * 32,
        "to": "b" * 32, "gates": [{"action": 4, "gate": "layers", "result": "passed", "command": "fix it"}],
    }  # fmt: skip
    return {"kind": "state", "phase": "outcome", "op": op | more}


def test_chains_of_remediation(reading: Reading) -> None:
    reading.crafted(
        [
            {"kind": "state", "phase": "outcome", "op": {"path": "/w/.git/config", "keys": ["a.b"]}},
            episode("3", "2"),
            episode("2", "1", outcome="exhausted", attempts=3),
            episode("1"),
            episode("4", "9"),  # its parent is not there
            episode("5", "5"),
        ]
    )
    lines = reading("show", "--remediation")[1:]
    heads = [line for line in lines if "(record" in line]
    assert heads == [
        "1 layers: src/1.py: fixed, 1 attempt (record 1)",
        "  2 layers: src/2.py: exhausted, 3 attempts after 1 (record 2)",
        "    3 layers: src/3.py: fixed, 1 attempt after 2 (record 3)",
        "4 layers: src/4.py: fixed, 1 attempt after 9 (record 4)",
        "5 layers: src/5.py: fixed, 1 attempt after 5 (record 5)",
    ]
    assert lines[1:3] == [f"  state {'a' * 12} -> {'b' * 12}", "  gate  action 4: layers passed: fix it"]
    told = json.loads("\n".join(reading("show", "--remediation", "--json")))
    assert [each["episode"] for each in told["episodes"]] == ["1", "2", "3", "4", "5"] and told["more"] == 0


def _chains(reading: Reading, *records: dict[str, Any]) -> list[str]:
    reading.crafted(records)
    return reading("show", "--remediation")


def test_episodes_that_are_none(reading: Reading) -> None:
    circle = "\n".join(line for line in _chains(reading, episode("1", "2"), episode("2", "1")) if "(record" in line)
    assert circle.startswith("1 layers") and "\n2 layers" in circle
    odd = [episode("1", gates="x", subject=7, attempts="many"), episode("2", "\x1b[31m", to=None, gates=[3, {}])]
    reading.crafted([*odd, {"kind": "state", "phase": "outcome", "op": {"call": "episode"}}])
    text = "\n".join(reading("show", "--remediation"))
    assert "\x1b" not in text and "\\x1b[31m" in text
