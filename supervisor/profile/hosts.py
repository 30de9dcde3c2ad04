"""Checks of what ``[scope] hosts`` and ``tls`` take."""

from __future__ import annotations

from supervisor.profile.problems import Spot, nearest, shown
from supervisor.profile.values import text

REGISTRIES = ("pypi", "npm", "cargo", "go", "maven", "rubygems", "composer", "nuget", "hex", "pub", "conan")


def _port(spot: Spot, port: str, whole_text: str) -> bool:
    if port == "*" or (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        return True
    spot.bad(f"{shown(whole_text)}: the port must be 1 to 65535 or *")
    return False


def host(spot: Spot, value: object) -> str | None:
    """One element of ``hosts``: ``name:port``, an address, CIDR, ``unix:/path`` or ``registry:NAME``; globs allowed."""
    entry = text(spot, value)
    if entry is None:
        return None
    if any(c.isspace() for c in entry):
        return spot.bad(f"{shown(entry)}: a host holds no spaces")
    if "://" in entry:
        return spot.bad(f"{shown(entry)}: write host:port, not a URL")
    if entry.startswith("unix:"):
        path = entry[5:]
        if path[:1] not in ("/", "@") and not path.startswith("~/"):
            return spot.bad(f"{shown(entry)}: write unix:/absolute/path or unix:@abstract-name")
        return entry
    if entry.startswith("registry:"):
        name = entry[9:]
        if name not in REGISTRIES:
            return spot.bad(f"unknown registry {shown(name)}{nearest(name, REGISTRIES)}")
        return entry
    return address(spot, entry)


def address(spot: Spot, entry: str) -> str | None:
    """``name:port``, an address, or CIDR, already known to be text."""
    bracketed = entry.startswith("[")
    if bracketed:
        name, closed, port = entry[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            return spot.bad(f"{shown(entry)}: write [address]:port")
        port = port[1:]
    elif entry.count(":") > 1:
        return spot.bad(f"{shown(entry)}: write an IPv6 address as [address]:port")
    else:
        name, _, port = entry.partition(":")
    if "/" in name or bracketed:
        if not _network(spot, name, entry) or (port and not _port(spot, port, entry)):
            return None
        return entry if port or "/" in name else spot.bad(f"{shown(entry)} has no port; write {entry}:443 or {entry}:*")
    if not name or not all(c.isalnum() or c in ".-_*?" for c in name):
        return spot.bad(f"{shown(entry)} is not a host: name:port, address:port, CIDR, unix:/path or registry:NAME")
    if name.strip("0123456789.") == "" and not _network(spot, name, entry):
        return None
    if not port:
        return spot.bad(f"{shown(entry)} has no port; write {entry.rstrip(':')}:443 or {entry.rstrip(':')}:*")
    return entry if _port(spot, port, entry) else None


def _network(spot: Spot, name: str, entry: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_network(name)
    except ValueError as error:
        spot.bad(f"{shown(entry)}: {error}")
        return False
    return True


def host_port(spot: Spot, value: object) -> str | None:
    """``tls``: ``name:port`` only."""
    entry = text(spot, value)
    if entry is not None and (entry.startswith(("unix:", "registry:")) or "/" in entry):
        return spot.bad(f"{shown(entry)}: TLS is terminated at host:port")
    return None if entry is None else host(spot, entry)
