"""Fixtures shared by every suite: one governed command, one repository, one gate for host features."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from supervisor.run.scratch import name_in

ROOT = Path(__file__).resolve().parent.parent
# A run may create names in temporary space, so a tree there would have no outside to test against.
# pytest reads this variable when the first temporary directory is asked for, and keeps the last three.
PLACE = Path(os.environ.get("GOVRUN_TEST_PLACE") or Path.home() / ".cache" / "govrun-tests")
PROBE_IMPORT = "import supervisor, sys; sys.stdout.write(supervisor.__file__ or '')"

# ---------------------------------------------------------------------------------------------- host features


def _landlock_abi() -> int:
    """ABI version of Landlock, 0 without it (landlock_create_ruleset(2), flag LANDLOCK_CREATE_RULESET_VERSION)."""
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(0, int(abi))


def _notify() -> int:
    try:
        actions = Path("/proc/sys/kernel/seccomp/actions_avail").read_text().split()
    except OSError:
        return 0
    return int("user_notif" in actions)


def _userns() -> int:
    return int(subprocess.run(["unshare", "-Ur", "true"], capture_output=True).returncode == 0)


def _xattr() -> int:
    with tempfile.NamedTemporaryFile() as probe:
        try:
            os.setxattr(probe.name, "user.govrun", b"1")
        except OSError:
            return 0
    return 1


def _acl() -> int:
    if shutil.which("setfacl") is None:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return int(subprocess.run(["setfacl", "-dm", "g::r", folder], capture_output=True).returncode == 0)


def _registry() -> int:
    """Whether the index that pip is configured for answers; one small pure package, once per session."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "iniconfig"]
        try:
            return int(subprocess.run(command, capture_output=True, timeout=60).returncode == 0)
        except subprocess.TimeoutExpired:
            return 0


def _program(name: str) -> Callable[[], int]:
    def found() -> int:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return int(shutil.which(name, path=path) is not None)

    return found


def _node() -> int:
    """Major version."""
    try:
        told = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    except OSError:
        return 0
    return int(told.removeprefix("v").partition(".")[0] or 0)


def _postgres() -> int:
    return int(bool(sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))))


def _yama() -> int:
    """1 when a supervisor may trace its descendants (kernel.yama.ptrace_scope 0 or 1, or no Yama)."""
    try:
        return int(int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text()) <= 1)
    except OSError:
        return 1


def _pid_max() -> int:
    """Whether a namespace may have fewer process ids than the machine, and be made (Linux 6.14)."""
    version = tuple(int(part) for part in re.findall(r"[0-9]+", platform.release())[:2])
    return int(version >= (6, 14) and (os.geteuid() == 0 or _userns() > 0))


SAMPLED = ("e2e", "faults", "corpus")

FEATURES: Mapping[str, Callable[[], int]] = {
    "landlock": _landlock_abi,
    "notify": _notify,
    "userns": _userns,
    "xattr": _xattr,
    "acl": _acl,
    "registry": _registry,
    "postgres": _postgres,
    "yama": _yama,
    "node": _node,
    "pid_max": _pid_max,
    "merged-usr": lambda: int(Path("/usr/bin").samefile("/bin")),
    **{
        name: _program(name)
        for name in (
            *("gcc", "make", "git", "npm", "tmux", "strace", "bwrap", "socat", "setpriv", "sqlite3", "jq"),
            *("gdb", "cargo", "go", "mvn", "cmake", "ninja", "ccache", "autoconf", "ruby", "bundle", "perl", "php"),
            *("apt-get", "dpkg-deb", "git-lfs", "screen", "curl", "g++", "ssh-agent", "gpg", "direnv", "less", "vi"),
        )
    },
}


def own_group() -> Path | None:
    """Folder of the cgroup of version 2 that this process is in, None without one (cgroups(7), proc(5))."""
    own = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::/")]
    for line in Path("/proc/self/mountinfo").read_text().splitlines() if own else []:
        words = line.split(" ")
        root, point = words[3].rstrip("/"), words[4]
        if words[words.index("-") + 1] == "cgroup2" and f"{own[0]}/".startswith(f"{root}/"):
            return Path(point, own[0][len(root) :].lstrip("/"))
    return None


