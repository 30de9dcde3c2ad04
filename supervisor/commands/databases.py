"""argv -> which database a client speaks to, and where its statements come from. No password is kept.

An option that is not known counts as one without a value. Shells and wrappers are not read: what they start is an exec
of its own. Where the server cannot be told (a service file, a configuration file) the client is not ``resolved``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Final, NamedTuple

from supervisor.commands.database_specs import CLIENTS, ENVIRONMENT, Spec
from supervisor.vocabulary.content import Statement

Environ = Callable[[], Mapping[bytes, bytes]]


class Client(NamedTuple):
    """``dialect``: a word of ``inspection.sql.DIALECTS``, ``mongodb`` or ``redis``. ``endpoint``: ``host:port``
    (``localhost`` for a socket of this machine), or the path of a file as given; empty where there is none or it cannot
    be told. ``database``: its name, for a file the same path. ``texts``: statements in arguments; ``files``: where more
    stand, as given; ``stdin``: so does standard input. ``effects``: what is done whatever they say. ``resolved``: the
    endpoint is where it leads, for certain."""

    dialect: str
    endpoint: str = ""
    database: str = ""
    texts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    stdin: bool = False
    effects: tuple[str, ...] = ()
    resolved: bool = True
    tool: str = ""

    @property
    def place(self) -> str:
        """As an event names it: ``postgres://host:port/name``, or a path; ``postgres://`` for an unknown server."""
        if self.dialect in _FILES:
            return self.endpoint
        return f"{self.dialect}://" + (f"{self.endpoint}/{self.database}" if self.resolved else "")

    def fixed(self) -> tuple[Statement, ...]:
        """What is done whatever the texts say, as a statement."""
        if not self.effects:
            return ()
        return (Statement(self.effects, ("*.*",), filtered=False, shape=self.tool),)

    def unread(self) -> Statement:
        """Stands for statements in a file or on standard input that nobody has read."""
        return Statement(("opaque",), ("*.*",), filtered=False, shape=f"{self.tool}: statements that were not read")


_FILES: Final = ("sqlite", "duckdb")


_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*)://(?:[^/?#]*@)?([^/?#]*)(?:/([^?#]*))?(?:\?([^#]*))?", re.DOTALL)


def client(argv: tuple[bytes, ...], program: bytes, environ: Environ) -> Client | None:
    """The client; None when it is none. ``program``: the path that the kernel executes; ``argv[0]`` counts only where
    that says nothing. ``environ`` is asked once at most."""
    words = [word.decode("utf-8", "surrogateescape") for word in argv]
    for path in (program.decode("utf-8", "surrogateescape"), *words[:1]):
        name = re.sub(r"(?:\.exe|-?\d[\d.]*)$", "", path.rpartition("/")[2])
        name = name if name != "sqlite" else "sqlite3"
        arguments = words[1:]
        if name == "clickhouse" and arguments[:1] in (["client"], ["local"]):
            name, arguments = f"clickhouse-{arguments[0]}", arguments[1:]
        if re.fullmatch(r"(?:python|pypy)[\d.]*t?", name):
            name, arguments = _module(arguments)
        spec = CLIENTS.get(name)
        if spec is not None:
            return _Reader(name, spec, environ).read(arguments)
    return None


def _module(arguments: list[str]) -> tuple[str, list[str]]:
    """``-m sqlite3`` of an interpreter, whose own ``-v`` prints its version."""
    for at, word in enumerate(arguments):
        if word == "-m" or re.fullmatch(r"-[bBdEiIOPqRsSuvx]*m", word):
            found = arguments[at + 1 : at + 2] == ["sqlite3"]
            return ("sqlite3" if found else "", arguments[at + 2 :])
        if re.fullmatch(r"-[bBdEiIOPqRsSuvx]*msqlite3", word):
            return "sqlite3", arguments[at + 1 :]
        if not word.startswith("-") or word.startswith("-c"):
            break
    return "", []


