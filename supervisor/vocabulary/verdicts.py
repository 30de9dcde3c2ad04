"""What ``decide`` answers, and how an act ended."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple

from supervisor.vocabulary.policy import Invariant


class Effect(IntEnum):
    """The eight verdict words, weakest first: of several matching invariants the largest wins."""

    ALLOW = 0
    OBSERVE = 1
    WARN = 2
    ASK = 3
    DENY = 4
    REVERT = 5
    PAUSE = 6
    KILL = 7

    @property
    def word(self) -> str:
        return self.name.lower()


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BLOCKED = "blocked"
    REVERTED = "reverted"
    UNKNOWN = "unknown"


class Match(NamedTuple):
    """One invariant that spoke, and what it says of this event in words. ``line`` of a file, 0 where there is none."""

    invariant: Invariant
    effect: Effect
    message: str
    line: int = 0


class Verdict(NamedTuple):
    """``matches`` holds every invariant that spoke, the one that decided first."""

    effect: Effect
    matches: tuple[Match, ...] = ()

    @property
    def blocks(self) -> bool:
        """True when the act must not happen. Everything above WARN, until approvals and reverts exist."""
        return self.effect > Effect.WARN


ALLOWED = Verdict(Effect.ALLOW)
