"""What a user can meet: each family provoked for real, told as what / why / fix with its exit code, nothing left.

The families are those of docs/errors.md; a test there holds the two lists together.
"""

from __future__ import annotations

import os
import pwd
import re
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

MARK = ("touch", "mark")


def told(text: str, code: int, want: int, *words: str) -> None:
    """The three parts in their order, the exit code, and nothing that looks like a crash of ours."""
    assert code == want, f"exit {code}, not {want}\n{text}"
    lines = text.splitlines()
    at = next((number for number, line in enumerate(lines) if re.match(r"govrun: \S", line)), None)
    assert at is not None, text
    assert re.match(r"  why: \S", lines[at + 1]), text
    rest = [line for line in lines[at + 1 :] if not line.startswith("  why: ")]
    assert rest and re.match(r"  fix: \S", rest[0]), text
    assert "Traceback" not in text and "BUG" not in text and "Exception ignored" not in text, text
    assert all(character.isprintable() or character == "\n" for character in text), repr(text)
    for word in words:
        assert word in text, f"{word!r} is not in\n{text}"


def seen(*folders: Path) -> dict[str, tuple[int, int]]:
    """Every name below, with its inode and time of change, to find what was made or touched."""
    found: dict[str, tuple[int, int]] = {}
    for folder in folders:
        for base, names, files in os.walk(folder):
            for name in [*names, *files]:
                info = os.lstat(os.path.join(base, name))
                found[os.path.join(base, name)] = (info.st_ino, info.st_mtime_ns)
    return found


def shell(govrun: Govrun, script: str, *words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """A script in which `govrun` is the checkout's, with ``words`` as its arguments."""
    line = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv())
    return govrun.bare("bash", "-c", f'govrun() {{ {line} "$@"; }}\n{script}', "bash", *words, env=env)


LINES = {
    "unknown option": (["--no-such", "--", *MARK], 125, "--no-such"),
    "misspelt option": (["--profil", "x", "--", *MARK], 125, "did you mean --profile?"),
    "option without its value": (["--profile", "--", *MARK], 125, "govrun"),
    "flag with a value": (["--quiet=yes", "--", *MARK], 125, "--quiet takes no value"),
    "no command": (["--quiet", "--"], 125, "no command after --"),
    "no --": (["--quiet", *MARK], 125, "no command after --"),
    "no -- and a value": (["--require=enforced", *MARK], 125, "no command after --"),
    "no -- before a command": (
        ["--agent", "pi", "--quiet", *MARK],
        125,
        "fix: govrun --agent pi --quiet -- touch mark",
    ),
    "no -- and nothing after": (["--agent", "pi"], 125, "fix: govrun [OPTIONS] -- COMMAND"),
    "short option": (["-q", "--", *MARK], 125, "did you mean --quiet?"),
    "one word for all": (["--", "ls -la"], 127, "leave the quotes out"),
    "builtin of a shell": (["--", "cd", "src"], 127, "govrun -- sh -c 'cd …'"),
    "variable before the command": (["--", "FOO=1", "ls"], 127, "govrun -- env FOO=… COMMAND"),
    "version": (["version"], 2, "fix: govrun --version"),
    "short version": (["-V"], 2, "fix: govrun --version"),
    "help on nothing": (["help", "nothing"], 2, "No such command 'nothing'"),
    "missing argument": (["undo"], 2, "govrun: RUN is missing\n  why: `undo` needs one\n"),
    "no number": (["packet", "latest", "abc"], 2, "govrun: SEQ is a number: 'abc'\n"),
    "no number of an option": (["runs", "-n", "x"], 2, "govrun: -n is a number: 'x'\n"),
    "option of a subcommand without its value": (["undo", "01", "--to"], 2, "why: nothing follows it"),
    "unknown level": (["--require", "everything", "--", *MARK], 125, "enforced, supervised, observed"),
    "unknown end": (["--fail-on", "all", "--", *MARK], 125, "warn, deny, revert"),
    "unknown gap": (["--accept", "no-landlock", "--", *MARK], 125, "yama"),
    "json without a plan": (["--json", "--", *MARK], 125, "--dry-run"),
    "tree of a later version": (["--tree", "staged", "--", *MARK], 125, "in place"),
    "wrong agent": (["--agent", "mini-swe-agnet", "--", *MARK], 125, "mini-swe-agent"),
    "missing profile": (["--profile", "none.toml", "--", *MARK], 125, "none.toml"),
    "missing root": (["--root", "none", "--", *MARK], 125, "none"),
    "root elsewhere": (["--root", "src", "--", *MARK], 125, "does not contain"),
    "missing command": (["--", "no-such-program"], 127, "PATH"),
    "missing file": (["--", "./no-such-program"], 127, "no such file"),
    "empty command": (["--", ""], 127, "the command is empty"),
    "blank command": (["--", " ", "x"], 127, "the command is empty"),
    "folder": (["--", "./src"], 126, "folder"),
    "no permission": (["--", "./README.md"], 126, "not executable"),
    "unknown subcommand": (["exlpain"], 2, "exlpain"),
    "unknown option of a subcommand": (["runs", "--no-such"], 2, "--no-such"),
    "no run": (["log", "01"], 2, "no runs"),
    "nothing to compare with": (["check", "--base", "no-such"], 2, "no-such"),
    "nothing to check": (["check", "no-such"], 2, "no-such"),
    "control characters": (["--\x1b[31m\u202e", "--", *MARK], 125, "unknown option"),
    "control characters in a subcommand": (["log", "x", "\x1b[31m\u202e"], 2, "govrun"),
}


