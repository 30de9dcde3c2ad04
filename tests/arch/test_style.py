"""Formatting, lint rules and types: the configuration in pyproject.toml is the one source."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "ruff check": ["ruff", "check", "--no-cache", "--output-format", "concise", "."],
    "ruff format": ["ruff", "format", "--no-cache", "--check", "."],
    "mypy": ["mypy"],
    "mypy of tools": [
        "mypy",
        "--explicit-package-bases",
        "--scripts-are-modules",
        "tests/conftest.py",
        "scripts/bench",
        "scripts/bench-reverts",
    ],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.timeout(300)
def test_passes(name: str, tmp_path: Path) -> None:
    module, *rest = COMMANDS[name]
    cache = ["--cache-dir", str(tmp_path / "cache")] if module == "mypy" else []
    done = subprocess.run([sys.executable, "-m", module, *rest, *cache], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
