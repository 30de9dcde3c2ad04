"""A mediated call is the same call: each probe runs bare and under govrun, and has to see the same world.

A probe program (``probes/*.py``) covers one topic; a case of it works in an empty directory and reports return values,
errno, descriptor numbers and flags, modes and contents. What may differ stands in ``DIFFERENCES`` with its reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import ANY

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

PROBES = Path(__file__).parent / "probes"
HELPERS = {"kit.py", "lease_holder.py"}
CASE = re.compile(r"^@case\ndef (\w+)\(", re.MULTILINE)
# The distribution's interpreter: an ordinary user can run it, and so can the run.
PYTHON = "/usr/bin/python3"
NEEDS_ACL = {"default_acl_overrides", "extended_default_acl", "acls_by_tools"}

pytestmark = [pytest.mark.needs("landlock", "notify"), pytest.mark.timeout(300)]


class Difference(NamedTuple):
    """What the mediated run may answer instead, and why. ``ours`` maps the bare result to the expected one."""

    why: str
    ours: Callable[[Any], Any]


def _refused(answers: Any) -> Any:
    """Every answer of a nested result becomes EACCES."""
    if isinstance(answers, dict):
        return {key: _refused(value) for key, value in answers.items()}
    return ["!EACCES"] * len(answers)


def _closes_after_truncate(events: Any) -> Any:
    """truncate(2) is an open, an ftruncate and a close when somebody else performs it: IN_CLOSE_WRITE as well."""
    at = events.index(["0x2", "old"]) + 1
    return [*events[:at], ["0x8", "old"], *events[at:]]


_NOFOLLOW = 0o400000


def _nofollow_unseen(seen: Any) -> Any:
    """A file that is there is reopened from the judged descriptor, to which O_NOFOLLOW would not apply."""
    if isinstance(seen, list):
        return [_nofollow_unseen(each) for each in seen]
    if isinstance(seen, dict) and "fl" in seen and int(seen["fl"], 8) & os.O_ACCMODE:
        info = [[key, f"0{int(text, 8) & ~_NOFOLLOW:o}" if key == "flags:" else text] for key, text in seen["info"]]
        return {**seen, "fl": oct(int(seen["fl"], 8) & ~_NOFOLLOW), "info": info}
    return {key: _nofollow_unseen(value) for key, value in seen.items()} if isinstance(seen, dict) else seen


DIFFERENCES: dict[str, Difference] = {
    "descriptors-limit_order_of_errors": Difference(
        "with a full table the path is walked first, so its own error comes first; nothing is made either way",
        lambda bare: ["!ENOENT", *bare[1:3], "!EBADF", bare[4]],
    ),
    "openflags-nofollow": Difference("O_NOFOLLOW was obeyed, but does not show in F_GETFL", _nofollow_unseen),
    "openat2-flags_pass": Difference("O_NOFOLLOW was obeyed, but does not show in F_GETFL", _nofollow_unseen),
    "renames-directories_nobody_can_list": Difference(
        "what a moved directory holds is judged by its new names, so it has to be listable",
        lambda bare: [["!EACCES"] * 3 + [0], ["!ENOENT"] * 3 + [0], ["d0", "d100", "d300", "e700"]],
    ),
    "modes-setuid": Difference(
        "a run makes no set-user-id programs", lambda bare: ["!EACCES"] * 6 + ["0o100755", ["f"]]
    ),
    "pathnames-deep_directories": Difference(
        "a name that is longer than PATH_MAX cannot be judged",
        lambda bare: [ANY, "!ENAMETOOLONG", ["!ENAMETOOLONG", "!ENAMETOOLONG", ANY, ANY, [], ANY]],
    ),
    "special-names_in_proc_cannot_be_changed": Difference(
        "/proc is outside the write scope, and judged before the kernel says EXDEV, EPERM or EEXIST",
        lambda bare: [*["!EACCES"] * 4, bare[4]],
    ),
    "contents-watchers_see_the_same": Difference("truncate on behalf", _closes_after_truncate),
}


def _programs() -> list[Path]:
    return sorted(each for each in PROBES.glob("*.py") if each.name not in HELPERS)


def _cases() -> list[Any]:
    found = []
    for program in _programs():
        for name in CASE.findall(program.read_text()):
            marks = [pytest.mark.needs("acl")] if name in NEEDS_ACL else []
            found.append(pytest.param(program.stem, name, id=f"{program.stem}-{name}", marks=marks))
    return found


class Results:
    """Both runs of each probe, made once per worker; a failure to run is remembered as well."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, Any] | AssertionError] = {}

    def of(self, way: str, probe: str, govrun: Govrun, where: Path) -> dict[str, Any]:
        """Cases of a probe run ``bare`` or ``ours``. Raises AssertionError when the program did not end well."""
        if (way, probe) not in self._known:
            run = _bare if way == "bare" else _governed
            try:
                self._known[way, probe] = run(probe, govrun, where / way)
            except AssertionError as error:
                self._known[way, probe] = error
        known = self._known[way, probe]
        if isinstance(known, AssertionError):
            raise AssertionError(str(known))
        return known


