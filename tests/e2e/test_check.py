"""`govrun check`: the tree as it is, judged without starting anything."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.rule_kit import git

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

PROFILE = """
version = 1
[[dependency]]
id   = "one-http-client"
why  = "one client, one place for time-outs"
deny = ["pypi:requests", "npm:lodash"]
use  = "httpx"
"""
BAD = {
    "src/new.py": ("x = 1\nimport requests\n", 2),
    "src/odd.PY": ("from requests.adapters import HTTPAdapter\n", 1),
    "requirements.txt": ("httpx\nrequests>=2\n", 2),
    "pyproject.toml": ('[project]\nname = "x"\nversion = "1"\ndependencies = [\n  "requests",\n]\n', 5),
    "package.json": ('{\n  "name": "x",\n  "dependencies": {\n    "lodash": "^4"\n  }\n}\n', 4),
    "web/a.js": ("const a = require('lodash')\n", 1),
    "web/b.ts": ("\nimport get from 'lodash/get'\n", 2),
}


def documents(outcome: Outcome) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    lines = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [bool(line.get("summary")) for line in lines] == [False] * (len(lines) - 1) + [True]
    return lines[:-1], lines[-1]


@pytest.fixture
def shop(repo: Path) -> Path:
    (repo / "govrun.toml").write_text(PROFILE)
    return repo


def fill(shop: Path) -> None:
    for name, (text, _) in BAD.items():
        path = shop / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_clean(shop: Path, govrun: Govrun) -> None:
    (shop / "src" / "words.py").write_text("# the word requests\nrequests = 1\n")
    outcome = govrun.cli("check").ok()
    assert outcome.stdout.startswith(
        b"0 violations in 4 files (1 mentions a package that a rule speaks of, or is a lock, "
    )


def test_what_was_not_looked_into_is_said(shop: Path, govrun: Govrun) -> None:
    told = govrun.cli("check").ok().stdout.decode()
    assert told.startswith("0 violations in 3 files (none mentions a package that a rule speaks of, ")
    assert (
        govrun.cli("check", "README.md")
        .ok()
        .stdout.startswith(b"0 violations in 1 file (none of a kind that is judged")
    )
    (shop / "govrun.toml").write_text("version = 1\n")
    assert "(none judged, " in govrun.cli("check").ok().stdout.decode()


def test_every_kind_of_file(shop: Path, govrun: Govrun) -> None:
    fill(shop)
    outcome = govrun.cli("check")
    assert outcome.code == 1, outcome.stderr
    lines = outcome.stdout.decode().splitlines()
    found = [line.split(": ")[0] for line in lines if line.endswith("instead: httpx")]
    assert found == sorted(f"{name}:{line}" for name, (_, line) in BAD.items())
    assert "src/new.py:2: imports requests (pypi:requests) (one-http-client) instead: httpx" in lines
    assert "7 violations that are there already; a run tolerates those of its base" in lines
    assert lines[-1].startswith("7 violations in ")
    told, summary = documents(govrun.cli("check", "--json"))
    assert [(each["path"], each["line"]) for each in told] == sorted((name, line) for name, (_, line) in BAD.items())
    assert {each["invariant"] for each in told} == {"one-http-client"}
    assert summary["violations"] == summary["tolerated"] == 7


def test_base_tolerates_what_the_same_path_said(shop: Path, govrun: Govrun) -> None:
    fill(shop)
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "shop")
    git(govrun, shop, "tag", "-am", "v1", "v1")
    for base in ("HEAD", "main", "v1", "refs/heads/main"):
        assert govrun.cli("check", "--base", base).code == 0, base
    assert govrun.cli("check", "--base", "HEAD~1").code == 1
    (shop / "src" / "new.py").rename(shop / "src" / "moved.py")
    with (shop / "web" / "a.js").open("a") as file:
        file.write("require('lodash/map')\n")
    told, summary = documents(govrun.cli("check", "--base", "HEAD", "--json"))
    assert [each["path"] for each in told] == ["src/moved.py"]
    assert not told[0]["tolerated"]
    assert len(summary["base"]) == 40


@pytest.mark.parametrize("base", ["nothing", "-x", "HEAD~9", "main:src", "--upload-pack=x", ""])
def test_a_base_that_is_none(shop: Path, govrun: Govrun, base: str) -> None:
    outcome = govrun.cli("check", f"--base={base}")
    assert outcome.code == (2 if base else 0), outcome.stdout
    assert "Traceback" not in outcome.stderr


def test_baseline_none_tolerates_nothing(shop: Path, govrun: Govrun) -> None:
    (shop / "govrun.toml").write_text(PROFILE + 'baseline = "none"\n')
    fill(shop)
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "shop")
    outcome = govrun.cli("check", "--base", "HEAD")
    assert outcome.code == 1
    assert b"there already" not in outcome.stdout


def test_locks(shop: Path, govrun: Govrun) -> None:
    lock = '[[package]]\nname = "httpx"\nversion = "1"\n\n[[package]]\nname = "{}"\nversion = "2.31.0"\n'
    (shop / "uv.lock").write_text(lock.format("requests"))
    assert b"uv.lock:6: locks requests 2.31.0" in govrun.cli("check").stdout
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "lock")
    govrun.cli("check", "--base", "HEAD").ok()
    (shop / "uv.lock").write_text(lock.format("attrs"))
    git(govrun, shop, "commit", "-qam", "attrs")
    (shop / "uv.lock").write_text(lock.format("requests"))
    assert govrun.cli("check", "--base", "HEAD").code == 1
    assert govrun.cli("check", "--base", "HEAD~1").code == 0


def test_only_what_is_named(shop: Path, govrun: Govrun) -> None:
    fill(shop)
    told, _ = documents(govrun.cli("check", "--json", "web", "requirements.txt"))
    assert [each["path"] for each in told] == ["requirements.txt", "web/a.js", "web/b.ts"]
    told, _ = documents(govrun.cli("check", "--json", ".", cwd=shop / "web"))
    assert [each["path"] for each in told] == ["web/a.js", "web/b.ts"]
    for wrong in ("../home", "missing.py", "/etc/passwd"):
        outcome = govrun.cli("check", wrong)
        assert outcome.code == 2
        assert wrong in outcome.stderr


def test_what_git_would_not_track(shop: Path, govrun: Govrun) -> None:
    (shop / ".gitignore").write_text("/build/\n*.ignored.py\n")
    (shop / ".git" / "info" / "exclude").write_text("local.py\n")
    (shop / "build").mkdir()
    (shop / "node_modules" / "x").mkdir(parents=True)
    for name in ("build/a.py", "src/b.ignored.py", "local.py", "node_modules/x/a.py"):
        (shop / name).write_text("import requests\n")
    (shop / "link.py").symlink_to("local.py")
    outside = shop.parent / "outside"
    outside.mkdir()
    (outside / "a.py").write_text("import requests\n")
    (shop / "sub").symlink_to(outside)
    os.mkfifo(shop / "pipe.py")
    govrun.cli("check").ok()
    git(govrun, shop, "add", "-f", "build/a.py")
    assert b"build/a.py:1" in govrun.cli("check").stdout


def test_a_tracked_folder_that_became_a_link(shop: Path, govrun: Govrun) -> None:
    (shop / "lib").mkdir()
    (shop / "lib" / "a.py").write_text("x = 1\n")
    git(govrun, shop, "add", "-A")
    (shop / "lib").rename(shop.parent / "lib")
    (shop.parent / "lib" / "a.py").write_text("import requests\n")
    (shop / "lib").symlink_to(shop.parent / "lib")
    govrun.cli("check").ok()


def test_odd_names(shop: Path, govrun: Govrun) -> None:
    names = [b"src/a\nb.py", b"src/\xff.py", "src/\u202ecod.py".encode(), b"src/ at line 1.py", b"src/\x1b[31m.py"]
    for name in names:
        Path(os.fsdecode(os.fsencode(shop) + b"/" + name)).write_text("import requests\n")
    outcome = govrun.cli("check")
    assert outcome.code == 1
    text = outcome.stdout.decode()
    assert "src/a\\nb.py:1: imports requests" in text
    assert "src/\\xff.py:1: imports requests" in text
    assert "src/\\u202ecod.py:1: imports requests" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    told, _ = documents(govrun.cli("check", "--json"))
    assert {each["path"] for each in told} >= {"src/a\nb.py", "src/\\xff.py", "src/\u202ecod.py"}
    told, _ = documents(govrun.cli("check", "--json", os.fsdecode(names[1])))
    assert len(told) == 1


@pytest.mark.parametrize(
    "profile",
    [
        "version = 2\n",
        "version = 1\n[scop]\n",
        "version = 1\n[[dependency",
        PROFILE + 'examples = { denied = ["pip install httpx"] }\n',
        PROFILE + 'examples = { allowed = ["npm i lodash"] }\n',
        PROFILE.replace("npm:lodash", "npm:lodash <<4"),
    ],
)
def test_a_profile_that_cannot_be_taken(shop: Path, govrun: Govrun, profile: str) -> None:
    (shop / "govrun.toml").write_text(profile)
    outcome = govrun.cli("check")
    assert outcome.code == 2, outcome.stdout
    assert "govrun.toml" in outcome.stderr
    assert govrun("true").code == 125


def test_examples_are_asked_before_a_run(shop: Path, govrun: Govrun) -> None:
    (shop / "govrun.toml").write_text(
        PROFILE + 'examples = { denied = ["pip install requests", "npm i lodash"], allowed = ["pip install httpx"] }\n'
    )
    govrun.cli("check").ok()
    govrun("true").ok()
    (shop / "govrun.toml").write_text(PROFILE + 'examples = { denied = ["pip install attrs"] }\n')
    outcome = govrun("touch", "src/ran")
    assert outcome.code == 125
    assert "one-http-client" in outcome.stderr
    assert "pip install attrs" in outcome.stderr
    assert not (shop / "src" / "ran").exists()


def test_rules_that_nothing_judges_are_named(shop: Path, govrun: Govrun) -> None:
    more = '[[infra]]\nid = "odd"\nwhy = "x"\napi = [{ host = "a.example" }]\n'
    (shop / "govrun.toml").write_text(PROFILE + more)
    assert "nothing judges odd (govrun.toml:" in govrun.cli("check").ok().stdout.decode()


def test_rules_of_every_kind(shop: Path, govrun: Govrun) -> None:
    more = """
