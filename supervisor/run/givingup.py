"""What the supervisor does without."""

from __future__ import annotations

import resource
import signal

from supervisor.confine.domains import Domain
from supervisor.kernel import caps, process, scheduling
from supervisor.vocabulary.errors import HostError

_NICE = -15  # where the user may; measured steadiest wake-ups


def give_up(own: Domain) -> None:
    """Before the child exists: everything that a bug of ours could use against the user is given up.
    Errors: ``HostError``."""
    process.become_subreaper()
    for number in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGQUIT, signal.SIGIO, signal.SIGURG):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    scheduling.prefer(_NICE)
    caps.drop_all()
    try:
        with own.ruleset() as domain:
            domain.restrict_self()
    except OSError as error:
        why = f"{error}\na container or another sandbox may keep Landlock away"
        raise HostError("the supervisor could not enter its Landlock domain", why, "govrun doctor") from error
