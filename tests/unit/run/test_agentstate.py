"""The runs' own version of an agent's file: state is kept, what the agent starts is always the user's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from supervisor.profile.model import AgentPack
from supervisor.run.agentstate import bring, merged
from supervisor.vocabulary.errors import HostError

STARTS = ("servers", "hook", "projects.*.servers")
PACK = AgentPack("x", state_from="~/.x.json", state_in="~/.x/.x.json", starts=STARTS)
PATTERNS = [pattern.split(".") for pattern in STARTS]


def test_the_users_file_comes_first_and_runs_add_what_it_does_not_say() -> None:
    theirs: dict[str, Any] = {"theme": "dark", "projects": {"/a": {"trusted": False, "cost": 1}}, "seen": 0}
    ours: dict[str, Any] = {
        "theme": "light",
        "projects": {"/a": {"trusted": True, "cost": 2}, "/b": {"cost": 3}},
        "n": 4,
    }
    assert merged(theirs, ours, PATTERNS) == {
        "theme": "dark",
        "projects": {"/a": {"trusted": True, "cost": 1}, "/b": {"cost": 3}},
        "seen": 0,
        "n": 4,
    }


@pytest.mark.parametrize("evil", [{"z": {"command": "sh"}}, "text", ["sh"], 1, True])
def test_what_is_started_is_never_taken_from_a_run(evil: object) -> None:
    planted: dict[str, Any] = {
        "servers": evil,
        "hook": evil,
        "projects": {"/a": {"servers": evil}, "/b": {"servers": evil}},
    }
    mine: dict[str, Any] = {"servers": {"mine": {"command": "x"}}, "projects": {"/a": {"servers": {}}}}
    got = merged(mine, planted, PATTERNS)
    assert got == {"servers": {"mine": {"command": "x"}}, "projects": {"/a": {"servers": {}}, "/b": {}}}
    assert merged({}, planted, PATTERNS) == {"projects": {"/a": {}, "/b": {}}}


def test_a_server_that_the_user_removed_is_gone() -> None:
    assert merged({}, {"servers": {"mine": {}}, "n": 1}, PATTERNS) == {"n": 1}


def test_it_is_put_in_place_for_the_user_alone(tmp_path: Path) -> None:
    (tmp_path / ".x.json").write_text('{"theme": "dark"}')
    bring(PACK, tmp_path)
    made = tmp_path / ".x/.x.json"
    assert json.loads(made.read_text()) == {"theme": "dark"}
    assert made.stat().st_mode & 0o777 == 0o600
    assert os.listdir(made.parent) == [".x.json"]
    before = made.stat()
    bring(PACK, tmp_path)
    assert made.stat().st_ino == before.st_ino, "nothing to change, nothing written"
    made.write_text('{"servers": {"z": {}}, "n": 1}')
    bring(PACK, tmp_path)
    assert json.loads(made.read_text()) == {"theme": "dark", "n": 1}
    assert json.loads((tmp_path / ".x.json").read_text()) == {"theme": "dark"}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"text"', b"\xff", b"[" * 100_000])
def test_files_that_cannot_be_read_say_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".x").mkdir()
    (tmp_path / ".x/.x.json").write_bytes(content)
    (tmp_path / ".x.json").write_bytes(content)
    bring(PACK, tmp_path)
    assert (tmp_path / ".x/.x.json").read_bytes() == content


def test_a_link_that_a_run_left_there_is_not_read(tmp_path: Path) -> None:
    """It would bring what is hidden from runs into a file that they read."""
    (tmp_path / "secret.json").write_text('{"token": "hidden"}')
    (tmp_path / ".x.json").write_text('{"a": 1}')
    (tmp_path / ".x").mkdir()
    (tmp_path / ".x/.x.json").symlink_to("../secret.json")
    bring(PACK, tmp_path)
    assert json.loads((tmp_path / ".x/.x.json").read_text()) == {"a": 1}
    assert not (tmp_path / ".x/.x.json").is_symlink()
    assert json.loads((tmp_path / "secret.json").read_text()) == {"token": "hidden"}


def test_no_fifo_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".x.json")
    bring(PACK, tmp_path)


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / ".x.json").write_text('{"a": 1}')
    (tmp_path / ".x/.x.json/inner").mkdir(parents=True)
    with pytest.raises(HostError, match="cannot write"):
        bring(PACK, tmp_path)
    assert os.listdir(tmp_path / ".x") == [".x.json"], "no temporary is left"


def test_packs_without_such_a_file_write_nothing(tmp_path: Path) -> None:
    bring(AgentPack("y"), tmp_path)
    assert os.listdir(tmp_path) == []


def test_text_that_has_no_utf8_stops_no_start(tmp_path: Path) -> None:
    """A run could leave it, and no session of its agent would begin any more."""
    (tmp_path / ".x").mkdir()
    (tmp_path / ".x/.x.json").write_text('{"servers": 1, "a": "\\ud800 \\u00e9"}')
    (tmp_path / ".x.json").write_text('{"b": "ü"}')
    bring(PACK, tmp_path)
    assert json.loads((tmp_path / ".x/.x.json").read_text()) == {"a": "\ud800 é", "b": "ü"}
