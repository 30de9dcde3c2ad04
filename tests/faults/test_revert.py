"""Reverts that are raced, killed or fail half-way: no edit of anybody is lost, and there is no third version."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.enforce import quarantine, revert, staging
from supervisor.enforce.recover import recover
from supervisor.enforce.revert import Reverter
from supervisor.enforce.staging import identity_of
from supervisor.kernel import libc
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import ABSENT, Version

ROOT = Path(revert.__file__).parents[2]
OLD, NEW = b"accepted\n" * 100, b"rejected\n" * 100


def want_of(content: bytes = OLD) -> Version:
    times = 1_600_000_000_000_000_001, 1_600_000_000_000_000_002
    return Version(Kind.FILE, 0o640, os.geteuid(), os.getegid(), *times, ((b"user.k", b"v"),), size=len(content))


def contents(folder: Path) -> list[bytes]:
    """The files in quarantine, whatever the index says."""
    return [path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "index.jsonl"]


def ours_left(tree: Path) -> list[str]:
    return [n for _, folders, files in os.walk(tree) for n in (*folders, *files) if n.startswith(".govrun-")]


# -- a user who saves the same file all the time --------------------------------------------------------------------

# Every version that a save displaces is written down, so that each edit's fate is known without guessing.
EDITOR = """
import ctypes, os, sys, time
path, how, log, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)
seen = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(count):
    text = b"edit %d\\n" % number
    if how == "rename":
        fd = os.open(path + "~", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(fd, text); os.close(fd)
        if libc.renameat2(-100, (path + "~").encode(), -100, path.encode(), 2) < 0:
            sys.exit("exchange: " + os.strerror(ctypes.get_errno()))
        os.write(seen, open(path + "~", "rb").read())
        os.unlink(path + "~")
    else:
        fd = os.open(path, os.O_RDWR)
        os.write(seen, os.pread(fd, 100, 0))
        os.ftruncate(fd, 0); os.pwrite(fd, text, 0); os.close(fd)
    time.sleep(0.0005 if number % 3 else 0)
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["rename", "in place"])
def test_no_edit_of_a_racing_user_is_lost(tmp_path: Path, how: str) -> None:
    tree, log, pile = tmp_path / "tree", tmp_path / "log", tmp_path / "pile"
    tree.mkdir()
    pile.mkdir()
    path = bytes(tree / "f")
    (tree / "f").write_bytes(b"accepted\n")
    want = want_of(b"accepted\n")
    reverter = Reverter(tmp_path / "staging", tmp_path / "quarantine", bytes(tree))
    editor = subprocess.Popen([sys.executable, "-c", EDITOR, os.fsdecode(path), how, str(log), "2000"])
    outcomes: dict[str, int] = {}
    rounds = 0
    while editor.poll() is None:
        rounds += 1
        # The run saves a rejected version; what it replaces is piled up, so that it counts as the run's doing.
        other = pile / str(rounds)
        other.write_bytes(b"rejected\n")
        os.utime(other, ns=(rounds, rounds))
        libc.renameat2(libc.AT_FDCWD, bytes(other), libc.AT_FDCWD, path, libc.RENAME_EXCHANGE)
        judged = identity_of(os.stat(path))
        if judged.mtime_ns != rounds:
            continue
        done = reverter.restore(path, want, b"accepted\n", judged, lambda _: False)
        outcomes[done.outcome] = outcomes.get(done.outcome, 0) + 1
    reverter.close()
    assert editor.returncode == 0
    assert outcomes.get("restored", 0) > 20 and set(outcomes) <= {"restored", "external"}, outcomes
    found = b"".join([(tree / "f").read_bytes(), log.read_bytes(), *contents(tmp_path / "quarantine"), *contents(pile)])
    missing = [n for n in range(2000) if b"edit %d\n" % n not in found]
    assert missing == [], (outcomes, missing[:10])
    assert ours_left(tree) == [] and os.listdir(tmp_path / "staging") == ["staging.jsonl"]
    print(how, outcomes)


# -- killed at any moment -------------------------------------------------------------------------------------------

