"""One call from its registers to the change on disk, in this process: it is caller and supervisor at once.

Everything is real (resolver, policy, acts, journal); only the kernel's notification is left out.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from supervisor.enforce.explain import Explainer
from supervisor.invariants.compile import compile_policy
from supervisor.invariants.places import Zone, locate
from supervisor.invariants.policy import GitDir, Grant
from supervisor.journal.reader import Reader
from supervisor.journal.writer import Journal
from supervisor.kernel.libc import RENAME_EXCHANGE
from supervisor.operator.approvals import Approvals
from supervisor.profile.load import load
from supervisor.profile.model import AgentPack
from supervisor.run.agent import Agent
from supervisor.run.asking import Asking
from supervisor.run.external import Touched
from supervisor.run.facts import Facts
from supervisor.run.judge import RESERVED_PRCTL, Judge, Parts, Waiting
from supervisor.run.pathcalls import path_reads, reading
from supervisor.run.record import Recorder
from supervisor.surfaces.attributes import Attributes
from supervisor.surfaces.execs import Execs
from supervisor.surfaces.files import Args, Files
from supervisor.surfaces.ignored import Ignored
from supervisor.surfaces.made import Made
from supervisor.surfaces.paths import Resolver
from supervisor.surfaces.processes import Processes
from supervisor.surfaces.renames import ConfigDelta, Renames
from supervisor.surfaces.signals import Signals
from supervisor.vocabulary.acts import CONTINUE, Reply
from supervisor.vocabulary.verdicts import Verdict
from tests.property.world import CONTEXT

RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
PROFILE = 'version = 1\n[scope]\nwhy = "w"\nprotect = ["keep/**"]\n'
CREATE = os.O_CREAT | os.O_WRONLY


class Court:
    """A judge over a tree, with temporary space, a store and a home beside it."""

    def __init__(self, root: Path, profile: str = PROFILE, delta: Callable[..., ConfigDelta] | None = None) -> None:
        self.root, self.tree = root, root / "tree"
        for folder in (
            "tree/.git/refs/heads",
            "tree/.git/objects",
            "tree/keep",
            "tmp",
            "state/run",
            "home/.ssh",
            "grant",
        ):
            (root / folder).mkdir(parents=True)
        (self.tree / ".git/HEAD").write_text("ref: refs/heads/main\n")
        (self.tree / "file").write_text("old")
        (self.tree / "keep/it").write_text("kept")
        (self.tree / "govrun.toml").write_text(profile)
        git = os.fsencode(self.tree / ".git")
        context = CONTEXT._replace(
            tree=os.fsencode(self.tree),
            state=os.fsencode(root / "state"),
            home=os.fsencode(root / "home"),
            temp=(os.fsencode(root / "tmp"),),
            git=GitDir(git, git),
            grants=(Grant(os.fsencode(root / "grant"), "pack:agents/x"),),
        )
        policy = compile_policy(load(self.tree), context)
        self.made = Made(policy.temp, policy.tree)
        ignored = Ignored(policy.tree, lambda path, _folder: path.startswith(b"build/"))
        resolver = Resolver(self.made, ignored)
        processes = Processes(os.getppid())
        processes.root = os.getpid()
        renames = Renames(
            resolver,
            lambda path: locate(policy, path).zone is Zone.GIT,
            delta or (lambda old, new, module: ConfigDelta((), ())),
            lambda old, new: False,
        )
        self.journal = Journal(root / "state/run", RUN)
        self.recorder = Recorder(self.journal, policy.digest)
        self.told: list[str] = []
        self.stopped: list[Verdict] = []
        reads = path_reads(policy, resolver, processes)
        self.judge = Judge(
            Parts(
                run=RUN, policy=policy, processes=processes, made=self.made, touched=Touched(1 << 62),
                files=Files(resolver, renames, Attributes(resolver), reads), execs=Execs(resolver, policy.hide),
                signals=Signals(processes, True), network=cast("Any", None), recorder=self.recorder,
                explainer=Explainer(lambda path: False), refs=None, settle=lambda: None, room=cast("Any", None),
                judges_content=False, git_tools=(b"/usr/bin/git",), unverified=False,
                open_folders=frozenset({os.fsencode(root / "home")}), agent=Agent(AgentPack("generic"), processes),
                facts=Facts(policy, (), (), lambda path: False, None), guarding=None,
                asking=Asking(Approvals(1.0, time.monotonic), False, self.recorder),
                reading=reading(reads, self.recorder, self.made),
            ),
            self.told.append,
            self.stopped.append,
            self.stopped.append,
        )  # fmt: skip

    def call(self, name: str, *args: bytes | int | ctypes.Array[Any]) -> Reply:
        keep = [ctypes.create_string_buffer(arg) if isinstance(arg, bytes) else arg for arg in args]
        words = [arg if isinstance(arg, int) else ctypes.addressof(arg) for arg in keep]
        reply = self.judge.answer(name, os.getpid(), cast("Args", tuple(w % (1 << 64) for w in [*words, *[0] * 6][:6])))
        assert not isinstance(reply, Waiting)
        return reply

    def error(self, name: str, *args: bytes | int | ctypes.Array[Any]) -> str:
        reply = self.call(name, *args)
        if reply.fd >= 0:
            os.close(reply.fd)
        return errno.errorcode[reply.error] if reply.error else ""

    def put(self, path: bytes | Path, text: bytes, flags: int = os.O_TRUNC) -> str:
        reply = self.call("open", os.fsencode(path), CREATE | flags, 0o644)
        if reply.fd >= 0:
            os.write(reply.fd, text)
            os.close(reply.fd)
        return errno.errorcode[reply.error] if reply.error else ""

    def records(self) -> list[dict[str, Any]]:
        return list(Reader(self.root / "state/run"))

    @property
    def counts(self) -> dict[str, int]:
        return self.recorder.counts.as_dict()


@pytest.fixture
def court(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Court]:
    made = Court(tmp_path / "w")
    monkeypatch.chdir(made.tree)
    before = os.umask(0o022)
    count = len(os.listdir("/proc/self/fd"))
    yield made
    made.judge._parts.processes.forget(os.getpid())
    assert len(os.listdir("/proc/self/fd")) <= count, "a descriptor was left open"
    os.umask(before)
    made.journal.close()


# -------------------------------------------------------------------------------------------------------- files


def test_an_allowed_act_happens_and_is_journalled(court: Court) -> None:
    assert court.put(b"new", b"text") == ""
    assert (court.tree / "new").read_text() == "text"
    assert stat.S_IMODE(os.stat(court.tree / "new").st_mode) == 0o644
    intent, outcome = court.records()
    assert intent["op"]["path"] == str(court.tree / "new")
    assert (intent["kind"], intent["actor"]["pid"], outcome["outcome"]) == ("fs.create", os.getpid(), "succeeded")
    assert court.counts == {"attempted": 1, "succeeded": 1, "failed": 0, "blocked": 0, "unknown": 0}


def test_a_refused_act_does_not_happen_and_is_told(court: Court) -> None:
    assert court.put(b"keep/it", b"evil") == "EACCES"
    assert court.put(b"keep/new", b"evil") == "EACCES"
    assert (court.tree / "keep/it").read_text() == "kept"
    assert not (court.tree / "keep/new").exists()
    assert [record["outcome"] for record in court.records()] == ["blocked", "blocked"]
    assert court.records()[0]["invariant"] == "scope.protect"
    assert court.told[0].startswith("govrun: denied by scope.protect (govrun.toml:4): keep/it is protected")
    assert court.counts["blocked"] == 2


def test_an_act_that_fails_is_recorded_as_such(court: Court) -> None:
    assert court.error("unlink", b"absent") == "ENOENT"
    assert court.records() == []  # an errno of the arguments: nothing was attempted
    (court.tree / "d").mkdir()
    assert court.error("renameat2", -100, b"file", -100, b"d", 0) == "EISDIR"
    assert [record.get("outcome") for record in court.records()] == [None, "failed"]
    assert court.counts["failed"] == 1


def test_what_cannot_be_resolved_is_refused(court: Court) -> None:
    assert court.error("open", b"/proc/self/status", os.O_WRONLY, 0) == "EACCES"
    assert court.records()[0]["invariant"] == "govrun.path"
    assert court.error("open", b"/proc/1/cwd/new", CREATE, 0o644) == "EACCES"
    assert not (court.tree / "new").exists()
    assert court.error("open", b"/proc/self/cwd/new", CREATE, 0o644) == ""
    assert (court.tree / "new").exists()


def test_scratch_space_and_ignored_files_are_counted_only(court: Court) -> None:
    (court.tree / "build").mkdir()
    assert court.put(b"build/x", b"") == ""
    assert court.put(court.root / "tmp/x", b"") == ""
    assert court.put(court.root / "grant/x", b"") == ""
    assert court.records() == []
    assert (court.counts["attempted"], court.recorder.counts.ungoverned) == (0, 3)


def test_reads_are_left_to_the_kernel_but_for_folders_above_hidden_ones(court: Court) -> None:
    assert court.call("open", b"file", os.O_RDONLY) == CONTINUE
    assert court.call("open", b"absent", os.O_RDONLY) == CONTINUE
    reply = court.call("open", os.fsencode(court.root / "home"), os.O_RDONLY | os.O_DIRECTORY)
    assert sorted(os.listdir(reply.fd)) == [".ssh"]
    os.close(reply.fd)
    assert court.call("open", b"/proc", os.O_RDONLY | os.O_DIRECTORY) == CONTINUE


def test_a_link_made_meanwhile_changes_nothing(court: Court) -> None:
    """Names are judged where they lead: the tree's own links to protected files included."""
    (court.tree / "way").symlink_to("keep")
    assert court.put(b"way/it", b"evil") == "EACCES"
    assert court.error("link", b"keep/it", b"mine") == "EACCES"
    assert court.error("rename", b"keep", b"k2") == "EACCES"
    assert court.error("symlink", b"way", b"keep2") == ""
    assert (court.tree / "keep/it").read_text() == "kept"


