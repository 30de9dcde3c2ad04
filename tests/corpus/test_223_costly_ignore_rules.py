"""Escape 223: a pattern in the base commit's .gitignore that matches in a million ways, and a folder of 900 levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage

PATTERNS = ["**/a*b*/**/c*d*/**/x*y*", "**/ab/**/cd/**/x", "*b/*d/*b/**/*y", "**/*b/*d*/x"]
DEEP = 'import os\nfor i in range(900):\n    n = "ab" if i % 2 else "cd"\n    {make}os.chdir(n)\n'


@pytest.mark.parametrize("pattern", PATTERNS)
def test_nobody_waits(cage: Cage, pattern: str) -> None:
    cage.both(f"echo '{pattern}' > .gitignore; git add .gitignore; git commit -qm ignore")
    cage.profile('[scope]\nwrite = ["src/**", "cd/**"]\n')
    (cage.tree / "deep.py").write_text(DEEP.format(make="os.mkdir(n); "))
    cage.both("test ! -e deep.py || /usr/bin/python3 deep.py")
    (cage.tree / "make.py").write_text(DEEP.format(make="") + 'os.mkdir("z")\nos.mkdir("xy")\n')
    outcome = cage.run('/usr/bin/python3 make.py; echo x >> "$OUT/victim"', timeout=50)  # such a match took minutes
    cage.refused(outcome, cage.WRITE)
