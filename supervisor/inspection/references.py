"""What a source asks for, as it resolves in the tree, by the kind of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.inspection import kinds

if TYPE_CHECKING:
    from supervisor.inspection.parsing import Parsers
    from supervisor.inspection.resolving import Resolver
    from supervisor.vocabulary.content import Reference

SCRIPTS = frozenset({"javascript", "typescript", "tsx", "component"})
KINDS = SCRIPTS | {"python", "go", "rust", "java"}


def references(
    kind: str, path: bytes, content: bytes, parsers: Parsers, resolver: Resolver
) -> tuple[tuple[Reference, ...], str]:
    """The references of the file at ``path`` (absolute), and why those may not be all; nothing for other kinds.
    ``Unreadable`` and ``Overdue`` as the parsers raise them."""
    if kind == kinds.SCRIPT:
        kind = kinds.script_kind(content) or ""
    if kind not in KINDS:
        return (), ""
    resolver.begin()
    if kind == "python":
        from supervisor.inspection import python_references

        return python_references.references(content, path, parsers, resolver)
    if kind in SCRIPTS:
        from supervisor.inspection import script_references

        return script_references.references(kind, content, path, parsers, resolver)
    if kind == "go":
        from supervisor.inspection import go_references

        return go_references.references(content, path, parsers, resolver)
    if kind == "rust":
        from supervisor.inspection import rust_references

        return rust_references.references(content, path, parsers, resolver)
    from supervisor.inspection import java_references

    return java_references.references(content, path, parsers, resolver)
