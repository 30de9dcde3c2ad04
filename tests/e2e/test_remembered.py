"""What sources say is read once: by `check` and by runs alike, and out of reach of both the tree and the run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from supervisor.inspection import edgecache

if TYPE_CHECKING:
    from tests.conftest import Govrun

PROFILE = """
version = 1
[[boundary]]
id = "parts"
why = "parts are built one after the other"
acyclic = ["src/*"]
"""
USES = "import {0}.main\n"


@pytest.fixture
def parts(repo: Path, govrun: Govrun) -> Path:
    """``web`` uses ``core``, which uses ``base``."""
    (repo / "govrun.toml").write_text(PROFILE)
    for name, text in (("web", USES.format("core")), ("core", USES.format("base")), ("base", "")):
        (repo / "src" / name).mkdir(parents=True, exist_ok=True)
        (repo / "src" / name / "main.py").write_text(text)
    for words in (("add", "-A"), ("commit", "-qm", "parts")):
        subprocess.run(["git", *words], cwd=repo, env=govrun.env, capture_output=True, check=True)
    return repo


def remembered(govrun: Govrun) -> Path:
    (found,) = (govrun.state / "cache" / "edges").iterdir()
    return found


def forget_what(govrun: Govrun, path: str) -> None:
    """Makes the file say of ``path`` that it references nothing, as nobody but the user could: whoever then says so
    has asked nobody else."""
    file = remembered(govrun)
    looks, groups, entries = json.loads(file.read_bytes()[edgecache._HEAD :])
    for entry in entries:
        if entry[0] == path:
            entry[3][4] = []
    body = json.dumps((looks, groups, entries)).encode()
    file.write_bytes(edgecache._MAGIC + edgecache._seal(body) + body)


def lines(govrun: Govrun) -> list[bytes]:
    return [line for line in govrun.cli("check").stdout.splitlines() if b"closes a cycle" in line]


def test_check_reads_what_has_changed(parts: Path, govrun: Govrun) -> None:
    (parts / "src/base/more.py").write_text(USES.format("web"))
    first = lines(govrun)
    assert {line.partition(b":")[0] for line in first} == {b"src/base/more.py", b"src/core/main.py", b"src/web/main.py"}
    assert lines(govrun) == first
    forget_what(govrun, "src/base/more.py")
    assert lines(govrun) == []
    (parts / "src/core/main.py").write_text("# changed\n" + USES.format("base"))
    assert lines(govrun) == []
    (parts / "src/base/more.py").write_text("# changed\n" + USES.format("web"))
    assert len(lines(govrun)) == 3


def test_what_others_come_to_mean_is_read_anew(parts: Path, govrun: Govrun) -> None:
    """``import fresh.main`` in a file that does not change leads into the tree once there is such a module."""
    (parts / "src/core/main.py").write_text(USES.format("fresh"))
    assert lines(govrun) == []
    (parts / "src/fresh").mkdir()
    (parts / "src/fresh/main.py").write_text(USES.format("core"))
    assert {line.partition(b":")[0] for line in lines(govrun)} == {b"src/core/main.py", b"src/fresh/main.py"}
    (parts / "src/fresh/main.py").unlink()
    assert lines(govrun) == []


@pytest.mark.parametrize("harm", ["cut", "changed", "foreign", "gone", "folder"])
def test_what_is_not_whole_is_made_again(parts: Path, govrun: Govrun, harm: str) -> None:
    (parts / "src/base/more.py").write_text(USES.format("web"))
    first = lines(govrun)
    forget_what(govrun, "src/base/more.py")
    file = remembered(govrun)
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif harm == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b" ")
    elif harm == "foreign":
        file.chmod(0o666)
    elif harm == "gone":
        file.unlink()
    else:
        file.unlink()
        file.mkdir()
    assert lines(govrun) == first
    assert lines(govrun) == first


def test_a_run_begins_with_it(parts: Path, govrun: Govrun) -> None:
    closes = f"printf '{USES.format('web')}' > src/base/more.py; /bin/true; ls src/base/more.py; rm -f src/base/more.py"
    for _ in range(2):  # read, and remembered
        outcome = govrun("sh", "-c", closes)
        assert b"more.py" not in outcome.stdout
        assert "closes a cycle" in outcome.stderr
    assert lines(govrun) == []
    forget_what(govrun, "src/core/main.py")
    assert b"more.py" in govrun("sh", "-c", closes).stdout


def test_a_run_judges_its_own_files_itself(parts: Path, govrun: Govrun) -> None:
    """Nothing is taken from what is remembered that the run wrote, be it the same content at the same path."""
    (parts / "src/base/more.py").write_text(USES.format("web"))
    assert len(lines(govrun)) == 3
    forget_what(govrun, "src/base/more.py")
    (parts / "src/base/more.py").unlink()
    govrun("sh", "-c", f"printf '{USES.format('web')}' > src/base/more.py; /bin/true")
    assert not (parts / "src/base/more.py").exists()


def test_a_run_can_neither_read_nor_change_it(parts: Path, govrun: Govrun) -> None:
    govrun.cli("check")
    file = remembered(govrun)
    before = (file.read_bytes(), file.stat().st_ino)
    outcome = govrun(
        "sh",
        "-c",
        f"cat {file}; ls {file.parent}; echo x > {file}; echo x >> {file}; rm -f {file}; mv {file.parent} /tmp/moved; "
        f"ln -sf /tmp/x {file}; chmod 777 {file}; cp govrun.toml {file.parent}/other.edges; mkdir {file.parent}/new; "
        f"ln {file} here; cat here; true",
    )
    assert outcome.stdout == b"", outcome.stdout
    assert (file.read_bytes(), file.stat().st_ino) == before
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    refused = [each for each in outcome.denied("govrun.state") if each["op"].get("path") == str(file)]
    assert refused, outcome.stderr
    assert {each["outcome"] for each in refused} == {"blocked"}
