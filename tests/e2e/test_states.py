"""The states of a tree: tree to tree through a run, from run to run, and line by line of a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e import rule_kit

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

STEPS = "echo 1 > a; ls > /dev/null; echo 2 >> a; mkdir d; echo x > d/x; mv README.md d/README; rm src/app.py"


def git(govrun: Govrun, tree: Path, *words: str) -> str:
    return rule_kit.git(govrun, tree, *words).strip()


def lineage(govrun: Govrun, run: str = "latest") -> list[dict[str, Any]]:
    told = govrun.cli("lineage", run, "--json").ok().stdout
    return [json.loads(line) for line in told.splitlines()]


def states(govrun: Govrun) -> str:
    (found,) = (govrun.state / "trees").glob("*/states.git")
    return f"--git-dir={found}"


def tree_now(govrun: Govrun, tree: Path) -> str:
    """What git itself makes of the tree, in an index of its own."""
    env = govrun.env | {"GIT_INDEX_FILE": str(tree.parent / "index")}
    subprocess.run(["git", "add", "-A"], cwd=tree, check=True, env=env)
    made = subprocess.run(["git", "write-tree"], cwd=tree, check=True, env=env, capture_output=True, text=True)
    (tree.parent / "index").unlink()
    return made.stdout.strip()


def test_every_state_is_a_tree_and_none_is_left_out(govrun: Govrun, repo: Path) -> None:
    before = tree_now(govrun, repo)
    ran = govrun("bash", "-c", STEPS).ok()
    first, *steps = lineage(govrun)
    assert (first["why"], first["pre"], first["post"]) == ("first", "", before)
    assert [each["pre"] for each in steps] == [first["post"], *(each["post"] for each in steps[:-1])]
    assert steps[-1]["post"] == tree_now(govrun, repo)
    assert steps[-1]["upto"] <= len(ran.journal)
    causes = [words for each in steps for words in each["causes"]]
    assert ["mv", "README.md", "d/README"] in causes
    assert ["rm", "src/app.py"] in causes
    shown = git(govrun, repo, states(govrun), "diff", "--name-status", "-M100%", before, steps[-1]["post"]).splitlines()
    assert "R100\tREADME.md\td/README" in shown
    assert "D\tsrc/app.py" in shown
    noted = git(govrun, repo, "notes", "--ref", "govrun", "show", "HEAD")
    assert f" transitions={len(steps)} " in noted
    record = git(govrun, repo, "show", f"refs/govrun/runs/{ran.run[-2:]}/{ran.run}:lineage.jsonl")
    assert [json.loads(line)["post"] for line in record.splitlines()] == [first["post"], *(s["post"] for s in steps)]
    assert govrun.cli("verify", ran.run).code == 0


def test_what_changes_between_two_runs_is_a_transition_of_its_own(govrun: Govrun, repo: Path) -> None:
    one = govrun("bash", "-c", "echo 1 > a").ok()
    left = lineage(govrun)[-1]["post"]
    (repo / "a").write_text("by hand\n")
    (repo / "b").write_text("by hand\n")
    found = tree_now(govrun, repo)
    two = govrun("bash", "-c", "echo 2 >> a").ok()
    between, own = lineage(govrun)
    assert (between["why"], between["pre"], between["post"]) == ("between-runs", left, found)
    assert (own["pre"], own["post"]) == (found, tree_now(govrun, repo))
    shown = govrun.cli("lineage", two.run).ok().stdout.decode()
    assert f"after      {one.run}" in shown
    assert "changed since that run" in shown
    three = govrun("true")  # it changes nothing, and its state is still followed
    assert three.code == 0
    assert lineage(govrun, three.run) == []
    assert govrun.cli("lineage", three.run).ok().stdout.decode().splitlines()[1] == f"after      {two.run}"


def test_states_that_were_lost_begin_anew_and_say_so(govrun: Govrun, repo: Path) -> None:
    one = govrun("bash", "-c", "echo 1 > a").ok()
    (place,) = (govrun.state / "trees").glob("*/states.git")
    shutil.rmtree(place)
    assert "dropped to make room" in govrun.cli("lineage", one.run).ok().stdout.decode()
    two = govrun("bash", "-c", "echo 2 > b").ok()
    found, own = lineage(govrun)
    assert (found["why"], found["pre"], own["why"]) == ("anew", "", "")
    shown = govrun.cli("lineage", two.run).ok().stdout.decode()
    assert f"after      {one.run}" in shown and "what was before is lost" in shown


@pytest.mark.parametrize("lie", ["assume-unchanged", "attributes", "exclude", "nested", "filter"])
def test_no_configuration_of_git_hides_a_change(govrun: Govrun, repo: Path, lie: str) -> None:
    govrun("true").ok()
    if lie == "assume-unchanged":
        git(govrun, repo, "update-index", "--assume-unchanged", "src/app.py")
    elif lie == "attributes":
        (repo / ".git/info/attributes").write_text("* text eol=crlf ident\n")
    elif lie == "exclude":
        (repo / ".git/info/exclude").write_text("*\n")
    elif lie == "nested":
        git(govrun, repo, "init", "-q", "src")
    else:
        git(govrun, repo, "config", "filter.x.clean", "touch fired; cat")
        (repo / ".git/info/attributes").write_text("* filter=x\n")
    govrun("bash", "-c", "echo new > src/new.py; printf 'a\\r\\n' > src/app.py").ok()
    changed = git(
        govrun, repo, states(govrun), "diff", "--name-only", *(lineage(govrun)[-1][name] for name in ("pre", "post"))
    )
    assert {"src/new.py", "src/app.py"} <= set(changed.splitlines())
    last = lineage(govrun)[-1]["post"]
    assert git(govrun, repo, states(govrun), "cat-file", "blob", f"{last}:src/app.py") == "a"
    assert not (repo / "fired").exists()


def test_what_git_ignores_is_no_part_of_a_state(govrun: Govrun, repo: Path) -> None:
    (repo / ".gitignore").write_text("*.log\nbuild/\n")
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "ignore")
    govrun("bash", "-c", "echo 1 > a.log; mkdir build; echo 2 > build/x; echo 3 > kept").ok()
    last = lineage(govrun)[-1]["post"]
    names = git(govrun, repo, states(govrun), "ls-tree", "-r", "--name-only", last).splitlines()
    assert "kept" in names
    assert not {"a.log", "build/x"} & set(names)


def test_the_names_of_a_file_that_gets_one_of_its_own_are_not_somebody_elses_work(govrun: Govrun, repo: Path) -> None:
    os.link(repo / "README.md", repo / "other")
    ran = govrun("bash", "-c", "echo more >> README.md; ls >/dev/null").ok()
    assert ran.records(kind="external") == []
    assert (repo / "other").read_text() != (repo / "README.md").read_text()


def test_an_undo_is_one_step_and_nothing_lies_between(govrun: Govrun, repo: Path) -> None:
    (repo / "k").mkdir()
    govrun("bash", "-c", "echo 1 > k/new; echo 2 >> README.md").ok()
    assert govrun.cli("undo", "latest").code == 0
    (step,) = lineage(govrun)
    assert step["causes"] == [["govrun", "undo", step["causes"][0][2]]]
    govrun("bash", "-c", "echo 9 > b").ok()
    assert [each["why"] for each in lineage(govrun)] == [""]


def test_a_repository_without_a_commit_has_states_too(govrun: Govrun, tmp_path: Path) -> None:
    place = tmp_path / "fresh"
    git(govrun, tmp_path, "init", "-q", str(place))
    govrun("bash", "-c", "echo 1 > a", cwd=place).ok()
    assert [each["why"] for each in lineage(govrun)] == ["first", ""]


def test_why_there_are_no_trees_is_said(govrun: Govrun, tmp_path: Path) -> None:
    place = tmp_path / "plain"
    place.mkdir()
    govrun("bash", "-c", "echo 1 > a", cwd=place).ok()
    told = govrun.cli("lineage", "latest", cwd=place).ok().stdout.decode()
    assert "without trees: the tree is in no repository" in told
    assert govrun.cli("undo", "latest", cwd=place).code == 0
    assert not (place / "a").exists()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("lineage.jsonl", '"n":2', '"n":"2"'),
        ("lineage.jsonl", '"paths":1', '"paths":null'),
        ("lineage.jsonl", '"previous":""', '"previous":[]'),
        ("states.jsonl", '"attr":[', '"attr":["x",'),
        ("states.jsonl", '"step":1', '"step":"1"'),
    ],
)
def test_a_record_of_states_that_is_damaged_is_told(govrun: Govrun, repo: Path, name: str, old: str, new: str) -> None:
    ran = govrun("bash", "-c", "echo 1 >> README.md").ok()
    path = govrun.state / "runs" / ran.run / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    for words in (("lineage", ran.run), ("undo", ran.run), ("blame", "README.md")):
        told = govrun.cli(*words)
        assert "BUG" not in told.stderr and "Traceback" not in told.stderr
        if (words[0], name) in (("lineage", "lineage.jsonl"), ("undo", "states.jsonl")):
            assert told.code and name in told.stderr, (words, told.stderr)


def blamed(govrun: Govrun, name: str) -> list[tuple[str, str]]:
    """Line and who wrote it: a run, a commit, or nobody."""
    told = [json.loads(line) for line in govrun.cli("blame", name, "--json").ok().stdout.splitlines()]
    return [(each["line"], each.get("run") or each.get("commit", "")) for each in told]


def test_each_line_has_its_author(govrun: Govrun, repo: Path) -> None:
    (repo / "f").write_text("base\n")
    git(govrun, repo, "add", "f")
    git(govrun, repo, "commit", "-qm", "base of f")
    base = git(govrun, repo, "rev-parse", "HEAD")
    one = govrun("bash", "-c", "echo one >> f; ls > /dev/null; sed -i 1itop f").ok()
    (repo / "f").write_text((repo / "f").read_text() + "mine\n")
    two = govrun("bash", "-c", "sed -i s/one/two/ f").ok()
    expected = [("top", one.run), ("base", base), ("two", two.run), ("mine", "")]
    assert blamed(govrun, "f") == expected
    assert govrun.cli("undo", two.run).code == 0
    assert blamed(govrun, "f") == [("top", one.run), ("base", base), ("one", one.run), ("mine", "")]
    assert govrun.cli("undo", "latest").code == 0
    assert blamed(govrun, "f") == expected
    first = govrun.cli("blame", "f").ok().stdout.decode().splitlines()[0]
    assert first.startswith(one.run[:12])
    assert "sed -i 1itop f allow" in first


def test_what_an_undo_brings_back_after_a_commit_is_that_of_the_older_one(govrun: Govrun, repo: Path) -> None:
    (repo / "f").write_text("a\n\tb = 2\n")
    git(govrun, repo, "add", "f")
    git(govrun, repo, "commit", "-qm", "f")
    base = git(govrun, repo, "rev-parse", "HEAD")
    ran = govrun("bash", "-c", "sed -i s/2/22/ f; git commit -qam 22").ok()
    govrun("true")
    assert blamed(govrun, "f") == [("a", base), ("\tb = 22", ran.run)]
    assert govrun.cli("undo", ran.run, "f").code == 0
    assert blamed(govrun, "f") == [("a", base), ("\tb = 2", base)]
    assert b"        b = 2" in govrun.cli("blame", "f").ok().stdout


def test_only_the_run_that_made_a_commit_is_named(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    ran = govrun("bash", "-c", "echo one > f; git add f; git commit -qm f").ok()
    govrun("bash", "-c", "echo x > /etc/refused; true")
    shutil.rmtree(govrun.state / "runs")
    told = json.loads(govrun.cli("blame", "f", "--json").ok().stdout)
    assert told["runs"] == [ran.run]


def test_a_clone_tells_the_run_by_the_commit(govrun: Govrun, repo: Path, tmp_path: Path) -> None:
    ran = govrun("bash", "-c", "echo one > f; git add f; git commit -qm f").ok()
    git(govrun, repo, "clone", "-q", str(repo), str(tmp_path / "clone"))
    git(govrun, tmp_path / "clone", "fetch", "-q", "origin", "refs/notes/govrun:refs/notes/govrun")
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "state")}
    told = govrun.cli("blame", "f", "--json", cwd=tmp_path / "clone", env=elsewhere).ok()
    assert json.loads(told.stdout)["runs"] == [ran.run]


def refused(outcome: Outcome) -> str:
    assert outcome.code == 2
    return outcome.stderr


def test_what_cannot_be_blamed_is_said(govrun: Govrun, repo: Path) -> None:
    assert "cannot read" in refused(govrun.cli("blame", "nothing"))
    assert "is not in this tree" in refused(govrun.cli("blame", "/etc/passwd"))
    assert "cannot read" in refused(govrun.cli("blame", "src"))
    (repo / "large").write_text("x\n" * 20_001)
    assert "too large" in refused(govrun.cli("blame", "large"))
