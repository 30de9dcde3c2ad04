"""``baseline = REVISION``: what is new is told by the tree of that commit, whatever the work tree holds by now."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rule_kit import clean, git, note, taken_back, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun

HEAD = "version = 1\nextends = []\n"
CLIENT = '[[dependency]]\nid = "one-http-client"\nadr = "0003"\ndeny = ["pypi:requests", "npm:lodash"]\n'
SLIPPED = "src/app.py"
EDIT = f"echo 'x = 1' >> {SLIPPED}"


def bound(tree: Path, rules: str, baseline: str) -> None:
    (tree / "govrun.toml").write_text(HEAD + rules + f'baseline = "{baseline}"\n')


@pytest.fixture
def shop(repo: Path, govrun: Govrun) -> Path:
    """The revision ``v1``, and on top of it what an earlier run let slip: its rule was off."""
    files = {SLIPPED: "import httpx\n", "src/old.py": "import requests\n", ".gitignore": "/node_modules/\n"}
    tree_of(govrun, repo, HEAD, files)
    git(govrun, repo, "tag", "v1")
    clean(govrun("sh", "-c", f"echo 'import requests' > {SLIPPED}; git commit -qam slipped"))
    return repo


def text(tree: Path, name: str = SLIPPED) -> str:
    return (tree / name).read_text()


def test_what_an_earlier_run_let_slip_is_seen(shop: Path, govrun: Govrun) -> None:
    bound(shop, CLIENT, "freeze")
    clean(govrun("sh", "-c", EDIT))
    (shop / SLIPPED).write_text("import requests\n")
    bound(shop, CLIENT, "v1")
    outcome = govrun("sh", "-c", f"{EDIT}; cat {SLIPPED}")
    taken_back(outcome, "one-http-client", SLIPPED)
    assert "imports requests" in outcome.stderr
    assert outcome.stdout == b"import requests\n" == (shop / SLIPPED).read_bytes()
    clean(govrun("sh", "-c", f"echo 'import httpx, os' > {SLIPPED}; git commit -qam mended"))
    assert "import httpx, os" in git(govrun, shop, "show", f"HEAD:{SLIPPED}")
    assert " 0 govrun/1 PASSED " in note(govrun, shop)


def test_what_the_revision_holds_is_tolerated_where_it_is_and_where_it_goes(shop: Path, govrun: Govrun) -> None:
    bound(shop, CLIENT, "v1")
    script = (
        "echo 'x = 1' >> src/old.py; git mv src/old.py src/new.py; echo 'y = 1' >> src/new.py; git commit -qm moved -a"
    )
    clean(govrun("sh", "-c", script))
    assert text(shop, "src/new.py") == "import requests\nx = 1\ny = 1\n"
    # As after a move that an earlier run made, it is what the same path says there.
    taken_back(govrun("sh", "-c", "echo 'z = 1' >> src/new.py; sleep 0"), "one-http-client", "src/new.py")


def test_a_move_takes_what_is_tolerated_along_once(shop: Path, govrun: Govrun) -> None:
    bound(shop, CLIENT, "v1")
    outcome = govrun("sh", "-c", "mv src/old.py src/new.py; echo 'import requests' > src/old.py; ls src")
    taken_back(outcome, "one-http-client", "src/old.py")
    assert outcome.stdout == b"app.py\nnew.py\n"


def test_what_was_resolved_is_recorded(shop: Path, govrun: Govrun) -> None:
    commit = git(govrun, shop, "rev-parse", "v1").strip()
    bound(shop, CLIENT, "v1")
    # Where the name leads later does not matter: a run may move a tag.
    outcome = govrun("sh", "-c", f"git tag -f v1 HEAD; {EDIT}; cat {SLIPPED}")
    taken_back(outcome, "one-http-client", SLIPPED)
    (record,) = [each for each in outcome.records(kind="policy") if each["op"].get("call") == "baseline"]
    assert record["op"] == {"call": "baseline", "detail": "v1", "commit": commit}
    assert outcome.run_dir is not None
    meta = json.loads((outcome.run_dir / "meta.json").read_text())
    assert meta["baselines"] == {"v1": commit}
    later = git(govrun, shop, "rev-parse", "v1").strip()
    assert later != commit
    assert f"what is new is told by v1 ({later[:12]})" in govrun.cli("explain").ok().stdout.decode()


def test_exactly_what_was_committed_may_come_back_and_no_more(shop: Path, govrun: Govrun) -> None:
    bound(shop, CLIENT, "v1")
    clean_but_noted = govrun("sh", "-c", f"rm {SLIPPED}; git checkout {SLIPPED}; cat {SLIPPED}").ok()
    assert clean_but_noted.stdout == b"import requests\n" and not clean_but_noted.denied()
    patch = f"--- a/{SLIPPED}\n+++ b/{SLIPPED}\n@@ -1 +1,2 @@\n import requests\n+x = 1\n"
    (shop.parent / "p").write_text(patch)
    outcome = govrun("git", "apply", str(shop.parent / "p"))
    taken_back(outcome, "one-http-client", SLIPPED)
    assert text(shop) == "import requests\n"


def test_a_commit_by_hand_is_judged_like_that(shop: Path, govrun: Govrun) -> None:
    bound(shop, CLIENT, "v1")
    script = (
        f"blob=$(printf 'import requests\\nx = 1\\n' | git hash-object -w --stdin); "
        f"git update-index --cacheinfo 100644,$blob,{SLIPPED}; git commit -qm sly"
    )
    before = git(govrun, shop, "rev-parse", "HEAD")
    outcome = govrun("sh", "-c", script)
    assert outcome.denied("one-http-client"), outcome.stderr
    assert git(govrun, shop, "rev-parse", "HEAD") == before
    bound(shop, CLIENT, "freeze")
    git(govrun, shop, "reset", "-q", "--hard")
    clean(govrun("sh", "-c", script))


def test_a_rule_that_only_warns_speaks_once(shop: Path, govrun: Govrun) -> None:
    bound(shop, CLIENT + 'then = "warn"\n', "v1")
    outcome = govrun("sh", "-c", f"{EDIT}; true; /bin/true; {EDIT}; /bin/true").ok()
    assert len(outcome.records(verdict="warn", invariant="one-http-client")) == 1
    assert text(shop) == "import requests\nx = 1\nx = 1\n"


def test_what_may_stand_in_a_lock_is_told_by_the_revision(shop: Path, govrun: Govrun) -> None:
    packages = {"": {"name": "x"}, "node_modules/lodash": {"version": "4.17.21"}}
    lock = json.dumps({"name": "x", "lockfileVersion": 3, "packages": packages})
    (shop / "package-lock.json").write_text(lock)
    git(govrun, shop, "add", "-A")
    git(govrun, shop, "commit", "-qm", "lock")
    arrives = "mkdir -p node_modules/lodash"
    for baseline, code in (("freeze", 0), ("HEAD", 0), ("v1", 1)):
        (shop / "node_modules").mkdir(exist_ok=True)
        bound(shop, CLIENT, baseline)
        outcome = govrun("sh", "-c", arrives)
        assert (outcome.code, bool(outcome.denied("one-http-client"))) == (code, bool(code)), baseline
        if not code:
            (shop / "node_modules" / "lodash").rmdir()


BOUNDARY = '[[boundary]]\nid = "inner"\nadr = "0003"\ndeny = ["src/domain/** -> src/db/**"]\n'
SECRET = '[[secrets]]\nid = "written"\nadr = "0003"\npatterns = ["FAKE-[0-9]+"]\n'
INFRA = '[[infra]]\nid = "no-root"\nadr = "0003"\nfiles = ["run.yaml"]\nat = "user"\nnever = "root"\n'


@pytest.mark.parametrize(
    ("rules", "ident", "name", "bad"),
    [
        (BOUNDARY, "inner", "src/domain/order.py", "from db import rows"),
        (SECRET, "written", "notes.txt", "FAKE-123"),
        (INFRA, "no-root", "run.yaml", "user: root"),
    ],
    ids=["boundary", "secrets", "infra"],
)
def test_every_kind_of_content(repo: Path, govrun: Govrun, rules: str, ident: str, name: str, bad: str) -> None:
    tree_of(govrun, repo, HEAD, {"src/db/rows.py": "ROWS = 1\n", name: "# nothing\n", f"{name}.txt": ""})
    (repo / name).write_text(f"{bad}\n")
    git(govrun, repo, "commit", "-qam", "by hand")
    edit = f"echo '# more' >> {name}"
    bound(repo, rules, "HEAD")
    clean(govrun("sh", "-c", edit))
    bound(repo, rules, "HEAD~1")
    taken_back(govrun("sh", "-c", edit), ident, name)
    assert govrun.cli("check").code == 1
    bound(repo, rules, "HEAD")
    assert govrun.cli("check").code == 0


# ------------------------------------------------------------------------------------------------- govrun check


def checked(govrun: Govrun, *words: str) -> tuple[int, list[tuple[str, bool]]]:
    outcome = govrun.cli("check", "--json", *words)
    lines = [json.loads(line) for line in outcome.stdout.splitlines()]
    return outcome.code, [(each["path"], each["tolerated"]) for each in lines[:-1]]


def test_check_tells_what_is_new_since(shop: Path, govrun: Govrun) -> None:
    bound(shop, CLIENT, "freeze")
    assert checked(govrun) == (1, [(SLIPPED, True), ("src/old.py", True)])
    bound(shop, CLIENT, "v1")
    assert checked(govrun) == (1, [(SLIPPED, False)])
    # What the tree is compared with beside that is for rules that name no revision.
    assert checked(govrun, "--base", "HEAD") == (1, [(SLIPPED, False)])
    (shop / SLIPPED).write_text("import httpx\n")
    assert checked(govrun) == (0, [])


def test_a_remote_branch(shop: Path, govrun: Govrun) -> None:
    git(govrun, shop, "update-ref", "refs/remotes/origin/main", "v1")
    bound(shop, CLIENT, "origin/main")
    assert checked(govrun) == (1, [(SLIPPED, False)])
    taken_back(govrun("sh", "-c", EDIT), "one-http-client", SLIPPED)
    git(govrun, shop, "update-ref", "refs/remotes/origin/main", "main")
    assert checked(govrun) == (0, [])
    clean(govrun("sh", "-c", EDIT))


@pytest.mark.parametrize("revision", ["origin/main", "v2", "HEAD~9", "HEAD:src", "v1^{tree}"])
def test_a_revision_that_is_no_commit(shop: Path, govrun: Govrun, revision: str) -> None:
    bound(shop, CLIENT, revision)
    outcome = govrun("touch", "ran")
    assert outcome.code == 125 and not (shop / "ran").exists()
    assert f"cannot find the commit {revision!r} that is a baseline" in outcome.stderr
    assert "govrun.toml:3: one-http-client" in outcome.stderr and "Traceback" not in outcome.stderr
    assert govrun.cli("check").code == 2


def test_without_a_repository(govrun: Govrun, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    bound(plain, CLIENT.replace('adr = "0003"', 'why = "x"'), "v1")
    outcome = govrun("touch", "ran", cwd=plain)
    assert outcome.code == 125 and "this is no git repository" in outcome.stderr and not (plain / "ran").exists()
    assert govrun.cli("check", cwd=plain).code == 2


# ------------------------------------------------------------------------------------- what is applied, canaries


@pytest.mark.needs("gcc")
def test_what_is_applied_is_judged_by_the_revision(repo: Path, govrun: Govrun, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "k.c").write_text('const char name[] = "kubectl"; int main(void) { return 0; }\n')
    subprocess.run(["gcc", "-o", tmp_path / "tools/kubectl", tmp_path / "k.c"], check=True)
    env = {"PATH": f"{tmp_path / 'tools'}:{govrun.env['PATH']}"}
    pod = "kind: Pod\nspec:\n  hostNetwork: {}\n"
    rules = (
        '[[infra]]\nid = "no-host"\nadr = "0003"\nfiles = ["k8s/*.yaml"]\nat = "spec"\nnever = { hostNetwork = true }\n'
    )
    tree_of(govrun, repo, HEAD, {"k8s/old.yaml": pod.format("true"), "k8s/a.yaml": pod.format("false")})
    (repo / "k8s/a.yaml").write_text(pod.format("true"))
    for baseline, name, refused in (("freeze", "a", False), ("HEAD", "a", True), ("HEAD", "old", False)):
        bound(repo, rules, baseline)
        outcome = govrun("kubectl", "apply", "-f", f"k8s/{name}.yaml", env=env)
        assert outcome.code == (126 if refused else 0), outcome.stderr
        assert bool(outcome.denied("no-host")) is refused, (baseline, name, outcome.stderr)


@pytest.mark.parametrize(("line", "stopped"), [("import requests", True), ("import httpx", False)])
def test_a_canary_is_planted_under_the_same_baseline(shop: Path, govrun: Govrun, line: str, stopped: bool) -> None:
    canary = (
        '[[contract]]\nid = "bites"\nproves = ["one-http-client"]\nwhen = "stop"\ncanary = "checks/planted.patch"\n'
    )
    patch = f"--- /dev/null\n+++ b/src/planted.py\n@@ -0,0 +1 @@\n+{line}\n"
    tree_of(govrun, shop, HEAD + CLIENT + 'baseline = "v1"\n' + canary, {"checks/planted.patch": patch})
    outcome = govrun("sh", "-c", "echo 'x = 1' >> README.md")
    assert outcome.code == (0 if stopped else 123), outcome.stderr
    assert govrun.cli("test", "--run").code == (0 if stopped else 1)
