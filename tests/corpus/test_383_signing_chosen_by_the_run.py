"""Escape 383: govrun asks git and gpg, ungoverned, what a run may sign with; the answer comes from a file that runs
write. A key that reads like an option has gpg start a program; any other one may be a key the user never meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

KEYS = {
    "user.signingkey": "--homedir=gh",
    "commit.gpgsign": "true",
    "tag.gpgSign": "1",
    "gpg.format": "ssh",
}


@pytest.mark.needs("gpg")
@pytest.mark.parametrize("setting", ["user.signingkey '--homedir=gh'", "user.name '--homedir=gh'"])
def test_a_key_is_no_option(cage: Cage, setting: str) -> None:
    """gpg opens its log before it looks for a key, so the settings were read when there is one."""
    folder = "gh" if "signingkey" in setting else "'gh <>'"
    cage.both(f"mkdir -m 700 {folder}; echo log-file $OUT/planted > {folder}/gpg.conf")
    cage.both(f"git config commit.gpgsign true; git config user.email ''; git config {setting}")
    cage.bare(f"gpg --batch --no-tty --list-keys --homedir={folder}")
    assert (cage.twin_home / "outside/planted").exists()
    cage.run("true").ok()
    assert not (cage.home / "outside/planted").exists()


def test_runs_do_not_choose(cage: Cage) -> None:
    lines = "; ".join(f"git config '{key}' '{value}'" for key, value in KEYS.items())
    outcome = cage.escape(lines, cage.GIT, guarded=[".git/config"])
    assert len(cage.refused(outcome, cage.GIT)) >= len(KEYS)


def test_without_signing_and_in_repositories_of_the_run(cage: Cage) -> None:
    cage.both("git config commit.gpgsign true; git config user.signingkey nobody")
    cage.run("git config commit.gpgsign false && git config --unset user.signingkey").ok()
    cage.run("git init -q new && cd new && git config commit.gpgsign true && git config user.signingkey AB12").ok()
