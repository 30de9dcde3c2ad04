"""What of the user's environment reaches the agent."""

from __future__ import annotations

import pytest

from supervisor.confine.environment import build, cache_folders
from tests.property.world import profile_of

RUNS_CODE = [
    "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "BASH_ENV", "ENV", "PYTHONSTARTUP", "PYTHONBREAKPOINT", "NODE_OPTIONS",
    "PERL5OPT", "RUBYOPT", "PROMPT_COMMAND", "JAVA_TOOL_OPTIONS", "BASH_FUNC_ls%%", "GIT_SSH_COMMAND", "GIT_PAGER",
    "GIT_EDITOR", "GIT_EXTERNAL_DIFF", "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_12", "GIT_EXEC_PATH",
    "GIT_TEMPLATE_DIR", "GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE", "SSH_ASKPASS",
]  # fmt: skip
CREDENTIALS = ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "GH_TOKEN", "NPM_TOKEN", "PGPASSWORD", "SSH_AUTH_SOCK"]
STAYS = ["PATH", "HOME", "LANG", "TERM", "EDITOR", "GIT_AUTHOR_NAME", "MY_TOKEN", "LDFLAGS", "ENVIRONMENT", "X_API_KEY"]


def environment(*names: str) -> dict[str, str]:
    return {name: f"fake-{name}" for name in names}


def test_what_runs_code_or_holds_credentials_is_withheld_by_name() -> None:
    made = build(environment(*RUNS_CODE, *CREDENTIALS, *STAYS, "TMUX", "DOCKER_HOST"))
    assert made.variables == environment(*STAYS)
    assert made.withheld == tuple(sorted([*RUNS_CODE, *CREDENTIALS, "TMUX", "DOCKER_HOST"]))


def test_a_pack_keeps_its_credentials_but_nothing_that_runs_code() -> None:
    made = build(
        environment("ANTHROPIC_API_KEY", "NODE_OPTIONS", "TMUX"), keep=["ANTHROPIC_API_KEY", "NODE_OPTIONS", "TMUX"]
    )
    assert made.variables == environment("ANTHROPIC_API_KEY")


def test_the_profile_passes_by_name() -> None:
    made = build(environment("LD_PRELOAD", "GITHUB_TOKEN"), passed=["GITHUB_TOKEN"])
    assert made.variables == environment("GITHUB_TOKEN")


def test_the_profile_drops_anything() -> None:
    made = build(environment("PATH", "MY_TOKEN"), dropped=["MY_TOKEN", "ABSENT"])
    assert (made.variables, made.withheld) == (environment("PATH"), ("MY_TOKEN",))


@pytest.mark.parametrize("pattern", ["TF_TOKEN_*", "T*"])
def test_a_final_star_stands_for_any_rest(pattern: str) -> None:
    given = environment("TF_TOKEN_app_example_com", "A_TF_TOKEN_x", "PATH")
    assert build(given, dropped=[pattern]).withheld == ("TF_TOKEN_app_example_com",)
    passed = build(environment("GIT_CONFIG_KEY_0", "GIT_DIR"), passed=["GIT_CONFIG_*"])
    assert passed.withheld == ("GIT_DIR",)


def test_what_the_default_pack_drops_is_withheld_and_may_be_passed() -> None:
    pack = [entry.value for entry in profile_of("version = 1\n").scope.env_drop]
    given = environment("TF_TOKEN_app_example_com", "POETRY_PYPI_TOKEN_MINE", "FORGEJO_TOKEN", "PATH")
    assert build(given, withheld_too=pack).variables == environment("PATH")
    assert build(given, withheld_too=pack, passed=["FORGEJO_TOKEN"]).variables == environment("PATH", "FORGEJO_TOKEN")
    assert build(given, withheld_too=pack, keep=["FORGEJO_TOKEN"]).variables == environment("PATH", "FORGEJO_TOKEN")
    # What the profile itself drops stays dropped.
    assert build(given, dropped=["FORGEJO_TOKEN"], passed=["FORGEJO_TOKEN"]).withheld.count("FORGEJO_TOKEN") == 1


def test_set_wins_over_given_and_caches() -> None:
    made = build(environment("CI"), added={"CI": "1", "GOCACHE": "/mine"}, caches=cache_folders("/c", "/h"))
    assert made.variables["CI"] == "1"
    assert made.variables["GOCACHE"] == "/mine"
    assert made.variables["PIP_CACHE_DIR"] == "/c/pip"


def test_the_users_own_caches_give_way() -> None:
    made = build({"PIP_CACHE_DIR": "/h/.cache/pip"}, caches=cache_folders("/c", "/h"))
    assert made.variables["PIP_CACHE_DIR"] == "/c/pip"


def test_every_cache_lies_in_a_folder_of_its_own_beneath_the_base() -> None:
    folders = cache_folders("/c/x", "/h")
    assert folders.pop("MAVEN_OPTS").startswith("-Dmaven.repo.local=/c/x/")
    assert len(set(folders.values())) == len(folders)
    assert all(path.startswith("/c/x/") and ".." not in path for path in folders.values())


def test_the_given_environment_is_not_changed() -> None:
    given = environment("PATH", "LD_PRELOAD")
    build(given, added={"PATH": "x"}, caches={"HOME": "y"})
    assert given == environment("PATH", "LD_PRELOAD")


def test_maven_keeps_its_own_options() -> None:
    moved = "-Dmaven.repo.local=/c/maven -Dmaven.repo.local.tail=/h/.m2/repository"
    caches = cache_folders("/c", "/h")
    assert build({}, caches=caches).variables["MAVEN_OPTS"] == moved
    assert build({"MAVEN_OPTS": "-Xmx1g"}, caches=caches).variables["MAVEN_OPTS"] == f"-Xmx1g {moved}"
    assert build({"MAVEN_OPTS": "-Xmx1g"}, caches=caches, dropped=["MAVEN_OPTS"]).variables["MAVEN_OPTS"] == moved


@pytest.mark.parametrize("place", [("/c d", "/h"), ("/c", "/h*"), ("/c", "/h$x"), ("/c\n", "/h")])
def test_places_that_the_shell_would_split_are_left_out_of_mavens_options(place: tuple[str, str]) -> None:
    assert "MAVEN_OPTS" not in cache_folders(*place)
