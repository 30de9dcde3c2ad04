"""``[[infra]]`` in real runs: what a document must and must never say, on every way into the tree."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.e2e.rule_kit import clean, git, note, taken_back, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun

PROFILE = """version = 1
[[infra]]
id = "no-open-ingress"
adr = "0003"
use = "a range of your own"
files = ["infra/**/*.tf"]
at = "resource.aws_security_group_rule.*"
never = { type = "ingress", cidr_blocks = ["0.0.0.0/0"] }

[[infra]]
id = "no-privileged"
adr = "0003"
files = ["k8s/**"]
at = "**.containers[*]"
never = { "securityContext.privileged" = true }

[[infra]]
id = "pinned-actions"
adr = "0003"
files = [".github/workflows/*.yml"]
at = "jobs.*.steps[*].uses"
must = "regex:@[0-9a-f]{40}$"

[[infra]]
id = "no-root"
adr = "0003"
files = ["Dockerfile"]
at = "final"
must = { user = "regex:^[a-z]+$" }
"""
RULE = 'resource "aws_security_group_rule" "{name}" {{\n  type = "ingress"\n  cidr_blocks = ["{range}"]\n}}\n'
POD = (
    "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: {name}\n    securityContext:\n      privileged: {yes}\n"
)
FLOW = "on: push\njobs:\n  build:\n    runs-on: x\n    steps:\n    - uses: actions/checkout@{ref}\n"
IMAGE = "FROM example/base:1.2\nRUN true\nUSER {user}\n"


class Case(NamedTuple):
    rule: str
    file: str
    base: str
    good: str
    bad: str


CASES = {
    "terraform": Case(
        "no-open-ingress", "infra/net/main.tf", RULE.format(name="a", range="10.0.0.0/8"),
        RULE.format(name="a", range="10.0.0.0/8") + RULE.format(name="b", range="192.0.2.0/24"),
        RULE.format(name="a", range="10.0.0.0/8") + RULE.format(name="b", range="0.0.0.0/0"),
    ),
    "k8s, second document": Case(
        "no-privileged", "k8s/pods.yaml", POD.format(name="one", yes="false"),
        POD.format(name="one", yes="false") + "---\n" + POD.format(name="two", yes="false"),
        POD.format(name="one", yes="false") + "---\n" + POD.format(name="two", yes="true"),
    ),
    "workflow": Case(
        "pinned-actions", ".github/workflows/ci.yml", FLOW.format(ref="0" * 40), FLOW.format(ref="1" * 40), FLOW.format(ref="v4"),
    ),
    "Dockerfile": Case(
        "no-root", "Dockerfile", IMAGE.format(user="app"), IMAGE.format(user="web"), IMAGE.format(user="0"),
    ),
}  # fmt: skip


def made(govrun: Govrun, repo: Path, name: str) -> Case:
    case = CASES[name]
    # Workflows are protected by pack:default, so that no rule would come to see them.
    profile = PROFILE.replace("version = 1\n", "version = 1\nextends = []\n") if name == "workflow" else PROFILE
    return tree_of(govrun, repo, profile, {case.file: case.base, "good": case.good, "bad": case.bad}) and case


@pytest.mark.parametrize("way", ["cat {text} > {file}", "cp {text} new; mv new {file}", "rm {file}; cp {text} {file}"])
@pytest.mark.parametrize("name", CASES)
def test_violations_are_taken_back_and_harmless_changes_stay(repo: Path, govrun: Govrun, name: str, way: str) -> None:
    case = made(govrun, repo, name)
    outcome = govrun("bash", "-c", way.format(text="bad", file=case.file) + "; ls > /dev/null")
    if way.startswith("rm"):  # two actions: what was removed was removed
        assert not (repo / case.file).exists() or (repo / case.file).read_text() == case.base
    else:
        assert (repo / case.file).read_text() == case.base, outcome.stderr
    taken_back(outcome, case.rule, case.file)
    assert f"{case.rule}<-0003=" in note(govrun, repo)
    (repo / case.file).write_text(case.base)
    clean(govrun("bash", "-c", way.format(text="good", file=case.file) + "; ls > /dev/null"))
    assert (repo / case.file).read_text() == case.good


@pytest.mark.parametrize("name", CASES)
def test_a_blob_that_never_was_a_file(repo: Path, govrun: Govrun, name: str) -> None:
    case = made(govrun, repo, name)
    script = "b=$(git hash-object -w {text}) && git update-index --cacheinfo 100644,$b,{file} && git commit -qm x"
    outcome = govrun("bash", "-c", script.format(text="bad", file=case.file))
    assert outcome.code != 0 and outcome.denied(case.rule), outcome.stderr
    assert git(govrun, repo, "log", "--format=%s", "-1") == "tree\n"
    clean(govrun("bash", "-c", "git reset -q --hard;" + script.format(text="good", file=case.file)))
    assert git(govrun, repo, "show", f"HEAD:{case.file}") == case.good


@pytest.mark.parametrize("name", CASES)
def test_what_the_base_says_is_tolerated_once(repo: Path, govrun: Govrun, name: str) -> None:
    case = made(govrun, repo, name)
    (repo / case.file).write_text(case.bad)
    git(govrun, repo, "commit", "-qam", "legacy")
    clean(govrun("bash", "-c", f"(echo '# a comment'; cat bad) > new; mv new {case.file}; ls > /dev/null"))
    assert (repo / case.file).read_text() == "# a comment\n" + case.bad


HALF = {
    "terraform": 'resource "aws_security_group_rule" "b" {\n  type = "ingress"\n  cidr_blocks = ["0.0.0',
    "k8s, second document": "---\nspec:\n  containers:\n  - {securityContext: {privil",
    "Dockerfile": "FROM example/other:1.2\nUSER app\nRUN one \\",
}


@pytest.mark.parametrize("name", HALF)
def test_half_written_documents_give_no_verdict(repo: Path, govrun: Govrun, name: str) -> None:
    case = made(govrun, repo, name)
    (repo / "half").write_text(case.base + HALF[name])
    clean(govrun("bash", "-c", f"cat half > {case.file}; ls > /dev/null; ls > /dev/null"))
    assert (repo / case.file).read_text() == case.base + HALF[name]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12)
)


def test_a_yaml_bomb_is_not_let_in(repo: Path, govrun: Govrun) -> None:
    """Its size in memory would be that of a disk. Where a rule looks it cannot be looked into, and could say anything;
    elsewhere it costs nothing."""
    bomb = BOMB + "spec:\n  containers: *m\n"
    tree_of(govrun, repo, PROFILE, {"k8s/pods.yaml": CASES["k8s, second document"].base, "bomb": bomb})
    outcome = govrun("bash", "-c", "cat bomb > k8s/bomb.yaml; ls > /dev/null", timeout=60)
    assert not (repo / "k8s/bomb.yaml").exists(), outcome.stderr
    assert outcome.denied("no-privileged")
    clean(govrun("bash", "-c", "head -13 bomb > k8s/fine.yaml; ls > /dev/null", timeout=60))


def test_the_pack_loads_and_refuses_its_own_examples(repo: Path, govrun: Govrun) -> None:
    tree_of(govrun, repo, 'version = 1\nextends = ["pack:infra"]\n', {})
    bad = {
        "main.tf": RULE.format(name="a", range="0.0.0.0/0").replace("type", "type     "),
        "bucket.tf": 'resource "aws_s3_bucket_acl" "x" {\n  acl = "public-read"\n}\n',
        "k8s/pod.yaml": POD.format(name="one", yes="true"),
        "Dockerfile": "FROM example/base:latest\nUSER app\n",
        ".github/workflows/ci.yml": FLOW.format(ref="v4"),
        "compose.yaml": "services:\n  a:\n    image: example/a:1\n    privileged: true\n",
    }
    good = {
        "main.tf": RULE.format(name="a", range="10.0.0.0/8"),
        "bucket.tf": 'resource "aws_s3_bucket_acl" "x" {\n  acl = "private"\n}\n',
        "k8s/pod.yaml": POD.format(name="one", yes="false").replace("name: one", "name: one\n    image: example/a:1"),
        "Dockerfile": "FROM example/base:1.2\nUSER app\n",
        ".github/workflows/ci.yml": FLOW.format(ref="0" * 40),
        "compose.yaml": "services:\n  a:\n    image: example/a:1\n",
    }
    for folder, files in (("bad", bad), ("good", good)):
        for name, text in files.items():
            (repo.parent / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (repo.parent / folder / name).write_text(text)
    outcome = govrun("bash", "-c", f"cp -r {repo.parent}/bad/. .; ls > /dev/null")
    assert [name for name in bad if (repo / name).exists()] == [], outcome.stderr
    rules = {each["invariant"] for each in outcome.denied()}
    assert rules >= {"infra-public-bucket", "infra-privileged", "infra-from-latest", "infra-pinned-actions"}, rules
    clean(govrun("bash", "-c", f"cp -r {repo.parent}/good/. .; ls > /dev/null"))
    assert [name for name in good if not (repo / name).exists()] == []


def test_a_document_that_is_too_large_to_be_read_is_taken_back(govrun: Govrun, repo: Path) -> None:
    tree = tree_of(govrun, repo, PROFILE, {"infra/main.tf": RULE.format(name="a", range="10.0.0.0/8")})
    evil = RULE.format(name="b", range="0.0.0.0/0")
    script = f"{{ head -c 9000000 /dev/zero | tr '\\0' ' '; printf '%s' '{evil}'; }} >> infra/main.tf; ls infra"
    outcome = govrun("bash", "-c", script)
    taken_back(outcome, "no-open-ingress", "infra/main.tf")
    assert "0.0.0.0/0" not in (tree / "infra" / "main.tf").read_text()
