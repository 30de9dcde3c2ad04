"""Escape 213: a hidden folder that is a symbolic link, or lies beneath one, as managers of dot files leave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


@pytest.mark.parametrize(("link", "inner"), [(".ssh", "id"), (".config", "gh/hosts.yml"), (".aws", "config")])
def test_hidden_behind_a_link(cage: Cage, link: str, inner: str) -> None:
    for home in (cage.home, cage.twin_home):
        secret = home / "dotfiles" / link / inner
        secret.parent.mkdir(parents=True)
        secret.write_text("not-a-real-key\n")
        (home / link).symlink_to(home / "dotfiles" / link)
    for path in (f"$HOME/{link}/{inner}", f"$HOME/dotfiles/{link}/{inner}", f"$HOME/outside/../{link}/{inner}"):
        assert cage.bare(f"cat {path}").stdout == b"not-a-real-key\n"
        assert cage.run(f"cat {path}").stdout == b""


def test_what_else_is_behind_the_link_stays_readable(cage: Cage) -> None:
    (cage.home / "dotfiles/gh").mkdir(parents=True)
    (cage.home / "dotfiles/plain").write_text("plain\n")
    (cage.home / ".config").symlink_to(cage.home / "dotfiles")
    assert cage.run("cat $HOME/.config/plain").stdout == b"plain\n"
