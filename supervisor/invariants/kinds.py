"""The kinds of rules beside packages: each compiled and described by its own module, loaded where there is a rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervisor.profile.model import Rule
from supervisor.vocabulary.policy import Coverage, Invariant


def compiled(rules: tuple[Rule, ...], invariants: Mapping[str, Invariant]) -> dict[str, Any]:
    """The compiled rules by the field of ``CompiledPolicy`` that holds them."""
    sorts = {rule.kind for rule in rules}
    found: dict[str, Any] = {}

    def of(*names: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in rules if rule.kind in names)

    if "boundary" in sorts:
        from supervisor.invariants.boundary import compile_boundaries

        found["boundaries"] = compile_boundaries(of("boundary"), invariants)
    if "infra" in sorts:
        from supervisor.invariants.infra import compile_infra

        found["documents"] = compile_infra(of("infra"), invariants)
    if "secrets" in sorts:
        from supervisor.invariants.secrets import compile_secrets

        found["secrets"] = compile_secrets(of("secrets"), invariants)
    if sorts & {"deploy", "command"}:
        from supervisor.invariants.actions import compile_actions

        found["actions"] = compile_actions(of("deploy", "command"), invariants)
    if "data" in sorts:
        from supervisor.invariants.data import compile_data

        found["data"] = compile_data(of("data"), invariants)
    if "guardrail" in sorts:
        from supervisor.invariants.guardrail import compile_guardrails

        found["guards"] = compile_guardrails(of("guardrail"), invariants)
    if "remediation" in sorts:
        from supervisor.invariants.remediation import compile_remediation

        found["remediation"] = compile_remediation(of("remediation"), invariants)
    if "rule" in sorts:
        from supervisor.invariants.expression import compile_expressions

        found["expressions"] = compile_expressions(of("rule"), invariants)
    return found


def described(rule: Rule) -> tuple[Coverage, str] | None:
    """How firmly the rule holds, and with what note; None for kinds that nothing here judges."""
    match rule.kind:
        case "boundary":
            from supervisor.invariants.boundary import describe
        case "infra":
            from supervisor.invariants.infra import describe
        case "secrets":
            from supervisor.invariants.secrets import describe
        case "deploy" | "command":
            from supervisor.invariants.actions import describe
        case "data":
            from supervisor.invariants.data import describe
        case "guardrail":
            from supervisor.invariants.guardrail import describe
        case "remediation":
            from supervisor.invariants.remediation import describe
        case "rule":
            from supervisor.invariants.expression import describe
        case "contract":
            from supervisor.invariants.contract import describe
        case _:
            return None
    return describe(rule)
