"""scripts/govrun on a fresh copy of the checkout: builds once, also when two start it, and runs from anywhere."""

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Govrun

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("scripts/govrun", "scripts/check", "scripts/bench", "scripts/bench-reverts", ".ci/run")
CARRIED = ("supervisor", "profiles", "scripts", "pyproject.toml", "README.md")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy = tmp_path / "checkout"
    copy.mkdir()
    subprocess.run(["cp", "-a", *(str(ROOT / name) for name in CARRIED), str(copy)], check=True)
    return copy


def start(checkout: Path, govrun: "Govrun", *command: str) -> "subprocess.Popen[str]":
    words = [str(checkout / "scripts" / "govrun"), "--", *command]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        words, cwd=govrun.cwd, env=govrun.env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )


@pytest.mark.needs("notify", "registry", landlock=2)
@pytest.mark.timeout(300)
def test_first_use_builds_and_later_use_does_not(checkout: Path, govrun: "Govrun") -> None:
    both = [start(checkout, govrun, "pwd"), start(checkout, govrun, "pwd")]
    first = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], first
    assert [out for out, _ in first] == [f"{govrun.cwd}\n"] * 2
    built = [err for _, err in first if "first use: building" in err]
    assert len(built) == 1
    assert "dependencies" in built[0]
    later = start(checkout, govrun, "pwd")
    out, err = later.communicate()
    assert (later.returncode, out) == (0, f"{govrun.cwd}\n")
    assert "building" not in err
    left = {path.name for path in checkout.iterdir() if path.name.startswith(".venv")}
    assert left == {".venv", ".venv.lock"}


@pytest.mark.needs("notify", "registry", "user", landlock=2)
@pytest.mark.timeout(300)
def test_a_read_only_checkout_builds_in_the_cache(checkout: Path, govrun: "Govrun") -> None:
    subprocess.run(["chmod", "-R", "a-w", str(checkout)], check=True)
    try:
        process = start(checkout, govrun, "true")
        _, err = process.communicate()
        assert process.returncode == 0, err
        assert list((govrun.home / ".cache" / "govrun").glob("venv-*/bin/python"))
        assert not (checkout / ".venv").exists()
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(checkout)], check=True)


@pytest.mark.needs("notify", landlock=2)
def test_bench_measures_and_judges(govrun: "Govrun") -> None:
    command = [
        str(ROOT / "scripts/bench"),
        "--quick",
        "--rounds",
        "1",
        "--only",
        "start,spawn,mutation,memory,reverts",
        "--json",
    ]
    command += ["--govrun", " ".join(map(str, govrun.argv()))]
    done = subprocess.run(command, cwd=govrun.home, env=govrun.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = {line["what"].split(" (")[0]: line for line in json.loads(done.stdout)["lines"]}
    assert set(lines) == {"start of `true`", "spawn", "mutation", "memory", "reverts"}
    assert all(line["value"] is not None and line["verdict"] != "not measured" for line in lines.values())
    assert not list((govrun.home / ".cache" / "govrun").glob("bench-*"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_executable_and_parses(name: str) -> None:
    path = ROOT / name
    assert os.access(path, os.X_OK)
    interpreter = path.read_text().splitlines()[0].removeprefix("#!").split()
    if interpreter[-1] != "python3":
        subprocess.run([*interpreter, "-n", str(path)], check=True)


def test_ci_runs_check_and_nothing_less() -> None:
    assert "exec" in (ROOT / ".ci/run").read_text()
    assert (ROOT / ".ci/run").read_text().rstrip().endswith('/../scripts/check" "$@"')
