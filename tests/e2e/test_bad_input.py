"""What users get wrong, hosts lack and agents do badly: a clear error or bounded behaviour, nothing allowed by it."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

MARK = ("touch", "mark")


def refused(outcome: Outcome, *words: str, tree: Path | None = None) -> None:
    """Nothing ran (125), told as what/why/fix with the given words, without a traceback."""
    text = outcome.stderr
    assert outcome.code == 125, f"exit {outcome.code}\n{text}"
    assert re.search(r"^govrun: \S", text, re.M), text
    assert re.search(r"^\s+why: \S", text, re.M), text
    assert re.search(r"^\s+fix: \S", text, re.M), text
    assert "Traceback" not in text
    for word in words:
        assert word in text, f"{word!r} is not in\n{text}"
    if tree is not None:
        assert not (tree / "mark").exists()


PROFILES = {
    "malformed": ("version = 1\n[scope\nwrite = []\n", ["govrun.toml:2"]),
    "unclosed string": ('version = 1\n[scope]\nwrite = ["a]\n', ["govrun.toml:3"]),
    "unknown table": ('version = 1\n[scoop]\nwrite = ["a"]\n', ["govrun.toml:2", "scope"]),
    "unknown key": ('version = 1\n[scope]\nwirte = ["a"]\n', ["govrun.toml:3", "wirte", "write"]),
    "unknown kind": ('version = 1\n[[dependancy]]\nid = "x"\n', ["govrun.toml:2", "dependency"]),
    "duplicate id": (
        "version = 1\n" + '[[command]]\nid = "x"\nwhy = "y"\ndeny = [{ exec = "a" }]\n' * 2,
        ["x", "govrun.toml:6"],
    ),
    "missing pack": ('version = 1\nextends = ["pack:defualt"]\n', ["defualt", "default"]),
    "missing decision": ('version = 1\n[[command]]\nid = "x"\nadr = "0099"\ndeny = [{ exec = "a" }]\n', ["0099"]),
    "wrong type": ('version = 1\n[scope]\nwrite = "src/**"\n', ["govrun.toml:3", "write"]),
    "negation": ('version = 1\n[scope]\nwrite = ["!src/**"]\n', ["except"]),
    "wrong version": ("version = 7\n", ["version"]),
    "wrong verdict": ('version = 1\n[scope]\nthen = "forbid"\n', ["forbid", "deny"]),
    "revert before the act": (
        'version = 1\n[[command]]\nid = "x"\nwhy = "y"\ndeny = [{ exec = "a" }]\nthen = "revert"\n',
        ["revert"],
    ),
    "expired": (
        'version = 1\n[[command]]\nid = "x"\nwhy = "y"\ndeny = [{ exec = "a" }]\nuntil = 2001-01-01\n',
        ["govrun.toml:6", "expired"],
    ),
    "not text": ("version = 1\n# \udcff\udcfe\n", ["UTF-8"]),
    "no reason": ('version = 1\n[[command]]\nid = "x"\ndeny = [{ exec = "a" }]\n', ["why"]),
}


@pytest.mark.parametrize("name", PROFILES)
def test_profile(govrun: Govrun, repo: Path, name: str) -> None:
    text, words = PROFILES[name]
    (repo / "govrun.toml").write_text(text, errors="surrogateescape")
    refused(govrun(*MARK), *words, tree=repo)


def test_all_errors_at_once(govrun: Govrun, repo: Path) -> None:
    (repo / "govrun.toml").write_text('version = 1\n[scope]\nwirte = ["a"]\nhost = []\n[[comand]]\nid = "x"\n')
    outcome = govrun(*MARK)
    refused(outcome, "govrun.toml:3", "govrun.toml:4", "govrun.toml:5", tree=repo)


@pytest.mark.parametrize("what", ["folder", "fifo", "link", "huge", "unreadable"])
def test_profile_that_is_no_file(govrun: Govrun, repo: Path, what: str) -> None:
    profile = repo / "govrun.toml"
    if what == "folder":
        profile.mkdir()
    elif what == "fifo":
        os.mkfifo(profile)
    elif what == "link":
        profile.symlink_to("README.md")
    elif what == "huge":
        profile.write_bytes(b"version = 1\n" + b"# filler\n" * 1_000_000)
    elif os.geteuid() == 0:
        pytest.skip("root reads every file")
    else:
        profile.write_text("version = 1\n")
        profile.chmod(0)
    refused(govrun(*MARK, timeout=20), "govrun.toml", tree=repo)


def test_profile_option_without_a_file(govrun: Govrun, repo: Path) -> None:
    refused(govrun(*MARK, options=["--profile", "none.toml"]), "none.toml", tree=repo)


def test_not_a_repository(govrun: Govrun, tmp_path: Path) -> None:
    """Works without notes, and says so."""
    folder = tmp_path / "plain"
    folder.mkdir()
    outcome = govrun("bash", "-c", "echo x > f; echo x > $HOME/outside; cat f", cwd=folder)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout == b"x\n"
    assert "not a git repository" in outcome.stderr
    assert outcome.denied("scope.write")
    assert not (govrun.home / "outside").exists()


def test_bare_repository(govrun: Govrun, tmp_path: Path) -> None:
    folder = tmp_path / "bare.git"
    govrun.bare("git", "init", "-q", "--bare", str(folder))
    refused(govrun(*MARK, cwd=folder), "bare", tree=folder)


def test_empty_repository(govrun: Govrun, tmp_path: Path) -> None:
    """No commit yet: the first one is the agent's, and is noted."""
    folder = tmp_path / "empty"
    govrun.bare("git", "init", "-q", str(folder))
    govrun("bash", "-ec", "echo x > f; git add f; git commit -qm first", cwd=folder).ok()
    shown = govrun.bare("git", "log", "-1", "--notes=govrun", cwd=folder).stdout.decode()
    assert "govrun/1 PASSED" in shown, shown


