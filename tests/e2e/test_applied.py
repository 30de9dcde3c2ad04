"""What a deploying command applies is judged before it runs: wherever the file lies, whenever it was made."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import plan_kit as kit
from tests.e2e.rule_kit import clean, note, tree_of

if TYPE_CHECKING:
    from tests.conftest import Govrun, Outcome

pytestmark = pytest.mark.needs("gcc")
PROFILE = """version = 1
extends = []
[[deploy]]
id = "dev-only"
adr = "0003"
deny = ["deploy", "publish", "infra-mutate", "infra-destroy"]
allow = [{ class = "deploy", target = "default" }, { class = "deploy", target = "dev*" }, { class = "publish", target = "example/app" }, { class = "infra-mutate", target = "default" }, { class = "infra-mutate", target = "infra/net" }]
[[infra]]
id = "no-privileged"
adr = "0003"
use = "a capability"
files = ["k8s/**/*.yaml"]
except = ["k8s/lab/**"]
at = "**.containers[*]"
never = { "securityContext.privileged" = true }
[[infra]]
id = "no-privileged-service"
adr = "0003"
files = ["compose.yaml"]
at = "services.*"
never = { privileged = true }
[[infra]]
id = "no-root"
adr = "0003"
files = ["Dockerfile"]
at = "final"
must = { user = "regex:^[a-z]+$" }
[[infra]]
id = "no-open-ingress"
adr = "0003"
files = ["infra/**/*.tf"]
at = "resource.aws_security_group_rule.*"
never = { type = "ingress", cidr_blocks = ["0.0.0.0/0"] }
"""  # noqa: E501
SOURCE = """#include <fcntl.h>
#include <stdlib.h>
const char name[] = NAME; /* a program is known by its content too */
int main(void) {
  int mark = open(getenv("MARK"), O_CREAT | O_WRONLY, 0644);
  if (getenv("GATE")) open(getenv("GATE"), O_RDONLY); /* a FIFO: until somebody opens it to write */
  return mark < 0;
}
"""
TOOLS = ("kubectl", "helm", "docker", "terraform")
POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    securityContext:\n      privileged: {yes}\n"
GOOD, BAD = POD.format(yes="false"), POD.format(yes="true")
APPLY = "kubectl --context dev-1 apply "


class Shop:
    def __init__(self, govrun: Govrun, repo: Path, folder: Path) -> None:
        self.govrun, self.repo, self.folder = govrun, repo, folder
        self.mark = repo / "mark"
        self.env = {"PATH": f"{folder / 'tools'}:{os.environ['PATH']}", "MARK": str(self.mark)}

    def run(self, script: str) -> Outcome:
        self.mark.unlink(missing_ok=True)
        return self.govrun("bash", "-c", script, env=self.env)

    def passes(self, script: str) -> None:
        clean(self.run(script))
        assert self.mark.exists()

    def refused(self, script: str, rule: str, *words: str) -> Outcome:
        """Nothing of the command ran; told with the decision, recorded with it, and noted."""
        outcome = self.run(script)
        assert not self.mark.exists(), outcome.stderr
        (found,) = [each for each in outcome.denied(rule) if each["kind"] == "exec"][:1]
        assert found["outcome"] == "blocked" and found["adr"] == "0003" and len(found["adr_blob"]) == 40
        told = next(line for line in outcome.stderr.splitlines() if f"denied by {rule}" in line)
        assert "ADR 0003" in told
        for word in words:
            assert word in told, told
        assert f"{rule}<-0003=" in note(self.govrun, self.repo)
        return outcome


@pytest.fixture
def shop(govrun: Govrun, repo: Path, tmp_path: Path) -> Shop:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "k.c").write_text(SOURCE)
    for name in TOOLS:
        subprocess.run(["gcc", f'-DNAME="{name}"', "-o", tools / name, tools / "k.c"], check=True)
    tree_of(govrun, repo, PROFILE, {"k8s/base.yaml": GOOD, "k8s/lab/pod.yaml": GOOD})
    return Shop(govrun, repo, tmp_path)


def test_a_file_outside_of_the_tree_is_judged(shop: Shop) -> None:
    (shop.folder / "good.yaml").write_text(GOOD)
    (shop.folder / "bad").write_text(GOOD + "---\n" + BAD)
    shop.passes(f"{APPLY} -f {shop.folder}/good.yaml")
    shop.refused(f"{APPLY} -f {shop.folder}/bad", "no-privileged", "privileged is true", "a capability", "/bad:")


@pytest.mark.parametrize(
    "script",
    [
        "printf '{bad}' > $TMPDIR/x.yaml; {apply} -f $TMPDIR/x.yaml",
        "printf '{bad}' > scratch; {apply} -f k8s/base.yaml,scratch",
        "mkdir -p d/in; printf '{bad}' > d/in/x.yaml; {apply} -R -f d",
        "mkdir -p d; printf '{bad}' > d/x.json; {apply} -f d",
        "mkdir -p d; printf '{bad}' > d/x.yaml; ln -s d e; cd k8s; {apply} --filename=../e",
        (
            "mkdir -p o/b; printf '{bad}' > o/b/x; printf 'resources: [x]\\n' > o/b/kustomization.yaml; "
            "printf 'bases: [../o/b]\\n' > o/kustomization.yml; {apply} -k o"
        ),
        (
            "mkdir o; cp k8s/base.yaml o/; {{ printf 'resources: [base.yaml]\npatches:\n- patch: |\n'; "
            "printf '{bad}' | sed 's/^/    /'; }} > o/kustomization.yaml; {apply} -k o"
        ),
        "printf '{bad}' > x; env kubectl --context dev-1 create -f x",
        "printf '{bad}' > x; (cd k8s && kubectl --context=dev-1 replace -f../x)",
    ],
)
def test_what_the_run_has_made_is_judged_wherever_it_lies(shop: Shop, script: str) -> None:
    fill = {"apply": APPLY, "bad": BAD.replace("\n", "\\n")}
    shop.refused(script.format(**fill), "no-privileged")
    shop.run("git clean -qfd; git checkout -q .")
    shop.passes(script.format(**fill | {"bad": GOOD.replace("\n", "\\n")}))


def test_except_and_what_the_tree_held(shop: Shop) -> None:
    text = BAD.replace("\n", "\\n")
    shop.passes(f"printf '{text}' > k8s/lab/pod.yaml; {APPLY} -f k8s/lab/pod.yaml")
    (shop.repo / "k8s" / "legacy.yaml").write_text(BAD)
    shop.passes(f"{APPLY} -f k8s/legacy.yaml")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("-f - < k8s/base.yaml", "standard input"),
        ("-f https://example.com/x.yaml", "an address"),
        ("-f <(cat k8s/base.yaml)", "through a descriptor"),
        ("-f /dev/stdin < k8s/base.yaml", "through a descriptor"),
        ("-f nowhere.yaml", "it is not there"),
        ("-f fifo", "it is no plain file"),
        ("-f link", "through a descriptor"),
        ("-k https://example.com/o?ref=1", "an address"),
    ],
)
def test_what_cannot_be_told_matches_no_allow(shop: Shop, words: str, why: str) -> None:
    prepare = "mkfifo fifo; ln -s /proc/self/cwd/k8s/base.yaml link; "
    shop.refused(prepare + APPLY + words, "dev-only", why)


@pytest.mark.parametrize(
    "text",
    ["containers: [", "containers:\n{{- range .Values.x }}\n- name: a\n", "x" * (3 << 20)],
    ids=["cut", "template", "large"],
)
def test_what_cannot_be_read_whole_is_refused(shop: Shop, text: str) -> None:
    (shop.folder / "x.yaml").write_text(text)
    shop.refused(f"{APPLY} -f {shop.folder}/x.yaml", "dev-only", "cannot be told")


def test_a_template_hides_nothing_from_what_knows_no_templates(shop: Shop) -> None:
    (shop.folder / "x.yaml").write_text("a: '{{'\n" + BAD + "b: '}}'\n")
    shop.refused(f"{APPLY} -f {shop.folder}/x.yaml", "no-privileged")


SERVICE = "services:\n  a:\n    image: example/a:1\n    privileged: {yes}\n"
IMAGE = "FROM example/base:1.2\nUSER {user}\n"


@pytest.mark.parametrize(
    "script",
    [
        "mkdir -p s/t; printf '{text}' > s/docker-compose.yml; cd s/t; docker compose up -d",
        "printf '{text}' > c; docker compose -f c -f compose.yaml run a",
        "printf '{text}' > c; printf 'include: [c]\\n' > i; docker compose -f i up",
        "printf '{text}' > c; docker stack deploy -c c s",
    ],
)
def test_compose_files(shop: Shop, script: str) -> None:
    """On this machine too, where it is no deployment."""
    (shop.repo / "compose.yaml").write_text(SERVICE.format(yes="false"))
    bad, good = (SERVICE.format(yes=word).replace("\n", "\\n") for word in ("true", "false"))
    shop.refused(script.format(text=bad), "no-privileged-service")
    shop.run("git clean -qfd -e compose.yaml")
    shop.passes(script.format(text=good))


@pytest.mark.parametrize("words", ["-f {folder}/Dockerfile .", "{folder}", "-f {folder}/Dockerfile - < /dev/null"])
def test_images_that_are_built_and_published(shop: Shop, words: str) -> None:
    folder = shop.folder / "ctx"
    folder.mkdir()
    line = "docker buildx build --push -t example/app " + words.format(folder=folder)
    (folder / "Dockerfile").write_text(IMAGE.format(user="0"))
    shop.refused(line, "no-root", "user is 0")
    (folder / "Dockerfile").write_text(IMAGE.format(user="app"))
    shop.passes(line)


def test_charts_on_disk(shop: Shop) -> None:
    chart = shop.folder / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "charts" / "sub" / "templates").mkdir(parents=True)
    for folder in (chart, chart / "charts" / "sub"):
        (folder / "Chart.yaml").write_text("name: x\n")
    template = "{{- if .Values.on }}\n" + GOOD + '      {{- include "x" . | nindent 6 }}\n{{- end }}\n'
    (chart / "templates" / "pod.yaml").write_text(template)
    line = f"helm --kube-context dev-1 upgrade --install r {chart}"
    shop.passes(line)
    (chart / "charts" / "sub" / "templates" / "pod.yaml").write_text(template.replace("false", "true"))
    shop.refused(line, "no-privileged", "sub/templates/pod.yaml")
    shop.refused("helm --kube-context dev-1 install r example/chart", "dev-only", "it is not there")
    (chart / "charts" / "sub.tgz").write_bytes(b"x")
    (chart / "charts" / "sub" / "templates" / "pod.yaml").unlink()
    shop.refused(line, "dev-only", "a packed chart is not read")


HOLD = """
mkdir -p $TMPDIR/d/k; cd $TMPDIR; mkfifo gate; printf '{good}' > d/x.yaml; printf '{bad}' > bad
ln -s d e; ln -s e f; ln d/x.yaml other; printf 'resources: [y.yaml]' > d/k/kustomization.yaml; cp d/x.yaml d/k/y.yaml
GATE=$TMPDIR/gate {apply} -f f/x.yaml -k d/k & while [ ! -e $MARK ]; do sleep 0.01; done
for act in 'cp bad d/x.yaml' 'cp bad other' 'mv bad d/x.yaml' 'mv d g' 'ln -sfn bad e' 'rm d/x.yaml' \
  'cp bad d/k/y.yaml' 'ln bad d/k/Kustomization' 'cp bad d/free' 'cp d/x.yaml away'
