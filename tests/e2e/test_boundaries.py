"""``[[boundary]]``: what may not be imported is taken back on every way into the tree, in five languages."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

import email
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.e2e.rule_kit import clean, git, note, reverted, taken_back, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun

HEAD = 'version = 1\n[[boundary]]\nid = "inner"\nadr = "0003"\nuse = "a port of the domain"\n'


class Language(NamedTuple):
    """``bad``: a line of ``file`` that reaches from the domain to the database; ``good``: one that does not."""

    deny: str
    files: dict[str, str]
    file: str
    bad: str
    good: str
    other: str  # a file in which ``bad`` breaks nothing


LANGUAGES = {
    "python": Language(
        "shop/domain/** -> shop/db/**",
        {"shop/__init__.py": "", "shop/db/__init__.py": "", "shop/db/rows.py": "ROWS = 1\n", "shop/domain/__init__.py": "",
         "shop/domain/order.py": "import os\n", "shop/web/__init__.py": "", "shop/web/page.py": "import os\n"},
        "shop/domain/order.py", "from shop.db import rows", "import json", "shop/web/page.py",
    ),
    "typescript": Language(
        "src/domain/** -> src/db/**",
        {"package.json": '{"name": "shop"}\n', "tsconfig.json": '{"compilerOptions": {"baseUrl": "."}}\n',
         "src/db/rows.ts": "export const rows = 1;\n", "src/domain/order.ts": "export const order = 1;\n",
         "src/web/page.ts": "export const page = 1;\n", "src/domain/money.ts": "export const money = 1;\n"},
        "src/domain/order.ts", 'import { rows } from "../db/rows";', 'import { money } from "./money";', "src/web/page.ts",
    ),
    "go": Language(
        "internal/domain/** -> internal/db/**",
        {"go.mod": "module example.com/shop\n\ngo 1.21\n", "internal/db/rows.go": "package db\n",
         "internal/domain/order.go": "package domain\n", "internal/web/page.go": "package web\n",
         "internal/money/money.go": "package money\n"},
        "internal/domain/order.go", 'import _ "example.com/shop/internal/db"', 'import _ "example.com/shop/internal/money"',
        "internal/web/page.go",
    ),
    "rust": Language(
        "src/domain/** -> src/db/**",
        {"Cargo.toml": '[package]\nname = "shop"\nversion = "0.1.0"\nedition = "2021"\n',
         "src/lib.rs": "mod db;\nmod domain;\nmod web;\n", "src/db/mod.rs": "pub mod rows;\n", "src/db/rows.rs": "pub const N: u8 = 1;\n",
         "src/domain/mod.rs": "pub mod order;\npub mod money;\n", "src/domain/order.rs": "pub const N: u8 = 1;\n",
         "src/domain/money.rs": "pub const N: u8 = 1;\n", "src/web/mod.rs": "pub const N: u8 = 1;\n"},
        "src/domain/order.rs", "use crate::db::rows;", "use crate::domain::money;", "src/web/mod.rs",
    ),
    "java": Language(
        "**/domain/** -> **/db/**",
        {"pom.xml": "<project/>\n", "src/main/java/shop/db/Rows.java": "package shop.db;\npublic class Rows {}\n",
         "src/main/java/shop/domain/Order.java": "package shop.domain;\n", "src/main/java/shop/web/Page.java": "package shop.web;\n",
         "src/main/java/shop/domain/Money.java": "package shop.domain;\npublic class Money {}\n"},
        "src/main/java/shop/domain/Order.java", "import shop.db.Rows;", "import shop.domain.Money;", "src/main/java/shop/web/Page.java",
    ),
}  # fmt: skip
WAYS = {
    "redirection": "cp {file} copy.txt; (cat copy.txt; cat line) > {file}",
    "appended": "cat line >> {file}",
    "sed -i": "sed -i '$r line' {file}",
    "renamed into place": "python3 -c \"import os; t = open('{file}').read() + open('line').read(); open('{file}~', 'w').write(t); os.replace('{file}~', '{file}')\"",
    "git apply": "git apply patch",
}


def made(govrun: Govrun, repo: Path, name: str, more: str = "") -> Language:
    """The tree of a language; ``line`` holds the violation and ``patch`` adds it."""
    chosen = LANGUAGES[name]
    profile = f'{HEAD}deny = ["{chosen.deny}"]\n{more}'
    file = repo / chosen.file
    tree_of(govrun, repo, profile, {**chosen.files, "line": chosen.bad + "\n", "patch": ""})
    was = file.read_text()
    file.write_text(was + chosen.bad + "\n")
    (repo / "patch").write_text(git(govrun, repo, "diff", chosen.file))
    file.write_text(was)
    git(govrun, repo, "commit", "-qam", "patch")
    return chosen


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LANGUAGES)
def test_a_planted_import_is_taken_back(repo: Path, govrun: Govrun, name: str, way: str) -> None:
    chosen = made(govrun, repo, name)
    outcome = govrun("bash", "-c", WAYS[way].format(file=chosen.file) + "; ls > /dev/null")
    assert (repo / chosen.file).read_text() == chosen.files[chosen.file], outcome.stderr
    said = taken_back(outcome, "inner", chosen.file)
    assert "a port of the domain" in outcome.stderr
    assert said["source"] == "govrun.toml:2"
    assert " 4 decision inner<-0003=" in note(govrun, repo), note(govrun, repo)


@pytest.mark.parametrize("name", LANGUAGES)
def test_other_imports_pass(repo: Path, govrun: Govrun, name: str) -> None:
    chosen = made(govrun, repo, name)
    script = f"echo '{chosen.good}' >> {chosen.file}; cat line >> {chosen.other}; git commit -qam good; ls > /dev/null"
    clean(govrun("bash", "-c", script))
    assert chosen.bad in (repo / chosen.other).read_text() and chosen.good in (repo / chosen.file).read_text()
    assert " PASSED " in note(govrun, repo)


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("key", ["except", "only_via"])
def test_files_that_may(repo: Path, govrun: Govrun, name: str, key: str) -> None:
    chosen = made(govrun, repo, name, f'{key} = ["{LANGUAGES[name].file}"]\n')
    clean(govrun("bash", "-c", f"cat line >> {chosen.file}; ls > /dev/null"))
    assert chosen.bad in (repo / chosen.file).read_text()
    suffix = Path(chosen.file).suffix
    beside = str(Path(chosen.file).with_name("Beside" + suffix))
    outcome = govrun("bash", "-c", f"(cat {chosen.file}; cat line) > {beside}; ls > /dev/null")
    assert not (repo / beside).exists(), outcome.stderr
    taken_back(outcome, "inner", beside)


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_blob_that_never_was_a_file_is_not_committed(repo: Path, govrun: Govrun, name: str) -> None:
    chosen = made(govrun, repo, name)
    before = git(govrun, repo, "rev-parse", "HEAD")
    script = (
        f"b=$(cat {chosen.file} line | git hash-object -w --stdin) && "
        f"git update-index --cacheinfo 100644,$b,{chosen.file} && git commit -qm hidden"
    )
    outcome = govrun("bash", "-c", script)
    assert outcome.code != 0
    assert git(govrun, repo, "rev-parse", "HEAD") == before
    refused = outcome.denied("inner")
    assert refused and refused[0]["adr"] == "0003", outcome.stderr
    assert "inner" in outcome.stderr and chosen.file in outcome.stderr
    assert "inner<-0003=" in note(govrun, repo)
    clean(govrun("bash", "-c", f"git reset -q --hard; echo '{chosen.good}' >> {chosen.file}; git commit -qam good"))


@pytest.mark.parametrize("name", LANGUAGES)
def test_what_the_base_holds_is_tolerated_and_moved_code_is_judged_where_it_goes(
    repo: Path, govrun: Govrun, name: str
) -> None:
    chosen = made(govrun, repo, name)
    with (repo / chosen.file).open("a") as file:
        file.write(chosen.bad + "\n")
    git(govrun, repo, "commit", "-qam", "legacy")
    with_bad = (repo / chosen.file).read_text()
    clean(govrun("bash", "-c", f"echo >> {chosen.file}; git commit -qam more; ls > /dev/null"))
    assert (repo / chosen.file).read_text() == with_bad + "\n"
    # The same text comes to lie in the domain under another name: it is new there.
    place = str(Path(chosen.file).with_name("Moved" + Path(chosen.file).suffix))
    git(govrun, repo, "mv", chosen.file, "kept.txt")
    git(govrun, repo, "commit", "-qm", "away")
    outcome = govrun("bash", "-c", f"mv kept.txt {place}; ls > /dev/null")
    assert not (repo / place).exists(), outcome.stderr
    assert "inner" in outcome.stderr and outcome.denied("inner")


@pytest.mark.parametrize(
    ("name", "half"),
    [
        ("python", "def f(:\n    from shop.d"),
        ("typescript", 'import { rows } from "../d'),
        ("go", 'import _ "example.com/shop/internal/d'),
        ("rust", "use crate::d"),
        ("java", "import shop.d"),
    ],
)
def test_half_written_files_give_no_verdict(repo: Path, govrun: Govrun, name: str, half: str) -> None:
    chosen = made(govrun, repo, name)
    (repo / "half.txt").write_text(half)
    clean(govrun("bash", "-c", f"cat half.txt >> {chosen.file}; ls > /dev/null; cp {chosen.file} kept.txt"))
    assert (repo / chosen.file).read_text().endswith(half)


EDITS = """
import pathlib, sys
files = sorted(pathlib.Path("email").rglob("*.py"))
for number in range(200):
    file = files[number % len(files)]
    text = file.read_text()
    if number % 3 == 0:
        file.write_text(text + f"\\n\\ndef added_{number}() -> int:\\n    return {number}\\n")
    elif number % 3 == 1:
        file.write_text("import json  # added\\n" * ("from __future__" not in text) + text)
    else:
        whole = file.with_name("~" + file.name)
        whole.write_text(text.replace("\\n\\n\\n", "\\n\\n# edited\\n\\n", 1))
        whole.replace(file)
import subprocess
subprocess.run(["git", "commit", "-qam", "edits"], check=True)
"""


def test_ordinary_edits_of_a_real_package(repo: Path, govrun: Govrun) -> None:
    shutil.copytree(Path(email.__file__).parent, repo / "email", ignore=shutil.ignore_patterns("__pycache__"))
    profile = f'{HEAD}layers = ["email/mime/**", "email/*"]\n'
    tree_of(govrun, repo, profile, {"edit.txt": EDITS})
    clean(govrun("python3", "-B", "edit.txt", timeout=120))
    assert git(govrun, repo, "status", "--porcelain") == ""
    assert git(govrun, repo, "diff", "--stat", "HEAD~1").count("email/") >= 20
    outcome = govrun("bash", "-c", "echo 'from email.mime import text' >> email/charset.py; ls > /dev/null")
    taken_back(outcome, "inner", "email/charset.py")
    assert len(reverted(outcome)) == 1
