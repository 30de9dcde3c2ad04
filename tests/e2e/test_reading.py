"""The reading commands on what real runs leave: contents, hostile names, terminals, pipes, full disks, locales."""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import subprocess
import termios
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Govrun, Outcome

pytestmark = pytest.mark.needs("notify", "git", landlock=2)

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
SGR = re.compile(r"\x1b\[[0-9;]*m")
NAME = b"a\x1b[31m\x1b]0;t\x07\r\n\xe2\x80\xae\xe2\x80\x8b\xff[red]x[bold]\\"
PROFILE = """version = 1

[[dependency]]
id   = "one-http-client"
adr  = "0007"
why  = "one\\u001b[31m\\u202e[bold]client"
deny = ["pypi:requests"]
use  = "httpx[/]"
"""
RECORD = "---\nstatus: accepted\n---\n# 7. One\x1b[5m client\u202e [blink]for[/] HTTP\n"
MAKE = r"""
import os, subprocess
name = os.fsencode(os.environ["NAME"])
def attempt(call, *args):
    try:
        call(*args)
    except OSError as error:
        print(error.errno)
os.chdir("src")
open(name, "w").close()
open(b"w" * 255, "w").close()
attempt(open, b"../../home/" + name, "w")
open(name + b".py", "w").write("import requests\n")
subprocess.run(["true", os.fsdecode(name), "long" * 2000])
os.rename(name, name + b"2")
os.rename(name + b"2", name)
subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", os.fsdecode(name)])
"""
READING = ("runs", "show", "log", "log --blocked", "why", "why latest 2", "why src/app.py", "explain")


@pytest.fixture
def ran(repo: Path, govrun: Govrun) -> Outcome:
    (repo / "docs" / "adr").mkdir(parents=True)
    (repo / "docs" / "adr" / "0007-http.md").write_text(RECORD)
    (repo / "govrun.toml").write_text(PROFILE)
    env = {"NAME": os.fsdecode(NAME)}
    return govrun("sh", "-c", '/usr/bin/python3 -c "$1"; echo x >> src/app.py; ls', "sh", MAKE, env=env).ok()


def neat(text: str) -> None:
    for line in text.split("\n"):
        assert not [c for c in line if unicodedata.category(c) in HIDDEN], ascii(line)


def on_terminal(govrun: Govrun, width: int, *words: str, env: Mapping[str, str | None] = {}) -> str:
    """What a command prints on a terminal of that width."""
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    told = govrun.env | {"TERM": "xterm-256color", "NO_COLOR": None} | dict(env)
    done = subprocess.Popen(
        govrun.argv(*words), cwd=govrun.cwd, stdin=follower, stdout=follower, stderr=subprocess.PIPE,
        env={name: value for name, value in told.items() if value is not None},
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 1 << 16)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(leader)
    assert done.wait() == 0, done.stderr.read() if done.stderr else b""
    if done.stderr:
        done.stderr.close()
    return shown.decode().replace("\r\n", "\n")


def test_show_is_one_page(ran: Outcome, govrun: Govrun, repo: Path) -> None:
    shown = govrun.cli("show").ok().stdout.decode()
    neat(shown)
    for label in ("ran", "in", "when", "ended", "governed", "counts", "invariants", "refused", "taken back", "refs",
                  "commits", "record"):  # fmt: skip
        assert re.search(rf"^{label:<10} ", shown, re.MULTILINE), (label, shown)
    assert f"in         {repo}\n" in shown
    assert "one-http-client: judged 1, reverted 1 (supervised, 0007)\n" in shown
    assert "agent pack generic, from govrun.toml@" in shown
    assert str(ran.run_dir) in shown and "chain intact" in shown
    told = json.loads(govrun.cli("show", ran.run, "--json").ok().stdout)
    row = json.loads(govrun.cli("runs", "--json").ok().stdout)
    assert {name: told[name] for name in row} == row
    by_id = {each["invariant"]: each for each in told["invariants"]}
    assert (by_id["scope.write"]["blocked"], by_id["one-http-client"]["reverted"]) == (1, 1)
    (revert,) = told["reverts"]
    assert revert["how"] == "removed" and revert["kept"] is True and Path(revert["quarantine"]).is_file()
    assert [each["ref"] for each in told["refs"]] == ["refs/heads/main"]
    assert told["commits"][0]["commit"] == told["refs"][0]["new"]
    assert (told["records"], told["chain"]["intact"]) == (len(ran.journal), True)
    assert sum(told["kinds"].values()) == len(ran.journal)
    assert told["policy_blob"] == ran.journal[0]["policy_blob"]
    assert told["more"] == {}


def test_show_of_an_undo(ran: Outcome, govrun: Govrun, repo: Path) -> None:
    govrun.cli("undo", ran.run, "src/app.py").ok()
    shown = govrun.cli("show", "latest").ok().stdout.decode()
    assert f"\nput back   {repo}/src/app.py restored (record 2)\n" in shown
    assert "agent pack" not in shown and "taken back" not in shown


