"""Escapes 22, 96 again: a repository that the run makes itself, with hooks and configuration prepared beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_template_with_a_hook(cage: Cage) -> None:
    cage.both("mkdir -p t/hooks; cp evil t/hooks/pre-commit")
    cage.escape("git init -q --template=t sub", cage.GIT, guarded=["sub/.git/hooks/pre-commit"])


def test_clone_with_configuration(cage: Cage) -> None:
    script = (
        "git clone -q -c core.fsmonitor=./evil . sub; git -C sub config core.hooksPath x; git -C "
        "sub config core.pager ./evil"
    )
    outcome = cage.run(script)
    config = cage.tree / "sub/.git/config"
    assert not config.exists() or "evil" not in config.read_text()
    assert not config.exists() or "hookspath" not in config.read_text().lower()
    cage.refused(outcome, cage.GIT)


def test_hook_in_an_own_repository(cage: Cage) -> None:
    script = (
        "git init -q sub; cp evil sub/.git/hooks/pre-commit; mkdir -p sub/.git/hooks; cp evil sub/.git/hooks/pre-commit"
    )
    cage.escape(script, cage.GIT, guarded=["sub/.git/hooks/pre-commit"])


def test_nested_repository_of_the_user(cage: Cage) -> None:
    cage.both("git init -q sub")
    script = "cp evil sub/.git/hooks/pre-commit; git -C sub config core.hooksPath x; mv sub/.git sub/g; rm -rf sub/.git"
    guarded = ["sub/.git/hooks/pre-commit", "sub/.git/config", "sub/.git/HEAD"]
    cage.escape(script, cage.GIT, guarded=guarded)


def test_prepared_folder_becomes_a_repository(cage: Cage) -> None:
    """Nothing is named .git until the last step, which gives the whole folder that name."""
    script = (
        "mkdir -p sub; git init -q --bare sub/g; mkdir -p sub/g/hooks; cp evil "
        "sub/g/hooks/pre-commit; mv sub/g sub/.git"
    )
    cage.escape(script, cage.GIT, guarded=["sub/.git"])


def test_gitfile_to_a_prepared_folder(cage: Cage) -> None:
    cage.both("git init -q sub; git init -q --bare planted; git -C planted config core.pager ./evil")
    script = "mv sub/.git sub/old; echo 'gitdir: ../planted' > sub/.git"
    cage.escape(script, cage.GIT, guarded=["sub/.git/HEAD"])
