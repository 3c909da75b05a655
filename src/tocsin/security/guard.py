"""The outbound guard: which addresses webhooks may lead to.

An address is parsed once, strictly, into the form in which it is dialled. A name's resolved addresses are judged before
connecting, all of them, and the connected socket's own peer once more. What is refused stands in `security.networks`.
"""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from tocsin.config import Network
from tocsin.errors import url_refused
from tocsin.security.networks import Ip, is_mapped, judged, refused_because, within

MAX_URL = 2_048
_MAX_NAME = 253  # RFC 1035 §2.3.4, without the final dot
_PORTS = frozenset({443, 80, 8443})
_FIRST_FREE_PORT = 1_024  # below it listen the services that no webhook should be able to speak to
_DEFAULT_PORTS = {"https": 443, "http": 80}

_PRINTABLE = re.compile(r"[!-~]+")  # ASCII without blanks and control characters
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"0x[0-9a-f]*|[0-9]+")
_LOCAL_SUFFIXES = (".internal", ".local", ".localhost", ".home.arpa")  # ICANN 2024, RFC 6762, RFC 6761, RFC 8375


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
        self._refusals = lru_cache(maxsize=16_384)(self._refusal)

    def parse(self, url: str, *, https_only: bool = False, longest: int = MAX_URL) -> Address:
        """Reads an address strictly; what it gives reads as itself.

        Args:
            https_only: the profile takes nothing else (unless the operator allows plain http, for every profile).
            longest: in characters; one that an event's values were filled into may be longer than a saved one.

        Raises:
            Invalid: with code ``url_refused`` and the reason.
        """
        if not 0 < len(url) <= longest:
            raise url_refused(f"an address has 1 to {longest} characters, not {len(url)}")
        if not _PRINTABLE.fullmatch(url) or "\\" in url:
            raise url_refused(
                "an address is printable ASCII without blanks and backslashes; write such a host as A-labels (xn--…) "
                "and percent-encode the rest"
            )
        if "#" in url:
            raise url_refused("an address has no fragment, which would never be sent; leave out the # and what follows")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise url_refused("this is no address; write https://host/path") from None
        scheme = parts.scheme.lower()
        if scheme not in _DEFAULT_PORTS or not url[len(scheme) :].startswith("://") or not parts.netloc:
            raise url_refused("an address begins with https:// and a host; write https://host/path")
        if scheme == "http" and not self._allow_http:
            profile = "this profile takes https only" if https_only else "plain http can be read on its way"
            raise url_refused(f"{profile}; write https://, or have the operator set TOCSIN_ALLOW_HTTP=1")
        if "@" in parts.netloc:
            raise url_refused("an address holds no user or password; put credentials into a custom header")
        found = _AUTHORITY.fullmatch(parts.netloc)
        if found is None:
            raise url_refused("host and port are not well-formed; write host, host:port or [IPv6 address]:port")
        host, literal = self._host(found[1])
        port = _port(found[2], scheme)
        shown = f"[{host}]" if ":" in host else host
        authority = shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}"
        dialled = f"{scheme}://{authority}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
        if len(dialled) > longest:
            raise url_refused(f"an address has at most {longest} characters")
        return Address(url=dialled, scheme=scheme, host=host, port=port, literal=literal)

    def refusal(self, ip: str) -> str | None:
        """Why an IP address must not be dialled, as a sentence; None: it may."""
        return self._refusals(ip)

    def check_resolved(self, address: Address, ips: Sequence[str]) -> str | None:
        """Why a name's addresses are refused, all of which must be fine; None: it may be dialled."""
        single_label = not address.literal and "." not in address.host
        for ip in ips:
            why = self.refusal(ip)
            if why is not None:
                return f"{address.host} resolves to {ip}: {why}"
            if single_label and not within(ipaddress.ip_address(ip), self._allowed):
                return f"{address.host} resolves to {ip}: a single-label name must resolve into TOCSIN_ALLOW_NETWORKS"
        return None if ips else f"{address.host} resolves to no address"

    def _refusal(self, ip: str) -> str | None:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return f"{ip[:64]!r} is no IP address"
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
            return f"{ip[:64]} names an interface of this machine"
        if within(address, self._allowed):
            return None
        for inner in judged(address):
            why = refused_because(inner)
            if why is not None and not within(inner, self._allowed):
                return _sentence(address, inner, why)
        return None

    def _host(self, text: str) -> tuple[str, bool]:
        """The host in its one form, and whether it is an IP address."""
        if text.startswith("["):
            try:
                address = ipaddress.IPv6Address(text[1:-1])
            except ValueError:
                raise url_refused(f"{text[:64]} is no IPv6 address") from None
            if is_mapped(address):
                raise url_refused("this is an IPv4 address in IPv6 clothes; write the four numbers themselves")
            return self._literal(str(address)), True
        host = text.lower()
        if host.endswith("."):
            raise url_refused("a host does not end with a dot; leave it out")
        labels = host.split(".")
        if _NUMERIC.fullmatch(labels[-1]):
            # As the WHATWG has it: a last label that is a number makes the host an IPv4 address, in one of its many
            # spellings. Only the plain one is read the same way by everybody.
            try:
                return self._literal(str(ipaddress.IPv4Address(host))), True
            except ipaddress.AddressValueError:
                raise url_refused("a numeric host is four plain decimal numbers, such as 192.0.2.1") from None
        if len(host) > _MAX_NAME or not all(map(_LABEL.fullmatch, labels)):
            raise url_refused(
                "the host is no name: labels of letters, digits and inner hyphens, at most 63 characters each and 253 "
                "in all"
            )
        if len(labels) == 1 and not self._allowed:
            raise url_refused("a name without a dot leads to a private network; write the whole name")
        if len(labels) > 1 and f".{host}".endswith(_LOCAL_SUFFIXES):
            raise url_refused("names under .internal, .local, .localhost and .home.arpa lead to private networks")
        return host, False

    def _literal(self, ip: str) -> str:
        why = self.refusal(ip)
        if why is not None:
            raise url_refused(why)
        return ip


def _port(text: str | None, scheme: str) -> int:
    port = _DEFAULT_PORTS[scheme] if text is None else int(text)
    if port not in _PORTS and not _FIRST_FREE_PORT <= port <= 65_535:
        raise url_refused("the port must be 443, 80, 8443, or one from 1024 to 65535")
    return port


def _sentence(address: Ip, inner: Ip, why: str) -> str:
    holds = "" if inner == address else f" leads to {inner}, which"
    return f"{address}{holds} {why}, not on the public internet; the operator can name it in TOCSIN_ALLOW_NETWORKS"
