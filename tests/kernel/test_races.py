"""Code that races the supervisor: what a path or an argument means changes while the call is judged.

Each racer first shows that it can win: against no supervisor at all, or against ``naive.c``, which reads a path and
lets the kernel read it again. Under govrun the same racer must see allowed and refused calls, and no forbidden effect.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

SOURCES = Path(__file__).parent / "race_src"
ROUNDS = int(os.environ.get("GOVRUN_ROUNDS", "5000"))
# The calls that a path race is about get every round, their kin a fifth: one mechanism serves them all.
MAIN = ("open", "unlink", "rename-from")
SELF_CHECK_ROUNDS = 600
TRIES = 60
CREATING = ("mkdir", "link", "symlink", "mknod")
CHANGING = ("open", "append", "truncate", "chmod", "utime", "setxattr", "unlink", "rename-from", "rename-to")
FOLLOWING = ("open", "append", "truncate", "chmod", "utime", "setxattr")
DIRFD = ("open", "append", "chmod", "utime", "unlink", "rename-from", "rename-to", *CREATING)

pytestmark = [pytest.mark.needs("gcc", "landlock", "notify"), pytest.mark.timeout(900)]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled racers."""
    folder = tmp_path_factory.mktemp("racers")
    for name in ("racer", "swapper", "naive", "execracer"):
        subprocess.run(["gcc", "-O2", "-pthread", "-o", folder / name, SOURCES / f"{name}.c"], check=True)
    for name, forbidden in (("good", 0), ("evil", 1)):
        subprocess.run(["gcc", "-O2", f"-DEVIL={forbidden}", "-o", folder / name, SOURCES / "evil.c"], check=True)
    return folder


@dataclass
class Arena:
    """``tree0`` is the working tree, ``outsd`` beside it is out of bounds; both have names of five letters, so that
    eight bytes hold all that differs between a path in one and in the other."""

    base: Path
    programs: Path

    @property
    def tree(self) -> Path:
        return self.base / "tree0"

    @property
    def forbidden(self) -> Path:
        return self.base / "outsd"

    def build(self, decoy: str = "folder", inside: bool = False) -> None:
        """A fresh scene. ``decoy``: "folder" makes ``slot`` a directory and ``other`` a link to the forbidden one,
        "file" makes both links to files. ``inside``: forbidden is a protected folder of the tree."""
        shutil.rmtree(self.base, ignore_errors=True)
        (self.tree / "a/b/c").mkdir(parents=True)
        (self.tree / "bin").mkdir()
        forbidden = self.tree / "prot" if inside else self.forbidden
        forbidden.mkdir(parents=True)
        if inside:
            (self.tree / "govrun.toml").write_text('version = 1\n[scope]\nprotect = ["prot/**"]\nwhy = "a test"\n')
            self.forbidden.symlink_to("tree0/prot")
        for precious in (forbidden / "t", self.base / "t"):
            precious.write_text("precious\n")
            os.utime(precious, (1, 1))
        if decoy == "folder":
            (self.tree / "slot").mkdir()
            (self.tree / "other").symlink_to(forbidden)
        else:
            (self.tree / "free").write_text("free\n")
            (self.tree / "slot").symlink_to("free")
            (self.tree / "other").symlink_to(forbidden / "t")

    def state(self) -> list[object]:
        """Everything a forbidden effect could change: what lies beside the tree, and the forbidden folder."""
        # A name that came and went again still shows in the time of its folder.
        folders = (self.base, self.forbidden)
        seen: list[object] = [(sorted(os.listdir(each)), each.stat().st_mtime_ns) for each in folders]
        for path in [self.base / "t", *sorted(self.forbidden.iterdir())]:
            if not path.is_symlink() and not path.exists():
                continue
            st = path.lstat()
            regular = stat.S_ISREG(st.st_mode)
            seen.append(
                (path.name, st.st_ino, oct(st.st_mode), st.st_nlink, st.st_size, st.st_mtime_ns)
                + ((path.read_bytes(), os.listxattr(path)) if regular else ())
            )
        return seen

    def program(self, name: str) -> str:
        return str(self.programs / name)

    def racer(self, op: str, flipper: str, rounds: int) -> list[str]:
        return [self.program("racer"), op, flipper, str(rounds), str(self.base)]


@pytest.fixture
def arena(tmp_path: Path, programs: Path) -> Arena:
    return Arena(tmp_path / "arena", programs)


def _counts(stdout: bytes) -> dict[str, int]:
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", stdout.decode())}


