"""Programs as they are asked for, and as they came true."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from supervisor.kernel.libc import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from supervisor.surfaces.execs import Execs, Judged, verify
from supervisor.surfaces.files import Args, Call
from supervisor.surfaces.ignored import Ignored
from supervisor.surfaces.made import Made
from supervisor.surfaces.paths import Refused, Resolver
from supervisor.surfaces.processes import Process
from tests.unit.surfaces.kit import ACTOR, ME


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = Path(os.path.realpath(tmp_path))
    (root / "bin").mkdir()
    (root / "hidden").mkdir()
    (root / "run.sh").write_text("#!/bin/sh\nsleep 60\n")
    (root / "run.sh").chmod(0o755)
    (root / "plain").write_text("x")
    (root / "bin/alias").symlink_to("/usr/bin/env")
    monkeypatch.chdir(root)
    return root


def judged(tree: Path, name: str, *args: Any) -> Judged:
    keep = [ctypes.create_string_buffer(arg) if isinstance(arg, bytes) else arg for arg in args]
    words = [arg if isinstance(arg, int) else ctypes.addressof(arg) for arg in keep]
    registers = cast("Args", tuple(w % (1 << 64) for w in [*words, *[0] * 6][:6]))
    resolver = Resolver(Made((), b"/"), Ignored(b"/", None))
    before = len(os.listdir("/proc/self/fd"))
    try:
        execs = Execs(resolver, (os.fsencode(tree / "hidden"),))
        return execs.attempt(Call(name, registers, ME, Process(os.getpid(), -1, 1, 1, 1), ACTOR, False))
    finally:
        assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"


def vector(*words: bytes) -> Any:
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)


def test_program_arguments_and_directory(tree: Path) -> None:
    event = judged(tree, "execve", b"./run.sh", vector(b"run", b"a\xff", b"")).event
    assert event.target.path == os.fsencode(tree / "run.sh")
    assert (event.argv, event.cwd, event.stage) == ((b"run", b"a\xff", b""), os.fsencode(tree), "call")
    assert (event.given, event.alias, event.anonymous, event.refusal) == (b"./run.sh", b"", False, "")


def test_no_arguments_are_one_empty_one(tree: Path) -> None:
    assert judged(tree, "execve", b"./run.sh", 0).event.argv == (b"",)


def test_a_program_under_another_name(tree: Path) -> None:
    event = judged(tree, "execve", b"bin/alias", vector(b"x")).event
    assert event.target.path == os.fsencode(os.path.realpath("/usr/bin/env"))
    assert event.alias == os.fsencode(tree / "bin/alias")


def test_by_descriptor(tree: Path) -> None:
    fd = os.open(tree / "run.sh", os.O_PATH)
    folder = os.open(tree, os.O_RDONLY)
    try:
        event = judged(tree, "execveat", fd, b"", vector(b"x"), 0, AT_EMPTY_PATH).event
        assert event.target.path == os.fsencode(tree / "run.sh")
        found = judged(tree, "execveat", folder, b"run.sh", vector(b"x"), 0, 0)
        assert (found.event.target.path, found.script) == (os.fsencode(tree / "run.sh"), b"/dev/fd/%d/run.sh" % folder)
    finally:
        os.close(fd)
        os.close(folder)


def test_a_program_without_a_name(tree: Path) -> None:
    fd = os.memfd_create("program")
    os.write(fd, b"#!/bin/sh\n")
    os.fchmod(fd, 0o755)
    try:
        assert judged(tree, "execveat", fd, b"", vector(b"x"), 0, AT_EMPTY_PATH).event.anonymous
        assert judged(tree, "execve", b"/proc/self/fd/%d" % fd, vector(b"x")).event.anonymous
    finally:
        os.close(fd)


def test_its_own_image(tree: Path) -> None:
    for path in (b"/proc/self/exe", b"/proc/%d/exe" % os.getpid()):
        event = judged(tree, "execve", path, vector(b"x")).event
        assert event.target.path == os.readlink(b"/proc/self/exe")
    with pytest.raises((Refused, PermissionError)):
        judged(tree, "execve", b"/proc/1/exe", vector(b"x"))


ERRORS: list[tuple[str, tuple[Any, ...], int]] = [
    ("execve", (b"absent", vector(b"x")), errno.ENOENT),
    ("execve", (b"plain", vector(b"x")), errno.EACCES),
    ("execve", (b"bin", vector(b"x")), errno.EACCES),
    ("execve", (b"plain/x", vector(b"x")), errno.ENOTDIR),
    ("execve", (1, vector(b"x")), errno.EFAULT),
    ("execve", (b"./run.sh", 1), errno.EFAULT),
    ("execveat", (AT_FDCWD, b"bin/alias", vector(b"x"), 0, AT_SYMLINK_NOFOLLOW), errno.ELOOP),
    ("execveat", (AT_FDCWD, b"run.sh", vector(b"x"), 0, 1), errno.EINVAL),
    ("execveat", (999, b"run.sh", vector(b"x"), 0, 0), errno.EBADF),
    ("execve", (b"./run.sh", vector(b"x" * 200_000)), errno.E2BIG),
]


@pytest.mark.parametrize(("call", "args", "number"), ERRORS)
def test_errors_are_the_kernels(tree: Path, call: str, args: tuple[Any, ...], number: int) -> None:
    with pytest.raises(OSError) as raised:
        judged(tree, call, *args)
    assert raised.value.errno == number


def test_arguments_that_name_hidden_folders(tree: Path) -> None:
    (tree / "hidden/key").write_text("fake")
    words = [b"cat", b"hidden/key", b"./hidden", b"hidden2/key", b"bin/../hidden/key", b"hidden/absent", b"plain"]
    event = judged(tree, "execve", b"./run.sh", vector(*words, os.fsencode(tree / "hidden/key"))).event
    key, folder = os.fsencode(tree / "hidden/key"), os.fsencode(tree / "hidden")
    assert event.hidden == (key, folder, key, key)


# ---------------------------------------------------------------------------------------------- as it came true


def came_true(found: Judged, *command: str | Path, image: str | Path = "") -> Any:
    """Whether what runs now is what was judged; as at the exec stop, /proc shows the new image."""
    child = subprocess.Popen([os.fsencode(word) for word in command], executable=image or command[0])
    try:
        # Descriptors are closed, and so Popen returns, shortly before the kernel sets the new arguments.
        while not Path(f"/proc/{child.pid}/cmdline").read_bytes():
            assert child.poll() is None
        return verify(found, child.pid)
    finally:
        child.kill()
        child.wait()


def test_the_program_that_was_judged(tree: Path) -> None:
    found = judged(tree, "execve", b"/bin/sleep", vector(b"/bin/sleep", b"60"))
    event = came_true(found, "/bin/sleep", "60")
    assert (event.stage, event.chain) == ("stop", ())
    assert came_true(found, "/bin/sleep", "61") is None
    shutil.copy("/bin/sleep", tree / "copy")
    assert came_true(found, "/bin/sleep", "60", image=tree / "copy") is None


def test_a_script_shows_its_interpreter(tree: Path) -> None:
    path = os.fsencode(tree / "run.sh")
    event = came_true(judged(tree, "execve", path, vector(path)), tree / "run.sh")
    assert event is not None
    assert (event.stage, event.chain) == ("stop", (b"/bin/sh",))


def test_a_script_that_was_swapped_meanwhile(tree: Path) -> None:
    path = os.fsencode(tree / "run.sh")
    found = judged(tree, "execve", path, vector(path))
    (tree / "other").write_text("#!/bin/sh\nsleep 61\n")
    (tree / "other").chmod(0o755)
    (tree / "other").rename(tree / "run.sh")
    assert came_true(found, tree / "run.sh") is None


def test_a_process_that_is_gone(tree: Path) -> None:
    found = judged(tree, "execve", b"/bin/sleep", vector(b"sleep"))
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(OSError):
        verify(found, child.pid)
