"""The files that say where a command acts are noted with what they said."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from supervisor.commands import normal
from supervisor.run.whereabouts import classes_with_targets, judged_by
from supervisor.surfaces.contents import plain_content
from supervisor.vocabulary.commands import Command
from tests.property.world import policy_of

DEV = "current-context: dev1\n"


def anything(_path: bytes, _fd: int) -> bool:
    return True


def asked(folder: Path, line: str, **variables: str) -> Command:
    argv = tuple(line.encode().split())
    environ = {name.encode(): text.encode() for name, text in {"HOME": str(folder), **variables}.items()}
    cwd = os.fsencode(folder)
    (found,) = normal.commands(
        argv, argv[0], lambda: environ, cwd, lambda path: plain_content(path, 1 << 20, follow=True) or None
    )
    return found


def names(folder: Path, command: Command) -> list[str]:
    return [name.removeprefix(f"{folder}/") for name, _ in command.read]


def test_every_file_that_was_asked_is_held_until_one_has_answered(tmp_path: Path) -> None:
    (tmp_path / "b").write_text(DEV)
    command = asked(tmp_path, "kubectl apply -f x", KUBECONFIG="a:b:c")
    assert (command.targets, names(tmp_path, command)) == (("dev1",), ["a", "b"])
    held, unsure = judged_by(command, anything)
    assert not unsure
    info = (tmp_path / "b").stat()
    assert [each.path for each in held] == [os.fsencode(tmp_path / name) for name in "ab"]
    assert [each.inode for each in held] == [(0, 0), (info.st_dev, info.st_ino)]


def test_a_link_and_what_it_leads_to_are_held(tmp_path: Path) -> None:
    (tmp_path / "b").write_text(DEV)
    (tmp_path / "a").symlink_to("b")
    held, unsure = judged_by(asked(tmp_path, "kubectl apply -f x", KUBECONFIG="a"), anything)
    assert not unsure
    assert {each.path for each in held} == {os.fsencode(tmp_path / name) for name in "ab"}


def test_what_has_changed_since_or_cannot_be_read_is_unsure(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text(DEV)
    command = asked(tmp_path, "kubectl apply -f x", KUBECONFIG="a")
    path.write_text("current-context: prod\n")
    assert "it changes" in judged_by(command, anything)[1]
    path.write_text(DEV)
    assert judged_by(command, anything)[1] == ""
    with path.open("a"):
        assert "open for writing" in judged_by(command, anything)[1]
    path.unlink()
    assert "it changes" in judged_by(command, anything)[1]
    path.mkdir()
    assert "folder" in judged_by(command, anything)[1]


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("terraform apply p", [".terraform/environment"]),
        ("npm publish", ["package.json", ".npmrc", ".npmrc"]),
        ("gcloud run deploy x", [".config/gcloud/active_config", ".config/gcloud/configurations/config_default"]),
        ("az group create -n x", [".azure/azureProfile.json"]),
        ("kubectl --context dev1 apply -f x", []),
        ("kubectl get pods", []),
        ("git push origin main", []),
        ("gh release create v1", []),
    ],
)
def test_which_files_are_noted(tmp_path: Path, line: str, files: list[str]) -> None:
    assert names(tmp_path, asked(tmp_path, line)) == list(dict.fromkeys(files))


def test_a_docker_context_is_what_its_name_stands_for(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "dev1"}')
    name = hashlib.sha256(b"dev1").hexdigest()
    command = asked(tmp_path, "docker stack deploy -c c s")
    assert names(tmp_path, command) == [".docker/config.json", f".docker/contexts/meta/{name}/meta.json"]


def test_more_files_than_anybody_names_tell_nothing(tmp_path: Path) -> None:
    command = asked(tmp_path, "kubectl apply -f x", KUBECONFIG=":".join(f"k{number}" for number in range(1000)))
    assert not command.resolved and len(command.read) <= 64


def test_only_classes_whose_targets_a_rule_asks_for() -> None:
    rule = 'version = 1\n[[deploy]]\nid = "r"\nwhy = "x"\ndeny = ["deploy", "publish"]\nallow = [%s]\n'
    assert classes_with_targets(policy_of("version = 1\nextends = []\n")) == frozenset()
    assert classes_with_targets(policy_of(rule % '"deploy"')) == frozenset()
    assert classes_with_targets(policy_of(rule % '{ class = "deploy", target = "dev*" }')) == {"deploy"}
