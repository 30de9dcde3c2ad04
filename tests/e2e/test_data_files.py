"""What sqlite3 is asked to do to a file that a rule about data names, on its command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun

pytestmark = pytest.mark.needs("notify", "git", "sqlite3", landlock=2)

PROFILE = """version = 1
[[data]]
id = "shop"
adr = "0003"
paths = ["/data/*.db"]
deny = ["delete without where"]
examples = { denied = ["delete from t"], allowed = ["delete from t where a = 1"] }
"""
MADE = "create table t(a); insert into t values (1), (2);"


def shop(govrun: Govrun, repo: Path) -> None:
    tree_of(govrun, repo, PROFILE, {"data/README.md": "x\n"})
    govrun.bare("sqlite3", "data/shop.db", MADE, cwd=repo)


def count(govrun: Govrun, repo: Path, path: str = "data/shop.db") -> int:
    return int(govrun.bare("sqlite3", path, "select count(*) from t", cwd=repo).stdout)


def test_what_the_rule_allows(repo: Path, govrun: Govrun) -> None:
    shop(govrun, repo)
    clean(govrun("sqlite3", "data/shop.db", "delete from t where a = 1"))
    assert count(govrun, repo) == 1
    script = f'sqlite3 other.db "{MADE} delete from t" && sqlite3 :memory: "{MADE} delete from t"'
    clean(govrun("sh", "-c", script))
    assert count(govrun, repo, "other.db") == 0


@pytest.mark.parametrize(
    "script",
    [
        'sqlite3 data/shop.db "delete from t"',
        'cd data && sqlite3 ./shop.db "delete from t"',
        'ln -s data/shop.db link && sqlite3 link "delete from t"',
        'sqlite3 "file:$PWD/data/shop.db" "delete from t"',
        'echo "delete from t" > q.sql; sqlite3 data/shop.db < q.sql',
    ],
)
def test_what_it_denies(repo: Path, govrun: Govrun, script: str) -> None:
    shop(govrun, repo)
    outcome = govrun("sh", "-c", script)
    assert outcome.denied("shop")[0]["adr"] == "0003"
    assert "denied by shop" in outcome.stderr and "delete without where is denied" in outcome.stderr
    assert count(govrun, repo) == 2


def test_examples_are_asked(repo: Path, govrun: Govrun) -> None:
    tree_of(govrun, repo, PROFILE.replace("allowed = [", 'allowed = ["delete from t", '), {})
    outcome = govrun("touch", "started")
    assert outcome.code == 125 and "shop: 'delete from t'" in outcome.stderr
    assert not (repo / "started").exists()
