"""What is advertised: campaigns, the offers behind them, the partners who bring people."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_CAMPAIGNS = (
    ("Winter Sale DE", "10.00", "0.42"),
    ("Running Shoes US", "18.00", "0.85"),
    ("City Breaks", "32.50", "1.10"),
    ("Crypto Wallet", "55.00", "1.95"),
    ("Fit in 30 Days", "24.00", "0.74"),
    ("Language App", "9.50", "0.31"),
    ("Home Insurance UK", "41.00", "1.60"),
    ("Züri Métro Pass", "7.25", "0.28"),
    ("Meal Kits", "28.00", "0.95"),
    ("VPN Yearly", "36.00", "1.20"),
    ("Mobile Puzzle Game", "1.80", "0.12"),
    ("東京 Hotels", "22.00", "0.88"),
)
_PARTNERS = ("Adriatic Media", "Blue Finch", "Söder & Söhne", "Kite Traffic", "Lumen Push", "Ω-Network")
_FIRST_CAMPAIGN, _FIRST_OFFER, _FIRST_PARTNER = 4101, 71, 501
_SOURCES = (
    ("google", "cpc", "https://www.google.com/"),
    ("facebook", "social", "https://l.facebook.com/"),
    ("newsletter", "email", None),
    ("bing", "cpc", "https://www.bing.com/"),
    ("tiktok", "social", "https://www.tiktok.com/"),
)
_PLACEMENTS = ("feed", "sidebar", "top-banner", "interstitial")


class Campaign(msgspec.Struct, frozen=True):
    number: int
    name: str
    payout: str
    cost: str  # of a click

    @property
    def named(self) -> dict[str, Any]:
        return {"id": _FIRST_CAMPAIGN + self.number, "name": self.name}

    @property
    def offer(self) -> dict[str, Any]:
        return {"id": _FIRST_OFFER + self.number, "name": f"{self.name} offer"}

    @property
    def ad(self) -> dict[str, Any]:
        return {"id": f"ad-{_FIRST_CAMPAIGN + self.number}-a"}

    def partner(self, luck: random.Random) -> dict[str, Any]:
        """One of the three that promote it."""
        return partner((self.number + luck.randrange(3)) % len(_PARTNERS))

    def landing(self, luck: random.Random) -> tuple[str, str | None]:
        """Address of the page with what brought people there, and the referrer."""
        source, medium, referrer = luck.choice(_SOURCES)
        slug = "".join(char if char.isascii() and char.isalnum() else "-" for char in self.name.lower()).strip("-")
        query = f"utm_source={source}&utm_medium={medium}&utm_campaign={_FIRST_CAMPAIGN + self.number}"
        return f"https://www.example.com/lp/{slug or 'start'}?{query}", referrer


CAMPAIGNS: Sequence[Campaign] = tuple(
    Campaign(number, name, payout, cost) for number, (name, payout, cost) in enumerate(_CAMPAIGNS)
)
PARTNERS = len(_PARTNERS)
# A few campaigns have most of the traffic (Zipf's law).
_WEIGHTS = tuple(1 / (place + 1) for place in range(len(CAMPAIGNS)))


def partner(number: int) -> dict[str, Any]:
    return {"id": _FIRST_PARTNER + number, "name": _PARTNERS[number]}


def some_campaign(luck: random.Random) -> Campaign:
    return luck.choices(CAMPAIGNS, _WEIGHTS)[0]


def placement(luck: random.Random) -> Mapping[str, Any]:
    return {"placement": luck.choice(_PLACEMENTS)}
