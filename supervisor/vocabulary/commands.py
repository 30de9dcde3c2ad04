"""What a command would do, as facts: no rule is applied here."""

from __future__ import annotations

from typing import NamedTuple

from supervisor.vocabulary.applied import Applies


class PushedRef(NamedTuple):
    """One ref over there, by its full name, which may end a pattern (``refs/heads/*``). ``forced``: whatever it leads
    to by then; ``deleted``: it may be taken away."""

    name: str
    forced: bool = False
    deleted: bool = False


class Push(NamedTuple):
    """What a push would change. ``remote``: as the command names it; ``refs_known``: there are no others;
    ``by_default``: which they are, or where, is left to configuration."""

    remote: str = ""
    refs: tuple[PushedRef, ...] = ()
    refs_known: bool = False
    by_default: bool = False


class Proposal(NamedTuple):
    """What is done about a pull or merge request. ``act``: ``open``, ``retarget``, ``ready`` or ``merge``; ``base``:
    the branch it is for, empty where the command does not say; ``draft``: whether it surely is, or stays, one."""

    act: str
    base: str = ""
    draft: bool = False


class Command(NamedTuple):
    """One thing that an exec does, in its normal form.

    ``tool``: the catalogue's name of the program (``kubectl``, ``git``), or the base name of one it does not list.
    ``verb``: the words that say what is done (``apply``, ``rollout restart``, ``stash drop``), empty where the tool has
    none. ``words``: the command line in normal form, wrappers and global options removed: tool, verb and all that
    follows, as given. ``classes``: words of ``profile.rulevalues.COMMAND_CLASSES``, none for what only reads.
    ``targets``: where it acts (``prod-eu``, ``origin``, ``refs/heads/main``, ``registry.example.com/app``); each has to
    be allowed. ``resolved`` is False where that cannot be told: no rule that allows then matches. ``applies``: the
    files that it would apply; ``unread``: why it cannot be told what they say, empty where it can. ``irreversible``:
    nothing that is kept here could undo it. ``source``: where a target comes from that is neither an argument nor the
    environment (a path), empty otherwise; ``read``: all files that were asked for it (absolute, with the digest of what
    they said, empty for what could not be read), those of a git repository left out.
    ``stands_for``: (target, what it is another name of), the addresses of a git remote: a rule may speak of either.
    ``push``: what it would push, None where that is nothing; ``proposals``: what it does about pull requests.
    """

    tool: str
    verb: str
    words: tuple[str, ...]
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    resolved: bool = True
    applies: tuple[Applies, ...] = ()
    irreversible: bool = False
    source: str = ""
    stands_for: tuple[tuple[str, str], ...] = ()
    unread: str = ""
    push: Push | None = None
    proposals: tuple[Proposal, ...] = ()
    read: tuple[tuple[str, bytes], ...] = ()
