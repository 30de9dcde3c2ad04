"""From the files that a command names to documents, classes and what cannot be told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.commands import normal
from supervisor.inspection.document_nodes import Work
from supervisor.inspection.kustomizations import parts
from supervisor.inspection.worker import Inspector
from supervisor.invariants import content
from supervisor.run.applied import Applied
from supervisor.vocabulary.content import NOTHING_FOUND
from supervisor.vocabulary.events import ExecEvent
from tests import plan_kit as kit
from tests.property.world import ACTOR, policy_of, target

PROFILE = """version = 1
[[infra]]
id = "r"
why = "x"
files = ["*.yaml", "*.tf"]
at = "**.a"
never = { b = true }
"""


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    made = Inspector(content.wanted(policy_of(PROFILE)))
    yield made
    made.close()


class Asked:
    def __init__(self, inspector: Inspector, folder: Path) -> None:
        self.folder = folder
        policy = policy_of(PROFILE)._replace(tree=os.fsencode(folder))
        self.applied = Applied(policy, lambda: inspector, lambda _: True, lambda _: NOTHING_FOUND)

    def write(self, **files: str | bytes) -> None:
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def of(self, line: str, *, below: str = "", **variables: str) -> ExecEvent:
        argv = tuple(line.encode().split())
        cwd = os.path.realpath(os.fsencode(self.folder / below))
        given = {"TF_WORKSPACE": "w"} | variables
        environ = {key.encode(): value.encode() for key, value in given.items()}
        found = normal.commands(argv, argv[0], lambda: environ, cwd, lambda _: None)
        return self.applied.of(ExecEvent(ACTOR, target(argv[0]), argv[0], argv, cwd, "call", commands=found))

    def told(self, line: str, **more: str) -> tuple[list[str], str]:
        """The files read, ``~`` before a part; and what cannot be told."""
        event = self.of(line, **more)
        names = [os.fsdecode(each.path).removeprefix(f"{self.folder}/") for each in event.applied]
        marks = ["~" * each.partial + name for each, name in zip(event.applied, names, strict=True)]
        (command,) = event.commands
        assert bool(command.unread) is not command.resolved
        return marks, command.unread


@pytest.fixture
def asked(inspector: Inspector, tmp_path: Path) -> Asked:
    return Asked(inspector, tmp_path)


KUBECTL = "kubectl --context c apply"


def test_folders(asked: Asked) -> None:
    asked.write(d__b_yaml="a: 1", d__a_json="{}", d__c_txt="", d__e__f_yml="a: 1", d__e__g__h_yaml="a: 1")
    assert asked.told(f"{KUBECTL} -f d") == (["d/a.json", "d/b.yaml"], "")
    assert asked.told(f"{KUBECTL} -R -f d") == (["d/a.json", "d/b.yaml", "d/e/f.yml", "d/e/g/h.yaml"], "")


def test_a_loop_of_links_and_the_same_file_twice(asked: Asked) -> None:
    asked.write(d__x_yaml="a: 1")
    (asked.folder / "d" / "up.yaml").symlink_to("../d")
    (asked.folder / "d" / "again.yaml").symlink_to("x.yaml")
    assert asked.told(f"{KUBECTL} -R -f d -f d/x.yaml") == (["d/x.yaml"], "")


def test_kustomizations(asked: Asked) -> None:
    asked.write(
        o__kustomization_yaml="resources: [x.yaml, ../b]\ncomponents: [c]\npatchesStrategicMerge: [p.yaml]\n"
        "patches:\n- path: q.yaml\n- patch: |\n    a: {b: true}\n",
        o__x_yaml="a: 1",
        o__p_yaml="a: 1",
        o__q_yaml="a: 1",
        o__c__kustomization_yml="resources: [../c/y.yaml]\n",
        o__c__y_yaml="a: 1",
        b__Kustomization="resources: [z.yaml, ../o]\n",
        b__z_yaml="a: 1",
    )
    found, why = asked.told(f"{KUBECTL} -k o")
    assert why == ""
    assert sorted(found) == [
        *("b/Kustomization", "b/z.yaml", "o/c/kustomization.yml", "o/c/y.yaml", "o/kustomization.yaml", "o/x.yaml"),
        *("~o/kustomization.yaml", "~o/p.yaml", "~o/q.yaml"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "patches: [{patch: '{a: {b: true}}'}]",
        "patches:\n- target: {kind: X}\n  patch: |\n    a: {b: true}\n" + " " * 4 + "# " + "x" * 3000,
        "patchesStrategicMerge:\n- |\n  x: {a: {b: true}}",
        "patchesStrategicMerge: ['{x: {a: {b: true}}}']",
        'patchesJson6902: [{target: {}, patch: \'[{"op": "add", "path": "/x/a", "value": {"b": true}}]\'}]',
        "patches: [{patch: '- {op: replace, path: /x/0/a/b, value: true}'}]",
        "patches: [{path: ops.yaml}]",
        "patches:\n- patch: |-\n    &a\n    - {op: add, path: /x/a, value: {b: true}}",
        "patches: [{patch: '!!seq [{op: add, path: /x/a, value: {b: true}}]'}]",
        'patches: [{patch: "\\ufeff[{op: add, path: /x/a, value: {b: true}}]"}]',
        "patches: [{path: marked.yaml}]",
        "patches: [{path: braces.yaml}]",
        "patches: [{path: path}]",
        "patchesStrategicMerge: [patch]",
        "patchesStrategicMerge: ['{p.yaml']",
        "patchesStrategicMerge: ['x: y.yaml']",
        "patchesStrategicMerge: ['? x']",
        "commonLabels: {a: {b: true}}",
    ],
)
def test_what_a_kustomization_says_itself_is_a_patch(asked: Asked, text: str) -> None:
    asked.write(
        o__kustomization_yaml=text,
        o__ops_yaml="- op: add\n  path: /spec/containers/-\n  value: {a: {b: true}}\n",
        o__marked_yaml=b"\xef\xbb\xbf[{op: add, path: /x/a, value: {b: true}}]",
        o__braces_yaml="# {{\na: {b: true}\n# }}\n",
    )
    for name in ("path", "patch", "{p.yaml", "x: y.yaml", "? x"):
        (asked.folder / "o" / name).write_text("a: {b: true}")
    event = asked.of(f"{KUBECTL} -k o")
    assert event.commands[0].resolved, event.commands[0].unread
    said = [value.fields for each in event.applied if each.partial for value in each.now.values]
    assert (("b", (True,)),) in said


def test_operations_that_are_told_count_beside_one_that_is_not(asked: Asked) -> None:
    asked.write(o__kustomization_yaml="patches: [{path: p.yaml}]\nimages: [{name: evil}, {newTag: x}]\n")
    asked.write(o__p_yaml="- {op: remove, path: /c}\n- {op: add, path: /a, value: {b: true}}\n- {op: copy}\n")
    event = asked.of(f"{KUBECTL} -k o")
    assert "operations" in event.commands[0].unread
    said = [value.fields for each in event.applied if each.partial for value in each.now.values]
    assert (("b", (True,)),) in said
    told, _ = parts("images: [{name: evil}, {newTag: x}]", Work(lambda: None))
    assert b'{"spec": {"containers": [{"image": "evil"}]}}' in told


def test_images_are_told_where_objects_have_them() -> None:
    text = "images:\n- {name: app, newName: evil, newTag: '1'}\n- {name: b, digest: 'sha256:0'}\nnamespace: n\n"
    told, why = parts(text, Work(lambda: None))
    assert why == ""
    assert {b'{"spec": {"containers": [{"image": "evil:1"}]}}', b'{"metadata": {"namespace": "n"}}'} <= set(told)
    assert b'{"spec": {"template": {"spec": {"initContainers": [{"image": "b@sha256:0"}]}}}}' in told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("configMapGenerator: [{name: x, literals: [a=b]}]", "configMapGenerator"),
        ("secretGenerator: [{name: x, literals: [a=b]}]", "secretGenerator"),
        ("replacements: [{source: {kind: X}}]", "replacements"),
        ("transformers: ['{kind: X}']", "transformers"),
        ("images: [{newTag: x}]", "images"),
        ("components: [https://example.com/x]", "https://example.com/x"),
        ("newKey: [a]", "newKey"),
        ("patches: [{patch: '- {op: remove, path: /a}'}]", "operations"),
        ("patches: [{patch: 'a: ['}]", "not YAML"),
        ("patches: [{path: ops.yaml}]", "operations"),
        ("patches: [x]", "what it takes in"),
        ('patches: [{patch: \'--- [{"op": "add", "path": "/x/a", "value": {"b": true}}]\'}]', "it is parted by --- ["),
        ("patches:\n- patch: |-\n    a: 1\n    ---#x: |\n     b: 1", "it is parted by ---#x: |"),
        ("patches: [{path: {a: b}}]", "what it takes in"),
        ("patchesStrategicMerge: ['a: [']", "a: [: it is not there"),
    ],
)
def test_what_a_kustomization_makes_that_cannot_be_told(asked: Asked, text: str, why: str) -> None:
    asked.write(o__kustomization_yaml=text, o__ops_yaml="- {op: remove, path: /a}")
    assert why in asked.told(f"{KUBECTL} -k o")[1]


@pytest.mark.parametrize("odd", ["---#x: |\n b: 1", "--- |\n b: 1", "---x: 1\nb: 1", "--- {a: 1}"])
def test_documents_that_others_part_elsewhere(asked: Asked, odd: str) -> None:
    """kubectl and kustomize split text before anybody reads YAML."""
    asked.write(d__a_yaml=f"a: 1\n{odd}\n", o__kustomization_yaml="resources: [../d/a.yaml]")
    for line in (f"{KUBECTL} -f d/a.yaml", f"{KUBECTL} -k o"):
        assert "it is parted by" in asked.told(line)[1]
    asked.write(d__a_yaml="---\na: 1\n--- # two\nb: |\n  --- x\n---  \r\nc: 1\n---\t#\n")
    assert asked.told(f"{KUBECTL} -f d/a.yaml") == (["d/a.yaml"], "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("resources: [https://example.com/x]\n", "it takes in https://example.com/x"),
        ("resources: [github.com/a/b?ref=1]\n", "it takes in github.com/a/b"),
        ("helmCharts: [{name: x}]\n", "it takes in a chart"),
        ("resources: [nowhere]\n", "it is not there"),
        ("resources: [\n", "not YAML"),
    ],
)
def test_kustomizations_that_cannot_be_told(asked: Asked, text: str, why: str) -> None:
    asked.write(o__kustomization_yaml=text)
    assert why in asked.told(f"{KUBECTL} -k o")[1]
    asked.write(p__x_yaml="")
    assert "no kustomization" in asked.told(f"{KUBECTL} -k p")[1]


def test_bounds(asked: Asked) -> None:
    for number in range(300):
        (asked.folder / f"{number}.yaml").write_text("a: 1")
    found, why = asked.told(f"{KUBECTL} -f .")
    assert len(found) == 256 and "too much" in why
    asked.write(deep__kustomization_yaml="resources: [../n0]\n")
    for number in range(100):
        asked.write(**{f"n{number}__kustomization_yaml": f"resources: [../n{number + 1}]\n"})
    assert "more than 16 times" in asked.told(f"{KUBECTL} -k deep")[1]


UP = "docker -H ssh://h compose up"


def test_compose_reads_an_override_beside_its_own_name(asked: Asked) -> None:
    asked.write(compose_yaml="services: {}\n", compose_override_yml="services: {}\n")
    assert asked.told(UP) == (["compose.yaml", "~compose.override.yml"], "")
    assert asked.told("docker -H ssh://h compose -f compose.yaml up") == (["compose.yaml"], "")


def test_every_usual_name_of_a_compose_file_counts(asked: Asked) -> None:
    """``DefaultFileNames`` and ``DefaultOverrideFileNames`` of compose-go, which others go through in another order."""
    names = ["compose.yml", "docker-compose.yaml", "docker-compose.yml"]
    for name in (*names, "docker-compose.override.yaml"):
        (asked.folder / name).write_text("services: {}\n")
    found, why = asked.told(UP)
    assert (sorted(found[:3]), found[3:], why) == (names, ["~docker-compose.override.yaml"], "")


@pytest.mark.parametrize("where", [".env", "d/.env", "x.env", "y.env", "p/.env"])
def test_settings_of_compose_may_name_others(asked: Asked, where: str) -> None:
    asked.write(compose_yaml="services: {}\n", d__x="", p__compose_yaml="services: {}\n")
    line, more, names = UP, {"below": "d"} if where == "d/.env" else {}, ["compose.yaml"]
    if where == "x.env":
        line = "docker -H ssh://h compose --env-file x.env up"
    elif where == "y.env":
        more = {"COMPOSE_ENV_FILES": "z.env,y.env"}
    elif where == "p/.env":
        line, names = "docker -H ssh://h compose --project-directory p up", ["p/compose.yaml"]
    settings = asked.folder / where
    settings.write_text("X=1\n")
    assert asked.told(line, **more) == (names, "")
    for text in ("COMPOSE_FILE=other\n", "COMPOSE_PATH_SEPARATOR=;\n"):
        settings.write_text(text)
        assert "it names Compose files" in asked.told(line, **more)[1]
    variable = {"COMPOSE_FILE": "compose.yaml"}
    assert "it names Compose files" in asked.told(line, **more, **variable)[1] or where == "d/.env"
    settings.write_text("COMPOSE_FILE=other\n")
    if where != "d/.env":  # it is not given to a folder that has none
        assert asked.told(line, **more, **variable)[1] == ""
    assert asked.told(line.replace("compose", "compose -f compose.yaml", 1), below="")[1] == ""


@pytest.mark.parametrize(
    ("files", "line", "names"),
    [
        ({"d__c": "include: [x]", "x": "", "d__x": ""}, "--project-directory . -f d/c", ["d/c", "d/x", "x"]),
        ({"d__c": "", "e__c": "include: [x]", "d__x": "", "e__x": ""}, "-f d/c -f e/c", ["d/c", "d/x", "e/c", "e/x"]),
        ({"d__c": "include: [{path: [../e/y, ../f/z]}]", "e__y": "", "f__z": "include: [x]", "e__x": "", "f__x": ""},
         "-f d/c", ["d/c", "e/x", "e/y", "f/x", "f/z"]),
        ({"d__compose_yaml": "", "compose_yaml": ""}, "--workdir d", ["d/compose.yaml"]),
    ],
)  # fmt: skip
def test_where_names_in_compose_files_start(asked: Asked, files: dict[str, str], line: str, names: list[str]) -> None:
    """At the folder of the project, of the first of a list, or (docker-compose 1, podman-compose) of each file."""
    asked.write(**{name: text or "services: {}" for name, text in files.items()})
    found, why = asked.told(f"docker -H ssh://h compose {line} up")
    assert (sorted(found), why) == (names, "")


def test_names_go_up_from_where_a_link_lies_and_from_where_it_leads(asked: Asked) -> None:
    empty = "services: {}"
    asked.write(far__deep__c="include: [x, ../y]", far__deep__x=empty, far__y=empty, x=empty, d__x=empty, y=empty)
    (asked.folder / "d/c").symlink_to("../far/deep/c")
    line = "docker -H ssh://h compose -f d/c up"
    assert sorted(asked.told(line)[0]) == ["d/x", "far/deep/c", "y"]
    (asked.folder / "link").symlink_to("far/deep")
    assert sorted(asked.told("docker -H ssh://h compose -f link/../y up")[0]) == ["far/y", "y"]
    up = "docker -H ssh://h compose -f ../y up"
    assert asked.told(up, below="far/deep")[0] == ["far/y"]
    assert sorted(asked.told(up, below="far/deep", PWD=f"{asked.folder}/link")[0]) == ["far/y", "y"]
    assert asked.told(up, below="far/deep", PWD=f"{asked.folder}/d")[0] == ["far/y"]
    asked.write(far__d__compose_yaml=empty, d__compose_yaml=empty)
    assert sorted(asked.told(UP, below="far/d", PWD=f"{asked.folder}/link/../d")[0]) == [
        "d/compose.yaml",
        "far/d/compose.yaml",
    ]


def test_what_is_taken_in_twice_leads_on_from_both_places(asked: Asked) -> None:
    asked.write(
        k="resources: [x.yaml]\n",
        o__x_yaml="b: 1\n",
        p__x_yaml="b: 2\n",
        top__kustomization_yaml="resources: [../o, ../p]\n",
    )
    for folder in "op":
        (asked.folder / folder / "kustomization.yaml").symlink_to("../k")
    found, why = asked.told(f"{KUBECTL} -k top")
    assert (sorted(found), why) == (["k", "o/x.yaml", "p/x.yaml", "top/kustomization.yaml"], "")
    asked.write(
        c="include: [q/y, f]", f="include: [{path: [r/z, q/y]}]", q__y="include: [x]", r__z="services: {}",
        q__x="services: {}", r__x="services: {}",
    )  # fmt: skip
    found, why = asked.told("docker -H ssh://h compose -f c up")
    assert (sorted(found), why) == (["c", "f", "q/x", "q/y", "r/x", "r/z"], "")


def test_settings_are_held_where_they_lie(asked: Asked) -> None:
    asked.write(compose_yaml="services: {}", real="X=1\n")
    (asked.folder / ".env").symlink_to("real")
    asked.of(UP)
    held = {(os.path.basename(each.path), each.inode) for each in asked.applied.held}
    info = (asked.folder / "real").stat()
    assert {(b".env", (0, 0)), (b"real", (info.st_dev, info.st_ino))} <= held
    assert asked.told("docker -H ssh://h compose --env-file /dev/null up") == (["compose.yaml"], "")
    assert asked.told("docker -H ssh://h compose --env-file /dev/full up")[1].startswith("/dev/full: ")


def test_a_kustomization_that_is_a_link_leads_on_from_where_it_lies(asked: Asked) -> None:
    asked.write(o__sub__k="resources: [x.yaml]\n", o__sub__x_yaml="b: 1\n", o__x_yaml="b: 2\n")
    (asked.folder / "o/kustomization.yaml").symlink_to("sub/k")
    assert asked.told(f"{KUBECTL} -k o")[0] == ["o/sub/k", "o/x.yaml"]


def test_a_service_that_extends_another_file(asked: Asked) -> None:
    asked.write(
        c="services:\n  x: {extends: {file: d/e.yaml, service: y}}\ninclude:\n- {path: [f, g]}\n",
        d__e_yaml="services: {}\n", f="services: {}\n", g="services: {}\n",
    )  # fmt: skip
    assert sorted(asked.told("docker -H ssh://h compose -f c up")[0]) == ["c", "d/e.yaml", "f", "g"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("include: [path]", ["path"]),
        ("include: [{path: path}]", ["path"]),
        ("include: [{path: [path], env_file: x}]", ["path"]),
        ("include: [env_file, project_directory]", ["env_file", "project_directory"]),
        ("include: [{path: env_file}, {path: project_directory}]", ["env_file", "project_directory"]),
    ],
)
def test_names_that_are_also_words_of_compose(asked: Asked, text: str, names: list[str]) -> None:
    asked.write(c=text)
    for name in names:
        (asked.folder / name).write_text("services: {}\n")
    assert asked.told("docker -H ssh://h compose -f c up") == (["c", *names], "")


@pytest.mark.parametrize(
    "line",
    [
        "docker -H ssh://h compose --progress plain up -d",
        "docker -H ssh://h compose --parallel 3 --ansi never up",
        "docker -H ssh://h compose --progress=plain watch",
        "docker-compose -H ssh://h --parallel 3 up",
        "docker-compose -H ssh://h watch --no-up",
    ],
)
def test_options_before_the_word_of_compose(asked: Asked, line: str) -> None:
    asked.write(compose_yaml="services: {}\n")
    assert asked.told(line) == (["compose.yaml"], "")


def test_what_compose_takes_in_that_cannot_be_told(asked: Asked) -> None:
    asked.write(d__e_yaml="services: {}\n", c="include: [{path: d/e.yaml, project_directory: x}]")
    assert "cannot be told" in asked.told("docker -H ssh://h compose -f c up")[1]
    far = "a" * 65 + "@h.example:x"
    asked.write(**{"${F}": "services: {}", "~": "services: {}", far: "services: {}"})
    for name in ("${F}", "a@h:b", "github.com/a/b", "~", "~/x", far, "a\\0b"):
        asked.write(c=f'include: ["{name}"]')
        assert asked.told("docker -H ssh://h compose -f c up")[1], name
    asked.write(c="include: [[a]]")
    assert "cannot be told" in asked.told("docker -H ssh://h compose -f c up")[1]


def test_an_override_is_no_template(asked: Asked) -> None:
    asked.write(compose_yaml="a: 1\n", compose_override_yml="# {{\na: {b: true}\n# }}\n")
    override = asked.of("docker -H ssh://h compose up").applied[1]
    assert override.now.values[0].fields == (("b", (True,)),)


HELM = "helm --kube-context c install r chart"


def test_folders_of_a_chart_that_are_links(asked: Asked) -> None:
    asked.write(
        chart__Chart_yaml="", real__a_yaml="a: 1", deeper__b_yaml="a: 1", crd__c_yaml="a: 1", sub__Chart_yaml="",
        sub__templates__d_yaml="a: 1", sub__templates__e_txt="a: 1", real__NOTES_txt="a: 1", real__f_yaml="a: 1",
    )  # fmt: skip
    (asked.folder / "subs").mkdir()
    (asked.folder / "real" / "_f.tpl").write_text("a: 1")
    for name, to in (
        ("chart/templates", "../real"), ("chart/crds", "../crd"), ("chart/charts", "../subs"), ("subs/s", "../sub"),
        ("real/below", "../deeper"),
    ):  # fmt: skip
        (asked.folder / name).symlink_to(to)
    files, why = asked.told(HELM)
    assert why == ""
    assert sorted(files) == [
        *("crd/c.yaml", "~deeper/b.yaml", "~real/a.yaml", "~real/f.yaml"),
        *("~sub/templates/d.yaml", "~sub/templates/e.txt"),
    ]
    held = {each.path for each in asked.applied.held}
    assert {os.fsencode(asked.folder / each) for each in ("subs", "chart/charts", "subs/s", "chart/templates")} <= held


def test_more_charts_in_a_chart_than_are_read(asked: Asked) -> None:
    asked.write(chart__Chart_yaml="")
    (asked.folder / "chart" / "charts").mkdir()
    for number in range(2001):
        (asked.folder / "chart" / "charts" / str(number)).touch()
    assert "more than 2000 names" in asked.told(HELM)[1]


def test_plans(asked: Asked) -> None:
    asked.write(p=kit.plan(kit.change("a_b.c", 1, {}), workspace="w"), q=kit.plan(kit.change("a_b.c", 5, {})), n="no")
    (make,) = asked.of("terraform apply p").commands
    assert (make.classes, make.targets, make.resolved) == (("infra-mutate",), ("w",), True)
    (destroy,) = asked.of("terraform apply q").commands
    assert (destroy.classes, destroy.targets) == (("infra-mutate", "infra-destroy"), ("w", "default"))
    for line in ("terraform apply n", "terraform apply nowhere"):
        (broken,) = asked.of(line).commands
        assert (broken.classes, broken.resolved) == (("infra-mutate", "infra-destroy"), False)


def test_the_same_bytes_are_read_once_and_other_bytes_anew(asked: Asked) -> None:
    asked.write(x_yaml="a: {b: true}")
    first = asked.of(f"{KUBECTL} -f x.yaml").applied[0].now
    assert asked.of(f"{KUBECTL} -f x.yaml").applied[0].now is first
    asked.write(x_yaml="a: {b: false}")
    assert asked.of(f"{KUBECTL} -f x.yaml").applied[0].now.values[0].fields == (("b", (False,)),)
