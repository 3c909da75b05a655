"""The networks that nothing is sent to, each with the reason and the document that reserves it.

Taken from IANA's registries of special-purpose IPv4 and IPv6 addresses and of the IPv6 address space (as of 2025),
and written out here, because a language's `is_global` differs between its versions.
"""

import ipaddress
from collections.abc import Iterator

from tocsin.config import Network

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", "means “this network” (RFC 791)"),
        ("10.0.0.0/8", "is private (RFC 1918)"),
        ("100.64.0.0/10", "is carrier-grade NAT (RFC 6598)"),
        ("127.0.0.0/8", "is loopback (RFC 1122)"),
        ("168.63.129.16/32", "is a cloud's metadata and platform service (Azure)"),
        ("169.254.0.0/16", "is link-local, where clouds keep their metadata service (RFC 3927)"),
        ("172.16.0.0/12", "is private (RFC 1918)"),
        ("192.0.0.0/24", "is reserved for protocols (RFC 6890)"),
        ("192.0.2.0/24", "is for documentation (RFC 5737)"),
        ("192.31.196.0/24", "is the AS112 sink (RFC 7535)"),
        ("192.52.193.0/24", "is for multicast tunnels (RFC 7450)"),
        ("192.88.99.0/24", "was the 6to4 relay (RFC 7526)"),
        ("192.168.0.0/16", "is private (RFC 1918)"),
        ("192.175.48.0/24", "is the AS112 sink (RFC 7534)"),
        ("198.18.0.0/15", "is for benchmarks (RFC 2544)"),
        ("198.51.100.0/24", "is for documentation (RFC 5737)"),
        ("203.0.113.0/24", "is for documentation (RFC 5737)"),
        ("224.0.0.0/4", "is multicast (RFC 5771)"),
        ("240.0.0.0/4", "is reserved, up to the broadcast address (RFC 1112, RFC 919)"),
        # IPv6. Only 2000::/3 is given out to networks at all; the blocks beside it stand here one by one.
        ("::/128", "is unspecified (RFC 4291)"),
        ("::1/128", "is loopback (RFC 4291)"),
        ("64:ff9b:1::/48", "is local-use NAT64 (RFC 8215)"),
        ("::/8", "is reserved (RFC 4291)"),  # but for mapped and NAT64 addresses, see `judged`
        ("100::/64", "is discard-only (RFC 6666)"),
        ("100:0:0:1::/64", "is a dummy prefix (RFC 9780)"),
        ("100::/8", "is reserved (RFC 4291)"),
        ("200::/7", "is reserved (RFC 4048)"),
        ("400::/6", "is reserved (RFC 4291)"),
        ("800::/5", "is reserved (RFC 4291)"),
        ("1000::/4", "is reserved (RFC 4291)"),
        ("2001::/32", "is a Teredo tunnel (RFC 4380)"),
        ("2001:2::/48", "is for benchmarks (RFC 5180)"),
        ("2001:10::/28", "is an ORCHID, no place (RFC 4843)"),
        ("2001:20::/28", "is an ORCHID, no place (RFC 7343)"),
        ("2001:30::/28", "is a drone's tag, no place (RFC 9374)"),
        ("2001::/23", "is reserved for protocols (RFC 2928)"),
        ("2001:db8::/32", "is for documentation (RFC 3849)"),
        ("2002::/16", "is a 6to4 tunnel (RFC 3056)"),
        ("2620:4f:8000::/48", "is the AS112 sink (RFC 7534)"),
        ("3ffe::/16", "was the 6bone (RFC 3701)"),
        ("3fff::/20", "is for documentation (RFC 9637)"),
        ("5f00::/16", "is for segment routing (RFC 9602)"),
        ("4000::/3", "is reserved (RFC 4291)"),
        ("6000::/3", "is reserved (RFC 4291)"),
        ("8000::/3", "is reserved (RFC 4291)"),
        ("a000::/3", "is reserved (RFC 4291)"),
        ("c000::/3", "is reserved (RFC 4291)"),
        ("e000::/4", "is reserved (RFC 4291)"),
        ("f000::/5", "is reserved (RFC 4291)"),
        ("f800::/6", "is reserved (RFC 4291)"),
        ("fc00::/7", "is private (RFC 4193)"),
        ("fe00::/9", "is reserved (RFC 4291)"),
        ("fe80::/10", "is link-local (RFC 4291)"),
        ("fec0::/10", "was site-local (RFC 3879)"),
        ("ff00::/8", "is multicast (RFC 4291)"),
    )
)

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291: the IPv4 address itself, in IPv6 clothes
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: IPv6-only networks reach IPv4 receivers through it
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: the first half of such an interface identifier


def judged(address: Ip) -> Iterator[Ip]:
    """Every address that a packet to `address` may end at: itself, and the IPv4 address inside it, if there is one.

    A mapped or well-known NAT64 address is nothing but the one inside.
    """
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    number = int(address)
    inside = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address in _MAPPED or address in _NAT64:
        yield inside
        return
    yield address
    if number >> 32 & 0xFFFFFFFF in _ISATAP:
        yield inside


def is_mapped(address: Ip) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and address in _MAPPED


def within(address: Ip, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def refused_because(address: Ip) -> str | None:
    """Why one address (not what is inside it) is no place on the public internet; None if it is one."""
    for network, why in REFUSED:
        if address.version == network.version and address in network:
            return why
    return None
