"""What a file that a command would apply says where rules look, and to what other files it leads.

The command and not the name tells the format: ``kubectl`` reads YAML from a file of any name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from supervisor.inspection.document_nodes import Work
from supervisor.inspection.documents import MOST_DOCUMENT, format_of, values
from supervisor.vocabulary.applied import FAMILIES, INLINE, PARTIAL, REFERS
from supervisor.vocabulary.content import Findings, Selection, Value

if TYPE_CHECKING:
    from supervisor.inspection.reading import Tools

_MOST_PLAN: Final = 32 << 20
_PATCHES: Final = "patchesStrategicMerge|crds|configurations|generators|transformers|validators"
_LEADS: Final = {
    "kustomization": (
        Selection(REFERS, (), at="resources|bases|components"),
        Selection(REFERS, (), at="helmCharts|helmChartInflationGenerator"),
        Selection(REFERS + PARTIAL, (), at=_PATCHES),
        Selection(REFERS + PARTIAL, (), at="patches|patchesJson6902|replacements[*].path"),
    ),
    "compose": (
        Selection(REFERS, (), at="include[*]"),
        Selection(REFERS, (), at="include[*].path"),
        Selection(REFERS, (), at="services.*.extends.file"),
    ),
}


def most_bytes(form: str) -> int:
    return _MOST_PLAN if form == "plan" else MOST_DOCUMENT


def inspect(form: str, path: bytes, content: bytes, tools: Tools) -> Findings:
    """``form``: a word of ``FAMILIES``, with ``PARTIAL`` after it for what is a template or a patch. Every rule's
    selection is asked, whatever files it names. ``Unreadable``: it cannot be judged at all."""
    if form == "plan":
        from supervisor.inspection import plan

        return plan.inspect(content, tools)
    bare = form.removesuffix(PARTIAL)
    if bare == INLINE or (form != bare and bare == "manifests"):
        return _patches(bare, path, content, tools)
    selections = (*tools.wanted.selections, *_LEADS.get(bare, ()))
    if not selections:
        return Findings()
    kind = _format(bare, path, partial=form != bare)
    if not kind:
        return Findings(refusal="it is no document of a known format")
    found, pending = values(path, content, tools.parsers, selections, kind)
    if pending and kind == "exact" and content.lstrip()[:1] in (b"{", b"["):
        # JSON may hold what YAML may not: tabs, an escaped slash.
        found, pending = values(path, content, tools.parsers, selections, "json")
    return Findings(values=found, pending=pending)


def _patches(form: str, path: bytes, content: bytes, tools: Tools) -> Findings:
    """What patches say: one in a file, or those that stand in a kustomization."""
    from supervisor.inspection.kustomizations import operations, parts

    work = Work(tools.parsers.check)
    if form == INLINE:
        several, unsure = parts(content.decode("utf-8", "replace").removeprefix("\ufeff"), work)
    else:
        several, unsure = operations(content, work)
    said: list[Value] = []
    for each in several:
        found, pending = values(path, each, tools.parsers, tools.wanted.selections, "yaml")
        said += found
        unsure = unsure or (pending if form == INLINE else "")
    return Findings(values=tuple(said), pending=unsure)


def _format(form: str, path: bytes, *, partial: bool) -> str:
    family = FAMILIES[form]
    if family == "data":
        return "yaml" if partial else "exact"
    told = format_of(path)
    if family == "hcl":
        return told if told in ("hcl", "hcl-json", "json") else "hcl"
    if family == "docker":
        return "docker"
    return "exact" if told == "yaml" and not partial else told
