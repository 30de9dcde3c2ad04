"""What a Java source imports, and the full names that it uses without an import.

A class leads to its file, a package to its folder. Classes of the same package need no import and are not told. The
names of third parties are told as packages (``com.google.common.collect``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from supervisor.inspection.decoding import lossy
from supervisor.inspection.java_roots import Place, Roots
from supervisor.inspection.reference_parts import DOES_NOT_PARSE, JAVA, Found, blanked, folder_of, place_of

if TYPE_CHECKING:
    from supervisor.inspection.parsing import Parsers
    from supervisor.inspection.resolving import Resolver
    from supervisor.vocabulary.content import Reference

_NAME = rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff]*+"
_CHAIN = _NAME + rb"(?:\s*+\.\s*+" + _NAME + rb")"
_NOT_INSIDE = rb"(?<![\w$\x80-\xff])"
_PACKAGE = re.compile(_NOT_INSIDE + rb"package\s++(" + _CHAIN + rb"*)\s*+;")
_IMPORT = re.compile(
    _NOT_INSIDE + rb"import\s++(static\s++)?(module\s++(?=[\w$]))?(" + _CHAIN + rb"*)(\s*+\.\s*+\*)?\s*+;"
)
_USED = re.compile(rb"(?<![\w$\x80-\xff.@])@?(" + _CHAIN + rb"+)")
_ESCAPE = re.compile(rb"\\(?:(\\)|u++([0-9A-Fa-f]{4}))")
_SPACE = re.compile(r"\s+")
_STANDARD = ("java.", "javax.", "jdk.", "sun.", "com.sun.", "org.w3c.dom.", "org.xml.sax.", "org.ietf.jgss.")
_PLATFORM = frozenset({"java", "javax"})  # what has such names beside the platform's own is in the same module
# First parts of names that nobody gives to a variable on which a class would be looked up.
_DOMAINS = frozenset({"com", "org", "net", "io", "dev", "edu", "gov", "jakarta", "kotlin", "scala", "javafx", "de"})
# Names below which many publish: they tell nobody's own.
_SHARED = frozenset({
    "com.amazon", "com.amazonaws", "com.fasterxml", "com.github", "com.google", "com.ibm", "com.microsoft",
    "com.oracle", "io.github", "io.netty", "io.projectreactor", "org.apache", "org.apache.commons", "org.eclipse",
    "org.jetbrains", "org.springframework",
})  # fmt: skip
_MOST_PARTS = 64


def references(content: bytes, path: bytes, parsers: Parsers, resolver: Resolver) -> tuple[tuple[Reference, ...], str]:
    """``path``: its absolute path in the tree. The second is why the file cannot be read whole, or empty."""
    place = place_of(path, resolver)
    content = _translated(lossy(content))
    broken = parsers.parse("java", path, content).has_error
    text = blanked(content, JAVA)
    declared = _PACKAGE.search(text)
    package = _parts(declared[1]) if declared is not None else ()
    reader = _Reader(Found(content, place, resolver), Roots(place, package, resolver), package, folder_of(place))
    end = declared.end() if declared is not None else 0
    for found in _IMPORT.finditer(text):
        parsers.check()
        end = max(end, found.end())
        reader.imported(found)
    tops = reader.top_names(resolver)
    heads = {top.encode("utf-8", "replace") for top in tops | _DOMAINS}
    for used in _USED.finditer(text, end):
        parsers.check()
        if used[1].partition(b".")[0].strip() in heads:
            reader.used(_parts(used[1]), used.start(1), tops)
    return reader.found.all(), DOES_NOT_PARSE if broken else ""


class _Reader:
    def __init__(self, found: Found, roots: Roots, package: tuple[str, ...], folder: str) -> None:
        self.found = found
        self._roots = roots
        self._package = package
        self._folder = folder

    def top_names(self, resolver: Resolver) -> frozenset[str]:
        """First parts of the packages in the importer's module."""
        found: set[str] = set()
        for root in self._roots.near:
            found.update(resolver.names_like(root, ()))
        return frozenset(found)

    def imported(self, found: re.Match[bytes]) -> None:
        name = _parts(found[3])
        if found[2] is not None:  # of a module only its name is known, which is mostly that of a package in it
            self._tell(name, len(name), found.start(3))
        elif found[4] is not None:
            self._tell(name, _package_length(name, len(name)) if found[1] is not None else len(name), found.start(3))
        else:
            inner = name[:-1] if found[1] is not None and len(name) > 1 else name
            self._tell(inner, _package_length(inner, len(inner) - 1), found.start(3))

    def used(self, name: tuple[str, ...], at: int, tops: frozenset[str]) -> None:
        """A name with dots that is no import: a package, a class and what is below, or anything else."""
        known = name[0] in tops
        if not known and name[0] not in _DOMAINS:
            return
        length = next((number for number, part in enumerate(name) if part[:1].isupper()), 0)
        if length < 1 or (length < 2 and not known):
            return
        where = self._roots.leading(name[: length + 1], package=length, near=name[0] in _PLATFORM)
        if where.known:
            self._add(where, name[: length + 1], at)
        elif not _is_standard(name) and name[0] in _DOMAINS and length >= 2 and not name[length].isupper():
            self._tell(name[: length + 1], length, at)

    def _tell(self, name: tuple[str, ...], package: int, at: int) -> None:
        where = self._roots.leading(name, package=package, near=name[0] in _PLATFORM)
        if not where.known and _is_standard(name):
            self.found.add("", _told(name, package), at)
            return
        if not where.known and self._is_own(name, package):
            where = self._roots.expected(name, package=package)
        self._add(where, name if where.paths else name[:package] or name, at)

    def _add(self, where: Place, name: tuple[str, ...], at: int) -> None:
        for each in where.paths:
            if each != self._folder:
                self.found.add(each, ".".join(name), at)
        if not where.paths:
            self.found.add("", ".".join(name), at, external=True)

    def _is_own(self, name: tuple[str, ...], package: int) -> bool:
        """Whether it begins as the importer's own package does."""
        own = self._package
        length = min(2, len(own))
        while length < len(own) and ".".join(own[:length]) in _SHARED:
            length += 1
        return 0 < length <= max(package, 1) and name[:length] == own[:length]


def _package_length(name: tuple[str, ...], otherwise: int) -> int:
    """How many parts before the first that is spelt as a class."""
    return next((number for number, part in enumerate(name) if part[:1].isupper()), max(otherwise, 0))


def _is_standard(name: tuple[str, ...]) -> bool:
    return (".".join(name[:3]) + ".").startswith(_STANDARD)


def _told(name: tuple[str, ...], package: int) -> str:
    return ".".join(name[:package] or name)


def _parts(raw: bytes) -> tuple[str, ...]:
    return tuple(_SPACE.sub("", raw.decode("utf-8", "replace")).split("."))[:_MOST_PARTS]


def _translated(content: bytes) -> bytes:
    """As the compiler reads it before anything else: ``\\u0061`` is a letter wherever it stands, and a carriage return
    ends a line."""
    if b"\\u" in content:
        content = _ESCAPE.sub(_unescaped, content)
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in content else content


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[1] is not None:
        return found[0]
    return chr(int(found[2], 16)).encode("utf-8", "replace").replace(b"\0", b" ")
