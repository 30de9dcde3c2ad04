"""To what other files a kustomization or a Compose file leads.

What a member says and what it is called are kept apart: a file may be called ``path``, or ``{p.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from supervisor.inspection.document_nodes import Items, Leaf, Members, Node, Work, made
from supervisor.inspection.selecting import LONGEST
from supervisor.inspection.yaml_document import yaml_documents
from supervisor.vocabulary.applied import MAYBE, PARTIAL, REFERS
from supervisor.vocabulary.content import Value

_OBJECTS: Final = ("resources", "bases", "components")
_CHARTS: Final = ("helmCharts", "helmChartInflationGenerator")
_PATCHES: Final = ("patches", "patchesJson6902", "replacements")
# Of these each may stand there itself.
_TEXTS: Final = ("patchesStrategicMerge", "crds", "configurations", "generators", "transformers", "validators")
_LONGEST_NAME: Final = 255  # NAME_MAX


def leads(form: str, roots: Iterable[Node], work: Work) -> Iterator[Value]:
    """A value with the name of each file, or one that is not known where something else stands."""
    for root in roots:
        here = made(root)
        if isinstance(here, Members):
            if not here.known:
                yield _untold(here)
            yield from (_compose(here) if form == "compose" else _kustomization(here, work))


def is_patch(text: str, work: Work) -> bool:
    """Whether an element of a kustomization's ``patchesStrategicMerge`` is a patch. It may name a file all the same:
    kustomize looks for one where it makes no object of the text."""
    roots, pending = yaml_documents(text, work, templates=False)
    return not pending and any(isinstance(made(root), Members) for root in roots)


def _kustomization(here: Members, work: Work) -> Iterator[Value]:
    for name, node in here.pairs:
        if name in _OBJECTS:
            yield from _names(node)
        elif name in _CHARTS:
            yield Value(REFERS, name, node.line)
        elif name in _PATCHES:
            for each in _elements(node):
                yield from _members(each, ("path",), PARTIAL)
        elif name in _TEXTS:
            for value in _names(node, PARTIAL):
                text = str(value.fields[0][1][0]) if value.known else ""
                if not is_patch(text, work):
                    yield value
                elif max(len(part.encode("utf-8", "replace")) for part in text.split("/")) <= _LONGEST_NAME:
                    yield value._replace(selection=REFERS + PARTIAL + MAYBE)


def _compose(here: Members) -> Iterator[Value]:
    for name, node in here.pairs:
        if name == "include":
            for each in _elements(node):
                if isinstance(made(each), Leaf):
                    yield from _names(each)
                else:
                    yield from _members(each, ("path",))
                    # Names in what is included start there, and not where the file lies.
                    yield from (_untold(inner) for inner in _of(each, "project_directory"))
        elif name == "services":
            for service in _of(node):
                for extends in _of(service, "extends"):
                    if not isinstance(made(extends), Leaf):  # else another service of this file
                        yield from _members(extends, ("file",))


def _members(node: Node, names: tuple[str, ...], role: str = "") -> Iterator[Value]:
    here = made(node)
    if not isinstance(here, Members) or not here.known:
        yield _untold(here)
    for name in names:
        for inner in _of(here, name):
            yield from _names(inner, role)


def _of(node: Node, name: str | None = None) -> Iterator[Node]:
    here = made(node)
    if isinstance(here, Members):
        yield from (inner for key, inner in here.pairs if name is None or key == name)


def _elements(node: Node) -> Iterator[Node]:
    here = made(node)
    if isinstance(here, Items):
        yield from here.items
    elif not (isinstance(here, Leaf) and here.known and here.value is None):
        yield here


def _names(node: Node, role: str = "") -> Iterator[Value]:
    """Of a text, or a list of such."""
    for each in _elements(node):
        here = made(each)
        if not isinstance(here, Leaf) or not here.known or here.value is None or len(str(here.value)) > LONGEST:
            yield _untold(here)
        else:
            yield Value(REFERS + role, "", here.line, (("", (str(here.value),)),))


def _untold(node: Node) -> Value:
    return Value(REFERS, "", node.line, known=False)