def test_only_names_of_the_run_in_temporary_space(court: Court) -> None:
    theirs = court.root / "tmp/theirs"
    theirs.mkdir()
    (theirs / "f").write_text("theirs")
    assert court.put(theirs / "f", b"evil") == "EACCES"
    assert court.put(theirs / "new", b"evil") == "EACCES"
    assert court.error("rmdir", os.fsencode(theirs)) == "ENOTEMPTY"
    assert court.error("mkdir", os.fsencode(court.root / "tmp/mine"), 0o755) == ""
    assert court.put(court.root / "tmp/mine/x", b"1") == ""
    assert court.put(court.root / "tmp/mine/x", b"2") == ""
    assert court.error("rename", os.fsencode(court.root / "tmp/mine"), os.fsencode(court.root / "tmp/moved")) == ""
    assert court.put(court.root / "tmp/moved/x", b"3") == ""
    assert court.error("rename", os.fsencode(theirs), os.fsencode(court.root / "tmp/stolen")) == "EACCES"
    assert court.error("unlink", os.fsencode(court.root / "tmp/moved/x")) == ""
    assert court.error("rmdir", os.fsencode(court.root / "tmp/moved")) == ""
    assert (theirs / "f").read_text() == "theirs"


def test_what_failed_is_not_remembered(court: Court) -> None:
    mine, folder = court.root / "tmp/mine", court.root / "tmp/folder"
    assert court.put(mine, b"1") == ""
    assert court.error("mkdir", os.fsencode(folder), 0o755) == ""
    assert court.error("rename", os.fsencode(mine), os.fsencode(folder)) == "EISDIR"
    assert court.put(mine, b"2") == ""


