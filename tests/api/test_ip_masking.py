"""IP addresses in bodies: masked wherever a body is rendered, whole wherever the event itself is looked at."""

import json
from typing import Any

import pytest

from tests.api.site import LocalShop, Site
from tests.support.api import CLICK, Json
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.waiting import until

WHOLE, MASKED = "203.0.113.77", "203.0.x.x"


def ip_of(body: str | bytes) -> str:
    return json.loads(body)["data"]["visitor"]["ip"]


def with_ip(shop: LocalShop) -> Json:
    return {"visitor": {**shop.example(CLICK)["visitor"], "ip": WHOLE}}


def test_bodies_are_masked_everywhere_and_the_event_is_whole(site: Site, receiver: LedgerReceiver):
    """Attempts, retries, the log, previews and tests show the same masked body; filters and the event see all."""
    shop = site.operator.shop(settings={"mask_ips": True})
    receiver.script("/m", Answer(500), Answer())
    hook = shop.webhook(receiver.url("/m"), [CLICK], filter=f'data.visitor.ip == "{WHOLE}"')
    receiver.trust("/m", hook["secret"])
    event = shop.publish(CLICK, **with_ip(shop))
    assert event["matched"] == 1
    delivery = shop.wait_delivery(event["id"], hook["id"], "retrying")
    retried = shop.post(f"/v1/deliveries/{delivery['id']}/retry")
    sent = receiver.arrivals("/m")
    assert [arrival.verified for arrival in sent] == [True, True]
    assert {arrival.body for arrival in sent} == {retried["request"]["body"].encode()}
    assert ip_of(sent[0].body) == MASKED
    logged = shop.delivery(delivery["id"])["attempts"]
    assert {attempt["request"]["body"].encode() for attempt in logged} == {sent[0].body}
    path = f"/v1/webhooks/{hook['id']}"
    assert shop.post(f"{path}/preview", {"event_id": event["id"]})["body"].encode() == sent[0].body
    assert shop.post(f"{path}/preview", {"type": CLICK})["body"].count(".x.x") == 1
    shop.post(f"{path}/test")
    assert ip_of(receiver.arrivals("/m")[-1].body).endswith(".x.x")
    assert shop.get(f"/v1/events/{event['id']}")["data"]["visitor"]["ip"] == WHOLE


def test_the_setting_can_be_changed_and_taken_back(site: Site, receiver: LedgerReceiver):
    """It holds for what is accepted after its change was answered; null leaves it to the profile again."""
    shop = site.operator.shop()
    account = f"/v1/accounts/{shop.id}"
    shop.webhook(receiver.url("/s"), [CLICK])

    def shown() -> str:
        event = shop.publish(CLICK, **with_ip(shop))
        until(lambda: event["id"] in receiver.counts("/s"), "its arrival")
        return ip_of(next(one.body for one in receiver.arrivals("/s") if one.id == event["id"]))

    assert shop.get(account)["settings"] == {}
    assert shown() == WHOLE
    for settings, kept, expected in (
        ({"mask_ips": True}, {"mask_ips": True}, MASKED),
        ({}, {"mask_ips": True}, MASKED),
        ({"mask_ips": False}, {"mask_ips": False}, WHOLE),
        ({"mask_ips": True}, {"mask_ips": True}, MASKED),
        ({"mask_ips": None}, {}, WHOLE),
    ):
        assert shop.ok("PATCH", account, {"settings": settings})["settings"] == kept
        assert shown() == expected


@pytest.mark.parametrize("value", ["yes", 1, []])
def test_it_is_on_off_or_null(site: Site, value: Any):
    """Anything else is refused with its place."""
    answer = site.operator.call("POST", "/v1/accounts", {"name": "x", "settings": {"mask_ips": value}})
    assert (answer.status, [fault["pointer"] for fault in answer.json["errors"]]) == (422, ["/settings/mask_ips"])