@pytest.mark.parametrize("where", ["home", "above", "root"])
def test_home_as_tree(govrun: Govrun, home: Path, where: str) -> None:
    """The state and the keys of the user lie there: an ancestor of HOME is no working tree unless asked for."""
    folder = {"home": home, "above": home.parent, "root": Path("/")}[where]
    refused(govrun("true", cwd=folder), "--root")
    if where == "root":
        return
    govrun.bare("git", "init", "-q", cwd=folder)
    refused(govrun("true", cwd=folder), "--root")


def test_state_inside_the_tree(govrun: Govrun, repo: Path) -> None:
    state = repo / "state"
    refused(govrun(*MARK, env={"XDG_STATE_HOME": str(state)}), "state", tree=repo)


def test_state_folder_of_somebody_else(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    state = tmp_path / "shared" / "govrun"
    state.mkdir(parents=True)
    state.chmod(0o777)
    refused(govrun(*MARK, env={"XDG_STATE_HOME": str(state.parent)}), str(state), tree=repo)


def test_state_folder_is_a_file(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    refused(govrun(*MARK, env={"XDG_STATE_HOME": str(tmp_path / "file")}), tree=repo)


def test_no_home(govrun: Govrun, repo: Path) -> None:
    env = {name: value for name, value in govrun.env.items() if name not in ("HOME", "XDG_STATE_HOME")}
    done = subprocess.run(govrun.argv("--", "true"), cwd=repo, env=env, capture_output=True, timeout=30)
    assert done.returncode in (0, 125)
    assert b"Traceback" not in done.stderr


def test_working_directory_is_gone(govrun: Govrun, tmp_path: Path) -> None:
    words = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv("--", "true"))
    done = govrun.bare("bash", "-c", f"mkdir gone; cd gone; rmdir ../gone; {words}", cwd=tmp_path)
    assert done.returncode == 125, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"BUG" not in done.stderr
    assert b"fix:" in done.stderr


def test_read_only_tree(govrun: Govrun, repo: Path) -> None:
    """The tree's own permissions hold as they do without govrun, for root too: it has lost its capabilities."""
    for path in (repo, repo / "src"):
        path.chmod(0o555)
    try:
        outcome = govrun("bash", "-c", "cat README.md; echo x > new; echo x > src/new")
        assert outcome.stdout == b"# example\n", outcome.stderr
        assert outcome.code != 0
        assert not (repo / "new").exists() and not (repo / "src/new").exists()
        assert not outcome.denied()
    finally:
        for path in (repo, repo / "src"):
            path.chmod(0o755)


def test_reftable_repository(govrun: Govrun, repo: Path) -> None:
    """A ref store that is not read yet is refused by name, not taken for an empty one."""
    config = repo / ".git/config"
    config.write_text(
        config.read_text().replace("repositoryformatversion = 0", "repositoryformatversion = 1")
        + "[extensions]\n\trefStorage = reftable\n"
    )
    refused(govrun(*MARK), "reftable", tree=repo)


# A parent that loads a filter and then becomes govrun: the calls named fail as on a kernel without the feature.
WITHOUT = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
number, error = int(sys.argv[1]), int(sys.argv[2])
answers = [(0x06, 0, 0, 0x50000 | error), (0x06, 0, 0, 0x7FFF0000)]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), *answers]
if sys.argv[3]:
    code = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16), (0x15, 0, 1, int(sys.argv[3])), *answers]
area = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(code), ctypes.addressof(area))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execv(sys.argv[4], sys.argv[4:])
"""
LANDLOCK, SECCOMP, ENOSYS, EPERM, EOPNOTSUPP = 444, 317, 38, 1, 95


def without(govrun: Govrun, call: int, error: int, first: str, *command: str) -> subprocess.CompletedProcess[bytes]:
    """govrun where system call `call` (with first argument `first`, if given) fails with `error`."""
    words = [os.fsdecode(word) for word in govrun.argv("--", *command)]
    return govrun.bare("/usr/bin/python3", "-I", "-c", WITHOUT, str(call), str(error), first, *words)


@pytest.mark.parametrize(
    ("call", "error", "first", "word"),
    [
        (LANDLOCK, ENOSYS, "", "Landlock"),
        (LANDLOCK, EOPNOTSUPP, "", "Landlock"),
        (LANDLOCK, EPERM, "", "Landlock"),
        (SECCOMP, ENOSYS, "", "seccomp"),
        (SECCOMP, EPERM, "1", "seccomp"),
        (446, EPERM, "", "Landlock"),
    ],
)
def test_kernel_without(govrun: Govrun, repo: Path, call: int, error: int, first: str, word: str) -> None:
    """An old kernel, Landlock switched off at boot, a container whose own filter refuses: 125, named, nothing ran."""
    done = without(govrun, call, error, first, *MARK)
    text = done.stderr.decode()
    assert done.returncode == 125, text
    assert word in text and "fix: " in text and "Traceback" not in text, text
    assert not (repo / "mark").exists()


def test_container_with_a_listener_of_its_own(govrun: Govrun, repo: Path) -> None:
    """One listener per filter tree (EBUSY): a process under another supervisor cannot have a second one."""
    done = without(govrun, SECCOMP, 16, "1", *MARK)
    text = done.stderr.decode()
    assert done.returncode == 125, text
    assert "fix: " in text and "Traceback" not in text, text
    assert not (repo / "mark").exists()


@pytest.mark.needs("root")
@pytest.mark.parametrize("level", ["2", "3"])
def test_yama(govrun: Govrun, repo: Path, tmp_path: Path, level: str) -> None:
    """A copy of /proc/sys/kernel with the level in it, mounted over the real one in a namespace of the test's own."""
    fake = tmp_path / "kernel"
    govrun.bare("bash", "-c", f"cp -r --no-preserve=all /proc/sys/kernel {fake} 2>/dev/null; mkdir -p {fake}/yama")
    (fake / "yama/ptrace_scope").write_text(level + "\n")
    words = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv("--", *MARK))
    done = govrun.bare("unshare", "-m", "bash", "-c", f"mount --bind {fake} /proc/sys/kernel && cd {repo} && {words}")
    assert done.returncode == 125, done.stderr
    assert b"ptrace_scope" in done.stderr and b"fix: " in done.stderr
    assert not (repo / "mark").exists()


