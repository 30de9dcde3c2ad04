"""``[[infra]]`` over what a command applies: judged before it runs, wherever it lies.

In the tree the globs of a rule say which files it is about. What a run makes and applies may lie anywhere, under any
name; so a rule speaks of every such document of a format that its globs name, and a rule without ``at`` (about the
whole document) of those that also have such a name. ``except`` holds for files of the tree.

What the tree held when the run began is tolerated, unless ``baseline = "none"``, or a revision, whose tree counts
instead. What cannot be read whole, and is no template or patch, is refused: the program that applies it may read more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import Final

from supervisor.invariants.infra import InfraRule, InfraRules, Said, violations
from supervisor.vocabulary.applied import FAMILIES, Document
from supervisor.vocabulary.content import NOTHING_FOUND
from supervisor.vocabulary.verdicts import Effect, Match

_MOST_TOLD = 20
_ENDINGS: Final = (
    ("data", (".yaml", ".yml", ".json", ".jsonc", ".json5")),
    ("hcl", (".tf", ".tofu", ".tfvars", ".hcl", ".nomad", ".tf.json", ".tofu.json", ".tfvars.json", ".hcl.json")),
    ("toml", (".toml",)),
    ("docker", (".dockerfile", ".containerfile")),
)  # fmt: skip
# What the tools read under these names when none is given.
_NAMES: Final = {
    "compose": ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"),
    "kustomization": ("kustomization.yaml", "kustomization.yml"),
    "chart": ("values.yaml", "Chart.yaml"),
    "values": ("values.yaml",),
    "template": ("template.yaml", "template.yml", "template.json"),
    "container": ("Dockerfile", "Containerfile"),
}


def judge_exec(rules: InfraRules, documents: tuple[Document, ...], tree: bytes) -> Iterator[Match]:
    """What is new in the documents that a command would apply and breaks a rule. ``tree``: absolute."""
    for rule in rules.rules:
        told = (said for each in documents for said in _new(rule, each, tree))
        effect = Effect.DENY if rule.effect is Effect.REVERT else rule.effect
        for said in islice(told, _MOST_TOLD):
            yield Match(rule.invariant, effect, said.message, said.line)


def _new(rule: InfraRule, document: Document, tree: bytes) -> Iterator[Said]:
    path = document.path
    relative = path[len(tree) + 1 :] if path.startswith(tree + b"/") else None
    if relative is not None:
        if rule.exempt.match(relative) is not None or (rule.frozen and not rule.revision and document.as_found):
            return
        named = rule.looks_at(relative)
    else:
        named = False
    if not named and not speaks_of(rule, document):
        return
    now, show = document.now, (path if relative is None else relative).decode("utf-8", "backslashreplace")
    if document.origin:
        show = f"{document.origin} in {show}"
    why = now.refusal or ("" if document.partial else now.pending)
    if why:
        yield Said(("", "", ()), f"{show}, which would be applied, cannot be judged: {why}")
        return
    tolerated: Counter[object] = Counter()
    if rule.frozen:
        before = dict(document.bases).get(rule.revision, NOTHING_FOUND) if rule.revision else document.before
        tolerated.update(said.key for said in violations(rule, before, show))
    for said in violations(rule, now, show, whole=not document.partial):
        if tolerated[said.key] > 0:
            tolerated[said.key] -= 1
        else:
            yield said._replace(message=f"{said.message} (it would be applied)")


def speaks_of(rule: InfraRule, document: Document) -> bool:
    """Whether the globs of the rule name documents of this format."""
    name = document.path.rpartition(b"/")[2].decode("utf-8", "replace")
    family = FAMILIES[document.form] or _family(name)
    return any(_may_name(pattern, name, family, document.form, rule) for pattern in rule.selection.files)


def _may_name(pattern: str, name: str, family: str, form: str, rule: InfraRule) -> bool:
    last = pattern.rstrip("/").rpartition("/")[2]
    if not rule.selection.at and last not in ("*", "**"):
        return any(fnmatchcase(each, last) for each in (name, *_NAMES.get(form, ())))
    return _family(last) in ("", family)


def _family(name: str) -> str:
    """The format that a name, or the end of a pattern, tells; empty for any."""
    lower = name.lower()
    if re.match(r"(?:dockerfile|containerfile)", lower):
        return "docker"
    # `.tf.json` is more than `.json`.
    fitting = [(len(end), family) for family, ends in _ENDINGS for end in ends if lower.endswith(end)]
    return max(fitting)[1] if fitting else ""
