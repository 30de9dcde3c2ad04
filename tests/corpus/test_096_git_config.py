"""Escape 96: configuration that git runs later, on the user's side (fletch issue 564)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


KEYS = {
    "core.hooksPath": "x",
    "core.fsmonitor": "./evil",
    "core.sshCommand": "./evil",
    "core.pager": "./evil",
    "core.editor": "./evil",
    "core.askPass": "./evil",
    "core.gitProxy": "./evil",
    "core.worktree": "/",
    "core.attributesFile": "./attributes",
    "pager.log": "./evil",
    "alias.st": "!./evil",
    "filter.x.clean": "./evil",
    "filter.x.process": "./evil",
    "diff.x.textconv": "./evil",
    "diff.external": "./evil",
    "merge.x.driver": "./evil",
    "credential.helper": "!./evil",
    "include.path": "../evil",
    "includeIf.gitdir:/.path": "../evil",
    "gpg.program": "./evil",
    "gpg.ssh.program": "./evil",
    "sequence.editor": "./evil",
    "remote.origin.uploadpack": "./evil",
    "remote.origin.receivepack": "./evil",
    "remote.origin.url": "ext::./evil",
    "url.ext::x.insteadOf": "https://",
    "submodule.lib.update": "!./evil",
    "protocol.ext.allow": "always",
    "uploadpack.packObjectsHook": "./evil",
    "difftool.x.cmd": "./evil",
    "mergetool.x.cmd": "./evil",
    "init.templateDir": "./t",
    "interactive.diffFilter": "./evil",
    "trailer.x.command": "./evil",
}
HARMLESS = {
    "user.name": "Someone",
    "branch.main.remote": "origin",
    "remote.origin.url": "https://example.com/x.git",
    "core.autocrlf": "false",
    "alias.st": "status",
    "pull.rebase": "true",
    "merge.conflictstyle": "diff3",
}


def test_executable_keys(cage: Cage) -> None:
    """One run tries them all; the file must come out byte for byte as it was."""
    lines = "; ".join(f"git config '{key}' '{value}'" for key, value in KEYS.items())
    outcome = cage.escape(lines, cage.GIT, guarded=[".git/config"])
    assert len(cage.refused(outcome, cage.GIT)) >= len(KEYS)
    assert not (cage.tree / ".git/config.lock").exists()


@pytest.mark.parametrize("key", HARMLESS)
def test_harmless_keys(cage: Cage, key: str) -> None:
    cage.run(f"git config '{key}' '{HARMLESS[key]}'").ok()
    assert cage.govrun.bare("git", "config", key).stdout.decode().strip() == HARMLESS[key]


def test_equal_value_passes(cage: Cage) -> None:
    """A rewrite of a key that the user set changes nothing."""
    cage.both("git config core.pager less; git config core.hooksPath mine")
    cage.run("git config core.hooksPath mine; git config user.name Other").ok()
    assert cage.govrun.bare("git", "config", "user.name").stdout == b"Other\n"


def test_an_unset_key_that_guards(cage: Cage) -> None:
    cage.both("git config core.hooksPath mine")
    cage.escape("git config --unset core.hooksPath", cage.GIT, guarded=[".git/config"])


@pytest.mark.parametrize(
    "script",
    [
        "printf '[core]\\n\\thooksPath = x\\n' >> .git/config",
        "printf '[core]\\n\\thooksPath = x\\n' > c; mv -f c .git/config",
        "printf '[core]\\n\\thooksPath = x\\n' > .git/config.lock; mv -f .git/config.lock .git/config",
        "printf '[core]\\n\\thooksPath = x\\n' > c; ln -f c .git/config",
        "printf '[core]\\n\\thooksPath = x\\n' > c; ln -sf ../c .git/config",
        "sed -i 's/bare/hooksPath/' .git/config",
    ],
)
def test_without_git(cage: Cage, script: str) -> None:
    cage.escape(script, cage.GIT, guarded=[".git/config"])


def test_worktree_config(cage: Cage) -> None:
    cage.both("git config extensions.worktreeConfig true")
    cage.escape("git config --worktree core.hooksPath x", cage.GIT, guarded=[".git/config.worktree"])


def test_global_config(cage: Cage) -> None:
    before = (cage.home / ".gitconfig").read_bytes()
    outcome = cage.run("git config --global core.pager ./evil")
    assert outcome.code != 0
    assert (cage.home / ".gitconfig").read_bytes() == before
    cage.refused(outcome, cage.WRITE)


def test_hidden_from_the_environment(cage: Cage) -> None:
    """`git -c` and GIT_CONFIG_COUNT run at once, inside: nothing is handed over, and the rules bind the child."""
    cage.both("echo 'echo x >> \"$OUT/victim\"' > monitor.sh")
    cage.escape("git -c core.fsmonitor='sh ./monitor.sh' status", cage.WRITE)
