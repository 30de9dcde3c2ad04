"""Literal IP addresses as integers, and what kind of place each one is."""

from __future__ import annotations

Net = tuple[int, int, int]  # width in bits (32 or 128), network, prefix length


def number(text: str) -> tuple[int, int] | None:
    """A literal address as (width, integer), None when it is none. v4-mapped addresses read as IPv4.

    Strict (RFC 6943): no octal, no short forms, no zone.
    """
    if ":" not in text:
        parts = text.split(".")
        if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) <= 3 for part in parts):
            return None
        octets = [int(part) for part in parts]
        if any(octet > 255 for octet in octets) or any(len(part) > 1 and part[0] == "0" for part in parts):
            return None
        return 32, int.from_bytes(bytes(octets), "big")
    return _number6(text)


def _number6(text: str) -> tuple[int, int] | None:
    head, gap, tail = text.partition("::")
    if "::" in tail or text.count(":") > 8:
        return None
    left, right = _groups(head, last=not gap), _groups(tail, last=True)
    if left is None or right is None:
        return None
    missing = 8 - len(left) - len(right)
    if (gap and missing < 1) or (not gap and missing != 0):
        return None
    value = 0
    for group in [*left, *([0] * missing), *right]:
        value = value << 16 | group
    if value >> 32 == 0xFFFF:
        return 32, value & 0xFFFFFFFF
    return 128, value


def _groups(text: str, *, last: bool) -> list[int] | None:
    if not text:
        return []
    found: list[int] = []
    parts = text.split(":")
    for at, part in enumerate(parts):
        if "." in part:
            tail = number(part)
            if not last or at != len(parts) - 1 or tail is None:
                return None
            found += [tail[1] >> 16, tail[1] & 0xFFFF]
        elif 1 <= len(part) <= 4 and all(sign in "0123456789abcdefABCDEF" for sign in part):
            found.append(int(part, 16))
        else:
            return None
    return found


def _blocks(*rows: tuple[str, int, str]) -> tuple[tuple[int, int, str], ...]:
    return tuple((found[1], length, name) for text, length, name in rows if (found := number(text)) is not None)


# iana-ipv4-special-registry, RFC 6890. 192.0.2/24, 198.51.100/24 and 203.0.113/24 are documentation: nothing is there.
_SPECIAL4 = _blocks(
    ("0.0.0.0", 8, "loopback"),
    ("10.0.0.0", 8, "private"),
    ("100.64.0.0", 10, "private"),  # RFC 6598, carrier-grade NAT
    ("127.0.0.0", 8, "loopback"),
    ("169.254.0.0", 16, "link-local"),
    ("172.16.0.0", 12, "private"),
    ("192.0.0.0", 24, "private"),
    ("192.168.0.0", 16, "private"),
    ("198.18.0.0", 15, "private"),  # RFC 2544
    ("224.0.0.0", 4, "multicast"),
    ("240.0.0.0", 4, "broadcast"),
)
_SPECIAL6 = _blocks(
    ("::", 127, "loopback"),  # :: and ::1
    ("64:ff9b:1::", 48, "private"),  # RFC 8215, local-use NAT64
    ("100::", 64, "private"),  # RFC 6666, discard only
    ("2001::", 32, "private"),  # RFC 4380, Teredo: hides an IPv4 address
    ("5f00::", 16, "private"),  # RFC 9602, segment routing
    ("fc00::", 7, "private"),
    ("fe80::", 10, "link-local"),
    ("fec0::", 10, "private"),  # RFC 3879, site-local
    ("ff00::", 8, "multicast"),
)
# Where clouds hand out credentials. Each needs an entry of its own.
_METADATA = frozenset(
    number(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.169.253",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
# Prefixes that carry an IPv4 address, and how far its lowest bit lies from the right: v4-compatible
# (RFC 4291), v4-translated (RFC 2765), NAT64 (RFC 6052), 6to4 (RFC 3056).
_EMBEDDED = ((0, 96, 0), (0xFFFF << 48, 96, 0), (0x64FF9B << 96, 96, 0), (0x2002 << 112, 16, 80))


def classify(value: tuple[int, int]) -> str:
    """``""`` for a public address, else ``loopback``, ``private``, ``link-local``, ``metadata``, ``multicast`` or
    ``broadcast``. Addresses that embed an IPv4 address are what that address is."""
    bits, address = value
    if value in _METADATA:
        return "metadata"
    special = special_of((bits, address, bits))
    if special or bits == 32:
        return special
    for base, prefix, shift in _EMBEDDED:
        if (address ^ base) >> (128 - prefix) == 0:
            return classify((32, (address >> shift) & 0xFFFFFFFF))
    return ""


def special_of(net: Net) -> str:
    """The name of the special block that the whole of ``net`` lies in, or ''."""
    width, network, prefix = net
    for base, length, name in _SPECIAL4 if width == 32 else _SPECIAL6:
        if prefix >= length and (network ^ base) >> (width - length) == 0:
            return name
    return ""
