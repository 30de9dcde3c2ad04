"""Commands by which tool servers (MCP) are added to the configuration of an agent, and options that start with some.

Known by the name of the program, of the script that an interpreter reads, or of the package that it lies in. What
they write into the tree is judged there as well; this is the earlier answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

_AGENTS: Final = frozenset(
    [
        "claude",
        "codex",
        "gemini",
        "qwen",
        "amp",
        "copilot",
        "droid",
        "opencode",
        "cursor-agent",
        "kiro-cli",
        "q",
        "crush",
        "auggie",
        "kimi",
        "grok",
        "vibe",
        "cline",
        "roo",
        "iflow",
        "codebuddy",
    ]
)
_EDITORS: Final = frozenset(("code", "code-insiders", "codium", "cursor", "windsurf", "kiro", "trae"))
_PACKAGES: Final = {
    "/@anthropic-ai/claude-code/": "claude",
    "/@openai/codex/": "codex",
    "/@google/gemini-cli/": "gemini",
    "/@qwen-code/qwen-code/": "qwen",
    "/@sourcegraph/amp/": "amp",
    "/@github/copilot/": "copilot",
    "/opencode-ai/": "opencode",
    "/add-mcp/": "add-mcp",
}
_ADDS: Final = frozenset(("add", "add-json", "add-from-claude-desktop", "import", "install"))
_FLAGS: Final = frozenset(
    ["--trust", "--client-secret", "--workspace", "--force", "-f", "--yes", "-y", "--debug", "--verbose"]
)
_VALUED: Final = frozenset(
    [
        "-s",
        "--scope",
        "-t",
        "--transport",
        "--type",
        "-e",
        "--env",
        "-H",
        "--header",
        "--url",
        "--bearer-token-env-var",
        "--timeout",
        "--description",
        "--include-tools",
        "--exclude-tools",
        "--callback-port",
        "--client-id",
        "--agent",
        "--command",
        "--args",
        "--cwd",
        "-c",
        "--config",
        "--model",
        "-m",
    ]
)
_INTERPRETERS: Final = re.compile(r"(?:node|nodejs|bun|deno|tsx|python[\d.]*)")
_SERVER_KEY: Final = re.compile(r'mcp_servers\.(?:"([^"]+)"|([^.="\s]+))|(mcp_servers)')
UNTOLD: Final = ""

Changed = Callable[[bytes], bool]


def added(argv: Sequence[bytes], program: bytes, alias: bytes, changed: Changed) -> tuple[str, ...]:
    """Names of the servers that the command adds or starts with; ``UNTOLD`` for what cannot be told. ``changed``:
    whether the run has written to the file of that name."""
    if not any(b"mcp" in word for word in argv[1:]):
        return ()
    words = [word.decode("utf-8", "surrogateescape") for word in argv]
    tool, rest = _tool(words, (program.decode("utf-8", "surrogateescape"), alias.decode("utf-8", "surrogateescape")))
    if tool == "add-mcp":
        return (_after(rest, ("-n", "--name")) or UNTOLD,)
    if tool in _EDITORS:
        return tuple(_of_json(each) for each in _values(rest, "--add-mcp"))
    if tool not in _AGENTS:
        return ()
    found = list(_at_start(rest, changed))
    at = next((at for at, word in enumerate(rest) if word == "mcp"), None)
    if at is not None and at + 1 < len(rest) and rest[at + 1] in _ADDS:
        found.append(_named(rest[at + 1], rest[at + 2 :]))
    return tuple(dict.fromkeys(found))


def _tool(words: list[str], places: tuple[str, ...]) -> tuple[str, list[str]]:
    """Which of the known programs it is, and its arguments."""
    for place in (*places, *words[:1]):
        found = _known(place)
        if found:
            return found, words[1:]
    if _INTERPRETERS.fullmatch(places[0].rpartition("/")[2]):
        for at, word in enumerate(words[1:8], 1):  # the script, after options and their values
            if found := _known(word):
                return found, words[at + 1 :]
    return "", []


def _known(place: str) -> str:
    name = place.rpartition("/")[2]
    if name in _AGENTS or name in _EDITORS or name == "add-mcp":
        return name
    return next((tool for part, tool in _PACKAGES.items() if part in place + "/" or f"/{place}/" == part), "")


def _named(verb: str, words: list[str]) -> str:
    """The name after the verb; the options that may come before it differ."""
    if verb in ("add-from-claude-desktop", "import"):
        return UNTOLD
    if name := _after(words, ("--name",)):
        return name
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == "--":
            return UNTOLD
        elif word in _VALUED:
            skip = True
        elif word.startswith("-"):
            if "=" not in word and word not in _FLAGS:
                return UNTOLD
        elif "=" not in word:  # further values of an option that takes several: KEY=value
            return word
    return UNTOLD


def _at_start(words: list[str], changed: Changed) -> Iterator[str]:
    """Options that start an agent with servers: ``--mcp-config`` takes JSON or files, ``-c`` one key of settings."""
    for value in _values(words, "--mcp-config"):
        if value.lstrip().startswith("{"):
            yield from _names_in(value)
        elif changed(value.encode("utf-8", "surrogateescape")):
            yield UNTOLD
    for option in ("-c", "--config"):
        for value in _values(words, option):
            for found in _SERVER_KEY.finditer(value):
                yield found[1] or found[2] or UNTOLD


def _values(words: list[str], option: str) -> Iterator[str]:
    """What an option is given, every time; ``--mcp-config`` and the like take several words."""
    for at, word in enumerate(words):
        if word.startswith(f"{option}="):
            yield word.partition("=")[2]
        elif word == option:
            for value in words[at + 1 :]:
                if value.startswith("-"):
                    break
                yield value
                if len(option) == 2:
                    break
        elif word == "--":
            return


def _after(words: list[str], options: tuple[str, ...]) -> str:
    for at, word in enumerate(words):
        if word == "--":
            break
        for option in options:
            if word == option and at + 1 < len(words):
                return words[at + 1]
            if word.startswith(f"{option}="):
                return word.partition("=")[2]
    return ""


def _of_json(text: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return UNTOLD
    name = found.get("name") if isinstance(found, dict) else None
    return name if isinstance(name, str) else UNTOLD


def _names_in(text: str) -> Iterator[str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        yield UNTOLD
        return
    servers = found.get("mcpServers", found) if isinstance(found, dict) else None
    yield from (str(name) for name in servers) if isinstance(servers, dict) else (UNTOLD,)
