"""The text of a first profile: short, loadable, and about what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.profile.load import load
from supervisor.run.firstprofile import Seen, _parts, text_of

NOTHING = Seen((), 0, (), (), (), "")


def uncommented(text: str) -> str:
    """The profile with its suggestion of ``write`` taken."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("# write = ["))
    last = next(number for number in range(first, len(lines)) if lines[number].endswith("]"))
    taken = [line.removeprefix("# ") for line in lines[first : last + 1]]
    return "\n".join([*lines[:first], *taken, *lines[last + 1 :]]) + "\n"


def scope(tmp_path: Path, seen: Seen) -> set[str]:
    """What the suggestion would leave writable; the profile as it is leaves everything."""
    (tmp_path / "govrun.toml").write_text(text_of(seen))
    profile = load(tmp_path)
    assert not profile.warnings
    assert profile.scope.timeout is None
    assert not profile.scope.write
    (tmp_path / "narrow").mkdir(exist_ok=True)
    (tmp_path / "narrow" / "govrun.toml").write_text(uncommented(text_of(seen)))
    narrow = load(tmp_path / "narrow")
    assert not narrow.warnings
    return {entry.value for entry in narrow.scope.write[0]}


SOME = {"/src/**", "/tests/**", "/package.json", "/package-lock.json*", "/uv.lock*"}


def test_nothing_there(tmp_path: Path) -> None:
    assert scope(tmp_path, NOTHING) == SOME


def test_what_is_left_out(tmp_path: Path) -> None:
    names = (b".github/", b".gitignore", b".hidden", b"Jenkinsfile", b"LICENSE.md", b"govrun.toml", b"src/", b"x.py")
    assert scope(tmp_path, NOTHING._replace(names=names)) == {"/src/**", "/.gitignore", "/x.py"}
    assert 'protect = ["/LICENSE.md"]' in (tmp_path / "govrun.toml").read_text()


def test_a_narrower_scope_names_what_package_managers_write(tmp_path: Path) -> None:
    found = scope(tmp_path, NOTHING._replace(names=(b"package.json", b"pyproject.toml", b"src/", b"uv.lock")))
    assert {"/package-lock.json*", "/node_modules/**", "/uv.lock*", "/.tmp*"} < found


def test_many_names(tmp_path: Path) -> None:
    assert scope(tmp_path, NOTHING._replace(names=tuple(b"d%d/" % n for n in range(50)))) == SOME


def test_every_setting_is_explained() -> None:
    seen = Seen((b"src/", b"LICENSE"), 2, ("TypeScript", "Python"), ("yarn.lock",), (".travis.yml",), "docs/adr")
    seen = seen._replace(branch="main", instructions=("AGENTS.md",), agents=(".claude",))
    lines = text_of(seen).splitlines()
    for number, line in enumerate(lines):
        if line and line[0].isalpha():
            above = lines[number - 1]
            assert above.startswith("#"), line
    text = text_of(seen)
    for word in ("npm:moment", "here: main", '"/AGENTS.md"', "(.claude)", "yarn.lock", ".travis.yml", '["/LICENSE"]'):
        assert word in text, word


@pytest.mark.parametrize("language", ["PHP", "C#"])
def test_a_language_that_is_not_judged_is_told(tmp_path: Path, language: str) -> None:
    seen = NOTHING._replace(languages=(language, "Shell"))
    assert f"Rules for packages of {language} are read, and not judged yet" in text_of(seen)
    assert f"packages of {language}" not in text_of(NOTHING._replace(languages=(language, "Python")))
    scope(tmp_path, seen)


def test_parts_of_a_program(tmp_path: Path) -> None:
    files = [b"src/shop/web/a.py", b"src/shop/domain/b.py", b"src/shop/app/x/c.py", b"tests/web/a.py", b"docs/core/x"]
    layers, packages = _parts([*files, b"packages/a/x.ts", b"packages/b/y/z.ts", b"libs/one/a.go"])
    assert layers == ("src/shop/web/**", "src/shop/app/**", "src/shop/domain/**")
    assert packages == "packages/*"
    assert _parts([b"a.py", b"web/b.py", b"\xff/app/b.py", b"\xff/core/b.py", b'"/app/b.py']) == ((), "")
    lines = text_of(NOTHING._replace(layers=layers, packages=packages)).splitlines()
    at = lines.index("# [[boundary]]")
    taken = [line.removeprefix("# ") for line in lines[at:] if "=" in line or "[[" in line]
    (tmp_path / "govrun.toml").write_text("\n".join([*lines[:at], *taken]) + "\n")
    (rule,) = (rule for rule in load(tmp_path).rules if rule.kind == "boundary")
    assert rule.fields["layers"] == layers
    assert rule.fields["acyclic"] == ("packages/*",)


_NAME = st.from_regex(rb"[A-Za-z0-9_.@+][A-Za-z0-9_.@+ -]{0,8}[a-z]/?", fullmatch=True)


@given(st.lists(_NAME, max_size=12, unique=True), st.lists(st.sampled_from(["Python", "Go", "TypeScript"]), max_size=3))
def test_always_loads(tmp_path_factory, names: list[bytes], languages: list[str]) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("t")
    assert scope(folder, NOTHING._replace(names=tuple(names), languages=tuple(languages)))