@contextlib.contextmanager
def _swapping(arena: Arena, wanted: bool) -> Iterator[None]:
    """An exchange loop by somebody outside the run."""
    if not wanted:
        yield
        return
    command = [arena.program("swapper"), "slot", "other"]
    with subprocess.Popen(command, cwd=arena.tree, stdin=subprocess.PIPE) as swapper:
        yield
        assert swapper.stdin is not None
        assert swapper.poll() is None, "the swapper ended early"
        swapper.stdin.close()


def _shows_that_it_wins(arena: Arena, command: Sequence[str], *, decoy: str, inside: bool, external: bool) -> None:
    for _ in range(TRIES):
        arena.build(decoy, inside)
        before = arena.state()
        with _swapping(arena, external):
            subprocess.run(command, cwd=arena.tree, check=True, capture_output=True, timeout=120)
        if arena.state() != before:
            return
    pytest.fail(f"the racer never won, so it proves nothing: {command}")


def _race(arena: Arena, govrun: Govrun, op: str, flipper: str, *, decoy: str = "folder", inside: bool = False) -> None:
    """Run the racer under govrun until it has seen both answers; the forbidden state never changes."""
    external = flipper.startswith("out")
    rounds = ROUNDS if op in MAIN else ROUNDS // 5
    total = {"ok": 0, "refused": 0, "other": 0}
    said = ""
    for _ in range(3):
        arena.build(decoy, inside)
        before = arena.state()
        with _swapping(arena, external):
            outcome = govrun(*arena.racer(op, flipper, rounds), options=["--quiet"], cwd=arena.tree, timeout=400).ok()
        assert arena.state() == before, outcome.stdout.decode()
        total = {key: total[key] + value for key, value in _counts(outcome.stdout).items()}
        if total["ok"] and total["refused"]:
            return
        said = outcome.stderr[:2000]
    raise AssertionError(f"allowed and refused calls are both needed: {total}\n{said}")


@pytest.mark.parametrize("flipper", ["thread", "shared"])
@pytest.mark.parametrize("op", CHANGING + CREATING)
def test_path_string_flipped(op: str, flipper: str, arena: Arena, govrun: Govrun) -> None:
    """By a sibling thread, and by another process in a MAP_SHARED page."""
    command = arena.racer(op, flipper, SELF_CHECK_ROUNDS)
    _shows_that_it_wins(arena, command, decoy="folder", inside=False, external=False)
    _race(arena, govrun, op, flipper)


@pytest.mark.parametrize("flipper", ["thread", "shared"])
@pytest.mark.parametrize("op", ["open", "unlink", "rename-from", "mkdir"])
def test_the_flip_beats_a_supervisor_that_continues(op: str, flipper: str, arena: Arena) -> None:
    """The same racer against read-then-continue: the reason why every act is done on behalf."""
    command = [arena.program("naive"), *arena.racer(op, flipper, SELF_CHECK_ROUNDS)]
    _shows_that_it_wins(arena, command, decoy="folder", inside=False, external=False)


@pytest.mark.parametrize("flipper", ["exchange", "outside"])
@pytest.mark.parametrize("op", CHANGING + CREATING)
def test_parent_swapped_for_a_link_out_of_the_tree(op: str, flipper: str, arena: Arena, govrun: Govrun) -> None:
    """By RENAME_EXCHANGE inside the run, and by somebody outside it, whom nothing slows down."""
    command = arena.racer(op, flipper, SELF_CHECK_ROUNDS)
    _shows_that_it_wins(arena, command, decoy="folder", inside=False, external=flipper == "outside")
    _race(arena, govrun, op, flipper)


@pytest.mark.parametrize("flipper", ["exchange", "outside"])
@pytest.mark.parametrize("op", ["open", "unlink", "rename-to", "mkdir", "chmod"])
def test_parent_swapped_for_a_link_to_a_protected_folder(op: str, flipper: str, arena: Arena, govrun: Govrun) -> None:
    command = arena.racer(op, flipper, SELF_CHECK_ROUNDS)
    _shows_that_it_wins(arena, command, decoy="folder", inside=True, external=flipper == "outside")
    _race(arena, govrun, op, flipper, inside=True)


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "protected"])
@pytest.mark.parametrize("flipper", ["file", "outfile"])
@pytest.mark.parametrize("op", FOLLOWING)
def test_last_component_swapped_between_two_links(
    op: str, flipper: str, inside: bool, arena: Arena, govrun: Govrun
) -> None:
    """One link leads to a free file, one to a forbidden file: the judged one is the one that is changed."""
    command = arena.racer(op, flipper, SELF_CHECK_ROUNDS)
    _shows_that_it_wins(arena, command, decoy="file", inside=inside, external=flipper == "outfile")
    _race(arena, govrun, op, flipper, decoy="file", inside=inside)