def test_help_by_its_name(govrun: Govrun) -> None:
    for words in ([], ["undo"], ["notes", "push"]):
        assert govrun.cli("help", *words).ok().stdout == govrun.cli(*words, "--help").ok().stdout != b""
    alone = govrun.cli("notes")
    assert (alone.code, alone.stderr) == (2, "")
    assert alone.stdout.strip() == govrun.cli("notes", "--help").ok().stdout.strip()


@pytest.mark.parametrize("name", LINES)
def test_command_line(govrun: Govrun, repo: Path, home: Path, name: str) -> None:
    words, code, word = LINES[name]
    before = seen(repo, home)
    outcome = govrun.cli(*words)
    told(outcome.stderr, outcome.code, code, word)
    assert outcome.stdout == b""
    if words[-1] == "mark" or "--" in words:
        assert seen(repo, home) == before


PROFILES = {
    "no TOML": "version = 1\n[scope\n",
    "unknown key": "version = 1\n[scope]\nwirte = []\n",
    "hidden tree": 'version = 1\n[scope]\nhide = ["{tree}/**"]\n',
    "hosts": 'version = 1\n[scope]\nhosts = ["300.1.2.3:1"]\n',
    "version range": 'version = 1\n[[dependency]]\nid = "a"\nwhy = "b"\ndeny = ["pypi:x <<1"]\n',
    "example that does not hold": 'version = 1\n[[dependency]]\nid = "a"\nwhy = "b"\ndeny = ["pypi:x"]\n'
    'examples = {{ allowed = ["pip install x"] }}\n',
    "level that cannot be had": 'version = 1\nrequire = "enforced"\n',
    "committed": "version = 1\nrequire_committed = true\n",
    "control characters": 'version = 1\n"\\u001b[31m\\u202e" = 1\n',
}


@pytest.mark.parametrize("name", PROFILES)
def test_profile(govrun: Govrun, repo: Path, home: Path, name: str) -> None:
    """Also for the commands that read it, and for the plan."""
    (repo / "govrun.toml").write_text(PROFILES[name].format(tree=repo.parent))
    before = seen(repo, home)
    for options in ([], ["--dry-run"]):
        outcome = govrun(*MARK, options=options)
        told(outcome.stderr, outcome.code, 125)
    explained = govrun.cli("explain")
    told(explained.stderr, explained.code, 125)
    assert seen(repo, home) == before


