"""``tools.mcp``: tool servers that a run would add, in the files where agents and editors look for them, and by the
commands that write such files.

A server is known by its name, the file and all that the entry says: what the tree said at the start, or other people
committed, is tolerated as it is, and under a name that the profile allows anything is. Files are known by their
names, at any depth, whether they are ignored or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from supervisor.invariants.globs import Globs
from supervisor.profile.model import Entry
from supervisor.vocabulary.content import Findings, Scalar, Selection, Value
from supervisor.vocabulary.events import ContentEvent, ExecEvent
from supervisor.vocabulary.policy import Invariant
from supervisor.vocabulary.verdicts import Effect, Match

if TYPE_CHECKING:
    from supervisor.invariants.policy import CompiledPolicy

_MOST_TOLD = 20
_MARK: Final = "tools.mcp/"
_ALL: Final = "**"
# A file of its own for servers: Claude Code, Cursor, VS Code, Visual Studio, Roo, Kilo, Kiro, Amazon Q, Junie, Factory,
# Trae, Windsurf, Copilot, Cline.
_OWN: Final = (
    ".mcp.json",
    "mcp.json",
    "mcp.local.json",
    "mcp_config.json",
    "mcp_settings.json",
    "mcp-config.json",
    "cline_mcp_settings.json",
    "claude_desktop_config.json",
    ".claude.json",
)
# Settings that may hold servers among others.
_SETTINGS: Final = (
    "**/.claude/settings*.json",
    "**/.claude-plugin/*.json",
    "**/.gemini/settings*.json",
    "gemini-extension.json",
    "**/.qwen/settings*.json",
    "**/.codex/*.toml",
    "**/.cursor/*.json",
    "**/.vscode/settings.json",
    "*.code-workspace",
    "**/.devcontainer/**/*.json",
    ".devcontainer.json",
    "**/.amp/settings*.json",
    "**/.zed/settings.json",
    "**/.factory/*.json",
    "**/.amazonq/**/*.json",
    "**/.kiro/**/*.json",
    "**/.continue/**/*.json",
    "**/.continue/**/*.yaml",
    "**/.continue/**/*.yml",
    "**/.vibe/config.toml",
    "**/.augment/settings*.json",
    "**/.copilot/*.json",
)
_SECTIONS: Final = ("opencode.json", "opencode.jsonc", "**/.opencode/*.json*", "crush.json", ".crush.json")
_CLAUDE: Final = ("**/.claude/settings*.json", ".claude.json")
_NAMES: Final = 'mcpServers|mcp_servers|context_servers|"amp.mcpServers"|"mcp.servers"'
_STARTS: Final = ("command", "url", "httpUrl", "serverUrl")
# What a selection finds: an entry by its name, an element of a list that tells its name, a top-level entry that says
# how it is started, names that are switched on, and the switch for all of them.
_BY_NAME, _LISTED, _FLAT, _NAMED, _EVERY = "name", "listed", "flat", "named", "every"
_LAST = re.compile(r'(?:^|(?<!\])\.)(?:"([^"]*)"|([^.\[\]"]+))\Z')


def _selection(number: int, sort: str, files: tuple[str, ...], at: str, fields: tuple[str, ...] = (_ALL,)) -> Selection:
    return Selection(f"{_MARK}{sort}/{number}", files, (), at, fields)


_SELECTIONS: Final = (
    _selection(0, _BY_NAME, (*_OWN, *_SETTINGS, *_SECTIONS), f"**.{_NAMES}.*"),
    _selection(1, _BY_NAME, (*_OWN, *_SETTINGS), "**.mcp.servers.*"),
    _selection(2, _BY_NAME, _OWN, "servers.*"),
    _selection(3, _BY_NAME, _SECTIONS, "mcp.*"),
    _selection(4, _LISTED, (*_OWN, *_SETTINGS), f"**.{_NAMES}[*]", ("name", _ALL)),
    _selection(5, _FLAT, _OWN, "*", (*_STARTS, _ALL)),
    _selection(6, _NAMED, _CLAUDE, "**.enabledMcpjsonServers", ()),
    _selection(7, _EVERY, _CLAUDE, "**.enableAllProjectMcpServers", ()),
)
_SORTS: Final = {each.id: each.id.split("/")[1] for each in _SELECTIONS}


class ServerRules(NamedTuple):
    """``allowed``: names, with globs. ``files``: where servers are looked for."""

    allowed: tuple[str, ...]
    files: Globs

    def allows(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.allowed)


class Server(NamedTuple):
    """An entry: ``says`` is all its text. An empty name cannot be told, or stands for every server."""

    name: str
    place: str
    says: tuple[Scalar, ...]


def compile_servers(names: tuple[str, ...]) -> ServerRules:
    """``names``: those that are allowed."""
    files = dict.fromkeys(pattern for each in _SELECTIONS for pattern in each.files)
    return ServerRules(names, Globs(Entry(pattern, "govrun") for pattern in files))


def selections() -> tuple[Selection, ...]:
    """Where to look, for whoever reads documents."""
    return _SELECTIONS


def covers(rules: ServerRules, relative: bytes) -> bool:
    """Whether servers are looked for in the file."""
    return rules.files.match(relative) is not None


def judge_content(policy: CompiledPolicy, event: ContentEvent, relative: bytes) -> Iterator[Match]:
    """Servers that this version of the file adds. ``relative``: its path in the tree."""
    rules = policy.tools.servers if policy.tools else None
    if rules is None or not covers(rules, relative):
        return
    rule, effect = policy.rule("scope.tools", policy.tools.source)
    effect = _when(effect, landing=event.landing)
    show = relative.decode("utf-8", "backslashreplace")
    now = event.now
    if now.refusal:
        # The same bytes were there before, or are other people's.
        if not (now.digest and now.digest in (event.before.digest, event.prior.digest)):
            yield Match(rule, effect, f"{show} may add tool servers, and cannot be inspected: {now.refusal}")
        return
    known = {server for found in (event.before, event.prior) for server, _ in _servers(found)}
    added = {server: line for server, line in _servers(now) if server not in known and not rules.allows(server.name)}
    for server, line in islice(added.items(), _MOST_TOLD):
        yield _match(rule, effect, f"{show}:{line} {_told(server)}", line)


def _match(rule: Invariant, effect: Effect, message: str, line: int = 0) -> Match:
    plain = message.encode("utf-8", "backslashreplace").decode()
    return Match(rule, effect, "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in plain), line)


def _told(server: Server) -> str:
    if not server.name:
        return f"switches on every tool server of the folder ({server.place})"
    return f"adds or changes the tool server {server.name} ({server.place}), which tools.mcp does not name"


def _when(effect: Effect, *, landing: bool) -> Effect:
    """What has landed is taken back, what is about to is refused."""
    if effect not in (Effect.ASK, Effect.DENY):
        return effect
    return Effect.DENY if landing else Effect.REVERT


def _servers(findings: Findings) -> Iterator[tuple[Server, int]]:
    for value in findings.values:
        sort = _SORTS.get(value.selection)
        if sort is not None:
            yield from ((server, value.line) for server in _read(sort, value))


def _read(sort: str, value: Value) -> Iterator[Server]:
    fields = dict(value.fields)
    if sort == _NAMED:
        yield from (Server(str(name), value.at, ()) for name in fields.get("", ()))
    elif sort == _EVERY:
        if any(each is not False for each in fields.get("", ())) or not value.known:
            yield Server("", value.at, ())
    elif sort == _LISTED:
        if value.at.endswith("]"):
            place = re.sub(r"\[\d+\]", "[*]", value.at)
            yield from (Server(str(name), place, fields.get(_ALL, ())) for name in fields.get("name", ()) or ("?",))
    elif sort == _BY_NAME or any(fields.get(name) for name in _STARTS):
        found = _LAST.search(value.at)
        if found is not None:  # else an element of a list, which is looked at by itself
            yield Server(found[1] or found[2] or "?", value.at, fields.get(_ALL, ()))


def judge_exec(policy: CompiledPolicy, event: ExecEvent) -> Iterator[Match]:
    """Servers that a command would write into a configuration, or start with."""
    rules = policy.tools.servers if policy.tools else None
    if rules is None:
        return
    rule, effect = policy.rule("scope.tools", policy.tools.source)
    for name in islice(event.servers, _MOST_TOLD):
        if name and rules.allows(name):
            continue
        told = f"the tool server {name}, which tools.mcp does not name" if name else "tool servers that cannot be told"
        yield _match(rule, effect, f"this adds {told}")
