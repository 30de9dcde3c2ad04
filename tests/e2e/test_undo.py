"""`govrun undo`: what a run changed is put back to the last bit, and nothing that somebody changed since is lost."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

# What an agent does to a thousand files, each in one of ten ways. `make` builds what `work` changes.
WAYS = r"""
import os, shutil, sys
def make():
    for n in range(COUNT):
        folder = f"d{n % 20}/e{n % 3}"
        os.makedirs(folder, exist_ok=True)
        name = f"{folder}/f{n}"
        with open(name, "w") as file: file.write(f"content {n}\n" * (n % 50 + 1))
        os.chmod(name, [0o644, 0o755, 0o600, 0o444][n % 4])
        if n % 7 == 0: os.symlink(f"f{n}", f"{folder}/l{n}")
        if n % 9 == 0: os.link(name, f"{folder}/h{n}")
        if n % 11 == 0:
            try: os.setxattr(name, "user.note", b"before %d" % n)
            except OSError: pass
        if n % 13 == 0: os.utime(name, ns=(n * 10**9, n * 10**9 + 7))
    for n in range(20): os.utime(f"d{n}", (10**9 + n, 10**9 + n))
def work():
    for n in range(COUNT):
        folder = f"d{n % 20}/e{n % 3}"; name = f"{folder}/f{n}"; way = n % 10
        if way == 0:
            os.chmod(name, 0o644)
            with open(name, "a") as file: file.write("more\n")
        elif way == 1: os.unlink(name)
        elif way == 2: os.rename(name, f"{folder}/renamed{n}")
        elif way == 3: os.chmod(name, 0o700)
        elif way == 4: os.unlink(name); os.symlink("elsewhere", name)
        elif way == 5:
            with open(name + ".new", "w") as file: file.write("replaced")
            os.rename(name + ".new", name)
        elif way == 6: os.unlink(name); os.mkdir(name); open(name + "/inside", "w").close()
        elif way == 7: os.truncate(name, 1) if os.access(name, os.W_OK) else os.unlink(name)
        elif way == 8: os.utime(name, (5, 5)); os.setxattr(name, "user.new", b"x") if XATTRS else None
        elif way == 9:
            if os.path.exists(f"{folder}/h{n}"): os.unlink(f"{folder}/h{n}")
            open(f"{folder}/made{n}", "w").write("new")
    os.rename("d19/e1", "moved")
    shutil.rmtree("d18")
    os.mkdir("d18"); open("d18/other", "w").write("o")
