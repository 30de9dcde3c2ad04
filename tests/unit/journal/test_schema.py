"""The schema against itself, against what the documentation lists, and against records of its earlier version.

Run as a program (``PYTHONPATH=. python tests/unit/journal/test_schema.py``) it writes the tables into the page.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from supervisor.journal import schema
from supervisor.journal.reader import Reader
from supervisor.journal.writer import JOURNAL, Journal
from supervisor.vocabulary.policy import Coverage
from supervisor.vocabulary.verdicts import Effect, Outcome

PAGE = Path(__file__).parents[3] / "docs" / "reading.md"
RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
HEAD = {"v": 2, "run": RUN, "seq": 1, "time": "2026-11-27T10:00:00.000Z"}
ACTOR = {"pid": 1, "ppid": 0, "start": 5, "exe": "/bin/sh", "argv": ["sh"]}
INTENT = HEAD | {
    "kind": "fs.write", "phase": "intent", "op": {"call": "openat", "path": "/x"}, "verdict": "allow", "actor": ACTOR,
    "action": 1, "binding": "copied",
}  # fmt: skip
SPOKEN = {
    "invariant": "i", "invariant_kind": "scope", "coverage": "supervised", "matched": ["i"], "policy_blob": "a" * 64,
    "message": "m",
}  # fmt: skip
BLOCKED = INTENT | SPOKEN | {"phase": "outcome", "verdict": "deny", "outcome": "blocked", "errno": 13}


def tables() -> dict[str, list[str]]:
    """What the page has to list, by marker."""
    fields = ["| key | type | says |", "|---|---|---|"]
    fields += [
        f"| `{name}`{'*' * field.later} | {_type(field)} | {field.says} |" for name, field in schema.FIELDS.items()
    ]
    kinds = ["| kind | says | `op` |", "|---|---|---|"]
    for name, kind in schema.KINDS.items():
        kinds.append(f"| `{name}`{'*' * kind.later} | {kind.says} | {', '.join(f'`{key}`' for key in kind.op)} |")
    op = ["| key | type | says |", "|---|---|---|"]
    op += [f"| `{name}` | {_type(field)} | {field.says} |" for name, field in schema.OP.items()]
    return {"fields": fields, "kinds": kinds, "op": op}


def _type(field: schema.Field) -> str:
    return ", ".join(f"`{word}`" for word in field.type.split("|")) if "|" in field.type else field.type


@pytest.mark.parametrize("name", ["fields", "kinds", "op"])
def test_the_page_lists_the_schema(name: str) -> None:
    found = re.search(rf"<!-- schema: {name} -->\n(.*?)\n<!-- /schema -->", PAGE.read_text(), re.DOTALL)
    assert found is not None and found[1].splitlines() == tables()[name]


def test_the_tables_agree_with_each_other_and_with_the_words_of_the_code() -> None:
    assert {key for kind in schema.KINDS.values() for key in kind.op} | set(schema.REVERTED) == schema.OP.keys()
    assert [effect.word for effect in Effect] == list(schema.VERDICTS)
    assert [outcome.value for outcome in Outcome] == list(schema.OUTCOMES)
    assert {each.word for each in Coverage} == set(schema.FIELDS["coverage"].type.split("|"))
    types = {field.type for field in (*schema.FIELDS.values(), *schema.OP.values())}
    for each in types:
        assert not schema.fits(object(), each)


@pytest.mark.parametrize("record", [INTENT, BLOCKED, HEAD | {"kind": "gap", "phase": "outcome", "op": {"reason": "r"}}])
def test_good_records(record: dict[str, Any]) -> None:
    assert schema.problems(record) == []
    assert schema.current(copy.deepcopy(record)) == record


@pytest.mark.parametrize(
    ("record", "change", "said"),
    [
        (INTENT, {"time": "now"}, "time is 'now', not time"),
        (INTENT, {"reason": "r"}, "reason is not a key of a record"),
        (INTENT, {"kind": "fs.eat"}, "'fs.eat' is no kind"),
        (INTENT, {"op": {"path": "/x", "ref": "r"}}, "op.ref does not belong to fs.write"),
        (INTENT, {"op": {"path": 5}}, "op.path is 5, not text"),
        (INTENT, {"actor": {"pid": 1}}, "actor is {'pid': 1}, not actor"),
        (INTENT, {"seq": True}, "seq is True, not number"),
        (INTENT, {"verdict": "perhaps"}, "verdict is 'perhaps'"),
        (INTENT, {"verdict": None}, "verdict is None"),
        (INTENT, {"invariant": "i"}, "matched is missing"),
        (INTENT, {"episode": "x"}, "episode is reserved"),
        (INTENT, {"kind": "db.query", "op": {}}, "db.query is reserved"),
        (HEAD | {"kind": "exec", "phase": "outcome", "cause": 1}, {}, "outcome is missing"),
        (BLOCKED, {"errno": "EACCES"}, "errno is 'EACCES'"),
        (HEAD, {}, "kind is missing"),
    ],
)
def test_what_does_not_conform_is_told(record: dict[str, Any], change: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in schema.problems(record | change)), schema.problems(record | change)


OLD = [
    ({"kind": "run.start", "phase": "outcome", "op": {"argv": ["x"], "cwd": "/"}, "policy_blob": "a" * 64}, {}),
    (
        {"kind": "fs.write", "phase": "outcome", "cause": 1, "outcome": "failed", "how": "failed", "quarantine": "/q"},
        {"op": {"how": "failed", "quarantine": "/q"}},
    ),
    (
        {"kind": "external", "phase": "outcome", "op": {"path": "/x"}, "divergence": True, "reason": "gone"},
        {"op": {"path": "/x", "divergence": True, "reason": "gone"}},
    ),
    ({"kind": "external", "phase": "outcome", "op": {"path": "/x"}, "violation": True} | SPOKEN, {"verdict": "warn"}),
    ({"kind": "gap", "phase": "outcome", "reason": "r", "detail": "d"}, {"op": {"reason": "r", "detail": "d"}}),
    ({**INTENT, "kind": "net.bind", "op": {"unix": "/s", "transport": "stream"}}, {"kind": "net.listen"}),
    (
        {"kind": "run.end", "phase": "outcome", "op": {"reason": "exit"}, "reason": "exit", "exit": 0, "ungoverned": 3},
        {"op": {"reason": "exit", "exit": 0, "ungoverned": 3}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("record", "becomes"), OLD, ids=range(len(OLD)))
def test_records_of_version_1_are_read_as_ones_of_today(
    record: dict[str, Any], becomes: dict[str, Any], tmp_path: Path
) -> None:
    with (tmp_path / JOURNAL).open("w") as file:
        file.write(json.dumps(HEAD | record | {"v": 1}) + "\n")
    (tmp_path / "chain.jsonl").touch()
    reader = Reader(tmp_path, run=RUN)
    (found,) = reader
    assert reader.report.intact
    assert schema.problems(found) == []
    assert found == found | becomes | {"v": 2}
    assert "violation" not in found


def test_what_is_written_has_the_version(tmp_path: Path) -> None:
    journal = Journal(tmp_path, RUN)
    journal.append({"kind": "gap", "phase": "outcome", "op": {"reason": "r"}})
    journal.close()
    assert json.loads((tmp_path / JOURNAL).read_text())["v"] == schema.VERSION == 2


@pytest.mark.parametrize("odd", [{"op": 5, "how": "x"}, {"op": [1]}, {"how": {}}, {"kind": []}, {"violation": "x"}])
def test_rubbish_of_version_1_is_no_failure(odd: dict[str, Any]) -> None:
    schema.problems(schema.current({**HEAD, "v": 1, "kind": "gap", "phase": "outcome"} | odd))


if __name__ == "__main__":
    text = PAGE.read_text()
    for marker, lines in tables().items():
        head, _, rest = text.partition(f"<!-- schema: {marker} -->\n")
        tail = rest[rest.index("<!-- /schema -->") :]
        text = head + f"<!-- schema: {marker} -->\n" + "\n".join(lines) + "\n" + tail
    PAGE.write_text(text)
