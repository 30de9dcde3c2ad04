"""Landlock domains: what they bound, what passes through handed-in descriptors, how rulesets are cut to the kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.kernel import landlock
from tests.kernel.subproc import run

pytestmark = pytest.mark.needs(landlock=2)

SETUP = """
import shutil, tempfile
caps.no_new_privs()
L = landlock
place = os.fsencode(PLACE)
def restrict(*rules, handled=L.READ | L.EXECUTE | L.WRITE_ALL, **more):
    L.restrict_self(handled, [(b"/", L.READ | L.EXECUTE), *rules], **more)
def write(path): attempt_ = attempt(lambda: open(path, "w").write("x")); return attempt_
"""


def confined(place: Path, snippet: str) -> object:
    import textwrap

    return run(f"PLACE = {str(place)!r}\n" + SETUP + textwrap.dedent(snippet))


def test_no_path_write_anywhere(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("1")
    told = confined(tmp_path, """
    os.chdir(PLACE)
    restrict((b"/dev/null", L.READ | L.WRITE_ALL))
    print(json.dumps({
        "write": attempt(os.open, "old", os.O_WRONLY), "create": attempt(os.open, "new", os.O_CREAT | os.O_WRONLY),
        "unlink": attempt(os.unlink, "old"), "mkdir": attempt(os.mkdir, "d"), "rename": attempt(os.rename, "old", "b"),
        "link": attempt(os.link, "old", "b"), "symlink": attempt(os.symlink, "old", "s"),
        "fifo": attempt(os.mkfifo, "f"),
        "truncate": attempt(os.truncate, "old", 0), "read": open("old").read(),
        "null": attempt(os.open, "/dev/null", os.O_WRONLY), "zero": attempt(os.open, "/dev/zero", os.O_WRONLY),
        "chmod": attempt(os.chmod, "old", 0o640), "utime": attempt(os.utime, "old", (1, 1)),
    }))
    """)  # fmt: skip
    denied = ("write", "create", "unlink", "mkdir", "rename", "link", "symlink", "fifo", "zero")
    expected: dict[str, str] = dict.fromkeys(denied, "EACCES")
    # Metadata is what Landlock does not see: the reason why those calls are asked about.
    expected |= {"read": "1", "null": "ok", "chmod": "ok", "utime": "ok"}
    expected |= {"truncate": "EACCES" if landlock.abi() >= 3 else "ok"}
    assert told == expected
    assert sorted(os.listdir(tmp_path)) == ["old"]


def test_a_descriptor_handed_in_still_writes(tmp_path: Path) -> None:
    """By SCM_RIGHTS from outside the domain: write and ftruncate work; the same path opened inside does not."""
    (tmp_path / "given").write_text("before")
    told = confined(tmp_path, """
    ours, theirs = socket.socketpair()
    go_r, go_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        restrict()
        theirs.send(b"r")
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        got = [attempt(os.ftruncate, fds[0], 0), attempt(os.write, fds[0], b"after"),
               attempt(os.open, PLACE + "/given", os.O_WRONLY),
               attempt(os.open, f"/proc/self/fd/{fds[0]}", os.O_WRONLY)]
        theirs.send(json.dumps(got).encode())
        os._exit(0)
    ours.recv(1)
    fd = os.open(PLACE + "/given", os.O_WRONLY)
    socket.send_fds(ours, [b"f"], [fd])
    print(ours.recv(1000).decode())
    os.waitpid(pid, 0)
    """)  # fmt: skip
    assert told == ["ok", "ok", "EACCES", "EACCES"]
    assert (tmp_path / "given").read_text() == "after"


def test_hidden_by_omission(tmp_path: Path) -> None:
    for name in ("seen", "hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    told = confined(tmp_path, """
    rules = [(place + b"/seen", L.READ), (b"/usr", L.READ | L.EXECUTE)]
    L.restrict_self(L.READ | L.EXECUTE | L.WRITE_ALL, rules)
    print(json.dumps([open(PLACE + "/seen/file").read(), attempt(open, PLACE + "/hidden/file"),
                      attempt(os.listdir, PLACE + "/hidden"), attempt(os.listdir, PLACE),
                      attempt(os.stat, PLACE + "/hidden/file")]))
    """)  # fmt: skip
    # stat is not bounded: names and sizes of hidden files can be asked for by who knows the name.
    assert told == ["seen", "EACCES", "EACCES", "EACCES", "ok"]


def test_execute_is_apart_from_read(tmp_path: Path) -> None:
    program = tmp_path / "prog"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    told = confined(tmp_path, """
    system = [(path, L.EXECUTE) for path in (b"/usr", b"/lib", b"/lib64")]
    L.restrict_self(L.READ | L.EXECUTE, [(b"/", L.READ), *system], missing_ok=True)
    print(json.dumps([attempt(os.execv, PLACE + "/prog", ["prog"]), len(open(PLACE + "/prog", "rb").read()) > 0]))
    """)  # fmt: skip
    assert told == ["EACCES", True]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_rights_fit_what_they_are_granted_on(tmp_path: Path, kind: str) -> None:
    """All rights on a plain file: the kernel answers EINVAL to directory rights there, so they are left out."""
    target = tmp_path / "target"
    target.mkdir() if kind == "directory" else target.write_text("")
    told = confined(
        tmp_path,
        """
    restrict((place + b"/target", L.READ | L.EXECUTE | L.WRITE_ALL | L.IOCTL_DEV))
    inside = PLACE + "/target" + ("/new" if os.path.isdir(PLACE + "/target") else "")
    print(json.dumps([write(inside), write(PLACE + "/beside"), attempt(os.unlink, PLACE + "/target")]))
    """,
    )
    # Removing the target itself is a right on its parent: EACCES for a file, EISDIR cannot come first.
    assert told[:2] == ["ok", "EACCES"]
    assert told[2] in ("EACCES", "EISDIR")


def test_moving_between_directories_needs_refer(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "x").write_text("")
    told = confined(
        tmp_path,
        """
    without = L.WRITE_ALL & ~L.REFER
    pid = os.fork()
    if pid == 0:
        restrict((place, without))
        os._exit(0 if attempt(os.rename, PLACE + "/a/x", PLACE + "/b/x") == "EXDEV" else 1)
    first = os.waitpid(pid, 0)[1]
    restrict((place, L.WRITE_ALL))
    print(json.dumps([first, attempt(os.rename, PLACE + "/a/x", PLACE + "/b/x")]))
    """,
    )
    assert told == [0, "ok"]


def test_a_missing_path_is_skipped_only_if_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = confined(
        tmp_path,
        """
    gone, beneath_file = place + b"/gone", place + b"/file/x"
    with L.Ruleset(L.READ) as ruleset:
        strict = [attempt(ruleset.grant, gone, L.READ), attempt(ruleset.grant_all, [(place, L.READ), (gone, L.READ)])]
        absent = ruleset.grant_all([(place, L.READ), (gone, L.READ)], missing_ok=True)
        other = attempt(ruleset.grant, beneath_file, L.READ, missing_ok=True)
    print(json.dumps([strict, absent == [gone], other]))
    """,
    )
    assert told == [["ENOENT", "ENOENT"], True, "ENOTDIR"], "only absence is skipped"


@pytest.mark.needs(landlock=6)
def test_signals_and_abstract_sockets_are_scoped(tmp_path: Path) -> None:
    told = confined(
        tmp_path,
        r"""
    outside = socket.socket(socket.AF_UNIX)
    outside.bind("\0govrun-test-%d" % os.getpid())
    outside.listen()
    pid = os.fork()
    if pid == 0:
        restrict(scoped=L.SCOPE_SIGNAL | L.SCOPE_ABSTRACT_UNIX)
        parent = os.getppid()
        child = os.fork()
        if child == 0:
            signal.pause()
        inner = socket.socket(socket.AF_UNIX)
        got = [attempt(os.kill, parent, 0), attempt(os.kill, child, signal.SIGKILL), attempt(os.kill, os.getpid(), 0),
               attempt(inner.connect, outside.getsockname()), sc(234, parent, parent, 0)]
        os.waitpid(child, 0)
        print(json.dumps(got), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    """,
    )
    assert told == ["EPERM", "ok", "ok", "EPERM", "EPERM"]


@pytest.mark.needs(landlock=4)
def test_tcp_ports(tmp_path: Path) -> None:
    told = confined(tmp_path, """
    server = socket.create_server(("127.0.0.1", 0))
    open_port, shut = server.getsockname()[1], socket.create_server(("127.0.0.1", 0))
    with L.Ruleset(0, handled_net=L.BIND_TCP | L.CONNECT_TCP) as ruleset:
        ruleset.grant_port(open_port, L.CONNECT_TCP)
        ruleset.restrict_self()
    print(json.dumps([attempt(socket.create_connection, server.getsockname()),
                      attempt(socket.create_connection, shut.getsockname()),
                      attempt(socket.create_server, ("127.0.0.1", 0))]))
    """)  # fmt: skip
    assert told == ["ok", "EACCES", "EACCES"]


def test_domain_stacks_and_only_takes_away(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    told = confined(
        tmp_path,
        """
    restrict((place + b"/in", L.WRITE_ALL))
    restrict((place, L.WRITE_ALL))
    print(json.dumps([write(PLACE + "/in/x"), write(PLACE + "/y")]))
    """,
    )
    assert told == ["ok", "EACCES"]


def test_entering_needs_no_new_privs_of_a_user() -> None:
    snippet = """
    if os.geteuid() == 0: caps.set_effective(0)
    with landlock.Ruleset(landlock.READ) as ruleset:
        print(json.dumps(attempt(ruleset.restrict_self)))
    """
    assert run(snippet) == "EPERM"


def test_descriptor_is_closed_on_exec() -> None:
    with landlock.Ruleset(landlock.READ) as ruleset:
        assert not os.get_inheritable(ruleset.fd)
        held = ruleset.fd
    assert ruleset.fd == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(held)


def test_rights_by_abi() -> None:
    assert landlock.fs_rights(0) == 0
    assert landlock.fs_rights(1) == 0x1FFF
    assert landlock.fs_rights(2) == 0x3FFF
    assert landlock.fs_rights(3) == landlock.fs_rights(4) == 0x7FFF
    assert landlock.fs_rights(5) == 0xFFFF
    assert [landlock.net_rights(n) for n in (3, 4)] == [0, 3]
    assert [landlock.scopes(n) for n in (5, 6)] == [0, 3]
    assert landlock.WRITE_ALL == landlock.fs_rights(3) & ~landlock.READ & ~landlock.EXECUTE


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6, 7])
def test_rulesets_of_older_kernels_are_accepted(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attribute's size and contents of each ABI, given to the running kernel, which takes all older ones."""
    if version > landlock.abi():
        pytest.skip(f"this kernel has ABI {landlock.abi()}")
    monkeypatch.setattr(landlock, "abi", lambda: version)
    with landlock.Ruleset(0xFFFF, handled_net=3, scoped=3) as ruleset:
        assert ruleset.handled_fs == landlock.fs_rights(version)
        assert (ruleset.handled_net, ruleset.scoped) == (landlock.net_rights(version), landlock.scopes(version))
        assert ruleset.grant(b"/", 0xFFFF)


def test_no_landlock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from supervisor.vocabulary.errors import HostError

    monkeypatch.setattr(landlock, "abi", lambda: 0)
    with pytest.raises(HostError) as caught:
        landlock.Ruleset(landlock.READ)
    assert "CONFIG_SECURITY_LANDLOCK" in caught.value.fix
