"""What chats say, seen through previews: of each event type, in the webhook's locale, with addresses masked."""

import pytest

from tests.api.site import LocalShop, Site
from tests.support.messages import example
from tocsin import profiles

SLACK = "https://hooks.slack.com/services/T00000000/B00000000/aaaaaaaaaaaaaaaaaaaaaaaa"


def _slack(shop: LocalShop, **options: object) -> str:
    asked = {"url": SLACK, "channel": "slack", "events": ["*"], "options": options}
    made = shop.post("/v1/webhooks", asked)
    return str(made["id"])


def test_the_locale_of_a_webhook(shop: LocalShop) -> None:
    """Money and countries are written as it says; one that there is not is refused with the nearest."""
    body = shop.post(f"/v1/webhooks/{_slack(shop, locale='de-DE')}/preview", {"type": "conversion.created"})["body"]
    assert "45,00 €" in body.replace("\xa0", " ")
    assert "Deutschland" in body
    asked = {"url": SLACK, "channel": "slack", "events": ["*"], "options": {"locale": "de_DD"}}
    refused = shop.call("POST", "/v1/webhooks", asked)
    assert (refused.status, refused.code) == (422, "option_invalid")
    assert refused.json["errors"][0]["pointer"] == "/options/locale"
    assert "'de_DE'" in refused.json["errors"][0]["detail"]


def test_quiet_hours_are_times_of_day(shop: LocalShop) -> None:
    """One that is none is refused in words, not by a pattern."""
    options = {"quiet_hours": {"from": "22:00", "to": "7:00"}}
    asked = {"url": SLACK, "channel": "slack", "events": ["*"], "options": options}
    [error] = shop.call("POST", "/v1/webhooks", asked).json["errors"]
    assert error["pointer"] == "/options/quiet_hours/to"
    assert error["detail"] == "expected a time of day with four digits, such as 07:00"


@pytest.mark.parametrize("name", profiles.names())
def test_each_type_of_each_profile_is_shown_in_each_chat(site: Site, name: str) -> None:
    """No preview shows a visitor's whole address, whatever the account's bodies show."""
    shop = site.operator.shop(f"wording {name}", name, settings={"mask_ips": False})
    hook = _slack(shop)
    for type_ in profiles.load(name).catalogue:
        made = shop.post(f"/v1/webhooks/{hook}/preview", {"type": type_})
        assert example(profiles.load(name), type_, "slack").title in made["body"]
        assert made["chats"]
        for body in (made["body"], *made["chats"].values()):
            assert not any(part in body for part in ("203.0.113.", "198.51.100.", "192.0.2.", "2001:db8:41::7"))


def test_an_event_type_of_ones_own_is_worded(shop: LocalShop) -> None:
    """By its name and its values."""
    schema = {"type": "object", "properties": {"order_id": {"type": "integer"}}}
    example = {"order_id": 991_482, "buyer": {"client_ip": "203.0.113.24"}}
    shop.ok("PUT", "/v1/event-types/order.shipped", {"description": "Sent.", "schema": schema, "example": example})
    body = shop.post(f"/v1/webhooks/{_slack(shop)}/preview", {"type": "order.shipped"})["body"]
    for said in ("Order Shipped", "Order ID", "991482", "Buyer Client IP", "203.0.x.x"):
        assert said in body
