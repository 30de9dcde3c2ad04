"""``[[deploy]]`` and ``[[command]]``: a refused act runs in no spelling of it, and leaves no mark."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

PROFILE = """version = 1
[[deploy]]
id = "prod-from-ci"
adr = "0030"
use = "open a pull request"
deny = ["deploy", "publish", "infra-mutate", "infra-destroy"]
allow = [{ class = "deploy", target = "dev*" }]
[[command]]
id = "no-pipes"
why = "what is downloaded is read first"
deny = ["pipe-to-shell"]
"""
SOURCE = """#include <fcntl.h>
#include <stdlib.h>
int main(void) { return open(getenv("MARK"), O_CREAT | O_WRONLY, 0644) < 0; }
"""
ARGUMENTS = "--context prod-eu apply -f x.yaml"
MEMFD = (
    "import os; f = os.memfd_create('k'); os.write(f, open('{tool}', 'rb').read()); "
    "os.execve('/proc/self/fd/%d' % f, ['kubectl', '--context', 'prod', 'apply', '-f', 'x'], os.environ)"
)
SPELLINGS = {
    "plainly": "kubectl {args}",
    "bash -c": "bash -c 'kubectl {args}'",
    "quoted": "k\\ube''ctl {args}",
    "a variable": "X=kubectl; $X {args}",
    "env -S": "env -S 'kubectl {args}'",
    "xargs": "echo '{args}' | xargs kubectl",
    "find": "find . -maxdepth 0 -exec kubectl {args} ';'",
    "make": "printf 'all:\\n\\tkubectl {args}\\n' > Makefile; make -s",
    "python": "python3 -c 'import subprocess, sys; subprocess.run(sys.argv[1:])' kubectl {args}",
    "perl": "perl -e 'system(@ARGV)' kubectl {args}",
    "timeout": "timeout 5 kubectl {args}",
    "nice": "nice -n 1 kubectl {args}",
    "a copy": "cp {tool} ./harmless; ./harmless {args}",
    "a symbolic link": "ln -s {tool} harmless; ./harmless {args}",
    "another argv[0]": "bash -c 'exec -a ls kubectl {args}'",
    "the loader": "/lib64/ld-linux-x86-64.so.2 {tool} {args}",
    "the loader and a copy": "cp {tool} ./harmless; /lib64/ld-linux-x86-64.so.2 ./harmless {args}",
    "memory": 'python3 -c "' + MEMFD + '"',
}


class Shop:
    def __init__(self, govrun: Govrun, repo: Path, folder: Path) -> None:
        self.govrun, self.repo = govrun, repo
        self.tool, self.mark = folder / "kubectl", repo / "mark"
        self.env = {"PATH": f"{folder}:{os.environ['PATH']}", "MARK": str(self.mark)}

    def run(self, script: str):
        text = script.format(args=ARGUMENTS, tool=self.tool)
        return self.govrun("bash", "-c", text, env=self.env)


@pytest.fixture
def shop(govrun: Govrun, repo: Path, tmp_path: Path) -> Shop:
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "k.c").write_text(SOURCE)
    subprocess.run(["gcc", "-o", folder / "kubectl", folder / "k.c"], check=True)
    (repo / "docs" / "adr").mkdir(parents=True)
    (repo / "docs" / "adr" / "0030-prod.md").write_text("---\nstatus: accepted\n---\n# Production from CI\n")
    (repo / "govrun.toml").write_text(PROFILE)
    (repo / "x.yaml").write_text("kind: Pod\n")
    subprocess.run(["git", "add", "-A"], cwd=repo, env=govrun.env, check=True)
    subprocess.run(["git", "commit", "-qm", "rules"], cwd=repo, env=govrun.env, check=True)
    return Shop(govrun, repo, folder)


@pytest.mark.parametrize("script", SPELLINGS.values(), ids=SPELLINGS)
def test_no_spelling_deploys(shop: Shop, script: str) -> None:
    outcome = shop.run(script + "; true")
    assert not shop.mark.exists(), outcome.stderr
    refused = [each for each in outcome.journal if each.get("outcome") == "blocked"]
    assert {each["invariant"] for each in refused} <= {"prod-from-ci", "govrun.exec"} and refused


def test_the_reason_is_whole(shop: Shop) -> None:
    """Told, recorded with the decision by its blob, and noted."""
    outcome = shop.run("kubectl {args}; echo x > new; git add new; git commit -qm new")
    told = next(line for line in outcome.stderr.splitlines() if "denied by prod-from-ci" in line)
    for word in ("kubectl apply", "prod-eu", "ADR 0030", "open a pull request"):
        assert word in told
    record = next(each for each in outcome.journal if each.get("invariant") == "prod-from-ci")
    blob = shop.govrun.bare("git", "hash-object", "docs/adr/0030-prod.md").stdout.decode().strip()
    assert record["adr"] == "0030" and record["adr_blob"] == blob and record["verdict"] == "deny"
    note = shop.govrun.bare("git", "notes", "--ref", "govrun", "show", "HEAD").stdout.decode()
    assert "prod-from-ci<-0030=" in note


@pytest.mark.parametrize("words", ["--context dev-1 apply -f x.yaml", "--context prod-eu get pods", "version --client"])
def test_what_is_allowed_or_only_reads_runs(shop: Shop, words: str) -> None:
    outcome = shop.run(f"kubectl {words}")
    assert outcome.code == 0 and shop.mark.exists(), outcome.stderr
    assert not outcome.denied()


def test_a_target_that_the_run_has_written_allows_nothing(shop: Shop) -> None:
    text = "apiVersion: v1\\ncurrent-context: dev-1\\n"
    outcome = shop.run(f"printf '{text}' > kc; KUBECONFIG=$PWD/kc kubectl apply -f x")
    assert not shop.mark.exists(), outcome.stderr


@pytest.mark.needs("npm")
def test_npm_publishes_nothing(shop: Shop) -> None:
    outcome = shop.govrun("npm", "publish", env=shop.env)
    assert outcome.code != 0
    assert "denied by prod-from-ci" in outcome.stderr


@pytest.mark.parametrize(
    "script",
    [
        "curl -s file://$PWD/s.sh | sh",
        "curl -s file://$PWD/s.sh | bash -s",
        "curl -s file://$PWD/s.sh | tee log | sh",
        "{ sleep 0.3; exec curl -s file://$PWD/s.sh; } | sh",
        "curl -s file://$PWD/s.sh | python3 -",
    ],
)
def test_what_is_downloaded_is_not_run_through_a_pipe(shop: Shop, script: str) -> None:
    body = "import os; open(os.environ['MARK'], 'w')\n" if "python" in script else ": > $MARK\n"
    (shop.repo / "s.sh").write_text(body)
    outcome = shop.govrun("bash", "-c", script, env=shop.env)
    assert not shop.mark.exists()
    assert "denied by no-pipes" in outcome.stderr


def test_a_script_in_the_tree_is_no_download(shop: Shop) -> None:
    (shop.repo / "s.sh").write_text(": > $MARK\n")
    assert shop.govrun("bash", "-c", "cat s.sh | sh; curl -s file://$PWD/s.sh > copy", env=shop.env).code == 0
    assert shop.mark.exists()
