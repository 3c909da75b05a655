"""The noun: one raw fact of ad traffic, checked and completed."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NewType

import msgspec

from tocsin.clock import Millis

ActivityId = NewType("ActivityId", int)


class Kind(StrEnum):
    """What can be posted (CONTRACT §5)."""

    VISIT = "visit"
    CLICK = "click"
    IMPRESSION = "impression"
    CONVERSION = "conversion"
    CONVERSION_STATUS = "conversion_status"
    SPEND = "spend"
    CAMPAIGN = "campaign"
    PARTNER = "partner"
    BILLING = "billing"


class AddressFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an IP address. Names are for people; None or False: nothing is known."""

    hosting: str | None = None  # the data centre's name
    vpn: str | None = None  # the provider's name
    proxy: bool = False
    tor: bool = False
    crawler: str | None = None
    listed: bool = False  # on the user's IPsum file
    country: str | None = None  # ISO 3166-1 alpha-2


class AgentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a user agent tells of itself."""

    bot: str | None = None  # the name of a crawler, tool or headless browser
    device: str | None = None  # "mobile", "tablet", "desktop", "tv", …
    model: str | None = None
    os: str | None = None
    os_version: str | None = None
    browser: str | None = None
    browser_version: str | None = None
    vendor: str | None = None


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """One fact. `data` has the keys of CONTRACT §5 by their names there, and whatever else was posted.

    Checked and completed: amounts are `Decimal`; `visitor` has `device`, `os`, `browser` and `country` where they were
    supplied or could be derived; ids keep the JSON type that they came in (`text_id` is for keys).
    """

    id: ActivityId
    kind: Kind
    at: Millis  # when it happened, by whoever posted it; else when it was accepted
    accepted_at: Millis
    external_id: str | None
    data: dict[str, Any]
    address: AddressFacts | None = None  # of data.visitor.ip
    agent: AgentFacts | None = None  # of data.visitor.user_agent

    @property
    def visitor_id(self) -> str | None:
        visitor = self.data.get("visitor")
        found = visitor.get("id") if isinstance(visitor, dict) else None
        return None if found is None else text_id(found)

    def id_of(self, noun: str) -> str | None:
        """The id of its campaign, offer, partner or ad, as a key."""
        named = self.data.get(noun)
        found = named.get("id") if isinstance(named, dict) else None
        return None if found is None else text_id(found)


def erased_by(facts: Mapping[str, Any]) -> str | None:
    """What its visitor is known by when it is to be erased: its id, or, without one, the address that stands for it."""
    visitor = facts.get("visitor")
    if not isinstance(visitor, Mapping):
        return None
    found = visitor.get("id")
    if found is None:
        found = visitor.get("ip")
    return None if found is None else text_id(found)


def text_id(value: str | int) -> str:
    """An id as a key: 7 and "7" are the same campaign."""
    return str(value)
