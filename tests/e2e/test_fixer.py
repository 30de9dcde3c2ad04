"""A fixer that govrun starts itself: inside the run, judged and counted like any other attempt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.journal import schema
from tests.e2e.rule_kit import git, note, tree_of
from tests.e2e.test_remediation import BAD, FILES, PROFILE, episodes, lines, shown

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

FIXER = PROFILE.replace('fixers = ["fixit --fix"]', 'fixer = ["./fixit", "--all"]')
# What the program is told is kept outside the tree, so that it is no change.
HEAD = "#!/usr/bin/python3\nimport json, os, subprocess, sys\ntold = json.load(sys.stdin)\n"
HARMLESS = """
open(told["path"], "w").write(told["rejected"].replace("requests", "httpx"))
print("fixed", told["path"])
"""
NOTHING = """
print("nothing to do")
"""
BREAKS = """
other = "import httpx" if told["invariant"] == "inner" else "from shop.db import rows"
open(told["path"], "w").write(other + "\\n")
"""
WEAKENS = """
try:
    open("tests/test_order.py", "w").write("weak")
except OSError as error:
    print("refused:", error.strerror)
"""
ORDER, WEB = "shop/domain/order.py", "shop/web.py"


@pytest.fixture
def shop(repo: Path, govrun: Govrun) -> Path:
    return tree_of(govrun, repo, FIXER, FILES)


def fixer(govrun: Govrun, shop: Path, text: str) -> None:
    (shop / "fixit").write_text(HEAD + text)
    (shop / "fixit").chmod(0o755)
    git(govrun, shop, "commit", "-qam", "fixer")


def tries(outcome: Outcome) -> list[dict[str, Any]]:
    return [each["op"] for each in outcome.records(kind="state") if each["op"].get("call") == "fixer"]


def test_a_fixer_fixes(shop: Path, govrun: Govrun) -> None:
    fixer(govrun, shop, HARMLESS)
    outcome = govrun(*lines(BAD.format(WEB)))
    assert (shop / WEB).read_text() == "import os\nimport httpx\n", outcome.stderr
    (one,) = episodes(outcome)
    assert one["outcome"] == "fixed" and one["attempts"] == 1
    assert one["gates"][0]["fixer"] is True and one["gates"][0]["result"] == "passed"
    (tried,) = tries(outcome)
    assert tried["episode"] == one["episode"] and tried["attempts"] == 1 and tried["exit"] == 0
    assert tried["argv"] == ["./fixit", "--all"] and tried["output"] == f"fixed {WEB}\n"
    assert f"govrun: fixer ./fixit: {WEB}: attempt 1 of 3: fixed" in outcome.stderr
    assert " episodes=1/0/0/0\n" in note(govrun, shop)
    assert outcome.code == 0 and f"fixed {WEB}".encode() not in outcome.stdout
    started = [each for each in outcome.records(kind="exec", phase="intent") if "./fixit" in each["op"].get("argv", ())]
    assert started, "it is judged like any other program"
    assert [problem for record in outcome.journal for problem in schema.problems(record)] == []
    text, _ = shown(govrun)
    assert "fixit --all (fixer, exit 0)" in text and "one-http-client passed" in text


def test_what_a_fixer_is_told(shop: Path, govrun: Govrun) -> None:
    more = "{'cwd': os.getcwd(), 'secret': os.environ.get('AWS_SECRET_ACCESS_KEY')}"
    fixer(govrun, shop, f"print(json.dumps(told | {more}))\n")
    outcome = govrun(*lines(BAD.format(WEB)), env={"AWS_SECRET_ACCESS_KEY": "not a real one"})
    told = json.loads(tries(outcome)[0]["output"])
    (one,) = episodes(outcome)
    assert told["episode"] == one["episode"] and told["attempt"] == 1 and told["run"] in outcome.stderr
    assert (told["invariant"], told["kind"], told["why"]) == ("one-http-client", "dependency", "one client")
    assert told["path"] == WEB and told["rejected"] == "import os\nimport requests\n" and told["line"] == 2
    assert "imports requests" in told["message"]
    assert told["cwd"] == str(shop) and told["secret"] is None


def test_a_fixer_that_does_nothing_is_counted_and_stops(shop: Path, govrun: Govrun) -> None:
    fixer(govrun, shop, NOTHING)
    outcome = govrun(*lines(BAD.format(WEB)))
    assert (shop / WEB).read_text() == "import os\n"
    (one,) = episodes(outcome)
    assert one["outcome"] == "exhausted" and one["attempts"] == 3, outcome.stderr
    assert [each["result"] for each in one["gates"]] == ["none"] * 3
    assert [each["attempts"] for each in tries(outcome)] == [1, 2, 3]
    assert "attempt 3 of 3: not put right, and given up" in outcome.stderr
    assert " episodes=0/1/0/0\n" in note(govrun, shop)
    text, _ = shown(govrun)
    assert text.count("fixit --all (fixer, exit 0)") == 3


def test_without_attempts_it_is_started_once_for_a_refusal(repo: Path, govrun: Govrun) -> None:
    shop = tree_of(govrun, repo, FIXER.replace("attempts = 3\n", ""), FILES)
    fixer(govrun, shop, NOTHING)
    outcome = govrun(*lines(BAD.format(WEB)))
    assert len(tries(outcome)) == 1 and episodes(outcome)[0]["outcome"] == "abandoned", outcome.stderr


def test_a_fixer_that_breaks_something_else_is_a_chain(shop: Path, govrun: Govrun) -> None:
    fixer(govrun, shop, BREAKS)
    outcome = govrun(*lines(BAD.format(ORDER)))
    assert (shop / ORDER).read_text() == "import httpx\n", outcome.stderr
    found = {each["invariant"]: each for each in episodes(outcome)}
    first, second = found["one-http-client"], found["inner"]
    assert first["parent"] == "" and second["parent"] == first["episode"]
    assert first["outcome"] == second["outcome"] == "fixed"
    text, _ = shown(govrun)
    page = text.splitlines()
    assert page[1].startswith(f"{first['episode']} one-http-client: {ORDER}: fixed")
    assert any(line.startswith(f"  {second['episode']} inner: {ORDER}: fixed, 1 attempt after") for line in page), text
    assert " episodes=2/0/0/0\n" in note(govrun, shop)


def test_a_fixer_does_not_weaken_the_test(shop: Path, govrun: Govrun) -> None:
    fixer(govrun, shop, WEAKENS)
    outcome = govrun(*lines(BAD.format(WEB)))
    assert (shop / "tests/test_order.py").read_text() == FILES["tests/test_order.py"], outcome.stderr
    refused = outcome.denied("honest-fixes")
    assert len(refused) == 3 and all(each["adr"] == "0003" for each in refused)
    first = tries(outcome)[0]
    assert "refused: Permission denied" in first["output"]
    assert "govrun: denied by honest-fixes" in first["output"]  # told where the fixer reads it
    assert episodes(outcome)[0]["outcome"] == "exhausted"


def test_a_fixer_touches_what_was_named_alone(shop: Path, govrun: Govrun) -> None:
    fixer(govrun, shop, HARMLESS + "subprocess.run(['touch', 'shop/other.py'])\n")
    outcome = govrun(*lines(BAD.format(WEB)))
    assert (shop / WEB).read_text() == "import os\nimport httpx\n"
    assert not (shop / "shop/other.py").exists(), outcome.stderr
    assert "shop/other.py is no part of the fix" in tries(outcome)[0]["output"]


@pytest.mark.parametrize(("scope", "said"), [('commands = ["bash", "ls"]', "Permission denied"), ("", "No such file")])
def test_a_fixer_that_cannot_start_is_counted(repo: Path, govrun: Govrun, scope: str, said: str) -> None:
    shop = tree_of(govrun, repo, FIXER.replace("version = 1\n", f"version = 1\n[scope]\n{scope}\n"), FILES)
    (shop / "fixit").unlink() if not scope else (shop / "fixit").chmod(0o755)
    outcome = govrun(*lines(BAD.format(WEB)))
    assert [each["exit"] for each in tries(outcome)] == [127] * 3, outcome.stderr
    assert said in tries(outcome)[0]["output"]
    one = next(each for each in episodes(outcome) if each["subject"]["sort"] == "path")
    assert one["outcome"] == "exhausted" and one["attempts"] == 3


def test_the_agent_may_end_who_starts_fixers_and_gains_nothing(shop: Path, govrun: Govrun) -> None:
    fixer(govrun, shop, HARMLESS)
    kill = "import os, subprocess\nfor each in os.listdir('/proc'):\n    if each.isdigit():\n        try:\n"
    kill += "            if b'waiter' b'.py' in open(f'/proc/{each}/cmdline', 'rb').read(): os.kill(int(each), 9)\n"
    kill += "        except OSError: pass\n"
    kill += f"subprocess.run(['bash', '-c', {BAD.format(WEB)!r}]); subprocess.run(['ls'])\n"
    outcome = govrun("python3", "-c", kill)
    assert (shop / WEB).read_text() == "import os\n"
    assert "no fixer can be started any more" in outcome.stderr and outcome.records(kind="gap")
    assert tries(outcome) == [] and episodes(outcome)[0]["outcome"] == "abandoned"


def test_who_starts_fixers_holds_no_credentials(shop: Path, govrun: Govrun) -> None:
    look = "import os\nfor each in os.listdir('/proc'):\n    try:\n"
    look += "        line = open(f'/proc/{each}/cmdline', 'rb').read()\n"
    look += "        if b'waiter' b'.py' in line: print('seen', open(f'/proc/{each}/environ', 'rb').read())\n"
    look += "    except OSError: pass\n"
    outcome = govrun("python3", "-c", look, env={"AWS_SECRET_ACCESS_KEY": "not-a-real-one"})
    assert b"seen" in outcome.stdout and b"not-a-real-one" not in outcome.stdout, outcome.stderr
