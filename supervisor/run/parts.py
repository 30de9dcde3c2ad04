"""What a judge works with, and an answer that has to wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from supervisor.enforce.explain import Explainer
from supervisor.invariants.policy import CompiledPolicy
from supervisor.run.agent import Agent
from supervisor.run.external import Touched
from supervisor.run.facts import Facts
from supervisor.run.record import Recorder
from supervisor.run.refs import RefWatch
from supervisor.surfaces.execs import Execs
from supervisor.surfaces.files import Files
from supervisor.surfaces.made import Made
from supervisor.surfaces.processes import Processes
from supervisor.surfaces.signals import Signals
from supervisor.vocabulary.acts import Held, Reply

if TYPE_CHECKING:
    from supervisor.run.asking import Asking
    from supervisor.run.content_parts import ContentParts
    from supervisor.run.guarding import Guarding
    from supervisor.run.proving import Proving
    from supervisor.run.reading import Reading
    from supervisor.run.relayed import Relayed
    from supervisor.surfaces.network import Network


class Parts(NamedTuple):
    """Everything a judge works with; made once by the composition root. ``unsigned``: why commits cannot be signed."""

    run: str
    policy: CompiledPolicy
    processes: Processes
    made: Made
    touched: Touched
    files: Files
    execs: Execs
    facts: Facts
    asking: Asking
    guarding: Guarding | None
    signals: Signals
    network: Callable[[], Network]
    settle: Callable[[], None]
    room: Callable[[], ContentParts]
    judges_content: bool
    recorder: Recorder
    explainer: Explainer
    refs: RefWatch | None
    git_tools: tuple[bytes, ...]
    unverified: bool
    open_folders: frozenset[bytes]
    agent: Agent
    relayed: tuple[Relayed, ...] = ()
    proving: Proving | None = None
    unsigned: str = ""
    reading: Reading | None = None


class Waiting(NamedTuple):
    """A held act, and what to do with its reply. ``again``: instead of finishing with ``CONTINUE``, the call is judged
    anew (a person has answered), and may then have to wait for something else."""

    held: Held
    finish: Callable[[Reply], Reply]
    abandon: Callable[[], None]
    again: Callable[[], Reply | Waiting] | None = None
