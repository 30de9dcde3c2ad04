"""Documents (HCL, YAML, JSON, TOML, Dockerfiles, settings) and what stands in them where rules look."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from supervisor.inspection.decoding import Unreadable
from supervisor.inspection.document_nodes import Items, Leaf, Made, Members, Node, Work, made
from supervisor.inspection.selecting import Looker, may_lead_somewhere
from supervisor.vocabulary.content import Selection, Value

if TYPE_CHECKING:
    from supervisor.inspection.hcl_document import Hcl
    from supervisor.inspection.parsing import Parsers

MOST_DOCUMENT: Final = 2 << 20
_MOST_VALUES = 20_000
_MOST_EMBEDDED = 256 << 10
_HCL: Final = (".tf", ".tofu", ".tfvars", ".hcl", ".nomad")
_HCL_JSON: Final = (".tf.json", ".tofu.json", ".tfvars.json", ".hcl.json", ".pkr.json")
_SETTINGS: Final = (".env", ".properties", ".ini", ".cfg", ".conf")
_END: Final = "GOVRUN_END_OF_TEMPLATE"
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
                (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip


def format_of(path: bytes) -> str:
    """``hcl``, ``hcl-json``, ``json``, ``yaml``, ``toml``, ``docker``, ``settings``; empty for what is not read."""
    name = path.rpartition(b"/")[2].decode("utf-8", "replace").lower()
    if name.endswith(_HCL_JSON):
        return "hcl-json"
    if name.endswith(_HCL):
        return "hcl"
    if name.endswith((".json", ".jsonc", ".json5", ".webmanifest", ".code-workspace")):
        return "json"
    if name.endswith((".yml", ".yaml")):
        return "yaml"
    if name.endswith(".toml"):
        return "toml"
    if name.startswith(("dockerfile", "containerfile")) or name.endswith((".dockerfile", ".containerfile")):
        return "docker"
    return "settings" if name.endswith(_SETTINGS) or name.startswith(".env") else ""


def values(
    path: bytes, content: bytes, parsers: Parsers, selections: tuple[Selection, ...], form: str = ""
) -> tuple[tuple[Value, ...], str]:
    """What stands where ``selections`` look, and why the document cannot be read whole (empty: it can).

    ``path`` is relative to the tree and tells the format, unless ``form`` does: a word of ``format_of``, or ``exact``,
    YAML in which nothing stands for what a template would put there. ``Unreadable``: it cannot be judged at all.
    """
    if not selections:
        return (), ""
    kind = form or format_of(path)
    if not kind:
        return (), "no document of a known format"
    text, problem = _text(content)
    found: list[Value] = []
    places: dict[str, list[Selection]] = {}
    for selection in selections:
        places.setdefault(selection.at, []).append(selection)
    if kind in ("yaml", "exact", "json", "toml") and "\\" not in text:
        # Without escapes a name stands in the text as it is.
        places = {at: looking for at, looking in places.items() if may_lead_somewhere(at, text)}
        if not places:
            return (), problem
    roots, pending = _roots(kind, path, text, parsers, Work(parsers.check))
    for at, looking in places.items():
        work = Work(parsers.check)
        looker = Looker(work, partial(embedded, work))
        for prefix, root in roots:
            found.extend(looker.values(root, prefix, at, looking))
        if len(found) > _MOST_VALUES:
            raise Unreadable(f"rules look at more than {_MOST_VALUES} places in it")
    return tuple(found), problem or pending


def documents(
    kind: str, path: bytes, content: bytes, parsers: Parsers, work: Work
) -> tuple[list[tuple[str, Node]], str]:
    """Each document of a file of that format, after what to put before its places; and why it is not read whole."""
    text, problem = _text(content)
    roots, pending = _roots(kind, path, text, parsers, work)
    return roots, problem or pending


def _text(content: bytes) -> tuple[str, str]:
    if len(content) > MOST_DOCUMENT:
        raise Unreadable(f"too large: {len(content)} bytes, the limit is {MOST_DOCUMENT}")
    return decoded(content)


def decoded(content: bytes) -> tuple[str, str]:
    """The text without its byte order mark, and what is wrong with it (empty: nothing)."""
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), "utf-8")
    problem = ""
    try:
        text = content.decode(encoding)
    except UnicodeError as error:
        text, problem = content.decode(encoding, "replace"), f"not {encoding}: {str(error)[:120]}"
    if "\0" in text:
        raise Unreadable("it has NUL characters")
    return text.replace("\r\n", "\n").removeprefix("\ufeff"), problem


def _roots(kind: str, path: bytes, text: str, parsers: Parsers, work: Work) -> tuple[list[tuple[str, Node]], str]:
    """Each document of the file, with what to put before its places."""
    if kind == "hcl":
        from supervisor.inspection.hcl_document import Hcl, problem

        source = text.encode("utf-8", "replace")
        root = parsers.parse("hcl", path, source)
        return [("", Hcl(root, source, work).document())], problem(root)
    if kind in ("yaml", "exact"):
        from supervisor.inspection.yaml_document import yaml_documents

        return _named(*yaml_documents(text, work, templates=kind == "yaml"))
    if kind == "docker":
        from supervisor.inspection.docker_document import docker_document

        roots, pending = docker_document(text, work)
    else:
        from supervisor.inspection import plain_documents

        readers: Final[dict[str, Callable[[str, Work], tuple[list[Node], str]]]] = {
            "json": plain_documents.json_document,
            "hcl-json": plain_documents.json_document,
            "toml": plain_documents.toml_documents,
            "settings": plain_documents.settings,
        }
        roots, pending = readers[kind](text, work)
    if kind == "json":
        return _named(roots, pending)
    if kind == "hcl-json":
        _interpolate(roots, parsers, work)
    return [("", root) for root in roots], pending


def _named(roots: list[Node], pending: str) -> tuple[list[tuple[str, Node]], str]:
    """Kubernetes objects by kind and name, so that the same place in two of them is two places. The elements of a
    ``List`` are documents as well."""
    found: list[tuple[str, Node]] = []
    for root in roots:
        here = made(root)
        if not isinstance(here, Members):
            found.append(("", root))
            continue
        kind = _word(here, "kind")
        inner = [made(node) for name, node in here.pairs if name == "items"] if kind.endswith("List") else []
        listed = [item for items in inner if isinstance(items, Items) for item in items.items]
        objects = (here, *(made(item) for item in listed))
        found.extend((_object_name(each, several=bool(listed) or len(roots) > 1), each) for each in objects)
    return found, pending


def _object_name(root: Made, *, several: bool) -> str:
    if not several or not isinstance(root, Members):
        return ""
    name = next((_word(node, "name") for key, node in root.pairs if key == "metadata"), "")
    kind = _word(root, "kind")
    return f"{kind}/{name}"[:200] if kind and name else ""


def _word(node: Node, name: str) -> str:
    here = made(node)
    inner = [made(each) for key, each in here.pairs if key == name] if isinstance(here, Members) else []
    return str(inner[0].value) if inner and isinstance(inner[0], Leaf) and inner[0].value is not None else ""


def embedded(work: Work, text: str, line: int) -> Made | None:
    """A JSON document in a string (a policy in a here-document), None when it is none."""
    if text.lstrip()[:1] not in ("{", "[") or len(text) > _MOST_EMBEDDED:
        return None
    from supervisor.inspection.plain_documents import json_document

    roots, _ = json_document(text, work, line)
    root = made(roots[0]) if roots else None
    return root if isinstance(root, Members | Items) else None


def _interpolate(roots: list[Node], parsers: Parsers, work: Work) -> None:
    """Terraform reads every string of its JSON syntax as a template."""
    reader: Hcl | None = None
    open_nodes = list(roots)
    while open_nodes:
        work.spend()
        node = made(open_nodes.pop())
        if isinstance(node, Items):
            open_nodes += node.items
        elif isinstance(node, Members):
            open_nodes += [inner for _, inner in node.pairs]
            for at, (name, inner) in enumerate(node.pairs):
                if isinstance(inner, Leaf):
                    reader = reader or _empty(parsers, work)
                    node.pairs[at] = (name, _template(inner, reader, parsers))
        if isinstance(node, Items):
            for at, item in enumerate(node.items):
                if isinstance(item, Leaf):
                    reader = reader or _empty(parsers, work)
                    node.items[at] = _template(item, reader, parsers)


def _empty(parsers: Parsers, work: Work) -> Hcl:
    from supervisor.inspection.hcl_document import Hcl

    return Hcl(parsers.parse("hcl", b"", b""), b"", work)


def _template(leaf: Leaf, reader: Hcl, parsers: Parsers) -> Made:
    if not isinstance(leaf.value, str) or ("${" not in leaf.value and "%{" not in leaf.value):
        return leaf
    # In a here-document quotes inside of `${ }` are as they are.
    source = f"x = <<{_END}\n{leaf.value}\n{_END}\n".encode("utf-8", "replace")
    told = reader.template(parsers.parse("hcl", b"", source), source, leaf.line)
    if isinstance(told, Leaf) and isinstance(told.value, str):
        told.value = told.value.removesuffix("\n")
    return told
