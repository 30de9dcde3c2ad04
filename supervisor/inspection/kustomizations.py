"""What a kustomization itself puts into objects: patches that stand in it, images, names of namespaces, labels.

Each comes to a small document of its own, shaped like the objects that it would change, which rules judge as they judge
a patch. What cannot be told (generators, replacements, transformers, and any key that is not known here) is said.

References: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/, RFC 6902.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final

from supervisor.inspection.document_nodes import Items, Leaf, Members, Node, Work, made
from supervisor.inspection.leads import is_patch
from supervisor.inspection.yaml_document import yaml_documents

_DEEPEST: Final = 32
_PATCHES: Final = ("patches", "patchesJson6902", "patchesStrategicMerge")
# Judged where they lead (files, folders), or without a say in what rules look at.
_FOLLOWED: Final = frozenset(
    (
        *("apiVersion", "kind", "metadata", "resources", "bases", "components", "crds", "sortOptions"),
        *("buildMetadata", "namePrefix", "nameSuffix", "helmCharts", "helmChartInflationGenerator"),
    )
)
_LISTS: Final = ("containers", "initContainers", "ephemeralContainers")


def parts(text: str, work: Work) -> tuple[list[bytes], str]:
    """Documents that a kustomization says itself, and what cannot be told of it (empty: nothing)."""
    roots, pending = yaml_documents(text, work, templates=False)
    told: list[bytes] = []
    unsure = [pending]
    for root in roots:
        node = made(root)
        if not isinstance(node, Members):
            continue
        for name, inner in node.pairs:
            if name in _PATCHES:
                for patch in _inline(name, inner, work):
                    found, why = operations(patch, work)
                    told += found
                    unsure.append(why)
            elif name not in _FOLLOWED and (made_of := _MAKERS.get(name)) is not None:
                try:
                    for each in made_of(_plain(inner, work)):
                        told.append(json.dumps(each).encode())
                except (ValueError, TypeError, KeyError, AttributeError):
                    unsure.append(f"what its {name} come to cannot be told")
            elif name not in _FOLLOWED:
                unsure.append(f"what its {name[:40]} make cannot be told")
    return told, next(filter(None, unsure), "")


def operations(patch: str, work: Work) -> tuple[list[bytes], str]:
    """A patch as documents: itself, or what its JSON operations would put somewhere; and what cannot be told."""
    roots, pending = yaml_documents(patch, work, templates=False)
    told = [patch.encode("utf-8", "replace")]
    unsure = [pending]
    for root in roots:
        listed = made(root)
        for operation in listed.items if isinstance(listed, Items) else ():
            try:
                told += [json.dumps(each).encode() for each in _placed(_plain(operation, work))]
            except (ValueError, TypeError, KeyError):
                unsure.append("what the operations of a patch come to cannot be told")
    return told, next(filter(None, unsure), "")


def _inline(name: str, node: Node, work: Work) -> Iterator[str]:
    listed = made(node)
    for item in listed.items if isinstance(listed, Items) else ():
        each = made(item)
        if isinstance(each, Leaf):
            # A patch, or the name of a file that has one; which is followed.
            if isinstance(each.value, str) and name == "patchesStrategicMerge" and is_patch(each.value, work):
                yield each.value
        elif isinstance(each, Members):
            for key, inner in each.pairs:
                said = made(inner)
                if key == "patch" and isinstance(said, Leaf) and isinstance(said.value, str):
                    yield said.value


def _plain(node: Node, work: Work, depth: int = 0) -> object:
    """As ``json`` has it. ``ValueError``: something of it is not told."""
    work.spend()
    here = made(node)
    if depth > _DEEPEST or not here.known:
        raise ValueError
    if isinstance(here, Leaf):
        return here.value
    if isinstance(here, Items):
        if here.spread:
            raise ValueError
        return [_plain(each, work, depth + 1) for each in here.items]
    names = [name for name, _ in here.pairs]
    if len(set(names)) < len(names):
        raise ValueError
    return {name: _plain(inner, work, depth + 1) for name, inner in here.pairs}


def _placed(operation: object) -> Iterator[object]:
    """The value of an operation at its path. ``ValueError``: it puts nothing there that is told."""
    if not isinstance(operation, dict) or operation["op"] not in ("add", "replace", "test"):
        raise ValueError
    if operation["op"] == "test":
        return
    path, value = operation["path"], operation["value"]
    if not isinstance(path, str) or (path and not path.startswith("/")) or path.count("/") > _DEEPEST:
        raise ValueError
    for step in reversed(path.split("/")[1:]):
        name = step.replace("~1", "/").replace("~0", "~")
        value = [value] if name == "-" or name.isdecimal() else {name: value}  # in a list, whichever place
    yield value


def _images(listed: object) -> Iterator[object]:
    for each in _list(listed):
        name = each.get("newName") or each["name"]
        tag, digest = each.get("newTag"), each.get("digest")
        image = f"{name}@{digest}" if digest else f"{name}:{tag}" if tag is not None else str(name)
        for key in _LISTS:
            yield from _in_pods({key: [{"image": image}]})


def _in_pods(spec: object) -> Iterator[object]:
    template = {"spec": {"template": {"spec": spec}}}
    yield {"spec": spec}
    yield template
    yield {"spec": {"jobTemplate": template}}


def _replicas(listed: object) -> Iterator[object]:
    for each in _list(listed):
        yield {"spec": {"replicas": each["count"]}}


def _namespace(name: object) -> Iterator[object]:
    yield {"metadata": {"namespace": str(name)}}


def _in_metadata(key: str, pairs: object) -> Iterator[object]:
    meta = {"metadata": {key: pairs}}
    yield meta
    yield {"spec": {"template": meta, "jobTemplate": {"spec": {"template": meta}}}}


def _labels(listed: object) -> Iterator[object]:
    for each in _list(listed):
        if each.keys() - {"pairs", "includeSelectors", "includeTemplates"}:
            raise ValueError
        yield from _in_metadata("labels", each["pairs"])


def _list(listed: object) -> list[dict[str, object]]:
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ValueError
    return listed


_MAKERS: Final[dict[str, Callable[[object], Iterator[object]]]] = {
    "images": _images,
    "replicas": _replicas,
    "namespace": _namespace,
    "labels": _labels,
    "commonLabels": lambda pairs: _in_metadata("labels", pairs),
    "commonAnnotations": lambda pairs: _in_metadata("annotations", pairs),
}
