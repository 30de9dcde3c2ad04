"""What is looked at after it was written: files that lead git somewhere, steps of a rebase."""

from __future__ import annotations

import os
from pathlib import Path

from supervisor.run.leftovers import steps_left
from supervisor.run.pointers import Pointers


def test_pointers_into_temporary_space_are_taken_away(tmp_path: Path) -> None:
    temporary = os.fsencode(tmp_path / "tmp")
    told: list[tuple[bytes, bytes]] = []
    pointers = Pointers(lambda path: path.startswith(temporary), lambda path, leads: told.append((path, leads)))
    for name in ("a", "b", "c", "tmp/d", "e"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("tmp/d")
    contents = {"a/.git": "gitdir: ../tmp/d\n", "b/.git": "gitdir: ../link\n", "c/commondir": "../tmp/x\0/../../y\n",
                "e/.git": "gitdir: ../c\n", "tmp/d/.git": "gitdir: ../d\n"}  # fmt: skip
    for name in contents:
        pointers.landed(os.fsencode(tmp_path / name))
    for name in contents:
        (tmp_path / name).write_text("")
    pointers.look()
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    pointers.look()
    assert {name for name in contents if (tmp_path / name).exists()} == {"e/.git", "tmp/d/.git"}
    assert {leads for _, leads in told} == {temporary + b"/d", temporary + b"/x"}
    (tmp_path / "e").rename(tmp_path / "f")
    pointers.moved(os.fsencode(tmp_path / "e"), os.fsencode(tmp_path / "f"), exchange=False)
    (tmp_path / "f/.git").write_text("gitdir: ../tmp/d")
    (tmp_path / "f").chmod(0o555)
    pointers.look()
    assert not (tmp_path / "f/.git").exists()
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o555
    (tmp_path / "f").chmod(0o755)
    pointers.look()


def test_steps_that_wait(tmp_path: Path) -> None:
    assert steps_left(os.fsencode(tmp_path), os.fsencode(tmp_path), 0) == []
    for folder in (tmp_path, tmp_path / "worktrees/w"):
        (folder / "rebase-merge").mkdir(parents=True)
    (tmp_path / "rebase-merge/git-rebase-todo").write_text("pick 1 a\nexec make test\nx  two\n# exec no\nbreak\n")
    (tmp_path / "worktrees/w/rebase-merge/git-rebase-todo").write_text("exec three\n")
    folder = os.fsencode(tmp_path)
    assert steps_left(folder, folder, 0) == ["make test", "two", "three"]
    assert steps_left(folder, folder, 1 << 40) == []
