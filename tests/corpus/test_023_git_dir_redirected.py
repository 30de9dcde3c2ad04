"""Escape 23: files that tell git where its directories are (gitfile, commondir, alternates)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_commondir(cage: Cage) -> None:
    cage.escape('echo "$OUT" > .git/commondir', cage.GIT, guarded=[".git/commondir"])


def test_alternates(cage: Cage) -> None:
    script = 'mkdir -p .git/objects/info; echo "$OUT" > .git/objects/info/alternates'
    cage.escape(script, cage.GIT, guarded=[".git/objects/info/alternates"])


def test_objects_become_a_link(cage: Cage) -> None:
    outcome = cage.run('mv .git/objects .git/o; ln -s "$OUT" .git/objects')
    assert not (cage.tree / ".git/objects").is_symlink()
    cage.refused(outcome, cage.GIT)


def test_gitfile_of_a_worktree(cage: Cage) -> None:
    """In a linked worktree .git is a file; whoever writes it chooses the repository, and with it the hooks."""
    cage.both("git worktree add -q ../linked")
    linked = cage.tree.parent / "linked"
    before = (linked / ".git").read_bytes()
    outcome = cage.run('echo "gitdir: $OUT" > .git; rm -f .git', cwd=linked)
    assert (linked / ".git").read_bytes() == before
    cage.refused(outcome, cage.GIT)


def test_other_worktrees(cage: Cage) -> None:
    """From a linked worktree the main one and its siblings are somebody else's; only objects and refs are shared."""
    cage.both("git worktree add -q ../linked; git worktree add -q ../sibling")
    linked = cage.tree.parent / "linked"
    common = cage.tree / ".git"
    names = ["HEAD", "index", "config", "hooks/pre-commit", "info/attributes", "worktrees/sibling/HEAD"]
    names += ["worktrees/sibling/gitdir", "worktrees/linked/gitdir", "worktrees/linked/commondir"]
    paths = [common / name for name in names] + [cage.tree / "README.md", cage.tree.parent / "sibling/README.md"]
    before = [path.read_bytes() if path.exists() else None for path in paths]
    outcome = cage.run("; ".join(f"echo x > {path}" for path in paths), cwd=linked)
    after = [path.read_bytes() if path.exists() else None for path in paths]
    changed = [str(path) for path, old, new in zip(paths, before, after, strict=True) if old != new]
    assert not changed, f"{changed}\n{outcome.stderr}"
    cage.refused(outcome, cage.GIT)
    cage.refused(outcome, cage.WRITE)
