"""What a run can do so that an undo loses something, or a change is told nowhere."""

from __future__ import annotations

import resource
import subprocess
import time
from typing import TYPE_CHECKING

from tests.e2e.test_states import git, lineage, states
from tests.e2e.test_undo import differing, state_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Govrun

# A page that is written to already gives no fault, so its file gets no other time (mmap(2)).
MAPPED = """
import mmap, os, subprocess
fd = os.open("README.md", os.O_RDWR)
pages = mmap.mmap(fd, 0)
os.close(fd)
pages[0:1] = b"X"
subprocess.run(["true"])
pages[1:2] = b"Y"
"""


def test_a_folder_in_place_of_a_file_goes_only_when_it_is_empty(govrun: Govrun, repo: Path) -> None:
    before = state_of(repo)
    run = govrun("bash", "-c", "rm README.md; mkdir README.md; echo r > README.md/r").ok().run
    (repo / "README.md/mine").write_text("mine\n")
    done = govrun.cli("undo", run)
    assert done.code == 1
    assert b"left      README.md: it is not empty: mine" in done.stdout
    assert (repo / "README.md/mine").read_text() == "mine\n"
    (repo / "README.md/mine").unlink()
    (repo / "README.md").rmdir()  # as an undo that was killed just then leaves it
    govrun.cli("undo", run).ok()
    assert state_of(repo)["README.md"] == before["README.md"]


def test_what_is_written_by_a_name_that_is_not_followed(govrun: Govrun, repo: Path) -> None:
    (repo / ".gitignore").write_text("ignored/\n")
    (repo / "ignored").mkdir()
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "ignore")
    before = state_of(repo)
    govrun("bash", "-c", "ln README.md ignored/x; echo evil > ignored/x").ok()
    assert (repo / "README.md").read_text() == "evil\n"
    assert lineage(govrun)[-1]["why"] == ""
    govrun.cli("undo", "latest").ok()
    assert state_of(repo)["README.md"][:-1] == before["README.md"][:-1]  # ignored/x is another file by now


def test_what_is_written_to_a_mapping_is_the_runs(govrun: Govrun, repo: Path) -> None:
    before = state_of(repo)
    govrun("python3", "-c", MAPPED).ok()
    assert (repo / "README.md").read_bytes().startswith(b"XY")
    assert "others" not in [each["why"] for each in lineage(govrun)]
    govrun.cli("undo", "latest").ok()
    assert differing(before, state_of(repo)) == {}


def test_what_is_ignored_in_a_moved_folder_comes_back_and_is_no_part_of_a_state(govrun: Govrun, repo: Path) -> None:
    (repo / ".gitignore").write_text("*.key\n")
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "ignore")
    (repo / "src/s.key").write_text("SECRET\n")
    before = state_of(repo)
    govrun("mv", "src", "moved").ok()
    assert "others" not in [each["why"] for each in lineage(govrun)]
    assert "SECRET" not in git(govrun, repo, states(govrun), "log", "--all", "-p")
    govrun.cli("undo", "latest").ok()
    assert differing(before, state_of(repo)) == {}


def test_a_folder_that_is_made_again_is_as_private_as_it_was(govrun: Govrun, repo: Path) -> None:
    for folder in ("one", "two/e"):
        (repo / folder).mkdir(parents=True)
        (repo / folder / "f").write_text("f")
        (repo / folder / "g").write_text("g")
    for folder in ("one", "two", "two/e"):
        (repo / folder).chmod(0o700)
    run = govrun("bash", "-c", "rm one/f; rm -r two").ok().run
    subprocess.run(["rm", "-r", "one"], cwd=repo, check=True)  # by the user
    govrun.cli("undo", run, "one/f")
    govrun.cli("undo", run, "two/e/f")
    for folder in ("one", "two", "two/e"):
        assert oct((repo / folder).stat().st_mode) == "0o40700", folder
    assert (repo / "two/e/f").read_text() == "f"


