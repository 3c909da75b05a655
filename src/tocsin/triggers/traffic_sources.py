"""Where a visit came from: from the parameters of its address, else from its referrer.

    channel     Organic Search, Paid Search, Social, Paid Social, Email, Display, Video, Affiliate, Push, SMS, Referral,
                Direct, Other
    source      Google; a host without www.; what utm_source says
    campaign    what utm_campaign says

The words of the channels are those that web analytics share; the visits document shows the first.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from urllib.parse import urlsplit

import msgspec

_SEARCH, _SOCIAL, _EMAIL = "search", "social", "email"
_ORGANIC = {_SEARCH: "Organic Search", _SOCIAL: "Social", _EMAIL: "Email"}
_PAID = {_SEARCH: "Paid Search", _SOCIAL: "Paid Social", _EMAIL: "Email"}

# What utm_medium says, whoever the source is; paid media are told apart by the source.
_MEDIA: Mapping[str, str] = {
    **dict.fromkeys(("email", "e-mail", "e_mail", "mail", "newsletter"), "Email"),
    **dict.fromkeys(("social", "social-network", "social-media", "social_media", "social network", "sm"), "Social"),
    **dict.fromkeys(("paidsocial", "paid-social", "paid_social", "social-paid"), "Paid Social"),
    **dict.fromkeys(("display", "banner", "cpm", "interstitial", "expandable", "native"), "Display"),
    **dict.fromkeys(("affiliate", "affiliates", "partner"), "Affiliate"),
    **dict.fromkeys(("push", "web-push", "webpush", "mobile", "notification"), "Push"),
    **dict.fromkeys(("referral", "app", "link"), "Referral"),
    "organic": "Organic Search",
    "video": "Video",
    "sms": "SMS",
}
_PAID_MEDIUM = re.compile(r"cpc|ppc|cpa|cpv|sem|paid.*|.*search.?ads?")

# Parameters that ad networks add to a landing address by themselves.
_CLICK_IDS: Mapping[str, tuple[str, str]] = {
    "gclid": ("Paid Search", "Google"),
    "gbraid": ("Paid Search", "Google"),
    "wbraid": ("Paid Search", "Google"),
    "msclkid": ("Paid Search", "Bing"),
    "yclid": ("Paid Search", "Yandex"),
    "ttclid": ("Paid Social", "TikTok"),
    "twclid": ("Paid Social", "X"),
    "li_fat_id": ("Paid Social", "LinkedIn"),
    "fbclid": ("Social", "Facebook"),  # added to unpaid links too
}


class _Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    channel: str
    brands: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class _Sources:
    """Those of ``data/sources.toml``, by what they are found under."""

    def __init__(self, known: list[_Source]) -> None:
        self._hosts = {host: one for one in known for host in one.hosts}
        self._brands = {brand: one for one in known for brand in one.brands}
        self._names = {name: one for one in known for name in (one.name.lower(), *one.names)}

    def of_host(self, host: str) -> _Source | None:
        """The most exact: mail.google.com before google."""
        labels = host.split(".")
        for at in range(len(labels)):
            if (found := self._hosts.get(".".join(labels[at:]))) is not None:
                return found
        # A brand stands before its country: google.de, google.co.uk, but not google.example.com.
        for ending in (1, 2):
            name = labels[-1 - ending] if len(labels) > ending else ""
            if name in self._brands and (ending == 1 or len(labels[-2]) <= 3):
                return self._brands[name]
        return None

    def of_name(self, name: str) -> _Source | None:
        return self._names.get(name) or (self.of_host(name) if "." in name else None)


@cache
def _sources() -> _Sources:
    text = files("tocsin.triggers").joinpath("data", "sources.toml").read_text("utf-8")
    return _Sources(msgspec.convert(tomllib.loads(text)["source"], list[_Source]))


def traffic_source(url: str, params: Mapping[str, object], referrer: str | None) -> dict[str, str]:
    """Channel, and source and campaign where they are known."""
    medium, named, campaign = (_text(params.get(f"utm_{name}")) for name in ("medium", "source", "campaign"))
    found = _tagged(medium.lower(), named) if medium or named else _clicked(params) or _referred(url, referrer)
    channel, source = found
    return {
        "channel": channel,
        **({"source": source} if source else {}),
        **({"campaign": campaign} if campaign else {}),
    }


def _tagged(medium: str, named: str) -> tuple[str, str]:
    known = _sources().of_name(named.lower())
    source = known.name if known is not None else named
    if medium in _MEDIA:
        return _MEDIA[medium], source
    kind = _SEARCH if known is None else known.channel
    if medium and _PAID_MEDIUM.fullmatch(medium):
        return _PAID[kind], source
    if known is not None:
        return _ORGANIC[kind], source
    return ("Email" if not medium and named.lower() in _MEDIA and _MEDIA[named.lower()] == "Email" else "Other"), source


def _clicked(params: Mapping[str, object]) -> tuple[str, str] | None:
    return next((found for name, found in _CLICK_IDS.items() if params.get(name)), None)


def _referred(url: str, referrer: str | None) -> tuple[str, str]:
    host = host_of(referrer or "")
    if not host or host == host_of(url):
        return "Direct", ""
    known = _sources().of_host(host)
    return (_ORGANIC[known.channel], known.name) if known is not None else ("Referral", host)


@lru_cache(maxsize=4_096)
def host_of(url: str) -> str:
    """Without www. and port, in small letters; empty where there is none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host.rstrip(".").removeprefix("www.")


def _text(value: object) -> str:
    return value.strip()[:1_024] if isinstance(value, str) else ""