do $act && echo "done: $act"; done
: > gate; wait; cp bad d/x.yaml && echo "done: afterwards"
"""


def test_what_was_judged_stays_as_it_is_until_the_command_has_ended(shop: Shop) -> None:
    """Not by another name, not by the folders and links that lead to it; what it does not read is free."""
    fill = {"apply": APPLY, "good": GOOD.replace("\n", "\\n"), "bad": BAD.replace("\n", "\\n")}
    outcome = shop.run(HOLD.format(**fill))
    done = [line.removeprefix("done: ") for line in outcome.stdout.decode().splitlines()]
    assert done == ["cp bad d/free", "cp d/x.yaml away", "afterwards"], outcome.stderr
    assert "kubectl apply (process " in outcome.stderr and "has not ended" in outcome.stderr
    assert len(outcome.denied("govrun.exec")) >= 8


SWAP = """
mkdir -p $TMPDIR/s; cd $TMPDIR/s; mkfifo gate; printf '{good}' > g; KC={folder}/first:{folder}/kc
GATE=$PWD/gate KUBECONFIG=$KC kubectl {words} & while [ ! -e $MARK ]; do sleep 0.01; done
for act in 'cp {folder}/prod {folder}/kc' 'mv {folder}/prod {folder}/kc' 'ln -sfn {folder}/prod {folder}/kc' \
  'rm {folder}/kc' 'cp {folder}/prod {folder}/first' 'mv {folder} {folder}.away' 'cp {folder}/prod {folder}/free'
