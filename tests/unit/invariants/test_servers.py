"""``tools.mcp``: the files where servers are looked for, and what of them is new, read by the real readers."""

from __future__ import annotations

import json

import pytest

from supervisor.decide import decide
from supervisor.inspection.looks import Looks
from supervisor.inspection.parsing import Parsers
from supervisor.inspection.reading import TEXT, Tools, inspect
from supervisor.invariants.content import is_judged, wanted
from supervisor.invariants.policy import NO_STATE
from supervisor.vocabulary.content import NOTHING_FOUND, Findings
from supervisor.vocabulary.events import ContentEvent, ExecEvent, Kind, Target
from supervisor.vocabulary.verdicts import Effect, Verdict
from tests.property.world import ACTOR, TREE, policy_of

PROFILE = 'version = 1\nextends = []\n[scope]\nwhy = "w"\ntools = { mcp = ["docs", "team-*"] }\n'
SERVER = {"command": "npx", "args": ["-y", "x"], "env": {"A": "1"}}


def found(path: str, text: str) -> Findings:
    return inspect(TEXT, TREE + b"/" + path.encode(), text.encode(), Tools(Parsers(), wanted(policy_of(PROFILE))))


def judged(path: str, now: str, before: str = "", *, landing: bool = False, profile: str = PROFILE) -> Verdict:
    target = Target(TREE + b"/" + path.encode(), Kind.FILE)
    was = found(path, before) if before else NOTHING_FOUND
    return decide(policy_of(profile), NO_STATE, ContentEvent(ACTOR, target, found(path, now), was, landing=landing))


def servers(**named: object) -> str:
    return json.dumps({"mcpServers": named}, indent=1)


CASES = {
    ".mcp.json": servers(evil=SERVER),
    "sub/.mcp.json": servers(evil=SERVER),
    ".cursor/mcp.json": servers(evil={"url": "https://a.example"}),
    ".vscode/mcp.json": json.dumps({"servers": {"evil": SERVER}}),
    ".vscode/settings.json": json.dumps({"mcp": {"servers": {"evil": SERVER}}}),
    "x.code-workspace": json.dumps({"settings": {"mcp": {"servers": {"evil": SERVER}}}}),
    ".devcontainer/devcontainer.json": json.dumps(
        {"customizations": {"vscode": {"mcp": {"servers": {"evil": SERVER}}}}}
    ),
    ".claude/settings.json": servers(evil=SERVER),
    ".claude/settings.local.json": json.dumps({"enabledMcpjsonServers": ["evil"]}),
    ".claude-plugin/plugin.json": servers(evil=SERVER),
    ".codex/config.toml": '[mcp_servers.evil]\ncommand = "x"\n',
    ".gemini/settings.json": servers(evil=SERVER),
    ".gemini/extensions/x/gemini-extension.json": servers(evil=SERVER),
    ".amp/settings.json": json.dumps({"amp.mcpServers": {"evil": SERVER}}),
    ".zed/settings.json": '{\n // comment\n "context_servers": {"evil": {"command": "x"}},\n}',
    "opencode.jsonc": json.dumps({"mcp": {"evil": {"type": "local", "command": ["x"]}}}),
    ".kiro/settings/mcp.json": servers(evil=SERVER),
    ".continue/config.yaml": "mcpServers:\n  - name: evil\n    command: x\n",
    ".vibe/config.toml": '[[mcp_servers]]\nname = "evil"\ncommand = "x"\n',
    "plugin/.mcp.json": json.dumps({"evil": SERVER}),
}


@pytest.mark.parametrize(("path", "text"), CASES.items(), ids=CASES)
def test_an_added_server_is_taken_back(path: str, text: str) -> None:
    verdict = judged(path, text)
    assert verdict.effect is Effect.REVERT and path in verdict.matches[0].message
    assert len(verdict.matches) == 1, [each.message for each in verdict.matches]
    assert judged(path, text, landing=True).effect is Effect.DENY
    assert judged(path, text, before=text).effect is Effect.ALLOW
    for name in ("docs", "team-x"):
        assert judged(path, text.replace("evil", name)).effect is Effect.ALLOW


