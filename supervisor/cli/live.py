"""The runs that go on, for the commands that speak to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.operator.client import Silence
    from supervisor.operator.protocol import Answer, Asked
    from supervisor.vocabulary.errors import UsageError

LIVE_HELP = "A live run's id, the beginning of one, or 'latest': the newest live one of this tree."
UNREACHED = 2  # exit code
PATIENCE = 5.0  # seconds for an order; a run that takes back a change may be busy for some of them
_MOST_NAMED = 8


def state_outside(command: str) -> Path:
    """The state folder. Raises ``UsageError`` inside a run: nothing there may answer for the operator."""
    from supervisor.journal.store import state_dir
    from supervisor.kernel import probe
    from supervisor.vocabulary.errors import UsageError

    if run := probe.run_id():
        what = f"`{command}` does not work inside a run"
        why = f"this process belongs to run {run}; only its operator answers for it"
        raise UsageError(what, why, "call it in another terminal, outside of the run", exit_code=UNREACHED)
    return state_dir(os.environ)


def live_runs(state: Path) -> list[Path]:
    """Folders of the runs whose journal is held open, oldest first."""
    from supervisor.journal.reader import is_live
    from supervisor.journal.store import list_runs

    return [folder for run in list_runs(state) if is_live(folder := state / "runs" / run)]


def choose_live(state: Path, word: str) -> Path:
    """The live run that ``word`` names; empty: the only one there is. Raises ``UsageError``."""
    from supervisor.cli.choice import tree_here
    from supervisor.journal.store import read_meta

    live = live_runs(state)
    if not live:
        raise _no_run(word, "no run is going on", "govrun runs lists those that are over")
    if word == "latest":
        here = tree_here()
        of_tree = [folder for folder in live if read_meta(folder).get("tree") == here] if here else []
        return (of_tree or live)[-1]
    found = [folder for folder in live if folder.name.startswith(word.upper())]
    if not found:
        raise _no_run(word, f"live: {_named(live)}", "govrun ps")
    if len(found) > 1:
        raise _no_run(word, f"{len(found)} are going on: {_named(found)}", "name one of them: govrun ps")
    return found[0]


def order(folder: Path, asked: Asked) -> Answer:
    """Give an order to the run in ``folder``. Raises ``UsageError`` when there is no answer."""
    from supervisor.operator.client import Silence, ask

    answer = ask(folder, asked, PATIENCE)
    if isinstance(answer, Silence):
        raise unreached(folder, answer)
    return answer


def unreached(folder: Path, silence: Silence) -> UsageError:
    """The error of a run that cannot be spoken to."""
    from supervisor.vocabulary.errors import UsageError

    why = silence.why + ("; the order may still be carried out" if silence.sent else "")
    fix = "try again; kill -TERM of its govrun process ends it"
    return UsageError(f"run {folder.name} cannot be reached", why, fix, exit_code=UNREACHED)


def told(answer: Answer) -> str:
    """What a run answered, for a terminal."""
    from supervisor.cli.text import safe

    return safe(answer.told or answer.word, 600)


def _no_run(word: str, why: str, fix: str) -> UsageError:
    from supervisor.vocabulary.errors import UsageError

    what = f"no live run {word[:40]!r}" if word else "no single live run"
    return UsageError(what, why, fix, exit_code=UNREACHED)


def _named(folders: Sequence[Path]) -> str:
    more = f" and {len(folders) - _MOST_NAMED} more" if len(folders) > _MOST_NAMED else ""
    return ", ".join(folder.name for folder in folders[-_MOST_NAMED:]) + more
