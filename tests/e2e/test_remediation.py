"""``[[remediation]]`` in real runs: attempts, chains, what a fix may touch, and what is told of them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.rule_kit import clean, git, note, tree_of

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


RISING = (
    PROFILE.replace('must = ["only-named-files"]', 'must = ["violations-do-not-rise"]')
    + """
[[dependency]]
id = "old-client"
adr = "0003"
deny = ["pypi:urllib3", "pypi:httplib2"]
then = "warn"
"""
)
OLD = {"shop/old.py": "import urllib3\n", "shop/rows.py": "ROWS = 1\n"}


@pytest.fixture
def rising(repo: Path, govrun: Govrun) -> Path:
    return tree_of(govrun, repo, RISING, FILES | OLD)


def test_violations_do_not_rise(rising: Path, govrun: Govrun) -> None:
    worse = (
        "echo import urllib3 >> shop/rows.py",  # only warned of, but not now
        "echo import urllib3 > t && mv t shop/rows.py",
        "cp shop/old.py shop/copy.py",
    )
    outcome = govrun(*lines(BAD.format("shop/web.py"), *(f"{{ {each}; }} || true" for each in worse)))
    assert (rising / "shop/rows.py").read_text() == OLD["shop/rows.py"], outcome.stderr
    assert not (rising / "shop/copy.py").exists()
    refused = outcome.denied("honest-fixes")
    assert {each["verdict"] for each in refused} == {"deny", "revert"}
    told = "shop/rows.py would leave 1 violation more than there were when one-http-client refused shop/web.py"
    assert told in outcome.stderr and "say that it cannot be fixed" in outcome.stderr
    assert all(each["adr"] == "0003" for each in refused)
    (one,) = episodes(outcome)
    assert one["outcome"] == "abandoned" and one["violations"] == [0, 0]
    assert f"honest-fixes<-0003={len(refused)}" in note(govrun, rising)


def test_as_many_violations_as_before_are_no_more(rising: Path, govrun: Govrun) -> None:
    same = (
        "echo '# moved' >> shop/old.py",  # what it said before it still says
        "mv shop/old.py shop/new.py",
        "rm shop/new.py; echo import urllib3 > shop/rows.py",  # one goes, one comes
        "sed -i s/urllib3/httplib2/ shop/rows.py",
    )
    outcome = govrun(*lines(BAD.format("shop/web.py"), *same))
    assert not outcome.denied("honest-fixes"), outcome.stderr
    assert (rising / "shop/rows.py").read_text() == "import httplib2\n" and not (rising / "shop/old.py").exists()


def test_once_it_is_fixed_a_warning_is_a_warning(rising: Path, govrun: Govrun) -> None:
    after = ("echo import httpx >> shop/web.py", "echo import urllib3 >> shop/rows.py")
    outcome = govrun(*lines(BAD.format("shop/web.py"), *after))
    assert not outcome.denied("honest-fixes"), outcome.stderr
    assert (rising / "shop/rows.py").read_text() == "ROWS = 1\nimport urllib3\n"
    assert [each["outcome"] for each in episodes(outcome)] == ["fixed"]


@pytest.mark.parametrize(
    "change",
    [
        "mv shop/web.py shop/web.py~; echo import requests > shop/web.py",
        "ln shop/web.py shop/web.py~; rm shop/web.py; echo import requests > shop/web.py",
        "mv shop old; mkdir shop; echo import requests > shop/web.py",
        "echo import requests > t; mv shop/web.py shop/web.py~; mv t shop/web.py || echo no",
        "sed -i.bak s/os/requests/ shop/web.py || echo no",
        "mv shop/web.py a; mv a b; echo import requests > shop/web.py",
    ],
)
def test_what_is_set_aside_and_rewritten_goes_back_to_what_it_was(shop: Path, govrun: Govrun, change: str) -> None:
    before = (shop / "shop/web.py").stat()
    outcome = govrun(*lines(change))
    assert (shop / "shop/web.py").read_text() == "import os\n", outcome.stderr
    after = (shop / "shop/web.py").stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_uid) == (before.st_mode, before.st_mtime_ns, before.st_uid)
    assert outcome.denied("one-http-client")
    assert [each["outcome"] for each in episodes(outcome)] == ["abandoned"]


def test_what_is_set_aside_for_good_stays_away(shop: Path, govrun: Govrun) -> None:
    clean(govrun(*lines("mv shop/web.py shop/site.py", "mv shop/site.py s; echo import os > shop/site.py")))
    assert not (shop / "shop/web.py").exists() and (shop / "shop/site.py").exists()


def test_a_file_that_is_deleted_is_fixed(shop: Path, govrun: Govrun) -> None:
    outcome = govrun(*lines(BAD.format("shop/web.py"), "rm shop/web.py", "echo >> tests/test_order.py"))
    assert not (shop / "shop/web.py").exists()
    assert not outcome.denied("honest-fixes"), outcome.stderr
    (one,) = episodes(outcome)
    assert one["outcome"] == "fixed" and one["attempts"] == 1 and one["gates"][-1]["result"] == "passed"


def test_setting_the_file_aside_does_not_begin_anew(shop: Path, govrun: Govrun) -> None:
    again = "mv shop/web.py shop/web.py~; echo import requests > shop/web.py"
    outcome = govrun(*lines(*[f"{{ {again}; }} || echo no"] * 5))
    assert b"no" in outcome.stdout, outcome.stderr
    assert outcome.denied("honest-fixes") and (shop / "shop/web.py").read_text() == "import os\n"
    (one,) = episodes(outcome)
    assert one["outcome"] == "exhausted" and one["attempts"] == 3


def test_deleting_it_and_making_it_anew_goes_on_counting(shop: Path, govrun: Govrun) -> None:
    again = ("rm shop/web.py", "echo import requests > shop/web.py; true")
    outcome = govrun(*lines(BAD.format("shop/web.py"), *again, "echo import requests > shop/web.py", *again))
    found = episodes(outcome)
    assert [each["attempts"] for each in found] == [1, 3], (found, outcome.stderr)
    assert [each["outcome"] for each in found] == ["fixed", "exhausted"]
    assert found[1]["parent"] == found[0]["episode"]
    assert outcome.denied("honest-fixes") and not (shop / "shop/web.py").exists()


def test_a_fix_is_held_to_named_files_until_it_ends(shop: Path, govrun: Govrun) -> None:
    settled = "ls > /dev/null; ls > /dev/null"
    fix = f"echo import httpx > shop/web.py; {settled}; echo x > shop/other.py || echo no"
    outcome = govrun(*lines(BAD.format("shop/web.py"), fix, "echo x > shop/later.py"))
    assert outcome.stdout == b"no\n", outcome.stderr
    assert (shop / "shop/web.py").read_text() == "import httpx\n"
    assert not (shop / "shop/other.py").exists() and (shop / "shop/later.py").exists()
    assert "shop/other.py is no part of the fix of shop/web.py" in outcome.stderr
    assert [each["outcome"] for each in episodes(outcome)] == ["fixed"]


ROUTES = {
    "write": "echo weak > tests/test_order.py",
    "append": "echo weak >> tests/test_order.py",
    "truncate": "truncate -s 0 tests/test_order.py",
    "rename": "echo weak > t; mv -f t tests/test_order.py",
    "unlink": "rm -f tests/test_order.py",
    "link": "ln tests/test_order.py shop/alias.py && echo weak > shop/alias.py",
    "earlier link": "echo weak > shop/linked.py",
    "symlink": "ln -s ../tests shop/there; echo weak > shop/there/test_order.py",
    "sed": "sed -i s/pass/weak/ tests/test_order.py",
    "mode": "chmod 000 tests/test_order.py",
    "folder": "mv tests old; mkdir tests; echo weak > tests/test_order.py",
    "checkout": "git checkout HEAD~1 -- tests/test_order.py",
    "switch": "git checkout -q HEAD~1",
    "reset": "git reset -q --hard HEAD~1",
    "restore": "git restore --source HEAD~1 tests/test_order.py",
    "stash": "git stash pop",
    "apply": "git apply patch",
    "new": "echo weak > tests/conftest.py",
    "map": """python3 -c 'import mmap; mmap.mmap(open("tests/test_order.py", "r+b").fileno(), 0)[0:4] = b"weak"'""",
}  # fmt: skip


@pytest.fixture
def kept(shop: Path, govrun: Govrun) -> Path:
    """A tree in which git could bring an older version of the test, a stash and a patch."""
    test = shop / "tests/test_order.py"
    test.write_text("def test(): weak\n")
    (shop / "patch").write_text(git(govrun, shop, "diff"))
    git(govrun, shop, "stash", "-q")
    test.write_text("def test(): assert True or pass\n")
    git(govrun, shop, "commit", "-qam", "the test")
    test.write_text("def test(): pass\n")
    git(govrun, shop, "commit", "-qam", "the test again")
    return shop


@pytest.mark.parametrize("route", ROUTES)
def test_what_no_fix_may_change_is_not_changed_by(kept: Path, govrun: Govrun, route: str) -> None:
    before = (kept / "tests/test_order.py").stat()
    link = "ln tests/test_order.py shop/linked.py"
    outcome = govrun(*lines(link, BAD.format("shop/web.py"), f"{{ {ROUTES[route]}; }} || echo no"))
    assert (kept / "tests/test_order.py").read_text() == "def test(): pass\n", outcome.stderr
    after = (kept / "tests/test_order.py").stat()
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert not (kept / "tests/conftest.py").exists()
    assert outcome.denied("honest-fixes"), outcome.stderr
    assert "may not be changed while shop/web.py" in outcome.stderr


@pytest.mark.parametrize("route", ROUTES)
def test_without_anything_to_fix_all_of_it_may_be_changed(kept: Path, govrun: Govrun, route: str) -> None:
    link = "ln tests/test_order.py shop/linked.py"
    outcome = govrun(*lines(link, f"{{ {ROUTES[route]}; }}"))
    assert not outcome.denied("honest-fixes"), outcome.stderr


HELD = """
import mmap, os, subprocess, sys
test = "tests/test_order.py"
settle = lambda: subprocess.run(["ls"], stdout=subprocess.DEVNULL)
held = open(test, "r+b", buffering=0)
held.write(b"def early")
shared = mmap.mmap(held.fileno(), 0)
if "bad" in sys.argv:
    subprocess.run(["bash", "-c", "echo import requests >> shop/web.py"])
