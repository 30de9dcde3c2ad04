"""Grants: everything readable but what is hidden, nothing writable but devices."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.confine import domains
from supervisor.confine.domains import DEVICES, agent_domain, supervisor_domain
from supervisor.invariants import scope
from supervisor.kernel import landlock


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for folder in (".ssh", ".config/gh", ".config/git", ".config/app/deep", "work/tree"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / ".gitconfig").write_text("x")
    (tmp_path / "odd\n\udcff").write_text("x")
    (tmp_path / "link").symlink_to(".ssh")
    return tmp_path


def granted(hidden: list[Path]) -> dict[bytes, int]:
    return dict(agent_domain([os.fsencode(path) for path in hidden], 0).rules)


def covered(rules: dict[bytes, int], path: Path) -> bool:
    """As the kernel asks: a rule on the path or on any folder above it."""
    text = os.fsencode(path)
    return any(text == rule or text.startswith(rule.rstrip(b"/") + b"/") or rule == b"/" for rule in rules)


def test_hidden_folders_are_left_out_and_their_siblings_are_not(home: Path) -> None:
    rules = granted([home / ".ssh", home / ".config/gh"])
    for path in (".ssh", ".ssh/id", ".config/gh", ".config/gh/hosts.yml", ".config", ""):
        assert not covered(rules, home / path), path
    for path in (".config/git/ignore", ".config/app/deep", "work/tree/x", ".gitconfig", "odd\n\udcff"):
        assert covered(rules, home / path), path
    assert covered(rules, Path("/usr/bin/env"))


def test_a_link_grants_nothing(home: Path) -> None:
    """A grant follows it: `link` would open .ssh."""
    assert not covered(granted([home / ".ssh"]), home / "link")


def test_a_prefix_is_no_ancestor(home: Path) -> None:
    (home / ".sshx").mkdir()
    assert covered(granted([home / ".ssh"]), home / ".sshx/x")


def test_nested_hidden_folders(home: Path) -> None:
    rules = granted([home / ".config", home / ".config/gh"])
    assert not covered(rules, home / ".config/gh")
    assert not covered(rules, home / ".config/git")


def test_a_hidden_folder_that_does_not_exist_hides_what_appears_there(home: Path) -> None:
    rules = granted([home / ".aws/sso"])
    assert not covered(rules, home / ".aws/sso/x")
    assert covered(rules, home / ".gitconfig")


def test_ancestors_are_listed_by_the_supervisor(home: Path) -> None:
    domain = agent_domain([os.fsencode(home / ".config/gh")], 0)
    assert {os.fsencode(home), os.fsencode(home / ".config"), b"/", b"/dev"} <= domain.open_folders
    assert os.fsencode(home / ".config/gh") not in domain.open_folders


def test_nothing_is_writable_but_devices(home: Path) -> None:
    domain = agent_domain([os.fsencode(home / ".ssh")], 3)
    assert domain.handled & landlock.WRITE_ALL == landlock.WRITE_ALL
    assert domain.scoped == 3
    writable = {path for path, rights in domain.rules if rights & ~landlock.READ}
    assert writable == set(DEVICES)


def test_of_the_terminals_only_the_runs_own_is_granted(home: Path) -> None:
    rules = dict(agent_domain([os.fsencode(home / ".ssh")], 0, [b"/dev/pts/7"]).rules)
    assert rules[b"/dev/pts/7"] & landlock.WRITE_FILE
    assert not rules[b"/dev/pts"] & (landlock.WRITE_FILE | landlock.READ_FILE)


def test_devices_are_not_granted_wholesale(home: Path) -> None:
    rules = granted([home / ".ssh"])
    assert not covered(rules, Path("/dev/mem"))
    assert not covered(rules, Path("/dev/sda"))
    assert covered(rules, Path("/dev/null"))
    assert covered(rules, Path("/dev/shm/x"))


def test_the_judge_and_the_floor_name_the_same_devices() -> None:
    assert frozenset((*DEVICES, b"/dev/pts/ptmx")) == scope.DEVICES


def test_the_supervisors_own_domain_holds_its_places_and_the_devices_of_its_children() -> None:
    """The agent's domain nests in it: what is missing here is missing there."""
    rules = dict(supervisor_domain([b"/w/tree", b"/state"]).rules)
    assert {b"/w/tree", b"/state", b"/dev/pts", *DEVICES} <= set(rules)
    assert b"/" not in rules
    assert all(rights & landlock.WRITE_FILE for rights in rules.values())


def test_around_a_single_file_only_what_replacing_it_takes_is_granted() -> None:
    rules = dict(supervisor_domain([b"/w/tree"], [b"/h/ada/.agent"]).rules)
    assert rules[b"/h/ada/.agent"] & landlock.MAKE_REG
    assert not rules[b"/h/ada/.agent"] & (landlock.MAKE_SYM | landlock.MAKE_SOCK | landlock.REFER)


def test_an_unreadable_folder_grants_nothing_in_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: object = b".") -> object:
        if path == os.fsencode(home):
            raise PermissionError
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr(domains.os, "scandir", scandir)
    assert not covered(granted([home / ".ssh"]), home / ".gitconfig")
