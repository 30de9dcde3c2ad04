"""Escape 361: a requirement in a place that a tool reads."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PREPARE = """git add -A && git commit -qm rule"""

FILES = {
    "reqs.txt": r"requests\n",
    "requirements/base/all.in": r"requests\n",
    "requirements.txt": r"https://github.com/psf/requests/archive/main.zip\n",
    "requirements-dev.txt": r"svn+https://h/requests/trunk\n",
    "pyproject.toml": r'[tool.rye]\ndev-dependencies = ["requests"]\n',
    "sub/pyproject.toml": r'[tool.pixi.pypi-dependencies]\nrequests = "*"\n',
    "setup.cfg": r"[options]\ninstall_requires =\n\frequests\n",
    "sub/setup.cfg": r"[options]\ninstall_requires = %%(x)s\nx = requests\n",
    "setup.py": r'from setuptools import setup\nsetup(install_requires=["a"] + ["requests"])\n',
    "sub/setup.py": r'from setuptools import setup\nsetup(**{"install_requires": ["requests"]})\n',
    "tox.ini": r"[testenv]\ndeps = requests\n",
    "src/x.pth": r"import requests\n",
}
SCRIPTS = {name: f"mkdir -p $(dirname {name}); printf '{text}' > {name}" for name, text in FILES.items()}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Files that name it."""
    look = "grep -l requests " + " ".join(FILES)
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_places_that_tools_read(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    bare = cage.bare(script, timeout=60)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(script, timeout=60)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