LINK = ("open", "unlink", "rename-from", "rename-to", "mkdir", "chmod", "link")


@pytest.mark.parametrize("op", CHANGING + CREATING)
def test_descriptor_swapped_that_the_path_begins_with(op: str, arena: Arena, govrun: Govrun) -> None:
    """``/proc/self/fd/N/X`` while a sibling thread gives N another folder by dup2."""
    command = arena.racer(op, "dup", SELF_CHECK_ROUNDS)
    _shows_that_it_wins(arena, command, decoy="folder", inside=False, external=False)
    _race(arena, govrun, op, "dup")


@pytest.mark.parametrize(
    ("op", "flipper"),
    [(op, "movefd") for op in DIRFD] + [(op, "move") for op in CHANGING] + [(op, "movelink") for op in LINK],
)
def test_directory_moved_up_while_the_path_goes_up(op: str, flipper: str, arena: Arena, govrun: Govrun) -> None:
    """``../../X`` from a/b/c is in the tree; from c, where a sibling moves the directory, it is beside the tree."""
    command = arena.racer(op, flipper, SELF_CHECK_ROUNDS)
    _shows_that_it_wins(arena, command, decoy="folder", inside=False, external=False)
    _race(arena, govrun, op, flipper)


def _exec_scene(arena: Arena) -> None:
    """``bin/evil`` may be started by nobody; it would leave a mark in the tree, where it may write."""
    arena.build()
    for name in ("good", "evil", "execracer", "naive"):
        shutil.copy(arena.programs / name, arena.tree / "bin" / name)
    (arena.tree / "govrun.toml").write_text(
        'version = 1\n[scope]\ncommands = ["bin/good", "bin/execracer"]\nwhy = "a test"\n'
    )


def _marks(arena: Arena) -> int:
    return len(list(arena.tree.glob("mark-*")))


HOW = ["threads", "vfork", "spawn", "shared"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("what", ["path", "argv"])
def test_the_exec_flip_beats_a_supervisor_that_continues(what: str, how: str, arena: Arena) -> None:
    _exec_scene(arena)
    command = [f"{arena.tree}/bin/naive", f"{arena.tree}/bin/execracer", what, how, "300", str(arena.base)]
    for _ in range(TRIES):
        subprocess.run(command, cwd=arena.tree, check=True, capture_output=True, timeout=120)
        if _marks(arena):
            return
    pytest.fail("the racer never won, so it proves nothing")


@pytest.mark.parametrize("how", HOW)
def test_forbidden_program_never_runs(how: str, arena: Arena, govrun: Govrun) -> None:
    """The path flips between a permitted and a forbidden program while execve is judged and performed."""
    total = {"good": 0, "evil": 0, "refused": 0, "killed": 0, "other": 0}
    said = ""
    for _ in range(3):
        _exec_scene(arena)
        outcome = govrun(
            f"{arena.tree}/bin/execracer", "path", how, str(ROUNDS), str(arena.base),
            options=["--quiet"], cwd=arena.tree, timeout=600,
        ).ok()  # fmt: skip
        assert _marks(arena) == 0, outcome.stdout.decode()
        total = {key: total[key] + value for key, value in _counts(outcome.stdout).items()}
        assert total["evil"] == 0, total
        if total["good"] and total["refused"] + total["killed"]:
            assert total["other"] == 0, total
            return
        said = outcome.stderr[:2000]
    raise AssertionError(f"permitted and refused execs are both needed: {total}\n{said}")


@pytest.mark.parametrize("how", HOW)
def test_arguments_that_ran_are_those_in_the_log(how: str, arena: Arena, govrun: Govrun) -> None:
    """argv[1] flips; names do not judge it, but what the log says ran must be what ran."""
    _exec_scene(arena)
    outcome = govrun(
        f"{arena.tree}/bin/execracer", "argv", how, str(ROUNDS), str(arena.base),
        options=["--quiet"], cwd=arena.tree, timeout=600,
    ).ok()  # fmt: skip
    counts = _counts(outcome.stdout)
    assert counts["good"] and counts["evil"] + counts["killed"], counts
    assert counts["other"] == counts["refused"] == 0, counts
    through = {each["cause"] for each in outcome.records(kind="exec", outcome="succeeded")}
    logged = [each["op"]["argv"] for each in outcome.records(kind="exec", phase="intent") if each["seq"] in through]
    assert logged.count(["prog", "evil"]) == counts["evil"] == _marks(arena)
    assert logged.count(["prog", "good"]) == counts["good"]
