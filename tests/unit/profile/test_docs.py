"""The documented example and tables are what the loader takes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from supervisor.inspection.kinds import INSTALLED, LOCKS, MANIFESTS, SOURCES, kind_of
from supervisor.invariants.compile import Context, compile_policy
from supervisor.invariants.policy import GitDir
from supervisor.profile.kinds import KINDS
from supervisor.profile.layer import HEAD
from supervisor.profile.load import load
from supervisor.profile.scope import LISTS, PLAIN, TABLES, WORDS
from supervisor.run.examples import require_examples
from supervisor.vocabulary.errors import ProfileError
from supervisor.vocabulary.policy import Coverage

TEXT = (Path(__file__).parents[3] / "docs/profile.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


EXAMPLES = blocks("toml")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with the decision records that the page speaks of."""
    (record,) = blocks("yaml")
    (tmp_path / "docs/adr").mkdir(parents=True)
    (tmp_path / "docs/adr/0007-http.md").write_text("Status: accepted\n")
    (tmp_path / "docs/adr/0008-pad.md").write_text(record)
    return tmp_path


def test_the_first_example_is_read_with_its_records(tree: Path) -> None:
    (tree / "govrun.toml").write_text(EXAMPLES[0])
    assert [rule.id for rule in load(tree).rules] == [
        *("one-http-client", "no-left-pad", "ask-push", "ask-deploy"),
    ]


@pytest.mark.parametrize("text", EXAMPLES, ids=range(1, len(EXAMPLES) + 1))
def test_every_example_is_judged(tree: Path, text: str) -> None:
    """They load, compile, their own examples hold, and this version judges all of it."""
    (tree / "docs/adr/0008-pad.md").unlink()  # which carries a rule of its own
    (tree / "govrun.toml").write_text(text)
    profile = load(tree)
    git = GitDir(os.fsencode(tree / ".git"), os.fsencode(tree / ".git"))
    policy = compile_policy(profile, Context(os.fsencode(tree), b"/s", b"/home/x", (), git, (), (), (), (), 7))
    unjudged = [rule.id for rule in policy.invariants.values() if rule.coverage is Coverage.UNENFORCEABLE]
    assert unjudged == []
    require_examples(policy, profile)


def test_the_error_text_is_real(tmp_path: Path) -> None:
    profile = "version = 1\n\n[scope]\nhots = []\n\n\n\n\n[[deploy]]\nid = 'a'\ndeny = ['deploy']\n"
    (tmp_path / "govrun.toml").write_text(profile)
    with pytest.raises(ProfileError) as caught:
        load(tmp_path)
    assert blocks("text") == ["\n".join(caught.value.lines()) + "\n"]


@pytest.mark.parametrize("key", [key for group in (HEAD, LISTS, PLAIN, TABLES, WORDS) for key, _ in group])
def test_every_key_is_documented(key: str) -> None:
    assert f"`{key}`" in TEXT


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_is_documented(kind: object) -> None:
    section = TEXT.partition("\n## Kinds\n")[2]
    row = next(line for line in section.splitlines() if line.startswith(f"| `[[{kind.name}]]`"))
    for key, _ in kind.keys:
        assert re.search(rf"\b{key}\b", row), key


def test_the_files_that_a_dependency_rule_judges_are_documented() -> None:
    section = TEXT.partition("### Which files a dependency rule judges\n")[2].partition("\n## ")[0]
    rows = {
        line.split(":")[0][2:]: re.findall(r"`([^`]+)`", line) for line in section.splitlines() if line[:3] != "|--"
    }
    for row, kinds in {
        "manifests": MANIFESTS, "locks": LOCKS, "sources": SOURCES, "packages": {INSTALLED},
    }.items():  # fmt: skip
        names = [name for name in rows[row] if name not in (".txt", ".in", "site-packages", "#!")]
        names = [name + "x.txt" if name.endswith("/") else "x" + name if row == "sources" else name for name in names]
        assert {kind_of(name.encode()) for name in names} == kinds, row
    for name in ("setup.py", "bun.lockb"):
        assert f"`{name}`" in section and kind_of(name.encode()) in (None, "python")


def test_every_extension_and_name_is_documented() -> None:
    from supervisor.inspection import kinds

    section = TEXT.partition("### Which files a dependency rule judges\n")[2].partition("\n## ")[0]
    for name in (*(b"." + extension for extension in kinds._SOURCES), *kinds._NAMES):
        assert f"`{name.decode()}`" in section, name
