"""How many violations stand, as a difference to the start."""

from __future__ import annotations

from typing import Any

from supervisor.invariants.policy import NO_STATE
from supervisor.invariants.remediation import EpisodeState, EpisodeStates, Subject, states_of
from supervisor.run.standing import Standing
from supervisor.vocabulary.content import NOTHING_FOUND, Findings, Import
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.versions import Identity
from tests.property.world import ACTOR, policy_of, target

PROFILE = """version = 1
[[dependency]]
id = "warned"
why = "w"
deny = ["pypi:requests", "pypi:urllib3"]
then = "warn"
[[remediation]]
id = "honest"
why = "w"
must = ["violations-do-not-rise"]
"""
A, B, C = b"/w/tree/a.py", b"/w/tree/b.py", b"/w/tree/c.py"
SOME = Identity(1, 2, 3, 4, 5)
WAITING = states_of([EpisodeState("1", "x", Subject("path", b"a.py"), fixable=True)])


def says(*modules: str) -> Findings:
    return Findings(imports=tuple(Import("pypi", module, 1) for module in modules))


def version(path: bytes, *modules: str) -> ContentEvent:
    return ContentEvent(ACTOR, target(path), says(*modules))


class World:
    """A tree in which files said something at first, and say something now."""

    def __init__(self, profile: str = PROFILE, **first: Findings) -> None:
        self.first = {f"/w/tree/{name}.py".encode(): found for name, found in first.items()}
        self.now: dict[bytes, Findings] = {}
        self.waiting: EpisodeStates = WAITING
        self.standing = Standing(
            policy_of(profile), lambda: self.waiting, lambda path: self.first.get(path, NOTHING_FOUND), self.now.get
        )

    def elsewhere(self, path: bytes) -> Any:
        return self.standing.state(NO_STATE, path, b"", SOME).standing


def test_the_difference_to_the_start() -> None:
    world = World(a=says("requests", "urllib3"))
    found = world.standing
    assert found.total() == 0
    found.put(A, version(A, "requests"))
    assert found.total() == -1
    found.put(B, version(B, "requests"))
    assert (found.total(), world.elsewhere(A), world.elsewhere(B), world.elsewhere(C)) == (0, -1 - 1 + 1, -2 + 1, 0)


def test_elsewhere_is_without_the_file_itself() -> None:
    world = World(a=says("requests"))
    assert world.elsewhere(A) == -1  # with what it says now there are as many as at the start
    world.standing.gone(A)
    assert world.standing.total() == -1 and world.elsewhere(A) == -1


def test_what_moves_is_no_more_than_before() -> None:
    world = World(a=says("requests"))
    found = world.standing
    found.tried(A, None)
    found.tried(B, None)
    assert world.elsewhere(B) == -1
    found.tried(B, version(B, "requests"))
    found.settled(happened=True)
    assert found.total() == 0 and world.elsewhere(B) == -1
    found.tried(B, None)
    found.settled(happened=False)
    assert found.total() == 0


def test_half_a_file_is_no_better_than_the_whole_was() -> None:
    world = World(a=says("requests"))
    world.standing.put(A, None, whole=False)
    assert world.standing.total() == 0
    world.standing.put(A, version(A, "requests", "urllib3"), whole=False)
    assert world.standing.total() == 1
    world.standing.put(A, None)
    assert world.standing.total() == -1


def test_what_others_change_is_no_difference() -> None:
    world = World()
    world.standing.theirs(A, says("requests", "urllib3"))
    assert world.standing.total() == 0
    world.standing.put(A, version(A, "requests"))
    assert world.standing.total() == -1


def test_what_govrun_puts_back_is_read_again() -> None:
    world = World()
    world.standing.put(A, version(A, "requests"))
    assert world.standing.total() == 1
    world.standing.changed(A)
    assert world.standing.total() == 0


def test_nothing_is_counted_where_no_rule_asks() -> None:
    world = World(PROFILE.replace('must = ["violations-do-not-rise"]', "attempts = 3"))
    world.standing.put(A, version(A, "requests"))
    assert world.standing.total() is None
    state = world.standing.state(NO_STATE, A, b"", SOME)
    assert state.episodes == WAITING and state.standing == 0
    world.waiting = EpisodeStates()
    assert world.standing.state(NO_STATE, A, b"", SOME) is NO_STATE


KEEPING = PROFILE.replace('must = ["violations-do-not-rise"]', 'never_edit = ["tests/**"]')
KEPT = b"/w/tree/tests/test_a.py"


def test_what_no_fix_may_change_is_known_by_what_it_said() -> None:
    world = World(KEEPING)

    def changed(text: bytes | None, identity: Identity = SOME, path: bytes = KEPT) -> bool:
        return world.standing.state(NO_STATE, path, text, identity).changed

    assert changed(b"x") and not changed(b"x", path=A)
    world.standing.keep({KEPT: (b"x", SOME)})
    assert not changed(b"x") and changed(b"y") and changed(None)
    world.standing.keep({KEPT: (None, SOME)})
    assert not changed(None, SOME._replace(ctime_ns=9)) and changed(None, SOME._replace(size=9))
    assert world.standing.waits(KEPT) and not world.standing.waits(A)
    world.waiting = EpisodeStates()
    assert not changed(b"y") and not world.standing.waits(KEPT)
