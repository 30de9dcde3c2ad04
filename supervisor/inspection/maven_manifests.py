"""Artifacts that a ``pom.xml`` (or ``.mvn/extensions.xml``) asks for: dependencies, managed ones, plugins, parents,
whatever has an ``artifactId`` in it. Properties of the file itself are filled in; those of a parent are not known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from supervisor.inspection.decoding import whole
from supervisor.inspection.entries import Document, Entry, Located
from supervisor.inspection.xml_elements import Element, elements
from supervisor.vocabulary.content import Requirement

_REFERENCE = re.compile(r"\$\{([^{}$]{1,200})\}")
_ROUNDS = 8
_LONGEST = 2_000
_PLUGINS = "org.apache.maven.plugins"
_NAME = re.compile(r"[^\s:<>]+")


def pom(text: str) -> Document:
    found, problem = elements(text)
    known = _properties(found)
    located: list[Located] = []
    entries: list[Entry] = []
    for element in found:
        made = _required(element, known)
        if made is None:
            continue
        entry = Entry(
            (*element.path, element.start), None, element.start, element.end, element.line, "item", -element.start
        )
        entries.append(entry)
        # Without its parent a document is another one.
        removable = element.path[-1] in ("dependency", "plugin", "extension")
        located.append(Located(made, (entry,) if removable else ()))
    return Document(sorted(located, key=lambda each: each.requirement.line), entries, problem)


def _properties(found: list[Element]) -> dict[str, str]:
    """Name -> text of what ``${name}`` may stand for. A profile's own come last, as they win."""
    known: dict[str, str] = {}
    for each in found:
        match each.path:
            case ("project", ("groupId" | "artifactId" | "version") as field):
                known[f"project.{field}"] = known[f"pom.{field}"] = known[field] = each.text
            case ("project", "parent", ("groupId" | "version") as field):
                known[f"project.parent.{field}"] = known[f"parent.{field}"] = each.text
                known.setdefault(f"project.{field}", each.text)
    for end in (("project", "properties"), ("project", "profiles", "profile", "properties")):
        known |= {each.path[-1]: each.text for each in found if each.path[:-1] == end}
    return known


def filled(text: str, known: Mapping[str, str]) -> str:
    """What is not known stays ``${name}``."""
    for _ in range(_ROUNDS):
        if "${" not in text or len(text) > _LONGEST:
            break
        again = _REFERENCE.sub(lambda found: known.get(found[1].strip(), found[0]), text)
        if again == text:
            break
        text = again
    return text[:_LONGEST]


def _required(element: Element, known: Mapping[str, str]) -> Requirement | None:
    kind = element.path[-1]
    artifact = filled(element.child("artifactId"), known).strip()
    if not artifact or kind in ("project", "exclusion") or len(element.path) < 2:
        return None
    group = filled(element.child("groupId"), known).strip() or (_PLUGINS if kind in ("plugin", "reportPlugin") else "")
    if _NAME.fullmatch(artifact) is None or (group and _NAME.fullmatch(group) is None):
        return None
    origin = filled(element.child("systemPath"), known) if element.child("scope") == "system" else ""
    version = filled(element.child("version"), known).strip()
    place = ".".join(each for each in element.path[:-1] if each != "project")
    name = f"{group}:{artifact}".lower()
    return Requirement("maven", whole(name), whole(version), element.line, whole(place), origin=whole(origin))


def coordinates(text: str) -> Iterator[tuple[str, str]]:
    """(``group:artifact``, version) of ``g:a:v``, as Gradle and command lines write it; nothing for other texts."""
    parts = text.partition("@")[0].split(":")
    if 2 <= len(parts) <= 6 and all(map(_WORD.fullmatch, parts[:2])):
        yield f"{parts[0]}:{parts[1]}".lower(), parts[2].removesuffix("!!") if len(parts) > 2 else ""


_WORD = re.compile(r"(?:[\w.+-]|\$\{[^{}]{1,200}\}|\$)+", re.ASCII)