RESTORER = """
import os, shutil, sys
from pathlib import Path
from supervisor.enforce import staging
from supervisor.enforce.revert import Reverter
from supervisor.enforce.staging import identity_of
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import ABSENT, Version
base, apart = Path(sys.argv[1]), sys.argv[2] == "apart"
OLD, NEW = b"accepted\\n" * 100, b"rejected\\n" * 100
if apart:
    inside = [(base / name) for name in ("staging", "quarantine")]
    for each in inside: each.mkdir(exist_ok=True)
    numbers, real = [os.stat(each).st_ino for each in inside], staging.libc.renameat2
    def renameat2(olddir, old, newdir, new, flags):
        sides = [os.fstat(fd).st_ino in numbers for fd in (olddir, newdir)]
        if sides[0] != sides[1]: raise OSError(18, "cross")
        real(olddir, old, newdir, new, flags)
    staging.libc.renameat2 = renameat2
tree = os.fsencode(base / "tree")
reverter = Reverter(base / "staging", base / "quarantine", tree)
want = Version(Kind.FILE, 0o640, os.geteuid(), os.getegid(), 1, 2, ((b"user.k", b"v"),), size=len(OLD))
print("ready", flush=True)
number = 0
while True:
    number += 1
    path = tree + b"/f%d" % (number % 4)
    fd = os.open(tree + b"/.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, NEW)
    os.close(fd)
    if os.path.isdir(path):
        shutil.rmtree(path)
    os.rename(tree + b"/.new", path)
    judged = identity_of(os.stat(path))
    version = want if number % 3 else ABSENT
    done = reverter.restore(path, version, OLD, judged, lambda _: False)
    assert done.outcome in ("restored", "removed"), done
    if not number % 3:
        os.mkdir(path)
        open(path + b"/in", "w").close()
        done = reverter.restore(path, want, OLD, identity_of(os.stat(path)), lambda _: False)
        assert done.outcome == "restored", done
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["one", "apart"])
def test_killed_at_a_hundred_moments(tmp_path: Path, how: str) -> None:
    chance = random.Random(20)
    tree = tmp_path / "tree"
    tree.mkdir()
    unfinished = 0
    for _ in range(100 if how == "one" else 40):
        process = subprocess.Popen(
            [sys.executable, "-c", RESTORER, str(tmp_path), how], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(chance.random() * 0.02)
        ended = process.poll()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert ended is None
        if how == "one" and chance.random() < 0.2:
            killed_recover(tmp_path, chance)
        unfinished += bool(recover(tmp_path))
        assert recover(tmp_path) == []
        settled(tmp_path)
    assert unfinished, "no kill hit an operation: the case shows nothing"
    print(how, unfinished)


def killed_recover(base: Path, chance: random.Random) -> None:
    """A recover that is killed itself."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom supervisor.enforce.recover import recover\n"
        "print(1, flush=True)\nrecover(Path(sys.argv[1]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(base)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(chance.random() * 0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def settled(base: Path) -> None:
    tree = base / "tree"
    assert ours_left(tree) == []
    assert os.listdir(base / "staging") == ["staging.jsonl"]
    for path in tree.iterdir():
        if path.is_file() and path.name != ".new":
            assert path.read_bytes() in (OLD, NEW), path
            if path.read_bytes() == OLD:
                assert path.stat().st_mode & 0o7777 == 0o640 and os.getxattr(path, "user.k") == b"v"
                assert path.stat().st_mtime_ns == 2
    listed = {}
    for line in (base / "quarantine/index.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "dropped" in record:
            del listed[record["dropped"]]
        else:
            listed[record["name"]] = record
    names = set(os.listdir(base / "quarantine")) - {"index.jsonl"}
    assert names == set(listed)
    assert all(record["path"].startswith(str(tree)) for record in listed.values())


# -- every single step fails once ---------------------------------------------------------------------------------

STEPS: list[tuple[object, str]] = [
    *((os, name) for name in (
        "open", "write", "pwrite", "pread", "read", "stat", "fstat", "chmod", "chown", "utime", "listxattr", "getxattr",
        "setxattr", "removexattr", "symlink", "mkdir", "unlink", "rmdir", "readlink", "listdir", "copy_file_range",
    )),
    *((libc, name) for name in ("openat2", "renameat2", "linkat")),
]  # fmt: skip


class Failing:
    """Lets the n-th of all steps fail."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, error: int) -> None:
        self.count, self.failed = 0, ""
        for module, name in STEPS:
            patch.setattr(module, name, self.wrap(name, getattr(module, name), number, error))

    def wrap(self, name: str, real: Callable, number: int, error: int) -> Callable:
        def step(*args, **kwargs):
            self.count += 1
            if self.count == number:
                self.failed = name
                raise OSError(error, os.strerror(error))
            return real(*args, **kwargs)

        return step


Victim = tuple[Callable[[Reverter], revert.Reverted], Callable[[], bool]]


def victim(base: Path, which: str) -> Victim:
    """An act, and whether the tree is in one of its two states."""
    tree = base / "tree"
    path = bytes(tree / "f")
    other = bytes(tree / "other")

    def file_is() -> bool:
        return (tree / "f").read_bytes() in (OLD, NEW)

    def act(want: Version, links: tuple[bytes, ...] = ()) -> Callable[[Reverter], revert.Reverted]:
        judged = identity_of(os.lstat(path))
        return lambda reverter: reverter.restore(path, want._replace(links=links), OLD, judged, lambda _: False)

    if which == "folder":
        (tree / "f").mkdir()
        (tree / "f/in").write_bytes(NEW)
        return act(want_of()), lambda: (tree / "f").is_dir() or file_is()
    (tree / "f").write_bytes(NEW)
    if which == "file":
        return act(want_of()), file_is
    if which == "removed":
        return act(ABSENT), lambda: not (tree / "f").exists() or file_is()
    os.link(path, other)
    return act(want_of(), (other,)), lambda: file_is() and (tree / "other").read_bytes() in (OLD, NEW)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("apart", [False, True], ids=["one", "apart"])
@pytest.mark.parametrize("which", ["file", "group", "removed", "folder"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_each_step_fails_once(tmp_path: Path, which: str, error: int, apart: bool) -> None:
    number = 0
    while True:
        number += 1
        base = tmp_path / str(number)
        (base / "tree").mkdir(parents=True)
        act, holds = victim(base, which)
        (base / "tree" / "f").lstat()
        before = tree_bytes(base / "tree")
        with pytest.MonkeyPatch.context() as patch:
            if apart:
                separate(base, patch)
            reverter = Reverter(base / "staging", base / "quarantine", bytes(base / "tree"))
            failing = Failing(patch, number, error)
            done = act(reverter)
            count, failed = failing.count, failing.failed
        reverter.close()
        where = (number, failed, done)
        assert holds(), where
        if done.outcome == "failed" and not (base / "staging/staging.jsonl").read_bytes().strip():
            assert tree_bytes(base / "tree") == before, where
        recover(base)
        assert holds() and ours_left(base / "tree") == [], where
        assert os.listdir(base / "staging") == ["staging.jsonl"], where
        kept = b"".join(path.read_bytes() for path in (base / "quarantine").rglob("*") if path.is_file())
        assert NEW in kept or NEW in b"".join(tree_bytes(base / "tree").values()), where
        lines = [json.loads(line) for line in (base / "quarantine/index.jsonl").read_text().splitlines()]
        names = {each["name"] for each in lines if "name" in each} - {each.get("dropped") for each in lines}
        assert names == set(os.listdir(base / "quarantine")) - {"index.jsonl"}, where
        shutil.rmtree(base)
        if count < number:
            assert done.outcome in ("restored", "removed")
            break
    assert number > 14


def killed_at(number: int, work: Callable[[], object], prepare: Callable[[pytest.MonkeyPatch], object]) -> bool:
    """Run ``work`` in a child that is killed before its n-th step. Returns whether it was."""
    child = os.fork()
    if not child:
        try:
            patch = pytest.MonkeyPatch()
            prepare(patch)
            count = 0

            def wrap(real: Callable) -> Callable:
                def step(*args, **kwargs):
                    nonlocal count
                    count += 1
                    if count == number:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(*args, **kwargs)

                return step

            for module, name in STEPS:
                patch.setattr(module, name, wrap(getattr(module, name)))
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("apart", [False, True], ids=["one", "apart"])
@pytest.mark.parametrize("which", ["file", "group", "removed", "folder"])
def test_killed_at_each_step(tmp_path: Path, which: str, apart: bool) -> None:
    """The restore is killed before each of its steps, and then recover before each of its own: a thousand forks, which
    take five times as long from a process that has run tests."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.faults.test_revert import killed_at_each_step\n"
        "killed_at_each_step(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == 'True')"
    )
    words = [sys.executable, "-c", code, str(tmp_path), which, str(apart)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def killed_at_each_step(place: Path, which: str, apart: bool) -> None:
    number, killed = 0, True
    while killed:
        number += 1
        base = place / str(number)
        (base / "tree").mkdir(parents=True)
        act, holds = victim(base, which)
        prepare = (lambda patch, base=base: separate(base, patch)) if apart else (lambda patch: None)

        def work(base: Path = base, act=act) -> None:
            act(Reverter(base / "staging", base / "quarantine", bytes(base / "tree")))

        killed = killed_at(number, work, prepare)
        assert holds(), number
        step = 1
        while killed_at(step, lambda base=base: recover(base), prepare):
            step += 1
            assert holds(), (number, step)
        assert recover(base) == [], number
        assert holds() and ours_left(base / "tree") == [], number
        if (base / "staging").exists() and (base / "quarantine/index.jsonl").exists():
            assert set(os.listdir(base / "staging")) <= {"staging.jsonl"}, number
            lines = [json.loads(line) for line in (base / "quarantine/index.jsonl").read_text().splitlines()]
            gone = {each["dropped"] for each in lines if "dropped" in each}
            records = [each for each in lines if "name" in each and each["name"] not in gone]
            assert {each["name"] for each in records} == set(os.listdir(base / "quarantine")) - {"index.jsonl"}
            assert all(each["path"].startswith(str(base / "tree")) for each in records), (number, records)
            assert len(records) <= (2 if which == "group" else 1), (number, records)
            kept = b"".join(path.read_bytes() for path in (base / "quarantine").rglob("*") if path.is_file())
            assert NEW in kept or NEW in b"".join(tree_bytes(base / "tree").values()), number
        shutil.rmtree(base)
    assert number > 14


def tree_bytes(tree: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def separate(base: Path, patch: pytest.MonkeyPatch) -> None:
    """As if the run's folder lay on another file system."""
    for name in ("staging", "quarantine"):
        (base / name).mkdir(mode=0o700, exist_ok=True)
    inside = {(base / name).stat().st_ino for name in ("staging", "quarantine")}
    real, fstat = libc.renameat2, os.fstat

    def renameat2(olddir: int, old: bytes, newdir: int, new: bytes, flags: int) -> None:
        sides = [fstat(fd).st_ino in inside for fd in (olddir, newdir)]
        if sides[0] != sides[1]:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(olddir, old, newdir, new, flags)

    patch.setattr(libc, "renameat2", renameat2)


# -- a disk that is full --------------------------------------------------------------------------------------------

FULL = """
import os, sys
from pathlib import Path
from supervisor.enforce.recover import recover
from supervisor.enforce.revert import Reverter
from supervisor.enforce.staging import identity_of
from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.versions import Version
base, content = Path(sys.argv[1]), b"x" * 100_000
path = os.fsencode(base / "tree/f")
reverter = Reverter(base / "staging", base / "quarantine", os.fsencode(base / "tree"))
(base / "tree/f").write_bytes(b"rejected")
fill = os.open(base / "fill", os.O_WRONLY | os.O_CREAT)
try:
    while True: os.write(fill, b"x" * 4096)
except OSError: pass
want = Version(Kind.FILE, 0o600, os.geteuid(), os.getegid(), 1, 1, size=len(content))
was = identity_of(os.stat(path))
done = reverter.restore(path, want, content, was, lambda _: False)
print(done.outcome, done.detail, sep="|")
left = [sorted(os.listdir(base / name)) for name in ("staging", "quarantine")]
print(*left, Path(os.fsdecode(path)).read_bytes(), sep="|")
os.close(fill)
os.unlink(base / "fill")
print(*reverter.restore(path, want, content, was, lambda _: False)[::3], recover(base))
"""


@pytest.mark.needs("userns")
def test_a_full_disk_leaves_all_as_it_was(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=256k,mode=700 none "$1" && mkdir "$1/tree" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", str(small), sys.executable, FULL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == f"failed|{os.strerror(errno.ENOSPC)}"
    assert second == "['staging.jsonl']|['index.jsonl']|b'rejected'"
    assert third == "restored  []"


@pytest.mark.needs("userns")
def test_really_another_file_system(tmp_path: Path) -> None:
    """The run's folder on a tmpfs, the tree elsewhere: the exchange happens beside the target."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "small").mkdir()
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom supervisor.enforce.revert import Reverter\n"
        "from supervisor.enforce.staging import identity_of\nfrom supervisor.vocabulary.events import Kind\n"
        "from supervisor.vocabulary.versions import ABSENT, Version\nsmall, tree = map(Path, sys.argv[1:])\n"
        "r = Reverter(small / 'staging', small / 'quarantine', os.fsencode(tree))\npath = os.fsencode(tree / 'f')\n"
        "want = Version(Kind.FILE, 0o600, os.geteuid(), os.getegid(), 1, 1, size=3)\n"
        "def go(want):\n (tree / 'f').write_bytes(b'rejected')\n"
        " done = r.restore(path, want, b'old', identity_of(os.stat(path)), lambda _: False)\n"
        " print(done.outcome, done.detail, open(done.quarantined, 'rb').read(), os.listdir(tree))\n"
        "go(want)\ngo(ABSENT)\n"
    )
    script = 'mount -t tmpfs none "$1" && exec "$2" -c "$3" "$1" "$4"'
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", str(tmp_path / "small"), sys.executable, program]
    done = subprocess.run([*command, str(tmp_path / "tree")], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "restored  b'rejected' ['f']\nremoved  b'rejected' []\n", done.stderr


def test_the_steps_are_those_that_are_used() -> None:
    """A call that is used and not in STEPS would never be made to fail."""
    text = "".join(Path(module.__file__).read_text() for module in (staging, quarantine, revert))
    names = {name for _, name in STEPS}
    spared = {"close", "urandom", "ftruncate", "mkfifo", "mknod", "geteuid", "getegid", "fsencode", "fsdecode"}
    spared |= {"strerror", "stat_result", "path"}
    import re

    used = set(re.findall(r"\bos\.([a-z_0-9]+)", text)) | set(re.findall(r"\blibc\.([a-z_0-9]+)", text))
    assert used - names - spared == set()
