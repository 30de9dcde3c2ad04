"""``[[infra]]`` rules over documents: what matches, what is tolerated, what is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.inspection import documents
from supervisor.inspection.parsing import Parsers
from supervisor.invariants.demands import is_hit, is_met, want
from supervisor.invariants.infra import InfraRules, compile_infra, covers, describe, judge_content, selections
from supervisor.invariants.selector import Deep, Index, Name, selector
from supervisor.profile.model import Rule
from supervisor.vocabulary.content import NOTHING_FOUND, Findings, Value
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import ACTOR, target


def table(**fields: Any) -> Rule:
    own = {key: fields.pop(key) for key in tuple(fields) if key in Rule._fields}
    return Rule("infra", "r", fields={"files": ("*.yml", "*.tf"), **fields}, source="govrun.toml:1", **own)


def rules(**fields: Any) -> InfraRules:
    made = table(**fields)
    return compile_infra([made], {"r": Invariant("r", "infra", made.then or "revert")})


PARSERS = Parsers()


def read(found: InfraRules, text: str, path: str = "a.yml") -> Findings:
    values, pending = documents.values(path.encode(), text.encode(), PARSERS, selections(found))
    return Findings(values=values, pending=pending)


def told(found: InfraRules, now: str, before: str = "", prior: str = "", path: str = "a.yml", **more: Any) -> list[str]:
    event = ContentEvent(
        ACTOR, target(b"x"), read(found, now, path), read(found, before, path), read(found, prior, path), **more
    )
    return [match.message for match in judge_content(found, event, path.encode())]


# ------------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("wanted", "hits", "meets", "neither"),
    [
        (True, [True, "true", "TRUE", "yes", "on", "1", 1], [True, "true", "True"], [False, "x", None, 0]),
        (False, [False, "no", "off", "0", 0], [False, "false"], [True, "", None]),
        ("true", [True, "true"], [True, "true"], [False, "yes", None]),
        (0, [0, "0", "00", "0x0", 0.0, "-0"], [0, "0"], [1, False, None, "", "x"]),
        ("0", [0, "0"], [0, "0"], [False, "1", None]),
        (8080, [8080, "8080", 8080.0], [8080, "8080"], ["80800", True]),
        ("a", ["a"], ["a"], ["A", "ab", " a", None]),
        ("regex:^a", ["ab", "a"], ["ab"], ["ba", "", None]),
        ("regex:^$", ["", None], [""], ["a"]),
        ("range:1..10", [1, 10, "5", 5.5], [1, "5"], [0, 11, "x", True, None]),
        ("range:..10", [-5, "10"], [10], [11]),
        ("range:10..", [10, 1e200], [11], [9, "x"]),
    ],
)
def test_what_is_hit_and_what_is_met(wanted, hits, meets, neither):
    made = want(wanted)
    assert [value for value in hits if not is_hit(made, value)] == []
    assert [value for value in meets if not is_met(made, value)] == []
    assert [value for value in neither if is_hit(made, value) or is_met(made, value)] == []


def test_what_is_only_read_so_by_some_does_not_meet_a_demand():
    assert not is_met(want(True), "yes")
    assert not is_met(want(True), 1)
    assert not is_met(want(False), "off")


def test_of_a_cut_value_the_worse_is_taken():
    cut = "/" * 1900
    assert is_hit(want("regex:sock$"), cut)
    assert not is_met(want("regex:."), cut)
    assert not is_hit(want("/" * 1900), cut)


@given(st.one_of(st.booleans(), st.integers(), st.floats(), st.text(), st.none()))
def test_any_scalar_is_judged(value):
    for wanted in (True, False, 0, 1.5, "a", "regex:a|b", "range:1..2"):
        assert isinstance(is_hit(want(wanted), value), bool)
        assert not is_met(want(wanted), value) or is_hit(want(wanted), value)


# ------------------------------------------------------------------------------------------------------- rules


def test_never_takes_all_members_in_one_place():
    found = rules(at="r[*]", never={"type": "ingress", "cidr": ("0.0.0.0/0",)})
    assert told(found, "r: [{type: ingress, cidr: [x, 0.0.0.0/0]}]\n") == [
        "a.yml:1: r[0]: type is ingress and cidr is 0.0.0.0/0, which must never be"
    ]
    assert told(found, "r: [{type: ingress, cidr: [x]}, {type: egress, cidr: [0.0.0.0/0]}]\n") == []
    assert told(found, "r: [{cidr: [0.0.0.0/0]}]\n") == []


def test_must_takes_each_member():
    found = rules(at="r", must={"a": True, "b": ("x", "y")})
    assert told(found, "r: {a: true, b: [y, z]}\n") == []
    assert told(found, "r: {a: false}\n") == [
        "a.yml:1: r: a is false; it must be true",
        "a.yml:1: r: has no b; it must be x or y",
    ]
    assert told(found, "r: {a: [true, false], b: y}\n") == ["a.yml:1: r: a is false; it must be true"]
    assert told(found, "other: 1\n") == []
    assert told(found, "r:\n") == ["a.yml:1: r: has no a; it must be true", "a.yml:1: r: has no b; it must be x or y"]


def test_one_value_for_all_that_stands_there_and_a_list_for_any():
    one, several = rules(at="r", must="a"), rules(at="r", must=("a", "b"))
    assert told(one, "r: [a, a]\n") == []
    assert told(one, "r: [a, c]\n") == ["a.yml:1: r: is c; it must be a"]
    assert told(several, "r: [a, c]\n") == []
    assert told(several, "r: [c]\n") == ["a.yml:1: r: is c; it must be a or b"]
    assert told(one, "r: []\n") == ["a.yml:1: r: is empty; it must be a"]


def test_what_the_text_does_not_tell():
    must, never = rules(at="x.v", must="a"), rules(at="x.v", never="a")
    for value, wrong, hit in (
        ('"a"', False, True),
        ("var.v", True, False),
        ('var.q ? "a" : "b"', True, True),
        ('"a${var.q}"', True, False),
        ("f()", True, False),
    ):
        text = f"x {{\n v = {value}\n}}\n"
        assert bool(told(must, text, path="a.tf")) == wrong, value
        assert bool(told(never, text, path="a.tf")) == hit, value
    assert told(must, "x {\n v = var.v\n}\n", path="a.tf") == [
        "a.tf:2: x.v: this file does not tell the value; it must be a"
    ]


def test_a_member_that_is_told_is_judged_beside_one_that_is_not():
    found = rules(at="x", must={"encrypted": True, "key": "regex:."})
    assert told(found, "x {\n encrypted = true\n key = var.k\n}\n", path="a.tf") == [
        "a.tf:1: x: this file does not tell key; it must be regex:."
    ]


def test_of_a_half_written_file_nothing_is_missing():
    found = rules(at="x", must={"a": True}, never={"b": 1})
    assert told(found, "x:\n  c: 1\n  d: [\n") == []
    assert told(found, "x:\n  a: false\n  b: 1\n  d: [\n") == [
        "a.yml:2: x: b is 1, which must never be",
        "a.yml:2: x: a is false; it must be true",
    ]
    assert told(found, "x {\n c = 1\n d = [\n", path="a.tf") == []


def test_a_rule_about_the_place_and_its_members():
    found = rules(at="r", must={"a": 1}, never="b")
    assert told(found, "r: {b: 1, a: 1}\n") == ["a.yml:1: r: is b, which must never be"]


# ---------------------------------------------------------------------------------------------------- tolerated


STEP = "uses: a/b@v1"


def test_what_was_there_is_tolerated_wherever_it_moves_in_its_list():
    found = rules(at="steps[*].uses", must="regex:@[0-9a-f]{40}$")
    before = f"steps:\n- {STEP}\n"
    assert len(told(found, before)) == 1
    assert told(found, before, before) == []
    assert told(found, before, "", before) == []
    assert told(found, f"steps:\n- run: x\n- {STEP}\n", before) == []
    assert told(found, f"steps:\n- {STEP}\n- {STEP}\n", before, before) == [
        "a.yml:3: steps[1].uses: is a/b@v1; it must be regex:@[0-9a-f]{40}$"
    ]
    assert len(told(found, "steps:\n- uses: a/b@v2\n", before)) == 1
    assert len(told(rules(at="steps[*].uses", must="x", baseline="none"), before, before)) == 1


def test_more_of_what_is_right_makes_no_new_violation():
    found = rules(at="r", never=("0.0.0.0/0",))
    assert told(found, "r: [10.0.0.0/8, 0.0.0.0/0]\n", "r: [0.0.0.0/0]\n") == []


def test_the_same_place_in_another_object_is_another_place():
    found = rules(at="spec.privileged", never=True)
    one = "kind: Pod\nmetadata: {name: %s}\nspec: {privileged: %s}\n"
    before = one % ("x", "true") + "---\n" + one % ("y", "false")
    now = one % ("x", "false") + "---\n" + one % ("y", "true")
    assert told(found, now, before) == ["a.yml:7: Pod/y.spec.privileged: is true, which must never be"]


def test_what_cannot_be_read_is_refused_unless_it_was_there():
    found = rules(at="a", never=1)
    refused = Findings(refusal="too large", digest=b"1")

    def judged(before: Findings) -> list[str]:
        event = ContentEvent(ACTOR, target(b"x"), refused, before)
        return [match.message for match in judge_content(found, event, b"a.yml")]

    assert judged(NOTHING_FOUND) == ["a.yml cannot be inspected: too large"]
    assert judged(Findings(refusal="too large", digest=b"2")) == ["a.yml cannot be inspected: too large"]
    assert judged(refused) == []


# ------------------------------------------------------------------------------------------------------ effects


@pytest.mark.parametrize(
    ("then", "landing", "landed"),
    [
        (None, Effect.DENY, Effect.REVERT),
        ("deny", Effect.DENY, Effect.REVERT),
        ("ask", Effect.DENY, Effect.REVERT),
        ("warn", Effect.WARN, Effect.WARN),
        ("kill", Effect.KILL, Effect.KILL),
    ],
)
def test_effects(then, landing, landed):
    found = rules(at="a", never=1, then=then)
    for is_landing, effect in ((True, landing), (False, landed)):
        event = ContentEvent(ACTOR, target(b"x"), read(found, "a: 1\n"), landing=is_landing)
        assert [(match.effect, match.line) for match in judge_content(found, event, b"a.yml")] == [(effect, 1)]


def test_which_files():
    found = rules(at="a", never=1, exempt=("gen/**",), files=("infra/**/*.yml", "x.yml"))
    for path, wanted in (
        (b"infra/a/b.yml", True),
        (b"infra/b.yml", True),
        (b"b/x.yml", True),
        (b"b/y.yml", False),
        (b"gen/x.yml", False),
        (b"infra/a.YML", False),
        (b"\xff\n/x.yml", True),
    ):
        assert covers(found, path) is wanted, path
        event = ContentEvent(ACTOR, target(b"x"), read(found, "a: 1\n", "x.yml"))
        assert bool(list(judge_content(found, event, path))) is wanted, path
    assert not covers(InfraRules(), b"x.yml")
    assert not InfraRules()


def test_values_of_other_rules_are_not_its_own():
    found = rules(at="a", never=1)
    event = ContentEvent(ACTOR, target(b"x"), Findings(values=(Value("other", "a", 1, (("", (1,)),)),)))
    assert list(judge_content(found, event, b"a.yml")) == []


def test_messages_are_one_bounded_line():
    found = rules(at="a", never="regex:x")
    [message] = told(found, 'a: "x\\n\\e[2J' + "y" * 3000 + '"\n')
    assert message.isprintable()
    assert len(message) <= 600
    assert len(told(rules(at="a[*]", never=1), "a: [" + "1, " * 200 + "]\n")) == 50


def test_how_firmly_it_holds():
    assert describe(table(at="a", never=1))[0] is Coverage.SUPERVISED
    assert "variable" in describe(table(at="a", never=1))[1]
    api = Rule("infra", "r", fields={"api": ({"host": "x"},)})
    assert describe(api) == (
        Coverage.UNENFORCEABLE,
        "calls to an infrastructure API: there is no gateway yet",
    )
    assert describe(table(at="a..b", never=1))[0] is Coverage.UNENFORCEABLE
    assert describe(table(at="a", never={"b[": 1}))[0] is Coverage.UNENFORCEABLE
    assert not compile_infra([api, table(at='"a', never=1)], {})


# ----------------------------------------------------------------------------------------------------- selectors


def test_the_path_language():
    assert selector("") == ()
    assert selector("a.*[*].b[2][-1].**.**") == (
        Name(frozenset({"a"})),
        selector("*")[0],
        Index(None),
        Name(frozenset({"b"})),
        Index(2),
        Index(-1),
        Deep(),
    )
    assert selector('a."b.c".\'d"\'') == tuple(Name(frozenset({name})) for name in ("a", "b.c", 'd"'))
    assert selector('a|"b|c"')[0].exact == {"a", "b|c"}
    star = selector("aws_*_policy|x")[0]
    assert [star.takes(name) for name in ("aws_iam_policy", "aws_policy", "x", "xx")] == [True, False, True, False]
    assert selector("*")[0].takes("")


@pytest.mark.parametrize("text", ["a..b", "a.", "[x]", "a[", 'a."b', "a b]", "a|", "|a", "a.[*]", ".".join("a" * 40)])
def test_what_is_no_path(text):
    with pytest.raises(ValueError, match=r"belongs|steps"):
        selector(text)


@given(st.text(alphabet="ab.*[]|\"'1- ", max_size=40))
def test_any_text_is_a_path_or_is_not(text):
    try:
        selector(text)
    except ValueError:
        pass
