"""Files hidden by name (``[scope] hide`` and ``read``, ``[[data]] access = "hide"``) in real runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git, tree_of, until

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome, Record

SECRET = "not-a-real-key"
RULE = "scope.hide.files"
PROFILE = f"""version = 1
[scope]
adr = "0003"
use = "ask for the value"
hide = [".env*", "/conf/prod.json", "~/.netrc", "~/.ssh/**"]
examples = {{ denied = ["write .env: A={SECRET}"], allowed = ["write src/app.py: x = 1"] }}
"""
DATA = """version = 1
[[data]]
id = "dumps"
adr = "0003"
paths = ["*.sqlite", "dumps/**"]
except = ["dumps/README.md"]
access = "hide"
"""


def hidden_tree(govrun: Govrun, repo: Path, home: Path, profile: str = PROFILE) -> Path:
    """Hidden files that git does not track, and harmless neighbours that it does."""
    files = {"conf/dev.json": "{}\n", "docs/env.md": "about .env\n", ".gitignore": ".env\nconf/prod.json\ndumps/\n"}
    tree = tree_of(govrun, repo, profile, files)
    for path in (tree / ".env", tree / "conf/prod.json", tree / "dumps/a.sql", tree / "app.sqlite", home / ".netrc"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"KEY={SECRET}\n")
    (tree / "dumps/README.md").write_text("what lies here\n")
    return tree


def kept(outcome: Outcome, tree: Path, rule: str, path: str) -> list[Record]:
    """The records of the refusals of ``path``, which is as it was, told with the decision behind it."""
    assert SECRET.encode() not in outcome.stdout, outcome.stdout
    assert (tree / path).read_text() == f"KEY={SECRET}\n"
    names = {str(tree / path), path}
    found = [each for each in outcome.denied(rule) if {each["op"].get("path"), each["op"].get("to")} & names]
    assert found, (outcome.stderr, [each for each in outcome.journal if each.get("invariant")])
    assert all(each["outcome"] == "blocked" and each["adr"] == "0003" for each in found)
    assert rule in outcome.stderr and f"{path} is hidden from this run" in outcome.stderr
    return found


# ---- harmless ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [PROFILE, DATA], ids=["scope", "data"])
def test_harmless_work_goes_on(govrun: Govrun, repo: Path, home: Path, profile: str) -> None:
    hidden_tree(govrun, repo, home, profile)
    script = (
        "set -e; cat src/app.py docs/env.md; grep -rn answer src;"
        "python3 -c 'import json; print(open(\"README.md\").read())';"
        "cp src/app.py src/b.py; mv src/b.py src/c.py; cat src/c.py; ln src/c.py src/d.py; ln -s c.py src/e.py;"
        "cat src/e.py; cd src; cat ../README.md < d.py; cd ..; git add src; git commit -qm more; git status --short;"
        "printf '#!/bin/sh\\necho ran\\n' > tool; chmod +x tool; ./tool; cat < /dev/null; cat /proc/self/comm;"
        "head -1 /etc/passwd; exec 3<src/app.py; cat /proc/$$/fd/3; cat <(cat README.md); mkfifo p;"
        "(echo through > p) & cat p; rm p tool; ls -a; wait"
    )
    outcome = clean(govrun("bash", "-c", script))
    for word in (b"def answer", b"about .env", b"# example", b"ran\n", b"through", b"root:"):
        assert word in outcome.stdout, word
    assert git(govrun, repo, "status", "--short", "src") == ""


def test_names_are_seen(govrun: Govrun, repo: Path, home: Path) -> None:
    """What is hidden is the content: names, sizes and times are there for whoever lists the folder."""
    hidden_tree(govrun, repo, home)
    outcome = clean(
        govrun("bash", "-c", "ls -la; stat -c %s .env; test -f .env; find . -name .env; git check-ignore .env")
    )
    assert outcome.stdout.count(b".env") >= 3


def test_only_such_a_rule_asks_of_reads(govrun: Govrun, repo: Path, home: Path) -> None:
    """Whole folders outside the tree need no other filter than no rule at all."""

    def instructions(profile: str) -> int:
        (repo / "govrun.toml").write_text("version = 1\n" + profile)
        planned = json.loads(govrun("true", options=["--dry-run", "--json"]).ok().stdout)
        return int(planned["kernel"]["filter_instructions"])

    plain = instructions("")
    assert instructions('[scope]\nhide = ["~/.config/acme/**"]\n') == plain
    hidden = {instructions(f'[scope]\n{key} = ["x/**"]\n') for key in ("hide", "read")}
    hidden.add(instructions('[[data]]\nid = "d"\nwhy = "w"\npaths = ["x"]\naccess = "hide"\n'))
    assert len(hidden) == 1 and plain not in hidden


# ---- violating --------------------------------------------------------------------------------------------------

READS = {
    "cat": "cat .env",
    "redirection": "read x < .env; echo $x",
    "python": "python3 -c 'print(open(\".env\").read())'",
    "read and write": 'python3 -c \'print(open(".env", "r+").read())\'',
    "cp": "cp .env b; cat b",
    "install": "install .env b; cat b",
    "tar": "tar cf - .env",
    "dd": "dd if=.env",
    "grep": "grep -r KEY .env src docs",
    "git add": "git add -f .env; git commit -m x; git show HEAD:.env",
    "git hash-object": "git cat-file -p $(git hash-object -w .env)",
    "git diff": "git diff --no-index /dev/null .env",
    "upwards": "cat src/../.env",
    "absolute": "cat $PWD/.env",
    "rename": "mv .env b; cat b",
    "rename of a folder": "mkdir d; mv .env d; mv d e; cat e/.env",
    "hard link": "ln .env b; cat b",
    "symbolic link": "ln -s .env b; cat b",
    "link upwards": "ln -s .. src/up; cat src/up/.env",
    "reflink": "cp --reflink=auto .env b; cat b; cp -l .env c; cat c",
    "own root": "cat /proc/self/root$PWD/.env",
    "own cwd": "cat /proc/self/cwd/.env",
    "cwd of another": "sleep 5 & cat /proc/$!/cwd/.env; kill $!",
    "root of another": "sleep 5 & cat /proc/$!/root$PWD/.env; kill $!",
    "through proc": "cat /proc/..$PWD/.env; cat /proc/self/../..$PWD/.env",
    "executed": "chmod +x .env; sh .env; ./.env",
    "sourced": ". ./.env; echo $KEY",
    "preloaded": "LD_PRELOAD=$PWD/.env true; /lib64/ld-linux-x86-64.so.2 ./.env",
    "truncated": "truncate -s 3 .env; sed -i s/x/y/ .env; echo x > .env; echo x >> .env",
    "removed": "rm -f .env; unlink .env",
    "replaced": "echo x > b; mv -f b .env; cp -f b .env",
    "archived by git": "git stash -u -a; git stash show -p --include-untracked",
}


@pytest.mark.parametrize("way", READS)
def test_what_is_hidden_stays_unread(govrun: Govrun, repo: Path, home: Path, way: str) -> None:
    tree = hidden_tree(govrun, repo, home)
    kept(govrun("bash", "-c", READS[way]), tree, RULE, ".env")


@pytest.mark.parametrize("path", ["conf/prod.json", "~/.netrc"])
def test_anchored_and_at_home(govrun: Govrun, repo: Path, home: Path, path: str) -> None:
    tree = hidden_tree(govrun, repo, home)
    outcome = govrun("bash", "-c", f"cat {path}; ln -s {path} b; cat b; cp {path} c; cat c conf/dev.json")
    assert SECRET.encode() not in outcome.stdout and b"{}" in outcome.stdout
    assert outcome.denied(RULE) and RULE in outcome.stderr
    assert not (tree / "c").exists()


def test_a_search_goes_on_with_one_error(govrun: Govrun, repo: Path, home: Path) -> None:
    tree = hidden_tree(govrun, repo, home)
    outcome = govrun("bash", "-c", "grep -rl --exclude-dir=.git . src docs conf .env")
    kept(outcome, tree, RULE, ".env")
    assert b"src/app.py" in outcome.stdout and b"docs/env.md" in outcome.stdout and b"conf/dev.json" in outcome.stdout
    assert len(outcome.denied(RULE)) == 2


def test_a_file_that_appears_later_is_hidden(govrun: Govrun, repo: Path, home: Path) -> None:
    """Made by somebody else while the run goes on: no list from the start is asked."""
    tree = hidden_tree(govrun, repo, home)
    running = govrun.start(
        "bash", "-c", "touch ready; until test -e src/.env.local; do sleep 0.05; done; cat src/.env.local; ls src"
    )
    until(lambda: (tree / "ready").exists(), running)
    (tree / "src/.env.local").write_text(f"KEY={SECRET}\n")
    outcome = running.wait()
    kept(outcome, tree, RULE, "src/.env.local")
    assert b"app.py" in outcome.stdout


def test_a_name_that_a_link_bears(govrun: Govrun, repo: Path, home: Path) -> None:
    """`.env` is a link to a file that no pattern names."""
    tree = hidden_tree(govrun, repo, home)
    (tree / ".env").rename(tree / "shared.txt")
    (tree / ".env").symlink_to("shared.txt")
    outcome = govrun("bash", "-c", "cat .env; cp .env b; cat b")
    assert SECRET.encode() not in outcome.stdout and outcome.denied(RULE)


@pytest.mark.parametrize("pattern", ["/link/key", "/vault/**", "/link/**", "{tree}/vault/**"])
def test_folders_of_the_tree(govrun: Govrun, repo: Path, home: Path, pattern: str) -> None:
    """``/name/**`` is the tree's own; what is reached through a link is hidden where it lies."""
    profile = f'version = 1\n[scope]\nadr = "0003"\nhide = ["{pattern.format(tree=repo)}"]\n'
    tree = hidden_tree(govrun, repo, home, profile)
    (tree / "vault").mkdir()
    (tree / "vault/key").write_text(f"KEY={SECRET}\n")
    (tree / "link").symlink_to("vault")
    kept(govrun("bash", "-c", "cat vault/key; cat link/key; mv vault b; cat b/key; ls vault"), tree, RULE, "vault/key")


def test_data_files(govrun: Govrun, repo: Path, home: Path) -> None:
    tree = hidden_tree(govrun, repo, home, DATA)
    script = "cat app.sqlite; cat dumps/a.sql; mv app.sqlite b; cp -r dumps c; cat c/* b; cat dumps/README.md; ls dumps"
    outcome = govrun("bash", "-c", script)
    kept(outcome, tree, "dumps", "app.sqlite")
    kept(outcome, tree, "dumps", "dumps/a.sql")
    assert b"what lies here" in outcome.stdout and b"a.sql" in outcome.stdout


def test_the_scope_of_reads(govrun: Govrun, repo: Path, home: Path) -> None:
    """``read``: of the tree only what it names, and what git ignores; the machine is no part of the tree."""
    profile = 'version = 1\n[scope]\nadr = "0003"\nread = ["src/**", "/*.md", ".git*"]\n'
    tree = hidden_tree(govrun, repo, home, profile)
    outcome = govrun(
        "bash", "-c", "cat src/app.py README.md; cat docs/env.md; mv docs/env.md src/x; cat src/x; cat dumps/a.sql;"
        "ls docs; head -1 /etc/passwd",
    )  # fmt: skip
    assert b"def answer" in outcome.stdout and b"# example" in outcome.stdout and b"env.md" in outcome.stdout
    assert b"root:" in outcome.stdout and SECRET.encode() in outcome.stdout
    assert b"about .env" not in outcome.stdout and (tree / "docs/env.md").exists()
    assert {each["op"]["path"] for each in outcome.denied("scope.read")} == {str(tree / "docs/env.md")}
    assert "docs/env.md is outside the read scope" in outcome.stderr


def test_a_person_may_be_asked(govrun: Govrun, repo: Path, home: Path) -> None:
    tree = hidden_tree(govrun, repo, home, PROFILE.replace("[scope]\n", '[scope]\nthen = "ask"\n'))
    outcome = govrun("cat", ".env")
    assert SECRET.encode() not in outcome.stdout
    assert [each["op"]["path"] for each in outcome.records(invariant=RULE, verdict="ask")] == [str(tree / ".env")]


def test_a_read_may_be_warned_of(govrun: Govrun, repo: Path, home: Path) -> None:
    hidden_tree(govrun, repo, home, PROFILE.replace("[scope]\n", '[scope]\nthen = "warn"\n').split("examples")[0])
    outcome = govrun("cat", ".env").ok()
    assert SECRET.encode() in outcome.stdout and RULE in outcome.stderr
    assert [each["outcome"] for each in outcome.records(kind="fs.read", phase="outcome")] == ["succeeded"]


# ---- git --------------------------------------------------------------------------------------------------------


def test_git_moves_between_commits(govrun: Govrun, repo: Path, home: Path) -> None:
    """Other people's versions of a tracked hidden file come and go as for protected ones."""
    tree = hidden_tree(govrun, repo, home)
    git(govrun, tree, "switch", "-qc", "other")
    (tree / "conf/prod.json").write_text("theirs\n")
    git(govrun, tree, "add", "-f", "conf/prod.json")
    git(govrun, tree, "commit", "-qm", "tracked")
    git(govrun, tree, "switch", "-q", "main")
    outcome = clean(govrun("git", "switch", "-q", "other"))
    assert (tree / "conf/prod.json").read_text() == "theirs\n"
    assert [each["op"]["path"] for each in outcome.records(kind="fs.write") if each["op"].get("prior")] == [
        str(tree / "conf/prod.json")
    ]


def test_what_git_keeps_can_be_read_and_the_start_says_so(govrun: Govrun, repo: Path, home: Path) -> None:
    """A limit: the object store holds what was committed."""
    tree = hidden_tree(govrun, repo, home)
    git(govrun, tree, "add", "-f", ".env")
    git(govrun, tree, "commit", "-qm", "tracked")
    outcome = govrun("git", "show", "HEAD:.env").ok()
    assert SECRET.encode() in outcome.stdout
    warned = [line for line in outcome.stderr.splitlines() if "git tracks" in line]
    assert len(warned) == 1 and ".env" in warned[0], outcome.stderr
    assert "git tracks" not in govrun("true").stderr.replace(warned[0], "")


def test_bare_it_works(govrun: Govrun, repo: Path, home: Path) -> None:
    """The ways above read the file where nothing hides it."""
    tree = hidden_tree(govrun, repo, home)
    for way in ("cat", "python", "tar", "own root", "cwd of another", "hard link", "rename"):
        done = subprocess.run(["bash", "-c", READS[way]], cwd=tree, env=govrun.env, capture_output=True)
        assert SECRET.encode() in done.stdout, way
        subprocess.run(["bash", "-c", "test -e .env || mv b .env; rm -f b"], cwd=tree, check=True)
