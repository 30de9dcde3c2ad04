"""Escape 21: doubled and trailing slashes, dots, and names that look like others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


@pytest.mark.parametrize(
    "script",
    [
        "echo x >> ..//./home/outside///victim",
        "mkdir ../home/outside/new/",
        "rmdir ../home/outside/sub/../empty/.. ; rm -f ../home/./outside/sub/../victim",
        "mv ../home/outside/sub/ ../home/outside/bus/",
        "touch -d 2001-01-01 ../home/outside/.",
    ],
)
def test_spelling(cage: Cage, script: str) -> None:
    cage.escape(script, cage.WRITE)


@pytest.mark.parametrize(
    "name", [".git//hooks/pre-commit", ".git/./hooks/../hooks/pre-commit", "src/../.git/hooks/pre-commit"]
)
def test_spelling_of_protected(cage: Cage, name: str) -> None:
    cage.escape(f"cp evil {name}", cage.GIT, guarded=[".git/hooks/pre-commit"])
