"""The text of a first profile: short, loadable, and about what is there."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from supervisor.profile.load import load
from supervisor.run.firstprofile import Seen, text_of

NOTHING = Seen((), 0, (), (), (), "")


def scope(tmp_path: Path, seen: Seen) -> set[str]:
    (tmp_path / "govrun.toml").write_text(text_of(seen))
    profile = load(tmp_path)
    assert not profile.warnings
    assert profile.scope.timeout == 7200
    return {entry.value for entry in profile.scope.write[0]}


def test_nothing_there(tmp_path: Path) -> None:
    assert scope(tmp_path, NOTHING) == {"**"}


def test_what_is_left_out(tmp_path: Path) -> None:
    names = (b".github/", b".gitignore", b".hidden", b"Jenkinsfile", b"LICENSE.md", b"govrun.toml", b"src/", b"x.py")
    assert scope(tmp_path, NOTHING._replace(names=names)) == {"/src/**", "/.gitignore", "/x.py"}
    assert 'protect = ["/LICENSE.md"]' in (tmp_path / "govrun.toml").read_text()


def test_many_names(tmp_path: Path) -> None:
    assert scope(tmp_path, NOTHING._replace(names=tuple(b"d%d/" % n for n in range(50)))) == {"**"}


def test_every_setting_is_explained() -> None:
    seen = Seen((b"src/", b"LICENSE"), 2, ("TypeScript", "Python"), ("yarn.lock",), (".travis.yml",), "docs/adr")
    lines = text_of(seen).splitlines()
    for number, line in enumerate(lines):
        if line and line[0].isalpha():
            above = lines[number - 1]
            assert above.startswith("#"), line
    assert "npm:moment" in text_of(seen)


_NAME = st.from_regex(rb"[A-Za-z0-9_.@+][A-Za-z0-9_.@+ -]{0,8}[a-z]/?", fullmatch=True)


@given(st.lists(_NAME, max_size=12, unique=True), st.lists(st.sampled_from(["Python", "Go", "TypeScript"]), max_size=3))
def test_always_loads(tmp_path_factory, names: list[bytes], languages: list[str]) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("t")
    assert scope(folder, NOTHING._replace(names=tuple(names), languages=tuple(languages)))
