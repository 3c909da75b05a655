"""What a dialect may put into a body or a header, by the names that its data uses."""

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import msgspec

from tocsin.clock import Millis, rfc3339, rfc3339_seconds


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one webhook, as far as any dialect shows it. Ids are in their outer form."""

    event_id: str  # "evt_…"
    type: str
    timestamp: Millis  # when it happened
    data: bytes  # as `jsjson.stabilise` gives it
    webhook_id: str
    account_id: str
    account_external_id: str | None
    account_name: str


# A burst of events shares its seconds; the cache spares the calendar arithmetic.
_seconds = lru_cache(maxsize=256)(rfc3339_seconds)


def _delivery_key(facts: Facts) -> str:
    """The same for every attempt of one event to one webhook, and for no other pair."""
    digest = hashlib.sha256(f"{facts.event_id} {facts.webhook_id}".encode()).hexdigest()
    return f"wh_{digest[:26]}"  # 104 bits: no two pairs will meet


TEXTS: Mapping[str, Callable[[Facts], str]] = MappingProxyType(
    {
        "event.id": lambda facts: facts.event_id,
        "event.type": lambda facts: facts.type,
        "event.timestamp": lambda facts: _seconds(facts.timestamp // 1000 * 1000),
        "event.timestamp_ms": lambda facts: rfc3339(facts.timestamp),  # exactly three decimals
        "webhook.id": lambda facts: facts.webhook_id,
        "account.id": lambda facts: facts.account_id,
        "account.external_id_or_id": lambda facts: facts.account_external_id or facts.account_id,
        "account.name": lambda facts: facts.account_name,
        "delivery.key": _delivery_key,
    }
)