def test_a_large_file_is_told_once(govrun: Govrun, repo: Path) -> None:
    with open(repo / "large", "wb") as file:
        file.truncate(17 << 20)
    git(govrun, repo, "add", "large")
    git(govrun, repo, "commit", "-qm", "large")
    govrun("true").ok()
    run = govrun("bash", "-c", "echo >> large; truncate -s 1T sparse").ok().run
    assert [each["why"] for each in lineage(govrun)] == [""]
    assert govrun.cli("undo", run).code == 0
    again = govrun.cli("undo", run).ok()
    assert b"nothing to do" in again.stdout


def test_what_somebody_writes_between_two_writes_of_the_run_is_kept(govrun: Govrun, repo: Path) -> None:
    mine = repo.parent / "mine"
    wait = f"touch asked; while ! test -e {mine}; do sleep 0.05; done"
    running = govrun.start("bash", "-c", f"echo 1 >> README.md; ls > /dev/null; {wait}; echo 2 >> README.md")
    while not (repo / "asked").exists():
        time.sleep(0.01)
    saved = repo / ".saved"  # as an editor does it
    saved.write_text((repo / "README.md").read_text() + "mine\n")
    saved.rename(repo / "README.md")
    mine.touch()
    run = running.wait().ok().run
    both = (repo / "README.md").read_text()
    done = govrun.cli("undo", run)
    assert done.code == 1
    assert b"README.md: somebody else changed it, too" in done.stdout
    assert (repo / "README.md").read_text() == both
    govrun.cli("undo", run, "README.md").ok()
    assert "mine" not in (repo / "README.md").read_text()


def test_a_torn_ref_is_mended(govrun: Govrun, repo: Path) -> None:
    govrun("bash", "-c", "echo 1 > a").ok()
    (last,) = (govrun.state / "trees").glob("*/states.git/refs/govrun/last")
    last.write_text("")
    govrun("bash", "-c", "echo 2 > a").ok()
    assert [each["why"] for each in lineage(govrun)] == ["anew", ""]
    assert git(govrun, repo, states(govrun), "cat-file", "blob", f"{lineage(govrun)[-1]['post']}:a") == "2"


def test_paths_as_a_shell_gives_them(govrun: Govrun, repo: Path) -> None:
    govrun("bash", "-c", "echo 1 > src/app.py; mkdir src/src; echo 1 > src/src/new; echo 1 > a").ok()
    told = govrun.cli("undo", "latest", "--dry-run", "./src/").ok().stdout
    assert told.splitlines()[-1] == b"3 would be put back; nothing was changed"
    assert b"src/app.py" in told
    empty = govrun.cli("undo", "latest", "")
    assert (empty.code, (repo / "a").exists()) == (2, True)
    assert "a path is empty" in empty.stderr


def test_what_comes_from_an_ignored_place_goes_back_there(govrun: Govrun, repo: Path) -> None:
    (repo / ".gitignore").write_text("kept/\n")
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "ignore")
    (repo / "kept/folder").mkdir(parents=True)
    for name in ("kept/one", "kept/folder/two"):
        (repo / name).write_text("mine\n")
    before = state_of(repo)
    govrun("bash", "-c", "mv kept/one one; mv kept/folder folder; mv README.md kept/; mv src kept/").ok()
    govrun.cli("undo", "latest").ok()
    assert differing(before, state_of(repo)) == {}


def test_a_run_that_ends_because_nothing_can_be_kept_any_more_can_be_undone(govrun: Govrun, repo: Path) -> None:
    before = state_of(repo)
    limit = 200 << 10
    script = "head -c 300000 /dev/urandom > README.md; ls"
    stopped = govrun(
        "bash", "-c", script, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )  # fmt: skip
    assert stopped.code == 121
    assert (repo / "README.md").stat().st_size == limit
    govrun.cli("undo", "latest").ok()
    assert state_of(repo)["README.md"] == before["README.md"]
