"""One alternation of many patterns says what pathspec says of each."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pathspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisor.invariants.globs import Globs, IgnoreRules
from supervisor.profile.model import Entry

PIECES = [
    "a",
    "b",
    "ab",
    "*",
    "**",
    "?",
    "[ab]",
    "[!a]",
    "a*",
    "*.py",
    "x.py",
    "é",
    ".",
    r"\*",
    r"\!",
    "(",
    "+",
    "(?P<a>",
    "a|b",
    "$",
]
patterns = st.builds(
    lambda head, parts, tail: head + "/".join(parts) + tail,
    st.sampled_from(["", "", "/", "**/"]),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4),
    st.sampled_from(["", "", "/", "/**", "/*"]),
)
names = st.sampled_from(["a", "b", "ab", "x.py", "é", "*", "(", "a|b", "\n", ".git", "$", "a.py", "\udcff"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


def spec(lines: list[str]) -> pathspec.GitIgnoreSpec:
    return pathspec.GitIgnoreSpec.from_lines(lines)


@settings(max_examples=400, deadline=None, database=None)
@given(st.lists(patterns, min_size=1, max_size=5), st.lists(paths, min_size=1, max_size=8), st.booleans())
@example(["*/"], ["a/b", "a"], False)
@example(["**/"], ["a/b"], False)
@example(["a/", "b"], ["a"], True)
def test_matching_is_pathspecs(given_patterns: list[str], given_paths: list[str], directory: bool) -> None:
    globs = Globs(Entry(pattern, f"p:{at}") for at, pattern in enumerate(given_patterns))
    for path in given_paths:
        if "\n" in path:
            continue  # pathspec's own `.` stops at a newline; the unit table holds those
        text = path + ("/" if directory else "")
        found = globs.match(path.encode("utf-8", "surrogateescape"), directory)
        assert (found is not None) == spec(given_patterns).match_file(text), (given_patterns, text)
        singles = [pattern for pattern in given_patterns if spec([pattern]).match_file(text)]
        if found is not None and found.value not in ("*", "**", "/**"):
            assert found.value == singles[0]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", "."], cwd=folder, env=_environment(folder), check=True)
    return folder


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}


def ignored_by_git(folder: Path, rules: bytes, asked: list[bytes]) -> set[bytes]:
    (folder / ".gitignore").write_bytes(rules)
    done = subprocess.run(
        ["git", "check-ignore", "-z", "--no-index", "--stdin"],
        cwd=folder,
        env=_environment(folder),
        input=b"".join(path + b"\0" for path in asked),
        capture_output=True,
    )
    assert done.returncode in (0, 1), done.stderr
    return set(done.stdout.split(b"\0")) - {b""}


lines = st.builds(str.__add__, st.sampled_from(["", "!", ""]), patterns)


@pytest.mark.needs("git")
@settings(max_examples=20, deadline=None, database=None)
@given(
    st.lists(lines, min_size=1, max_size=5), st.lists(paths.filter(str.isascii), min_size=8, max_size=12, unique=True)
)
@example(["*", "!*/", "!*.py"], ["ab", "a/x.py", "ab/b"])
@example(["*"], ["ab", "x.py", "ab/x.py"])
def test_never_more_is_ignored_than_git_ignores(repository: Path, rules: list[str], asked: list[str]) -> None:
    """What is ignored is neither governed nor journalled, so a difference may go one way only."""
    content = "\n".join(rules).encode("utf-8", "surrogateescape")
    raw = [path.encode("utf-8", "surrogateescape") for path in asked if ".git" not in path.split("/")]
    ours = {path for path in raw if _ignored(IgnoreRules(content), path)}
    assert ours <= ignored_by_git(repository, content, raw)


def _ignored(rules: IgnoreRules, path: bytes) -> bool:
    """As the caller asks: from the top down, an ignored directory covers what is in it."""
    parts = path.split(b"/")
    return any(rules.says(b"/".join(parts[:depth]), directory=depth < len(parts)) for depth in range(1, len(parts) + 1))


@settings(max_examples=200, deadline=None, database=None)
@given(patterns, paths)
def test_a_newline_in_a_name_is_a_letter_like_any_other(pattern: str, path: str) -> None:
    def matches(name: str) -> bool:
        found = Globs([Entry(pattern, "p:1")]).match(name.encode("utf-8", "surrogateescape"))
        return found is not None

    assert matches(path.replace("\n", "q")) == matches(path.replace("\n", "\n"))


# ------------------------------------------------------------------------------------------------ cost

COSTLY = st.builds(
    lambda head, parts, tail: head + "/".join(parts) + tail,
    st.sampled_from(["", "!", "/", "**/", "**/**/"]),
    st.lists(st.sampled_from(["**", "*", "a*", "*a", "a*b*", "*a*", "a**b", "a", "?", "[a*]", "[ab]*"]), max_size=6),
    st.sampled_from(["", "/", "/**", "/*"]),
)


def _repeats(regex: str) -> tuple[int, int]:
    """(repeats that cross slashes, the most of those within one name between two slashes)."""
    whole = regex.replace("(?P<ps_d>/)", "/").removesuffix("(?:/|$)")
    within = max(part.count("[^|]*") + part.count("[^|]+") for part in whole.replace("[^/]", "[^|]").split("/"))
    return whole.count(".+"), within


@settings(max_examples=2000, deadline=None, database=None)
@given(COSTLY)
def test_an_ignore_pattern_that_is_taken_matches_in_few_ways(pattern: str) -> None:
    """Each repeat that crosses slashes may begin at every one; two within a name divide it at every letter."""
    rules = IgnoreRules(pattern.encode())
    for rule in rules.rules:
        across, within = _repeats(rule.pattern.pattern)
        assert across <= 1 or rule.pattern.pattern == ".+"
        # One name is read by rules of a name, and by those that begin at the top and go no deeper.
        rest = rule.pattern.pattern.replace("[^/]", "").replace("(?P<ps_d>/)", "/").removesuffix("(?:/|$)")
        single = rule.name or (across == 0 and "/" not in rest.removesuffix("/"))
        assert within <= (2 if single else 1)
    assert rules.cost <= 4000


@settings(max_examples=100, deadline=None, database=None)
@given(st.lists(st.sampled_from(["*a*", "**/a/b", "a", "!b", "!*a*b*c", "x/**/y"]), max_size=3), st.integers(1, 5000))
def test_rules_that_cannot_be_afforded_say_that_nothing_is_ignored(lines: list[str], times: int) -> None:
    rules = IgnoreRules("\n".join(lines * times).encode())
    assert rules.cost <= 4000
    if any(line.count("*") > 2 and line.startswith("!") for line in lines):
        assert rules.says(b"a", directory=False) is False