@pytest.fixture(scope="module")
def results() -> Results:
    return Results()


def powerless() -> list[str]:
    """Prefix that gives the bare run what the agent has: no capability, no new privileges."""
    drop = ["--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    return ["/usr/bin/setpriv", *drop, "--no-new-privs"]


@contextlib.contextmanager
def _holder(probe: str, tree: Path) -> Iterator[None]:
    """For the lease probe: somebody outside the run who holds leases in the tree."""
    tree.mkdir()
    if probe != "leases":
        yield
        return
    command = [PYTHON, "-B", str(PROBES / "lease_holder.py"), str(tree)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        yield
        holder.stdin.close()


def _command(probe: str) -> list[str]:
    return [PYTHON, "-B", str(PROBES / f"{probe}.py")]


def _bare(probe: str, govrun: Govrun, tree: Path) -> dict[str, Any]:
    with _holder(probe, tree):
        done = govrun.bare(*powerless(), *_command(probe), cwd=tree, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return _decoded(done.stdout, tree)


def _governed(probe: str, govrun: Govrun, tree: Path) -> dict[str, Any]:
    with _holder(probe, tree):
        outcome = govrun(*_command(probe), options=["--quiet"], cwd=tree, timeout=200)
    return _decoded(outcome.ok().stdout, tree)


def _decoded(stdout: bytes, tree: Path) -> dict[str, Any]:
    for _, folders, _, fd in os.fwalk(tree):  # cases leave folders without permissions, and deeper than PATH_MAX
        for name in folders:
            if not stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                os.chmod(name, 0o700, dir_fd=fd)
    shutil.rmtree(tree)
    decoded: dict[str, Any] = json.loads(stdout)
    return decoded


def _unlike(bare: Any, ours: Any, at: str = "") -> Iterator[str]:
    """Every place where two JSON values differ, one line each."""
    if isinstance(bare, dict) and isinstance(ours, dict):
        for key in [*bare, *(key for key in ours if key not in bare)]:
            yield from _unlike(bare.get(key), ours.get(key), f"{at}.{key}")
    elif isinstance(bare, list) and isinstance(ours, list) and len(bare) == len(ours):
        for number, (left, right) in enumerate(zip(bare, ours, strict=True)):
            yield from _unlike(left, right, f"{at}[{number}]")
    elif bare is not ANY and bare != ours:
        yield f"{at}: bare {bare!r}, govrun {ours!r}"


@pytest.mark.parametrize(("probe", "case"), _cases())
def test_same_as_bare(probe: str, case: str, results: Results, govrun: Govrun, tmp_path: Path) -> None:
    bare = results.of("bare", probe, govrun, tmp_path)[case]
    ours = results.of("ours", probe, govrun, tmp_path)[case]
    assert "crash" not in bare if isinstance(bare, dict) else True, bare["crash"]
    expected = DIFFERENCES[f"{probe}-{case}"].ours(bare) if f"{probe}-{case}" in DIFFERENCES else bare
    unlike = list(_unlike(expected, ours))
    assert not unlike, f"{len(unlike)} differences\n" + "\n".join(unlike[:40])


def test_every_difference_names_a_case() -> None:
    known = {str(each.id) for each in _cases()}
    assert set(DIFFERENCES) <= known


# What the kernel itself answers: a probe that goes blind would agree with itself in both runs.
PINS: list[tuple[str, str, Callable[[Any], Any], Any]] = [
    ("umask", "threads_share", lambda r: r[0][1]["mode"], "0o100600"),
    ("umask", "thread_that_unshared", lambda r: [r[1]["mode"], r[2]["mode"]], ["0o100644", "0o100600"]),
    ("umask", "process_with_shared_fs", lambda r: r[0]["mode"], "0o100600"),
    ("umask", "exec_keeps", lambda r: [each["mode"] for each in r], ["0o100640", "0o40740", "0o100666", "0o100640"]),
    ("modes", "unwritable_mode_still_gives_a_writer", lambda r: r[:2], [3, "abc"]),
    ("openflags", "busy_text", lambda r: r[:2], [["!ETXTBSY"] * 3, 0]),
    ("openflags", "just_written_programs_run_at_once", lambda r: r, {"0": 60}),
    ("openflags", "path_only", lambda r: r[0]["use"][:2], ["!EBADF", "!EBADF"]),
    ("openflags", "tmpfile", lambda r: r[1], ["f", "linked"]),
    ("openat2", "struct_checks", lambda r: [r["unknown flag"], r["huge"], r["null"]], ["!EINVAL", "!E2BIG", "!EFAULT"]),
    ("openat2", "magic_links", lambda r: r[1:], ["!ELOOP", "!ELOOP", "!EXDEV"]),
    ("symlinks", "forty_deep", lambda r: r[2:], ["!ELOOP", "!ELOOP"]),
    ("pathnames", "empty", lambda r: sorted(set(map(str, r.values()))), ["!ENOENT"]),
    ("descriptors", "lowest_number", lambda r: r[1:], [[2, 4, 6], 0]),
    ("descriptors", "limit_is_checked_before_the_act", lambda r: r, [["!EMFILE"] * 5, [False] * 3, 7]),
    ("descriptors", "opens_from_many_threads", lambda r: r, [[], 320, True]),
    ("descriptors", "shared_file_table", lambda r: r, [0, 4, "both"]),
    ("special", "fifo_blocks_both_ways", lambda r: [r["data"], r["end"]], ["through", ""]),
    ("special", "fifo_open_interrupted_by_a_signal", lambda r: r, ["-1 EINTR\n", 9]),
    ("special", "controlling_terminal", lambda r: r, [0, "tty 1 1\r\npts\r\n"]),
    ("special", "no_terminal", lambda r: r, 6),
    ("dirfds", "removed_working_directory", lambda r: r[0]["openat"], "!ENOENT"),
    ("renames", "odd_flags", lambda r: r[:4], ["!EINVAL"] * 4),
    ("renames", "moved_to_another_device", lambda r: r[0], ["!EXDEV"] * 3),
    ("contents", "flock", lambda r: r[-1], ["!EAGAIN", None]),
    ("contents", "flock_is_free_after_close", lambda r: r, 0),
    ("contents", "appenders", lambda r: r[1:], [301, 301, True]),
    ("leases", "others_go_on_while_an_open_waits", lambda r: r[1], "the others are done\nthe waiting one is through\n"),
    ("leases", "nonblocking_open_says_again", lambda r: r, "!EAGAIN"),
    ("metadata", "chown_to_others", lambda r: r[:4], ["!EPERM"] * 4),
    ("permissions", "read_only_file", lambda r: r[:5], ["!EACCES"] * 5),
    ("permissions", "directory_without_write", lambda r: r["create"], "!EACCES"),
    ("execs", "scripts", lambda r: r["crlf"], "!ENOENT"),
    ("execs", "arguments_and_environment", lambda r: r["arg 131072 exact"], [0, ""]),
    ("execs", "from_a_thread", lambda r: r, [[0, True, ["1"]]] * 5),
    ("execs", "parent_sees_no_stops", lambda r: r, [50, True]),
    ("descriptors", "limit_order_of_errors", lambda r: r[1:3], ["!ENOENT", "!EFAULT"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("probe", "case", "part", "value"), [pytest.param(*pin, id=f"{pin[0]}-{pin[1]}") for pin in PINS]
)
def test_the_bare_answer_is_the_documented_one(
    probe: str,
    case: str,
    part: Callable[[Any], Any],
    value: Any,
    results: Results,
    govrun: Govrun,
    tmp_path: Path,
) -> None:
    assert part(results.of("bare", probe, govrun, tmp_path)[case]) == value