@pytest.mark.parametrize("width", [40, 80, 200])
def test_on_a_terminal(ran: Outcome, govrun: Govrun, width: int) -> None:
    from rich.cells import cell_len

    for words in READING:
        shown = on_terminal(govrun, width, *words.split())
        plain = SGR.sub("", shown)
        neat(plain)
        if words != "explain":
            assert shown != plain, "no colours"
            # Only a word that is longer stays whole, and can be copied: a path, an id.
            long = [line for line in plain.split("\n") if cell_len(line) > width and " " in line[11:].strip()]
            assert not long, (words, long)
    log = SGR.sub("", on_terminal(govrun, width, "log"))
    assert "[red]x[bold]" in log.replace("\n", "") or width == 40
    assert len(re.findall(r"^ +\d+ ", log, re.MULTILINE)) == len(ran.journal)


def test_verify_fits_a_terminal(ran: Outcome, govrun: Govrun) -> None:
    shown = on_terminal(govrun, 60, "verify", "latest").split("\n")
    assert shown[0].startswith(f"{ran.run} verified") and len(shown) > 2
    assert all(len(line) <= 60 for line in shown) and shown[1].startswith(" " * 27)


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_terminals_without_colours(ran: Outcome, govrun: Govrun, env: dict[str, str | None]) -> None:
    for words in READING:
        assert "\x1b" not in on_terminal(govrun, 80, *words.split(), env=env)


def test_plain_output_does_not_depend_on_the_terminal(ran: Outcome, govrun: Govrun) -> None:
    for words in READING:
        first = govrun.cli(*words.split()).ok().stdout
        neat(first.decode())
        env = {"COLUMNS": "40", "TERM": "xterm-256color", "FORCE_COLOR": "1", "COLORTERM": "truecolor"}
        assert govrun.cli(*words.split(), env=env).ok().stdout == first, words


@pytest.mark.parametrize("env", [{"LC_ALL": "C"}, {"LC_ALL": "xx_YY.ISO-8859-1", "LANG": ""}])
def test_other_locales(ran: Outcome, govrun: Govrun, env: dict[str, str]) -> None:
    for words in (*READING, "log --help", "why --help"):
        outcome = govrun.cli(*words.split(), env=env).ok()
        neat(outcome.stdout.decode("utf-8", "strict"))
        assert outcome.stderr == ""


