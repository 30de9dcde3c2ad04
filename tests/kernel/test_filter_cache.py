"""The program's cache: private, whole, or not used."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.kernel import filter as bpf
from supervisor.vocabulary.errors import HostError
from tests.kernel.subproc import ROOT

SPEC = bpf.FilterSpec(debug=False, opens="writes", abi=7)


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, bytes]:
    """A cache directory with one program in it, and the program."""
    folder = tmp_path / "cache"
    return folder, bpf.cached(SPEC, folder)


def never(spec: bpf.FilterSpec) -> bytes:
    raise AssertionError(f"built again: {spec}")


def only(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_hit(built: tuple[Path, bytes]) -> None:
    folder, program = built
    assert program == bpf.build(SPEC)
    assert bpf.cached(SPEC, folder, make=never) == program
    assert stat.S_IMODE(only(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_specs_have_files_of_their_own(built: tuple[Path, bytes]) -> None:
    folder, program = built
    assert bpf.cached(SPEC._replace(debug=True), folder) != program
    assert len(list(folder.iterdir())) == 2


def test_key_depends_on_everything_that_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    first = bpf.cache_key(SPEC)
    assert first == bpf.cache_key(SPEC)
    assert first != bpf.cache_key(SPEC._replace(abi=5))
    monkeypatch.setattr(bpf, "__version__", "0.0.0+other")
    assert first != bpf.cache_key(SPEC)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "longer", "open mode", "symlink", "fifo", "directory"])
def test_damage_is_rebuilt(built: tuple[Path, bytes], damage: str) -> None:
    folder, program = built
    file = only(folder)
    data = file.read_bytes()
    match damage:
        case "flip":
            file.write_bytes(data[:-100] + bytes([data[-100] ^ 1]) + data[-99:])
        case "cut":
            file.write_bytes(data[:-8])
        case "empty":
            file.write_bytes(b"")
        case "longer":
            file.write_bytes(data + data[-8:])
        case "open mode":
            file.chmod(0o644)
        case "symlink":
            file.rename(folder.parent / "elsewhere")
            file.symlink_to(folder.parent / "elsewhere")
        case "fifo":
            file.unlink()
            os.mkfifo(file, 0o600)
        case "directory":
            file.unlink()
            file.mkdir(mode=0o700)
    calls: list[bpf.FilterSpec] = []

    def make(spec: bpf.FilterSpec) -> bytes:
        calls.append(spec)
        return program

    assert bpf.cached(SPEC, folder, make=make) == program
    assert calls == [SPEC]
    if damage != "directory":
        assert bpf.cached(SPEC, folder, make=never) == program, "the repaired file is used"
    assert [each for each in folder.iterdir() if each.name.startswith(".")] == [], "no temporary is left"


@pytest.mark.needs("root")
def test_a_file_of_somebody_else_is_rebuilt(built: tuple[Path, bytes]) -> None:
    folder, program = built
    os.chown(only(folder), 12345, 12345)
    calls: list[int] = []
    assert bpf.cached(SPEC, folder, make=lambda _: calls.append(1) or program) == program
    assert calls == [1]


def test_a_program_of_another_spec_is_not_taken(built: tuple[Path, bytes]) -> None:
    """The seal binds the contents to the key, so a renamed file does not count."""
    folder, program = built
    other = SPEC._replace(opens="all")
    only(folder).rename(folder / f"filter-{bpf.cache_key(other)}.bpf")
    assert bpf.cached(other, folder) != program


def test_unwritable_cache_still_builds(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert bpf.cached(SPEC, blocked / "cache") == bpf.build(SPEC)


def test_a_hit_imports_no_libseccomp(built: tuple[Path, bytes]) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\nfrom supervisor.kernel import filter as bpf\n"
        f"bpf.cached(bpf.FilterSpec{tuple(SPEC)!r}, Path({str(built[0])!r}))\n"
        "heavy = ('pyseccomp', 'tempfile', 'subprocess', 'supervisor.kernel.syscall_table')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_missing_libseccomp_names_the_packages(tmp_path: Path) -> None:
    """A pyseccomp that cannot find its library raises at import; so does a missing one."""
    (tmp_path / "pyseccomp.py").write_text("raise RuntimeError('Unable to find libseccomp')\n")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from supervisor.kernel import filter as bpf\nfrom supervisor.vocabulary.errors import HostError\n"
        f"try: bpf.build(bpf.FilterSpec{tuple(SPEC)!r})\nexcept HostError as error: print(chr(10).join(error.lines()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "govrun: libseccomp is missing" in done.stdout
    assert "libseccomp2" in done.stdout
    assert "dnf install libseccomp" in done.stdout
    assert HostError("x").exit_code == 125
