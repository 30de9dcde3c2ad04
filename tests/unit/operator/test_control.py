"""The control socket served as the supervisor serves it, spoken to by the real client and by hostile ones."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.confine.domains import supervisor_domain
from supervisor.kernel import caps, libc
from supervisor.operator.client import Silence, ask, ask_all
from supervisor.operator.control import Control
from supervisor.operator.protocol import MAX_ORDER, Answer, Asked, order_line, read_answer
from supervisor.vocabulary.errors import HostError

Serve = Callable[..., "object"]


def told(folder: Path, *asked: object) -> Answer:
    answer = ask(folder, Asked(*asked), 20)
    assert isinstance(answer, Answer), answer
    return answer


@contextlib.contextmanager
def link(folder: Path) -> Iterator[socket.socket]:
    at = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        try:
            one.connect(f"/proc/self/fd/{at}/control")  # waits where the queue is full, as it would not with a time-out
        finally:
            os.close(at)
        one.settimeout(20)
        yield one


def say(one: socket.socket, data: bytes) -> None:
    """Whoever is not wanted is hung up on, perhaps before this."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        one.sendall(data)


def heard(one: socket.socket, run: str) -> Answer:
    """What was said before it hung up, on bytes that it had not read, perhaps."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while data := one.recv(65536):
            got += data
    return read_answer(got.rstrip(b"\n"), run)


def test_the_whole_of_it(serve: Serve) -> None:
    run = serve()
    first, second = run.hold("git", "push"), run.hold("npm", "publish")
    found = told(run.folder, "ps")
    assert found.word == "running" and found.more["paused"] is False
    assert [(one["id"], one["command"], one["cwd"], one["invariant"]) for one in found.more["questions"]] == [
        (first, "git push", "/w", "push"), (second, "npm publish", "/w", "push"),
    ]  # fmt: skip
    assert 0 < found.more["questions"][0]["left"] <= 60
    assert told(run.folder, "state", first).word == "pending"
    assert told(run.folder, "approve", first).told == f"approved {first}, this act only: git push"
    # Written down before it is done.
    assert run.line()[:2] == ["record", "approve"]
    assert run.line()[:2] == ["reply", first] and told(run.folder, "state", first).word == "approved"
    late = told(run.folder, "deny", first)
    assert (late.ok, late.word) == (False, "answered") and f"uid {os.getuid()}, pid {os.getpid()}" in late.told
    assert told(run.folder, "deny", second, False, "not today").ok
    word, call, detail = run.line()
    assert (word, call) == ("record", "deny") and detail.startswith(f"{second}, push: npm publish; by uid")
    assert detail.endswith(", because not today")
    assert run.line()[:2] == ["reply", second]
    assert told(run.folder, "approve", "ABCDEF").word == "unknown"


def test_pause_resume_stop(serve: Serve) -> None:
    run = serve()
    number = run.hold("git", "push")
    assert told(run.folder, "resume") == (False, "running", "the run is not paused", {})
    assert told(run.folder, "pause").word == "paused"
    assert (run.line()[:2], run.line()) == (["record", "pause"], ["effect", "pause"])
    assert told(run.folder, "pause").ok and told(run.folder, "ps").more["paused"] is True
    assert told(run.folder, "approve", number).ok and run.line()[:2] == ["record", "approve"]
    assert told(run.folder, "resume").ok
    assert (run.line()[:2], run.line()) == (["record", "resume"], ["effect", "resume"])
    assert run.line()[:2] == ["reply", number]
    assert told(run.folder, "stop").word == "stopping"
    assert (run.line()[:2], run.line()) == (["record", "stop"], ["effect", "stop"])


def test_for_run(serve: Serve) -> None:
    run = serve()
    assert told(run.folder, "approve", run.hold("git", "push"), True).ok
    assert " for the run, push: git push" in " ".join(run.line())
    assert run.line()[0] == "reply"
    again = run.hold("git", "push")
    assert run.line()[:3][:2] == ["reply", again]


def test_a_process_that_went_away(serve: Serve) -> None:
    run = serve()
    number = run.hold("git", "push")
    run.tell(f"abandon {number}")
    other = run.hold("x")
    assert told(run.folder, "approve", number).word == "over"
    assert told(run.folder, "approve", other).ok


@pytest.mark.needs(landlock=2)
def test_it_is_made_where_the_supervisor_is(tmp_path: Path) -> None:
    """In a domain of its own, without capabilities, and nobody may look into it."""
    ready, made = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            caps.drop_all()
            with supervisor_domain([os.fsencode(tmp_path)]).ruleset() as domain:
                domain.restrict_self()
            libc.prctl(libc.PR_SET_DUMPABLE, 0)
            control = Control(tmp_path, tmp_path.name, lambda pid, uid: True)
            os.write(made, b"+")
            poll = select.poll()
            poll.register(control.fileno(), select.POLLIN)
            while not (orders := control.turn()):
                poll.poll()
            control.reply(orders[0], Answer(True, "running", ""))
            control.close()
            os._exit(0)
        finally:
            os._exit(1)
    os.close(made)
    assert os.read(ready, 1) == b"+"
    os.close(ready)
    assert told(tmp_path, "ps").ok and os.waitpid(child, 0)[1] == 0
    assert not (tmp_path / "control").exists()


def test_the_socket(serve: Serve, tmp_path: Path) -> None:
    run = serve()
    info = os.lstat(run.folder / "control")
    assert stat.S_ISSOCK(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o600
    assert stat.S_IMODE(os.lstat(run.folder).st_mode) == 0o700
    assert run.end() == 0 and not (run.folder / "control").exists()
    assert ask(run.folder, Asked("ps"), 1) == Silence("nobody listens", dead=True)


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        control = Control(tmp_path, "R", lambda pid, uid: True)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.lstat(tmp_path / "control").st_mode) == 0o600
    control.close()


def test_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 200) / ("e" * 200)
    folder.mkdir(parents=True)
    control = Control(folder, folder.name, lambda pid, uid: True)
    with link(folder) as one:
        say(one, order_line(Asked("ps")))
        orders = control.turn() + control.turn()
        assert [order.asked.do for order in orders] == ["ps"] and orders[0].who.pid == os.getpid()
        control.reply(orders[0], Answer(True, "running", ""))
        assert heard(one, folder.name).ok
        control.reply(orders[0], Answer(True, "running", "twice"))
    control.close()


def test_a_killed_run_is_dead(serve: Serve) -> None:
    run = serve()
    run.process.kill()
    run.process.wait()
    assert (run.folder / "control").exists()
    assert ask(run.folder, Asked("ps"), 1) == Silence("nobody listens", dead=True)


def test_a_run_that_hangs_is_waited_for_once(serve: Serve) -> None:
    hanging, well = [serve() for _ in range(2)], serve()
    for each in hanging:
        os.kill(each.process.pid, 19)
        os.waitid(os.P_PID, each.process.pid, os.WSTOPPED | os.WNOWAIT)
    begun = time.monotonic()
    found = ask_all([each.folder for each in (*hanging, well)], Asked("ps"), 0.5)
    spent = time.monotonic() - begun
    for each in hanging:
        os.kill(each.process.pid, 18)
    assert [found[each.folder] for each in hanging] == [Silence("it does not answer", sent=True)] * 2
    # The one that answers does not suffer for those before it, and all of them have the same time.
    assert isinstance(found[well.folder], Answer) and 0.4 < spent


def test_no_place_for_a_socket(tmp_path: Path) -> None:
    with pytest.raises(HostError):
        Control(tmp_path / "no", "R", lambda pid, uid: True)
    (tmp_path / "control").touch()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(HostError):
        Control(tmp_path, "R", lambda pid, uid: True)
    assert len(os.listdir("/proc/self/fd")) == before and (tmp_path / "control").is_file()


# -- who may speak ----------------------------------------------------------------------------------------------------


def test_a_peer_of_the_run_is_refused(serve: Serve) -> None:
    run = serve()
    number = run.hold("git", "push")
    run.tell(f"refuse {os.getpid()}")
    run.hold("x")  # it has been told
    for asked in (Asked("approve", number), Asked("ps"), Asked("stop")):
        answer = told(run.folder, *asked)
        assert (answer.ok, answer.word) == (False, "refused") and not answer.more
        word, call, detail = run.line()
        assert (word, call) == ("record", "refused") and f"pid {os.getpid()}" in detail
    child = os.fork()
    if child == 0:
        os._exit(0 if told(run.folder, "state", number).word == "pending" else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_process_of_another_run_is_refused(serve: Serve) -> None:
    """Whatever has no_new_privs, as all of every run has, where whoever started this run has not."""
    if libc.prctl(libc.PR_GET_NO_NEW_PRIVS):
        pytest.skip("no_new_privs is set here already")
    run = serve()
    number = run.hold("git", "push")
    child = os.fork()
    if child == 0:
        try:
            libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
            answer = told(run.folder, "approve", number)
            os._exit(0 if answer.word == "refused" and "more confined" in answer.told else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert run.line()[:2] == ["record", "refused"]
    assert told(run.folder, "state", number).word == "pending"


@pytest.mark.needs("root")
@pytest.mark.parametrize("uid", [65534, 0])
def test_another_user_is_refused(serve: Serve, uid: int) -> None:
    run = serve()
    number = run.hold("git", "push")
    os.chmod(run.folder, 0o755)  # as if it were open: the question is what the socket says
    os.chmod(run.folder / "control", 0o666)
    at = os.open(run.folder, os.O_RDONLY)
    child = os.fork()
    if child == 0:
        try:
            os.setgid(uid)
            os.setuid(uid)
            os.fchdir(at)
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            one.connect("control")
            say(one, order_line(Asked("approve", number)))
            os._exit(10 if heard(one, run.run).word == "refused" else 20)
        finally:
            os._exit(1)
    os.close(at)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (20 if uid == 0 else 10)
    assert told(run.folder, "state", number).word == ("approved" if uid == 0 else "pending")


def test_an_order_of_somebody_who_is_gone(serve: Serve) -> None:
    """The connection outlives the process that made it, in a process that it came from."""
    run = serve()
    number = run.hold("git", "push")
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        with link(run.folder) as one:
            socket.send_fds(theirs, [b"x"], [one.fileno()])
        os._exit(0)
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(child, 0)
    with socket.socket(fileno=fds[0]) as one, ours, theirs:
        one.settimeout(20)
        say(one, order_line(Asked("approve", number)))
        with contextlib.suppress(ConnectionResetError):
            got = one.recv(1000)  # nothing; or a refusal, where it was gone before it was let in
            assert not got or read_answer(got.rstrip(b"\n"), run.run).word == "refused"
    assert told(run.folder, "state", number).word == "pending"


# -- hostile clients --------------------------------------------------------------------------------------------------


def test_rubbish_is_answered_and_nothing_else(serve: Serve) -> None:
    run = serve()
    number = run.hold("git", "push")
    order = order_line(Asked("approve", number))
    rubbish = (
        b"\n", b"approve " + number.encode() + b"\n", b"\0" * 50 + b"\n", b"\xff\xfe\n", b"[" * 3000 + b"\n",
        order + order, order + b"x", b"x" + order, order[:-1] + b" " * MAX_ORDER + b"\n",
        order.replace(b"}", b',"all":true}'), order.replace(b"approve", b"approve\\u0000"),
    )  # fmt: skip
    for line in rubbish:
        with link(run.folder) as one:
            say(one, line)
            answer = heard(one, run.run)
            assert (answer.ok, answer.word) == (False, "malformed"), line
    assert told(run.folder, "state", number).word == "pending"


def test_half_an_order(serve: Serve) -> None:
    run = serve()
    number = run.hold("git", "push")
    order = order_line(Asked("approve", number))
    with link(run.folder) as half, link(run.folder) as rest:
        say(half, order[:-1])
        say(rest, order[:10])
        assert told(run.folder, "state", number).word == "pending"
        half.shutdown(socket.SHUT_WR)  # it ends without its newline: cut, perhaps
        assert heard(half, run.run).word == "malformed"
        for at in range(10, len(order)):  # a byte at a time is slow, and no harm
            say(rest, order[at : at + 1])
        assert heard(rest, run.run).word == "approved"


def test_ten_megabytes(serve: Serve) -> None:
    run = serve()
    number = run.hold("git", "push")
    with link(run.folder) as one:
        say(one, b'{"v":1,"do":"approve","id":"' + number.encode() + b'","x":"' + b"x" * 10_000_000 + b'"}\n')
        assert heard(one, run.run).word == "malformed"
    assert told(run.folder, "state", number).word == "pending"


def test_a_thousand_connections(serve: Serve) -> None:
    run = serve()
    number = run.hold("git", "push")
    at = os.open(run.folder, os.O_PATH)
    kept: list[socket.socket] = []
    try:
        for _ in range(1000):
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            kept.append(one)
            one.connect(f"/proc/self/fd/{at}/control")
            one.settimeout(20)
        busy = sum(1 for one in kept[8:] if heard(one, run.run).word == "busy")
        assert len(os.listdir(f"/proc/{run.process.pid}/fd")) < 40
    finally:
        for one in kept:
            one.close()
        os.close(at)
    assert busy == 992
    assert told(run.folder, "state", number).word == "pending"
    assert told(run.folder, "approve", number).ok


def test_the_slow_make_room(tmp_path: Path) -> None:
    now = [0.0]
    control = Control(tmp_path, "R", lambda pid, uid: True, lambda: now[0])
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(link(tmp_path)) for _ in range(8)]
        control.turn()
        ninth = stack.enter_context(link(tmp_path))
        control.turn()
        assert heard(ninth, "R").word == "busy"
        now[0] = 6.0
        tenth = stack.enter_context(link(tmp_path))
        control.turn()
        assert links[0].recv(10) == b""
        say(tenth, order_line(Asked("ps")))
        (order,) = control.turn()
        control.reply(order, Answer(True, "running", ""))
        assert heard(tenth, "R").ok
    before = len(os.listdir("/proc/self/fd"))
    control.turn()
    control.close()
    assert len(os.listdir("/proc/self/fd")) < before


def test_one_that_never_listens(serve: Serve) -> None:
    run = serve()
    for _ in range(50):
        with link(run.folder) as one:
            say(one, order_line(Asked("ps")))
    assert told(run.folder, "ps").ok


def test_without_a_descriptor_to_give(serve: Serve) -> None:
    """A connection that cannot be taken is ended, not looked at for ever."""
    run = serve()
    number = run.hold("git", "push")
    run.tell("full")
    run.hold("x")
    with link(run.folder) as one:
        say(one, order_line(Asked("approve", number)))
        with contextlib.suppress(ConnectionResetError):
            assert one.recv(100) == b""
    run.tell("room")
    run.hold("y")
    assert told(run.folder, "approve", number).ok


def test_a_question_of_the_kernel_that_fails_is_no(tmp_path: Path) -> None:
    def may(pid: int, uid: int) -> bool:
        raise ProcessLookupError

    control = Control(tmp_path, "R", may)
    with link(tmp_path) as one:
        control.turn()
        assert heard(one, "R").word == "refused"
    assert control.refused() and not control.refused()
    control.close()