@functools.cache
def may_group(*controllers: str) -> bool:
    """Whether this process may make a group below its own, and limit it by these: the kernel is asked, not govrun."""
    place = own_group()
    if place is None:
        return False
    top = not (place / "cgroup.type").exists()
    if not top and Path("/run/systemd/system").is_dir():
        given = [name for name in os.listxattr(place) if name in ("user.delegate", "trusted.delegate")]
        if not any(os.getxattr(place, name) == b"1" for name in given):
            return False  # systemd keeps it for itself (its CGROUP_DELEGATION document)
    probe = place / f"probe-{os.getpid()}"
    try:
        probe.mkdir()
    except OSError:
        return False
    try:
        domain = (probe / "cgroup.type").read_text().strip() == "domain"
    finally:
        probe.rmdir()
    # A group with processes in it, as this one is, lends no controllers; the root of the hierarchy does.
    lent = set((place / "cgroup.controllers").read_text().split()) if top else set()
    return domain and os.access(place / "cgroup.procs", os.W_OK) and lent.issuperset(controllers)


# Who runs the suite, and in what, is no feature of the host: it runs as both, so a mismatch is a skip.
IDENTITIES: Mapping[str, Callable[[], bool]] = {
    "root": lambda: os.geteuid() == 0,
    "user": lambda: os.geteuid() != 0,
    "one who may make a cgroup": may_group,
    "one who may limit a cgroup": lambda: may_group("pids", "memory"),
}


@functools.cache
def feature(name: str) -> int:
    """Level of a host feature (0 = missing). KeyError on a name that FEATURES does not know."""
    return FEATURES[name]()


def _missing(mark: pytest.Mark) -> tuple[list[str], list[str]]:
    """(host gaps, identity mismatches) of one `needs` mark; a misspelt feature is a usage error, never a skip."""
    gaps: list[str] = []
    identity: list[str] = []
    wanted: dict[str, int] = dict.fromkeys(mark.args, 1) | dict(mark.kwargs)
    for name, level in wanted.items():
        if name in IDENTITIES:
            if not IDENTITIES[name]():
                identity.append(f"runs as {name} only")
        elif name not in FEATURES:
            raise pytest.UsageError(f"needs({name!r}): unknown feature; known: {', '.join([*FEATURES, *IDENTITIES])}")
        elif feature(name) < level:
            gaps.append(f"{name}>={level}, this host has {feature(name)}")
    return gaps, identity


