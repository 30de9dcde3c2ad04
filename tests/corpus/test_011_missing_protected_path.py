"""Escape 11: create a protected path that did not exist when the run began; masks cannot stand on a missing name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_missing_attributes(cage: Cage) -> None:
    cage.both("rm -rf .git/info")
    cage.escape(
        "mkdir -p .git/info; echo '* filter=x' > .git/info/attributes", cage.GIT, guarded=[".git/info/attributes"]
    )


def test_missing_hook(cage: Cage) -> None:
    cage.both("rm -rf .git/hooks")
    script = "mkdir .git/hooks; cp evil .git/hooks/post-checkout"
    cage.escape(script, cage.GIT, guarded=[".git/hooks/post-checkout"])


def test_missing_profile(cage: Cage) -> None:
    """No profile binds in this run; one that the agent writes would bind the next."""
    cage.escape("printf 'version = 1\\nextends = []\\n' > govrun.toml", cage.POLICY, guarded=["govrun.toml"])


def test_missing_protected_folder(cage: Cage) -> None:
    cage.profile('[scope]\nprotect = ["rules/**"]\n')
    cage.escape("mkdir rules; echo mine > rules/one", cage.PROTECT, guarded=["rules/one"])
