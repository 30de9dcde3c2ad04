"""What a program that starts would do, as far as rules ask: packages, commands in normal form, database statements."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from supervisor.commands.plain import is_plain, plain_command, tools
from supervisor.invariants.policy import CompiledPolicy
from supervisor.surfaces.contents import plain_content
from supervisor.surfaces.identity import Identities
from supervisor.surfaces.pipes import Pipes
from supervisor.surfaces.stdin import waiting_input
from supervisor.vocabulary.commands import Command
from supervisor.vocabulary.events import ExecEvent

if TYPE_CHECKING:
    from supervisor.inspection.worker import Inspector

Environ = Callable[[], Mapping[bytes, bytes]]
_MOST_READ = 1 << 20


_USUAL_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin", "/snap/bin")


def tool_folders(environment: Mapping[str, str]) -> tuple[bytes, ...]:
    """Where the user's tools are installed: what PATH names at the start, and the usual places."""
    named = environment.get("PATH", "").split(":")
    return tuple(os.fsencode(folder) for folder in dict.fromkeys((*named, *_USUAL_FOLDERS)) if folder.startswith("/"))


class Facts:
    """``changed`` says whether a file was changed since the start; ``inspector`` reads statements (None: no rule asks
    for them); ``folders``: where tools are installed."""

    def __init__(
        self,
        policy: CompiledPolicy,
        folders: tuple[bytes, ...],
        git_tools: tuple[bytes, ...],
        changed: Callable[[bytes], bool],
        inspector: Callable[[], Inspector] | None,
    ) -> None:
        self._policy = policy
        self._changed = changed
        self._inspector = inspector
        self._pipes = Pipes()
        self._identities: Identities | None = None
        self._folders = folders
        self._git_tools = git_tools

    def of(self, event: ExecEvent, tid: int, environ: Environ) -> ExecEvent:
        """The event with all that the rules in force ask for. ``tid`` is the thread that executes."""
        policy = self._policy
        if policy.dependencies:
            from supervisor.commands.installs import installation

            event = event._replace(installs=installation(event.argv, event.target.path))
        if policy.actions:
            event = event._replace(commands=self._commands(event, tid, environ))
        if policy.data and policy.data.statements:
            event = self._with_statements(event, tid, environ)
        return event

    def _commands(self, event: ExecEvent, tid: int, environ: Environ) -> tuple[Command, ...]:
        def read(path: bytes) -> bytes | None:
            whole = path if path.startswith(b"/") else event.cwd + b"/" + path
            return plain_content(whole, _MOST_READ, follow=True) or None

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
            asked = normal.commands(event.actor.argv, event.actor.exe, dict, event.cwd, read)
            found = tuple(each for each in found if not any(normal.continues(one, each) for one in asked))
        return tuple(self._as_found(each, event.cwd) for each in found)

    def _as_found(self, command: Command, cwd: bytes) -> Command:
        """A target that is read from a file which the run may have written tells nothing."""
        if not command.source:
            return command
        path = os.path.join(cwd, os.fsencode(command.source))
        return command._replace(resolved=False) if self._changed(path) else command

    def _identity_of(self, path: bytes) -> str:
        if self._identities is None:
            self._identities = Identities(tools(), self._folders)
        try:
            return self._identities.of(path)
        except OSError:
            return ""

    def _with_statements(self, event: ExecEvent, tid: int, environ: Environ) -> ExecEvent:
        from supervisor.commands import databases
        from supervisor.inspection.reading import DATABASE

        client = databases.client(event.argv, event.target.path, environ)
        if client is None or self._inspector is None:
            return event
        texts: list[bytes | None] = [text.encode("utf-8", "surrogateescape") for text in client.texts]
        for name in client.files:
            path = os.path.join(event.cwd, os.fsencode(name))
            texts.append(plain_content(path, _MOST_READ, follow=True) or None)
        if client.stdin:
            texts.append(waiting_input(tid, _MOST_READ))
        found = list(client.fixed())
        for text in texts:
            if text is None or len(text) >= _MOST_READ:
                found.append(client.unread())
                continue
            said = self._inspector().inspect(DATABASE + client.dialect, b"", text)
            found += [client.unread()] if said.refusal else said.statements
        return event._replace(statements=tuple(dict.fromkeys(found)), database=client.place)
