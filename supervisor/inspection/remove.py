"""A manifest without its offending entries, everything else byte for byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from supervisor.inspection import kinds
from supervisor.inspection.decoding import Unreadable
from supervisor.inspection.entries import Document, Entry, Located, cut
from supervisor.inspection.reading import manifest, manifest_text, most_bytes
from supervisor.vocabulary.addresses import BY_ADDRESS
from supervisor.vocabulary.content import Requirement

_Key = tuple[str, str, str, int]


def without(kind: str, content: bytes, drop: Collection[Requirement]) -> bytes | None:
    """``content`` without the entries of ``drop``, which are told by ecosystem, name, place and line.

    None when that is not possible with certainty, and the whole file has to go back: locks, sources, documents that do
    not parse, entries that are not there, a result that requires anything else than before less ``drop``.
    """
    if not kinds.is_manifest(kind) or len(content) > most_bytes(kind):
        return None
    try:
        text = manifest_text(kind, content)
        if text.encode("utf-8", "surrogateescape") != content:
            return None
        return _without(kind, text, drop)
    except (Unreadable, ValueError, RecursionError):
        return None


def _without(kind: str, text: str, drop: Collection[Requirement]) -> bytes | None:
    document = manifest(kind, text)
    wanted = {_key(each) for each in drop}
    gone = [each for each in document.located if _key(each.requirement) in wanted]
    if document.problem or wanted != {_key(each.requirement) for each in gone}:
        return None
    if not all(each.entries for each in gone):
        return None
    doomed = {entry for each in gone for entry in each.entries}
    # What an address tells by itself comes and goes with what it is called.
    named = {(each.entries, each.requirement.place.removesuffix(BY_ADDRESS)) for each in gone}
    kept = [
        each
        for each in document.located
        if _key(each.requirement) not in wanted
        and (each.entries, each.requirement.place.removesuffix(BY_ADDRESS)) not in named
    ]
    if any(doomed.intersection(each.entries) for each in kept):
        return None
    result = cut(text, document.entries, doomed)
    again = manifest(kind, result)
    if again.problem or not _same(again.located, kept):
        return None
    if kind == "environment.yml" and _emptied(document, again):
        return None
    return result.encode("utf-8", "surrogateescape")


def _key(requirement: Requirement) -> _Key:
    return requirement.ecosystem, requirement.name, requirement.place, requirement.line


def _same(now: Iterable[Located], before: Iterable[Located]) -> bool:
    """Equal but for places in the text."""

    def counted(located: Iterable[Located]) -> Counter[Requirement]:
        return Counter(each.requirement._replace(line=0) for each in located)

    return counted(now) == counted(before)


def _emptied(before: Document, after: Document) -> bool:
    """A YAML list that loses its last item becomes null, which conda does not take."""

    def lists(entries: Iterable[Entry]) -> set[object]:
        return {each.path[:-1] if len(each.path) < 4 else each.path[2] for each in entries}

    return lists(before.entries) != lists(after.entries)