def _bare(govrun: Govrun, repo: Path) -> Path:
    folder = repo.parent / "bare.git"
    govrun.bare("git", "init", "-q", "--bare", str(folder))
    return folder


def _reftable(govrun: Govrun, repo: Path) -> Path:
    config = repo / ".git/config"
    config.write_text(
        config.read_text().replace("version = 0", "version = 1") + "[extensions]\n\trefStorage = reftable\n"
    )
    return repo


def _broken_gitfile(govrun: Govrun, repo: Path) -> Path:
    folder = repo.parent / "linked"
    folder.mkdir()
    (folder / ".git").write_text("gitdir: /no/such\n")
    return folder


PLACES: dict[str, tuple[Callable[[Govrun, Path], Path], str]] = {
    "home": (lambda govrun, repo: govrun.home, "--root"),
    "above home": (lambda govrun, repo: govrun.home.parent, "--root"),
    "/": (lambda govrun, repo: Path("/"), "cd into a project"),
    "bare repository": (_bare, "no working tree"),
    "inside .git": (lambda govrun, repo: repo / ".git", "git"),
    "reftable": (_reftable, "reftable"),
    "gitfile that leads nowhere": (_broken_gitfile, "git worktree repair"),
}


@pytest.mark.parametrize("name", PLACES)
def test_place(govrun: Govrun, repo: Path, home: Path, name: str) -> None:
    make, word = PLACES[name]
    folder = make(govrun, repo)
    before = seen(repo, home)
    for options in ([], ["--dry-run"]):
        outcome = govrun("true", options=options, cwd=folder)
        told(outcome.stderr, outcome.code, 125, word)
    assert seen(repo, home) == before


def test_working_directory_that_is_gone(govrun: Govrun, tmp_path: Path) -> None:
    done = shell(govrun, f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; govrun -- true")
    told(done.stderr.decode().partition("getcwd")[0] or done.stderr.decode(), done.returncode, 125, "cd into a folder")


def test_home_that_is_not_there(govrun: Govrun, repo: Path) -> None:
    for home in ("/no/such", str(repo / "README.md")):
        outcome = govrun(*MARK, env={"HOME": home})
        told(outcome.stderr, outcome.code, 125, "HOME")
    assert not (repo / "mark").exists()


def test_home_and_terminal_unset(govrun: Govrun, repo: Path, home: Path) -> None:
    """Neither is needed where the user database names a home folder, and nothing asks the terminal."""
    done = shell(govrun, "unset HOME TERM; govrun --quiet --dry-run -- true")
    if os.path.isdir(pwd.getpwuid(os.getuid()).pw_dir):
        assert done.returncode == 0, done.stderr
    else:
        told(done.stderr.decode(), done.returncode, 125, "HOME is not set")
    done = shell(govrun, "unset TERM; govrun --quiet -- true && govrun runs && govrun explain >/dev/null")
    assert done.returncode == 0, done.stderr


STATES: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "inside the tree": (lambda repo, place: repo / "state", "XDG_STATE_HOME"),
    "a file": (lambda repo, place: _file(place / "file"), "XDG_STATE_HOME"),
    "open to others": (lambda repo, place: _open(place / "open"), "chmod 700"),
    "a link that leads nowhere": (lambda repo, place: _dangling(place / "link"), "XDG_STATE_HOME"),
    "nowhere": (lambda repo, place: Path("/proc/no/such"), "XDG_STATE_HOME"),
}


def _file(path: Path) -> Path:
    path.write_text("x")
    return path


def _open(path: Path) -> Path:
    (path / "govrun").mkdir(parents=True)
    (path / "govrun").chmod(0o777)
    return path


def _dangling(path: Path) -> Path:
    path.mkdir()
    (path / "govrun").symlink_to("/no/such")
    return path


