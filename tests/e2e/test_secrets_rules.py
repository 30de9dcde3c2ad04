"""``[[secrets]]`` in real runs. Every text that looks like a credential is put together at run time and is nobody's."""

from __future__ import annotations

import os
import random
import string
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git, note, reverted, taken_back, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

PROFILE = 'version = 1\n[[secrets]]\nid = "no-tokens"\nadr = "0003"\nuse = "the vault"\n'
CHANCE = random.Random(11)


def some(count: int, letters: str = string.ascii_letters) -> str:
    """Letters by chance: what people write as an example is told from a credential."""
    return "".join(CHANCE.choice(letters) for _ in range(count))


FAKE = {
    "github": "gh" + "p_" + some(36),
    "aws": "AK" + "IA" + some(16, string.ascii_uppercase),
    "pypi": "pypi" + "-AgEI" + some(80),
    "url": "postgres:/" + "/app:" + some(24) + "@db.internal/shop",
    "key": "-----BEGIN " + "RSA PRIVATE KEY-----\n" + some(64) + "\n" + some(64) + "\n-----END RSA PRIVATE KEY-----",
}


def heart(token: str) -> bytes:
    """The part that nobody may read again."""
    lines = token.splitlines()
    return (lines[1] if len(lines) > 1 else token)[8:40].encode()


def nowhere(govrun: Govrun, tree: Path, outcome: Outcome, token: str) -> None:
    """Not in the record (but for what lies in quarantine), in no message, in no note, in nothing that git keeps."""
    secret = heart(token)
    assert secret not in outcome.process.stderr and secret not in outcome.stdout
    assert secret not in note(govrun, tree).encode()
    for folder, names, files in os.walk(govrun.state):
        names[:] = [name for name in names if name != "quarantine"]
        for name in files:
            path = Path(folder) / name
            if path.is_file() and "quarantine" not in name:
                assert secret not in path.read_bytes(), path
    for words in (("log",), ("show",), ("why",), ("log", "--json"), ("show", "--json")):
        told = govrun.cli(*words, cwd=tree)
        assert secret not in told.stdout and secret not in told.process.stderr, words
    kept = govrun.bare("git", "cat-file", "--batch-all-objects", "--batch", cwd=tree)
    assert secret not in kept.stdout


@pytest.fixture
def shop(repo: Path, govrun: Govrun) -> Path:
    return tree_of(govrun, repo, PROFILE, {"src/conf.py": "A = 1\nB = 2\n"})


@pytest.mark.parametrize("name", FAKE)
@pytest.mark.parametrize("way", ["cat {given} >> {file}", "(cat {file}; cat {given}) > new.txt; mv new.txt {file}"])
def test_a_new_one_is_taken_back_and_told_nowhere(shop: Path, govrun: Govrun, name: str, way: str) -> None:
    given = shop.parent / "given"
    given.write_text(f'TOKEN = """{FAKE[name]}"""\n')
    outcome = govrun("bash", "-c", way.format(given=given, file="src/conf.py") + "; ls > /dev/null")
    assert (shop / "src/conf.py").read_text() == "A = 1\nB = 2\n", outcome.stderr
    assert heart(FAKE[name]) not in b"".join(p.read_bytes() for p in shop.rglob("*.*") if p.is_file())
    assert outcome.denied("no-tokens")[0]["adr"] == "0003" and len(outcome.denied("no-tokens")[0]["adr_blob"]) == 40
    assert "no-tokens" in outcome.stderr and "the vault" in outcome.stderr
    assert "no-tokens<-0003=" in note(govrun, shop)
    nowhere(govrun, shop, outcome, FAKE[name])


def test_the_message_names_place_and_form(shop: Path, govrun: Govrun) -> None:
    (shop.parent / "given").write_text(f"T = '{FAKE['github']}'\n")
    outcome = govrun("bash", "-c", f"cat {shop.parent}/given >> src/conf.py; ls > /dev/null")
    said = taken_back(outcome, "no-tokens", "src/conf.py")
    assert "src/conf.py" in said["message"] and "line 3" in said["message"] and "github-token" in said["message"]
    assert len(reverted(outcome)) == 1


def test_harmless_changes_pass(shop: Path, govrun: Govrun) -> None:
    text = "TOKEN = os.environ['TOKEN']\nEXAMPLE = 'gh" + f"p_{'x' * 36}'\n# AK" + "IA and so on\n"
    (shop.parent / "given").write_text(text)
    clean(govrun("bash", "-c", f"cat {shop.parent}/given >> src/conf.py; git commit -qam more; ls > /dev/null"))
    assert (shop / "src/conf.py").read_text().endswith(text)


def test_one_that_is_there_is_tolerated_also_where_its_line_goes(shop: Path, govrun: Govrun) -> None:
    old = f"T = '{FAKE['aws']}'\n"
    (shop / "src/conf.py").write_text(old + "A = 1\n")
    git(govrun, shop, "commit", "-qam", "legacy")
    clean(govrun("bash", "-c", "t=$(echo 'B = 2'; tac src/conf.py); echo \"$t\" > src/conf.py; ls > /dev/null"))
    assert (shop / "src/conf.py").read_text() == "B = 2\nA = 1\n" + old
    clean(govrun("bash", "-c", "git commit -qam moved; mv src/conf.py src/conf2.py; ls > /dev/null"))
    assert (shop / "src/conf2.py").exists()
    # In another file it is new.
    outcome = govrun("bash", "-c", "cp src/conf2.py src/copy.py; ls > /dev/null")
    assert not (shop / "src/copy.py").exists()
    taken_back(outcome, "no-tokens", "src/copy.py")


def test_it_is_not_committed_as_a_blob(shop: Path, govrun: Govrun) -> None:
    (shop.parent / "given").write_text(f"T = '{FAKE['github']}'\n")
    script = (
        "b=$(git hash-object -w --stdin < {given}) && git update-index --add --cacheinfo 100644,$b,src/t.py && "
        "git commit -qm x"
    )
    outcome = govrun("bash", "-c", script.format(given=shop.parent / "given"))
    assert outcome.code != 0 and outcome.denied("no-tokens"), outcome.stderr
    assert git(govrun, shop, "log", "-1", "--format=%s") == "tree\n"
    assert heart(FAKE["github"]) not in outcome.process.stderr


def test_patterns_of_its_own_and_what_it_allows(repo: Path, govrun: Govrun) -> None:
    more = f"patterns = ['ACME-[0-9]{{8}}']\nallow = ['{FAKE['aws']}']\n"
    tree_of(govrun, repo, PROFILE + more, {"src/conf.py": "A = 1\n"})
    outcome = govrun("bash", "-c", f"echo 'T = \"ACME-1234{4321 + 1000}\"' >> src/conf.py; ls > /dev/null")
    assert (repo / "src/conf.py").read_text() == "A = 1\n", outcome.stderr
    taken_back(outcome, "no-tokens", "src/conf.py")
    (repo.parent / "given").write_text(f"T = '{FAKE['aws']}'\n")
    clean(govrun("bash", "-c", f"cat {repo.parent}/given >> src/conf.py; ls > /dev/null"))
