"""What is known of addresses and user agents: data packages, and before them a user's own files.

Addresses: iporigin, some 38,000 ranges of hosting providers, VPNs, Tor and declared crawlers, built from the providers'
own lists and from public ones, renewed monthly as a release; offline, no account, 2 MB. It knows the large providers
and few VPNs. Who needs more has a file of their own: `address_files`. Part of its data is used by a permission of which
its makers show no record (its NOTICE says so), one more reason why it is behind this interface.
User agents: `agents`.

Everything is looked up in memory and remembered, within bounds. The packages are loaded by `load`, or else at the first
look, so a server without activity pays nothing for them; a user's files are read at the start, so that one that is
broken stops it.
"""

import ipaddress
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import iporigin
import msgspec

from tocsin.triggers import agents
from tocsin.triggers.activity import AddressFacts, AgentFacts
from tocsin.triggers.address_files import UNNAMED, Address, AddressFiles, Seen, seen

# What is remembered: an entry of either is some 600 bytes, so 10 MB each when full. Agents are few (browsers froze most
# of what they tell); of addresses those that come again within the hour are what a memory is for.
_AGENTS = 16_384
_ADDRESSES = 16_384

_NOTHING = AddressFacts()
_ANY = ipaddress.IPv4Address("192.0.2.1")


class Knowledge:
    """Safe to ask from several threads.

    Raises:
        Misconfigured: a user's file is missing or not understood.
    """

    def __init__(self, sources: Sequence[Path] = ()) -> None:
        self.sources = tuple(sources)
        self._seen: Seen = ()
        self._files = AddressFiles()
        self._address = self._remembering(self._files)
        self.agent: Callable[[str], AgentFacts] = lru_cache(_AGENTS)(agents.read)
        self.refresh()

    def address(self, ip: str) -> AddressFacts:
        """Nothing is known of what is no address, nor of private and reserved ones but by a user's files."""
        return self._address(ip)

    def load(self) -> None:
        """Reads the packages, unless they are: a third of a second, after which no look waits for anything."""
        agents.load()
        iporigin.classify(_ANY)  # type: ignore[no-untyped-call]

    def refresh(self) -> bool:
        """Reads the user's files again if one has changed; whether it did. Those who ask meanwhile get the old answer.

        Raises:
            Misconfigured: as the constructor; what was known stays.
        """
        now = seen(self.sources)
        if now == self._seen:
            return False
        files = AddressFiles(self.sources)
        # One assignment: nobody sees new files with old answers.
        self._files, self._address, self._seen = files, self._remembering(files), now
        return True

    @staticmethod
    def _remembering(files: AddressFiles) -> Callable[[str], AddressFacts]:
        @lru_cache(_ADDRESSES)
        def look_up(ip: str) -> AddressFacts:
            address = _address(ip)
            if address is None:
                return _NOTHING
            told = files.look_up(address)
            return told.facts if told.kind_known else _with_package(told.facts, address)

        return look_up


def _address(ip: str) -> Address | None:
    try:
        address = ipaddress.ip_address(ip) if ":" in ip else ipaddress.IPv4Address(ip)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _with_package(facts: AddressFacts, address: Address) -> AddressFacts:
    """Its most specific answer alone: that VPNs and crawlers too are in data centres is no second reason."""
    origin: iporigin.Origin = iporigin.classify(address)  # type: ignore[no-untyped-call]
    name = origin.provider or UNNAMED
    if origin.kind in {iporigin.HOSTING, iporigin.CDN}:
        return msgspec.structs.replace(facts, hosting=name)
    if origin.kind == iporigin.VPN:
        return msgspec.structs.replace(facts, vpn=name)
    if origin.kind == iporigin.TOR:
        return msgspec.structs.replace(facts, tor=True)
    if origin.kind == iporigin.BOT:
        return msgspec.structs.replace(facts, crawler=name)
    return facts
