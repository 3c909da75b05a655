"""The guard's seam, as the sender uses it, over a list of networks."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from tocsin.config import Network
from tocsin.errors import Fault, Invalid


class Address(msgspec.Struct, frozen=True):
    url: str
    scheme: str
    host: str
    port: int
    literal: bool


class Guard:
    def __init__(self, allow_http: bool, allow_networks: Sequence[Network]) -> None:
        self._http = allow_http
        self._networks = allow_networks

    def parse(self, url: str, *, https_only: bool = False) -> Address:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" and not (parts.scheme == "http" and self._http and not https_only):
            raise Invalid("the address is refused", code="url_refused", faults=[Fault("/url", "it is not https")])
        try:
            ipaddress.ip_address(host)
            literal = True
        except ValueError:
            literal = False
        return Address(url, parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80), literal)

    def refusal(self, ip: str) -> str | None:
        address = ipaddress.ip_address(ip)
        if address.is_global or any(address in network for network in self._networks):
            return None
        return f"{ip} is not a public address"

    def check_resolved(self, address: Address, ips: Sequence[str]) -> str | None:
        return next((why for ip in ips if (why := self.refusal(ip)) is not None), None)
