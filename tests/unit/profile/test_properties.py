"""Whatever stands in the files: a profile, or a ``ProfileError`` that says where."""

from __future__ import annotations

import string
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from supervisor.profile.kinds import COMMON, KINDS
from supervisor.profile.layer import HEAD
from supervisor.profile.load import load
from supervisor.profile.scope import LISTS, PLAIN, TABLES, WORDS
from supervisor.vocabulary.errors import ProfileError

KEYS = sorted(
    {key for group in (HEAD, LISTS, PLAIN, TABLES, WORDS, COMMON) for key, _ in group}
    | {key for kind in KINDS for key, _ in kind.keys}
    | {"env", "version", "pass", "drop", "set", "exec", "class", "target", "files", "x"}
)
ATOMS = st.one_of(
    st.sampled_from(
        ["1", "-1", "true", "2020-01-01", "nan", "1e400", "''", "'~/x'", "'!x'", "'a:1'", "'pypi:x'", "'7'"]
    ),
    st.sampled_from(
        ["'pack:default'", "'unix:'", "'registry:'", "'[::1]'", "'[]:'", "'a -> b'", "'2h'", "'deploy'", "'->'"]
    ),
    st.sampled_from(
        ["'regex:('", "'range:..'", "'range:a..b'", "'connect'", "'write '", "'postgres://'", "'x.md'", "'|'"]
    ),
    st.text(string.printable.replace("'", "").replace("\n", "").replace("\r", ""), max_size=6).map(
        lambda t: f'"""{t} """'
    ),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{k} = {v}" for k, v in table.items()) + "}"
        ),
    ),
    max_leaves=5,
)
TABLES_TEXT = st.tuples(
    st.sampled_from(
        ["", "[scope]", "[scope.env]", *(f"[[{kind.name}]]" for kind in KINDS), "[dependency]", "[[scope]]"]
    ),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6),
).map(lambda pair: pair[0] + "\n" + "".join(f"{k} = {v}\n" for k, v in pair[1].items()))
STRICT = settings(
    max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def survives(tree: Path, data: bytes) -> None:
    (tree / "govrun.toml").write_bytes(data)
    try:
        load(tree)
    except ProfileError as error:
        assert error.what.startswith(("govrun.toml has ", "the profile has "))
        assert error.why
        for line in error.why.splitlines():
            assert line.startswith(("govrun.toml:", "pack:", "and "))
            assert line.isprintable()


@STRICT
@given(st.lists(TABLES_TEXT, max_size=4).map("".join))
@example("[[deploy]]\ndeny = [{}]\n")
@example("[[contract]]\ntry = {connect = '|'}\n")
@example("dependency = [1, 'a']\n")
@example("scope.env.set = {'' = ''}\n")
def test_toml_of_our_words(tmp_path: Path, text: str) -> None:
    survives(tmp_path, text.encode())


@STRICT
@given(st.text())
def test_any_text(tmp_path: Path, text: str) -> None:
    survives(tmp_path, text.encode("utf-8", "surrogatepass"))


@STRICT
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    survives(tmp_path, data)


@STRICT
@given(st.text(string.ascii_letters + string.digits + " :-[]{}#&*!|>'\"\n", max_size=120))
def test_any_front_matter(tmp_path: Path, text: str) -> None:
    (tmp_path / "adr").mkdir(exist_ok=True)
    (tmp_path / "adr/1.md").write_text(f"---\nstatus: accepted\nenforces:\n{text}\n---\n")
    (tmp_path / "govrun.toml").write_text("[[rule]]\nid = 'a'\nadr = '1'\nmatch = 'x'\n")
    try:
        load(tmp_path)
    except ProfileError as error:
        assert all(line.startswith(("govrun.toml:", "adr/1.md:", "and ")) for line in error.why.splitlines())
