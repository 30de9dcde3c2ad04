"""``[scope] hosts``: what an entry admits, and what nothing admits."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.invariants.addresses import classify, number
from supervisor.invariants.hosts import HostRules, compile_hosts, judge, unjudged
from supervisor.profile.model import Entry
from supervisor.vocabulary.errors import ProfileError
from supervisor.vocabulary.events import Actor, NetEvent

ACTOR = Actor(1, 0, 0, b"/bin/x", (b"x",), 1)


def rules(*layers: list[str], resolvers: tuple[str, ...] = (), granted: tuple[str, ...] = ()) -> HostRules:
    written = tuple(tuple(Entry(value, f"govrun.toml:{at}") for value in layer) for at, layer in enumerate(layers, 1))
    return compile_hosts(written, resolvers, tuple(Entry(value, "agent:x") for value in granted), "/home/u")


def event(host: str, port: int = 443, *, op: str = "connect", transport: str = "tcp", own: bool = False) -> NetEvent:
    return NetEvent(ACTOR, op, "inet6" if ":" in host else "inet", transport, host, port, own=own)


def unix(path: bytes, *, own: bool = False) -> NetEvent:
    return NetEvent(ACTOR, "connect", "unix", "stream", unix=path, own=own)


def blocks(compiled: HostRules, attempt: NetEvent) -> bool:
    return judge(compiled, attempt).blocks


SPECIAL = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.255", "169.254.0.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "198.18.0.1", "224.0.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255", "100.100.100.200", "168.63.129.16", "192.0.0.192", "::", "::1", "fe80::1",
    "fc00::1",
    "fdff::1", "fec0::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
    "::10.0.0.1",
    "::ffff:0:10.0.0.1", "64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b:1::808:808", "2002:a00:1::", "2002:7f00:1::1",
    "2001::1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.167.1.1", "169.253.1.1",
    "223.255.255.255", "198.17.1.1", "198.20.0.1", "2606:4700::1111", "2a00::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
    "2002:808:808::1", "2001:4860::1",
]  # fmt: skip


@pytest.mark.parametrize("host", SPECIAL)
def test_without_hosts_special_addresses_are_refused(host: str) -> None:
    ruling = judge(rules(), event(host))
    assert ruling.blocks
    assert host in ruling.message


@pytest.mark.parametrize("host", PUBLIC)
def test_without_hosts_public_addresses_are_free(host: str) -> None:
    assert not blocks(rules(), event(host))


@pytest.mark.parametrize("host", SPECIAL)
@pytest.mark.parametrize("entry", ["*:443", "*:*", "api.example.com:443", "0.0.0.0/0", "[::/0]:443", "8.0.0.0/6:443"])
def test_wide_entries_open_no_special_address(host: str, entry: str) -> None:
    assert blocks(rules([entry]), event(host))


@pytest.mark.parametrize("host", [host for host in SPECIAL if "." not in host or ":" not in host])
def test_every_special_address_can_be_named(host: str) -> None:
    named = f"[{host}]:443" if ":" in host else f"{host}:443"
    assert not blocks(rules([named]), event(host))
    assert blocks(rules([named]), event(host, 444))


@pytest.mark.parametrize(
    ("entry", "host", "port", "blocked"),
    [
        ("10.0.0.0/8:443", "10.200.1.1", 443, False),
        ("10.0.0.0/8:443", "10.200.1.1", 80, True),
        ("10.0.0.0/8", "10.200.1.1", 80, False),
        ("10.*:443", "10.200.1.1", 443, False),
        ("10.1.*.*:443", "10.2.1.1", 443, True),
        ("8.0.0.0/7:443", "9.1.1.1", 443, False),
        ("8.0.0.0/7:443", "10.1.1.1", 443, True),
        ("localhost:5432", "127.0.0.1", 5432, False),
        ("LOCALHOST:5432", "::1", 5432, False),
        ("localhost:5432", "127.0.0.2", 5432, True),
        ("127.0.0.1:5432", "::1", 5432, True),
        ("[::ffff:10.0.0.1]:1", "10.0.0.1", 1, False),
        ("10.0.0.1:1", "::ffff:10.0.0.1", 1, False),
        ("[fd00::/8]:443", "fd12::1", 443, False),
        ("[fd00::/8]", "fd12::1", 9, False),
        ("169.254.0.0/16:80", "169.254.1.1", 80, False),
        ("169.254.0.0/16:80", "169.254.169.254", 80, True),
        ("fd.example.com:443", "10.0.0.1", 443, True),
        ("*:443", "8.8.8.8", 443, False),
        ("*:443", "8.8.8.8", 80, True),
        ("*:*", "8.8.8.8", 80, False),
        ("registry:pypi", "8.8.8.8", 443, False),
        ("registry:pypi", "8.8.8.8", 80, True),
        ("8.8.8.8:53", "8.8.4.4", 53, True),
    ],
)
def test_entries(entry: str, host: str, port: int, blocked: bool) -> None:
    assert blocks(rules([entry]), event(host, port)) is blocked


def test_names_stand_for_their_port_and_say_so() -> None:
    compiled = rules(["packages.example.com:443", "8.8.8.8:443"])
    by_name, by_number = judge(compiled, event("9.9.9.9")), judge(compiled, event("8.8.8.8"))
    assert not by_name.blocks
    assert "names are not judged yet" in by_name.message
    assert by_name.source == by_number.source == "govrun.toml:1"
    assert by_number.message == ""
    layers = ((Entry("a.example.com:443", "x:1"), Entry("10.0.0.1:1", "x:2")), (Entry("registry:npm", "y:1"),))
    assert [entry.source for entry in unjudged(layers)] == ["x:1", "y:1"]


def test_every_layer_must_admit() -> None:
    compiled = rules(["8.8.8.8:443", "9.9.9.9:443"], ["8.8.8.8:443"])
    assert not blocks(compiled, event("8.8.8.8"))
    assert blocks(compiled, event("9.9.9.9"))
    weaker = judge(rules(["8.8.8.8:443"], ["x.example.com:443"]), event("8.8.8.8"))
    assert (weaker.blocks, weaker.source) == (False, "govrun.toml:2"), "one layer judged by port alone: said"


def test_empty_list_admits_nothing_but_grants_and_own() -> None:
    compiled = rules([], resolvers=("9.9.9.9",), granted=("10.0.0.7:443",))
    assert blocks(compiled, event("8.8.8.8"))
    assert blocks(compiled, event("9.9.9.9", 53, transport="udp"))
    assert not blocks(compiled, event("10.0.0.7"))
    assert not blocks(compiled, event("127.0.0.1", own=True))


def test_resolvers() -> None:
    compiled = rules(["10.1.1.1:80"], resolvers=("127.0.0.53", "fe80::1%eth0", "not an address"))
    assert not blocks(compiled, event("127.0.0.53", 53, transport="udp"))
    assert not blocks(compiled, event("::ffff:127.0.0.53", 53))
    assert not blocks(compiled, event("fe80::1", 53, transport="udp", op="send"))
    assert blocks(compiled, event("127.0.0.53", 5353, transport="udp"))
    assert blocks(compiled, event("127.0.0.54", 53, transport="udp"))


@pytest.mark.parametrize(
    ("entry", "path", "blocked"),
    [
        ("unix:/run/a.sock", b"/run/a.sock", False),
        ("unix:/run/a.sock", b"/run/a.sock2", True),
        ("unix:/run/*.sock", b"/run/a.sock", False),
        ("unix:/run/*.sock", b"/run/x/a.sock", True),
        ("unix:/run/**", b"/run/x/a.sock", False),
        ("unix:/run/a?", b"/run/ab", False),
        ("unix:/run/a?", b"/run/a/", True),
        ("unix:/run/a.b", b"/run/axb", True),
        ("unix:/var/run/docker.sock", b"/run/docker.sock", False),
        ("unix:~/s", b"/home/u/s", False),
        ("unix:@name", b"\0name", False),
        ("unix:@name", b"@name", True),
        ("unix:/x*", b"/x\n\xff", False),
        ("*:*", b"/run/a.sock", True),
    ],
)
def test_unix_sockets(entry: str, path: bytes, blocked: bool) -> None:
    assert blocks(rules([entry]), unix(path)) is blocked


def test_unix_sockets_of_others_are_refused_and_told_safely() -> None:
    ruling = judge(rules(), unix(b"/tmp/\x1b[2J\xe2\x80\xae"))
    assert ruling.blocks
    assert ruling.message.isascii()
    assert ruling.message.isprintable()
    assert not blocks(rules(), unix(b"/tmp/x", own=True))
    assert blocks(rules(["unix:/**"]), unix(b""))


@pytest.mark.parametrize("op", ["bind", "listen"])
def test_what_the_run_opens_is_free(op: str) -> None:
    assert not blocks(rules([]), event("0.0.0.0", 80, op=op))
    assert not blocks(rules([]), NetEvent(ACTOR, op, "unix", "stream", unix=b"/x"))


def test_other_families() -> None:
    for transport, blocked in (("disconnect", False), ("peer", False), ("netlink", False), ("", True), ("vsock", True)):
        assert blocks(rules([]), NetEvent(ACTOR, "connect", "other", transport)) is blocked
    assert blocks(rules(), NetEvent(ACTOR, "connect", "new", "tcp", "8.8.8.8", 1))


def test_a_refusal_beats_everything() -> None:
    for one in (event("8.8.8.8", own=True), NetEvent(ACTOR, "send", "other", "peer"), event("0.0.0.0", op="listen")):
        ruling = judge(rules(), one._replace(refusal="because"))
        assert (ruling.blocks, ruling.message) == (True, "because")


def test_other_addresses_of_this_machine() -> None:
    """A public address of one's own leads to one's own services."""
    here = event("8.8.8.8")._replace(local=True)
    assert blocks(rules(), here)
    assert blocks(rules(["*:443"]), here)
    assert blocks(rules(["8.8.8.0/24:443"]), here)
    assert not blocks(rules(["8.8.8.8:443"]), here)
    assert not blocks(rules([]), here._replace(own=True))


@pytest.mark.parametrize(
    "text", ["example.com", "localhost", "8.8.8.8.", "010.0.0.1", "0x8.8.8.8", "134744072", "", "8.8.8", "١.1.1.1"]
)
def test_what_is_no_literal_is_refused(text: str) -> None:
    """A surface only gives canonical literals; anything else is a mistake that must not pass."""
    assert blocks(rules(), event(text))
    assert blocks(rules(["*:*", "example.com:443"]), event(text))


def test_errors_come_all_at_once() -> None:
    bad = ["example.com", "1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536", "10.0.0.1/8:1", "10.0.0.0/33:1", "::1:80", "[::1:80",
           "[example]:1", "unix:relative", "1.*.3.4:1", "[::1]"]  # fmt: skip
    with pytest.raises(ProfileError) as caught:
        rules(bad)
    assert [line.split("'")[1] for line in caught.value.why.splitlines()] == bad
    assert "govrun.toml:1" in caught.value.why


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_numbers_are_those_of_the_standard_library(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    found = number(str(address))
    mapped = getattr(address, "ipv4_mapped", None) or address
    assert found == (mapped.max_prefixlen, int(mapped))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_that_the_standard_library_calls_private_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Documentation networks apart: nothing is there to be reached."""
    documentation = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"]
    if any(address in ipaddress.ip_network(net) for net in documentation):
        return
    value = number(str(address))
    assert value is not None
    if (
        address.is_private
        or address.is_link_local
        or address.is_multicast
        or address.is_loopback
        or address.is_reserved
    ):
        embedded = int(address) >> 32 in (0, 0xFFFF0000, 0x64FF9B << 64) or int(address) >> 112 == 0x2002
        ietf = address.version == 6 and int(address) >> 105 == 0x2001 << 7  # 2001::/23 holds anycast and ORCHID
        assert classify(value) or embedded or ietf or (address.version == 6 and address.is_reserved)


@given(st.text(max_size=40))
def test_any_text_compiles_or_is_a_profile_error(text: str) -> None:
    try:
        compiled = rules([text])
    except ProfileError:
        return
    assert blocks(compiled, event("169.254.169.254", 1)) or "169.254.169.254" in text


@pytest.mark.parametrize("path", [b"/run/docker.sock", b"/run/user/1000/podman/podman.sock"])
def test_container_engines_are_told_apart(path: bytes) -> None:
    """Their sockets at the usual places, and the line that lets them in."""
    blocked, message, _ = judge(rules(), unix(path))
    assert blocked
    assert f'hosts = ["unix:{path.decode()}"]' in message and "container engine" in message
    assert not blocks(rules([f"unix:{path.decode()}"]), unix(path))
    assert "container engine" not in judge(rules(), unix(path + b"et")).message
