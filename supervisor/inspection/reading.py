"""From a kind and bytes to findings: limits, the text, and the one inspector. Total: what goes wrong is a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from supervisor.inspection import kinds
from supervisor.inspection.decoding import Unreadable, decode, is_plain, lossy, whole
from supervisor.inspection.limits import Budget, Overdue, allowance
from supervisor.vocabulary.content import INSPECTOR_FAILED, NOTHING_FOUND, Findings, Requirement

if TYPE_CHECKING:
    from supervisor.inspection.entries import Document
    from supervisor.inspection.parsing import Parsers

MOST_SOURCE = 2 << 20
MOST_MANIFEST = 2 << 20
MOST_NOTEBOOK = 16 << 20  # mostly pictures
MOST_LOCK = 64 << 20


def most_bytes(kind: str) -> int:
    """The size up to which a file of ``kind`` is inspected."""
    if kinds.is_lock(kind):
        return MOST_LOCK
    if kind == "notebook":
        return MOST_NOTEBOOK
    return MOST_SOURCE if kinds.is_source(kind) else MOST_MANIFEST


def inspect(kind: str, path: bytes, content: bytes, parsers: Parsers) -> Findings:
    """What ``content`` says. ``path`` names kept trees and tells a ``setup.py``; it is not opened."""
    if kind == kinds.SCRIPT:
        told = kinds.script_kind(content)
        return NOTHING_FOUND if told is None else inspect(told, path, content, parsers)
    if len(content) > most_bytes(kind):
        return Findings(refusal=f"too large: {len(content)} bytes, the limit is {most_bytes(kind)}")
    parsers.allow(None if kinds.is_lock(kind) else Budget(allowance(len(content))))
    try:
        return _inspect(kind, path, content, parsers)
    except Overdue as error:
        return Findings(refusal=str(error))
    except Unreadable as error:
        return Findings(refusal=str(error))
    except Exception as error:  # noqa: BLE001 - any text is possible, and an unforeseen one must not pass unseen
        return Findings(refusal=whole(f"{INSPECTOR_FAILED}: {type(error).__name__}: {error}", 300))


def _inspect(kind: str, path: bytes, content: bytes, parsers: Parsers) -> Findings:
    if kind == "python":
        from supervisor.inspection import python_source

        return python_source.inspect(content, parsers, path)
    if kind in ("javascript", "typescript", "tsx", "component"):
        from supervisor.inspection import script_source

        return script_source.inspect(kind, lossy(content), parsers, path)
    if kind == "notebook":
        from supervisor.inspection import notebook

        return notebook.inspect(lossy(content), parsers)
    if kind == "pth":
        from supervisor.inspection import python_source

        return python_source.startup_lines(content, parsers)
    if kind == kinds.INSTALLED:
        return _installed(content)
    if kinds.is_lock(kind):
        from supervisor.inspection.locks import READERS

        text, problem = lock_text(content)
        found = READERS[kind](text)
        return found._replace(pending=found.pending or problem)
    text = manifest_text(kind, content)
    return manifest(kind, text).findings()


def _installed(content: bytes) -> Findings:
    """Name and version of an npm package that lies in ``node_modules``."""
    import json

    document = json.loads(lossy(content))
    name, version = document.get("name"), document.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        return Findings(pending="it has no name and version")
    return Findings(requirements=(Requirement("npm", name, version, 1, kinds.INSTALLED, locked=True),))


def lock_text(content: bytes) -> tuple[str, str]:
    if b"\0" in content:
        return lossy(content).decode("utf-8"), "it has NUL bytes"
    try:
        return content.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        return content.decode("utf-8", "replace"), f"not UTF-8: {error.reason} at byte {error.start}"


def manifest_text(kind: str, content: bytes) -> str:
    """The text, from which the same bytes come back unless they are in another encoding."""
    if kind == "requirements" or not is_plain(content[:4]):
        return decode(content)
    return content.decode("utf-8", "surrogateescape")


def manifest(kind: str, text: str) -> Document:
    """``KeyError`` for a kind that is no manifest."""
    from supervisor.inspection import ini_manifests, npm_manifests, python_manifests

    readers: Final[Mapping[str, Callable[[str], Document]]] = {
        "requirements": python_manifests.requirements,
        "pyproject": python_manifests.pyproject,
        "pipfile": python_manifests.pipfile,
        "setup.cfg": ini_manifests.setup_cfg,
        "tox.ini": ini_manifests.setup_cfg,
        "environment.yml": python_manifests.environment,
        "package.json": npm_manifests.package_json,
        "workspace": npm_manifests.workspace,
    }
    return readers[kind](text)
