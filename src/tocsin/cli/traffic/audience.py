"""The people who click: where they are, what they hold in their hands, how they reach the net."""

import ipaddress
import random
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

# Networks that providers give to homes and telephones, by country, and how much of the traffic comes from there.
_COUNTRIES: Mapping[str, tuple[int, str, Sequence[str]]] = {
    "US": (30, "America/New_York", ("73.0.0.0/9", "98.192.0.0/10", "107.192.0.0/10", "172.32.0.0/11", "2601::/24")),
    "DE": (12, "Europe/Berlin", ("79.192.0.0/10", "84.128.0.0/10", "93.192.0.0/10", "2003::/24")),
    "GB": (9, "Europe/London", ("86.128.0.0/10", "90.192.0.0/11")),
    "FR": (8, "Europe/Paris", ("90.0.0.0/10", "82.224.0.0/11")),
    "IN": (8, "Asia/Kolkata", ("49.32.0.0/12", "122.160.0.0/12")),
    "BR": (7, "America/Sao_Paulo", ("177.32.0.0/12", "189.0.0.0/11")),
    "JP": (5, "Asia/Tokyo", ("126.0.0.0/9", "106.128.0.0/10")),
    "CA": (4, "America/Toronto", ("99.224.0.0/11", "70.48.0.0/13")),
    "AU": (3, "Australia/Sydney", ("101.160.0.0/11",)),
    "ES": (3, "Europe/Madrid", ("83.32.0.0/11",)),
    "IT": (3, "Europe/Rome", ("79.0.0.0/10",)),
    "NL": (2, "Europe/Amsterdam", ("86.80.0.0/12",)),
    "PL": (2, "Europe/Warsaw", ("83.0.0.0/11",)),
    "MX": (2, "America/Mexico_City", ("189.128.0.0/10",)),
    "TR": (2, "Europe/Istanbul", ("78.160.0.0/11",)),
}


class Device(msgspec.Struct, frozen=True):
    weight: int
    kind: str
    screens: tuple[str, ...]
    user_agent: str


_PHONE_SCREENS = ("360x800", "393x873", "412x915")
_DESK_SCREENS = ("1366x768", "1536x864", "1920x1080", "2560x1440")
_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/"
_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS"

DEVICES = (
    Device(17, "mobile", _PHONE_SCREENS, f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME}141.0.0.0 Mobile Safari/537.36"),
    Device(11, "mobile", _PHONE_SCREENS, f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME}140.0.0.0 Mobile Safari/537.36"),
    Device(
        4,
        "mobile",
        _PHONE_SCREENS,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 "
        "Chrome/130.0.0.0 Mobile Safari/537.36",
    ),
    Device(
        13,
        "mobile",
        ("390x844", "393x852", "430x932"),
        f"{_IPHONE} 18_6 like Mac OS X) {_SAFARI}18.6 Mobile/15E148 Safari/604.1",
    ),
    Device(
        6,
        "mobile",
        ("375x812", "390x844"),
        f"{_IPHONE} 17_6_1 like Mac OS X) {_SAFARI}17.6 Mobile/15E148 Safari/604.1",
    ),
    Device(
        2,
        "mobile",
        _PHONE_SCREENS,
        "Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0",
    ),
    Device(
        3,
        "tablet",
        ("810x1080", "834x1194"),
        f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {_SAFARI}18.6 Mobile/15E148 Safari/604.1",
    ),
    Device(19, "desktop", _DESK_SCREENS, f"{_WINDOWS} {_CHROME}141.0.0.0 Safari/537.36"),
    Device(7, "desktop", _DESK_SCREENS, f"{_WINDOWS} {_CHROME}140.0.0.0 Safari/537.36"),
    Device(6, "desktop", _DESK_SCREENS, f"{_WINDOWS} {_CHROME}141.0.0.0 Safari/537.36 Edg/141.0.0.0"),
    Device(3, "desktop", _DESK_SCREENS, f"{_WINDOWS[:-1]}; rv:143.0) Gecko/20100101 Firefox/143.0"),
    Device(5, "desktop", ("1440x900", "1512x982", "1728x1117"), f"{_MAC} {_CHROME}141.0.0.0 Safari/537.36"),
    Device(4, "desktop", ("1440x900", "1512x982", "1728x1117"), f"{_MAC} {_SAFARI}18.6 Safari/605.1.15"),
)  # fmt: skip

_RECENT = 5_000  # so many are remembered who can come again, or share an address with someone new
_AGAIN = 0.15
_SHARED_ADDRESS = 0.03  # a household, an office, a provider's shared address
_VPN = 0.015
_NO_PLUGINS = 0.01  # of desktops
_VPN_PROVIDERS = ("NordVPN", "Mullvad", "Proton VPN", "Surfshark")


class Visitor(msgspec.Struct, frozen=True):
    """Who clicks: `about` is the activity's `visitor`, `signals` what a script on the page saw."""

    about: Mapping[str, Any]
    signals: Mapping[str, Any]


class Audience:
    """Makes visitors, and lets some come again."""

    def __init__(self, luck: random.Random, prefix: str) -> None:
        self._luck = luck
        self._prefix = prefix
        self._made = 0
        self._recent: deque[Visitor] = deque(maxlen=_RECENT)
        self._names = tuple(_COUNTRIES)
        self._country_weights = tuple(weight for weight, _, _ in _COUNTRIES.values())
        self._device_weights = tuple(device.weight for device in DEVICES)

    def someone(self) -> Visitor:
        """A person: mostly a new one."""
        luck = self._luck
        if self._recent and luck.random() < _AGAIN:
            return luck.choice(self._recent)
        address = None
        if self._recent and luck.random() < _SHARED_ADDRESS:
            address = str(luck.choice(self._recent).about["ip"])
        visitor = self.stranger(address)
        if luck.random() < _VPN:
            signals = {**visitor.signals, "vpn": {"provider": luck.choice(_VPN_PROVIDERS)}}
            visitor = Visitor(visitor.about, signals)
        self._recent.append(visitor)
        return visitor

    def stranger(self, address: str | None = None, **about: Any) -> Visitor:
        """Someone who was not here before and will not come again by chance."""
        luck = self._luck
        [country] = luck.choices(self._names, self._country_weights)
        [device] = luck.choices(DEVICES, self._device_weights)
        _, timezone, networks = _COUNTRIES[country]
        width, height = luck.choice(device.screens).split("x")
        self._made += 1
        signals: dict[str, Any] = {}
        if device.kind == "desktop":
            signals = {"webdriver": False, "plugins": 0 if luck.random() < _NO_PLUGINS else luck.randint(2, 5)}
        return Visitor(
            {
                "id": f"v-{self._prefix}{self._made}",
                "ip": address or address_in(luck.choice(networks), luck),
                "user_agent": device.user_agent,
                "country": country,
                "timezone": timezone,
                "screen": {"width": int(width), "height": int(height)},
                **about,
            },
            signals,
        )


def address_in(network: str, luck: random.Random) -> str:
    """Any address of a network."""
    inside = ipaddress.ip_network(network)
    # Neither the first nor the last: those are a network's own.
    return str(inside[luck.randrange(1, inside.num_addresses - 1)])
