"""``[[remediation]]`` in real runs: attempts, chains, what a fix may touch, and what is told of them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.rule_kit import clean, note, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

PROFILE = """version = 1
[[dependency]]
id = "one-http-client"
why = "one client"
deny = ["pypi:requests"]

[[boundary]]
id = "inner"
why = "the domain knows nothing of the database"
deny = ["shop/domain/** -> shop/db/**"]

[[remediation]]
id = "honest-fixes"
adr = "0003"
use = "say that it cannot be fixed"
fixers = ["fixit --fix"]
attempts = 3
must = ["only-named-files"]
never_edit = ["tests/**"]
"""
FILES = {
    "shop/__init__.py": "", "shop/db/__init__.py": "", "shop/db/rows.py": "ROWS = 1\n", "shop/domain/__init__.py": "",
    "shop/domain/order.py": "import os\n", "shop/web.py": "import os\n", "tests/test_order.py": "def test(): pass\n",
    "fixit": "#!/bin/sh\nexit 0\n",
}  # fmt: skip
BAD = "echo import requests >> {}"
SETTLE = "ls > /dev/null"


@pytest.fixture
def shop(repo: Path, govrun: Govrun) -> Path:
    tree_of(govrun, repo, PROFILE, FILES)
    (repo / "fixit").chmod(0o755)
    return repo


def lines(*words: str) -> tuple[str, str, str]:
    """A script that does each in an action of its own."""
    return "bash", "-c", "\n".join(f"bash -c {shlex.quote(each)}\n{SETTLE}" for each in words)


def episodes(outcome: Outcome) -> list[dict[str, Any]]:
    found = [each["op"] for each in outcome.records(kind="state") if each["op"].get("call") == "episode"]
    assert all(each["outcome"] in ("fixed", "exhausted", "abandoned", "superseded") for each in found)
    assert outcome.journal[-1]["kind"] == "run.end"
    return found


def shown(govrun: Govrun) -> tuple[str, list[dict[str, Any]]]:
    text = govrun.cli("show", "--remediation").ok().stdout.decode()
    return text, json.loads(govrun.cli("show", "--remediation", "--json").ok().stdout)["episodes"]


def test_a_harmless_run_has_no_episodes(shop: Path, govrun: Govrun) -> None:
    edits = ("./fixit --fix", "echo x = 1 >> shop/web.py", "echo >> tests/test_order.py", "git commit -qam x")
    clean(govrun(*lines(*edits)))
    assert " 3 remediation reverts=0 kills=0 episodes=0/0/0/0\n" in note(govrun, shop)
    text, told = shown(govrun)
    assert "no episodes" in text and told == []


def test_without_a_rule_there_is_nothing_to_count(repo: Path, govrun: Govrun) -> None:
    tree_of(govrun, repo, PROFILE[: PROFILE.index("[[remediation]]")], FILES)
    outcome = govrun(*lines(BAD.format("shop/web.py")))
    assert episodes(outcome) == []
    assert " episodes=-\n" in note(govrun, repo)


@pytest.mark.parametrize("fix", ["echo import httpx >> shop/web.py", "sed -i '$a import httpx' shop/web.py"])
def test_what_is_put_right_is_fixed(shop: Path, govrun: Govrun, fix: str) -> None:
    outcome = govrun(*lines(BAD.format("shop/web.py"), fix, "git commit -qam fixed"))
    (one,) = episodes(outcome)
    assert one["invariant"] == "one-http-client" and one["subject"] == {"sort": "path", "name": "shop/web.py"}
    assert one["outcome"] == "fixed" and one["attempts"] == 1 and one["parent"] == ""
    assert one["opened"] < outcome.records(kind="state")[0]["seq"]
    assert [gate["result"] for gate in one["gates"]] == ["passed"]
    assert " 3 remediation reverts=1 kills=0 episodes=1/0/0/0\n" in note(govrun, shop)


def test_fix_break_fix_is_a_chain(shop: Path, govrun: Govrun) -> None:
    script = (
        BAD.format("shop/domain/order.py"),
        # The fix of the one breaks the other …
        "echo 'from shop.db import rows' > shop/domain/order.py",
        # … and the next one puts both right.
        "echo 'import httpx' > shop/domain/order.py",
        "git commit -qam done",
    )
    outcome = govrun(*lines(*script))
    assert (shop / "shop/domain/order.py").read_text() == "import httpx\n", outcome.stderr
    found = {each["invariant"]: each for each in episodes(outcome)}
    assert found.keys() == {"one-http-client", "inner"}, found
    first, second = found["one-http-client"], found["inner"]
    assert first["parent"] == "" and second["parent"] == first["episode"]
    assert first["outcome"] == second["outcome"] == "fixed"
    assert first["attempts"] == 2 and second["attempts"] == 1
    assert [gate["result"] for gate in first["gates"]][-1] == "passed"
    assert first["from"] and first["to"] and first["from"] != first["to"]
    assert " episodes=2/0/0/0\n" in note(govrun, shop)
    text, told = shown(govrun)
    assert [each["episode"] for each in told] == [first["episode"], second["episode"]]
    page = text.splitlines()
    assert page[1].startswith(f"{first['episode']} one-http-client: shop/domain/order.py: fixed, 2 attempts (record ")
    (below,) = (line for line in page if line.startswith(f"  {second['episode']} inner: shop/domain/order.py: fixed"))
    assert f"1 attempt after {first['episode']}" in below
    assert f"  state {first['from'][:12]} -> {first['to'][:12]}" in text and text.count("  gate  action ") == 3


def test_a_fixer_that_does_nothing_counts(shop: Path, govrun: Govrun) -> None:
    outcome = govrun(*lines(BAD.format("shop/web.py"), *["./fixit --fix || echo no"] * 5))
    assert outcome.stdout == b"no\nno\n", outcome.stderr
    (one,) = episodes(outcome)
    assert one["outcome"] == "exhausted" and one["attempts"] == 3
    assert all("fixit --fix" in gate["command"] for gate in one["gates"])
    refused = outcome.denied("honest-fixes")
    assert [each["kind"] for each in refused] == ["exec", "exec"]
    assert refused[0]["adr"] == "0003" and len(refused[0]["adr_blob"]) == 40
    assert "3 attempts have not put shop/web.py right" in outcome.stderr
    assert "say that it cannot be fixed" in outcome.stderr
    told = note(govrun, shop)
    assert " episodes=0/1/0/0\n" in told and "honest-fixes<-0003=2" in told


def test_no_more_attempts_on_the_file(shop: Path, govrun: Govrun) -> None:
    outcome = govrun(*lines(*[BAD.format("shop/web.py") + " || echo no"] * 6))
    assert outcome.stdout == b"" or b"no" in outcome.stdout
    assert (shop / "shop/web.py").read_text() == "import os\n"
    refused = outcome.denied("honest-fixes")
    assert refused and all(each["outcome"] == "blocked" for each in refused), outcome.stderr
    (one,) = episodes(outcome)
    assert one["outcome"] == "exhausted" and one["attempts"] == 3


def test_a_test_is_not_edited_while_something_waits_to_be_fixed(shop: Path, govrun: Govrun) -> None:
    before = (shop / "tests/test_order.py").read_text()
    edits = ("echo >> tests/test_order.py", "rm -f tests/test_order.py", "mv tests old", "sed -i d tests/test_order.py")
    outcome = govrun(*lines(BAD.format("shop/web.py"), *edits))
    assert (shop / "tests/test_order.py").read_text() == before, outcome.stderr
    assert len(outcome.denied("honest-fixes")) >= 4
    assert "tests/test_order.py may not be changed while shop/web.py" in outcome.stderr
    after = ("echo import httpx >> shop/web.py", "echo >> tests/test_order.py")
    outcome = govrun(*lines(BAD.format("shop/web.py"), *after))
    assert not outcome.denied("honest-fixes"), outcome.stderr
    assert (shop / "tests/test_order.py").read_text() == before + "\n"


def test_a_fix_touches_what_was_named(shop: Path, govrun: Govrun) -> None:
    (shop / "fixit").write_text("#!/bin/sh\necho x > shop/other.py\necho import httpx > shop/web.py\n")
    outcome = govrun(*lines(BAD.format("shop/web.py"), "./fixit --fix"))
    assert (shop / "shop/web.py").read_text() == "import httpx\n"
    assert not (shop / "shop/other.py").exists(), outcome.stderr
    (refused,) = outcome.denied("honest-fixes")
    assert "shop/other.py is no part of the fix of shop/web.py" in refused["message"]
    clean(govrun(*lines("./fixit --fix")))
    assert (shop / "shop/other.py").exists()


def test_refusals_of_other_sorts_are_episodes_too(shop: Path, govrun: Govrun) -> None:
    install = "pip install requests 2> /dev/null || true"
    outcome = govrun(*lines(install, install))
    (one,) = episodes(outcome)
    assert one["subject"]["sort"] == "command" and "pip install requests" in one["subject"]["name"]
    assert one["outcome"] == "abandoned" and one["attempts"] == 1
    assert " episodes=0/0/1/0\n" in note(govrun, shop)
