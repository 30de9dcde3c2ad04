"""Escape 323: that nobody could read a file before excuses no other version of it."""

# ruff: noqa: E501 - lines of shell

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.corpus.conftest import ONE_CLIENT

if TYPE_CHECKING:
    from tests.corpus.conftest import Cage


def test_refused_once(cage: Cage) -> None:
    """A lock that is too large to be read: the same bytes may be written again, another version may not."""
    cage.profile(ONE_CLIENT)
    cage.both(
        "python3 -c \"print('{' + ' ' * (65 << 20) + '}')\" > package-lock.json; cp package-lock.json kept; "
        "truncate -s 9M src/big.js; echo '// lodash' >> src/big.js; cp src/big.js big; git add src govrun.toml; git commit -qm rule"
    )
    same = cage.run("cat big > src/big.js; git add src; git commit -q --allow-empty -m same").ok()
    assert "one-http-client" not in same.stderr
    outcome = cage.run("echo 'require(\"lodash\")' >> src/big.js; git add src; git commit -qm other")
    assert "one-http-client" in outcome.stderr
    assert "require" not in cage.govrun.bare("git", "show", "HEAD:src/big.js").stdout.decode()[-100:]
