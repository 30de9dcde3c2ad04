"""The user's agents that programs of a run may ask, each through a relay that bounds what is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from supervisor.surfaces.files import Call
from supervisor.vocabulary.events import ExecEvent, NetEvent
from supervisor.vocabulary.netacts import NetAct

if TYPE_CHECKING:
    from supervisor.run.facts import Facts
    from supervisor.run.order import Order


class Relayed(Protocol):
    """One agent. ``executed`` is told of every image at its exec stop; ``seen`` gives a connect with what is known of
    its peer, ``led`` the same connect to the relay."""

    @property
    def pid(self) -> int: ...
    def close(self) -> None: ...
    def executed(self, pid: int, event: ExecEvent, facts: Facts) -> None: ...
    def seen(self, call: Call, event: NetEvent) -> NetEvent: ...
    def led(self, act: NetAct) -> NetAct: ...


def relayed(order: Order) -> tuple[Relayed, ...]:
    """What the order grants, running. Errors: ``StopRun``."""
    found: list[Relayed] = []
    if order.signing is not None:
        from supervisor.run.signing import Signers

        found.append(Signers(order.signing, order.git_tools))
    if order.logins is not None:
        from supervisor.run.logins import Logins

        found.append(Logins(order.logins, order.git_tools))
    return tuple(found)
