"""One alternation of many patterns says what pathspec says of each."""

from __future__ import annotations

import pathspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisor.invariants.globs import Globs, IgnoreRules
from supervisor.profile.model import Entry

PIECES = ["a", "b", "ab", "*", "**", "?", "[ab]", "[!a]", "a*", "*.py", "x.py", "é", ".", r"\*", r"\!", "(", "+", "(?P<a>", "a|b", "$"]
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


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.builds(str.__add__, st.sampled_from(["", "!"]), patterns), min_size=1, max_size=5), paths)
@example(["*", "!*/", "!*.py"], "a/x.py")
def test_the_last_pattern_that_speaks_decides(lines: list[str], path: str) -> None:
    rules = IgnoreRules("\n".join(lines).encode("utf-8", "surrogateescape"))
    if "\n" in path:
        return
    expected = None
    for line in lines:
        if spec([line.removeprefix("!")]).match_file(path):
            expected = not line.startswith("!")
    assert rules.says(path.encode("utf-8", "surrogateescape"), directory=False) is expected


@settings(max_examples=200, deadline=None, database=None)
@given(patterns, paths)
def test_a_newline_in_a_name_is_a_letter_like_any_other(pattern: str, path: str) -> None:
    def matches(name: str) -> bool:
        found = Globs([Entry(pattern, "p:1")]).match(name.encode("utf-8", "surrogateescape"))
        return found is not None

    assert matches(path.replace("\n", "q")) == matches(path.replace("\n", "\n"))
