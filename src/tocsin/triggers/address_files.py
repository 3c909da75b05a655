"""A user's own files of addresses: lists of networks, an IPsum file, MMDB databases.

``hosting.txt``, ``vpn.txt``, ``proxy.txt``, ``tor.txt``, ``crawlers.txt``: a network or address a line, then, if one
likes, a name for people (the data centre's, the VPN provider's); ``#`` begins a comment. ``ordinary.txt``: networks of
which nothing of the kind is true, whatever other sources say. ``ipsum.txt``: an address a line, then the number of
lists that it is on (https://github.com/stamparm/ipsum); every line counts, so a user cuts the file at the level wanted.
``*.mmdb``: country, and flags of hosting, VPN, proxy and Tor, by the field names that MaxMind and IPinfo use.
"""

import ipaddress
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import maxminddb
import msgspec

from tocsin.errors import Misconfigured
from tocsin.nearest import did_you_mean
from tocsin.triggers.activity import AddressFacts

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = tuple[int, int, int]  # version, first and last address: a list has a hundred thousand of them

# A list's file, and the fact that it tells.
_KINDS = {
    "hosting.txt": "hosting",
    "vpn.txt": "vpn",
    "proxy.txt": "proxy",
    "tor.txt": "tor",
    "crawlers.txt": "crawler",
    "ordinary.txt": "ordinary",
}
_IPSUM = "ipsum.txt"
_NAMES = (*_KINDS, _IPSUM)
UNNAMED = "unknown"  # a listed network without a name
# A file larger than this is no list: the whole of IPsum is 3 MB, all announced networks of the world 25 MB.
_MOST_BYTES = 100 * 1024 * 1024

Seen = tuple[tuple[str, int, int, int], ...]


class Ranges:
    """Networks and their labels; of those that hold an address, the smallest speaks.

    Kept as disjoint ranges in arrays: a look is one bisection, and a network of IPv4 takes some 20 bytes.
    """

    def __init__(self, networks: Mapping[Network, str]) -> None:
        labels = {label: number for number, label in enumerate(dict.fromkeys(networks.values()))}
        self._labels = tuple(labels)
        self._sides: dict[int, tuple[Sequence[int], Sequence[int], Sequence[int]]] = {}
        for version in (4, 6):
            found = ((start, end, labels[label]) for (of, start, end), label in networks.items() if of == version)
            ranges = list(_disjoint(_in_order(found, version)))
            starts, ends = [one[0] for one in ranges], [one[1] for one in ranges]
            # Addresses of IPv6 fit no machine word.
            small = version == 4
            self._sides[version] = (
                array("L", starts) if small else starts,
                array("L", ends) if small else ends,
                array("L", [one[2] for one in ranges]),
            )

    def find(self, address: Address) -> str | None:
        starts, ends, labels = self._sides[address.version]
        number = int(address)
        where = bisect_right(starts, number) - 1
        return self._labels[labels[where]] if where >= 0 and number <= ends[where] else None

    def __len__(self) -> int:
        return sum(len(starts) for starts, _, _ in self._sides.values())


def _in_order(networks: Iterable[tuple[int, int, int]], version: int) -> Iterator[tuple[int, int, int]]:
    """By their start, the largest first. Sorted in many small steps: while one sorts, no other thread of the process
    runs, and two hundred thousand networks at once would hold deliveries up for half a second.
    """
    low = 16 if version == 4 else 96
    near: dict[int, list[tuple[int, int, int]]] = {}
    for one in networks:
        near.setdefault(one[0] >> low, []).append(one)
    for high in sorted(near):
        yield from sorted(near.pop(high), key=lambda one: (one[0], -one[1]))


