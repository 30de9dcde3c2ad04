"""Content that breaks a rule and is let be: recorded, and where the rule is to warn, told to whoever brought it."""

from __future__ import annotations

from collections.abc import Callable

from supervisor.enforce.explain import Explainer, reason
from supervisor.run.record import Recorder
from supervisor.vocabulary.events import Actor, ContentEvent
from supervisor.vocabulary.verdicts import Effect, Verdict


class LetBe:
    """``told`` gets what could not be told in band. ``alive``: whether the actor's process can still read. Whoever
    calls sees to it that a file is told of once."""

    def __init__(
        self,
        recorder: Recorder,
        explainer: Explainer,
        told: Callable[[str], None],
        alive: Callable[[Actor], bool],
    ) -> None:
        self._recorder = recorder
        self._explainer = explainer
        self._told = told
        self._alive = alive

    def __call__(self, event: ContentEvent, verdict: Verdict) -> None:
        self._recorder.warned(event, verdict)
        if verdict.effect is not Effect.WARN:
            return
        line = reason(verdict.matches[0], verdict.effect)
        # As of what is taken back: an agent that edits files in its own process reads it with its next command.
        if not self._explainer.tell_later(line, "", event.actor.pid if self._alive(event.actor) else 0):
            self._told(line)