@pytest.mark.parametrize("name", STATES)
def test_state_folder(govrun: Govrun, repo: Path, home: Path, tmp_path: Path, name: str) -> None:
    make, word = STATES[name]
    place = tmp_path / "place"
    place.mkdir()
    env = {"XDG_STATE_HOME": str(make(repo, place))}
    before = seen(repo, home, place)
    for options in ([], ["--dry-run"]):
        if not (options and name == "nowhere"):  # proc(5) takes no names, whatever its mode says
            outcome = govrun(*MARK, options=options, env=env)
            told(outcome.stderr, outcome.code, 125, word)
    assert seen(repo, home, place) == before


@pytest.mark.needs("user")
def test_state_folder_that_cannot_be_written(govrun: Govrun, repo: Path, home: Path) -> None:
    home.chmod(0o500)
    before = seen(repo, home)
    try:
        for options in ([], ["--dry-run"]):
            outcome = govrun(*MARK, options=options)
            told(outcome.stderr, outcome.code, 125, "XDG_STATE_HOME")
        assert seen(repo, home) == before
    finally:
        home.chmod(0o700)


@pytest.mark.needs("userns")
@pytest.mark.parametrize("size", ["4k", "64k"])
def test_full_disk(govrun: Govrun, repo: Path, tmp_path: Path, size: str) -> None:
    """Nothing runs that could not be recorded: 125 before the start, 121 after it, and the tree is as it was."""
    place = tmp_path / "small"
    place.mkdir()
    line = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv())
    script = (
        f"mount -t tmpfs -o size={size} none {place} && mkdir -m 700 {place}/govrun && cd {repo} && "
        f"head -c 1G /dev/zero > {place}/filler 2>/dev/null; {line} -- touch mark; code=$?; "
        f"find {place}/govrun/runs -mindepth 1; exit $code"
    )
    done = govrun.bare("unshare", "-rm", "bash", "-c", script, env={"XDG_STATE_HOME": str(place)})
    text = done.stderr.decode()
    told("\n".join(each for each in text.splitlines() if not each.startswith("govrun 0")), done.returncode, 125)
    assert "No space left" in text and "free space" in text, text
    assert done.stdout == b""  # no folder of a run that never began
    assert not (repo / "mark").exists()


def _no_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def test_no_file_may_grow(govrun: Govrun, repo: Path) -> None:
    """As a quota: every write of the record fails with EFBIG."""
    outcome = govrun(*MARK, preexec_fn=_no_room)
    lines = [line for line in outcome.stderr.splitlines() if not line.startswith("govrun 0")]
    told("\n".join(lines), outcome.code, 125)
    assert not (repo / "mark").exists()


def test_output_that_cannot_be_written(govrun: Govrun) -> None:
    for words in (
        "explain",
        "explain --json",
        "doctor",
        "doctor --json",
        "--help",
        "--dry-run -- true",
        "init --stdout",
    ):
        done = shell(govrun, f"govrun {words} > /dev/full")
        told(done.stderr.decode(), done.returncode, 125, "standard output")


def test_reader_that_goes_away(govrun: Govrun) -> None:
    for words in ("explain", "explain --json", "doctor", "--dry-run -- true"):
        done = shell(govrun, f"govrun {words} | true; echo ${{PIPESTATUS[0]}}")
        assert done.stdout.strip() in (b"0", b"141"), (words, done.stdout)
        assert done.stderr == b"", (words, done.stderr)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(govrun: Govrun, repo: Path, closed: str) -> None:
    """What is said to the user goes nowhere else, and the command finds what is closed closed."""
    assert shell(govrun, f"govrun -- no-such-program {closed}").returncode == 127
    done = shell(govrun, f"govrun -- no-such-program 2>&- {closed}")
    assert done.stdout == b"" and done.stderr == b""
    script = (
        "import os\nfor n in 0, 1, 2:\n  try: os.fstat(n); print(n, file=open('seen', 'a'))\n  except OSError: pass"
    )
    bare = govrun.bare("bash", "-c", f'/usr/bin/python3 -c "$1" {closed}; mv seen bare', "bash", script)
    done = shell(govrun, f'govrun -- /usr/bin/python3 -c "$1" {closed}', script)
    assert (bare.returncode, done.returncode) in ((0, 0), (1, 0)), done.stderr
    expected = (repo / "bare").read_text() if (repo / "bare").exists() else ""
    assert ((repo / "seen").read_text() if (repo / "seen").exists() else "") == expected
    # What is told about a refusal has nowhere to go, and must not go where the record or the guard reads.
    done = shell(govrun, f'govrun -- bash -c "echo x > $HOME/outside; exit 3" {closed}')
    assert done.returncode == 3 and govrun.cli("log", "latest").ok().stdout.count(b"scope.write")
    for folder in (govrun.state / "runs").iterdir():
        for path in (path for path in folder.iterdir() if path.is_file() and path.suffix != ".jsonl"):
            assert b"govrun: " not in path.read_bytes(), path
        for line in (folder / "journal.jsonl").read_bytes().splitlines():
            assert line.startswith(b"{"), line


