"""The outbound guard: which addresses customers' webhooks may lead to.

An address is parsed once, strictly, into the form in which it is dialled; a name's resolved addresses are judged before
connecting, all of them, and the connected socket's own peer once more. What is refused is an explicit list: the special
networks of the IANA registries, and every way to write an IPv4 address inside an IPv6 one.
"""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

import msgspec

from tocsin.errors import Fault, Invalid

Network = IPv4Network | IPv6Network

MAX_URL = 2_048
_MAX_NAME = 253  # RFC 1035 §2.3.4, without the final dot
_PORTS = frozenset({443, 80, 8443})
_FIRST_FREE_PORT = 1_024
_DEFAULT_PORTS = {"https": 443, "http": 80}

_URL_CHARACTERS = re.compile(r"[!-~]+")  # printable ASCII without blanks: no control characters, no line breaks
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)")
_LOCAL_SUFFIXES = (".internal", ".local", ".localhost", ".home.arpa")  # RFC 6761, 6762, 8375; and ICANN's .internal

# IANA IPv4 Special-Purpose Address Registry, and multicast.
_REFUSED_V4 = tuple(
    (ipaddress.IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this network (RFC 791)"),
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("100.64.0.0/10", "shared by carriers (RFC 6598)"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("169.254.0.0/16", "link-local, where clouds keep their metadata (RFC 3927)"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "for protocols (RFC 6890)"),
        ("192.0.2.0/24", "for documentation (RFC 5737)"),
        ("192.31.196.0/24", "AS112 (RFC 7535)"),
        ("192.52.193.0/24", "AMT (RFC 7450)"),
        ("192.88.99.0/24", "6to4 relays (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("192.175.48.0/24", "AS112 (RFC 7534)"),
        ("198.18.0.0/15", "for benchmarks (RFC 2544)"),
        ("198.51.100.0/24", "for documentation (RFC 5737)"),
        ("203.0.113.0/24", "for documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved, or broadcast (RFC 1112, RFC 919)"),
        ("168.63.129.16/32", "a cloud's own services"),
    )
)

# IPv6 is refused but for global unicast, 2000::/3; of that, what the IANA IPv6 registry sets apart.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    (ipaddress.IPv6Network(network), why)
    for network, why in (
        ("2001::/23", "for protocols, Teredo among them (RFC 2928, RFC 4380)"),
        ("2001:db8::/32", "for documentation (RFC 3849)"),
        ("2002::/16", "6to4, which leads to any IPv4 address (RFC 3056)"),
        ("2620:4f:8000::/48", "AS112 (RFC 7534)"),
        ("3fff::/20", "for documentation (RFC 9637)"),
    )
)
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291 §2.5.5.2
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214 §6.1: the third quarter of such an address; the last is an IPv4 one


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's address as it will be dialled. `literal`: its host is an IP address, not a name."""

    url: str
    scheme: str
    host: str  # lower case; without brackets
    port: int
    literal: bool


class Guard:
    """One judgement for saving, resolving and connecting."""

    def __init__(self, allow_http: bool, allow_networks: Sequence[Network]) -> None:  # noqa: FBT001 - a setting
        self._allow_http = allow_http
        self._allowed = tuple(allow_networks)
        # On the way of every attempt; a process talks to thousands of addresses, not to millions.
        self.refusal = lru_cache(maxsize=16_384)(self._refusal)

    def parse(self, url: str, *, https_only: bool = False) -> Address:
        """Reads an address strictly.

        Args:
            https_only: the profile takes nothing else (unless plain http is allowed for all).

        Raises:
            Invalid: with code ``url_refused`` and the reason.
        """
        if not url or len(url) > MAX_URL:
            raise _refused(f"an address has 1 to {MAX_URL} characters")
        if not _URL_CHARACTERS.fullmatch(url) or "\\" in url:
            raise _refused("an address is written in printable ASCII; write other hosts as A-labels (xn--…)")
        if "#" in url:
            raise _refused("an address has no fragment (#…): it would never be sent")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise _refused("this is no address; write https://host/path") from None
        scheme = parts.scheme.lower()
        if scheme not in _DEFAULT_PORTS or not url[len(scheme) :].startswith("://") or not parts.netloc:
            raise _refused("an address begins with https:// and a host")
        if scheme == "http" and not self._allow_http:
            only = " (this profile takes nothing else)" if https_only else ""
            raise _refused(f"plain http is not allowed; use https{only}")
        if "@" in parts.netloc:
            raise _refused("an address holds no user or password; use a custom header for credentials")
        found = _AUTHORITY.fullmatch(parts.netloc)
        if found is None:
            raise _refused("the host or port is not well-formed; write host or host:port")
        host, literal = self._host(found[1])
        port = self._port(found[2], scheme)
        shown = f"[{host}]" if ":" in host else host
        authority = shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}"
        rest = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Address(url=f"{scheme}://{authority}{rest}", scheme=scheme, host=host, port=port, literal=literal)

    def check_resolved(self, address: Address, ips: Sequence[str]) -> str | None:
        """Why a name's addresses are refused, all of which must be fine; None: it may be dialled."""
        single_label = not address.literal and "." not in address.host
        for ip in ips:
            why = self.refusal(ip)
            if why is None and single_label and not self._allows(ip):
                why = "a single-label name must resolve into TOCSIN_ALLOW_NETWORKS"
            if why is not None:
                return f"{address.host} resolves to {ip}: {why}"
        return None if ips else f"{address.host} resolves to no address"

    def _refusal(self, ip: str) -> str | None:
        """Why an address must not be dialled; None: it may."""
        try:
            parsed = ipaddress.ip_address(ip)
        except ValueError:
            return "it is no IP address"
        if any(parsed.version == network.version and parsed in network for network in self._allowed):
            return None
        if isinstance(parsed, IPv4Address):
            return _refusal_v4(parsed)
        if parsed in _MAPPED:
            inner = str(IPv4Address(int(parsed) & 0xFFFF_FFFF))
            return self.refusal(inner)
        return _refusal_v6(parsed)

    def _allows(self, ip: str) -> bool:
        parsed = ipaddress.ip_address(ip)
        return any(parsed.version == network.version and parsed in network for network in self._allowed)

    def _host(self, text: str) -> tuple[str, bool]:
        """The host in its one form, and whether it is an IP address."""
        if text.startswith("["):
            try:
                host = str(IPv6Address(text[1:-1]))
            except ValueError:
                raise _refused("this is no IPv6 address") from None
            return self._literal(host), True
        host = text.lower()
        labels = host.split(".")
        if _NUMERIC.fullmatch(labels[-1] or (labels[-2] if len(labels) > 1 else "")):
            # WHATWG: a last label that is a number makes a host an IPv4 address, in one of many spellings.
            try:
                return self._literal(str(IPv4Address(host))), True
            except ValueError:
                raise _refused("a numeric host is written as four numbers, such as 198.51.100.7") from None
        if host.endswith("."):
            raise _refused("a host does not end with a dot")
        if len(host) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
            raise _refused("the host is no name: letters, digits and inner hyphens, at most 63 a label and 253 in all")
        if f".{host}".endswith(_LOCAL_SUFFIXES) and not (len(labels) == 1 and self._allowed):
            raise _refused("names under .internal, .local, .localhost and .home.arpa lead to private networks")
        if len(labels) == 1 and not self._allowed:
            raise _refused("a single-label name leads to a private network; write the whole name")
        return host, False

    def _literal(self, ip: str) -> str:
        why = self.refusal(ip)
        if why is not None:
            raise _refused(f"{ip} is not a public address: {why}")
        return ip

    def _port(self, text: str | None, scheme: str) -> int:
        if text is None:
            return _DEFAULT_PORTS[scheme]
        port = int(text)
        if port not in _PORTS and not _FIRST_FREE_PORT <= port <= 65_535:
            raise _refused("the port must be 443, 80, 8443 or one above 1023")
        return port


def _refusal_v4(ip: IPv4Address) -> str | None:
    return next((why for network, why in _REFUSED_V4 if ip in network), None)


def _refusal_v6(ip: IPv6Address) -> str | None:
    if ip.scope_id is not None:
        return "it names an interface of this machine"
    if ip not in _GLOBAL_V6:
        return "it is not in 2000::/3, the public part of IPv6 (RFC 4291)"
    for network, why in _REFUSED_V6:
        if ip in network:
            return why
    number = int(ip)
    if number >> 32 & 0xFFFF_FFFF in _ISATAP and (why := _refusal_v4(IPv4Address(number & 0xFFFF_FFFF))):
        return f"it leads to an IPv4 address by ISATAP: {why}"
    return None


def _refused(why: str) -> Invalid:
    return Invalid(f"the address is refused: {why}", code="url_refused", faults=[Fault("/url", why)])
