"""Where a run works: its tree, the folder it starts in, the home folder, and where its package caches lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from supervisor.git.layout import Repository, discover
from supervisor.vocabulary.errors import UsageError

TEMPORARY = (b"/tmp", b"/var/tmp", b"/dev/shm")


class Place(NamedTuple):
    """Where a run works: ``tree`` (canonical), the directory it starts in, its repository if it has one."""

    tree: Path
    cwd: Path
    repository: Repository | None


def place_of(cwd: Path, root: Path | None) -> Place:
    """The tree that a start in ``cwd`` governs: ``root``, else the top of the repository, else ``cwd``. Errors:
    ``UsageError``."""
    if root is None:
        repository = discover(cwd)
        return Place(repository.top if repository is not None else cwd, cwd, repository)
    tree = Path(os.path.realpath(root))
    if not tree.is_dir():
        raise UsageError(
            f"--root {str(root)!r} is not a folder", f"{tree} is not there, or a file", "name an existing folder"
        )
    if tree != cwd and tree not in cwd.parents:
        raise UsageError(f"--root {str(root)!r} does not contain the working directory", str(cwd), "cd into it first")
    repository = discover(tree)
    if repository is not None and repository.top != tree:
        repository = None  # the tree is a part of a repository whose git directory lies outside it
    return Place(tree, cwd, repository)


def working_directory() -> Path:
    """Where govrun was called, links resolved. Errors: ``UsageError``."""
    try:
        return Path(os.path.realpath(os.getcwd()))
    except OSError as error:
        raise UsageError("the working directory is gone", str(error), "cd into a folder that exists") from error


def check_tree(place: Place, home: Path, state: Path, *, explicit: bool) -> None:
    """Refuse trees that would put too much into the write scope. Errors: ``UsageError``."""
    tree = place.tree
    repository = place.repository
    if repository is not None and repository.bare:
        raise UsageError(
            "this is a bare repository", "there is no working tree to govern", "call govrun from a checkout"
        )
    if repository is not None and repository.ref_format != "files":
        why = f"its refs are stored as {repository.ref_format!r}, which cannot be judged yet"
        raise UsageError("this repository's ref storage is not supported", why, "git refs migrate --ref-format=files")
    if not explicit and (tree == home or tree in home.parents):
        why = f"the working tree would be {tree}, which holds your whole home folder"
        raise UsageError("the working tree is too large to govern", why, "cd into a project, or say --root DIR")
    if tree == Path("/"):
        raise UsageError("the working tree cannot be /", "it would put the whole machine in scope", "cd into a project")
    if state == tree or tree in state.parents:
        why = f"govrun keeps its records in {state}, out of the run's reach"
        raise UsageError("the working tree contains govrun's state folder", why, "set XDG_STATE_HOME elsewhere")


def home_folder(environ: Mapping[str, str]) -> str:
    """``$HOME``, else what the user database says. Errors: ``UsageError`` when neither names a folder."""
    home = environ.get("HOME", "")
    why = f"HOME is {home!r}"
    if not home.startswith("/"):
        import pwd

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = ""
        why = f"HOME is not set, and the user database says {home or 'nothing'!r}"
    if not os.path.isdir(home):
        raise UsageError("there is no home folder", why, "set HOME to a folder of yours")
    return home


def cache_base(environ: dict[str, str], home: Path, tree: Path) -> Path:
    """The folder for this tree's package caches: writable by runs, shared by the runs of one tree."""
    base = environ.get("XDG_CACHE_HOME", "")
    folder = Path(base) if base.startswith("/") else home / ".cache"
    return folder / "govrun" / hashlib.sha256(os.fsencode(tree)).hexdigest()[:16]
