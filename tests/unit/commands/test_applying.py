"""Command lines -> the files that they would apply, and why that cannot be told."""

from __future__ import annotations

import posixpath
import shlex

import pytest

from supervisor.commands.normal import commands
from supervisor.commands.toolfiles import names, tool
from supervisor.vocabulary.applied import FAMILIES
from supervisor.vocabulary.commands import Command


def asked(line: str, **variables: str) -> Command:
    argv = tuple(word.encode() for word in shlex.split(line))
    environ = {key.encode(): value.encode() for key, value in variables.items()}
    return commands(argv, argv[0], lambda: environ, b"/w", lambda _: None)[-1]


def told(command: Command) -> str:
    """``form name``, with the folder where names start before it; ``*`` for one of several, ``^`` in folders above."""
    cells = []
    for each in command.applies:
        name = posixpath.relpath(f"{each.base}/{each.name}", "/w")
        cells.append(f"{each.form} {name}{'*' if each.options else ''}{'^' if each.up else ''}")
    return ", ".join(cells) + ("" if not command.unread else f" ? {command.unread}")


COMPOSE = "compose compose.yaml,compose.yml,docker-compose.yml,docker-compose.yaml*^"
LINES = [
    ("kubectl apply -f a.yaml -f b,c --filename=d", "manifests a.yaml, manifests b, manifests c, manifests d"),
    ("kubectl create -fa", "manifests a"),
    ("kubectl apply -k o", "kustomization o"),
    ("kubectl debug x --image y", ""),
    ("kubectl debug x --image y -- sh -c --custom=z", ""),
    ("kubectl debug x --image y --custom=c.json -- sh", " ? an option leads elsewhere"),
    ("kubectl debug --custom c.json --image y x", " ? an option leads elsewhere"),
    ("kubectl patch deploy x --patch-file p", "values p"),
    ("kubectl apply -f -", " ? it is read from standard input"),
    ("kubectl apply -f a -f -", "manifests a ? it is read from standard input"),
    ("kubectl apply -f https://example.com/x", " ? it is read from an address"),
    ("kubectl --unknown apply -f a", "manifests a"),
    ("kubectl get -f a", ""),
    ("kubectl delete -f a", ""),
    ("kubectl scale deploy/x --replicas 2", ""),
    ("kubectl apply --dry-run=client -f a", ""),
    ("oc replace -f a", "manifests a"),
    ("helm install r ./c -f v.yaml --values w,x", "chart c, values v.yaml, values w, values x"),
    ("helm upgrade --install r c", "chart c"),
    ("helm install --generate-name c", "chart c"),
    ("helm install r oci://example.com/c", " ? it is read from an address"),
    ("helm install r c --repo https://example.com", " ? it is read from an address"),
    ("helm template c", ""),
    ("docker compose up -d", COMPOSE),
    ("docker compose -f a -f b up", "compose a, compose b"),
    ("docker compose down", ""),
    ("docker-compose -f a run x", "compose a"),
    ("podman compose up", COMPOSE),
    ("docker compose --project-directory d up", COMPOSE.replace(" ", " d/", 1)),
    ("docker compose --workdir d -f a up", "compose a"),
    ("docker compose -v -f a up", "compose a"),
    ("docker compose -vfa up", "compose a"),
    ("docker compose --insecure-registry --file=b -f a up", "compose a"),
    ("docker-compose --insecure-registry r --compatibility -v -f a scale x=3", "compose a"),
    ("docker compose -f a scale x=3", "compose a"),
    ("docker -H ssh://h compose --newer -f a up", "compose a ? an option leads elsewhere"),
    ("docker -H ssh://h compose --project-directory '~/p' -f a up", "compose a ? whose home ~ means cannot be told"),
    ("docker -H ssh://h compose --env-file '~x/e' -f a up", "compose a ? whose home ~ means cannot be told"),
    ("docker -H ssh://h compose -f '~/a' up", "compose ~/a ? whose home ~ means cannot be told"),
    ("docker -H ssh://h stack deploy -c a,b s", "compose a, compose b"),
    ("docker -H ssh://h stack deploy -c '\"a,b\"' s", " ? an option leads elsewhere"),
    ("kubectl apply -f '\"x\"'", " ? an option leads elsewhere"),
    ("kubectl apply -f file://x", " ? it is read from an address"),
    ("docker compose run --workdir d x", COMPOSE),
    ("docker -H ssh://h compose -f a@h:b up", " ? it is read from an address"),
    ("env -C d kubectl apply -f x", "manifests d/x"),
    ("timeout 5 terraform apply p", "plan p"),
    ("xargs kubectl apply -f x", ""),
    ("docker -c ctx stack deploy -c f.yml s", "compose f.yml"),
    ("docker -H ssh://h stack deploy -c - s", " ? it is read from standard input"),
    ("docker -H ssh://h stack deploy s", " ? it is read from standard input"),
    ("podman kube play p.yaml", "manifests p.yaml"),
    ("docker buildx build --push -t x .", "container ."),
    ("docker build --push -f D .", "container D"),
    ("docker push example/app", ""),
    ("ansible-playbook -i hosts site.yml b.yml", "playbook site.yml, playbook b.yml"),
    ("ansible-playbook --check site.yml", ""),
    ("nomad job run j.nomad", "job j.nomad"),
    ("terraform apply p", "plan p"),
    ("terraform apply -auto-approve p", "plan p"),
    ("terraform -chdir=d apply p", "plan d/p"),
    ("terraform apply", "terraform . ? no saved plan is named"),
    ("terraform apply -auto-approve", "terraform . ? no saved plan is named"),
    ("tofu -chdir=d apply", "terraform d ? no saved plan is named"),
    ("terraform apply -destroy", " ? no saved plan is named"),
    ("terraform destroy -auto-approve", " ? no saved plan is named"),
    ("terraform plan -out p", ""),
    ("terragrunt run-all apply", " ? no saved plan is named"),
    ("aws cloudformation deploy --template-file t.yaml --stack-name s", "template t.yaml"),
    ("aws cloudformation create-stack --template-body file://t.yaml", "template t.yaml"),
    ("aws cloudformation create-stack --template-url https://example.com/t", " ? it is read from an address"),
    ("az deployment group create -g g -f t.json", "template t.json"),
    ("gcloud run services replace s.yaml", "manifests s.yaml"),
    ("gcloud app deploy", "document app.yaml*"),
    ("sam deploy", "template .aws-sam/build/template.yaml,template.yaml,template.yml*"),
    ("pulumi -C d up", "document d/Pulumi.yaml,Pulumi.yml*"),
    ("sls deploy --config s.yml", "document s.yml"),
    ("flyctl deploy -c f.toml", "document f.toml"),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_line(line: str, expected: str) -> None:
    assert told(asked(line)) == expected


def test_a_variable_names_files() -> None:
    assert told(asked("docker compose up", COMPOSE_FILE="a:b")) == "compose a, compose b"
    assert (
        told(asked("docker compose up", COMPOSE_FILE="a:b;c", COMPOSE_PATH_SEPARATOR=";")) == "compose a:b, compose c"
    )


def test_variables_that_lead_elsewhere() -> None:
    assert told(asked("docker -H ssh://h compose up", COMPOSE_PROJECT_DIR="d")).endswith("? an option leads elsewhere")
    leading = asked("docker -H ssh://h compose --project-directory ../d up", PWD="/other/name")
    assert told(leading).endswith("? an option leads elsewhere")


def test_only_what_does_something_is_left_unresolved() -> None:
    assert not asked("kubectl --context x apply -f -").resolved
    local = asked("docker compose -f - up")
    assert (local.classes, local.resolved, local.unread) == ((), True, "")


def test_every_entry_of_the_catalogue_has_a_known_form() -> None:
    for name in names():
        found = tool(name)
        assert found is not None
        for key, entries in found.applies.items():
            if key not in ("within", "project", "settings"):
                assert {each.partition(":")[0] for each in entries} <= set(FAMILIES), name