def pytest_configure() -> None:
    # What a runner ignores (nohup) its children would ignore too; the tests speak of the usual dispositions.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # The same for git: neither a hook that runs the tests nor the configuration of their user has a say.
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]
    os.environ.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
    PLACE.mkdir(parents=True, exist_ok=True)
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(PLACE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where an ordinary user has run all of them, root runs every fifth case of each test, beginning with the first,
    and all of what root alone, or one who may use cgroups, can run."""
    if not os.environ.get("GOVRUN_TEST_SAMPLE"):
        return
    cases: Counter[tuple[Path, str]] = Counter()
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        here = item.path.relative_to(ROOT / "tests").parts[0] in SAMPLED
        own = any(name in IDENTITIES for mark in item.iter_markers("needs") for name in mark.args)
        test = item.path, getattr(item, "originalname", item.name)
        (left if here and not own and cases[test] % 5 else kept).append(item)
        cases[test] += 1
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        gaps, identity = _missing(mark)
        if identity:
            pytest.skip("; ".join(identity))
        if gaps and os.environ.get("GOVRUN_MUST_WORK"):
            pytest.fail(f"needs {'; '.join(gaps)} (GOVRUN_MUST_WORK is set)", pytrace=False)
        if gaps:
            pytest.skip(f"needs {'; '.join(gaps)}")


def pytest_report_header() -> str:
    must = os.environ.get("GOVRUN_MUST_WORK", "")
    return (
        f"host: Linux {platform.release()}, landlock {feature('landlock')}, notify {feature('notify')}, "
        f"uid {os.geteuid()}, must work: {must or 'no'}"
    )


# ------------------------------------------------------------------------------------------- a governed command

Record = dict[str, Any]


def read_journal(state: Path) -> tuple[Path | None, list[Record]]:
    """(folder, records) of the newest run under a state directory; (None, []) when there is none. A torn line fails."""
    runs = sorted((state / "runs").glob("*/journal.jsonl"))
    if not runs:
        return None, []
    newest = runs[-1]
    with newest.open("rb") as lines:
        return newest.parent, [json.loads(line) for line in lines]


@dataclass(frozen=True)
class Outcome:
    """A finished govrun process and what it left in its state directory."""

    process: subprocess.CompletedProcess[bytes]
    state: Path
    run_dir: Path | None
    journal: list[Record]

    @property
    def code(self) -> int:
        return self.process.returncode

    @property
    def stdout(self) -> bytes:
        return self.process.stdout

    @property
    def stderr(self) -> str:
        return self.process.stderr.decode("utf-8", "backslashreplace")

    @property
    def run(self) -> str:
        """ULID of the newest run; AssertionError when nothing ran."""
        assert self.run_dir is not None, f"no run in {self.state}: {self.stderr}"
        return self.run_dir.name

    def records(self, **want: object) -> list[Record]:
        """Journal records whose named keys equal the given values."""
        return [each for each in self.journal if all(each.get(key) == value for key, value in want.items())]

    def denied(self, invariant: str | None = None) -> list[Record]:
        """Records that say `deny`, `revert` or `kill`, of one invariant if named."""
        refused = [each for each in self.journal if each.get("verdict") in ("deny", "revert", "kill")]
        return [each for each in refused if invariant is None or each.get("invariant") == invariant]

    def ok(self) -> Outcome:
        """Itself, after asserting exit code 0 (the message carries stderr)."""
        assert self.code == 0, f"exit {self.code}\n{self.stderr}\nstdout: {self.stdout!r}"
        return self


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and every descendant it has now; by pid, children first seen before the parent dies."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.kill()
    for member in family:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def _await_publisher(run_dir: Path) -> None:
    """govrun does not wait for the notes of a run that changed nothing; a test that looks around afterwards has to."""
    end = time.monotonic() + 20
    told = run_dir / "notes.jsonl"
    while time.monotonic() < end and not (told.exists() and '"end"' in told.read_text()):
        mine = ("-m", "supervisor.provenance.publish", str(run_dir))
        commands = (each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"]))
        if not any(tuple(command[-3:]) == mine for command in commands):
            return
        time.sleep(0.02)


@dataclass
class Running:
    """A govrun process that has not ended yet."""

    process: subprocess.Popen[bytes]
    state: Path

    def journal(self) -> list[Record]:
        """Records written so far; a line that is being written is left out."""
        runs = sorted((self.state / "runs").glob("*/journal.jsonl"))
        if not runs:
            return []
        whole = [line for line in runs[-1].read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        return [json.loads(line) for line in whole]

    def wait(self, timeout: float = 60) -> Outcome:
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            end_tree(self.process)
            out, err = self.process.communicate(timeout=10)
            raise AssertionError(f"govrun did not end in {timeout} s\nstdout: {out!r}\nstderr: {err!r}") from None
        done = subprocess.CompletedProcess(self.process.args, self.process.returncode, out or b"", err or b"")
        run_dir, records = read_journal(self.state)
        if run_dir is not None:
            _await_publisher(run_dir)
        return Outcome(done, self.state, run_dir, records)


@dataclass
class Govrun:
    """Starts govrun with a home and a state directory of its own."""

    home: Path
    env: dict[str, str]
    cwd: Path
    interpreter: str = sys.executable
    started: list[Running] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return Path(self.env["XDG_STATE_HOME"]) / "govrun"

    def argv(self, *words: str | bytes | os.PathLike[str]) -> list[str | bytes]:
        return [self.interpreter, "-I", "-m", "supervisor", *(os.fspath(word) for word in words)]

    def start(
        self,
        *command: str | bytes | os.PathLike[str],
        options: Sequence[str] = (),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        **popen: Any,
    ) -> Running:
        """Start `govrun OPTIONS -- COMMAND` and return at once; the fixture ends what a test leaves behind."""
        return self._spawn(self.argv(*options, "--", *command), cwd, env, popen)

    def cli(
        self,
        *words: str | os.PathLike[str],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        **popen: Any,
    ) -> Outcome:
        """Run a subcommand: `govrun.cli("log", "--json")`."""
        return self._spawn(self.argv(*words), cwd, env, popen).wait(timeout)

    def __call__(
        self,
        *command: str | bytes | os.PathLike[str],
        options: Sequence[str] = (),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float = 60,
        **popen: Any,
    ) -> Outcome:
        """Run `govrun OPTIONS -- COMMAND` to its end."""
        if stdin is not None:
            with tempfile.TemporaryFile() as source:
                source.write(stdin)
                source.seek(0)
                return self.start(*command, options=options, cwd=cwd, env=env, stdin=source, **popen).wait(timeout)
        return self.start(*command, options=options, cwd=cwd, env=env, **popen).wait(timeout)

    def bare(
        self, *command: str | bytes, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """The same command in the same environment without govrun, for comparisons."""
        merged = self.env | dict(env or {})
        return subprocess.run(
            command, cwd=cwd or self.cwd, env=merged, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout
        )

    def _spawn(
        self, argv: list[str | bytes], cwd: Path | None, env: Mapping[str, str] | None, popen: dict[str, Any]
    ) -> Running:
        settings: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "start_new_session": True,
        } | popen
        process = subprocess.Popen(argv, cwd=cwd or self.cwd, env=self.env | dict(env or {}), **settings)
        running = Running(process, self.state)
        self.started.append(running)
        return running


def _clean_environment(home: Path) -> dict[str, str]:
    """What a login shell would give, and of the developer's own session only where packages come from."""
    return {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
    } | {name: value for name, value in os.environ.items() if name.lower().startswith(("pip_", "npm_config_"))}


@pytest.fixture(scope="session")
def checkout_interpreter() -> str:
    """An interpreter that imports this checkout from any directory; anything else would test another copy."""
    found = subprocess.run([sys.executable, "-I", "-c", PROBE_IMPORT], capture_output=True, text=True, cwd="/")
    if found.returncode != 0 or Path(found.stdout).resolve().parent != ROOT / "supervisor":
        raise pytest.UsageError(
            f"{sys.executable} does not import supervisor from {ROOT} (got {found.stdout or 'nothing'}); "
            "run scripts/check, or pip install -e '.[dev]' in a venv"
        )
    return sys.executable


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with a git identity, owned by whoever runs the test."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    (folder / ".gitconfig").write_text(
        "[user]\n\tname = Ada Example\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n"
    )
    return folder


