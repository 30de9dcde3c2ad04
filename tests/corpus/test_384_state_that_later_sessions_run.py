"""Escape 384: files in the state folder of an agent that a session outside takes programs, settings or orders from,
found in the code of the agents; some are moved or read as settings only when it starts."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PLANTED = {
    # The kept models come with instructions.
    "codex": (
        *("models_cache.json", "cloud-config-bundle-cache.json", "memories/MEMORY.md"),
        *("automations/a/automation.toml", "node_modules/x/index.js", "package.json"),
    ),
    # At its start it moves tools/fd to bin/fd, and commands to prompts.
    "pi": ("tools/fd", "commands/c.md", "hooks/h.ts", "oauth.json", "node_modules/x/index.js", "package.json"),
    # Checkpoints begin with `git init` in such a folder, and read the second file in place of the system's.
    "gemini": (
        *("history/p/.git/config", "history/p/.gitconfig_system_empty", "tmp/p/memory/MEMORY.md", "bin/x"),
        *("node_modules/x/index.js", "package.json"),
    ),
    # A provider names the address that its key is sent to, and a module (file://…) that is loaded.
    "opencode": (
        *(".cache/opencode/models.json", ".cache/opencode/models-1a.json", ".local/share/opencode/snapshot/p/config"),
        *(".local/share/opencode/worktree/p/x", ".local/share/opencode/storage/permission/p.json"),
    ),
}
FOLDERS = {"codex": ".codex/", "pi": ".pi/agent/", "gemini": ".gemini/", "opencode": ""}


@pytest.mark.parametrize("agent", PLANTED)
def test_planted(cage: Cage, agent: str) -> None:
    names = [FOLDERS[agent] + name for name in PLANTED[agent]]
    folders = {"codex": ".codex", "pi": ".pi/agent", "gemini": ".gemini", "opencode": ".local/share/opencode"}
    kept = [f"{folders[agent]}/sessions-of-the-run/x"]
    lines = [f"mkdir -p {shlex.quote(name.rpartition('/')[0])}; echo x > {shlex.quote(name)}" for name in names + kept]
    script = "cd; " + "; ".join(lines)
    cage.bare(script)
    assert all((cage.twin_home / name).exists() for name in names)
    cage.run(script, options=["--agent", agent])
    assert [name for name in names if (cage.home / name).exists()] == []
    assert all((cage.home / name).exists() for name in kept)


def test_shells_of_sessions_outside(cage: Cage) -> None:
    """They are sourced before each command of a session; a run has its own beside them."""
    cage.both("mkdir -p ~/.codex/shell_snapshots; echo theirs > ~/.codex/shell_snapshots/a.sh")
    script = "cd ~/.codex/shell_snapshots; echo x > b.tmp && mv b.tmp b.sh; echo y >> b.sh"
    script += "; echo evil > a.sh; mv b.sh a.sh; rm -f a.sh; cd ..; mv shell_snapshots gone"
    cage.bare(script)
    assert not (cage.twin_home / ".codex/shell_snapshots").exists()
    cage.run(script, options=["--agent", "codex"])
    assert (cage.home / ".codex/shell_snapshots/a.sh").read_text() == "theirs\n"
    assert (cage.home / ".codex/shell_snapshots/b.sh").read_text() == "x\ny\n"