class _Reader:
    def __init__(self, tool: str, spec: Spec, environ: Environ) -> None:
        self._tool, self._spec, self._environ = tool, spec, environ
        self._said: dict[str, str] = {}
        self._texts: list[str] = []
        self._files: list[str] = []
        self._effects = dict.fromkeys(spec.effects)
        self._resolved = True
        self._asked = False  # for statements, so that standard input is left alone
        self._reads = False  # from standard input, as asked
        self._quiet = False  # asks for no statement

    def read(self, arguments: list[str]) -> Client:
        position = 0
        for meaning, value in self._arguments(arguments):
            kind = meaning
            if meaning == "word":
                kinds = self._spec.words
                kind = kinds[min(position, len(kinds) - 1)] if kinds else ""
                if kind == "name" and position and self._spec.dialect == "postgres":
                    kind = "user"
                position += 1
            self._take(kind, value)
        self._from_environment()
        if self._tool == "pg_restore" and "name" not in self._said:
            self._effects = {}  # it writes a script and asks no server
        return self._client()

    def _arguments(self, arguments: list[str]) -> Iterator[tuple[str, str]]:
        """(what it means, value) of each option with a value, ``word`` for positional ones, ``flag`` for others."""
        spec, at = self._spec, 0
        while at < len(arguments):
            word = arguments[at]
            at += 1
            if word == "--" and not spec.single:
                yield from (("word", rest) for rest in arguments[at:])
                return
            if word == "-" or not word.startswith("-"):
                yield "word", word
            elif word.startswith("--") or spec.single or (spec.dialect == "mongodb" and len(word) > 2):
                name, equals, value = word.lstrip("-").partition("=")
                told = self._long(name.replace("_", "-"))
                if told is None:
                    yield "flag", name
                    continue
                if not equals or spec.single:
                    value = "".join(arguments[at : at + 1])
                    at += 2 if told == "two" else 1
                yield self._meaning(told), value
            else:
                taken = yield from self._short(word[1:], arguments[at : at + 1])
                at += taken

    def _short(self, letters: str, following: list[str]) -> Generator[tuple[str, str], None, int]:
        """The return value is how many of the ``following`` words belong to it."""
        for number, letter in enumerate(letters):
            if letter in self._spec.short:
                rest = letters[number + 1 :]
                value = rest or "".join(following)
                yield self._meaning(letter), value.removeprefix("=") if rest else value
                return 0 if rest else 1
            if letter == "p" and self._spec.dialect == "mysql":  # the rest is a password
                return 0
            yield "flag", letter
        return 0

    def _long(self, name: str) -> str | None:
        """What a long option stands for; a beginning that no other one has is enough."""
        exact = self._spec.long.get(name)
        if exact is not None or self._spec.single or not name:
            return exact
        begun = {told for each, told in self._spec.long.items() if each.startswith(name)}
        return begun.pop() if len(begun) == 1 else None

    def _meaning(self, told: str) -> str:
        return self._spec.means.get(told, told if told in ("host", "port", "name", "url") else "")

    def _take(self, kind: str, value: str) -> None:
        if kind in ("says", "runs"):
            self._asked = True
        if kind in ("text", "says"):
            self._texts.append(value)
        elif kind in ("file", "runs"):
            for each in value.split(",") if self._spec.dialect == "tsql" else [value]:
                if each in ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"):
                    self._reads = True
                else:
                    self._files.append(each)
        elif kind == "out":
            self._effects["opaque" if value.startswith("|") else "export"] = None
        elif kind == "opaque":
            self._effects["opaque"] = None
        elif kind == "elsewhere":
            self._resolved = False
        elif kind == "socket":
            self._said["host"] = "localhost"
        elif kind == "server":
            self._server(value)
        elif kind == "flag":
            self._flag(value)
        elif kind == "url" or (kind == "name" and ("://" in value or "=" in value)):
            self._address(value)
        elif kind in ("host", "port", "name", "path"):
            self._said[kind] = value

    def _flag(self, name: str) -> None:
        lists = self._tool == "psql" and name in ("l", "list")
        if lists or name in ("version", "V", "help", "?"):
            self._quiet = True
        if self._spec.dialect in _FILES and name in ("A", "archive", "ui"):
            self._effects["opaque"] = None

    # Where it leads.

    def _server(self, value: str) -> None:
        """``tcp:host,port`` or ``host\\instance``, whose port a service tells."""
        host, _, port = value.removeprefix("tcp:").partition(",")
        self._said["host"] = host.partition("\\")[0]
        if port:
            self._said["port"] = port
        elif "\\" in host or value.startswith(("np:", "lpc:", "admin:")):
            self._resolved = False

    def _address(self, value: str) -> None:
        """A URL, or ``host=… dbname=…``."""
        found = _URL.match(value)
        if found is None:
            if "=" not in value:
                self._said["name"] = value
                return
            pairs = dict(re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S*)", value))
            self._parameters({key: text.strip("'") for key, text in pairs.items()})
            return
        host, name, query = found[1], found[2] or "", found[3] or ""
        bare = re.fullmatch(r"(\[[^\]]*\]|[^:,]*)(?::(\d+))?", host)
        if bare is None or "%" in host or "+srv" in value[: found.start(1)]:
            self._resolved = False
        else:
            self._said.update(
                {"host": bare[1].strip("[]")} if bare[1] else {}, **({"port": bare[2]} if bare[2] else {})
            )
        if name:
            self._said["name"] = name
        self._parameters(dict(pair.partition("=")[::2] for pair in query.split("&") if pair))

    def _parameters(self, pairs: Mapping[str, str]) -> None:
        for key, text in pairs.items():
            if key in ("host", "hostaddr"):
                self._said["host"] = text
            elif key == "port":
                self._said["port"] = text
            elif key == "dbname":
                self._said["name"] = text
            elif key == "service":
                self._resolved = False
            elif key == "options" and self._spec.dialect == "postgres":
                self._effects["opaque"] = None

    def _from_environment(self) -> None:
        """What the arguments leave open. Options of a session change what names stand for."""
        keys = ENVIRONMENT.get(self._spec.dialect)
        if keys is None:
            return
        environment = self._environ()
        given = "host" in self._said
        for kind, names in keys.items():
            for name in names:
                if kind not in self._said and environment.get(name):
                    self._said[kind] = environment[name].decode("utf-8", "surrogateescape")
        if self._spec.dialect == "postgres":
            if environment.get(b"PGSERVICE") or (b"PGHOSTADDR" in environment and not given):
                self._resolved = False
            if environment.get(b"PGOPTIONS") or (self._tool == "psql" and environment.get(b"PSQLRC")):
                self._effects["opaque"] = None
        elif self._spec.dialect == "mysql" and "host" not in self._said:
            self._resolved = False  # the user's configuration file may name a server

    def _client(self) -> Client:
        spec = self._spec
        stdin = self._reads or (spec.listens and not self._asked and not self._quiet)
        effects = tuple(self._effects)
        texts, files = tuple(self._texts), tuple(self._files)
        if spec.dialect in _FILES:
            path = self._path(self._said.get("path", ""))
            return Client(spec.dialect, path, path, texts, files, stdin, effects, tool=self._tool)
        host = self._said.get("host") or "localhost"
        port = self._said.get("port") or spec.port
        if host.startswith(("/", "@")):
            host = "localhost"
        resolved = self._resolved and "," not in host and (port.isascii() and port.isdigit())
        endpoint = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}") if resolved else ""
        return Client(
            spec.dialect, endpoint, self._said.get("name", ""), texts, files, stdin, effects, resolved, self._tool
        )

    def _path(self, path: str) -> str:
        if path.startswith("file:"):
            path = re.sub(r"^file:(?://(?:localhost)?(?=/))?", "", path).partition("?")[0]
        return "" if path == ":memory:" else path