do $act && echo "done: $act"; done
: > gate; wait; cp {folder}/prod {folder}/kc && echo "done: afterwards"
"""


@pytest.mark.parametrize("words", ["apply -f g", "rollout restart deployment/x"])
def test_the_files_that_say_where_stay_as_they_were_judged(shop: Shop, words: str) -> None:
    """Also where no file is applied, and also those that are not there."""
    folder = shop.repo / "k"
    folder.mkdir()
    for name in ("kc", "prod"):
        (folder / name).write_text(f"current-context: {'dev1' if name == 'kc' else 'prod'}\n")
    shop.refused(f"KUBECONFIG={folder}/prod kubectl apply -f k8s/base.yaml", "dev-only", "prod")
    outcome = shop.run(SWAP.format(folder=folder, words=words, good=GOOD.replace("\n", "\\n")))
    done = [line.removeprefix("done: ") for line in outcome.stdout.decode().splitlines()]
    assert done == [f"cp {folder}/prod {folder}/free", "afterwards"], outcome.stderr
    assert f"kubectl {words.rpartition(' ')[0].removesuffix(' -f')} (process " in outcome.stderr
    assert len(outcome.denied("govrun.exec")) >= 6


def test_what_says_where_and_is_open_for_writing_tells_nothing(shop: Shop) -> None:
    (shop.repo / "kc").write_text("current-context: dev1\n")
    line = f"KUBECONFIG={shop.repo}/kc kubectl apply -f k8s/base.yaml"
    shop.passes(line)
    shop.refused(f"exec 3<> {shop.repo}/kc; {line}", "dev-only", "cannot be told")


def test_what_is_open_for_writing_may_still_change(shop: Shop) -> None:
    text = GOOD.replace("\n", "\\n")
    shop.refused(f"printf '{text}' > x; exec 3<> x; {APPLY} -f x", "dev-only", "it is open for writing")
    shop.passes(f"{APPLY} -f x")


# ----------------------------------------------------------------------------------------------------- saved plans


PLANS = Path(__file__).parents[1] / "fixtures" / "plans"
RULE = {"type": "ingress", "cidr_blocks": ["10.0.0.0/8"], "id": kit.UNKNOWN}


def put(shop: Shop, content: bytes, name: str = "p") -> Path:
    (shop.folder / name).write_bytes(content)
    return shop.folder / name


def test_a_plan_that_makes_passes_and_one_that_destroys_is_refused(shop: Shop) -> None:
    env = "TF_WORKSPACE=default "
    for name in ("create", "nothing"):
        shop.passes(f"{env} terraform apply -auto-approve {put(shop, (PLANS / f'{name}.plan').read_bytes())}")
    for name in ("replace", "destroy"):
        plan = put(shop, (PLANS / f"{name}.plan").read_bytes())
        shop.refused(f"{env} terraform apply {plan}", "dev-only", "infra-destroy")


@pytest.mark.parametrize(
    "words",
    ["apply", "apply -auto-approve", "-chdir=k8s apply", "apply -destroy", "destroy -auto-approve", "apply nowhere"],
)
def test_without_a_saved_plan_nothing_is_applied(shop: Shop, words: str) -> None:
    why = "it is not there" if "nowhere" in words else "no saved plan is named"
    shop.refused(f"TF_WORKSPACE=default terraform {words}", "dev-only", why)


def test_what_a_plan_would_make_is_judged(shop: Shop) -> None:
    address = 'module.net["x"].aws_security_group_rule.web[0]'
    bad = RULE | {"cidr_blocks": ["0.0.0.0/0"]}
    shop.passes(f"terraform apply {put(shop, kit.plan(kit.change(address, 1, RULE)))}")
    words = ("cidr_blocks is 0.0.0.0/0", 'module.net["x"].resource.aws_security_group_rule.web')
    shop.refused(f"terraform apply {put(shop, kit.plan(kit.change(address, 1, bad)))}", "no-open-ingress", *words)
    # What is there already, and stays, is no violation of this plan.
    shop.passes(f"terraform apply {put(shop, kit.plan(kit.change(address, 3, bad, bad | {'id': 'x'})))}")
    shop.refused(f"terraform apply {put(shop, kit.plan(kit.change(address, 3, RULE, bad)))}", "no-open-ingress")


def test_what_the_tree_said_is_tolerated_in_its_plan(shop: Shop) -> None:
    source = 'resource "aws_security_group_rule" "web" {\n  type = "ingress"\n  cidr_blocks = ["0.0.0.0/0"]\n}\n'
    (shop.repo / "infra" / "net").mkdir(parents=True)
    (shop.repo / "infra" / "net" / "main.tf").write_text(source)
    bad = RULE | {"cidr_blocks": ["0.0.0.0/0"]}
    put(shop, kit.plan(kit.change("aws_security_group_rule.web", 1, bad)), "same")
    put(shop, kit.plan(kit.change("aws_security_group_rule.other", 1, bad)), "other")
    shop.refused(f"terraform -chdir=infra/net apply {shop.folder}/other", "no-open-ingress")
    clean(shop.run(f"TF_WORKSPACE=default terraform -chdir=infra/net apply {shop.folder}/same"))


def test_a_plan_acts_in_its_own_workspace(shop: Shop) -> None:
    plan = put(shop, kit.plan(kit.change("a_b.c", 1, {}), workspace="prod"))
    shop.refused(f"TF_WORKSPACE=default terraform apply {plan}", "dev-only", "default prod")


NO_PLANS = {
    "empty": b"",
    "cut": b"PK",
    "encrypted": b'{"encrypted_data": "x"}',
    "garbled": kit.archive(b"\x08\x03\xff"),
    "bomb": lambda: kit.archive(b"\0" * (70 << 20)),
}


@pytest.mark.parametrize("name", NO_PLANS)
def test_what_is_no_plan_is_not_applied(shop: Shop, name: str) -> None:
    content = NO_PLANS[name]
    plan = put(shop, content() if callable(content) else content)
    shop.refused(f"TF_WORKSPACE=default terraform apply {plan}", "dev-only", "cannot be told")