@pytest.mark.needs("root")
def test_libseccomp_missing(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    """Hidden by an empty file over it in a mount namespace; the program cache is cold."""
    found = [path for path in Path("/usr/lib").glob("*/libseccomp.so.2*") if not path.is_symlink()]
    if not found:
        pytest.skip("no libseccomp in /usr/lib/*: already missing")
    (tmp_path / "empty").touch()
    mounts = " && ".join(f"mount --bind {tmp_path}/empty {path}" for path in found)
    words = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv("--", *MARK))
    env = {"XDG_STATE_HOME": str(tmp_path / "fresh"), "XDG_CACHE_HOME": str(tmp_path / "cold")}
    done = govrun.bare("unshare", "-m", "bash", "-c", f"{mounts} && cd {repo} && {words}", env=env)
    assert done.returncode == 125, done.stderr
    assert b"libseccomp" in done.stderr and b"fix: " in done.stderr and b"Traceback" not in done.stderr
    assert not (repo / "mark").exists()


ODD = [
    b"new\nline",
    b"\xff\xfe",
    "\u202eexe.txt".encode(),
    b"esc\x1b[31m",
    b" ",
    b"-rf",
    b"*",
    b"a" * 255,
    b'"quote\\',
    b"tab\t",
]


def test_odd_names(govrun: Govrun, repo: Path) -> None:
    """Each is made, written, renamed, linked, removed; git commits them; the log can be read."""
    code = f"""
import os
for n in {ODD!r}:
    os.mkdir(b"d"); p = b"d/" + n
    open(p, "wb").write(n); os.rename(p, b"m"); os.link(b"m", p); os.unlink(b"m"); os.chmod(p, 0o600)
    assert open(p, "rb").read() == n and os.listdir(b"d") == [n]
    os.unlink(p); os.rmdir(b"d"); open(n, "wb").write(b"x")
"""
    govrun("/usr/bin/python3", "-c", code).ok()
    outcome = govrun("bash", "-ec", "git add -A; git commit -qm odd; git ls-files | wc -l").ok()
    assert int(outcome.stdout) == len(ODD) + 2
    for words in (["log", "latest"], ["log", "latest", "--json"], ["runs"], ["explain"]):
        told = govrun.cli(*words)
        assert told.code == 0, told.stderr
        assert b"\x1b" not in told.stdout and "\u202e".encode() not in told.stdout


def test_tree_with_an_odd_name(govrun: Govrun, repo: Path) -> None:
    odd = repo.parent / os.fsdecode(b"odd \xff\n\x1b[31mname")
    repo.rename(odd)
    outcome = govrun("bash", "-ec", "echo x > f; git add f; git commit -qm f; git log --oneline | wc -l", cwd=odd)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout == b"2\n"
    assert b"\x1b" not in outcome.process.stderr
    assert govrun("bash", "-c", "echo x > $HOME/outside", cwd=odd).denied("scope.write")