def test_not_utf_8(govrun: Govrun, repo: Path) -> None:
    """Arguments, names and folders are bytes."""
    odd = repo / os.fsdecode(b"odd\xff\x1b[31m")
    odd.mkdir()
    outcome = govrun("printf", "%s", b"\xff\x1b", cwd=odd).ok()
    assert outcome.stdout == b"\xff\x1b"
    assert "\x1b" not in outcome.stderr
    missing = govrun(b"no\xffsuch\x1b[31m", cwd=odd)
    told(missing.stderr, missing.code, 127)
    planned = govrun(b"printf", b"\xff\x1b", options=["--dry-run"], cwd=odd).ok()
    assert b"\x1b" not in planned.stdout


def test_huge_command_line(govrun: Govrun, repo: Path) -> None:
    """The kernel takes 128 KiB an argument, and what govrun adds to the environment comes on top."""
    words = ["x" * 120_000] * 12
    outcome = govrun("/usr/bin/python3", "-c", "import sys; print(len(sys.argv))", *words).ok()
    assert outcome.stdout == b"13\n"


def test_nested(govrun: Govrun, repo: Path) -> None:
    """Inside a run nothing is set up twice, and a plan stays a plan."""
    inner = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv("--dry-run", "--", *MARK))
    outcome = govrun("bash", "-c", inner).ok()
    assert b"already inside run" in outcome.stdout
    assert not (repo / "mark").exists()
    outcome = govrun(*govrun.argv("doctor")).ok()
    assert b"this is inside the run" in outcome.stdout and not outcome.denied()
    for words, code in ((["no-such-program"], 127), (["./README.md"], 126)):
        inner = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv("--", *words))
        outcome = govrun("bash", "-c", inner, options=["--quiet"])
        lines = [line for line in outcome.stderr.splitlines() if "already inside" not in line]
        told("\n".join(lines), outcome.code, code)


def test_program_that_cannot_be_executed(govrun: Govrun, repo: Path) -> None:
    """Found out by the kernel alone, after the start."""
    (repo / "script").write_text("#!/no/such/interpreter\n")
    (repo / "script").chmod(0o755)
    outcome = govrun("./script", options=["--quiet"])
    told(outcome.stderr, outcome.code, 126, "script")


def test_program_that_a_rule_refuses(govrun: Govrun, repo: Path) -> None:
    """Nothing is missing on the machine, so nothing sends its user to look for that."""
    (repo / "govrun.toml").write_text('version = 1\n[scope]\ncommands = ["sh"]\n')
    outcome = govrun(*MARK, options=["--quiet"])
    denial, _, rest = outcome.stderr.partition("\n")
    assert denial.startswith("govrun: denied by scope.commands")
    told(rest, outcome.code, 126, "a rule of this run refused it", "govrun why")
    assert "doctor" not in rest and "Errno" not in rest


def test_cache_folder_that_cannot_be_made(govrun: Govrun, repo: Path) -> None:
    (repo.parent / "file").write_text("")
    for options in ([], ["--dry-run"]):
        outcome = govrun(*MARK, options=options, env={"XDG_CACHE_HOME": str(repo.parent / "file")})
        told(outcome.stderr, outcome.code, 125, "XDG_CACHE_HOME")


