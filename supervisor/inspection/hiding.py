"""Where a name can stand in sources and manifests of Cargo, Go, Maven, Gradle and Ruby without being spelt out: for
each, the spellings that its reader undoes. True means that the text has to be read."""

from __future__ import annotations

import re
from collections.abc import Callable

# Escapes of ASCII letters, digits and the signs between them.
_GO_ESCAPE = re.compile(rb"\\(?:x[2-7]|u00[2-7]|u000000[2-7]|1[0-7][0-7]|0[4-7][0-7])")
_JAVA_ESCAPE = re.compile(rb"\\u+00[2-7]")
_RUBY_ESCAPE = re.compile(rb"\\(?:x|u|[0-7]{2})")
_SUM = re.compile(rb"""["'][\s()+\\]*["']""")
_NOTE = re.compile(rb"[+\\]\s*(?:/[/*]|#|=begin)|\*/\s*\+")
_PERCENT = re.compile(rb"%[q]?[(\[{<|]")
_FILLED_IN = re.compile(rb"[\w.-]\$|\$\{[^}\n]{0,120}\}[\w.-]|\$\w{1,120}[-.]")
_ARTIFACT = re.compile(rb"<artifactid>[^<&$]*</artifactid>")
_OTHER_XML = re.compile(rb"<!doctype|<!entity|\bencoding\s*=\s*[\"'](?!utf-8[\"'])")

_PLAIN = frozenset({"rust", "go.sum", "modules.txt", "Gemfile.lock", "gradle.lockfile"})


def may_hide(kind: str, lowered: bytes, occurs: Callable[[bytes], bool]) -> bool | None:
    """None for a kind that is not known here. ``lowered``: the text in lower case; ``occurs`` asks for the names."""
    if kind in _PLAIN:
        return False
    if kind in ("go.mod", "go.work"):
        return b"\\" in lowered
    if kind == "go":
        return b"\\" in lowered and _GO_ESCAPE.search(lowered) is not None
    if kind in ("java", "kotlin"):
        return b"\\u" in lowered and _JAVA_ESCAPE.search(lowered) is not None
    if kind in ("ruby", "Gemfile", "gemspec"):
        return _ruby(lowered, occurs)
    if kind == "gradle":
        escaped = b"\\u" in lowered and _JAVA_ESCAPE.search(lowered) is not None
        return escaped or (b"$" in lowered and _FILLED_IN.search(lowered) is not None) or _joined(lowered, occurs)
    return _xml(lowered) if kind == "pom.xml" else None


def _ruby(lowered: bytes, occurs: Callable[[bytes], bool]) -> bool:
    if b"\\" in lowered and _RUBY_ESCAPE.search(lowered) is not None:
        return True
    if b"%" in lowered and _PERCENT.search(lowered) is not None:
        return True
    return _joined(lowered, occurs)


def _joined(lowered: bytes, occurs: Callable[[bytes], bool]) -> bool:
    """Literals side by side or joined by ``+``, and ``\\`` before an ordinary letter or a line end."""
    if _NOTE.search(lowered) is not None:
        return True
    plain, count = _SUM.subn(b"", lowered)
    if b"\\" in plain:
        plain, count = plain.replace(b"\\", b""), 1
    return count > 0 and occurs(plain)


def _xml(lowered: bytes) -> bool:
    """Every artifact is written plainly, or the text has to be read."""
    if b"<" not in lowered or lowered.count(b"artifactid") != 2 * sum(1 for _ in _ARTIFACT.finditer(lowered)):
        return True
    return _OTHER_XML.search(lowered) is not None
