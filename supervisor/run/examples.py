"""Do the examples in ``[[dependency]]`` tables hold? Asked of the one decision function, as an act would be."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from supervisor.commands.installs import installation
from supervisor.decide import decide
from supervisor.enforce.explain import safe
from supervisor.invariants.dependency import DependencyRule
from supervisor.invariants.policy import CompiledPolicy, RunState
from supervisor.vocabulary.errors import ProfileError
from supervisor.vocabulary.events import Actor, ExecEvent, Kind, Target


def check_examples(policy: CompiledPolicy) -> list[str]:
    """What does not hold, one line each: ``SOURCE: ID: …``. Only command lines are asked; see ``unchecked``."""
    problems = []
    for rule, line, denied in _command_lines(policy):
        if _speaks(policy, rule, line) is not denied:
            told = "is given as denied, and this rule lets it pass" if denied else "is given as allowed, and is refused"
            problems.append(f"{rule.invariant.source}: {rule.invariant.id}: {line!r} {told}")
    return problems


def require_examples(policy: CompiledPolicy) -> None:
    """Errors: ``ProfileError`` with every example that does not hold."""
    problems = check_examples(policy)
    if problems:
        count = f"{len(problems)} example{'s' if len(problems) > 1 else ''}"
        fix = "correct the rule or the example; nothing was started"
        why = "\n".join(safe(each) for each in problems)
        raise ProfileError(f"{count} of the profile: what is said there does not hold", why, fix)


def unchecked(policy: CompiledPolicy) -> list[str]:
    """Examples that take more than a command line (``write PATH: text``), as ``SOURCE: ID: EXAMPLE``."""
    return [
        f"{rule.invariant.source}: {rule.invariant.id}: {line!r}"
        for rule in policy.dependencies.rules
        for line in (*rule.denied, *rule.allowed)
        if not is_asked(line)
    ]


def is_asked(line: str) -> bool:
    """Whether the example is a command line, which is all that is asked yet."""
    return line.partition(" ")[0] not in ("write", "connect")


def _command_lines(policy: CompiledPolicy) -> Iterator[tuple[DependencyRule, str, bool]]:
    for rule in policy.dependencies.rules:
        for lines, denied in ((rule.denied, True), (rule.allowed, False)):
            yield from ((rule, line, denied) for line in lines if is_asked(line))


def _speaks(policy: CompiledPolicy, rule: DependencyRule, line: str) -> bool:
    """Whether this very rule objects to the command. ``shlex`` has read the line when the profile was loaded."""
    argv = tuple(word.encode("utf-8", "surrogateescape") for word in shlex.split(line))
    program = b"/usr/bin/" + argv[0].rpartition(b"/")[2]
    event = ExecEvent(
        Actor(0, 0, 0, program, argv, 0),
        Target(program, Kind.FILE),
        argv[0],
        argv,
        policy.tree,
        "stop",
        installs=installation(argv, program),
    )
    return any(match.invariant.id == rule.invariant.id for match in decide(policy, RunState(), event).matches)
