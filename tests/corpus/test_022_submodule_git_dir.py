"""Escape 22: the git directory of a submodule has hooks and a config of its own (reported against sandy, issue 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def _with_module(cage: Cage) -> None:
    cage.both("git init -q --bare .git/modules/lib; mkdir -p .git/modules/lib/hooks")


def test_submodule_hook(cage: Cage) -> None:
    _with_module(cage)
    script = "cp evil .git/modules/lib/hooks/post-checkout"
    cage.escape(script, cage.GIT, guarded=[".git/modules/lib/hooks/post-checkout"])


def test_submodule_config(cage: Cage) -> None:
    _with_module(cage)
    script = "git config -f .git/modules/lib/config core.fsmonitor ./evil"
    cage.escape(script, cage.GIT, guarded=[".git/modules/lib/config"])