def test_an_encoding_that_lacks_characters(ran: Outcome, govrun: Govrun) -> None:
    """Not with `-I`, which keeps the interpreter from looking at the variable, but as an installed script starts."""
    code = "import sys; from supervisor.cli.main import main; sys.exit(main())"
    root = str(Path(__file__).parents[2])
    env = govrun.env | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": root}
    for words in READING:
        command = [govrun.interpreter, "-c", code, *words.split()]
        done = subprocess.run(command, cwd=govrun.cwd, env=env, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()


def test_json_of_every_reading_command(ran: Outcome, govrun: Govrun) -> None:
    lists = {"runs": 1, "log": len(ran.journal), "why": 2, "log --blocked": 3}
    for words in (*READING, "why latest src/app.py", "why latest .", "doctor", "check", "recover"):
        outcome = govrun.cli(*words.split(), "--json")
        text = outcome.stdout.decode()
        assert text.isascii() or words in ("doctor", "check", "recover"), words
        assert "Traceback" not in outcome.stderr
        if words in lists:
            records = [json.loads(line) for line in text.splitlines()]
            assert len(records) == lists[words] and all(isinstance(each, dict) for each in records), words
        elif words != "recover":
            assert isinstance(json.loads(text), dict), words


def test_help_is_readable_at_80_columns(govrun: Govrun) -> None:
    for name in ("", "runs", "show", "log", "why", "explain", "doctor", "check", "recover", "init"):
        told = govrun.cli(*filter(None, [name]), "--help", env={"COLUMNS": "80"}).ok().stdout.decode()
        assert max(map(len, told.splitlines())) <= 80, name
        assert not re.search(r"\w…", told.replace("ARGS…", "")), name  # nothing is cut
        if name not in ("", "init"):
            assert "--json" in told


def test_errors_are_the_same_in_all(ran: Outcome, govrun: Govrun) -> None:
    for run in ("ZZZZ", "0", ran.run + "0", "\x1b[31m"):
        told = {}
        for words in (("log", run), ("show", run), ("why", run, "1"), ("why", run, "src/app.py")):
            outcome = govrun.cli(*words)
            if run == "0":
                outcome.ok()
                continue
            assert outcome.code == 2, words
            neat(outcome.stderr)
            told[words[0]] = outcome.stderr.splitlines()[:2]
        assert len({tuple(lines) for lines in told.values()}) <= 1
    empty = {"XDG_STATE_HOME": str(govrun.home / "none")}
    (govrun.home / "none").mkdir()
    for words in ("log", "show", "why", "why latest 1"):
        outcome = govrun.cli(*words.split(), env=empty)
        assert (outcome.code, outcome.stderr.partition("\n")[0]) == (2, "govrun: there are no runs yet"), words


# -- why of a path --------------------------------------------------------------------------------------------------


def test_why_of_a_path(ran: Outcome, govrun: Govrun, repo: Path) -> None:
    name = os.fsdecode(NAME)
    for words, cwd in (
        (("why", "src/" + name), repo),
        (("why", "latest", "./" + name), repo / "src"),
        (("why", ran.run, "src/" + name), repo / "docs"),  # from the tree
        (("why", str(repo / "src" / name)), repo),
    ):
        shown = govrun.cli(*words, cwd=cwd).ok().stdout.decode()
        neat(shown)
        lines = shown.splitlines()
        assert lines[0].startswith(f"{ran.run}   {repo}: ")
        assert lines[1].startswith("path       ") and lines[1].endswith(": 2 earlier acts")
        assert [line.split()[2] for line in lines[2:4]] == ["fs.create", "fs.rename"]
        assert "attempted  fs.rename " in shown and "happened   it was done (record " in shown
    told = json.loads(govrun.cli("why", "src/" + name, "--json").ok().stdout)
    assert (told["run"], told["path"], told["count"], told["below"]) == (ran.run, str(repo / "src" / name), 3, 0)
    assert [each["kind"] for each in told["acts"]] == ["fs.create", "fs.rename", "fs.rename"]
    assert told["last"]["outcome"] == told["acts"][-1]["outcome"] == "succeeded"
    folder = govrun.cli("why", "src").ok().stdout.decode()
    assert "below it   " in folder and "govrun log " in folder


def test_why_of_a_path_that_was_taken_back(ran: Outcome, govrun: Govrun, repo: Path) -> None:
    shown = govrun.cli("why", "src/" + os.fsdecode(NAME) + ".py").ok().stdout.decode()
    neat(shown)
    assert "rule       one-http-client (dependency, govrun.toml:3)" in shown
    assert "taken back: it was removed" in shown and "| +import requests" in shown
    assert "instead    httpx[/]" in shown
    assert "decision   ADR 0007 One\\x1b[5m client\\u202e [blink]for[/] HTTP (docs/adr/0007-http.md)" in shown


def test_the_newest_run_that_touched_it_is_meant(ran: Outcome, govrun: Govrun, repo: Path) -> None:
    later = govrun("sh", "-c", "echo x > src/other.txt; mkdir d; echo x > d/f; mv d e; echo x > 12").ok()
    assert govrun.cli("why", "src/app.py").ok().stdout.decode().startswith(ran.run)
    assert govrun.cli("why", "src/other.txt").ok().stdout.decode().startswith(later.run)
    assert govrun.cli("why", "./12").ok().stdout.decode().startswith(later.run)
    assert "attempted  fs.rename " in govrun.cli("why", "d/f").ok().stdout.decode()  # moved with its folder
    assert govrun.cli("why", "latest", "src/app.py").code == 2
    for words in (("why", "never.txt"), ("why", "latest", "never.txt"), ("why", "12"), ("why", "latest", "99999")):
        outcome = govrun.cli(*words)
        assert outcome.code == 2, words
        assert [line[:6] for line in outcome.stderr.splitlines()][:3] == ["govrun", "  why:", "  fix:"]
    fresh = {"cwd": repo.parent}
    assert govrun.cli("why", "repo/src/app.py", **fresh).code == 2  # no run of that folder


def test_a_link_into_the_tree(ran: Outcome, govrun: Govrun, repo: Path) -> None:
    (repo.parent / "link").symlink_to(repo / "src")
    assert govrun.cli("why", ran.run, str(repo.parent / "link" / "app.py")).ok().stdout


# -- where the output goes ------------------------------------------------------------------------------------------


def shell(govrun: Govrun, script: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    words = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv())
    command = ["bash", "-c", f'govrun() {{ {words} "$@"; }}; {script}']
    return subprocess.run(command, cwd=govrun.cwd, env=govrun.env | env, capture_output=True, timeout=120)


def test_a_full_disk_is_an_error(ran: Outcome, govrun: Govrun) -> None:
    for words in READING:
        for form in ("", " --json"):
            done = shell(govrun, f"govrun {words}{form} > /dev/full")
            assert done.returncode == 125, (words, done)
            lines = done.stderr.decode().splitlines()
            assert [line[:6] for line in lines] == ["govrun", "  why:", "  fix:"], lines
            assert "standard output" in lines[0] and "No space left" in lines[1]


def test_a_closed_output_is_an_error(ran: Outcome, govrun: Govrun) -> None:
    for words in READING:
        done = shell(govrun, f"govrun {words} >&-")
        assert done.returncode == 125, (words, done)
        assert b"Traceback" not in done.stderr and b"BUG" not in done.stderr


def test_a_reader_that_goes_away(ran: Outcome, govrun: Govrun) -> None:
    for words in READING:
        done = shell(govrun, f"govrun {words} | true; echo ${{PIPESTATUS[0]}}")
        assert done.stdout.strip() in (b"0", b"141"), (words, done)
        assert done.stderr == b"", (words, done)


def test_inside_a_run_the_records_are_hidden(ran: Outcome, govrun: Govrun) -> None:
    words = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv("show"))
    outcome: Any = govrun("sh", "-c", words)
    assert outcome.code != 0
    assert "Traceback" not in outcome.stderr and ran.run not in outcome.stdout.decode()