settle()
if "map" in sys.argv:
    shared[0:4] = b"weak"
elif "write" in sys.argv:
    os.pwrite(held.fileno(), b"weak", 0)
elif "cut" in sys.argv:
    os.ftruncate(held.fileno(), 4)
settle()
"""


@pytest.mark.parametrize("way", ["map", "write", "cut"])
def test_who_could_write_to_it_before_may_not_now(shop: Path, govrun: Govrun, way: str) -> None:
    outcome = govrun("python3", "-c", HELD, "bad", way)
    assert (shop / "tests/test_order.py").read_text() == "def early): pass\n", outcome.stderr
    (refused,) = outcome.denied("honest-fixes")
    assert refused["verdict"] == "revert" and "tests/test_order.py may not be changed" in refused["message"]
    assert "tests/test_order.py may not be changed while shop/web.py" in outcome.stderr
    git(govrun, shop, "checkout", "-q", "tests")
    outcome = govrun("python3", "-c", HELD, way)
    clean(outcome)
    assert (shop / "tests/test_order.py").read_text() != "def early): pass\n"


def test_what_is_not_written_to_meanwhile_stays(shop: Path, govrun: Govrun) -> None:
    outcome = govrun("python3", "-c", HELD, "bad")
    assert (shop / "tests/test_order.py").read_text() == "def early): pass\n", outcome.stderr
    assert not outcome.denied("honest-fixes")