@pytest.mark.timeout(300)
def test_many_files(govrun: Govrun, repo: Path) -> None:
    """100,000 names before the run, and a start that does not look at them; a folder of them moves."""
    for number in range(100):
        folder = repo / "many" / str(number)
        folder.mkdir(parents=True)
        for name in range(1000):
            os.close(os.open(folder / str(name), os.O_CREAT | os.O_WRONLY))
    begun = time.monotonic()
    govrun("true").ok()
    print(f"start over 100,000 files: {time.monotonic() - begun:.2f} s")
    outcome = govrun(
        "bash", "-ec", "mv many/0 moved; rm -r moved; ls many | wc -l; find many -type f | wc -l", timeout=200
    )
    assert outcome.ok().stdout == b"99\n99000\n"


def test_symlink_loops(govrun: Govrun, repo: Path) -> None:
    script = """
ln -s a b; ln -s b a; ln -s . here; ln -s self self
for n in a b self here/here/here/self a/x; do
  cat $n 2>/dev/null; echo $?; (echo x > $n) 2>/dev/null; echo $?
done
echo ok > here/here/here/file; cat file; rm a b here self
"""
    bare = repo.parent / "bare"
    shutil.copytree(repo, bare, symlinks=True)
    expected = govrun.bare("bash", "-c", script, cwd=bare)
    outcome = govrun("bash", "-c", script, timeout=30)
    assert outcome.code == 0 and outcome.stdout == expected.stdout


def _limit_processes() -> None:
    resource.setrlimit(resource.RLIMIT_NPROC, (400, 400))


@pytest.mark.needs("user")
def test_fork_without_end(govrun: Govrun, repo: Path) -> None:
    """Bounded by a process limit of the test's own (it binds ordinary users only); the time-out ends all of it."""
    (repo / "govrun.toml").write_text('version = 1\n[scope]\ntimeout = "5s"\n')
    script = "f() { sleep 30.0625 | f & f; }; f"
    outcome = govrun("bash", "-c", script, timeout=90, preexec_fn=_limit_processes)
    assert outcome.code == 124, outcome.stderr[-2000:]
    left = subprocess.run(
        ["pgrep", "-u", str(os.getuid()), "-f", "sleep 30.0625"], capture_output=True, text=True
    ).stdout
    assert not left


def test_limits_that_cannot_be_kept_are_named(govrun: Govrun, repo: Path) -> None:
    """A limit without a mechanism on this host is said up front, never taken for kept; `require` refuses it."""
    (repo / "govrun.toml").write_text("version = 1\n[scope]\nprocesses = 20\n")
    outcome = govrun("true").ok()
    explained = json.loads(govrun.cli("explain", "--json").ok().stdout)
    found = next(each for each in explained["invariants"] if each["invariant"] == "scope.processes")
    if found["coverage"] == "unenforceable":
        assert "scope.processes" in outcome.stderr
        refused(govrun(*MARK, options=["--require", "observed"]), "scope.processes", tree=repo)


def test_stderr_closed(govrun: Govrun) -> None:
    outcome = govrun("bash", "-c", "exec 2>&-; echo x > $HOME/outside; echo next")
    assert outcome.stdout == b"next\n"
    assert outcome.denied("scope.write")


def test_stderr_full(govrun: Govrun, repo: Path) -> None:
    """A pipe nobody reads: the reason cannot be written, and must not hold anybody."""
    code = """
import os, subprocess
r, w = os.pipe()
os.set_blocking(w, False)
try:
    while True: os.write(w, b"x" * 4096)
except BlockingIOError: pass
os.set_blocking(w, True)
inner = "import os\\ntry: open(os.environ['HOME'] + '/outside', 'w')\\nexcept OSError as e: print(e.errno, flush=True)"
p = subprocess.Popen(["/usr/bin/python3", "-c", inner], stderr=w, stdout=subprocess.PIPE)
print(p.communicate()[0].decode().strip(), p.returncode)
"""
    outcome = govrun("/usr/bin/python3", "-c", code, timeout=30)
    assert outcome.stdout == b"13 0\n", outcome.stderr
    assert outcome.denied("scope.write")


