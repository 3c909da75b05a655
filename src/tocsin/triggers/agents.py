"""Reads a User-Agent header: its browser, system and device, and whether a machine sent it.

Two data packages, each for what it does best, and loaded when the first header is read (0.3 s, 27 MB):
- ua-parser, the reference reader of uap-core's patterns, for browser, system and model; its Rust engine (`regex`) reads
  one in 50 µs with time linear in the header's length, where the one in Python takes 20 times as long.
- crawler-user-agents, the list that is maintained by those who meet crawlers, for machines: 70 µs, each pattern with
  examples. is-crawler is faster (2 µs), but guesses: it takes the phones of the maker Cubot and every app that uses
  iOS's own network library for machines, and misses PhantomJS and Puppeteer. To accuse a person costs more than 70 µs.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from ua_parser import Parser

from tocsin.triggers.activity import AgentFacts

# What browsers send is below 500 characters; in-app browsers add some. The rest says nothing more.
_MOST_CHARACTERS = 1_024
# Patterns that are tried as one expression: an alternative that fails costs less than a search.
_CHUNK = 25

# Drivers and headless browsers that neither package has.
_DRIVEN = re.compile(r"\b(?:jsdom|Cypress|SlimerJS|HtmlUnit|WebDriver|TestCafe|Nightmare|Zombie\.js|undici|got)\b")
_SPIDER = "Spider"  # ua-parser's brand of what is no device

_TV = re.compile(
    r"smart-?tv|apple ?tv|google ?tv|android ?tv|hbbtv|netcast|web0s|webos\.tv|viera|bravia|roku|crkey|\btv\b"
    r"|\bAFT[A-Z]{1,4}\b",
    re.IGNORECASE,
)
_CONSOLE = re.compile(r"playstation|xbox|nintendo", re.IGNORECASE)
# "Tablet PC" is an old Windows with a pen.
_TABLET = re.compile(r"ipad|tablet(?! pc)|playbook|kindle|\bsilk\b|\bKF[A-Z]{2,5}\b", re.IGNORECASE)
_MOBILE = re.compile(
    r"iphone|ipod|mobile|windows phone|opera mini|blackberry|\bbb10\b|kaios|android|symbian|\bj2me\b", re.IGNORECASE
)
_DESKTOP = frozenset(
    {"Windows", "Mac OS X", "Linux", "Ubuntu", "Debian", "Fedora", "Red Hat", "FreeBSD", "OpenBSD", "Chrome OS"}
)

# One name for a browser on all devices, as people know it.
_BROWSERS: Mapping[str, str] = {
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "Safari",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Chrome",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Edge Mobile": "Edge",
    "Opera Mobile": "Opera",
    "DuckDuckGo Mobile": "DuckDuckGo",
    "IE Mobile": "IE",
}
_SYSTEMS: Mapping[str, str] = {"Mac OS X": "macOS"}
_VENDORS: Mapping[str, str] = {
    "Safari": "Apple",
    "Chrome": "Google",
    "Google": "Google",
    "Android": "Google",
    "Firefox": "Mozilla",
    "Edge": "Microsoft",
    "IE": "Microsoft",
    "Opera": "Opera",
    "Opera Mini": "Opera",
    "Samsung Internet": "Samsung",
    "Facebook": "Meta",
    "Instagram": "Meta",
    "DuckDuckGo": "DuckDuckGo",
    "Brave": "Brave Software",
    "Vivaldi": "Vivaldi Technologies",
    "Yandex Browser": "Yandex",
    "UC Browser": "UCWeb",
    "MiuiBrowser": "Xiaomi",
    "HuaweiBrowser": "Huawei",
}


def read(user_agent: str) -> AgentFacts:
    """Whatever the header says, in bounded time; nothing where it says nothing.

    An iPad that asks for desktop pages calls itself a Mac, and is taken for one.
    """
    user_agent = user_agent[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()  # a lone surrogate is no text
    parsed = _parser().parse(user_agent)
    browser, system, device = parsed.user_agent, parsed.os, parsed.device
    spider = device is not None and device.brand == _SPIDER
    family = None if browser is None else _BROWSERS.get(browser.family, browser.family)
    bot = _named(user_agent) or (family or "unknown" if spider else None)
    generic = device is None or spider or (device.brand or "").startswith("Generic")
    return AgentFacts(
        bot=bot,
        device=_device(user_agent, None if system is None else system.family),
        model=None if device is None or generic else device.model,
        os=None if system is None else _SYSTEMS.get(system.family, system.family),
        os_version=None if system is None else _version(system.major, system.minor),
        browser=family,
        browser_version=None if browser is None else _version(browser.major, browser.minor),
        vendor=None if family is None else _VENDORS.get(family),
    )


def _device(user_agent: str, system: str | None) -> str | None:
    if _TV.search(user_agent):
        return "tv"
    if _CONSOLE.search(user_agent):
        return "console"
    # Android's browsers say "Mobile" on phones alone; its apps' own agents ("Dalvik/…") never do.
    browser = user_agent.startswith("Mozilla/")
    if _TABLET.search(user_agent) or (browser and "Android" in user_agent and "Mobile" not in user_agent):
        return "tablet"
    if _MOBILE.search(user_agent) or system == "iOS":
        return "mobile"
    return "desktop" if system in _DESKTOP else None


def _named(user_agent: str) -> str | None:
    """A machine's name, as the header has it: the longest of what was recognised."""
    found = [match for one in (*_crawlers(), _DRIVEN) if (match := one.search(user_agent))]
    if not found:
        return None
    return max((match.group().strip(" /;()[]:-") for match in found), key=len) or "unknown"


def _version(major: str | None, minor: str | None) -> str | None:
    return None if major is None else major if minor is None else f"{major}.{minor}"


@cache
def _parser() -> Parser:
    # Loaded when they are needed, which in a server without activity is never.
    from ua_parser.loaders import load_lazy_builtins  # noqa: PLC0415
    from ua_parser.regex import Resolver  # noqa: PLC0415

    return Parser(Resolver(load_lazy_builtins()))


@cache
def _crawlers() -> Sequence[re.Pattern[str]]:
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # noqa: PLC0415  # it reads its data when it is imported

    patterns = [one["pattern"] for one in CRAWLER_USER_AGENTS_DATA]
    return [re.compile("|".join(patterns[at : at + _CHUNK])) for at in range(0, len(patterns), _CHUNK)]