@pytest.mark.needs("root")
def test_root_in_the_tree_of_somebody_else(govrun: Govrun, repo: Path) -> None:
    """As in a container that mounts a tree of its user's: a run cannot write there, and says how it could."""
    assert "warning" not in govrun("true").ok().stderr
    os.chown(repo, 12345, 12345)
    outcome = govrun("sh", "-c", "echo x > mark", env={"GIT_CONFIG_GLOBAL": "/dev/null"})
    assert f"warning: {repo} belongs to user 12345, and this is root" in outcome.stderr
    assert "setpriv --reuid 12345" in outcome.stderr and not (repo / "mark").exists()


def test_help_names_every_option_of_a_run(govrun: Govrun) -> None:
    from supervisor.cli import start

    said = govrun.cli("--help").ok().stdout.decode()
    words = set(re.findall(r"--[a-z-]+", said))
    assert words >= start._VALUES | start._FLAGS
    assert all(choice in said for choices in start._CHOICES.values() for choice in choices)
    for name in ("--help", *re.findall(r"^│ ([a-z]+) ", said, re.MULTILINE)):
        assert "<bool>" not in govrun.cli(name, "--help").ok().stdout.decode(), name


def test_read_only_repository(govrun: Govrun, repo: Path) -> None:
    """Work that needs no writing goes on; what fails fails as it would without govrun, and the notes are told about."""
    (repo / ".git").chmod(0o555)
    (repo / ".git/objects").chmod(0o555)
    try:
        outcome = govrun("git", "log", "--oneline")
        assert outcome.code == 0, outcome.stderr
        assert "Traceback" not in outcome.stderr and "BUG" not in outcome.stderr
    finally:
        (repo / ".git").chmod(0o755)
        (repo / ".git/objects").chmod(0o755)


@pytest.mark.needs("user")
def test_file_that_cannot_be_read(govrun: Govrun, repo: Path) -> None:
    (repo / "govrun.toml").write_text("version = 1\n")
    (repo / "govrun.toml").chmod(0)
    outcome = govrun(*MARK)
    told(outcome.stderr, outcome.code, 125, "govrun.toml")
    assert not (repo / "mark").exists()


@pytest.mark.needs("userns")
def test_without_git(govrun: Govrun, repo: Path) -> None:
    """No git on the machine: a repository cannot be governed, since its notes could not be written."""
    empty = repo.parent / "empty"
    empty.touch()
    mounts = " && ".join(f"mount --bind {empty} {path}" for path in ("/usr/bin/git",) if os.path.exists(path))
    line = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv())
    done = govrun.bare("unshare", "-rm", "bash", "-c", f"{mounts} && cd {repo} && {line} -- touch mark")
    text = "\n".join(each for each in done.stderr.decode().splitlines() if not each.startswith("govrun 0"))
    told(text, done.returncode, 125, "git")
    assert not (repo / "mark").exists()


@pytest.mark.needs("userns")
def test_disk_that_fills_up(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    """Nothing goes on that cannot be recorded: the run is stopped with 121, and what was recorded can be read."""
    place = tmp_path / "small"
    place.mkdir()
    line = " ".join(f"'{os.fsdecode(word)}'" for word in govrun.argv())
    script = (
        f"mount -t tmpfs -o size=400k none {place} && cd {repo} && "
        f"{line} -- bash -c 'for i in $(seq 5000); do echo x > $HOME/no$i; done 2>/dev/null; echo x > end' ; code=$?; "
        f"{line} log latest --json | wc -l; exit $code"
    )
    done = govrun.bare("unshare", "-rm", "bash", "-c", script, env={"XDG_STATE_HOME": str(place)})
    text = "\n".join(each for each in done.stderr.decode().splitlines() if not each.startswith("govrun 0"))
    told(text, done.returncode, 121, "free space in the state folder")
    assert not (repo / "end").exists() and not list(govrun.home.glob("no*"))
    assert int(done.stdout) > 100
