"""What a Rust source uses, by ``use``, ``mod``, ``extern crate`` and by paths in expressions, types and macros.

A path leads to the file of its innermost module; what follows is an item there. It is told where a module is *declared*
too (``mod db;``). Names that ``use`` brings in are followed within the file. The names of third parties are told as
crates. Conditions (``#[cfg(test)]``) are not applied.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from supervisor.inspection.decoding import Unreadable, lossy
from supervisor.inspection.reference_parts import (
    DOES_NOT_PARSE,
    RUST,
    Found,
    blanked,
    folder_of,
    joined,
    place_of,
    reached,
)
from supervisor.inspection.rust_crates import Crate, crate_of, declared, deepest, library, may_become, members, placed

if TYPE_CHECKING:
    from supervisor.inspection.parsing import Parsers
    from supervisor.inspection.resolving import Resolver
    from supervisor.vocabulary.content import Reference

_NAME = rb"(?:r#)?[A-Za-z_\x80-\xff][\w\x80-\xff]*+"
_EDGE = rb"(?<![\w#$\x80-\xff])"
# What has to be seen in order: blocks, modules, and what stands before them.
_MARK = re.compile(
    rb"[{}]|" + _EDGE + rb"(?:mod\s++(?P<module>" + _NAME + rb")\s*+(?P<opens>[;{])"
    rb"|(?P<use>use)(?![\w\x80-\xff])"
    rb"|extern\s++crate\s++(?P<crate>" + _NAME + rb")(?:\s++as\s++(?P<alias>" + _NAME + rb"))?\s*+;"
    rb'|(?P<path>path)\s*+=\s*+(?=")|(?P<include>include)\s*+!(?=\s*+[(\[{]\s*+"))'
)
_WORD = re.compile(rb"\s*+(?:(\$?" + _NAME + rb")|(::)|([{},*;]))")
_PATH = re.compile(rb"(?<![\w\x80-\xff:>$.#])((?:::\s*+)?\$?" + _NAME + rb"(?:\s*+::\s*+" + _NAME + rb")+)")
_ITEM = re.compile(_EDGE + rb"(?:enum|struct|union|trait|type|macro)\s++(" + _NAME + rb")")
_VISIBLE = re.compile(rb"\(\s*+in\s++\Z")
_STRING = re.compile(rb'(?:[bc]?r(#*)"(.*?)"\1(?!#)|"([^"\\]*+(?:\\.[^"\\]*+)*)")', re.DOTALL)
_STANDARD = frozenset({"std", "core", "alloc", "proc_macro", "test"})
_ROOTS = frozenset({"", "crate", "self", "super"})
_RELATIVE = frozenset({"crate", "self", "super"})
_DEEPEST = 64  # braces in a use, parts of a path
_MOST_NAMES = 20_000


class _Leaf(NamedTuple):
    """One name that a ``use`` takes: its path, the name it gets here (empty for ``*`` and ``_``), where it stands."""

    path: tuple[str, ...]
    alias: str
    at: int
    everything: bool
    inside: tuple[str, ...]  # modules in this file around it


class _Text(NamedTuple):
    """What the text says, before it is known where that leads."""

    leaves: list[_Leaf]
    modules: list[tuple[str, tuple[str, ...], tuple[str, ...], int]]  # name, modules around it, paths told, offset
    inline: set[str]
    crates: list[tuple[str, str, int]]  # name, alias, offset
    included: list[tuple[str, int]]
    spans: list[tuple[int, tuple[str, ...]]]  # from which offset on which modules are around
    uses: list[tuple[int, int]]


def references(content: bytes, path: bytes, parsers: Parsers, resolver: Resolver) -> tuple[tuple[Reference, ...], str]:
    """``path``: its absolute path in the tree. The second is why the file cannot be read whole, or empty."""
    place = place_of(path, resolver)
    content = lossy(content)
    broken = parsers.parse("rust", path, content).has_error
    text = blanked(content, RUST)
    said = _read(content, text)
    crate = crate_of(place, resolver)
    reader = _Reader(said, Found(content, place, resolver), place, crate, resolver)
    reader.declarations({_bare(each) for each in _ITEM.findall(text)})
    for leaf in said.leaves:
        parsers.check()
        reader.used(leaf)
    starts = [start for start, _ in said.spans]
    uses = [start for start, _ in said.uses]
    for found in _PATH.finditer(text):
        parsers.check()
        at = found.start(1)
        before = bisect_right(uses, at) - 1
        if before >= 0 and at < said.uses[before][1]:
            continue
        head = reader.begins(found[1])
        if head and _VISIBLE.search(text, max(0, at - 16), at) is None:
            around = said.spans[bisect_right(starts, at) - 1][1] if starts and at >= starts[0] else ()
            reader.mentioned(found[1], around, at)
    return reader.found.all(), DOES_NOT_PARSE if broken else crate.problem


# ------------------------------------------------------------------------------------------------- the text


def _read(content: bytes, text: bytes) -> _Text:
    said = _Text([], [], set(), [], [], [], [])
    around: list[tuple[str, int]] = []  # inline modules and the depth at which they end
    inside: tuple[str, ...] = ()
    paths: list[str] = []
    depth = path_end = 0
    for mark in _MARK.finditer(text):
        at = mark.start()
        sign = text[at : at + 1]
        if sign == b"{":
            depth += 1
        elif sign == b"}":
            depth = max(depth - 1, 0)
            if around and depth < around[-1][1]:
                around.pop()
                inside = tuple(name for name, _ in around)
                said.spans.append((at, inside))
        elif mark["module"] is not None:
            name = _bare(mark["module"])
            told = tuple(paths) if paths and not any(each in text[path_end:at] for each in (b";", b"{", b"}")) else ()
            paths = []
            if mark["opens"] == b";":
                said.modules.append((name, inside, told, at))
                continue
            depth += 1
            said.inline.add(name)
            if len(around) >= _DEEPEST:
                raise Unreadable(f"modules are nested more than {_DEEPEST} deep")
            around.append((name, depth))
            inside = (*inside, name)
            said.spans.append((mark.end(), inside))
        elif mark["use"] is not None:
            end = _use(text, mark.end(), inside, said.leaves)
            said.uses.append((at, end))
        elif mark["crate"] is not None:
            name = _bare(mark["crate"])
            said.crates.append((name, _bare(mark["alias"]) if mark["alias"] is not None else name, at))
        else:
            _string(content, mark, said.included, paths)
            path_end = mark.end()
    return said


def _string(content: bytes, mark: re.Match[bytes], included: list[tuple[str, int]], paths: list[str]) -> None:
    at = content.find(b'"', mark.end()) if mark["include"] is not None else mark.end()
    if mark["include"] is not None and content[max(at - 1, 0) : at] == b"#":  # a raw string
        at = content.rfind(b"r", mark.end(), at)
    found = _STRING.match(content, at)
    if found is None:
        return
    value = (found[3] or found[2] or b"").decode("utf-8", "replace")
    if mark["include"] is not None:
        included.append((value, mark.start()))
    elif len(paths) < _DEEPEST:
        paths.append(value)


def _use(text: bytes, at: int, inside: tuple[str, ...], leaves: list[_Leaf]) -> int:
    """Adds what one ``use`` takes, as far as it is written. Where it ends."""
    bases: list[tuple[str, ...]] = []
    path: tuple[str, ...] = ()
    fresh, start, alias = True, at, ""  # fresh: a name may follow

    def take(*, everything: bool = False) -> None:
        if path and (path != (bases[-1] if bases else ()) or everything):
            bare = path[:-1] if path[-1] == "self" and len(path) > 1 else path
            name = "" if everything or alias == "_" else alias or bare[-1]
            leaves.append(_Leaf(bare, name, start, everything, inside))
            if len(leaves) > _MOST_NAMES:
                raise Unreadable(f"it uses more than {_MOST_NAMES} names")

    while (word := _WORD.match(text, at)) is not None:
        at = word.end()
        if word[1] is not None:
            name = _bare(word[1])
            if name == "as" and not fresh:
                alias = "?"
            elif alias == "?":
                alias = name
            elif fresh and len(path) < _DEEPEST:
                path, fresh, start = (*path, name), False, word.start(1)
            else:
                break
        elif word[2] is not None:
            path, fresh = path or ("",), True
        elif word[3] == b"{":
            if len(bases) >= _DEEPEST:
                raise Unreadable(f"a use is nested more than {_DEEPEST} deep")
            bases.append(path)
            fresh = True
        elif word[3] == b"*":
            take(everything=True)
            path = bases[-1] if bases else ()
        else:
            take()
            if word[3] == b";" or not bases:
                return at
            path, fresh, alias = bases[-1], True, ""
            if word[3] == b"}":
                bases.pop()
                if not bases:
                    return at
                path = bases[-1]
    if not text[at:].strip():  # it ends within the use: the last name may be the half of one
        path = path if fresh else path[:-1]
    if not _ROOTS.issuperset(path):
        take()
    return at


def _bare(name: bytes) -> str:
    return name.decode("utf-8", "replace").removeprefix("r#").replace("$crate", "crate")


# ------------------------------------------------------------------------------------------------- where it leads


class _Reader:
    def __init__(self, said: _Text, found: Found, place: str, crate: Crate, resolver: Resolver) -> None:
        self.found = found
        self._items: set[str] = set()
        self._said = said
        self._place = place
        self._crate = crate
        self._resolver = resolver
        self._known = frozenset(said.inline) | {name for name, *_ in said.modules}
        self._aliases: dict[str, list[_Leaf]] = {}
        for leaf in said.leaves:
            if leaf.alias and leaf.path[0] != leaf.alias:
                self._aliases.setdefault(leaf.alias, []).append(leaf)
        for name, alias, at in said.crates:
            if alias != name:
                self._aliases.setdefault(alias, []).append(_Leaf(("", name), alias, at, everything=False, inside=()))
        self._unknown: dict[str, bool] = {}  # names that were looked for near by
        self._members: Mapping[str, str] | None = None
        self._heads = _RELATIVE | self._aliases.keys() | crate.names.keys() | {"$crate"} | self._known

    def declarations(self, items: set[str]) -> None:
        """``items``: names of types that the file defines."""
        self._items = items
        here = folder_of(self._place)
        base = here if self._crate.is_root else self._place.removesuffix(".rs")
        for name, inside, paths, at in self._said.modules:
            told = [reached(joined(base, *inside) if inside else here, each) for each in paths]
            for place in told:
                if place:
                    self.found.add(place, f"mod {name}", at)
            beside = joined(base, *inside, name)
            there = [each for each in (beside + ".rs", beside + "/mod.rs") if self._resolver.exists_file(each)]
            for place in there or ([] if told else [beside + ".rs", beside + "/mod.rs"]):
                self.found.add(place, f"mod {name}", at)
        for name, _, at in self._said.crates:
            if name not in _RELATIVE:
                self._outer(name, (), at)
        for written, at in self._said.included:
            place = reached(here, written)
            if place:
                self.found.add(place, f"include!({written})", at)

    def used(self, leaf: _Leaf) -> None:
        head, rest = leaf.path[0], leaf.path[1:]
        if head in _RELATIVE:
            self._inner(leaf.path, leaf.inside, leaf.at)
        elif head == "":
            if rest:
                self._outer(rest[0], rest[1:], leaf.at)
        elif head in self._known or head in self._aliases:
            self._local(leaf.path, leaf.inside, leaf.at)
        elif head in _STANDARD or head in self._crate.names:
            self._outer(head, rest, leaf.at)
        elif head not in self._items and not self._near(leaf):
            if self._unknown.get(head):
                return
            self._unknown[head] = True
            folder = self._member(head)
            if folder is not None:
                self._of_crate(folder, head, rest, leaf.at)
            elif not head[:1].isupper() and head.isidentifier():
                self.found.add("", head, leaf.at, external=True)

    def begins(self, written: bytes) -> bool:
        """Whether a path in code begins with something that is known to lead anywhere."""
        head = written.split(b":", 1)[0].strip()
        return not head or head.decode("utf-8", "replace").removeprefix("r#") in self._heads

    def mentioned(self, written: bytes, inside: tuple[str, ...], at: int) -> None:
        path = tuple(_bare(part.strip()) for part in written.split(b"::"))[:_DEEPEST]
        head = path[0]
        if head in _RELATIVE:
            self._inner(path, inside, at)
        elif head == "":
            if path[1] in self._crate.names:
                self._outer(path[1], path[2:], at)
        elif head in self._known or head in self._aliases:
            self._local(path, inside, at)
        else:
            self._outer(head, path[1:], at)

    def _local(self, path: tuple[str, ...], inside: tuple[str, ...], at: int) -> None:
        """A path that begins with a name of this file; in another block it may be that of a crate."""
        if path[0] in self._known:
            self._inner(("self", *path), inside, at)
        else:
            self._followed(path, at)
        if path[0] in self._crate.names:
            self._outer(path[0], path[1:], at)

    def _followed(self, path: tuple[str, ...], at: int) -> None:
        """A path whose first name a ``use`` of this file brings in."""
        for _ in range(4):
            leaves = self._aliases.get(path[0], ())
            for leaf in leaves[1:8]:
                self._led((*leaf.path, *path[1:]), leaf, at)
            if not leaves:
                break
            path = (*leaves[0].path, *path[1:])
            if path[0] in _RELATIVE or path[0] not in self._aliases:
                self._led(path, leaves[0], at)
                return

    def _led(self, path: tuple[str, ...], leaf: _Leaf, at: int) -> None:
        if path[0] in _RELATIVE:
            self._inner(path, leaf.inside, at)
        elif path[0] == "" and len(path) > 1:
            self._outer(path[1], path[2:], at)
        elif path[0] in self._crate.names:
            self._outer(path[0], path[1:], at)
        elif path[0] in self._known:
            self._inner(("self", *path), leaf.inside, at)

    def _near(self, leaf: _Leaf) -> bool:
        """A name without ``crate`` or ``self`` that is a module here, at the top of the crate before edition 2018, or
        in what is imported whole."""
        resolver, crate = self._resolver, self._crate
        if self._unknown.get(leaf.path[0]):
            return False
        for base in ((*crate.module, *leaf.inside), *(((),) if crate.old else ())):
            if deepest(joined(crate.folder, *base), leaf.path[:1], resolver):
                self._in_crate((*base, *leaf.path), leaf.path, leaf.at)
                return True
        root = declared(crate.root, resolver) if crate.old else None
        if root is not None and leaf.path[0] in root.words:
            self._in_crate(leaf.path, leaf.path, leaf.at)
            return True
        for other in self._said.leaves[:200]:
            base = self._absolute(other.path, other.inside) if other.everything else None
            if base is not None and deepest(joined(crate.folder, *base), leaf.path[:1], resolver):
                self._in_crate((*base, *leaf.path), leaf.path, leaf.at)
                return True
        return False

    def _absolute(self, path: tuple[str, ...], inside: tuple[str, ...]) -> tuple[str, ...] | None:
        """A path that begins with ``crate``, ``self`` or ``super``, from the top of the crate."""
        if path[0] not in _RELATIVE:
            return None
        base = () if path[0] == "crate" else (*self._crate.module, *inside)
        for number, part in enumerate(path):
            if part == "super":
                if not base:
                    return None
                base = base[:-1]
            elif part not in _RELATIVE:
                return (*base, *path[number:])
        return base

    def _inner(self, path: tuple[str, ...], inside: tuple[str, ...], at: int) -> None:
        absolute = self._absolute(path, inside)
        if absolute is not None:
            self._in_crate(absolute, path, at)

    def _in_crate(self, absolute: tuple[str, ...], path: tuple[str, ...], at: int) -> None:
        self._to(self._crate.folder, self._crate.root, absolute, "::".join(path), at)

    def _to(self, folder: str, root: str, parts: tuple[str, ...], name: str, at: int) -> None:
        place = placed(root, parts, self._resolver) or deepest(folder, parts, self._resolver)
        if place:
            self.found.add(place, name, at)
            return
        self.found.add(root or folder or ".", name, at)
        # What the root itself speaks of has to be declared in it, and is told when that is.
        for each in may_become(folder, root, parts, self._resolver) if parts and root != self._place else ():
            self.found.add(each, name, at)

    def _outer(self, name: str, rest: tuple[str, ...], at: int) -> None:
        """A path that begins with the name of a crate."""
        if name in self._crate.names:
            folder = self._crate.names[name]
        elif name in _STANDARD:
            self.found.add("", name, at)
            return
        else:
            folder = self._member(name)
        if folder is None:
            self.found.add("", name, at, external=True)
        else:
            self._of_crate(folder, name, rest, at)

    def _member(self, name: str) -> str | None:
        if self._members is None:
            self._members = members(self._crate, self._resolver)
        return self._members.get(name)

    def _of_crate(self, folder: str, name: str, rest: tuple[str, ...], at: int) -> None:
        root = library(folder, self._resolver)
        self._to(folder_of(root), root, rest, "::".join((name, *rest)), at)
