"""An act in words, as examples and contracts write it, judged as the act would be: ``git push origin main``,
``write src/a.py: import requests``, ``connect db.example.com:5432``, ``query delete from orders``."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from supervisor.commands import databases, normal
from supervisor.commands.installs import installation
from supervisor.decide import decide
from supervisor.inspection.reading import DATABASE
from supervisor.invariants import content
from supervisor.invariants.policy import CompiledPolicy, RunState
from supervisor.run.facts import database_of
from supervisor.surfaces.reading import MOST
from supervisor.vocabulary.content import Findings, Statement
from supervisor.vocabulary.errors import UsageError
from supervisor.vocabulary.events import (
    Actor,
    ContentEvent,
    Event,
    ExecEvent,
    FsEvent,
    FsOp,
    Kind,
    NetEvent,
    Target,
)
from supervisor.vocabulary.verdicts import ALLOWED, Verdict

if TYPE_CHECKING:
    from supervisor.inspection.looks import Looks
    from supervisor.inspection.worker import Inspector
    from supervisor.invariants.data import DataRule

FORMS = ("exec", "write", "connect", "query")
_REMOTES = b'[remote "origin"]\n\turl = origin\n'
_NOBODY = Actor(0, 0, 0, b"", (), 0)


class Attempts:
    """Judges acts that nobody makes. Nothing is started; files are read where a command line names them."""

    def __init__(self, policy: CompiledPolicy, files: Callable[[], Iterable[bytes]] | None = None) -> None:
        """``files``: paths of the tree, relative to it, asked where a cycle of references may have to be found."""
        self._policy = policy
        self._files = files
        self._state: RunState | None = None
        self._inspector: Inspector | None = None
        self._looks: Looks | None = None

    def close(self) -> None:
        if self._inspector is not None:
            self._inspector.close()

    def judge(self, form: str, text: str) -> Verdict:
        """The verdict on an act; ``form`` is one of ``FORMS``. Errors: ``UsageError`` for what is no such act."""
        return max(self.verdicts(form, text), key=lambda each: each.effect, default=ALLOWED)

    def verdicts(self, form: str, text: str) -> list[Verdict]:
        """The same for everything that the act consists of."""
        makers: dict[str, Callable[[str], Iterator[Event]]] = {
            "exec": self._exec,
            "write": self._write,
            "connect": self._connect,
            "query": self._query,
        }
        return [decide(self._policy, self._known(event), event) for event in makers[form](text)]

    def _known(self, event: Event) -> RunState:
        """How the parts of the tree lead to each other, where a reference might close a cycle."""
        if not (self._policy.boundaries and self._files is not None and isinstance(event, ContentEvent)):
            return RunState()
        if self._state is None:
            from supervisor.run.graphs import Graphs

            graphs = Graphs(self._policy)
            if graphs:
                graphs.fill(self._files(), self._said)
            self._state = RunState(graphs=graphs.known)
        return self._state

    def _said(self, path: bytes) -> Findings | None:
        try:
            with open(path, "rb", opener=_plain) as file:
                body = file.read(MOST + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
        except OSError:
            return None
        return self._findings(path, body)

    def _exec(self, text: str) -> Iterator[Event]:
        try:
            argv = tuple(word.encode("utf-8", "surrogateescape") for word in shlex.split(text))
        except ValueError as error:
            raise UsageError(f"{text!r} is no command line", str(error), "quote it as for a shell") from error
        if not argv:
            raise UsageError("a command line is empty", "it names no program", "write one")
        program = b"/usr/bin/" + argv[0].rpartition(b"/")[2]
        event = ExecEvent(_NOBODY, Target(program, Kind.FILE), argv[0], argv, self._policy.tree, "stop")
        found = normal.commands(argv, program, dict, self._policy.tree, self._small)
        event = event._replace(installs=installation(argv, program), commands=found)
        if self._policy.tools and self._policy.tools.servers is not None:
            from supervisor.commands.servers import added

            event = event._replace(servers=added(argv, program, b"", lambda _name: True))
        client = databases.client(argv, program, dict)
        if client is not None:
            statements = list(client.fixed())
            for each in client.texts:
                statements += self._statements(client.dialect, each)
            event = event._replace(statements=tuple(statements), database=database_of(client, event.cwd))
        yield event

    def _small(self, path: bytes) -> bytes | None:
        """A small file that a command line leaves something to: of the repository, where a rule asks what is pushed, a
        remote called origin."""
        pushes = self._policy.branching and self._policy.branching.judges_commands
        return _REMOTES if pushes and path == self._policy.tree + b"/.git/config" else None

    def _write(self, text: str) -> Iterator[Event]:
        name, colon, body = text.partition(":")
        name = name.strip()
        if not colon or not name or name.startswith("/") or ".." in name.split("/"):
            raise UsageError(f"{text!r} names no file", "a write is PATH: TEXT, with a path in the tree", "write so")
        path = self._policy.tree + b"/" + os.fsencode(name)
        kind = Kind.FILE if os.path.isfile(path) else Kind.ABSENT
        yield FsEvent(_NOBODY, FsOp.WRITE if kind is Kind.FILE else FsOp.CREATE, "openat", Target(path, kind))
        found = self._findings(path, body.removeprefix(" ").encode("utf-8", "surrogateescape") + b"\n")
        if found is not None:
            yield ContentEvent(_NOBODY, Target(path, Kind.FILE), found, landing=True)

    def _findings(self, path: bytes, body: bytes) -> Findings | None:
        if not content.is_judged(self._policy):
            return None
        if self._looks is None:
            from supervisor.inspection.looks import Looks

            self._looks = Looks(self._policy)
        kind = self._looks.kind(path)
        if kind is None or not self._looks.may_concern(kind, path, body):
            return None
        return self._worker().inspect(kind, path, body)

    def _worker(self) -> Inspector:
        if self._inspector is None:
            from supervisor.inspection.worker import Inspector

            self._inspector = Inspector(content.wanted(self._policy))
            self._inspector.start()
        return self._inspector

    def _connect(self, text: str) -> Iterator[Event]:
        host, _, port = text.strip().rpartition(":")
        if not host or not port.isdigit():
            raise UsageError(f"{text!r} is no address", "a connect is HOST:PORT", "write so")
        bare = host.strip("[]")
        family = "inet6" if ":" in bare else "inet"
        yield NetEvent(_NOBODY, "connect", family, "tcp", bare, int(port))

    def _query(self, text: str) -> Iterator[Event]:
        for rule in self._policy.data.rules if self._policy.data else ():
            places = [f"{rule.scheme}://{host.entry.value}" for host in rule.hosts]
            for place in places or self._matched(rule):
                found = tuple(self._statements(rule.scheme or "sqlite", text))
                yield ExecEvent(
                    _NOBODY, Target(b"/usr/bin/psql", Kind.FILE), b"psql", (b"psql",), self._policy.tree, "stop",
                    statements=found, database=place,
                )  # fmt: skip

    def _matched(self, rule: DataRule) -> Iterator[str]:
        """A database file for each pattern of a rule."""
        for base, globs in ((self._policy.tree, rule.paths), (self._policy.home, rule.home)):
            for entry in globs.entries:
                yield f"{os.fsdecode(base)}/{re.sub(r'[*]+|[?]', 'x', entry.value.strip('/'))}"

    def _statements(self, dialect: str, text: str) -> tuple[Statement, ...]:
        found = self._worker().inspect(DATABASE + dialect, b"", text.encode("utf-8", "surrogateescape"))
        return (Statement(("opaque",)),) if found.refusal else found.statements


def _plain(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
