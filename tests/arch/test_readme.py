"""The README's transcripts are run, its profile is loaded, its commands and links exist."""

import fnmatch
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
TRANSCRIPTS = re.findall(r"<!-- run -->\n```console\n(.*?)```", README, re.DOTALL)
PROFILES = re.findall(r"<!-- profile -->\n```toml\n(.*?)```", README, re.DOTALL)


def steps(transcript: str) -> list[tuple[str, list[str]]]:
    """(command, expected lines) pairs; `…` stands for anything within a line, a lone `…` for any further lines."""
    found: list[tuple[str, list[str]]] = []
    for line in transcript.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def matches(line: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(line, re.sub(r"([\[*?])", r"[\1]", pattern).replace("…", "*"))


def agrees(got: list[str], expected: list[str]) -> bool:
    open_end = expected[-1:] == ["…"]
    wanted = expected[:-1] if open_end else expected
    enough = len(got) >= len(wanted) if open_end else len(got) == len(wanted)
    return enough and all(matches(line, pattern) for line, pattern in zip(got, wanted, strict=False))


@pytest.mark.needs("notify", "git", landlock=2)
@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=range(1, len(TRANSCRIPTS) + 1))
def test_transcript(transcript: str, govrun: "Govrun", tmp_path: Path) -> None:
    shim = tmp_path / "bin" / "govrun"
    shim.parent.mkdir()
    words = " ".join(f"'{word}'" for word in map(str, govrun.argv()))
    shim.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    shim.chmod(0o755)
    env = govrun.env | {"PATH": f"{shim.parent}:{govrun.env['PATH']}"}
    for command, expected in steps(transcript):
        done = subprocess.run(
            ["sh", "-c", command], cwd=govrun.cwd, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert agrees(done.stdout.splitlines(), expected), f"$ {command}\n{done.stdout}\nexpected:\n" + "\n".join(
            expected
        )


def test_profile_loads(tmp_path: Path) -> None:
    from supervisor.profile.load import load

    assert PROFILES
    for text in PROFILES:
        (tmp_path / "govrun.toml").write_text(text)
        assert load(tmp_path).scope.write


def test_own_profile_loads() -> None:
    from supervisor.profile.load import load

    profile = load(ROOT)
    assert {rule.id for rule in profile.rules} == {"layers", "parsers-come-as-wheels"}


def test_named_commands_exist(govrun: "Govrun") -> None:
    named = set(re.findall(r"`govrun ([a-z]+)`", README))
    assert named
    for name in named:
        assert govrun.cli(name, "--help").ok().stdout


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]), ids=lambda path: path.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_length() -> None:
    assert len(README.splitlines()) <= 120


def test_the_comparison_can_fail() -> None:
    assert agrees(["abc add x"], ["… add x"]) and agrees(["a", "b"], ["a", "…"])
    assert not agrees(["a", "b"], ["a"]) and not agrees(["x"], ["y"]) and not agrees(["ab"], ["a?"])