def test_journal_flood(govrun: Govrun, repo: Path) -> None:
    """Tens of thousands of refusals in a row: all answered, the log stays whole, the terminal is not flooded."""
    code = """
import os
n = 0
for i in range(20000):
    try: os.mkdir(os.environ["HOME"] + f"/x{i % 7}")
    except PermissionError: n += 1
print(n)
"""
    outcome = govrun("/usr/bin/python3", "-c", code, timeout=100)
    assert outcome.ok().stdout == b"20000\n"
    assert len(outcome.stderr) < 20_000
    assert govrun.cli("log", "latest", "--json").code == 0


def test_lease(govrun: Govrun, repo: Path) -> None:
    """A lease makes the next open wait for its holder; a run cannot take one, and the supervisor does not wait."""
    code = """
import fcntl, os, signal
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open("README.md", os.O_RDONLY)
try: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK); print("taken")
except OSError as error: print(error.errno)
if os.fork() == 0:
    os.truncate("README.md", 0)
    open("README.md", "w").write("new")
    os._exit(0)
os.wait()
"""
    begun = time.monotonic()
    outcome = govrun("/usr/bin/python3", "-c", code, timeout=40).ok()
    assert outcome.stdout == b"22\n"
    assert time.monotonic() - begun < 30  # the kernel's own lease-break-time is 45 s
    assert (repo / "README.md").read_text() == "new"


def test_lease_of_an_outside_process(govrun: Govrun, repo: Path) -> None:
    """Somebody else holds a read lease and does not let go: that one call waits, the others go on."""
    code = (
        "import fcntl, os, signal, time; signal.signal(signal.SIGIO, signal.SIG_IGN); fd = "
        "os.open('README.md', os.O_RDONLY);"
    )
    code += "fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK); print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen(["/usr/bin/python3", "-c", code], cwd=repo, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        script = "(echo x > README.md) & for i in $(seq 50); do echo $i > n; done; cat n; kill -9 $!"
        begun = time.monotonic()
        outcome = govrun("bash", "-c", script, timeout=40)
        assert outcome.stdout == b"50\n", outcome.stderr
        assert time.monotonic() - begun < 30
    finally:
        holder.kill()
        holder.communicate()


def test_held_fifo(govrun: Govrun, repo: Path) -> None:
    """An open that waits for a reader holds its own process only, and ends on a signal."""
    script = """
mkfifo p
(echo x > p) & one=$!
(timeout 1 bash -c 'echo y > p'; echo "ended $?") &
two=$!
for i in $(seq 100); do echo $i > n; done
cat n; wait $two; kill $one; wait $one; echo "killed $?"
(echo z > p) & cat p
"""
    outcome = govrun("bash", "-c", script, timeout=40)
    assert outcome.stdout == b"100\nended 124\nkilled 143\nz\n", (outcome.stdout, outcome.stderr)


@pytest.mark.needs("strace")
def test_traced_from_outside(govrun: Govrun, repo: Path) -> None:
    """Under somebody's strace -f the supervisor cannot look at an exec before it runs: told, and not let through."""
    words = [os.fsdecode(word) for word in govrun.argv("--", "bash", "-c", "touch mark; echo x > $HOME/outside")]
    done = govrun.bare("strace", "-f", "-o", "/dev/null", "-e", "trace=none", *words, timeout=60)
    assert not (govrun.home / "outside").exists()
    assert not (repo / "mark").exists()
    assert done.returncode in (125, 126)
    assert b"traces this one" in done.stderr, done.stderr


@pytest.mark.needs("strace")
def test_tracing_inside(govrun: Govrun, repo: Path) -> None:
    """ptrace needs `debug = true`; with it a debugger works on the run's own processes."""
    outcome = govrun("strace", "-o", "trace", "true")
    assert outcome.code != 0
    assert outcome.denied("govrun.processes")
    (repo / "govrun.toml").write_text("version = 1\n[scope]\ndebug = true\n")
    allowed = govrun("strace", "-f", "-o", "trace", "bash", "-c", "echo x > $HOME/outside; echo y > inside; /bin/true")
    assert (repo / "inside").read_text() == "y\n", allowed.stderr
    assert not (govrun.home / "outside").exists()
    assert "execve" in (repo / "trace").read_text()


