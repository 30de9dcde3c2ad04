"""Escape 360: an import that Python executes and a parser that looks for import statements does not see."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PREPARE = """git add -A && git commit -qm rule"""

SCRIPTS = {
    "carriage return": r"""printf '# hello\rimport requests\r' > src/n.py; git add -A; git commit -qm x""",
    "own TYPE_CHECKING": r"""
echo 'TYPE_CHECKING = True' > src/mine.py
printf 'from mine import TYPE_CHECKING\nif TYPE_CHECKING:\n    import requests\n' > src/n.py
""".strip(),
    "bound by a loop": r"""
printf 'for TYPE_CHECKING in [1]: pass\nif TYPE_CHECKING:\n    import requests\n' > src/n.py
""".strip(),
    "relative": r"""printf 'import importlib\nimportlib.import_module(".api", "requests")\n' > src/n.py""",
    "getattr": r"""printf 'import importlib\ngetattr(importlib, "import_module")("requests")\n' > src/n.py""",
    "alias": r"""printf 'from importlib import import_module\nf, x = import_module, 1\nf("requests")\n' > src/n.py""",
    "no extension": r"""printf '#!/usr/bin/env python3\nimport requests\n' > src/n; git add -A; git commit -qm x""",
    "no encoding": r"""printf '# \351\nimport requests\n' > src/n.py""",
}


def forbidden(cage: Cage, tree: Path) -> set[str]:
    """Files that name it."""
    look = "grep -al requests src/n src/n.py; git grep -al requests HEAD -- src"
    seen = subprocess.run(["bash", "-c", look], cwd=tree, env=cage.govrun.env, capture_output=True, text=True)
    return set(seen.stdout.splitlines())


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_spelt_otherwise(cage: Cage, script: str) -> None:
    cage.profile(ONE_CLIENT)
    cage.both(PREPARE)
    before = forbidden(cage, cage.tree)
    bare = cage.bare(script, timeout=60)
    assert forbidden(cage, cage.twin_tree) - before, bare.stderr
    outcome = cage.run(script, timeout=60)
    left = forbidden(cage, cage.tree) - before
    assert not left, f"{left}\n{outcome.stderr[-2000:]}"
