"""Which part of a text that is still being written cannot become something else by what follows.

In formats whose names are quoted, a text that ends in the middle of one does not parse; then nothing counts. Else the
last name may go on: ``import requests`` becomes ``import requests_mock``.
"""

from __future__ import annotations

import re

_NAME = re.compile(rb"[\w.\x80-\xff]*\Z")
_BY_LINE = frozenset(
    {"requirements", "setup.cfg", "environment.yml", "pnpm-lock", "yarn.lock"}
    | {"go.mod", "go.work", "go.sum", "modules.txt", "Cargo.lock", "Gemfile.lock", "gradle.lockfile"}
    | {"Gemfile", "gemspec", "gradle", "ruby", "kotlin", "java"}
)


def fixed_part(kind: str, content: bytes) -> bytes:
    """``content`` without the end that the next write may change."""
    if kind == "python":
        found = _NAME.search(content, max(0, len(content) - 4096))
        return content[: found.start()] if found is not None else content
    return content[: content.rfind(b"\n") + 1] if kind in _BY_LINE else content