@pytest.mark.timeout(180)
def test_two_runs_in_one_repository(govrun: Govrun, repo: Path) -> None:
    """Both work, both note their own commits, neither loses the other's note."""
    # Not by `git commit`: two at once may take each other's message, which it writes to a file and reads again.
    script = (
        "commit() { p=$(git rev-parse HEAD); git update-ref HEAD $(git commit-tree -p $p -m $1 HEAD^{tree}) $p; };"
        "for i in $(seq 10); do while ! commit %s-$i 2>/dev/null; do sleep 0.02; done; done"
    )
    first = govrun.start("bash", "-c", script % "one")
    second = govrun.start("bash", "-c", script % "two")
    codes = [each.wait(120).code for each in (first, second)]
    assert codes == [0, 0]
    subjects = govrun.bare("git", "log", "--format=%s", "HEAD").stdout.decode().split()
    assert len(subjects) == 21
    notes = govrun.bare("git", "log", "--notes=govrun", "--format=%s%n%N", "HEAD~0").stdout.decode()
    assert notes.count("govrun/1 PASSED") >= 20, notes
    assert "RUNNING" not in notes
    runs = {path.name for path in (govrun.state / "runs").iterdir()}
    assert len(runs) == 2 and all(run in notes for run in runs)
    # Neither claims what the other made.
    owners: dict[str, set[str]] = {"one": set(), "two": set()}
    for subject, note in zip(*[iter(told(govrun, "%s", "%N"))] * 2, strict=True):
        found = {line.split()[0] for line in note.split("|") if line}
        assert len(found) == (subject != "base"), (subject, note)
        if subject != "base":
            owners[subject.partition("-")[0]] |= found
    assert len(owners["one"]) == len(owners["two"]) == 1
    assert owners["one"] != owners["two"]


def told(govrun: Govrun, *formats: str) -> list[str]:
    """Each commit's answers, one after the other; a note's lines are joined by `|`."""
    found = []
    for commit in govrun.bare("git", "rev-list", "HEAD").stdout.decode().split():
        for each in formats:
            text = govrun.bare("git", "log", "-1", "--notes=govrun", f"--format={each}", commit).stdout.decode()
            found.append("|".join(text.splitlines()).strip("|"))
    return found


def test_commits_of_the_user_are_not_claimed(govrun: Govrun, repo: Path) -> None:
    script = "touch ready; while [ ! -e go ]; do sleep 0.02; done; git commit -q --allow-empty -m mine; sleep 0.2"
    running = govrun.start("bash", "-c", script)
    while not (repo / "ready").exists():
        assert running.process.poll() is None
        time.sleep(0.02)
    assert govrun.bare("git", "commit", "-q", "--allow-empty", "-m", "theirs").returncode == 0
    (repo / "go").touch()
    outcome = running.wait().ok()
    assert govrun.bare("git", "commit", "-q", "--allow-empty", "-m", "later").returncode == 0
    notes = dict(zip(*[iter(told(govrun, "%s", "%N"))] * 2, strict=True))
    assert outcome.run in notes.pop("mine")
    assert set(notes.values()) == {""}
    assert outcome.records(kind="external")


def test_govrun_inside_a_run(govrun: Govrun, repo: Path) -> None:
    """It says that supervision is there already and starts the command under that; it adds no run and drops no rule."""
    inner = " ".join(
        f"'{os.fsdecode(word)}'"
        for word in govrun.argv("--", "bash", "-c", "touch mark; echo x > $HOME/outside; exit 6")
    )
    outcome = govrun("bash", "-c", inner)
    assert outcome.code == 6, outcome.stderr
    assert (repo / "mark").exists() and not (govrun.home / "outside").exists()
    assert outcome.denied("scope.write")
    assert len(list((govrun.state / "runs").iterdir())) == 1
    assert outcome.stderr.count(outcome.run) >= 2, outcome.stderr


