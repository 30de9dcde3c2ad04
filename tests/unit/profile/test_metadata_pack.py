"""The shipped pack ``pack:metadata``: classes of files whose change waits for a person."""

from __future__ import annotations

import pytest

from supervisor.vocabulary.events import Kind
from supervisor.vocabulary.verdicts import Effect
from tests.property.world import create, policy_of, rename, unlink, verdict, write

ALONE = 'version = 1\nextends = ["pack:metadata"]\n'
BESIDE = 'version = 1\nextends = ["pack:default", "pack:metadata"]\n'
INSTEAD = BESIDE + 'relax = ["pack:default/scope.protect"]\n'
CLASSES = {
    "ci": [".github/workflows/ci.yml", "tools/.github/actions/x/action.yml", ".gitlab-ci.yml", "sub/Jenkinsfile"],
    "review": ["CODEOWNERS", "docs/CODEOWNERS", "OWNERS", ".github/dependabot.yml", "renovate.json5", ".mergify.yml"],
    "release": [
        ".goreleaser.yaml",
        ".releaserc.json",
        ".release-please-manifest.json",
        ".changeset/config.json",
        "cliff.toml",
    ],
    "versions": ["VERSION", "pkg/VERSION", ".python-version", ".tool-versions", "rust-toolchain.toml"],
    "deploy": ["Procfile", "fly.toml", "services/a/vercel.json", "app.yaml", ".do/app.yaml"],
}
FREE = [
    "CHANGELOG.md", ".changeset/brave-cats-sing.md", "src/release.py", "src/version.py", "docs/OWNERS.md",
    "package.json", "pyproject.toml", "src/app.json", "railway.py", "workflows/ci.yml", "deploy/app.yaml",
]  # fmt: skip


@pytest.mark.parametrize("path", [path for paths in CLASSES.values() for path in paths])
@pytest.mark.parametrize("text", [ALONE, INSTEAD], ids=["alone", "instead"])
def test_a_change_waits_for_a_person(text: str, path: str) -> None:
    policy, name = policy_of(text), path.encode()
    for event in (write(name), create(name), unlink(name), rename(b"src/x", name), rename(name, b"src/x")):
        found = verdict(policy, event)
        assert found.effect is Effect.ASK, event
        assert found.matches[0].invariant.source.startswith("pack:metadata:")
        assert "person" in found.matches[0].invariant.use


@pytest.mark.parametrize("path", FREE)
def test_the_rest_of_the_project_is_free(path: str) -> None:
    policy, name = policy_of(ALONE), path.encode()
    assert {verdict(policy, event).effect for event in (write(name), create(name), unlink(name))} == {Effect.ALLOW}


def test_what_the_default_pack_protects_stays_refused() -> None:
    policy = policy_of(BESIDE)
    assert verdict(policy, write(b".github/workflows/ci.yml")).effect is Effect.DENY
    assert verdict(policy, write(b"fly.toml")).effect is Effect.ASK


def test_a_moved_folder_is_asked_about_too() -> None:
    moved = rename(b"x", b".changeset", Kind.DIR, beneath=(b"config.json",))
    assert verdict(policy_of(ALONE), moved).effect is Effect.ASK