[[boundary]]
id = "layers"
why = "x"
layers = ["src/web/**", "src/core/**"]
[[infra]]
id = "no-latest"
why = "x"
files = ["*.yaml"]
at = "image"
never = "regex:latest$"
[[secrets]]
id = "written"
why = "x"
patterns = ["FAKE-[0-9]+"]
then = "warn"
baseline = "none"
"""
    (shop / "govrun.toml").write_text(PROFILE + more)
    for name in ("web", "core"):
        (shop / "src" / name).mkdir()
    (shop / "src/web/a.py").write_text("import core.b\n")
    (shop / "src/core/b.py").write_text("x = 1\nimport web.a\n")
    (shop / "run.yaml").write_text("image: a:latest\n")
    (shop / "notes.txt").write_text("FAKE-12\n")
    (shop / "vendor/example.com/x").mkdir(parents=True)
    (shop / "vendor/example.com/x/a.go").write_text("package x\n")
    outcome = govrun.cli("check")
    assert outcome.code == 1
    told = outcome.stdout.decode()
    assert "src/core/b.py:2: references src/web/a.py (web.a) in the layer src/web/**" in told
    assert "run.yaml:1: " in told
    assert "notes.txt:1: warning: " in told
    assert "2 violations, 1 warning in " in told
    assert "that rules could speak of were read whole" in told
    found, summary = documents(govrun.cli("check", "--json"))
    assert {each["invariant"] for each in found if each["tolerated"]} == {"layers", "no-latest"}
    assert summary["rules"] == 4


def test_from_which_effect_on_it_fails(shop: Path, govrun: Govrun) -> None:
    (shop / "govrun.toml").write_text(PROFILE + 'then = "warn"\n')
    assert govrun.cli("check", "--fail-on", "warn").code == 0
    fill(shop)
    assert govrun.cli("check", "--fail-on", "deny").code == 0
    assert govrun.cli("check", "--fail-on", "warn").code == 1
    assert govrun.cli("check", "--fail-on", "revert").code == 2


def test_warnings_do_not_fail(shop: Path, govrun: Govrun) -> None:
    (shop / "govrun.toml").write_text(PROFILE + 'then = "warn"\n')
    fill(shop)
    outcome = govrun.cli("check").ok()
    assert b"src/new.py:2: warning: imports requests" in outcome.stdout
    assert b"0 violations, 7 warnings" in outcome.stdout


def test_a_repository_that_would_run_something(shop: Path, govrun: Govrun) -> None:
    fill(shop)
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "shop")
    mark = shop.parent / "ran"
    script = shop / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {mark}\n")
    script.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "filter.x.clean",
        "filter.x.smudge",
        "alias.ls-files",
    ):
        git(govrun, shop, "config", key, f"!{script}" if key.startswith("alias") else str(script))
    (shop / ".gitattributes").write_text("* filter=x\n")
    (shop / "src" / "new.py").write_text("import requests\n\n")
    govrun.cli("check", "--base", "HEAD").ok()
    assert not mark.exists()


def test_outside_of_git_and_home(govrun: Govrun, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    (plain / "deep" / "er").mkdir(parents=True)
    (plain / "govrun.toml").write_text(PROFILE)
    (plain / "deep" / "er" / "a.py").write_text("import requests\n")
    outcome = govrun.cli("check", cwd=plain)
    assert outcome.code == 1
    assert b"deep/er/a.py:1" in outcome.stdout
    assert govrun.cli("check", "--base", "HEAD", cwd=plain).code == 2
    assert govrun.cli("check", cwd=Path(govrun.env["HOME"])).code == 2


def test_before_the_first_commit(govrun: Govrun, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git(govrun, fresh, "init", "-q")
    (fresh / "govrun.toml").write_text(PROFILE)
    (fresh / "a.py").write_text("import requests\n")
    assert govrun.cli("check", cwd=fresh).code == 1
    assert govrun.cli("check", "--base", "HEAD", cwd=fresh).code == 2


@pytest.mark.needs("user")
def test_what_cannot_be_read(shop: Path, govrun: Govrun) -> None:
    (shop / "src" / "app.py").chmod(0)
    outcome = govrun.cli("check")
    assert outcome.code == 2
    assert b"src/app.py: cannot be read" in outcome.stdout


def test_an_agent_checks_its_own_work(shop: Path, govrun: Govrun) -> None:
    (shop / "src" / "old.py").write_text("import requests\n")
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "old")
    outcome = govrun(*govrun.argv("check"))
    assert outcome.code == 1, outcome.stderr
    assert b"src/old.py:1" in outcome.stdout
    govrun(*govrun.argv("check", "--base", "HEAD")).ok()


def test_packages_of_a_base_lock_may_arrive(shop: Path, govrun: Govrun) -> None:
    """`Context.locked`: what the locks of the tree name is there by decision."""
    arrives = "mkdir -p node_modules/lodash sub/node_modules/requests; test -d node_modules/lodash"
    assert govrun("sh", "-c", arrives).code == 1
    packages = {"": {"name": "x"}, "node_modules/lodash": {"version": "4.17.21"}}
    lock = json.dumps({"name": "x", "lockfileVersion": 3, "packages": packages})
    for folder, code in (("a/b/c/d", 1), ("build", 1), ("a/b", 0)):
        (shop / ".gitignore").write_text("/build/\nnode_modules/\n")
        (shop / folder).mkdir(parents=True, exist_ok=True)
        (shop / folder / "package-lock.json").write_text(lock)
        assert govrun("sh", "-c", arrives).code == code, folder


def test_a_lock_that_cannot_be_read_is_told(shop: Path, govrun: Govrun) -> None:
    (shop / "package-lock.json").write_text("{ not json")
    assert "warning: package-lock.json: not JSON" in govrun("true").ok().stderr
