"""Escape 24: .git/info/attributes names a filter driver that git then runs (dirge issue 774)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_attributes(cage: Cage) -> None:
    cage.escape("echo '* filter=x' >> .git/info/attributes", cage.GIT, guarded=[".git/info/attributes"])


def test_grafts_and_exclude(cage: Cage) -> None:
    script = "echo '*.py' >> .git/info/exclude; echo x >> .git/info/grafts"
    cage.escape(script, cage.GIT, guarded=[".git/info/grafts", ".git/info/exclude"])
