"""What is known of whoever changes a file, where that bears on a verdict: asked of the few changes it matters for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.git.commandline import command_of
from supervisor.invariants.policy import CompiledPolicy
from supervisor.surfaces.attempt import Attempt
from supervisor.surfaces.files import Call
from supervisor.vocabulary.events import FsEvent, Target

if TYPE_CHECKING:
    from supervisor.run.holds import Holds


def told_whole(
    call: Call,
    attempt: Attempt,
    policy: CompiledPolicy,
    git_tools: tuple[bytes, ...],
    names: Callable[[Target], set[bytes]],
    holds: Holds | None,
    *,
    counted: bool,
) -> Attempt:
    """The attempt with all facts about its actor. ``counted``: whether changes are counted; ``names``: all names of a
    file that are known to be the run's; ``holds``: what must not change while something is applied."""
    event = attempt.event
    if not isinstance(event, FsEvent):
        return attempt
    if not call.git_tool and _in_steps(call, event, git_tools):
        event = event._replace(rebasing=True)
    rules = policy.dependencies
    if rules and (event.other is not None or rules.may_arrive(event.target.path)):
        from supervisor.commands.installs import is_manager

        event = event._replace(manager=is_manager(event.actor.exe, event.actor.argv))
    if counted and event.git_tool:
        from supervisor.run.windows import moves

        event = event._replace(carried=moves(event.actor.argv))
    if policy.remediation and event.target.nlink > 1:
        event = event._replace(names=tuple(sorted(names(event.target) - {event.target.path})))
    if holds is not None:
        event = holds.marked(event)
    return attempt if event is attempt.event else attempt._replace(event=event)


def _in_steps(call: Call, event: FsEvent, git_tools: tuple[bytes, ...]) -> bool:
    """Editors write git's list of steps while the rebase that started them waits: a fact of names in it alone."""
    path = event.other.path if event.other is not None else event.target.path
    if b"/rebase-merge/" not in path:
        return False
    at = call.process.parent
    while at is not None and command_of(at.actor.argv) != b"rebase":
        at = at.parent
    return at is not None and at.actor.exe.startswith(git_tools)