def test_a_folder_moves_out_of_the_tree_whole(court: Court) -> None:
    (court.tree / "d/e").mkdir(parents=True)
    (court.tree / "d/e/f").write_text("x")
    there = court.root / "tmp/d"
    assert court.error("rename", b"d", os.fsencode(there)) == ""
    assert court.put(there / "e/f", b"y") == ""
    assert court.error("rename", os.fsencode(there), b"d") == ""


def test_exchanged_names_in_temporary_space_stay_the_runs(court: Court) -> None:
    one, two = court.root / "tmp/one", court.root / "tmp/two"
    court.put(one, b"1")
    court.put(two, b"2")
    assert court.error("renameat2", -100, os.fsencode(one), -100, os.fsencode(two), RENAME_EXCHANGE) == ""
    assert (one.read_text(), two.read_text()) == ("2", "1")
    assert court.put(one, b"1") == court.put(two, b"2") == ""


def test_a_store_outside_is_never_written_through_a_hard_link(court: Court) -> None:
    store = court.root / "store"
    store.write_text("clean")
    for name in ("f", "f2"):
        os.link(store, court.tree / name)
    assert court.put(b"f", b"+", os.O_APPEND) == ""
    assert (store.read_text(), (court.tree / "f").read_text()) == ("clean", "clean+")
    # Names the run gives away again do not count as its own.
    assert court.error("link", b"f2", b"g") == ""
    assert court.put(b"other", b"o") == ""
    assert court.error("rename", b"other", b"g") == ""
    assert court.put(b"f2", b"evil", os.O_APPEND) == ""
    assert court.error("truncate", b"f2", 1) == ""
    assert store.read_text() == "clean"