def test_a_server_that_is_changed_is_a_new_one() -> None:
    before = servers(old=SERVER, other=SERVER)
    for changed in ({**SERVER, "command": "evil"}, {**SERVER, "env": {"A": "2"}}, {**SERVER, "args": ["-y", "y"]}):
        verdict = judged(".mcp.json", servers(old=changed, other=SERVER), before)
        assert verdict.effect is Effect.REVERT and "old" in verdict.matches[0].message
    assert judged(".mcp.json", servers(other=SERVER, old=SERVER), before).effect is Effect.ALLOW
    assert judged(".mcp.json", servers(other=SERVER), before).effect is Effect.ALLOW


def test_switching_all_servers_on() -> None:
    path = ".claude/settings.local.json"
    assert judged(path, '{"enableAllProjectMcpServers": true}').effect is Effect.REVERT
    assert judged(path, '{"enableAllProjectMcpServers": false}').effect is Effect.ALLOW
    assert judged(path, '{"enabledMcpjsonServers": ["docs"]}').effect is Effect.ALLOW


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".claude/settings.json", '{"permissions": {"allow": ["Bash(ls)"]}, "model": "x"}'),
        (".vscode/settings.json", '{"editor.tabSize": 2, "servers": {"a": {"command": "x"}}}'),
        (".mcp.json", '{"mcpServers": {}}'),
    ],
)
def test_other_settings_are_free(path: str, text: str) -> None:
    assert Looks(policy_of(PROFILE)).kind(TREE + b"/" + path.encode()) is not None
    assert judged(path, text).effect is Effect.ALLOW


@pytest.mark.parametrize("path", ["src/servers.json", "package.json"])
def test_other_files_are_free(path: str) -> None:
    kind = Looks(policy_of(PROFILE)).kind(TREE + b"/" + path.encode())
    assert kind is None or judged(path, servers(evil=SERVER)).effect is Effect.ALLOW


def test_an_escaped_or_doubled_key_hides_nothing() -> None:
    assert judged(".mcp.json", '{"mcp\\u0053ervers": {"evil": {"command": "x"}}}').effect is Effect.REVERT
    twice = '{"mcpServers": {"docs": {}}, "mcpServers": {"evil": {"command": "x"}}}'
    assert judged(".mcp.json", twice).effect is Effect.REVERT


def test_what_cannot_be_read_is_refused_but_not_where_it_was_so_before() -> None:
    target = Target(TREE + b"/.mcp.json", Kind.FILE)
    unread = Findings(refusal="too large", digest=b"1")
    policy = policy_of(PROFILE)
    assert decide(policy, NO_STATE, ContentEvent(ACTOR, target, unread)).effect is Effect.REVERT
    assert decide(policy, NO_STATE, ContentEvent(ACTOR, target, unread, unread)).effect is Effect.ALLOW


def test_words_and_the_key_alone() -> None:
    text = servers(evil=SERVER)
    assert judged(".mcp.json", text, profile=PROFILE + 'then = "warn"\n').effect is Effect.WARN
    assert judged(".mcp.json", text, profile=PROFILE + 'then = "kill"\n').effect is Effect.KILL
    assert judged(".mcp.json", text, profile=PROFILE.replace('"docs", "team-*"', "")).effect is Effect.REVERT
    without = policy_of(PROFILE.replace("mcp =", "executables ="))
    assert not is_judged(without) and is_judged(policy_of(PROFILE))


def test_commands() -> None:
    event = ExecEvent(ACTOR, Target(b"/usr/bin/claude", Kind.FILE), b"claude", (b"claude",), TREE, "call")
    policy = policy_of(PROFILE)
    for names, effect in (((), "allow"), (("docs",), "allow"), (("evil",), "deny"), (("docs", ""), "deny")):
        assert decide(policy, NO_STATE, event._replace(servers=names)).effect.word == effect
