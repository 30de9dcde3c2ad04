"""What a program that starts would do, as far as rules ask: packages, commands in normal form, database statements."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from supervisor.commands.plain import is_plain, plain_command, tools
from supervisor.invariants.policy import CompiledPolicy
from supervisor.run.pushes import Remotes, pushing
from supervisor.run.readable import Readable
from supervisor.surfaces.identity import Identities
from supervisor.surfaces.pipes import Pipes
from supervisor.surfaces.stdin import waiting_input
from supervisor.vocabulary.commands import Command
from supervisor.vocabulary.events import ExecEvent

if TYPE_CHECKING:
    from supervisor.commands.databases import Client
    from supervisor.inspection.worker import Inspector

Environ = Callable[[], Mapping[bytes, bytes]]
_MOST_READ = 1 << 20


def database_of(client: Client, cwd: bytes) -> str:
    """As an event names it: of a file the canonical path, empty for one in memory."""
    if client.place != client.endpoint or not client.place:
        return client.place
    return os.fsdecode(os.path.realpath(os.path.join(cwd, os.fsencode(client.place))))


_USUAL_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin", "/snap/bin")


def tool_folders(environment: Mapping[str, str]) -> tuple[bytes, ...]:
    """Where the user's tools are installed: what PATH names at the start, and the usual places."""
    named = environment.get("PATH", "").split(":")
    return tuple(os.fsencode(folder) for folder in dict.fromkeys((*named, *_USUAL_FOLDERS)) if folder.startswith("/"))


class Facts:
    """``changed`` says whether a file was changed since the start; ``inspector`` reads statements (None: no rule asks
    for them); ``folders``: where tools are installed; ``ignored``: whether ignore rules cover a file. ``readable``
    reads all that has a name of the run's."""

    def __init__(
        self,
        policy: CompiledPolicy,
        folders: tuple[bytes, ...],
        git_tools: tuple[bytes, ...],
        changed: Callable[[bytes], bool],
        inspector: Callable[[], Inspector] | None,
        ignored: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._policy = policy
        self.readable = Readable(policy, ignored)
        refs = bool(policy.branching and policy.branching.judges_commands)
        self._asks_for_commands = bool(policy.actions or policy.documents or policy.expressions or refs)
        self._changed = changed
        self._inspector = inspector
        self._pipes = Pipes()
        self._identities: Identities | None = None
        self._folders = folders
        self._git_tools = git_tools
        self._remotes = Remotes(policy.git if policy.branching and policy.branching.push else None)

    def inspector(self) -> Inspector:
        """Whoever reads what commands name; started when it is first needed. Only where ``of`` found such a command."""
        assert self._inspector is not None
        return self._inspector()

    def of(self, event: ExecEvent, tid: int, environ: Environ) -> ExecEvent:
        """The event with all that the rules in force ask for. ``tid`` is the thread that executes."""
        policy = self._policy
        if policy.dependencies:
            from supervisor.commands.installs import installation

            event = event._replace(installs=installation(event.argv, event.target.path))
        if policy.tools and policy.tools.servers is not None:
            event = self._with_servers(event)
        if self._asks_for_commands:
            event = event._replace(commands=self.commands(event, tid, environ))
        if policy.data and policy.data.statements:
            event = self._with_statements(event, tid, environ)
        return event

    def _with_servers(self, event: ExecEvent) -> ExecEvent:
        from supervisor.commands.servers import added

        def changed(name: bytes) -> bool:
            return self._changed(os.path.join(event.cwd, name))

        return event._replace(servers=added(event.argv, event.target.path, event.alias, changed))

    def commands(self, event: ExecEvent, tid: int, environ: Environ) -> tuple[Command, ...]:
        """What it does, in normal form."""

        def read(path: bytes) -> bytes | None:
            whole = path if path.startswith(b"/") else event.cwd + b"/" + path
            return self.readable.content(whole, _MOST_READ)

        program, identity = event.target.path, self._identity_of(event.target.path)
        if not identity and is_plain(event.argv, program):
            self._pipes.starts(tid, program, interprets=False)
            return (plain_command(event.argv, program),)
        from supervisor.commands import normal, wrappers

        found = normal.commands(event.argv, program, environ, event.cwd, read, identity)
        if inner := wrappers.loaded(event.argv, program):
            path = os.path.join(event.cwd, inner[0])
            known = self._identity_of(path)
            if known:
                found = (*found, *normal.commands(inner, path, environ, event.cwd, read, known))
        source = self._pipes.starts(tid, program, interprets=wrappers.interpreter(event.argv, program))
        if source:
            words = (os.fsdecode(source), "|", os.fsdecode(program.rpartition(b"/")[2]))
            found = (*found, Command(words[0], "", words, ("pipe-to-shell",), irreversible=True))
        if event.actor.exe.startswith(self._git_tools) and any(each.classes for each in found):
            # A push that was judged starts programs of its own, which say the same once more.
            asked = normal.commands(*pushing(event.actor, self._git_tools), dict, event.cwd, read)
            found = tuple(each for each in found if not any(normal.continues(one, each) for one in asked))
        return tuple(self._as_found(each, event.cwd) for each in found)

    def _as_found(self, command: Command, cwd: bytes) -> Command:
        """A target that is read from a file which the run may have written tells nothing; of a push that says what it
        pushes, and where, the file counts as far as it says what that means."""
        if not command.source:
            return command
        path = os.path.join(cwd, os.fsencode(command.source))
        if not self._changed(path) or (
            command.push is not None and not command.push.by_default and self._remotes.same()
        ):
            return command
        return command._replace(resolved=False)

    def _identity_of(self, path: bytes) -> str:
        if self._identities is None:
            self._identities = Identities(tools(), self._folders)
        try:
            return self._identities.of(path)
        except OSError:
            return ""

    def _with_statements(self, event: ExecEvent, tid: int, environ: Environ) -> ExecEvent:
        from supervisor.commands import databases
        from supervisor.commands.world import Untold
        from supervisor.inspection.reading import DATABASE

        client = databases.client(event.argv, event.target.path, environ)
        if client is None or self._inspector is None:
            return event
        texts: list[bytes | None] = [text.encode("utf-8", "surrogateescape") for text in client.texts]
        for name in client.files:
            path = os.path.join(event.cwd, os.fsencode(name))
            try:
                texts.append(self.readable.content(path, _MOST_READ))
            except Untold:
                texts.append(None)
        if client.stdin:
            texts.append(waiting_input(tid, _MOST_READ))
        found = list(client.fixed())
        for text in texts:
            if text is None or len(text) >= _MOST_READ:
                found.append(client.unread())
                continue
            said = self._inspector().inspect(DATABASE + client.dialect, b"", text)
            found += [client.unread()] if said.refusal else said.statements
        return event._replace(statements=tuple(dict.fromkeys(found)), database=database_of(client, event.cwd))
