"""Which inspector reads a file, by its name alone.

Whole names (``package.json``, ``Pipfile``) are compared as written: the tools that read them do so too. Extensions are
compared without case, because interpreters are given ``X.PY`` by name and read it. ``requirements`` forms are compared
without case for the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SOURCES: Final[Mapping[bytes, str]] = {
    b"py": "python",
    b"pyi": "python",
    b"pyw": "python",
    b"pyx": "python",
    b"pth": "pth",
    b"js": "javascript",
    b"mjs": "javascript",
    b"cjs": "javascript",
    b"jsx": "javascript",
    b"ts": "typescript",
    b"mts": "typescript",
    b"cts": "typescript",
    b"tsx": "tsx",
    b"vue": "component",
    b"svelte": "component",
    b"ipynb": "notebook",
}
_NAMES: Final[Mapping[bytes, str]] = {
    b"pyproject.toml": "pyproject",
    b"Pipfile": "pipfile",
    b"setup.cfg": "setup.cfg",
    b"tox.ini": "tox.ini",
    b"package.json": "package.json",
    b"pnpm-workspace.yaml": "workspace",
    b".yarnrc.yml": "workspace",
    b"package-lock.json": "package-lock",
    b"npm-shrinkwrap.json": "package-lock",
    b"yarn.lock": "yarn.lock",
    b"pnpm-lock.yaml": "pnpm-lock",
    b"bun.lock": "bun.lock",
    b"uv.lock": "uv.lock",
    b"poetry.lock": "poetry.lock",
    b"pdm.lock": "pdm.lock",
    b"Pipfile.lock": "Pipfile.lock",
    b"pylock.toml": "pylock",
}
SOURCES = frozenset(_SOURCES.values())
MANIFESTS = frozenset(
    {"requirements", "pyproject", "pipfile", "setup.cfg", "tox.ini", "package.json", "workspace", "environment.yml"}
)
LOCKS = frozenset(_NAMES.values()) - MANIFESTS

INSTALLED = "installed"  # an npm package's own manifest, where it is installed
SCRIPT = "script"  # a name without a dot: a source only if its first line names an interpreter
_PACKAGE = re.compile(rb"(?:\A|/)node_modules/(?:@[^/]+/)?[^/@.][^/]*/package\.json\Z")
_REQUIREMENTS = re.compile(
    rb"(?:.*(?:requirement|constraints)|(?:.*[-_.])?(?:req|reqs|requires|deps|dependencies)(?![^\W\d_])"
    rb"|reqs|requires|deps)[^/]*\.(?:txt|in)\Z",
    re.IGNORECASE | re.DOTALL,
)  # over a file's name
_IN_FOLDER = re.compile(rb"(?:\A|/)(?:requirements|constraints)/(?:.*/)?[^/]+\.(?:txt|in)\Z", re.IGNORECASE | re.DOTALL)
_PYLOCK = re.compile(rb"pylock\.[^/]+\.toml\Z")
_ENVIRONMENT = re.compile(rb"(?:conda-)?environment[\w.-]*\.ya?ml\Z")
_LONGEST_HEAD = 256  # bytes of a first line that the kernel reads (BINPRM_BUF_SIZE)
_INTERPRETERS: Final = (
    (re.compile(rb"python|pypy|\buv(?:[ \t]+run|x)\b|\bpipx\b", re.IGNORECASE), "python"),
    (re.compile(rb"\b(?:tsx|ts-node|deno|bun)\b"), "typescript"),
    (re.compile(rb"\bnode(?:js)?\b"), "javascript"),
)


def kind_of(path: bytes) -> str | None:
    """The kind of the file at ``path`` (any prefix, ``/`` between names), None when no inspector reads it."""
    name = path[path.rfind(b"/") + 1 :]
    known = _NAMES.get(name)
    if known is not None:
        return INSTALLED if known == "package.json" and _PACKAGE.search(path) else known
    extension = name[name.rfind(b".") + 1 :].lower() if b"." in name else b""
    source = _SOURCES.get(extension)
    if source is not None:
        return source
    if extension in (b"txt", b"in"):
        return "requirements" if _REQUIREMENTS.match(name) or _IN_FOLDER.search(path) else None
    if extension == b"toml":
        return "pylock" if _PYLOCK.match(name) else None
    if extension in (b"yml", b"yaml"):
        return "environment.yml" if _ENVIRONMENT.match(name) else None
    return None


def file_kind(path: bytes) -> str | None:
    """The same for what is known to be a file and no link: ``script`` for a name without a dot, which may as well be
    that of a folder."""
    name = path[path.rfind(b"/") + 1 :]
    return kind_of(path) or (SCRIPT if name and b"." not in name else None)


def script_kind(content: bytes) -> str | None:
    """The kind of source that a ``script`` is by its first line, None when it is none."""
    if not content.startswith(b"#!"):
        return None
    head = content[:_LONGEST_HEAD]
    line = head[: head.find(b"\n")] if b"\n" in head else head
    return next((kind for named, kind in _INTERPRETERS if named.search(line) is not None), None)


def is_source(kind: str) -> bool:
    return kind in SOURCES


def is_manifest(kind: str) -> bool:
    """True for files whose entries can be taken out singly."""
    return kind in MANIFESTS


def is_lock(kind: str) -> bool:
    """True for files that only go back whole."""
    return kind in LOCKS
