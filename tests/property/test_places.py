"""Where a path lies is a matter of components, never of the bytes in between."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisor.decide import decide
from supervisor.invariants.places import Zone, below, is_under, locate
from supervisor.invariants.policy import RunState
from supervisor.vocabulary.events import FsEvent, FsOp, Kind, Target
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import ACTOR, AGENT, CACHE, HOME, STATE, TREE, policy_of

words = b"w tree tree2 h ada .ssh .git .gitx tmp \xff .local state govrun govrun.toml .github workflows x".split()
names = st.sampled_from([*words, b"a\nb", b" "])
paths = st.lists(names, max_size=6).map(lambda parts: b"/" + b"/".join(parts))
bases = st.one_of(paths, st.sampled_from([TREE, STATE, HOME, CACHE, b"/tmp", b"/"]))
starts = st.sampled_from([b"", TREE, TREE + b"/.git", STATE, HOME, HOME + b"/.ssh", CACHE, AGENT, b"/tmp"])
any_path = st.builds(lambda start, rest: (start + rest).rstrip(b"/") or b"/", starts, paths)


def components(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part]


@settings(max_examples=300, deadline=None, database=None)
@given(any_path, bases)
@example(b"/tmpx", b"/tmp")
@example(b"/", b"/")
@example(b"/tmp", b"/tmp/")
def test_is_under_compares_components(path: bytes, base: bytes) -> None:
    base = base if base == b"/" else base.rstrip(b"/")
    naive = components(path)[: len(components(base))] == components(base)
    assert is_under(path, base) is naive
    if naive and base != b"/":
        assert components(below(path, base)) == components(path)[len(components(base)) :]


@settings(max_examples=300, deadline=None, database=None)
@given(any_path)
def test_a_zone_is_where_its_components_say(path: bytes) -> None:
    policy = policy_of()
    parts, tree = components(path), components(TREE)

    def within(base: bytes) -> bool:
        return parts[: len(components(base))] == components(base)

    found = locate(policy, path)
    if within(TREE):
        expected = Zone.GIT if b".git" in parts[len(tree) :] else Zone.TREE
    elif within(STATE):
        expected = Zone.STATE
    elif any(within(folder) for folder in policy.hide):
        expected = Zone.HIDDEN
    elif any(within(grant.path) if grant.folder else path == grant.path for grant in policy.grants):
        expected = Zone.GRANTED
    elif within(b"/tmp") or within(b"/var/tmp"):
        expected = Zone.TEMP
    else:
        expected = Zone.OUTSIDE
    assert found.zone is expected
    if found.zone is not Zone.OUTSIDE:
        assert components(found.base) + components(found.relative) == parts


kinds = st.sampled_from(list(Kind))
targets = st.builds(
    Target,
    path=any_path,
    kind=kinds,
    nlink=st.integers(0, 2),
    made=st.booleans(),
    ignored=st.booleans(),
    unlinked=st.just(False),
    given=st.just(False),
)
inner = st.one_of(st.none(), st.lists(st.lists(names, min_size=1, max_size=3).map(b"/".join), max_size=3).map(tuple))
events = st.builds(
    FsEvent,
    actor=st.just(ACTOR),
    op=st.sampled_from(list(FsOp)),
    call=st.just("call"),
    target=targets,
    other=st.one_of(st.none(), targets),
    exchange=st.booleans(),
    beneath=inner,
    beneath_other=inner,
    makes=kinds,
    git_tool=st.booleans(),
    records=st.just(()),
    locked=st.booleans(),
    mode=st.sampled_from([0, 0o755, 0o4755]),
    refusal=st.sampled_from(["", "", "", "unresolved"]),
)
PROFILES = [
    'version = 1\nextends = []\n[scope]\nwhy = "w"\nthen = "observe"\nwrite = ["src/**"]\n',
    "version = 1\n",
    "version = 1\nextends = []\n",
    'version = 1\n[scope]\nwhy = "w"\nthen = "observe"\nwrite = ["src/**"]\n',
    'version = 1\n[scope]\nwhy = "w"\nthen = "kill"\nprotect = ["x", "w/"]\n',
]


@settings(max_examples=200, deadline=None, database=None)
@given(events, st.sampled_from(PROFILES))
def test_every_file_event_has_one_verdict(event: FsEvent, text: str) -> None:
    policy = policy_of(text)
    found = decide(policy, RunState(), event)
    assert found == decide(policy, RunState(), event)
    assert found.effect == max((match.effect for match in found.matches), default=Effect.ALLOW)
    for match in found.matches:
        assert match.message
        assert match.invariant.id in policy.invariants


@settings(max_examples=200, deadline=None, database=None)
@given(events, st.sampled_from(PROFILES))
def test_nothing_outside_is_ever_changed(event: FsEvent, text: str) -> None:
    """Whatever a profile says: state, hidden folders and the rest of the machine stay as they are."""
    if event.op is FsOp.READ or event.target.kind in (Kind.CHAR, Kind.BLOCK):
        return
    zones = [locate(policy_of(text), event.target.path).zone]
    if event.other is not None and event.other.kind not in (Kind.CHAR, Kind.BLOCK):
        zones.append(locate(policy_of(text), event.other.path).zone)
    if any(zone in (Zone.STATE, Zone.HIDDEN, Zone.OUTSIDE) for zone in zones):
        assert decide(policy_of(text), RunState(), event).blocks


@settings(max_examples=150, deadline=None, database=None)
@given(events, st.integers(0, 2))
def test_more_names_beneath_never_make_it_laxer(event: FsEvent, keep: int) -> None:
    policy = policy_of()
    fewer = event._replace(
        beneath=event.beneath[:keep] if event.beneath is not None else (),
        beneath_other=event.beneath_other[:keep] if event.beneath_other is not None else (),
    )
    assert decide(policy, RunState(), fewer).effect <= decide(policy, RunState(), event).effect