def test_links_of_the_run_stay_links(court: Court) -> None:
    assert court.error("link", b"file", b"second") == ""
    assert court.put(b"second", b"+", os.O_APPEND) == ""
    assert (court.tree / "file").read_text() == "old+"
    assert court.error("truncate", b"file", 1) == ""
    assert (court.tree / "second").read_text() == "o"


def test_set_user_id_never(court: Court) -> None:
    assert court.error("chmod", b"file", 0o4755) == "EACCES"
    assert court.error("open", b"new", CREATE, 0o4755) == "EACCES"
    assert court.error("mknod", b"new", stat.S_IFREG | 0o4755, 0) == "EACCES"
    assert court.error("open", b".", os.O_TMPFILE | os.O_RDWR, 0o4755) == "EACCES"
    assert not stat.S_IMODE(os.stat(court.tree / "file").st_mode) & 0o4000


def test_a_configuration_lands_as_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def delta(old: bytes, new: bytes, module: bool) -> ConfigDelta:
        return ConfigDelta((), ("core.hookspath",) if b"hooksPath" in new else ())

    court = Court(tmp_path / "w", delta=delta)
    monkeypatch.chdir(court.tree)
    config = court.tree / ".git/config"
    for text, expected in ((b"[user]\nname = x\n", ""), (b"[core]\nhooksPath = x\n", "EACCES")):
        assert court.put(b".git/config.lock", text) == ""
        assert court.error("rename", b".git/config.lock", b".git/config") == expected
        assert config.read_bytes() == b"[user]\nname = x\n"
    assert court.put(b".git/config", b"evil") == "EACCES"
    assert court.records()[-1]["invariant"] == "git.internals"
    court.journal.close()


def test_a_kill_verdict_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    court = Court(tmp_path / "w", PROFILE + 'then = "kill"\n')
    monkeypatch.chdir(court.tree)
    assert court.put(b"keep/it", b"evil") == "EACCES"
    assert [verdict.effect.word for verdict in court.stopped] == ["kill"]
    assert court.records()[0]["verdict"] == "kill"
    court.journal.close()


@pytest.mark.parametrize(("word", "told"), [("warn", 1), ("observe", 0)])
def test_what_may_happen_happens_and_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, told: int
) -> None:
    court = Court(tmp_path / "w", PROFILE + f'then = "{word}"\n')
    monkeypatch.chdir(court.tree)
    assert court.put(b"keep/it", b"changed") == ""
    assert (court.tree / "keep/it").read_text() == "changed"
    assert (court.records()[0]["verdict"], court.records()[0]["invariant"]) == (word, "scope.protect")
    assert (len(court.told), court.recorder.counts.warned) == (told, 1)
    court.journal.close()


# ----------------------------------------------------------------------------------------------------- the rest


def test_an_unknown_call_is_no_call(court: Court) -> None:
    assert court.error("mystery") == "ENOSYS"


