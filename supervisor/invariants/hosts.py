"""``[scope] hosts``: which addresses and UNIX sockets a run may reach.

Judged now: literal addresses, networks, ``*:PORT`` and UNIX sockets. Names and ``registry:`` entries cannot be judged
before names are resolved under supervision; until then they stand for the port they name, on public addresses only,
and are reported by ``unjudged``.

Special addresses (private, link-local, loopback, metadata ...) need an entry that lies inside the special network:
``0.0.0.0/0:443`` opens the public internet, not the machine next door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from supervisor.invariants.addresses import Net, classify, number, special_of
from supervisor.profile.model import Entry, Layers
from supervisor.vocabulary.errors import ProfileError
from supervisor.vocabulary.events import NetEvent


class Rule(NamedTuple):
    """One entry. ``kind``: ``net`` (literal address or network), ``public`` (``*``), ``name``, ``registry``,
    ``unix``. ``port`` None: any. ``pattern`` is the name or path, lower case for names."""

    kind: str
    port: int | None
    net: Net
    pattern: str
    entry: Entry


class HostRules(NamedTuple):
    """Compiled ``hosts``. An address must be admitted by every one of ``layers``, or by ``granted`` alone, which the
    shipped agent pack adds after merging. ``resolvers`` are the literal addresses of resolv.conf(5)."""

    layers: tuple[tuple[Rule, ...], ...] = ()
    granted: tuple[Rule, ...] = ()
    resolvers: frozenset[tuple[int, int]] = frozenset()


class Ruling(NamedTuple):
    """``blocks``: the act must not happen; ``message`` says why (or on what footing it was let through); ``source``
    is where the deciding rule is written, empty for the built-in ones."""

    blocks: bool
    message: str = ""
    source: str = ""


FREE = Ruling(False)
_NO_NET: Net = (0, 0, 0)
_Test = Callable[[Rule], bool]


def compile_hosts(
    layers: Layers, resolvers: Iterable[str] = (), granted: Iterable[Entry] = (), home: str = ""
) -> HostRules:
    """Parse every entry once. ``home`` replaces a leading ``~`` of UNIX paths. Errors: ProfileError, all at once."""
    problems: list[str] = []

    def parse_all(entries: Iterable[Entry]) -> tuple[Rule, ...]:
        rules: list[Rule] = []
        for entry in entries:
            try:
                rules += parse(entry, home)
            except ValueError as error:
                problems.append(f"{entry.source}: hosts entry {entry.value!r}: {error}")
        return tuple(rules)

    rules = HostRules(
        tuple(parse_all(layer) for layer in layers),
        parse_all(granted),
        frozenset(found for text in resolvers if (found := number(text.partition("%")[0])) is not None),
    )
    if problems:
        fix = "write name:port, 127.0.0.1:port, [::1]:port, 10.0.0.0/8:port, *:port, unix:/path or registry:pypi"
        raise ProfileError("the hosts of [scope] cannot be read", "\n".join(problems), fix)
    return rules


def unjudged(layers: Layers, granted: Iterable[Entry] = ()) -> list[Entry]:
    """The entries whose names cannot be judged yet: their rule reads ``unenforceable``."""
    found = []
    for entry in [*(entry for layer in layers for entry in layer), *granted]:
        try:
            rules = parse(entry, "")
        except ValueError:
            continue  # compile_hosts tells it
        if any(rule.kind in ("name", "registry") for rule in rules):
            found.append(entry)
    return found


# Where container engines listen by default: they write, as root, whatever they are asked to mount.
_ENGINES = ("docker.sock", "podman.sock", "containerd.sock", "buildkitd.sock", "crio.sock")


def judge(rules: HostRules, event: NetEvent) -> Ruling:
    """Whether the run may do this. Whatever is not recognised is refused."""
    if event.refusal:
        return Ruling(True, event.refusal)
    if event.family == "other":
        if event.transport in ("disconnect", "peer", "netlink"):
            return FREE  # no new destination: the peer was judged when it was connected
        return Ruling(True, f"{event.op}: this kind of socket cannot be judged")
    if event.op in ("bind", "listen"):
        return FREE  # what the run opens itself is free; the name of a UNIX socket is judged as a path
    if event.own:
        return FREE
    if event.family == "unix":
        return _unix(rules, event)
    if event.family in ("inet", "inet6"):
        return _address(rules, event)
    return Ruling(True, f"{event.op}: unknown address family {event.family!r}")


_AGENT = (
    "the agent is for git alone: its signer, and the ssh that it starts itself for a remote as configured at the start"
    " (with no LD_… or the like in the environment)"
)


def _unix(rules: HostRules, event: NetEvent) -> Ruling:
    path = event.unix.decode("utf-8", "surrogateescape")
    name = "@" + path[1:] if path.startswith("\0") else path
    told = repr(event.unix)[2:-1]
    if not path.startswith(("/", "\0")):
        return Ruling(True, f"{event.op}: a UNIX socket without a canonical name")
    deciding = _admitted(rules, lambda rule: rule.kind == "unix" and _glob(rule.pattern, name))
    if deciding is not None:
        return Ruling(False, "", deciding.entry.source)
    if event.agent in ("signer", "login"):
        return FREE  # it is led to a relay, which bounds what is asked
    if event.agent:
        return Ruling(True, f"{event.op} to {told}: {_AGENT}")
    message = f"{event.op} to the UNIX socket {told}: no program of this run listens there, and hosts does not name it"
    if path.rpartition("/")[2] in _ENGINES:
        message += (
            f'; what a container engine starts is not bound by this run (to allow it all: hosts = ["unix:{told}"])'
        )
    return Ruling(True, message, _narrowing(rules))


def _address(rules: HostRules, event: NetEvent) -> Ruling:
    where = f"[{event.host}]:{event.port}" if ":" in event.host else f"{event.host}:{event.port}"
    value = number(event.host)
    if value is None:
        return Ruling(True, f"{event.op} to {where}: names cannot be judged yet, only literal addresses")
    empty = any(not layer for layer in rules.layers)  # `hosts = []` means nothing at all
    if event.port == 53 and event.transport in ("udp", "tcp") and value in rules.resolvers and not empty:
        return Ruling(False, "a resolver of resolv.conf")
    kind = classify(value) or ("local" if event.local else "")
    deciding = _admitted(rules, lambda rule: _admits(rule, value, kind, event.port))
    if deciding is not None and deciding.kind in ("name", "registry"):
        message = f"{event.op} to {where}: let through by its port alone, names are not judged yet"
        return Ruling(False, message, deciding.entry.source)
    if deciding is not None:
        return Ruling(False, "", deciding.entry.source)
    if not rules.layers and not kind:
        return FREE
    reason = {
        "": "it is not named in hosts",
        "loopback": "a program outside this run listens there, and hosts does not name it",
        "local": "an address of this machine where a program outside this run listens",
        "metadata": "a cloud metadata address that hosts does not name",
    }.get(kind, f"a {kind} address that hosts does not name")
    return Ruling(True, f"{event.op} to {where}: {reason}", _narrowing(rules))


def _narrowing(rules: HostRules) -> str:
    return next((rule.entry.source for layer in rules.layers for rule in layer), "")


def _admitted(rules: HostRules, admits: _Test) -> Rule | None:
    """The rule that lets the address pass: the first of a grant, else of the first layer, provided every layer has
    one. A judged rule is preferred to a name. None: not admitted, or nothing is said of it."""
    for rule in rules.granted:
        if admits(rule):
            return rule
    if not rules.layers:
        return None
    chosen: Rule | None = None
    for layer in rules.layers:
        fitting = sorted((rule for rule in layer if admits(rule)), key=lambda rule: rule.kind in ("name", "registry"))
        if not fitting:
            return None
        if chosen is None or fitting[0].kind in ("name", "registry"):
            chosen = fitting[0]
    return chosen


def _admits(rule: Rule, value: tuple[int, int], kind: str, port: int) -> bool:
    if rule.kind == "unix" or (rule.port is not None and rule.port != port):
        return False
    if rule.kind != "net":
        return not kind
    width, network, prefix = rule.net
    bits, address = value
    if bits != width or (address ^ network) >> (width - prefix):
        return False
    if not kind or prefix == width:
        return True
    return kind not in ("metadata", "local") and bool(special_of(rule.net))


def parse(entry: Entry, home: str) -> list[Rule]:
    """The rules one entry stands for. Errors: ValueError in words."""
    text = entry.value.strip()
    if text.startswith("unix:"):
        return _unix_rules(text[5:], entry, home)
    if text.startswith("registry:"):
        return [Rule("registry", 443, _NO_NET, text[9:], entry)]
    host, port = _split(text)
    if host == "*":
        return [Rule("public", port, _NO_NET, "*", entry)]
    if host.lower() == "localhost":
        return [Rule("net", port, net, "", entry) for net in ((32, 0x7F000001, 32), (128, 1, 128))]
    if host.startswith("["):
        if not host.endswith("]"):
            raise ValueError("an IPv6 address is written [ADDRESS]:PORT")
        return [Rule("net", port, _net(host[1:-1]), "", entry)]
    if ":" in host:
        raise ValueError("an IPv6 address is written [ADDRESS]:PORT")
    if "/" in host or number(host) is not None:
        return [Rule("net", port, _net(host), "", entry)]
    if all(part.isdecimal() or part == "*" for part in host.split(".")):
        return [Rule("net", port, _starred(host), "", entry)]
    return [Rule("name", port, _NO_NET, host.lower(), entry)]


def _split(text: str) -> tuple[str, int | None]:
    """Host and port; a network may stand without one, for all of them."""
    host, colon, port = text.rpartition(":")
    if "/" in port or port.endswith("]"):
        host, colon, port = text, ":", "*" if "/" in text else ""
    if not colon or not host or not port:
        raise ValueError("the port is missing")
    return host, None if port == "*" else _port(port)


def _unix_rules(path: str, entry: Entry, home: str) -> list[Rule]:
    if path.startswith("~/") and home:
        path = home.rstrip("/") + path[1:]
    if path[:1] not in ("/", "@", "~"):
        raise ValueError("the path of a UNIX socket is absolute")
    paths = [path]
    if path.startswith("/var/run/"):
        paths.append(path[4:])  # events carry canonical paths, and /var/run is a link to /run (FHS 3.0, 5.13)
    return [Rule("unix", None, _NO_NET, one, entry) for one in paths]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is not a port")
    return int(text)


def _net(text: str) -> Net:
    address, slash, length = text.partition("/")
    found = number(address)
    if found is None:
        raise ValueError(f"{address!r} is not an address")
    width, value = found
    if not slash:
        return width, value, width
    if not (length.isascii() and length.isdecimal()) or int(length) > width:
        raise ValueError(f"/{length} is not a prefix length")
    prefix = int(length)
    if value & ((1 << (width - prefix)) - 1):
        raise ValueError(f"{text} has bits set beyond its prefix")
    return width, value, prefix


def _starred(text: str) -> Net:
    """``10.*`` or ``10.1.*.*`` as a network."""
    parts = text.split(".")
    fixed = [part for part in parts if part != "*"]
    if parts[: len(fixed)] != fixed or not 1 <= len(fixed) <= 3 or len(parts) > 4 or len(fixed) == len(parts):
        raise ValueError(f"{text!r} is not an address; stars stand for the last numbers")
    return _net(".".join(fixed + ["0"] * (4 - len(fixed))) + f"/{8 * len(fixed)}")


def _glob(pattern: str, path: str) -> bool:
    """``*`` and ``?`` within one path component, ``**`` across them; everything else is literal."""
    if not any(sign in pattern for sign in "*?"):
        return pattern == path
    import re

    out = ""
    for piece in re.split(r"(\*\*|\*|\?)", pattern):
        out += {"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece))
    return re.fullmatch(out, path, re.DOTALL) is not None
