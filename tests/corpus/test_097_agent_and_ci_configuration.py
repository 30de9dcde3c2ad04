"""Escape 97: files that a later program on the user's side runs or obeys (sandy issue 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


FILES = [".github/workflows/ci.yml", ".gitlab-ci.yml", ".claude/settings.json", ".mcp.json", ".vscode/tasks.json"]


@pytest.mark.parametrize("name", FILES)
def test_existing_file(cage: Cage, name: str) -> None:
    cage.both(f"mkdir -p $(dirname {name}); echo old > {name}; git add -f {name}; git commit -qm base")
    cage.escape(f"echo new > {name}; rm -f {name}", cage.PROTECT, guarded=[name])


@pytest.mark.parametrize("name", FILES)
def test_missing_file(cage: Cage, name: str) -> None:
    cage.escape(f"mkdir -p $(dirname {name}); echo new > {name}", cage.PROTECT, guarded=[name])


def test_ignored_file(cage: Cage) -> None:
    """An ignore rule must not turn a protected file into an ungoverned one."""
    cage.both("printf '.github/\\n.mcp.json\\n' > .gitignore; git add .gitignore; git commit -qm ignore")
    script = "mkdir -p .github/workflows; echo x > .github/workflows/ci.yml; echo x > .mcp.json"
    cage.escape(script, cage.PROTECT, guarded=[".github/workflows/ci.yml", ".mcp.json"])
