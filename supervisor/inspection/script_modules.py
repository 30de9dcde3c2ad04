"""From the names of JavaScript and TypeScript modules to files of the tree.

What a name leads to depends on who resolves it (Node, a bundler, the compiler). It therefore leads to all that it may
mean to one of them and that is there; and if nothing is, to the paths that it may get.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from supervisor.inspection.projects import above, joined, led
from supervisor.inspection.script_configs import (
    Config,
    config_target,
    configs,
    document,
    exported,
    packages,
    split,
)

if TYPE_CHECKING:
    from supervisor.inspection.resolving import Resolver

ENDINGS: Final = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".vue", ".svelte", ".json", ".node",
                  ".d.ts", ".d.mts", ".d.cts")  # fmt: skip
_SWAPPED: Final = {".js": (".ts", ".tsx", ".d.ts"), ".jsx": (".tsx", ".d.ts"), ".mjs": (".mts", ".d.mts"),
                   ".cjs": (".cts", ".d.cts")}  # fmt: skip
_BUILTIN: Final = frozenset(
    ("_http_agent", "_http_client", "_http_common", "_http_incoming", "_http_outgoing", "_http_server", "_tls_common",
     "_tls_wrap", "assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto",
     "dgram", "diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module",
     "net", "os", "path", "perf_hooks", "process", "punycode", "querystring", "readline", "repl", "stream",
     "string_decoder", "sys", "timers", "tls", "trace_events", "tty", "url", "util", "v8", "vm", "wasi",
     "worker_threads", "zlib")
)  # fmt: skip
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_NAME: Final = re.compile(r"(?:@[a-z0-9~_-][\w.~-]*/)?[a-z0-9~_-][\w.~-]*\Z", re.IGNORECASE)
_KNOWN: Final = re.compile(r"\.(?:[cm]?[jt]sx?|json|vue|svelte|node|css|s[ac]ss|less|svg|png|wasm|html|md)\Z")
_BUILT: Final = re.compile(r"(?:\./)?(?:dist|lib|build|out|esm|cjs|es|types)/(?:(?:esm|cjs|es|types|src)/)?")
_ENDING: Final = re.compile(r"(?:\.d)?\.[cm]?[jt]sx?\Z")
_MAINS: Final = ("source", "module", "main", "types", "typings", "browser")
_ALIASES: Final = {"@": "src", "~": "src", "$lib": "src/lib"}
_MOST: Final = 8
_LONGEST: Final = 2000


class Led(NamedTuple):
    """``to``: paths. ``external``: it is, or may be, a package of a third party."""

    to: tuple[str, ...] = ()
    external: bool = False


class Specifiers:
    """What the file at ``importer`` can name. ``ending``: of a file that is not there yet."""

    def __init__(self, importer: str, ending: str, resolver: Resolver) -> None:
        self._folder = importer.rpartition("/")[0]
        self._ending = ending
        self._resolver = resolver
        self._configs: tuple[Config, ...] | None = None

    def lead(self, specifier: str) -> Led | None:
        """None for what is neither of the tree nor of anybody else: Node's own modules, data."""
        bare = specifier.rpartition("!")[2]  # loaders of a bundler stand before it
        if not bare or len(bare) > _LONGEST or "\0" in bare:
            return Led()
        if bare.startswith("file:"):
            bare = bare.removeprefix("file:").lstrip("/")
            tree = self._resolver.relative_of(b"/" + unquote(bare).encode("utf-8", "surrogateescape"))
            return Led() if tree is None else Led(self._there([tree]) or self._to_be(tree))
        if bare.startswith(("npm:", "jsr:", "http:", "https:")):
            return Led(external=True)
        if _SCHEME.match(bare):
            return None if bare.startswith(("node:", "bun:", "data:", "blob:")) else Led()
        if bare in (".", "..") or bare.startswith(("./", "../")):
            return Led(self._relative(bare))
        if bare.startswith("/"):
            return Led(self._there(self._absolute(bare)))
        return self._named(bare)

    # ------------------------------------------------------------------------------------------- relative paths

    def _relative(self, specifier: str) -> tuple[str, ...]:
        places = [place for each in _spellings(specifier) if (place := led(self._folder, each)) is not None]
        if specifier.endswith(("/", "/.", "/..")) or specifier in (".", ".."):
            return tuple(dict.fromkeys(self._inside(place) or place for place in places if place))[:_MOST]
        found = self._there(places)
        return found or (self._to_be(places[-1]) if places else ())

    def _absolute(self, specifier: str) -> Iterator[str]:
        """A path of the machine, or of the site that a bundler serves."""
        tree = self._resolver.relative_of(specifier.encode("utf-8", "surrogateescape"))
        if tree is not None:
            yield tree
        for folder in (*self._homes(), ""):
            place = led(folder, specifier.lstrip("/"))
            if place is not None:
                yield place

    def _there(self, places: Iterable[str]) -> tuple[str, ...]:
        found = (self._file(place) or self._inside(place) for place in places)
        return tuple(dict.fromkeys(each for each in found if each))[:_MOST]

    def _file(self, place: str) -> str:
        """The file that a path without or with its ending means, empty when there is none."""
        exists = self._resolver.exists_file
        if exists(place):
            return place
        for ending, others in _SWAPPED.items():
            if place.endswith(ending):
                stem = place.removesuffix(ending)
                for other in others:
                    if exists(stem + other):
                        return stem + other
        return next((place + ending for ending in ENDINGS if place and exists(place + ending)), "")

    def _inside(self, folder: str) -> str:
        """What stands for a folder, or the folder itself, empty when there is none."""
        if not self._resolver.exists_dir(folder):
            return ""
        if self._resolver.exists_file(joined(folder, "package.json")):
            return self._package(folder, "")[0]
        return self._file(joined(folder, "index")) or folder

    def _to_be(self, place: str) -> tuple[str, ...]:
        return (place,) if _KNOWN.search(place) else (place + self._ending, place)

    # --------------------------------------------------------------------------------------------------- names

    def _named(self, specifier: str) -> Led | None:
        asked = specifier.partition("?")[0]
        found: dict[str, None] = {}
        likely: tuple[str, ...] = ()
        for config in self._all_configs():
            there, to_be = self._configured(config, asked)
            likely = likely or to_be
            if there:
                found.update(dict.fromkeys(there))
                break
        if asked.startswith("#"):
            given = self._imported(asked)
            found.update(dict.fromkeys(given.to))
            return Led(tuple(found)[:_MOST] or likely, given.external)
        name, rest = split(asked)
        own, listed = self._owned(name, rest)
        found.update(dict.fromkeys(own))
        alias, _, beyond = asked.partition("/")
        if not found and alias in _ALIASES and beyond:
            found.update(dict.fromkeys(self._aliased(alias, beyond)))
        if found:
            return Led(tuple(found)[:_MOST], external=bool(own) and not listed)
        if name in _BUILTIN:
            return None
        if likely:
            return Led(likely)
        return Led(external=_NAME.match(name) is not None)

    def _all_configs(self) -> tuple[Config, ...]:
        if self._configs is None:
            self._configs = tuple(configs(self._folder, self._resolver))
        return self._configs

    def _configured(self, config: Config, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What is there by ``paths`` and ``baseUrl``, and what may come to be there."""
        best: tuple[int, str, tuple[str, ...]] = (-1, "", ())
        for pattern, targets in config.paths:
            head, star, tail = pattern.partition("*")
            if pattern == name:
                best = (_LONGEST, "", targets)
            elif star and len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail):
                best = max(best, (len(head), name[len(head) : len(name) - len(tail)], targets))
        places: list[str] = []
        for target in best[2]:
            place = config_target(config, target.replace("*", best[1]), self._folder)
            if place is not None:
                places.append(place)
        direct = led(config.base, name) if config.base is not None else None
        for place in (*places, *([] if direct is None else [direct])):
            if found := self._there([place]):
                return found, ()
        # A pattern that takes everything says nothing of a name that it does not find.
        return (), self._to_be(places[0]) if places and best[0] > 0 else ()

    def _imported(self, name: str) -> Led:
        """``#name`` by the ``imports`` of the nearest ``package.json``."""
        home = next(self._homes(), None)
        if home is None:
            return Led()
        found: dict[str, None] = {}
        external = False
        for target in exported(document(joined(home, "package.json"), self._resolver).get("imports"), name):
            if target.startswith("."):
                found.update(dict.fromkeys(self._target(home, target)))
            elif not target.startswith("#"):
                given = self._named(target) or Led()
                found.update(dict.fromkeys(given.to))
                external = external or given.external
        return Led(tuple(found), external)

    def _homes(self) -> Iterator[str]:
        """Folders with a ``package.json``, the nearest first."""
        exists = self._resolver.exists_file
        return (each for each in above(self._folder) if exists(joined(each, "package.json")))

    def _owned(self, name: str, rest: str) -> tuple[tuple[str, ...], bool]:
        """Paths in packages of the tree by that name, and whether nobody else's package can be meant."""
        known = packages(self._resolver)
        folders = list(known.folders.get(name, ()))
        listed = any(folder in known.listed for folder in folders)
        for folder in self._linked(name):
            listed = True
            folders.append(folder)
        if not folders:
            alias = self._alias(name)
            folders = list(known.folders.get(alias, ()))
            listed = any(folder in known.listed for folder in folders)
        within = any(self._is_own(folder) for folder in folders)  # a package may name itself
        spellings = dict.fromkeys((rest, unquote(rest)))
        found = (self._package(folder, each) for folder in folders[:_MOST] for each in spellings)
        return tuple(dict.fromkeys(to for paths in found for to in paths)), listed or within

    def _is_own(self, folder: str) -> bool:
        return self._folder == folder or self._folder.startswith(folder + "/") if folder else False

    def _linked(self, name: str) -> Iterator[str]:
        """What a package manager has linked, and what a manifest takes from a folder."""
        if not _NAME.match(name):
            return
        for each in above(self._folder):
            place = joined(joined(each, "node_modules"), name)
            if self._resolver.exists_dir(place):
                found = self._resolver.canonical(place)
                if "node_modules" not in found.split("/"):
                    yield found
                return
        for home in self._homes():
            written = _dependency(document(joined(home, "package.json"), self._resolver), name)
            scheme, _, path = written.partition(":")
            given = led(home, path) if scheme in ("file", "link", "portal") else None
            if given is not None:
                yield given
                return

    def _alias(self, name: str) -> str:
        """``"db": "workspace:@acme/db@*"``: the name that another one stands for."""
        for home in self._homes():
            written = _dependency(document(joined(home, "package.json"), self._resolver), name)
            scheme, _, target = written.partition(":")
            if scheme in ("workspace", "npm") and "@" in target:
                return target if target.rfind("@") == 0 else target.rpartition("@")[0]
        return ""

    def _package(self, folder: str, rest: str) -> tuple[str, ...]:
        """What a name leads to in the package in ``folder``; the folder itself where that is all that can be told."""
        manifest = document(joined(folder, "package.json"), self._resolver)
        found: dict[str, None] = {}
        for target in exported(manifest.get("exports"), "./" + rest if rest else "."):
            found.update(dict.fromkeys(self._target(folder, target)))
        code = [each for each in found if not each.endswith((".d.ts", ".d.mts", ".d.cts"))]
        if found:
            return tuple(code or found)[:_MOST]
        if not rest:
            for key in _MAINS:
                main = manifest.get(key)
                if isinstance(main, str) and (made := next(self._target(folder, main), "")):
                    return (made,)
            index = self._file(joined(folder, "index")) or self._file(joined(folder, "src/index"))
            return (index or folder,)
        for base in (folder, joined(folder, "src")):
            place = led(base, rest)
            if place is not None and place != folder:
                made = self._file(place) or (self._inside(place) if place.startswith(folder) else "")
                if made:
                    return (made,)
        place = led(folder, rest)
        return self._to_be(place) if place is not None else (folder,)

    def _target(self, folder: str, target: str) -> Iterator[str]:
        """A file that a manifest names; where it has not been built, the source that it is probably made of."""
        place = led(folder, target)
        found = self._file(place) if place is not None else ""
        if not found and place is not None and self._resolver.exists_dir(place) and place != folder:
            found = self._file(joined(place, "index")) or place
        if not found and (built := _BUILT.match(target)) is not None:
            source = led(joined(folder, "src"), _ENDING.sub("", target[built.end() :]))
            found = self._file(source) if source is not None else ""
        if found:
            yield found

    def _aliased(self, name: str, rest: str) -> tuple[str, ...]:
        """``@/x``, as bundlers are usually told to read it."""
        bases = [base for home in (*self._homes(), "") for base in (joined(home, _ALIASES[name]), home)]
        places = [place for base in bases if (place := led(base, rest)) is not None]
        return self._there(places)[:1]


def _dependency(manifest: dict[str, Any], name: str) -> str:
    for key in ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies"):
        table = manifest.get(key)
        found = table.get(name) if isinstance(table, dict) else None
        if isinstance(found, str):
            return found
    return ""


def _spellings(specifier: str) -> list[str]:
    """As it stands, without what a bundler reads from its end, and as a URL, which modules are to Node."""
    found = [specifier]
    if "?" in specifier or "#" in specifier:
        found.append(re.split(r"[?#]", specifier, maxsplit=1)[0])
    url = unquote(re.sub(r"[\t\n\r]", "", found[-1]).replace("\\", "/")).rstrip(" ")
    return list(dict.fromkeys((*found, url)))
