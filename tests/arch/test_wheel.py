"""The wheel carries what a checkout has: packs, the typing marker, the command."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("govrun-*.whl"))


def packs(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.toml")}


def test_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith("entry_points.txt"))
        entry_points = archive.read(metadata).decode()
    assert "supervisor/py.typed" in names
    assert {f"supervisor/_profiles/{name}" for name in packs(ROOT / "profiles")} <= names
    assert "supervisor/_profiles/default.toml" in names
    assert "govrun = supervisor.cli.main:main" in entry_points
    assert not [name for name in names if name.startswith(("tests", "scripts"))]


def test_an_unpacked_wheel_finds_its_packs(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from supervisor.profile.load import packs_dir\n"
        "sys.stdout.write(str(packs_dir()))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program, str(tmp_path)], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout).is_relative_to(tmp_path)
    assert packs(Path(done.stdout)) == packs(ROOT / "profiles")
