"""What `govrun show` says of every invariant: how firmly it holds, what it did, and what the run leaves of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import git, tree_of, until

if TYPE_CHECKING:
    from tests.conftest import Govrun, Record

RULES = """version = 1
[[dependency]]
id = "taken-back"
adr = "0003"
deny = ["pypi:requests"]

[[dependency]]
id = "let-be"
adr = "0003"
deny = ["pypi:flask"]
then = "warn"

[[command]]
id = "no-publish"
adr = "0003"
deny = ["publish"]

[[guardrail]]
id = "lines"
adr = "0003"
per = "run"
max = { deleted_lines = 2 }
then = "deny"
"""
TRY = """
[[contract]]
id = "publish-refused"
proves = ["no-publish"]
when = "start"
try = { exec = "twine upload dist/x.whl" }
expect = "refused"
"""
FILES = {"src/app.py": "A = 1\n", "src/long.py": "A\n" * 9}


def rows(govrun: Govrun) -> dict[str, Record]:
    told = json.loads(govrun.cli("show", "--json").stdout)
    return {each["invariant"]: each for each in told["invariants"]}


def test_every_invariant_in_force_has_a_line(repo: Path, govrun: Govrun) -> None:
    tree_of(govrun, repo, RULES + TRY, FILES)
    script = "echo import requests > src/new.py; ls > /dev/null; echo import flask > src/other.py"
    script += "; python3 -m twine upload x; true"
    outcome = govrun("bash", "-c", script)
    assert outcome.code == 0, outcome.stderr
    explained = json.loads(govrun.cli("explain", "--json").ok().stdout)["invariants"]
    found = rows(govrun)
    assert {each: row["coverage"] for each, row in found.items()} == {
        each["invariant"]: each["coverage"] for each in explained
    }
    counts = {name: [found[name][each] for each in ("judged", "blocked", "reverted")] for name in found}
    assert (counts["taken-back"], counts["no-publish"], counts["scope.env"]) == ([1, 0, 1], [1, 1, 0], [0, 0, 0])
    states = {name: row["state"] for name, row in found.items()}
    assert states["taken-back"] == "unproved"  # it was held this time, and nothing shows more than that
    assert states["let-be"] == "violated" and (repo / "src/other.py").exists()
    assert states["no-publish"] == states["publish-refused"] == "held"
    assert found["no-publish"]["contracts"] == {"publish-refused": "passed"}
    assert states["scope.env"] == states["govrun.state"] == "held"
    assert states["scope.write"] == "unproved"
    text = govrun.cli("show").ok().stdout.decode()
    assert "violated let-be: judged 1, warned 1 (observed, 0003)\n" in text
    assert "held     no-publish: judged 1, blocked 1, contract publish-refused passed (supervised, 0003)\n" in text
    assert "held     scope.env (enforced" in text
    # The record in the repository says the same.
    ref = git(govrun, repo, "for-each-ref", "--format=%(refname)", "refs/govrun/runs").split()[-1]
    last = json.loads(git(govrun, repo, "show", f"{ref}:events/000000.jsonl").splitlines()[-1])
    assert last["kind"] == "run.end" and last["op"]["invariants"]["let-be"]["state"] == "violated"


def test_what_others_did_stands(repo: Path, govrun: Govrun) -> None:
    tree_of(govrun, repo, RULES, FILES)
    running = govrun.start("bash", "-c", "touch src/ready; until test -e src/go; do sleep 0.05; done; true")
    until((repo / "src/ready").exists, running)
    (repo / "src/app.py").write_text("import requests\n")
    (repo / "src/go").touch()
    assert running.wait().code == 0
    assert rows(govrun)["taken-back"]["state"] == "violated"
    assert (repo / "src/app.py").read_text() == "import requests\n"


def test_a_ceiling_that_was_crossed_stands(repo: Path, govrun: Govrun) -> None:
    tree_of(govrun, repo, RULES.replace('then = "deny"', 'then = "warn"'), FILES)
    assert govrun("bash", "-c", "echo > src/long.py; ls > /dev/null").code == 0
    assert rows(govrun)["lines"]["state"] == "violated"


def test_an_attempt_that_shows_nothing_holds_nothing(repo: Path, govrun: Govrun) -> None:
    """It is refused without the rule too."""
    again = '\n[[command]]\nid = "no-publish-either"\nadr = "0003"\ndeny = ["publish"]\n'
    tree_of(govrun, repo, RULES + again + TRY, FILES)
    outcome = govrun("true")
    assert outcome.code == 0
    assert "govrun: contract publish-refused (govrun.toml:" in outcome.stderr and "proves nothing" in outcome.stderr
    assert rows(govrun)["no-publish"]["state"] == "unproved"


@pytest.mark.parametrize(("change", "state"), [("true", "held"), ("echo B = 1 >> src/app.py", "unproved")])
def test_a_command_of_the_start_shows_the_tree_of_the_start(
    repo: Path, govrun: Govrun, change: str, state: str
) -> None:
    proved = '\n[[contract]]\nid = "c"\nproves = ["taken-back"]\nwhen = "start"\nrun = ["test", "-d", "src"]\n'
    tree_of(govrun, repo, RULES + proved, FILES)
    assert govrun("bash", "-c", change).code == 0
    assert rows(govrun)["taken-back"]["state"] == state


def test_while_a_run_goes_on_nothing_is_held_yet(repo: Path, govrun: Govrun) -> None:
    tree_of(govrun, repo, RULES + TRY, FILES)
    running = govrun.start("bash", "-c", "touch src/ready; until test -e src/go; do sleep 0.05; done")
    until((repo / "src/ready").exists, running)
    states = {name: (row["state"], row["coverage"]) for name, row in rows(govrun).items()}
    (repo / "src/go").touch()
    running.wait()
    assert {state for state, _ in states.values()} == {"unproved"}
    assert states["scope.env"][1] == "enforced" and states["no-publish"][1] == "supervised"
