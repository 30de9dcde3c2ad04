"""`govrun init`: a first profile that loads without warnings and lets an ordinary run work."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisor.profile.load import load

if TYPE_CHECKING:
    from tests.conftest import Govrun

WORKS = "echo x > src/new.py && git add -A && git commit -qm x"


def git(govrun: Govrun, tree: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=tree, env=govrun.env, capture_output=True, check=True)


def test_then_a_run_works(repo: Path, govrun: Govrun) -> None:
    for name in ("LICENSE", "uv.lock", ".github/workflows/ci.yml", "docs/adr/0001-x.md", "Jenkinsfile"):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text("")
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "more")
    outcome = govrun.cli("init").ok()
    assert "govrun explain" in outcome.stdout.decode()
    assert "govrun -- COMMAND" in outcome.stdout.decode()
    text = (repo / "govrun.toml").read_text()
    profile = load(repo)
    assert not profile.warnings
    assert not profile.scope.write
    assert '#     "/docs/**",\n#     "/src/**",\n#     "/README.md", "/uv.lock",\n# ]' in text
    assert "/LICENSE" in {entry.value for entry in profile.scope.protect}
    assert 'adr_dir = "docs/adr"' in text
    assert "uv.lock names may arrive" in text
    assert ".github/workflows, Jenkinsfile" in text
    assert len(text.splitlines()) < 50
    govrun("sh", "-c", WORKS + " && echo x > top.md").ok()
    assert govrun("sh", "-c", "echo x > LICENSE").code != 0
    assert govrun("sh", "-c", "echo x > .github/workflows/ci.yml").code != 0


@pytest.mark.needs("npm")
def test_then_package_work_works(repo: Path, govrun: Govrun) -> None:
    """A package of the tree's own, so that nothing has to be fetched."""
    (repo / "lib").mkdir()
    (repo / "lib" / "package.json").write_text('{"name": "lib", "version": "1.0.0"}')
    (repo / "package.json").write_text('{"name": "app", "version": "1.0.0", "private": true}')
    git(govrun, repo, "add", "-A")
    git(govrun, repo, "commit", "-qm", "node")
    govrun.cli("init").ok()
    outcome = govrun("npm", "install", "--offline", "--no-audit", "--no-fund", "./lib").ok()
    assert not outcome.denied()
    assert (repo / "package-lock.json").exists()
    replaced = "echo y > .tmpAbCd && mv .tmpAbCd pyproject.toml"
    assert not govrun("sh", "-c", replaced).ok().denied()


def test_the_example_holds_when_it_is_taken(repo: Path, govrun: Govrun) -> None:
    (repo / "package-lock.json").write_text("{}")
    for name in ("a.ts", "b.ts"):
        (repo / "src" / name).write_text("")
    govrun.cli("init").ok()
    path = repo / "govrun.toml"
    lines = path.read_text().splitlines()
    at = lines.index("# [[dependency]]")
    taken = [line.removeprefix("# ") if "=" in line or "[[" in line else line for line in lines[at:]]
    path.write_text("\n".join([*lines[:at], *taken]) + "\n")
    govrun.cli("check").ok()
    assert [rule.id for rule in load(repo).rules] == ["one-date-library"]
    assert govrun("true").ok()


def test_never_over_another(repo: Path, govrun: Govrun) -> None:
    (repo / "govrun.toml").write_text("mine\n")
    outcome = govrun.cli("init")
    assert outcome.code == 125
    assert "--force" in outcome.stderr
    assert (repo / "govrun.toml").read_text() == "mine\n"
    told = json.loads(govrun.cli("init", "--force", "--json").ok().stdout)
    assert told["path"] == str(repo / "govrun.toml")
    assert (repo / "govrun.toml").read_text() == told["text"]
    assert len(told["next"]) == 2
    assert [name for name in os.listdir(repo) if "govrun" in name] == ["govrun.toml"]


def test_a_link_is_not_written_through(repo: Path, govrun: Govrun, tmp_path: Path) -> None:
    (repo / "govrun.toml").symlink_to(tmp_path / "elsewhere")
    assert govrun.cli("init").code == 125
    govrun.cli("init", "--force").ok()
    assert not (tmp_path / "elsewhere").exists()
    assert not (repo / "govrun.toml").is_symlink()


def test_from_a_folder_inside(repo: Path, govrun: Govrun) -> None:
    govrun.cli("init", cwd=repo / "src").ok()
    assert (repo / "govrun.toml").exists()


def test_odd_names(repo: Path, govrun: Govrun) -> None:
    for name in (
        b"a\nb",
        b"\xff",
        "\u202eb".encode(),
        b'q"uote',
        b"st*r",
        b"[x]",
        b"!no",
        b"#no",
        b"back\\slash",
        b"a b",
    ):
        folder = os.fsencode(repo) + b"/" + name
        os.mkdir(folder)
        Path(os.fsdecode(folder + b"/f.py")).write_text("")
    govrun.cli("init").ok()
    profile = load(repo)
    assert not profile.warnings
    assert '#     "/a b/**",' in (repo / "govrun.toml").read_text()
    assert "9 more with unusual names" in (repo / "govrun.toml").read_text()
    govrun("sh", "-c", WORKS).ok()


def test_an_empty_repository(govrun: Govrun, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git(govrun, fresh, "init", "-q")
    govrun.cli("init", cwd=fresh).ok()
    assert not load(fresh).warnings
    govrun("sh", "-c", "mkdir src; " + WORKS, cwd=fresh).ok()


def test_without_git(govrun: Govrun, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    (plain / "src").mkdir(parents=True)
    (plain / "src" / "a.py").write_text("")
    (plain / "empty").mkdir()
    govrun.cli("init", cwd=plain).ok()
    assert not load(plain).scope.write
    assert '#     "/empty/**",\n#     "/src/**",\n# ]' in (plain / "govrun.toml").read_text()
    govrun("sh", "-c", "echo x > src/new.py", cwd=plain).ok()


@pytest.mark.parametrize("where", ["HOME", "/"])
def test_places_that_are_too_large(govrun: Govrun, where: str) -> None:
    place = Path(govrun.env.get(where, where))
    outcome = govrun.cli("init", cwd=place)
    assert outcome.code == 125
    assert "tree" in outcome.stderr
    assert not (place / "govrun.toml").exists()


def test_not_from_inside_a_run(repo: Path, govrun: Govrun) -> None:
    assert govrun(*govrun.argv("init")).code != 0
    assert not (repo / "govrun.toml").exists()
