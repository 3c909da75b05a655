"""`cue`, figure by figure, and what its schemas hold to. CONTRACT §4."""

import copy
from typing import Any

import orjson
import pytest

from tocsin.profiles import load

CUE = load("cue")


def _faults(type_: str, **changed: Any) -> list[str]:
    entry = CUE.catalogue[type_]
    return [fault.pointer for fault in entry.validator.faults(dict(entry.event_type.example) | changed)]


def test_its_figures() -> None:
    """ "Retry Logic": five delays, each four times the one before, so six requests; "Common Issues": 10 seconds."""
    assert CUE.schedule_s == tuple(4**n for n in range(5))
    assert CUE.timeout_s == 10


def test_its_limits() -> None:
    """None is named; what has failed is the delivery, never the webhook."""
    assert CUE.limits.webhooks is None
    assert not CUE.limits.https_only
    assert not CUE.disable.on_exhausted
    assert CUE.disable.failing_for_s is None
    assert not CUE.disable.gone_disables


def test_its_accounts() -> None:
    """CONTRACT §3 and §4: keys begin with tsn_, and a secret is made."""
    assert CUE.key_prefix == "tsn_"
    assert CUE.make_secret(bytes)


def test_every_body_names_its_version(make_facts: Any) -> None:
    """ "Webhook Payload Structure": also where the sample of a type leaves it out; last, whatever the data hold."""
    body = orjson.loads(CUE.render_body(make_facts(data=b'{"api_version":"v0"}')))
    assert list(body) == ["id", "type", "created", "data", "api_version"]
    assert (body["api_version"], body["data"]) == ("v1", {"api_version": "v0"})


@pytest.mark.parametrize(
    ("type_", "key"),
    [
        ("ad.conversion", "conversion_value"),
        ("campaign.created", "budget"),
        ("campaign.updated", "daily_budget"),
        ("campaign.paused", "spent"),
        ("campaign.budget_exhausted", "spent"),
    ],
)
def test_money_is_a_number(type_: str, key: str) -> None:
    """With decimals or without; not text, as in other dialects."""
    for amount in (99.99, 100, 0, 0.00000001):
        assert _faults(type_, **{key: amount}) == []
    for amount in ("99.99", None, True, [1]):
        assert _faults(type_, **{key: amount}) == [f"/data/{key}"]


@pytest.mark.parametrize("key", ["impressions", "clicks", "conversions"])
def test_what_is_counted_is_whole(key: str) -> None:
    """Rates and averages may have decimals, counts not; none is below zero."""
    example = CUE.catalogue["campaign.budget_exhausted"].event_type.example
    for wrong in (1.5, -1, "500"):
        performance = copy.deepcopy(dict(example["performance"])) | {key: wrong}
        assert _faults("campaign.budget_exhausted", performance=performance) == [f"/data/performance/{key}"]
    assert _faults("campaign.budget_exhausted", performance=dict(example["performance"]) | {key: 0}) == []


def test_billing_may_be_anything() -> None:
    """No key is asked for; an amount is a number or a decimal string."""
    assert CUE.catalogue["account.billing"].validator.is_valid({})
    for amount in (49, 49.9, "49.90", "-49.90"):
        assert _faults("account.billing", amount=amount) == []
    for amount in ("49,90", "€ 49", [49], None):
        assert _faults("account.billing", amount=amount) == ["/data/amount"]


def test_what_is_not_known_may_be_left_out() -> None:
    """A click of which only the log tells, on an ad and of a campaign that nobody knows."""
    click = {"ad_id": "", "campaign_id": "", "click_id": "k1", "metadata": {"timestamp": "2026-03-14T09:26:53Z"}}
    assert CUE.catalogue["ad.click"].validator.is_valid(click)
    assert not CUE.catalogue["ad.click"].validator.is_valid(click | {"metadata": {}})