def test_a_caller_that_is_gone(court: Court) -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    reply = court.judge.answer("open", pid, (0, 0, 0, 0, 0, 0))
    assert isinstance(reply, Reply)
    assert reply.error in (errno.ESRCH, errno.ENOENT)


def test_a_value_nobody_can_judge_is_an_error_and_a_gap(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(call: object) -> None:
        raise ValueError("embedded null byte")

    monkeypatch.setitem(court.judge._parts.files.calls, "open", cast("Any", burst))
    assert court.error("open", b"file", os.O_WRONLY, 0) == "EINVAL"
    assert court.records()[0]["kind"] == "gap"


def test_who_is_asked_from_inside_a_run_gets_its_id(court: Court) -> None:
    buffer = ctypes.create_string_buffer(27)
    assert court.error("prctl", RESERVED_PRCTL, buffer, 27) == ""
    assert buffer.value.decode() == RUN
    assert court.error("prctl", RESERVED_PRCTL, buffer, 26) == "EINVAL"
    assert court.error("prctl", RESERVED_PRCTL, 1, 27) == "EFAULT"
    assert court.error("prctl", 4, 0, 0) == "EINVAL"


def test_signals_stay_in_the_run(court: Court) -> None:
    assert court.call("kill", os.getpid(), signal.SIGTERM) == CONTINUE
    assert court.error("kill", 1, signal.SIGTERM) == "EPERM"
    assert court.error("kill", 0x7FFFFFF0, signal.SIGTERM) == "ESRCH"
    child = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        assert court.call("kill", child, signal.SIGTERM) == CONTINUE
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert court.error("prlimit64", 1, 7, 0, 0) == "EPERM"
    assert court.call("prlimit64", 0, 7, 0, 0) == CONTINUE
    assert court.error("process_vm_readv", 1) == "EPERM"
    assert court.records()[0]["invariant"] == "govrun.processes"


def test_an_exec_of_a_protected_name_is_judged_by_what_it_is(court: Court) -> None:
    script = court.tree / "run.sh"
    script.write_text("#!/bin/sh\n")
    assert court.error("execve", b"run.sh", 0, 0) == "EACCES"  # not executable: the kernel's own answer, no record
    assert court.records() == []
    assert court.error("execve", b"absent", 0, 0) == "ENOENT"
    assert court.error("execve", b"keep", 0, 0) == "EACCES"


def argv(*words: bytes) -> ctypes.Array[Any]:
    pointers = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    return cast("ctypes.Array[Any]", pointers)


def test_commands_outside_the_list_do_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    court = Court(tmp_path / "w", PROFILE + 'commands = ["ls"]\n')
    monkeypatch.chdir(court.tree)
    assert court.error("execve", b"/usr/bin/env", argv(b"env", b"x"), 0) == "EACCES"
    record = court.records()[0]
    assert (record["kind"], record["invariant"], record["op"]["argv"]) == ("exec", "scope.commands", ["env", "x"])
    fd = os.open("/usr/bin/env", os.O_PATH)
    assert court.error("execveat", fd, b"", argv(b"ls"), 0, 0x1000) == "EACCES"
    os.close(fd)
    memory = os.memfd_create("ls")
    os.write(memory, b"#!/bin/sh\n")
    os.fchmod(memory, 0o755)
    assert court.error("execveat", memory, b"", argv(b"ls"), 0, 0x1000) == "EACCES"
    os.close(memory)
    assert court.records()[-1]["invariant"] == "govrun.exec"
    court.journal.close()


def test_one_process_one_telling(court: Court) -> None:
    for _ in range(3):
        assert court.put(b"keep/it", b"x") == "EACCES"
    assert len(court.told) == 1
    assert court.counts["blocked"] == 3


def test_openat2_is_judged_like_open(court: Court) -> None:
    how = ctypes.create_string_buffer(struct.pack("QQQ", CREATE, 0o644, 0), 24)
    assert court.error("openat2", -100, b"keep/new", how, 24) == "EACCES"
    assert court.error("openat2", -100, b"new", how, 24) == ""
    assert (court.tree / "new").exists()
