"""What the composition root puts together: protected files in granted folders, seen through the whole product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = pytest.mark.needs("landlock", "notify")
PROFILE = """version = 1
[scope]
why = "w"
protect = ["~/.config/mini-swe-agent/sub/secret"]
hide = ["~/.config/mini-swe-agent/deep/private/**"]
"""
EXCHANGE = """python3 -c 'import ctypes; ctypes.CDLL(None).renameat2(-100, b"mine", -100, b"sub", 2)'"""
MOVES = [
    "mv sub s2 && echo evil > s2/secret; mv s2 sub",
    "mv deep d2 && echo evil > d2/private/key; mv d2 deep",
    "mv sub s2; mkdir mine; echo evil > mine/secret; ln -s mine sub",
    f"mkdir mine; echo evil > mine/secret; {EXCHANGE}",
]


@pytest.mark.parametrize("script", MOVES)
def test_what_is_protected_in_a_granted_folder_does_not_move_with_it(govrun: Govrun, script: str) -> None:
    folder = govrun.home / ".config/mini-swe-agent"
    for name in ("sub/secret", "deep/private/key"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("fake")
    (govrun.cwd / "govrun.toml").write_text(PROFILE)
    outcome = govrun("sh", "-c", f"cd ~/.config/mini-swe-agent; {script}", options=["--agent", "mini-swe-agent"])
    assert (folder / "sub/secret").read_text() == "fake"
    assert (folder / "deep/private/key").read_text() == "fake"
    assert outcome.denied()


def test_a_run_without_a_repository_may_make_one(govrun: Govrun) -> None:
    plain = govrun.home.parent / "plain"
    plain.mkdir()
    outcome = govrun("sh", "-c", "git init -q .; echo x > .git/hooks/pre-commit; echo alive", cwd=plain).ok()
    assert outcome.stdout == b"alive\n"
    assert outcome.denied("git.internals")
    assert not (plain / ".git/hooks/pre-commit").exists()
