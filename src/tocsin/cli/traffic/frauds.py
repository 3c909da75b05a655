"""Five ways to cheat, each with the marks that it leaves: what a pattern's name stands for in the ledger.

What one click of each shows, and what the rules' own points (CONTRACT §5) make of it:

    datacenter_farm    addresses of a data centre, browsers without plugins: 40; one in three walks into a honeypot: 80
    rapid_clicks       one address, one browser, one campaign, a click every few seconds: from the fifth on 70
    metronome          an honest browser at a home's address, one campaign, a click every T seconds, T between 62 and
                       140: from the fifth on 45. Nothing else is wrong with it
    subnet_sweep       the addresses of one /24 one after another through a VPN, one campaign: from the fifth on 40
    headless_browsers  browsers that are steered by a program, half of which say so in their user agent: 75 to 100

The first four clicks of the middle three cannot be told from honest ones, which is why their recall stays below 1.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tocsin.cli.traffic.audience import Audience, Visitor, address_in
from tocsin.cli.traffic.market import Campaign, some_campaign
from tocsin.clock import Millis

# Networks of well-known hosting providers.
_HOSTING = (
    "3.208.0.0/12",
    "52.0.0.0/12",
    "88.198.0.0/16",
    "95.216.0.0/16",
    "51.68.0.0/16",
    "165.227.0.0/16",
    "138.68.0.0/16",
    "45.79.0.0/16",
)
_HOMES = ("73.0.0.0/9", "84.128.0.0/10", "86.128.0.0/10", "90.0.0.0/10")
_HEADLESS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
)


class Click(msgspec.Struct, frozen=True):
    """One click of a series: `at` counts from the series' beginning."""

    after_ms: int
    visitor: Visitor
    campaign: Campaign


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """`marks`: the rules of which one at least must be among the reasons for the pattern to count as seen.

    `clicks`: of one series. `make` gives its clicks in order.
    """

    name: str
    marks: frozenset[str]
    clicks: int
    make: Callable[[random.Random, Audience, int], Sequence[Click]]


def _farm(luck: random.Random, audience: Audience, clicks: int) -> Sequence[Click]:
    """A rack of machines that take turns over all campaigns."""
    at = 0
    made = []
    network = luck.choice(_HOSTING)
    for _ in range(clicks):
        at += luck.randint(4_000, 90_000)
        signals: dict[str, Any] = {"webdriver": False, "plugins": 0}
        if luck.random() < 1 / 3:
            signals["honeypot"] = True
        visitor = audience.stranger(address_in(network, luck))
        made.append(Click(at, Visitor(visitor.about, signals), some_campaign(luck)))
    return made


def _rapid(luck: random.Random, audience: Audience, clicks: int) -> Sequence[Click]:
    visitor, campaign = audience.stranger(address_in(luck.choice(_HOMES), luck)), some_campaign(luck)
    at = 0
    made = []
    for _ in range(clicks):
        at += luck.randint(1_500, 9_000)
        made.append(Click(at, visitor, campaign))
    return made


def _metronome(luck: random.Random, audience: Audience, clicks: int) -> Sequence[Click]:
    visitor, campaign = audience.stranger(address_in(luck.choice(_HOMES), luck)), some_campaign(luck)
    period_ms = luck.randint(62_000, 140_000)
    # Timers drift: by up to a hundredth, well under the twentieth that the rule allows.
    return [
        Click(number * period_ms + luck.randint(-period_ms // 200, period_ms // 200), visitor, campaign)
        for number in range(1, clicks + 1)
    ]


def _sweep(luck: random.Random, audience: Audience, clicks: int) -> Sequence[Click]:
    home = address_in(luck.choice(_HOMES), luck).rpartition(".")[0]
    campaign = some_campaign(luck)
    at, host = 0, luck.randint(2, 60)
    made = []
    for _ in range(clicks):
        at += luck.randint(8_000, 70_000)
        host += luck.randint(1, 4)
        visitor = audience.stranger(f"{home}.{host}")
        made.append(Click(at, Visitor(visitor.about, {**visitor.signals, "vpn": {"provider": "SweepVPN"}}), campaign))
    return made


def _headless(luck: random.Random, audience: Audience, clicks: int) -> Sequence[Click]:
    at = 0
    made = []
    for _ in range(clicks):
        at += luck.randint(20_000, 300_000)
        visitor = audience.stranger(user_agent=luck.choice(_HEADLESS))
        made.append(Click(at, Visitor(visitor.about, {"webdriver": True, "plugins": 0}), some_campaign(luck)))
    return made


PATTERNS: Mapping[str, Pattern] = {
    one.name: one
    for one in (
        Pattern(name="datacenter_farm", marks=frozenset({"datacenter_ip"}), clicks=25, make=_farm),
        Pattern(name="rapid_clicks", marks=frozenset({"rapid_clicks"}), clicks=20, make=_rapid),
        Pattern(name="metronome", marks=frozenset({"consistent_timing"}), clicks=20, make=_metronome),
        Pattern(name="subnet_sweep", marks=frozenset({"same_ip_pattern"}), clicks=25, make=_sweep),
        Pattern(
            name="headless_browsers",
            marks=frozenset({"webdriver_present", "bot_user_agent"}),
            clicks=10,
            make=_headless,
        ),
    )
}


def longest_ms(pattern: Pattern) -> Millis:
    """No series of the pattern takes longer."""
    return Millis(pattern.clicks * 300_000)
