"""Rules about the content of files, whatever their kind: what they ask of a file's text, and what they say of it."""

from __future__ import annotations

from collections.abc import Iterator

from supervisor.invariants import dependency
from supervisor.invariants.policy import CompiledPolicy, RunState
from supervisor.vocabulary.content import NOTHING_FOUND, Wanted
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.verdicts import Effect, Match


def is_judged(policy: CompiledPolicy) -> bool:
    """Whether any rule speaks of content, or counts what becomes of it."""
    found = policy.dependencies or policy.boundaries or policy.documents or policy.secrets
    return bool(found) or is_counted(policy) or bool(policy.tools and policy.tools.servers)


def is_counted(policy: CompiledPolicy) -> bool:
    """Whether it is counted what becomes of files, whatever they say."""
    if policy.remediation:
        return True
    if not policy.guards:
        return False
    from supervisor.invariants import guardrail

    late = {guardrail.DELETED_LINES, guardrail.BYTES}
    return policy.guards.loops or any(at in late for rule in policy.guards.rules for at, _ in rule.ceilings)


def wanted(policy: CompiledPolicy) -> Wanted:
    """What has to be found out about each file."""
    found = Wanted(policy.tree, packages=bool(policy.dependencies), references=bool(policy.boundaries))
    if policy.documents:
        from supervisor.invariants import infra

        found = found._replace(selections=infra.selections(policy.documents))
    if policy.tools and policy.tools.servers:
        from supervisor.invariants import servers

        found = found._replace(selections=(*found.selections, *servers.selections()))
    if policy.secrets:
        from supervisor.invariants import secrets

        found = found._replace(secrets=secrets.patterns(policy.secrets))
    return found


def judge(policy: CompiledPolicy, state: RunState, event: ContentEvent, relative: bytes) -> Iterator[Match]:
    """What is new in this version of the file and breaks a rule. ``relative``: its path in the tree."""
    if policy.dependencies:
        yield from dependency.judge_content(policy.dependencies, event, relative)
    if policy.boundaries:
        from supervisor.invariants import boundary

        yield from boundary.judge_content(policy.boundaries, event, relative, state.graphs)
    if policy.documents:
        from supervisor.invariants import infra

        yield from infra.judge_content(policy.documents, event, relative)
    if policy.secrets:
        from supervisor.invariants import secrets

        yield from secrets.judge_content(policy.secrets, event, relative)
    if policy.tools and policy.tools.servers:
        from supervisor.invariants import servers

        yield from servers.judge_content(policy, event, relative)


def standing(policy: CompiledPolicy, event: ContentEvent, relative: bytes) -> int:
    """How many violations the version holds, whatever their effect, also those that are tolerated because they were
    there before; what other people committed at the path is none."""
    count, event = 0, event._replace(before=NOTHING_FOUND, bases=())
    if policy.dependencies:
        count += dependency.count_content(policy.dependencies, event, relative)
    if policy.boundaries:
        from supervisor.invariants import boundary

        count += boundary.count_content(policy.boundaries, event, relative)
    if policy.documents:
        from supervisor.invariants import infra

        count += infra.count_content(policy.documents, event, relative)
    if policy.secrets:
        from supervisor.invariants import secrets

        count += secrets.count_content(policy.secrets, event, relative)
    return count


def is_separable(matches: tuple[Match, ...]) -> bool:
    """Whether what has to go is a matter of single entries of a manifest: then the rest of the file may stay."""
    return all(match.invariant.kind == "dependency" for match in matches if match.effect > Effect.WARN)
