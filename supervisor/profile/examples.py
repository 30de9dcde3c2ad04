"""Shape of ``examples``: an argv string, ``write PATH: text``, ``connect HOST:PORT``, SQL.

Whether an example holds is not asked here: that takes the decision function.
"""

from __future__ import annotations

from collections.abc import Mapping

from supervisor.profile.hosts import host_port
from supervisor.profile.problems import Spot, shown


def check_examples(spot: Spot, examples: Mapping[str, tuple[str, ...] | None], *, sql: bool) -> None:
    """Report examples that cannot be read. ``sql``: anything else is a statement, not an argv."""
    for key, items in examples.items():
        for number, item in enumerate(items or ()):
            _check(spot.to(key).to(number), item, sql)


def _check(spot: Spot, item: str, sql: bool) -> None:
    verb, _, rest = item.partition(" ")
    if verb == "connect":
        host_port(spot, rest.strip())
    elif verb == "write":
        path, colon, _ = rest.partition(":")
        if not colon or not path.strip():
            spot.bad(f'{shown(item)}: write an example as "write PATH: text"')
    elif not sql:
        import shlex

        try:
            words = shlex.split(item)
        except ValueError as error:
            spot.bad(f"{shown(item)} is not a command line: {str(error).lower()}")
            return
        if not words:
            spot.bad(f"{shown(item)} is not a command line")