def test_claiming_to_be_inside_a_run(govrun: Govrun, repo: Path) -> None:
    """What an environment says is not believed: the command is governed all the same."""
    env = {"GOVRUN_RUN": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "GOVRUN": "1", "GOVRUN_NESTED": "1"}
    outcome = govrun("bash", "-c", "echo x > $HOME/outside", env=env)
    assert outcome.denied("scope.write")
    assert not (govrun.home / "outside").exists()


def test_many_arguments(govrun: Govrun) -> None:
    """Long argument lists arrive whole; one that no kernel takes is told as the shell would tell it."""
    words = [f"argument-{number:06}" for number in range(5000)]
    outcome = govrun("/usr/bin/python3", "-c", "import sys; print(len(sys.argv), len(sys.argv[1]))", *words).ok()
    assert outcome.stdout == b"5001 15\n"
    script = "import subprocess\ntry: subprocess.run(['true', 'x' * 200000])\nexcept OSError as e: print(e.errno)"
    assert govrun("/usr/bin/python3", "-c", script).ok().stdout == b"7\n"


def test_huge_environment(govrun: Govrun) -> None:
    env = {f"VARIABLE_{number}": "x" * 1000 for number in range(1000)}
    assert govrun("bash", "-c", "env | grep -c ^VARIABLE_", env=env).ok().stdout == b"1000\n"


def test_socket_as_standard_error(govrun: Govrun) -> None:
    """Node and others give their children sockets: the reason arrives there, or govrun tells it."""
    left, right = socket.socketpair()
    with left, right:
        running = govrun.start("bash", "-c", "echo x > $HOME/outside; echo done >&2", stderr=right)
        code = running.wait(30).code
        right.close()
        left.settimeout(5)
        seen = b""
        while chunk := left.recv(65536):
            seen += chunk
    assert code == 0
    assert b"scope.write" in seen and b"done" in seen


def test_unknown_verdict_never_allows(govrun: Govrun, repo: Path) -> None:
    """`ask` cannot ask yet: it denies and says so. `observe` and `warn` let in-tree acts through and record them."""
    text = 'version = 1\n[scope]\nprotect = ["rules/**"]\nthen = "%s"\n'
    (repo / "rules").mkdir()
    for then, happens in (("ask", False), ("deny", False), ("warn", True), ("observe", True)):
        (repo / "govrun.toml").write_text(text % then)
        outcome = govrun("bash", "-c", f"echo x > rules/{then}; echo x > $HOME/outside")
        assert (repo / "rules" / then).exists() == happens, (then, outcome.stderr)
        assert not (govrun.home / "outside").exists()
        records = [each for each in outcome.journal if each.get("invariant") == "scope.protect"]
        assert records and records[0]["verdict"] == then, records
    assert textwrap.dedent(text)


def test_a_granted_place_that_is_not_there(govrun: Govrun, repo: Path, home: Path) -> None:
    """The kernel grants what exists: said at the start, and by the refusal."""
    (repo / "govrun.toml").write_text('version = 1\n[scope]\nwrite = ["**", "~/out/**", "~/there/**"]\n')
    (home / "there").mkdir()
    outcome = govrun("sh", "-c", "mkdir ~/out; echo x > ~/there/x && echo through")
    assert b"through" in outcome.stdout
    assert '~/out/** in "write" (govrun.toml:3) is not there' in outcome.stderr
    assert outcome.denied("scope.write") and "outside the write scope" in outcome.stderr
    (home / "out").mkdir()
    outcome = govrun("sh", "-c", "echo x > ~/out/x").ok()
    assert not outcome.denied() and "is not there" not in outcome.stderr
