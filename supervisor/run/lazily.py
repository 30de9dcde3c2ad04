"""Parts of a run that are loaded where they are needed, since a start must not pay for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.run.order import Order

if TYPE_CHECKING:
    from supervisor.run.fixing import Fixers, Fixing
    from supervisor.run.guarding import Guarding
    from supervisor.run.limiting import Limiting
    from supervisor.run.proving import Proving
    from supervisor.run.record import Recorder
    from supervisor.surfaces.network import Network
    from supervisor.vocabulary.events import LifecycleEvent
    from supervisor.vocabulary.verdicts import Verdict


def network() -> Network:
    from supervisor.surfaces.network import Network
    from supervisor.surfaces.sockets import OwnSockets

    return Network(OwnSockets())


def limiting(order: Order, crossed: Callable[[LifecycleEvent, Verdict], None], recorder: Recorder) -> Limiting | None:
    """What measures and holds what the run may use; ``crossed`` is told when that is more."""
    if order.bounds is None:
        return None
    from supervisor.run.limiting import Limiting

    return Limiting(order.policy, order.bounds, crossed, recorder, order.say)


def proving(order: Order, recorder: Recorder) -> Proving | None:
    """What shows the contracts while the run goes on, and at its end."""
    if not order.contracts or order.governed is None:
        return None
    from supervisor.run.proving import Proving

    return Proving(order, recorder, order.governed)


def fixers(order: Order) -> Fixers | None:
    """What starts the fixers that the profile has govrun start."""
    if not order.policy.remediation:
        return None
    from supervisor.run.fixing import fixers_of

    return fixers_of(order.policy.remediation, order.policy.tree)


def fixing(
    fixers: Fixers | None, guarding: Guarding | None, recorder: Recorder, order: Order, settle: Callable[[], None]
) -> Fixing | None:
    """What has them started; ``settle`` judges what has been written."""
    if fixers is None or guarding is None or guarding.repairs is None:
        return None
    from supervisor.run.fixing import Fixing

    found = guarding.repairs.fixing = Fixing(fixers, guarding.repairs, recorder, order.run, settle, order.say)
    return found