"""


def ways(count: int, call: str, *, xattrs: bool = True) -> str:
    return WAYS.replace("COUNT", str(count)).replace("XATTRS", str(xattrs)) + call + "()\n"


def state_of(tree: Path) -> dict[str, tuple[object, ...]]:
    """Kind, mode, owner, times, attributes, content or link, and the names of the same inode, of everything."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[tuple[int, int], list[str]] = {}
    for folder, names, files in os.walk(tree):
        names[:] = [name for name in names if name != ".git"]
        for name in [".", *files, *(n for n in names if (Path(folder) / n).is_symlink())]:
            path = Path(folder) / name
            info = path.lstat()
            content = b""
            if stat.S_ISLNK(info.st_mode):
                content = os.fsencode(os.readlink(path))
            elif stat.S_ISREG(info.st_mode):
                content = path.read_bytes()
            xattrs = {each: os.getxattr(path, each, follow_symlinks=False) for each in listed(path)}
            own = os.path.relpath(path, tree)
            if stat.S_ISREG(info.st_mode):
                inodes.setdefault((info.st_dev, info.st_ino), []).append(own)
            found[own] = (oct(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns, tuple(xattrs.items()), content)
    for names_of in inodes.values():
        for name in names_of:
            found[name] += (tuple(sorted(names_of)),)
    return found


def listed(path: Path) -> list[str]:
    try:
        return sorted(each for each in os.listxattr(path, follow_symlinks=False) if each.startswith("user."))
    except OSError:
        return []


def differing(one: dict[str, tuple[object, ...]], other: dict[str, tuple[object, ...]]) -> dict[str, object]:
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return {name: (str(one.get(name))[:300], str(other.get(name))[:300]) for name in names[:10]}


@pytest.fixture
def tree(govrun: Govrun, repo: Path) -> Path:
    assert govrun.cwd == repo
    return repo


def test_a_thousand_files_of_every_kind_of_change(govrun: Govrun, tree: Path) -> None:
    subprocess.run([sys.executable, "-c", ways(1000, "make")], cwd=tree, check=True)
    xattrs = "user.note" in listed(tree / "d0/e0/f0")
    before = state_of(tree)
    govrun("python3", "-c", ways(1000, "work", xattrs=xattrs)).ok()
    worked = state_of(tree)
    assert len(differing(before, worked)) == 10
    undone = govrun.cli("undo", "latest")
    assert undone.code == 0, undone.stdout[-2000:]
    assert differing(before, state_of(tree)) == {}
    again = govrun.cli("undo", "latest")  # the undo is a run, too
    assert again.code == 0, again.stdout[-2000:]
    kept = {name: each[:3] + each[5:] for name, each in state_of(tree).items()}
    assert differing({name: each[:3] + each[5:] for name, each in worked.items()}, kept) == {}


def test_what_the_user_changed_since_is_named_and_kept(govrun: Govrun, tree: Path) -> None:
    before = state_of(tree)
    govrun("bash", "-c", "echo a >> README.md; echo b >> src/app.py; mkdir new; echo n > new/n; echo m > new/m").ok()
    (tree / "src/app.py").write_text("mine\n")
    (tree / "new/mine").write_text("mine\n")
    shown = govrun.cli("undo", "latest", "--dry-run")
    assert shown.code == 1
    assert b"left      src/app.py: it is not as the run left it" in shown.stdout
    assert (tree / "new/n").exists()
    done = govrun.cli("undo", "latest")
    assert done.code == 1
    assert b"left      src/app.py: it is not as the run left it" in done.stdout
    assert b"left      new: it is not empty: mine" in done.stdout
    assert (tree / "src/app.py").read_text() == "mine\n"
    assert sorted(path.name for path in (tree / "new").iterdir()) == ["mine"]
    assert state_of(tree)["README.md"] == before["README.md"]
    assert [each["op"]["path"] for each in done.records(outcome="failed")] == [
        str(tree / "src/app.py"),
        str(tree / "new"),
    ]


def test_only_some_paths_or_only_what_came_after_a_record(govrun: Govrun, tree: Path) -> None:
    ran = govrun("bash", "-c", "echo 1 > a; ls > /dev/null; echo 2 > a; echo 2 > b; ls > /dev/null; echo 3 > a").ok()
    first = next(each["seq"] for each in ran.records(kind="exec", phase="outcome") if each["seq"] > 3)
    assert govrun.cli("undo", ran.run, "--to", str(first), "b").code == 0
    assert not (tree / "b").exists()
    assert (tree / "a").read_text() == "3\n"
    assert govrun.cli("undo", ran.run, "--to", str(first)).code == 0
    assert (tree / "a").read_text() == "1\n"
    refused = govrun.cli("undo", ran.run, "src")
    assert refused.code == 2
    assert "the run did not change" in refused.stderr


def test_paths_are_meant_from_here_else_from_the_tree_and_done_once(govrun: Govrun, tree: Path) -> None:
    before = state_of(tree)
    run = govrun("bash", "-c", "mkdir d; echo 1 > src/a; echo 2 > src/b; echo 3 > d/c").ok().run
    assert govrun.cli("undo", run, "a", cwd=tree / "src").code == 0
    assert govrun.cli("undo", run, "src/b", cwd=tree / "src").code == 0
    assert not (tree / "src/a").exists() and not (tree / "src/b").exists()
    assert "nothing to do" in govrun.cli("undo", run, "src/b").stdout.decode()
    assert govrun.cli("undo", run).code == 0
    assert differing(before, state_of(tree)) == {}


def test_latest_is_of_this_tree_alone(govrun: Govrun, tree: Path, tmp_path: Path) -> None:
    run = govrun("bash", "-c", "echo 1 > a").ok().run
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", str(other)], check=True)
    for place in (other, tmp_path):
        refused = govrun.cli("undo", "latest", cwd=place)
        assert refused.code == 2 and "this tree has no run yet" in refused.stderr
    named = govrun.cli("undo", run, cwd=other)
    assert named.code == 0
    assert named.stdout.decode().startswith(f"{run}   {tree}: bash -c")
    assert not (tree / "a").exists()


@pytest.mark.parametrize("seq", ["0", "-5", "999"])
def test_a_record_that_is_not_there(govrun: Govrun, tree: Path, seq: str) -> None:
    govrun("bash", "-c", "echo 1 > a").ok()
    refused = govrun.cli("undo", "latest", "--to", seq)
    assert refused.code == 2 and f"no record {seq}" in refused.stderr
    assert (tree / "a").exists()


def test_nothing_is_undone_twice_or_while_the_run_goes_on(govrun: Govrun, tree: Path) -> None:
    running = govrun.start("bash", "-c", "echo 1 > a; ls >/dev/null; sleep 30")
    for _ in range(200):
        if (tree / "a").exists():
            break
        time.sleep(0.05)
    refused = govrun.cli("undo", "latest")
    assert refused.code == 2
    assert "goes on" in refused.stderr
    assert govrun.cli("stop").code == 0
    run = running.wait().run
    assert govrun.cli("undo", run).code == 0
    assert not (tree / "a").exists()
    assert b"nothing to do" in govrun.cli("undo", run).stdout
    ran = govrun("true")
    assert "there is nothing to undo" in govrun.cli("undo", ran.run).stderr


def test_no_run_undoes_another(govrun: Govrun, tree: Path) -> None:
    run = govrun("bash", "-c", "echo 1 > a").ok().run
    inside = govrun(*(str(word) for word in govrun.argv("undo", run)))
    assert inside.code == 2
    assert "does not work inside a run" in inside.stderr
    assert (tree / "a").exists()


def test_an_undo_that_is_killed_is_finished_by_another(govrun: Govrun, tree: Path) -> None:
    subprocess.run([sys.executable, "-c", ways(300, "make")], cwd=tree, check=True)
    before = state_of(tree)
    run = govrun("python3", "-c", ways(300, "work", xattrs="user.note" in listed(tree / "d0/e0/f0"))).ok().run
    worked = state_of(tree)
    halfway = 0
    for pause in (0, 0, 0.05, 0.1):
        words = [str(word) for word in govrun.argv("undo", run)]
        process = subprocess.Popen(words, cwd=tree, env=govrun.env, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # which run
        process.stdout.readline()  # the first path is done
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        killed = process.wait() == -signal.SIGKILL
        process.stdout.close()
        now = state_of(tree)
        halfway += killed and bool(differing(before, now)) and bool(differing(worked, now))
        govrun.cli("recover")
    assert halfway
    assert not [name for name in state_of(tree) if ".govrun-" in name]
    last = govrun.cli("undo", run)
    assert last.code == 0, last.stdout[-2000:]
    assert differing(before, state_of(tree)) == {}


def test_names_of_one_file_that_are_put_back_one_after_the_other_are_one_again(govrun: Govrun, tree: Path) -> None:
    (tree / "one").write_text("1\n")
    (tree / "two").hardlink_to(tree / "one")
    (tree / "three").hardlink_to(tree / "one")
    before = state_of(tree)
    run = govrun("rm", "one", "two", "three").ok().run
    assert govrun.cli("undo", run, "two").code == 0  # as far as one comes that is killed
    assert govrun.cli("undo", run).code == 0
    assert differing(before, state_of(tree)) == {}


@pytest.mark.needs("user")  # root reads every file
def test_what_was_not_kept_is_named(govrun: Govrun, tree: Path) -> None:
    (tree / "secret").write_text("x")
    (tree / "secret").chmod(0)
    govrun("bash", "-c", "rm -f secret; echo 1 > a").ok()
    done = govrun.cli("undo", "latest")
    assert done.code == 1
    assert b"left      secret: it was not kept: it cannot be read" in done.stdout
    assert not (tree / "a").exists()


def test_a_folder_that_became_a_link_leads_nowhere(govrun: Govrun, tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "app.py").write_text("not of this tree\n")
    before, was = state_of(tree), state_of(outside)
    govrun("bash", "-c", f"rm -r src; ln -s {outside} src; echo 1 > a").ok()
    done = govrun.cli("undo", "latest")
    assert done.code == 0, done.stdout
    assert differing(before, state_of(tree)) == {}
    assert differing(was, state_of(outside)) == {}


def test_what_was_moved_stays_where_it_is_until_it_is_back(govrun: Govrun, tree: Path, tmp_path: Path) -> None:
    before = state_of(tree)
    run = govrun("bash", "-c", "mv src moved").ok().run
    (tree / "src").symlink_to(tmp_path)  # the user has put a link in its place
    done = govrun.cli("undo", "latest")
    assert done.code == 1, done.stdout
    assert (tree / "moved/app.py").exists(), done.stdout
    assert b"left      moved/app.py: what it says could not be put back where it was" in done.stdout
    (tree / "src").unlink()
    again = govrun.cli("undo", done.run)  # it put nothing back, and the link is the user's
    assert again.code == 1 and b"left      src: it is not as the run left it" in again.stdout
    assert not (tree / "src/app.py").exists() and (tree / "moved/app.py").exists()
    assert govrun.cli("undo", run).code == 0
    assert (tree / "src/app.py").read_text() == "def answer() -> int:\n    return 42\n"
    assert differing(before, state_of(tree)) == {}


def test_json(govrun: Govrun, tree: Path) -> None:
    govrun("bash", "-c", "echo 1 > a; rm README.md").ok()
    told = govrun.cli("undo", "latest", "--json").stdout.splitlines()
    assert [json.loads(line) for line in told] == [
        {"path": str(tree / "README.md"), "how": "restored"},
        {"path": str(tree / "a"), "how": "removed"},
    ]
