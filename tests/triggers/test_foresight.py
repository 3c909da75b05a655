"""What is foreseen: a batch of the usual activities is decided on one read."""

import pytest

from tests.triggers.house import House, item
from tocsin.triggers.activity import Kind
from tocsin.triggers.occurrences import NAMES

_VISITOR = {"id": "v", "ip": "::ffff:192.0.2.1", "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"}
_CAMPAIGN = {"campaign": {"id": "c"}}

_ACTIVITIES = {
    Kind.CLICK: {"click_id": "k", "visitor": _VISITOR, **_CAMPAIGN},
    Kind.VISIT: {"visit_id": "w", "url": "https://example.com/", "visitor": _VISITOR, **_CAMPAIGN},
    Kind.IMPRESSION: {"ad": {"id": "a"}, "visitor": _VISITOR, **_CAMPAIGN},
    Kind.CONVERSION: {
        "conversion_id": "x",
        "click_id": "k",
        "payout": "1",
        "currency": "USD",
        "offer": {"id": "o"},
        **_CAMPAIGN,
    },
    Kind.CONVERSION_STATUS: {"conversion_id": "x", "status": "rejected"},
    Kind.SPEND: {"amount": "1", "currency": "USD", **_CAMPAIGN},
    Kind.CAMPAIGN: {"campaign": {"id": "c", "name": "Summer"}, "action": "updated"},
    Kind.PARTNER: {"partner": {"id": "p"}, "status": "applied"},
    Kind.BILLING: {"data": {}},
}


@pytest.mark.parametrize("kind", list(Kind))
async def test_what_the_rules_of_each_kind_ask_for_is_foreseen(house: House, kind: Kind):
    """Once an account's own keys are known, such as its open day's, one read serves any activity."""
    house.fire(dict.fromkeys(NAMES, "click.created"))
    await house.taken(item(Kind.CONVERSION, **_ACTIVITIES[Kind.CONVERSION]))
    await house.post(item(kind, **_ACTIVITIES[kind]))
    reads = []
    triggers = house.app.store.triggers
    read = triggers.read

    async def counted(asks, now):
        reads.append(asks)
        return await read(asks, now)

    triggers.read = counted
    await house.post(item(kind, **_ACTIVITIES[kind]), item(kind, **_ACTIVITIES[kind]))
    assert len(reads) == 1, [sorted(ask.keys) for asks in reads[1:] for ask in asks]
