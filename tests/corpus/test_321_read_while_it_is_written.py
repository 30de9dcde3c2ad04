"""Escape 321: a file that its writer keeps open, without an end of line, is read by the next program as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PROGRAM = """
import subprocess
with open("NAME", "w") as file:
    file.write(TEXT)
    file.flush()
    print(subprocess.run(["cat", "NAME"], capture_output=True, text=True).stdout)
"""
FILES = {
    "src/e.py": "import requests;",
    "src/d.py": "import importlib; importlib.import_module(\\'requests\\')",
    "package.json": '{"dependencies": {"lodash": "4"}}',
    "src/e.js": 'require("lodash")',
    "pyproject.toml": '[project]\\ndependencies = ["requests"]',
}


@pytest.mark.parametrize("name", FILES)
def test_read_while_it_is_written(cage: Cage, name: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both("git add -A; git commit -qm rule")
    text = f"'{FILES[name]}'"
    program = PROGRAM.replace("NAME", name).replace("TEXT", text)
    script = f"python3 - <<'E'\n{program}E\n"
    words = ("requests", "lodash")
    assert any(word in cage.bare(script).stdout.decode() for word in words)
    outcome = cage.run(script)
    assert not any(word in outcome.stdout.decode() for word in words), outcome.stdout
    assert "one-http-client" in outcome.stderr
