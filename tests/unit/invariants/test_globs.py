"""Patterns: ours are pathspec's, and pathspec's are git's."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from supervisor.invariants.globs import Globs, IgnoreRules
from supervisor.profile.model import Entry


def globs(*patterns: str) -> Globs:
    return Globs(Entry(pattern, f"govrun.toml:{at}") for at, pattern in enumerate(patterns, 1))


TABLE: list[tuple[str, list[bytes], list[bytes]]] = [
    ("a", [b"a", b"x/a", b"a/b", b"x/a/b"], [b"ab", b"ba", b"A"]),
    ("/a", [b"a", b"a/b"], [b"x/a"]),
    ("a/b", [b"a/b", b"a/b/c"], [b"x/a/b", b"ab"]),
    ("**/a/b", [b"a/b", b"x/a/b", b"x/y/a/b/c"], [b"a/x/b"]),
    ("a/**", [b"a/b", b"a/b/c"], [b"a", b"x/a/b"]),
    ("a/**/b", [b"a/b", b"a/x/b", b"a/x/y/b"], [b"a/xb"]),
    ("*.py", [b"x.py", b"a/x.py", b"a/\n.py", b"a/\xff.py"], [b"x.pyc"]),
    ("a/*.py", [b"a/x.py"], [b"a/b/x.py", b"a/\n/x.py"]),
    ("a?c", [b"abc", b"a\nc"], [b"ac", b"a/c"]),
    ("[ab]x", [b"ax", b"y/bx"], [b"cx"]),
    ("[!ab]x", [b"cx"], [b"ax"]),
    (r"\*x", [b"*x"], [b"ax"]),
    (r"a\ b", [b"a b"], [b"a\\ b"]),
    ("a.b", [b"a.b"], [b"axb"]),
    ("é", ["é".encode()], [b"e"]),
    ("\udcff", [b"\xff"], ["ÿ".encode()]),
]


@pytest.mark.parametrize(("pattern", "yes", "no"), TABLE)
def test_patterns(pattern: str, yes: list[bytes], no: list[bytes]) -> None:
    found = globs(pattern)
    assert [path for path in yes if found.match(path) is None] == []
    assert [path for path in no if found.match(path) is not None] == []


def test_a_final_slash_means_a_directory_and_what_is_in_it() -> None:
    found = globs("build/")
    assert found.match(b"build", directory=True)
    assert found.match(b"x/build", directory=True)
    assert found.match(b"build/x")
    assert not found.match(b"build")


@pytest.mark.parametrize("pattern", ["**", "*", "/**"])
def test_everything(pattern: str) -> None:
    found = globs("x/y", pattern)
    entry = found.match(b"any/\n/\xff")
    assert entry is not None
    assert entry.value == pattern


def test_the_first_entry_that_matches_is_named() -> None:
    entry = globs("b", "a/**", "a/b").match(b"a/b")
    assert entry is not None
    assert entry.source == "govrun.toml:1"


def test_no_entries_match_nothing() -> None:
    assert globs().match(b"x") is None
    assert not globs()
    assert globs("x")


def test_pathspec_groups_do_not_leak_into_the_alternation() -> None:
    """A bracket may hold what looks like a named group; it must mean the same alone and among others."""
    for patterns in (("[(?P<x>]y",), ("z", "[(?P<x>]y")):
        found = globs(*patterns)
        assert found.match(b"Py"), patterns
        assert found.match(b"<y"), patterns
        assert not found.match(b"qy"), patterns


ANCESTORS: list[tuple[tuple[str, ...], set[bytes]]] = [
    (("/.github/workflows/**",), {b".github", b".github/workflows"}),
    (("a/b/c",), {b"a", b"a/b"}),
    (("a/b*/c",), {b"a"}),
    (("a/[x]/c", "d/e?/f"), {b"a", b"d"}),
    (("name",), set()),
    (("/name",), set()),
    (("**/x/y",), set()),
    (("dir/",), {b"dir"}),
    ((r"a\ b/c",), {b"a b"}),
]


@pytest.mark.parametrize(("patterns", "expected"), ANCESTORS)
def test_folders_on_the_way(patterns: tuple[str, ...], expected: set[bytes]) -> None:
    assert globs(*patterns).ancestors() == expected


# ------------------------------------------------------------------------------------------ against git itself

IGNORES: list[tuple[bytes, list[bytes], list[bytes]]] = [
    (b"*.o\n!keep.o\n", [b"a.o", b"x/a.o", b"keep.o", b"x/keep.o", b"a.c"], []),
    (b"/top\nsub/deep\n", [b"top", b"x/top", b"sub/deep", b"x/sub/deep", b"sub/deep/er"], []),
    (b"build/\n", [b"build/x", b"x/build/y", b"build"], []),
    (b"# comment\n\n  \n\\#kept\n\\!kept\n", [b"#kept", b"!kept", b"# comment", b"comment"], []),
    (b"trail  \nesc\\ \nlead\n lead2\n", [b"trail", b"trail  ", b"esc ", b"esc", b"lead", b" lead2", b"lead2"], []),
    (b"a/**/z\n**/logs\nx/**\n", [b"a/z", b"a/b/z", b"q/logs", b"x/y", b"y/x/z"], []),
    (b"*\n!*/\n!*.md\n", [b"a", b"a.md", b"d/a", b"d/a.md"], []),
    (b"*\n!keep\n", [b"long", b"keep", b"folder/file", b"folder/keep"], []),
    (b"logs/**\n!logs/keep\n", [b"logs/file", b"logs/keep", b"logs/deep/file"], []),
    (b"?\n[!a]x\n", ["é".encode(), "éx".encode(), b"e", b"ex"], []),
    (b"[a-c]at\n[!d]og\n[]x]\n", [b"bat", b"dat", b"dog", b"fog", b"]", b"x"], []),
    (b"win\r\nplain\n", [b"win", b"plain", b"win\r"], []),
    (b"last-without-newline", [b"last-without-newline"], []),
    (b"form\x0cfeed\nnext\x85line\n", [b"form\x0cfeed", b"feed", b"form", b"next\x85line", b"next", b"line"], []),
    (b"\xe2\x80\xa8sep\nq\xe2\x80\xa8r\n", [b"\xe2\x80\xa8sep", b"sep", b"q", b"r", b"q\xe2\x80\xa8r"], []),
    (b"v\x0bt\n", [b"v\x0bt", b"v", b"t"], []),
    (b"caf\xe9\n\xff\n", [b"caf\xe9", b"\xff", b"cafe"], []),
    (b"\xef\xbb\xbfbom\nnext\n", [b"bom", b"next"], []),
    (b"name\\\n", [b"name", b"name\\"], []),
    (b"two words\ntab\t\n", [b"two words", b"tab", b"tab\t"], [b"tab\t"]),
]


@pytest.mark.needs("git")
@pytest.mark.parametrize(("rules", "paths", "less"), IGNORES)
def test_ignore_rules_are_gits(tmp_path: Path, rules: bytes, paths: list[bytes], less: list[bytes]) -> None:
    """``less``: where git ignores and we do not; that side is safe, the other never is."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, env=environment, check=True)
    (tmp_path / ".gitignore").write_bytes(rules)
    asked = subprocess.run(
        ["git", "check-ignore", "-z", "-v", "-n", "--no-index", "--stdin"],
        cwd=tmp_path, env=environment, input=b"".join(path + b"\0" for path in paths), capture_output=True,
    )  # fmt: skip
    words = asked.stdout.split(b"\0")
    by_git = {
        words[at + 3]: bool(words[at]) and not words[at + 2].startswith(b"!") for at in range(0, len(words) - 1, 4)
    }
    assert set(by_git) == set(paths), asked.stderr
    ours = {path: _ignored(IgnoreRules(rules), path) for path in paths}
    assert {path for path in paths if ours[path] and not by_git[path]} == set(), "an ignored path is not governed"
    assert {path for path in paths if by_git[path] and not ours[path]} == set(less)


def _ignored(rules: IgnoreRules, path: bytes) -> bool:
    """As the caller asks: from the top down, an ignored directory covers what is in it."""
    parts = path.split(b"/")
    for depth in range(1, len(parts) + 1):
        if rules.says(b"/".join(parts[:depth]), directory=depth < len(parts)):
            return True
    return False


def test_a_negated_pattern_takes_back_and_silence_is_no_answer() -> None:
    rules = IgnoreRules(b"*.log\n!keep.log\n")
    assert rules.says(b"a.log", directory=False) is True
    assert rules.says(b"keep.log", directory=False) is False
    assert rules.says(b"a.txt", directory=False) is None


def test_a_pattern_is_translated_once_and_late(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    real = re.compile
    monkeypatch.setattr(
        "supervisor.invariants.globs.re.compile", lambda *a, **k: (compiled.append(a), real(*a, **k))[1]
    )
    found = globs("a/*", "b")
    assert compiled == []
    found.match(b"x")
    count = len(compiled)
    found.match(b"y")
    assert len(compiled) == count > 0
