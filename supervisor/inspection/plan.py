"""Saved plans of Terraform and OpenTofu: what would be done to each resource, and what it would be afterwards.

A plan is a zip archive; its member ``tfplan`` is a message ``Plan`` (Terraform's ``planfile.proto``, the same in both:
field 1 ``version`` is 3, 3 ``resource_changes``, 13 ``backend``, 29 ``state_store``). Of a ``ResourceInstanceChange`` 9
is the ``change`` and 13 the address (1 to 6 before Terraform 1.1); of a ``Change`` 1 is the action and 2 the values,
before and after, in MessagePack. Archive and message are taken in one shape alone, the one that both programs write, so
that nothing is read otherwise here than there. An encrypted plan, and one that is kept elsewhere, cannot be read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Final, NamedTuple

from supervisor.inspection.decoding import Unreadable
from supervisor.inspection.document_nodes import Made, Members, Work
from supervisor.inspection.documents import embedded
from supervisor.inspection.selecting import Looker
from supervisor.inspection.wire_format import Field, Packed, message
from supervisor.vocabulary.applied import BEFORE, PLANNED, WORKSPACE
from supervisor.vocabulary.content import Findings, Selection, Value

if TYPE_CHECKING:
    from supervisor.inspection.reading import Tools

_MEMBER: Final = "tfplan"
_VERSION: Final = 3
_MOST_MEMBERS: Final = 10_000
_MOST_UNPACKED: Final = 64 << 20
_MOST_CHANGES: Final = 20_000
_MOST_TOLD: Final = 500
_MOST_VALUES: Final = 20_000
_END: Final = struct.Struct("<4s4H2IH")  # APPNOTE.TXT 4.3.16: end of central directory record
_ACTIONS: Final = {
    0: "no-op", 1: "create", 2: "read", 3: "update", 5: "delete", 6: "delete, then create", 7: "create, then delete",
    8: "forget", 9: "create, then forget",
}  # fmt: skip
_MADE: Final = frozenset((1, 3, 6, 7, 9))  # of these the last value is what there would be
_CHANGED: Final = frozenset((3, 6, 7, 9))  # and the first what there was
_KEY: Final = r'(?:\[(?:[0-9]+|"(?:[^"\\]|\\.)*")\])?'
_ADDRESS: Final = re.compile(
    rf"((?:module\.[^.\[\]]+{_KEY}\.)*)((?:data|ephemeral|list)\.)?([^.\[\]]+)\.([^.\[\]]+){_KEY}", re.DOTALL
)


class _Change(NamedTuple):
    address: str
    action: int
    values: tuple[memoryview, ...]


def inspect(content: bytes, tools: Tools) -> Findings:
    """What is not harmless as values of ``PLANNED``, the workspace as one of ``WORKSPACE``, and what stands where rules
    look in what would be made or changed; what was there before by ``BEFORE``. ``Unreadable``: it is no such plan."""
    plan = message(memoryview(_unpacked(content)), frozenset((1, 13, 29)))
    if plan.get(1) != [_VERSION]:
        raise Unreadable(f"a plan of another format than {_VERSION}")
    found = [*_workspace(plan)]
    changes = [_change(_bytes(each)) for each in plan.get(3, ())]
    if len(changes) > _MOST_CHANGES:
        raise Unreadable(f"it changes more than {_MOST_CHANGES} resources")
    unusual = [each for each in changes if each.action not in (0, 1, 2, 3)]
    found += [
        Value(PLANNED, each.address[:500], 0, (("", (_ACTIONS.get(each.action, "unknown"),)),))
        for each in unusual[:_MOST_TOLD]
    ]
    if tools.wanted.selections:
        found += _looked_into(changes, tools)
    return Findings(values=tuple(found))


# ---------------------------------------------------------------------------------------------------- the archive


def _unpacked(content: bytes) -> bytes:
    """The member, of an archive that begins at the first byte, ends at the last and has one such member."""
    import zipfile

    if len(content) < _END.size:
        raise Unreadable("no saved plan")
    mark, disk, first, here, members, size, start, comment = _END.unpack_from(content, len(content) - _END.size)
    if mark != b"PK\x05\x06" or comment or disk or first or here != members:
        raise Unreadable("no saved plan: not a plain zip archive (an encrypted plan, or one kept elsewhere, is none)")
    if members > _MOST_MEMBERS or start + size != len(content) - _END.size:
        raise Unreadable("no saved plan: its directory is not where it should be")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            named = [each for each in archive.infolist() if each.orig_filename == _MEMBER]
            if len(named) != 1:
                raise Unreadable(f"no saved plan: {len(named)} members {_MEMBER}")
            if named[0].flag_bits & 1 or named[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Unreadable("no saved plan: encrypted, or packed in an unusual way")
            if named[0].file_size > _MOST_UNPACKED:
                raise Unreadable(f"it has more than {_MOST_UNPACKED} bytes when it is unpacked")
            with archive.open(named[0]) as member:
                found = member.read(_MOST_UNPACKED + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise Unreadable(f"no saved plan: {type(error).__name__}: {str(error)[:120]}") from error
    if len(found) != named[0].file_size:
        raise Unreadable("no saved plan: it is not as long as it says")
    return found


# ---------------------------------------------------------------------------------------------------- the messages


def _bytes(value: Field) -> memoryview:
    if isinstance(value, int):
        raise Unreadable("a number where a message belongs")
    return value


def _text(value: Field) -> str:
    try:
        return bytes(_bytes(value)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("a name that is not UTF-8") from error


def _workspace(plan: dict[int, list[Field]]) -> Iterator[Value]:
    for number in (13, 29):
        for each in plan.get(number, ()):
            for name in message(_bytes(each), frozenset((1, 2, 3))).get(3, ()):
                yield Value(WORKSPACE, "", 0, (("", (_text(name)[:200],)),))


def _change(data: memoryview) -> _Change:
    found = message(data, frozenset((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14)))
    if len(found.get(9, ())) != 1:
        raise Unreadable("a change of nothing")
    change = message(_bytes(found[9][0]), frozenset((1, 5, 6, 7, 8)))
    action = change.get(1, [0])[0]
    if not isinstance(action, int):
        raise Unreadable("an action that is no number")
    values = tuple(_value(_bytes(each)) for each in change.get(2, ()))
    if action in _MADE and not values:
        raise Unreadable("a change that does not say to what")
    return _Change(_address(found), action, values)


def _address(found: dict[int, list[Field]]) -> str:
    """Terraform before 1.1 wrote module, mode, type and name into fields of their own, which later ones do not read."""
    if 13 in found:
        return _text(found[13][0])
    if 3 not in found or 4 not in found:
        raise Unreadable("a change without an address")
    module = f"{_text(found[1][0])}." if 1 in found else ""
    mode = "data." if found.get(2, [0])[0] else ""
    return f"{module}{mode}{_text(found[3][0])}.{_text(found[4][0])}"


def _value(data: memoryview) -> memoryview:
    found = message(data, frozenset((1,)))
    if list(found) != [1]:
        raise Unreadable("a value in another format")
    return _bytes(found[1][0])


# ---------------------------------------------------------------------------------------------- what rules look at


def _looked_into(changes: Sequence[_Change], tools: Tools) -> list[Value]:
    work, found = Work(tools.parsers.check), list[Value]()
    looker = Looker(work, partial(embedded, work))
    earlier = tuple(each._replace(id=BEFORE + each.id) for each in tools.wanted.selections)
    for change in changes:
        if change.action not in _MADE:
            continue
        found += _at(change, change.values[-1], looker, work, tools.wanted.selections)
        if change.action in _CHANGED:
            found += _at(change, change.values[0], looker, work, earlier)
        if len(found) > _MOST_VALUES:
            raise Unreadable(f"rules look at more than {_MOST_VALUES} places in it")
    return found


def _at(
    change: _Change, value: memoryview, looker: Looker, work: Work, selections: tuple[Selection, ...]
) -> Iterator[Value]:
    """As a source of HCL would say it: ``resource.TYPE.NAME``, below the name of its module."""
    address = _ADDRESS.fullmatch(change.address)
    if address is None:
        raise Unreadable(f"an address of no known form: {change.address[:80]}")
    kind = (address[2] or "resource.").removesuffix(".")
    root: Made = Packed(value, work).document()
    for name in (address[4], address[3], kind):
        root = Members([(name, root)], 0)
    places: dict[str, list[Selection]] = {}
    for selection in selections:
        places.setdefault(selection.at, []).append(selection)
    for at, looking in places.items():
        yield from looker.values(root, address[1].removesuffix("."), at, looking)
