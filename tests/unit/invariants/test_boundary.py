"""``[[boundary]]`` rules: layers, denied edges, isolation, cycles, and what is tolerated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.invariants.boundary import BoundaryRules, compile_boundaries, describe, judge_content
from supervisor.invariants.compile import compile_policy
from supervisor.invariants.edges import Graph, group_of
from supervisor.invariants.globs import Globs
from supervisor.invariants.policy import Baselines
from supervisor.profile.model import Entry, Rule
from supervisor.vocabulary.content import NOTHING_FOUND, Findings, Reference
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from supervisor.vocabulary.verdicts import Effect, Match
from tests.property.world import ACTOR, CONTEXT, profile_of, target


def made(**table: Any) -> Rule:
    own = {key: table[key] for key in table if key in Rule._fields}
    fields = {key: value for key, value in table.items() if key not in own}
    return Rule("boundary", "r", fields=fields, source="govrun.toml:1", **own)


def rules(**table: Any) -> BoundaryRules:
    rule = made(**table)
    return compile_boundaries([rule], {"r": Invariant("r", "boundary", rule.then or "revert")})


def refers(*targets: str) -> Findings:
    """To paths; what begins with ``+`` is a package of a third party."""
    return Findings(
        references=tuple(
            Reference("", each[1:], line, external=True) if each.startswith("+") else Reference(each, each, line)
            for line, each in enumerate(targets, 1)
        )
    )


def judged(
    found: BoundaryRules, path: str, now: Findings, before: Findings = NOTHING_FOUND, **fields: Any
) -> list[Match]:
    graphs = fields.pop("graphs", None)
    event = ContentEvent(ACTOR, target(b"x"), now, before, **fields)
    return list(judge_content(found, event, path.encode(), found.graphs() if graphs is None else graphs))


def told(found: BoundaryRules, path: str, *targets: str, **fields: Any) -> list[str]:
    return [match.message for match in judged(found, path, refers(*targets), **fields)]


# ---------------------------------------------------------------------------------------------------- layers

LAYERS = ("src/web/**", "src/app/**", "src/domain/**")


@pytest.mark.parametrize(
    ("path", "to", "refused"),
    [
        ("src/web/a.py", "src/app/b.py", False),
        ("src/web/a.py", "src/domain/b.py", False),
        ("src/web/a.py", "src/web/b.py", False),
        ("src/app/a.py", "src/web/b.py", True),
        ("src/domain/a.py", "src/web/b.py", True),
        ("src/domain/a.py", "src/app/b.py", True),
        ("src/domain/a.py", "src/app", True),
        ("src/domain/a.py", "src/app/__init__.py", True),
        ("src/domain/a.py", "src/other/b.py", False),
        ("src/other/a.py", "src/web/b.py", False),
        ("src/domain/a.py", "", False),
        ("src/domain/a.py", "src/app.py", False),
        ("src/domain/a.py", "src/application/b.py", False),
    ],
)
def test_layers(path: str, to: str, refused: bool) -> None:
    assert bool(told(rules(layers=LAYERS), path, to)) is refused


def test_a_message_names_place_and_both_layers() -> None:
    (message,) = told(rules(layers=LAYERS), "src/domain/a.py", "src/app/b.py")
    assert message == (
        "src/domain/a.py:1 references src/app/b.py (src/app/b.py) in the layer src/app/**, which is above its own,"
        " src/domain/**"
    )


def test_what_is_in_two_layers_is_in_the_first() -> None:
    found = rules(layers=("src/web/**", "src/**"))
    assert told(found, "src/domain/a.py", "src/web/b.py")
    assert not told(found, "src/web/a.py", "src/domain/b.py")


# ------------------------------------------------------------------------------------------------------ deny


@pytest.mark.parametrize(
    ("edge", "path", "to", "refused"),
    [
        ("a/** -> b/**", "a/x.ts", "b/x.ts", True),
        ("a/** -> b/**", "a/x.ts", "b/y.ts", True),
        ("a/** -> b/**", "b/x.ts", "a/y.ts", False),
        ("src/web/** -> src/db/**", "src/web/x.py", "src/db", True),
        ("src/web/** -> src/db/**", "src/web/x.py", "src/db/__init__.py", True),
        ("src/web/** -> src/db", "src/web/x.py", "src/db/client.py", True),
        ("src/web/** -> src/db/", "src/web/x.py", "src/db", True),
        ("src/web/** -> src/db/*", "src/web/x.py", "src/db", True),
        ("src/web/** -> src/db/*.py", "src/web/x.py", "src/db", False),
        ("src/web/** -> src/db/**", "src/web/x.py", "src/db.py", False),
        ("packages/* -> packages/*/src/internal/**", "packages/ui/a.ts", "packages/db/src/internal/x.ts", True),
        ("packages/* -> packages/*/src/internal/**", "packages/ui/a.ts", "packages/ui/src/internal/x.ts", False),
        ("packages/* -> packages/*/src/internal/**", "packages/ui/a.ts", "packages/db/src/index.ts", False),
        ("packages/* -> packages/*/src/internal/**", "packages/ui/a.ts", "packages/ui2/src/internal/x.ts", True),
        ("packages/* -> packages/*/src/internal/**", "packages/ui/deep/er.ts", "packages/db/src/internal", True),
        ("packages/* -> packages/*/src/internal/**", "packages/ui/deep/er.ts", "packages/ui/src/internal", False),
        ("packages/*/** -> packages/*/**", "packages/a/x.ts", "packages/b/x.ts", True),
        ("packages/*/** -> packages/*/**", "packages/a/x.ts", "packages/a/y.ts", False),
        ("lib/ui-*/** -> lib/db-*/**", "lib/ui-shop/x.ts", "lib/db-shop/x.ts", False),
        ("lib/ui-*/** -> lib/db-*/**", "lib/ui-shop/x.ts", "lib/db-blog/x.ts", True),
        ("**/features/* -> **/features/*", "a/features/x/p.ts", "b/features/y/q.ts", True),
        ("**/features/* -> **/features/*", "a/features/x/p.ts", "b/features/x/q.ts", False),
        ("*.test.ts -> src/**", "deep/a.test.ts", "src/b.ts", True),
        ("*/api/** -> core/**", "shop/api/a.go", "core/x.go", True),
        ("[ab]*/** -> [cd]*/**", "ax/m.py", "cx/m.py", False),
        ("[ab]*/** -> [cd]*/**", "ax/m.py", "cy/m.py", True),
        ("[!a]*/** -> c?*/**", "bx/m.py", "c1x/m.py", False),
        (r"x\*/** -> y/**", "x*/m.py", "y/m.py", True),
        (r"x\*/** -> y/**", "xx/m.py", "y/m.py", False),
        (r"x\*/*/** -> y/*/**", "x*/a/m.py", "y/a/m.py", False),
        (r"x\*/*/** -> y/*/**", "x*/a/m.py", "y/b/m.py", True),
    ],
)
def test_denied_edges(edge: str, path: str, to: str, refused: bool) -> None:
    assert bool(told(rules(deny=(edge,)), path, to)) is refused


@given(st.text("ab/", min_size=1, max_size=8), st.text("ab/", min_size=1, max_size=8))
def test_only_what_shares_the_text_of_the_star_passes(one: str, other: str) -> None:
    path, to = f"packages/{one}/x.ts", f"packages/{other}/x.ts"
    if "//" in path + to:
        return
    same = path.split("/")[1] == to.split("/")[1]
    assert bool(told(rules(deny=("packages/*/** -> packages/*/**",)), path, to)) is not same


def test_a_folder_may_have_dots_in_its_name() -> None:
    assert told(rules(deny=("web/** -> db.v2/**",)), "web/a.go", "db.v2")


def test_names_that_are_no_utf8_and_line_ends() -> None:
    found = rules(deny=("web/** -> db/**",))
    event = ContentEvent(ACTOR, target(b"x"), Findings(references=(Reference("db/\udcff\n.py", "d\nb", 3),)))
    (match,) = judge_content(found, event, b"web/\xff\n.py", {})
    assert match.message == r"web/\udcff\n.py:3 references db/\udcff\n.py (d\nb) (web/** -> db/**)"
    assert match.line == 3


# ---------------------------------------------------------------------------------- paths, only_via, isolate


def test_only_via_and_except_exempt_importers() -> None:
    edge = ("** -> src/db/**",)
    assert told(rules(deny=edge), "src/web/a.py", "src/db/x.py")
    assert not told(rules(deny=edge, only_via=("src/repositories/**",)), "src/repositories/a.py", "src/db/x.py")
    assert told(rules(deny=edge, only_via=("src/repositories/**",)), "src/web/a.py", "src/db/x.py")
    assert not told(rules(deny=edge, exempt=("tests/**",)), "tests/a.py", "src/db/x.py")
    assert not told(rules(deny=edge, paths=("src/**",)), "tests/a.py", "src/db/x.py")


def test_isolation_is_from_third_parties_alone() -> None:
    found = rules(isolate=("src/domain/**",))
    assert told(found, "src/domain/a.py", "+requests") == [
        "src/domain/a.py:1 references requests, a package of a third party; src/domain/** is isolated"
    ]
    assert not told(found, "src/domain/a.py", "src/web/a.py", "")
    assert not told(found, "src/web/a.py", "+requests")


# ----------------------------------------------------------------------------------------------------- delta


def test_what_was_there_is_tolerated_and_no_more() -> None:
    found = rules(deny=("web/** -> db/**",))
    before = refers("db/a.py")
    now = Findings(references=(Reference("db/a.py", "a", 90), Reference("db/b.py", "b", 91)))
    (match,) = judged(found, "web/x.py", now, before)
    assert match.line == 91
    assert not judged(found, "web/x.py", before, NOTHING_FOUND, prior=before)
    assert len(judged(rules(deny=("web/** -> db/**",), baseline="none"), "web/x.py", now, before)) == 2


def test_another_way_of_breaking_a_rule_is_new() -> None:
    found = rules(deny=("web/** -> db/**", "web/x.py -> **"))
    before = refers("other.py")
    assert [match.line for match in judged(found, "web/x.py", refers("other.py", "db/a.py"), before)] == [2, 2]


def test_a_name_that_leads_to_two_paths_is_told_once_for_each() -> None:
    found = rules(deny=("web/** -> db/**",))
    now = Findings(references=(Reference("db/new.py", "db.new", 1), Reference("db/new", "db.new", 1)))
    assert len(judged(found, "web/x.py", now)) == 2
    both = Findings(references=(Reference("db/new.py", "a", 1), Reference("db/new.py", "b", 7)))
    assert len(judged(found, "web/x.py", both)) == 1


def test_what_cannot_be_read_is_no_way_around() -> None:
    found = rules(deny=("web/** -> db/**",))
    large = Findings(refusal="too large", digest=b"1")
    assert [match.message for match in judged(found, "web/x.py", large)] == ["web/x.py cannot be inspected: too large"]
    assert judged(found, "web/run", large)
    assert not judged(found, "web/x.py", large, large)
    assert judged(found, "web/x.py", large, large._replace(digest=b"2"))
    assert not judged(found, "web/x.lock", large)
    assert not judged(found, "db/x.py", large)
    assert judged(rules(acyclic=("packages/*",)), "packages/a/x.ts", large)
    assert judged(rules(layers=LAYERS), "src/app/x.py", large)
    assert not judged(rules(layers=LAYERS), "src/web/x.py", large)


def test_effects_before_and_after_the_act() -> None:
    now = refers("db/a.py")
    for then, landing, effect in [
        (None, True, Effect.DENY),
        (None, False, Effect.REVERT),
        ("deny", False, Effect.REVERT),
        ("ask", True, Effect.DENY),
        ("warn", True, Effect.WARN),
        ("warn", False, Effect.WARN),
        ("kill", False, Effect.KILL),
    ]:
        (match,) = judged(rules(deny=("web/** -> db/**",), then=then), "web/x.py", now, landing=landing)
        assert match.effect is effect


def test_many_violations_are_not_all_told() -> None:
    now = refers(*(f"db/{number}.py" for number in range(500)))
    assert len(judged(rules(deny=("web/** -> db/**",)), "web/x.py", now)) == 50


# ---------------------------------------------------------------------------------------------------- cycles


def globs(*values: str) -> Globs:
    return Globs(Entry(value, "t") for value in values)


def test_groups() -> None:
    assert group_of(globs("packages/*"), "packages/ui/src/a.ts") == "packages/ui"
    assert group_of(globs("packages/*"), "packages/ui") == "packages/ui"
    assert group_of(globs("packages/*"), "packages/a.ts") == "packages/a.ts"
    assert group_of(globs("packages/*"), "packages") == ""
    assert group_of(globs("packages/*"), "apps/a.ts") == ""
    assert group_of(globs("src/*/*"), "src/a/b/c.py") == "src/a/b"
    assert group_of(globs("*"), "a/b") == "a"
    assert group_of(globs("**"), "a/b") == "a"
    assert group_of(globs("packages/*", "apps/*"), "apps/x/a.ts") == "apps/x"
    assert group_of(globs("*"), "") == ""


def filled(found: BoundaryRules, **files: tuple[str, ...]) -> dict[str, Graph]:
    graphs = found.graphs()
    for path, targets in files.items():
        for graph in graphs.values():
            graph.replace(path.replace("__", "/") + ".ts", refers(*targets).references)
    return graphs


def test_a_reference_that_closes_a_cycle() -> None:
    found = rules(acyclic=("packages/*",))
    graphs = filled(found, packages__b__x=("packages/c/x.ts",), packages__c__x=("packages/a/x.ts",))
    (message,) = told(found, "packages/a/x.ts", "packages/b/x.ts", graphs=graphs)
    assert message.startswith("packages/a/x.ts:1 references packages/b/x.ts (packages/b/x.ts) and closes a cycle: ")
    round_trip = "packages/a -> packages/b -> packages/c (by packages/b/x.ts:1) -> packages/a (by packages/c/x.ts:1)"
    assert message.endswith(": " + round_trip)
    assert not told(found, "packages/a/x.ts", "packages/a/y.ts", "apps/x.ts", graphs=graphs)
    assert not told(found, "packages/d/x.ts", "packages/b/x.ts", graphs=graphs)
    assert len(graphs["r"]) == 2


def test_files_of_one_group_may_go_round() -> None:
    found = rules(acyclic=("packages/*",))
    graphs = filled(found, packages__a__x=("packages/a/y.ts",))
    assert not told(found, "packages/a/y.ts", "packages/a/x.ts", graphs=graphs)


def test_an_old_cycle_is_tolerated_but_not_another_edge_of_it() -> None:
    found = rules(acyclic=("packages/*",))
    graphs = filled(found, packages__a__x=("packages/b/x.ts",), packages__b__x=("packages/a/x.ts",))
    old = refers("packages/b/x.ts")
    assert not judged(found, "packages/a/x.ts", refers("packages/b/z.ts"), old, graphs=graphs)
    assert judged(found, "packages/a/new.ts", old, graphs=graphs)


def test_without_a_graph_no_new_edge_passes() -> None:
    found = rules(acyclic=("packages/*",))
    assert judged(found, "packages/a/x.ts", refers("packages/b/x.ts"), graphs={})
    assert not judged(found, "packages/a/x.ts", refers("packages/a/x.ts"), graphs={})


def test_a_graph_follows_its_files() -> None:
    graph = Graph(globs("packages/*"))
    graph.replace("packages/a/x.ts", refers("packages/b/x.ts").references)
    graph.replace("packages/b/x.ts", refers("packages/a/x.ts", "packages/c").references)
    assert graph.edges() == {
        ("packages/a", "packages/b"), ("packages/b", "packages/a"), ("packages/b", "packages/c")
    }  # fmt: skip
    assert [step.target for step in graph.cycle("packages/b/x.ts")] == ["packages/a", "packages/b"]
    graph.replace("packages/b/x.ts", ())
    assert graph.edges() == {("packages/a", "packages/b")}
    assert graph.cycle("packages/a/x.ts") == ()
    graph.replace("packages/a/y.ts", refers("packages/b/y.ts").references)
    graph.remove("packages/a/x.ts")
    graph.remove("packages/a/x.ts")
    assert graph.edges() == {("packages/a", "packages/b")}
    graph.remove("packages/a/y.ts")
    assert graph.edges() == frozenset()
    assert len(graph) == 0


_GROUPS = st.sampled_from("abcd")


@given(st.lists(st.tuples(_GROUPS, st.sampled_from("xyz"), st.lists(_GROUPS, max_size=3)), max_size=12))
def test_a_graph_agrees_with_a_plain_one(acts: list[tuple[str, str, list[str]]]) -> None:
    graph, files = Graph(globs("*")), dict[str, list[str]]()
    for group, name, targets in acts:
        path = f"{group}/{name}.ts"
        graph.replace(path, refers(*(f"{each}/q.ts" for each in targets)).references)
        files[path] = targets
    edges = {(path[0], each) for path, targets in files.items() for each in targets if each != path[0]}
    assert graph.edges() == edges
    reach = set(edges)
    for _ in range(4):
        reach |= {(one, four) for one, two in reach for three, four in edges if two == three}
    for path in files:
        cycle = graph.cycle(path)
        assert bool(cycle) is any((each, path[0]) in reach for each in files[path] if each != path[0])
        assert all((step.source, step.target) in edges for step in cycle)


# -------------------------------------------------------------------------------------------------- describe


def test_describe() -> None:
    coverage, note = describe(made(deny=("a -> b",), then="revert"))
    assert coverage is Coverage.SUPERVISED
    assert "types" in note
    assert describe(made(deny=("a -> b",), then="warn"))[0] is Coverage.OBSERVED


def test_a_baseline_is_told_with_the_rule() -> None:
    text = """version = 1
[[boundary]]
id = "r"
why = "w"
deny = ["a -> b"]
baseline = "origin/main"
"""
    profile = profile_of(text)
    for commits, told in (
        ({"origin/main": "7" * 40}, "; what is new is told by origin/main (777777777777)"),
        ({}, "; what is new is told by origin/main"),
    ):
        policy = compile_policy(profile, CONTEXT._replace(baselines=Baselines(commits=commits)))
        found = policy.invariants["r"].note
        assert found.endswith(told), found


def test_what_a_rule_speaks_of() -> None:
    found = rules(deny=("web/** -> db/**",), exempt=("web/old/**",))
    assert found.speaks_of(b"web/a.py")
    assert not found.speaks_of(b"web/old/a.py")
    assert not found.speaks_of(b"db/a.py")
    assert found
    assert not compile_boundaries([], {})