@pytest.fixture(scope="session")
def first_commit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that `repo` is a copy of: three gits for each of some thousand tests are a minute of the suite."""
    place = tmp_path_factory.mktemp("first")
    tree = place / "repo"
    (tree / "src").mkdir(parents=True)
    (tree / "README.md").write_text("# example\n")
    (tree / "src" / "app.py").write_text("def answer() -> int:\n    return 42\n")
    who = ["-c", "user.name=Ada Example", "-c", "user.email=ada@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-q", "-m", "base"]):
        subprocess.run(["git", *words], cwd=tree, env=_clean_environment(place), check=True, capture_output=True)
    return tree


@pytest.fixture
def repo(tmp_path: Path, first_commit: Path) -> Path:
    """A repository on `main` with one commit (README.md, src/app.py), beside the home directory, not in it."""
    tree = tmp_path / "repo"
    shutil.copytree(first_commit, tree, symlinks=True)
    return tree


@pytest.fixture
def govrun(repo: Path, home: Path, checkout_interpreter: str) -> Iterator[Govrun]:
    """Call it: `govrun("git", "status")` runs `govrun -- git status` in `repo`; see Govrun for the rest."""
    runner = Govrun(home=home, env=_clean_environment(home), cwd=repo, interpreter=checkout_interpreter)
    yield runner
    for running in runner.started:
        if running.process.poll() is None:
            end_tree(running.process)
            running.process.communicate(timeout=10)
    for run in (runner.state / "runs").glob("*"):  # what was killed with its guard leaves its temporary folder
        shutil.rmtree(os.fsdecode(name_in(b"/tmp", run.name)), ignore_errors=True)
