"""What a file that a command would apply says where rules look, and to what other files it leads.

The command and not the name tells the format: ``kubectl`` reads YAML from a file of any name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from supervisor.inspection.document_nodes import Work
from supervisor.inspection.documents import MOST_DOCUMENT, decoded, documents, format_of, values
from supervisor.inspection.leads import leads
from supervisor.vocabulary.applied import FAMILIES, INLINE, PARTIAL, PATCH
from supervisor.vocabulary.content import Findings, Value

if TYPE_CHECKING:
    from supervisor.inspection.reading import Tools

_MOST_PLAN: Final = 32 << 20
_ODD_SEPARATOR: Final = re.compile(rb"^---(?![ \t]*\r?$|[ \t]+#)[^\r\n]*", re.MULTILINE)
_LEADING: Final = ("kustomization", "compose")


def most_bytes(form: str) -> int:
    return _MOST_PLAN if form == "plan" else MOST_DOCUMENT


def inspect(form: str, path: bytes, content: bytes, tools: Tools) -> Findings:
    """``form``: a word of ``FAMILIES``, with ``PARTIAL`` after it for what is a template or a patch. Every rule's
    selection is asked, whatever files it names. ``Unreadable``: it cannot be judged at all."""
    if form == "plan":
        from supervisor.inspection import plan

        return plan.inspect(content, tools)
    bare = form.removesuffix(PARTIAL)
    if bare in (INLINE, PATCH):
        return _patches(bare, path, content, tools)
    selections = tools.wanted.selections
    if not selections and bare not in _LEADING:
        return Findings()
    kind = _format(bare, path, partial=form != bare)
    if not kind:
        return Findings(refusal="it is no document of a known format")
    found, pending = _said(bare, path, content, tools, kind)
    if pending and kind == "exact" and content.lstrip()[:1] in (b"{", b"["):
        # JSON may hold what YAML may not: tabs, an escaped slash.
        found, pending = _said(bare, path, content, tools, "json")
    parted = _parted(content) if bare == form == "manifests" else ""
    return Findings(values=found, pending=pending or parted)


def _said(form: str, path: bytes, content: bytes, tools: Tools, kind: str) -> tuple[tuple[Value, ...], str]:
    found, pending = values(path, content, tools.parsers, tools.wanted.selections, kind)
    if form not in _LEADING:
        return found, pending
    work = Work(tools.parsers.check)
    roots, why = documents(kind, path, content, tools.parsers, work)
    return (*found, *leads(form, (root for _, root in roots), work)), pending or why


def _patches(form: str, path: bytes, content: bytes, tools: Tools) -> Findings:
    """What patches say: one in a file, or those that stand in a kustomization."""
    from supervisor.inspection.kustomizations import operations, parts

    work = Work(tools.parsers.check)
    text, problem = decoded(content)
    several, unsure = (parts if form == INLINE else operations)(text, work)
    said: list[Value] = []
    for each in several:
        found, pending = values(path, each, tools.parsers, tools.wanted.selections, "exact")
        said += found
        unsure = unsure or pending or _parted(each)
    return Findings(values=tuple(said), pending=problem or unsure)


def _parted(content: bytes) -> str:
    """Why it may be other documents to who applies it: kubectl and kustomize part a file at lines that begin with
    ``---``, wherever they stand, and differ in what may follow there (``splitDocuments`` of kyaml, ``YAMLReader`` of
    apimachinery); empty where they agree with YAML."""
    odd = _ODD_SEPARATOR.search(content)
    return f"it is parted by {odd[0].decode('utf-8', 'backslashreplace'):.40}" if odd else ""


def _format(form: str, path: bytes, *, partial: bool) -> str:
    family = FAMILIES[form]
    if family == "data":
        # Of what counts as partial only a chart's objects are templates; to all else braces are braces.
        return "yaml" if partial and form == "manifests" else "exact"
    told = format_of(path)
    if family == "hcl":
        return told if told in ("hcl", "hcl-json", "json") else "hcl"
    if family == "docker":
        return "docker"
    return "exact" if told == "yaml" and not partial else told
