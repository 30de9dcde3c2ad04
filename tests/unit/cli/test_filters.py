"""``govrun log``: every filter alone, together, and with values that cannot be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from supervisor.cli.filters import Asked, Filter, moment
from supervisor.vocabulary.errors import UsageError

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Reading

START = "2026-11-27T10:00:00Z"
PIP = {"pid": 7, "ppid": 1, "start": 1, "exe": "/usr/bin/python3.11", "argv": ["python3", "-m", "pip", "install", "x"]}
SH = {"pid": 8, "ppid": 1, "start": 1, "exe": "/bin/sh", "argv": ["/bin/sh", "-c", "git push origin"]}


def intent(kind: str, op: dict[str, object], actor: dict[str, object] = SH, **more: object) -> dict[str, object]:
    return {"kind": kind, "phase": "intent", "op": op, "verdict": "allow", "actor": actor, "action": 1} | more


def end(kind: str, cause: int, outcome: str, **more: object) -> dict[str, object]:
    return {"kind": kind, "phase": "outcome", "cause": cause, "outcome": outcome} | more


@pytest.fixture
def known(reading: Reading) -> Reading:
    tree = str(reading.tree)
    spoke = {"invariant": "scope.write", "matched": ["scope.write", "git.internals"]}
    reading.crafted(
        [
            {"kind": "run.start", "phase": "outcome", "op": {"argv": ["make"], "cwd": "/"}},  # 1
            intent("fs.write", {"path": f"{tree}/src/a.py"}, PIP),  # 2
            intent("exec", {"path": "/usr/bin/git", "argv": ["git", "push", "origin"]}),  # 3
            end("fs.write", 2, "succeeded"),  # 4
            end("exec", 3, "failed", errno=2),  # 5
            intent("fs.rename", {"path": f"{tree}/lib/b.py", "to": f"{tree}/src/c.txt"}, PIP),  # 6
            end("fs.rename", 6, "succeeded"),  # 7
            intent("fs.create", {"path": "/etc/passwd"}, PIP)
            | {"phase": "outcome", "verdict": "deny", "outcome": "blocked", "errno": 13, "message": "m"}
            | spoke,  # 8
            intent(
                "fs.write", {"path": f"{tree}/src/bad.py"}, SH, verdict="revert", invariant="http", matched=["http"]
            ),  # 9
            end("fs.write", 9, "reverted", op={"path": f"{tree}/src/bad.py", "how": "removed"}),  # 10
            intent("fs.write", {"path": f"{tree}/a\\\\b\\xff.py"}, SH),  # 11
            end("fs.write", 11, "succeeded"),  # 12
            {"kind": "run.end", "phase": "outcome", "op": {"reason": "exit"}},  # 13
        ]
    )
    return reading


ALL = list(range(1, 14))


@pytest.mark.parametrize(
    ("words", "seqs"),
    [
        ([], ALL),
        (["--path", "src"], [2, 4, 6, 7, 9, 10]),
        (["--path", "src/"], [2, 4, 6, 7, 9, 10]),
        (["--path", "src/**"], [2, 4, 6, 7, 9, 10]),
        (["--path", "src/a.py"], [2, 4]),
        (["--path", "./src/a.py"], [2, 4]),
        (["--path", "./a.py"], []),
        (["--path", "a.py"], [2, 4]),
        (["--path", "*.py"], [2, 4, 6, 7, 9, 10, 11, 12]),
        (["--path", "lib", "--path", "/etc"], [6, 7, 8]),
        (["--path", "/etc/pass*"], [8]),
        (["--path", "passwd"], [8]),
        (["--path", "/usr/bin"], [3, 5]),
        (["--path", "rc"], []),
        (["--path", "."], [2, 4, 6, 7, 9, 10, 11, 12]),
        (["--path", "./"], [2, 4, 6, 7, 9, 10, 11, 12]),
        (["--path", "/"], [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        (["--command", "pip"], [2, 4, 6, 7, 8]),
        (["--command", "python3.*"], [2, 4, 6, 7, 8]),
        (["--command", "pip install"], [2, 4, 6, 7, 8]),
        (["--command", "pip instal"], []),
        (["--command", "install"], []),
        (["--command", "python3 -m pip"], [2, 4, 6, 7, 8]),
        (["--command", "install pip"], []),
        (["--command", "git push"], [3, 5]),
        (["--command", "git push origin x"], []),
        (["--command", "git origin"], []),
        (["--command", "git"], [3, 5]),
        (["--command", "/usr/bin/git"], [3, 5]),
        (["--command", "*git* push"], [3, 5, 9, 10, 11, 12]),
        (["--command", "make"], [1]),
        (["--command", "gi"], []),
        (["--command", "sh", "--kind", "exec"], [3, 5]),
        (["--invariant", "scope.write"], [8]),
        (["--invariant", "git.*"], [8]),
        (["--invariant", "http"], [9, 10]),
        (["--invariant", "scope"], []),
        (["--verdict", "deny", "--verdict", "revert"], [8, 9, 10]),
        (["--verdict", "allow", "--outcome", "succeeded"], [4, 7, 12]),
        (["--outcome", "failed"], [5]),
        (["--outcome", "unknown"], []),
        (["--blocked"], [8, 9, 10]),
        (["--blocked", "--outcome", "reverted"], [10]),
        (["--kind", "fs"], [2, 4, 6, 7, 8, 9, 10, 11, 12]),
        (["--kind", "run", "--kind", "exec"], [1, 3, 5, 13]),
        (["--kind", "fs.rename"], [6, 7]),
        (["--since", "10:00:03", "--until", "10:00:05"], [3, 4, 5]),
        (["--since", "2026-11-27T11:00:12+01:00"], [12, 13]),
        (["--until", "2026-11-27"], []),
        (["--seq", "3"], [3]),
        (["--seq", "12-"], [12, 13]),
        (["--seq=-2"], [1, 2]),
        (["--seq", "4-6", "--kind", "fs"], [4, 6]),
        (["-n", "2"], [12, 13]),
        (["-n", "0"], []),
        (["-n", "1", "--path", "src", "--outcome", "succeeded", "--command", "pip"], [7]),
    ],
)
def test_what_is_kept(known: Reading, words: list[str], seqs: list[int]) -> None:
    lines = known("log", *words)
    assert [int(line.split()[0]) for line in lines[1:-1]] == seqs
    assert lines[-1].startswith(f"{len(seqs)} of 13 records, chain intact" if words else known("runs", "--all")[1][:26])
    assert len(known("log", "--json", *words)) == len(seqs)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--verdict", "no"], "'no' is none of its words"),
        (["--outcome", "done"], "'done'"),
        (["--kind", "fs.eat"], "'fs.eat'"),
        (["--kind", ""], "''"),
        (["--path", ""], "it names nothing"),
        (["--path", "src/../lib"], "it names nothing"),
        (["--path", "\\"], "cannot be used"),
        (["--command", "  "], "nothing to look for"),
        (["--since", "yesterday"], "no time"),
        (["--since", "25:00"], "no time"),
        (["--until", "10h30"], "no time"),
        (["--since", "999999999d"], "no time"),
        (["--seq", "x"], "no range"),
        (["--seq", "-"], "no range"),
        (["--seq", "9-3"], "ends before it begins"),
        (["--seq", "1" * 40], "no range"),
    ],
)
def test_bad_values(known: Reading, words: list[str], said: str) -> None:
    lines = known("log", *words, code=2)
    assert said in "\n".join(lines)
    assert [line[:6] for line in lines] == ["govrun", "  why:", "  fix:"]


@pytest.mark.parametrize("words", [["-n", "-1"], ["-n", "x"], ["--no-such"], ["a", "b"]])
def test_bad_lines(known: Reading, words: list[str]) -> None:
    known("log", *words, code=2)


def test_patterns_of_the_command_line_are_no_negations(known: Reading) -> None:
    for pattern in ("!src", "#src", "[", "a[", "**"):
        known("log", "--path", pattern)
    assert known("log", "--path", "!src")[-1].startswith("0 of 13 records")


def test_the_bytes_of_a_name_are_what_is_compared(known: Reading) -> None:
    assert known("log", "--path", "a\\\\b*.py")[-1].startswith("2 of")
    assert known("log", "--path", "*\udcff.py")[-1].startswith("2 of")


@pytest.mark.parametrize(
    ("exe", "argv", "asked", "found"),
    [
        ("/usr/bin/git", "git -C x -c a=b --no-pager push origin", "git push", True),
        ("/usr/bin/git", "git -C x push origin", "git push origin", True),
        ("/usr/bin/git", "git commit -m push", "git push", False),
        ("/usr/bin/git", "git -P", "git push", False),
        ("/usr/bin/bash", "bash -ex scripts/build.sh all", "build.sh all", True),
        ("/usr/bin/bash", "bash -lc build.sh", "build.sh", False),
        ("/usr/bin/node", "node /usr/lib/node_modules/npm/bin/npm install x", "npm install", True),
        ("/usr/bin/node", "node -e npm", "npm", False),
        ("/usr/bin/python3.11", "python3 -m", "-m", False),
        ("/usr/bin/cat", "cat npm", "npm", False),
        ("/usr/bin/cat", "", "cat", True),
    ],
)
def test_programs_and_the_beginning_of_their_arguments(exe: str, argv: str, asked: str, *, found: bool) -> None:
    record: dict[str, object] = {"kind": "fs.write", "actor": {"exe": exe, "argv": argv.split()}}
    assert Filter(Asked(commands=(asked,)), "/t", START)(record, None) == found


def test_an_age_is_counted_from_now() -> None:
    for text, seconds in (("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1.5h", 5400)):
        told = moment("--since", text, START)
        then = time.time() - seconds
        assert told[:17] in {time.strftime("%Y-%m-%dT%H:%M:", time.gmtime(then - late)) for late in (0, 5)}


def test_a_record_without_time_or_seq_is_not_lost_unless_it_is_asked_for() -> None:
    odd: dict[str, object] = {"kind": "gap", "seq": None, "time": 5}
    assert Filter(Asked(), "/t", START)(odd, None)
    assert Filter(Asked(kinds=("gap",)), "/t", START)(odd, None)


def test_intents_that_never_end_are_forgotten_and_nothing_else(reading: Reading) -> None:
    begun = [intent("exec", {"path": "/bin/sleep", "argv": ["sleep", str(number)]}) for number in range(1, 3001)]
    reading.crafted([*begun, end("exec", 3000, "failed"), end("exec", 1, "failed")])
    lines = reading("log", "--seq", "3001-")
    assert lines[1].endswith("failed    - sleep 3000")
    assert lines[2].endswith("failed    -")


def test_unknown_filter_is_an_error_of_its_own() -> None:
    with pytest.raises(UsageError):
        Filter(Asked(verdicts=("x",)), "/t", START)