def _disjoint(networks: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Of networks in order. They lie within one another or apart, never across: those that are open are a stack."""
    around: list[tuple[int, int]] = []  # the ends and labels of the networks that hold what comes next
    told = 0  # everything before this is done
    for start, end, label in networks:
        while around and around[-1][0] < start:
            outer_end, outer_label = around.pop()
            if told <= outer_end:
                yield told, outer_end, outer_label
                told = outer_end + 1
        if around and told < start:
            yield told, start - 1, around[-1][1]
        told = start
        around.append((end, label))
    while around:
        outer_end, outer_label = around.pop()
        if told <= outer_end:
            yield told, outer_end, outer_label
            told = outer_end + 1


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a user's files say of an address."""

    facts: AddressFacts
    kind_known: bool  # they say what it is, or that it is ordinary: nobody else need be asked


class AddressFiles:
    """All of a user's files, read once.

    Raises:
        Misconfigured: one is missing, unreadable or not understood; the sentence names the file and its line.
    """

    def __init__(self, sources: Sequence[Path] = ()) -> None:
        lists: dict[str, dict[Network, str]] = {kind: {} for kind in _KINDS.values()}
        listed: dict[Network, str] = {}
        self._databases: list[maxminddb.Reader] = []
        for path in _files(sources):
            if path.suffix == ".mmdb":
                self._databases.append(_database(path))
            elif path.name == _IPSUM:
                listed.update(_read_ipsum(path))
            else:
                lists[_KINDS[path.name]].update(_read_list(path))
        self._lists = {kind: Ranges(networks) for kind, networks in lists.items() if networks}
        self._listed = Ranges(listed)

    def look_up(self, address: Address) -> Told:
        found: dict[str, Any] = {}
        for database in self._databases:
            if address.version == 4 or database.metadata().ip_version == 6:
                found = {**_flags(database.get(address)), **found}
        country = found.pop("country", None)
        told = {kind: name for kind, ranges in self._lists.items() if (name := ranges.find(address)) is not None}
        if ordinary := "ordinary" in told:
            told = {}
        elif not told:
            told = found
        facts = AddressFacts(
            hosting=told.get("hosting"),
            vpn=told.get("vpn"),
            proxy="proxy" in told,
            tor="tor" in told,
            crawler=told.get("crawler"),
            listed=not ordinary and self._listed.find(address) is not None,
            country=country,
        )
        return Told(facts=facts, kind_known=ordinary or bool(told))


def seen(sources: Sequence[Path]) -> Seen:
    """What changes when a file does: its name, its time, its size, its place on the disk.

    Raises:
        Misconfigured: one is missing or unreadable.
    """
    stats = [(path, path.stat()) for path in _files(sources)]
    return tuple((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino) for path, stat in stats)


# --- reading --------------------------------------------------------------------------------------------------------


def _files(sources: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for source in sources:
        try:
            # Other files of a folder are not ours; a list of another name would be left out in silence.
            found += (
                sorted(one for one in source.iterdir() if one.suffix in {".txt", ".mmdb"})
                if source.is_dir()
                else [source]
            )
        except OSError as error:
            raise _unreadable(source, error) from error
    for path in found:
        if path.suffix != ".mmdb" and path.name not in _NAMES:
            raise Misconfigured(
                f"TOCSIN_KNOWLEDGE: {path} is no list that is known{did_you_mean(path.name, _NAMES)}; "
                f"there are {', '.join(_NAMES)} and *.mmdb"
            )
        if not path.is_file():
            raise Misconfigured(f"TOCSIN_KNOWLEDGE: there is no file {path}")
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise Misconfigured(f"TOCSIN_KNOWLEDGE: {path} is larger than {_MOST_BYTES // 1024**2} MB")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        broken = path.read_bytes()[: error.start].count(b"\n") + 1
        raise Misconfigured(f"TOCSIN_KNOWLEDGE: {path}, line {broken}: it is not UTF-8") from error
    for number, line in enumerate(text.splitlines(), 1):
        if said := line.partition("#")[0].strip():
            yield number, said


def _read_list(path: Path) -> Iterator[tuple[Network, str]]:
    for number, line in _lines(path):
        network, *name = line.split(maxsplit=1)
        yield _network(path, number, network), name[0].strip() if name else UNNAMED


def _read_ipsum(path: Path) -> Iterator[tuple[Network, str]]:
    for number, line in _lines(path):
        network, *count = line.split()
        if len(count) > 1 or (count and not (count[0].isascii() and count[0].isdigit())):
            raise Misconfigured(
                f"TOCSIN_KNOWLEDGE: {path}, line {number}: {line[:80]!r} is no address, a tab and a number of lists"
            )
        yield _network(path, number, network), ""


def _network(path: Path, number: int, text: str) -> Network:
    try:
        return network(text)
    except ValueError as error:
        raise Misconfigured(
            f"TOCSIN_KNOWLEDGE: {path}, line {number}: {text[:80]!r} is no address or network ({error})"
        ) from error


def network(text: str) -> Network:
    """Of an address or a CIDR. IPv4 in IPv6 is IPv4, as what is asked for is.

    Raises:
        ValueError: it is neither.
    """
    if "/" not in text:
        address = ipaddress.ip_address(text)
        return _folded(address.version, int(address), int(address))
    found = ipaddress.ip_network(text)
    return _folded(found.version, int(found.network_address), int(found.broadcast_address))


_MAPPED = 0xFFFF << 32  # ::ffff:0:0/96


def _folded(version: int, start: int, end: int) -> Network:
    if version == 6 and start >> 32 == end >> 32 == 0xFFFF:
        return 4, start - _MAPPED, end - _MAPPED
    return version, start, end


def _database(path: Path) -> maxminddb.Reader:
    try:
        database = maxminddb.open_database(path)
        database.get("192.0.2.1")  # so that one that is cut short is found now
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise Misconfigured(f"TOCSIN_KNOWLEDGE: {path} is no MMDB database ({error})") from error
    return database


def _unreadable(path: Path, error: OSError) -> Misconfigured:
    return Misconfigured(f"TOCSIN_KNOWLEDGE: {path} cannot be read ({error.strerror})")


# --- what an MMDB record says ---------------------------------------------------------------------------------------

# MaxMind's Anonymous IP and Enterprise databases (in `traits`), and IPinfo's privacy databases.
_FLAGS = {
    "hosting": ("is_hosting_provider", "hosting"),
    "vpn": ("is_anonymous_vpn", "vpn"),
    "proxy": ("is_public_proxy", "is_residential_proxy", "proxy", "relay"),
    "tor": ("is_tor_exit_node", "tor"),
}
_NAMED_BY = {
    "hosting": ("autonomous_system_organization", "isp", "organization", "as_name"),
    "vpn": ("provider_name", "service"),
}


def _flags(record: object) -> dict[str, str]:
    if not isinstance(record, Mapping):
        return {}
    traits = record.get("traits")
    said = {**traits, **record} if isinstance(traits, Mapping) else record
    found = {
        kind: next((str(said[field]) for field in _NAMED_BY.get(kind, ()) if said.get(field)), UNNAMED)
        for kind, fields in _FLAGS.items()
        if any(said.get(field) in (True, "true", "True", 1) for field in fields)
    }
    country = record.get("country")
    code = country.get("iso_code") if isinstance(country, Mapping) else record.get("country_code", country)
    if isinstance(code, str) and len(code) == 2:
        found["country"] = code.upper()
    return found
