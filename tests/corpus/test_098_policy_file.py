"""Escape 98: change the policy that binds now, or the next time (sandy issue 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


SCRIPTS = [
    "echo 'extends = []' > govrun.toml",
    "echo 'extends = []' >> govrun.toml",
    "rm -f govrun.toml",
    "mv govrun.toml old.toml",
    "mv -f evil govrun.toml",
    "ln -f evil govrun.toml",
    "ln -sf evil govrun.toml",
    "chmod 777 govrun.toml",
    "touch -d 2001-01-01 govrun.toml",
    "truncate -s 0 govrun.toml",
    "cp evil govrun.toml",
    "sed -i s/version/x/ govrun.toml",
    "ln govrun.toml alias; echo x >> alias",
    "ln -s govrun.toml alias; echo x >> alias",
    "setfattr -n user.x -v 1 govrun.toml",
    "git rm -qf govrun.toml",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_policy_file(cage: Cage, script: str) -> None:
    cage.profile("")
    cage.both("git add govrun.toml; git commit -qm policy")
    cage.escape(script, cage.POLICY, guarded=["govrun.toml"])


def test_whole_tree_moved(cage: Cage) -> None:
    cage.profile("")
    outcome = cage.run('cd ..; mv repo repo2; mkdir repo; echo "extends = []" > repo/govrun.toml')
    assert (cage.tree / "govrun.toml").read_text() == "version = 1\n"
    cage.refused(outcome, cage.WRITE)


def test_nested_policy_files(cage: Cage) -> None:
    cage.profile("")
    cage.escape("mkdir -p sub; echo 'extends = []' > sub/govrun.toml", cage.POLICY, guarded=["sub/govrun.toml"])


def test_proposal_is_welcome(cage: Cage) -> None:
    cage.profile("")
    cage.run("echo 'version = 1' > govrun.toml.proposed").ok()


def test_decision_in_force(cage: Cage) -> None:
    cage.both("mkdir -p docs/adr; printf -- '---\\nid: 1\\nstatus: accepted\\n---\\n# One\\n' > docs/adr/0001-one.md")
    cage.profile('adr_dir = "docs/adr"\n[[command]]\nid = "no-x"\nadr = "0001"\ndeny = ["deploy"]\n')
    cage.escape("echo '# other' > docs/adr/0001-one.md", cage.POLICY, guarded=["docs/adr/0001-one.md"])
