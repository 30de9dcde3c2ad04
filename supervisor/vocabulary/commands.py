"""What a command would do, as facts: no rule is applied here."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One thing that an exec does, in its normal form.

    ``tool``: the catalogue's name of the program (``kubectl``, ``git``), or the base name of one it does not list.
    ``verb``: the words that say what is done (``apply``, ``rollout restart``, ``stash drop``), empty where the tool has
    none. ``words``: the command line in normal form, wrappers and global options removed: tool, verb and all that
    follows, as given. ``classes``: words of ``profile.rulevalues.COMMAND_CLASSES``, none for what only reads.
    ``targets``: where it acts (``prod-eu``, ``origin``, ``refs/heads/main``, ``registry.example.com/app``); each has to
    be allowed. ``resolved`` is False where that cannot be told: no rule that allows then matches. ``files``: what it
    would apply, as named (``-f deploy.yaml``). ``irreversible``: nothing that is kept here could undo it. ``source``:
    where a target comes from that is neither an argument nor the environment (a path), empty otherwise.
    ``stands_for``: (target, what it is another name of), the addresses of a git remote: a rule may speak of either.
    """

    tool: str
    verb: str
    words: tuple[str, ...]
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    resolved: bool = True
    files: tuple[str, ...] = ()
    irreversible: bool = False
    source: str = ""
    stands_for: tuple[tuple[str, str], ...] = ()
