"""Which inspector reads a file, by its name alone.

Whole names (``package.json``, ``Pipfile``) are compared as written: the tools that read them do so too. Extensions are
compared without case, because interpreters are given ``X.PY`` by name and read it. ``requirements`` forms are compared
without case for the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# Folders of packages of others; what is in them is judged as a whole where it arrives.
VENDORED: Final = (b"/node_modules/", b"/site-packages/", b"/dist-packages/")
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
    b"go": "go",
    b"rs": "rust",
    b"java": "java",
    b"kt": "kotlin",
    b"kts": "kotlin",
    b"rb": "ruby",
    b"rake": "ruby",
    b"ru": "ruby",
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
    b"Cargo.toml": "Cargo.toml",
    b"Cargo.lock": "Cargo.lock",
    b"go.mod": "go.mod",
    b"go.work": "go.work",
    b"go.sum": "go.sum",
    b"go.work.sum": "go.sum",
    b"Gemfile": "Gemfile",
    b"gems.rb": "Gemfile",
    b"Gemfile.lock": "Gemfile.lock",
    b"gems.locked": "Gemfile.lock",
}
_EXTENSIONS: Final[Mapping[bytes, str]] = {
    b"gemspec": "gemspec",
    b"gradle": "gradle",
    b"lockfile": "gradle.lockfile",
    b"pom": "pom.xml",
}
SOURCES = frozenset(_SOURCES.values())
MANIFESTS = frozenset(
    {"requirements", "pyproject", "pipfile", "setup.cfg", "tox.ini", "package.json", "workspace", "environment.yml"}
    | {"Cargo.toml", "go.mod", "go.work", "pom.xml", "gradle", "versions.toml", "Gemfile", "gemspec"}
)
LOCKS = (frozenset(_NAMES.values()) | {"modules.txt", "gradle.lockfile"}) - MANIFESTS

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
_CATALOG = re.compile(rb"[^/]+\.versions\.toml\Z")
_CARGO_CONFIG = re.compile(rb"(?:\A|/)\.cargo/config(?:\.toml)?\Z")
_MODULES = re.compile(rb"(?:\A|/)vendor/modules\.txt\Z")
_POM = re.compile(rb"(?:.*[-_.])?pom(?:[-_.][^/]*)?\.xml\Z", re.DOTALL)  # over a file's name
_MAVEN_EXTENSIONS = re.compile(rb"(?:\A|/)\.mvn/extensions\.xml\Z")
# What others published and a tool unpacked: Go's modules, crates beside their own manifest, gems.
_UNPACKED: Final[Mapping[str, re.Pattern[bytes]]] = {
    **dict.fromkeys(("go", "go.mod", "go.sum", "go.work"), re.compile(rb"(?:\A|/)vendor/[^/]*\.[^/]*/")),
    # A module of a crate may be called ``vendor`` too: that lies below ``src``.
    **dict.fromkeys(
        ("rust", "Cargo.toml", "Cargo.lock"), re.compile(rb"\A(?:(?!src/).)*?(?<![^/])vendor/[^/]+/", re.DOTALL)
    ),
    **dict.fromkeys(
        ("ruby", "Gemfile", "gemspec", "Gemfile.lock"), re.compile(rb"(?:\A|/)vendor/(?:bundle|cache|gems|ruby)/")
    ),
}
_LONGEST_HEAD = 256  # bytes of a first line that the kernel reads (BINPRM_BUF_SIZE)
_INTERPRETERS: Final = (
    (re.compile(rb"python|pypy|\buv(?:[ \t]+run|x)\b|\bpipx\b", re.IGNORECASE), "python"),
    (re.compile(rb"\b(?:tsx|ts-node|deno|bun)\b"), "typescript"),
    (re.compile(rb"\bnode(?:js)?\b"), "javascript"),
    (re.compile(rb"\bj?ruby[\d.]*\b"), "ruby"),
    (re.compile(rb"\bkotlin(?:c|-script)?\b"), "kotlin"),
    (re.compile(rb"\bjava\b"), "java"),
)


def kind_of(path: bytes) -> str | None:
    """The kind of the file at ``path`` (any prefix, ``/`` between names), None when no inspector reads it."""
    name = path[path.rfind(b"/") + 1 :]
    known = _NAMES.get(name)
    if known is not None:
        return INSTALLED if known == "package.json" and _PACKAGE.search(path) else known
    extension = name[name.rfind(b".") + 1 :].lower() if b"." in name else b""
    if name.endswith(b".gradle.kts"):
        return "gradle"
    source = _SOURCES.get(extension) or _EXTENSIONS.get(extension)
    if source is not None:
        return source
    if extension in (b"txt", b"in"):
        if _MODULES.search(path) is not None:
            return "modules.txt"
        return "requirements" if _REQUIREMENTS.match(name) or _IN_FOLDER.search(path) else None
    if extension == b"toml":
        if _CATALOG.match(name) is not None:
            return "versions.toml"
        return "Cargo.toml" if _CARGO_CONFIG.search(path) else "pylock" if _PYLOCK.match(name) else None
    if extension == b"xml":
        return "pom.xml" if _POM.match(name) or _MAVEN_EXTENSIONS.search(path) else None
    if extension in (b"yml", b"yaml"):
        return "environment.yml" if _ENVIRONMENT.match(name) else None
    return "Cargo.toml" if name == b"config" and _CARGO_CONFIG.search(path) else None


def is_unpacked(kind: str, relative: bytes) -> bool:
    """Whether the file of ``kind`` at ``relative`` (a path in the tree, without a leading slash) is a part of a package
    that a tool unpacked into ``vendor/``: what others published, judged as a whole where it arrives."""
    unpacked = _UNPACKED.get(kind)
    return unpacked is not None and unpacked.search(relative) is not None


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
