"""`trcker`, figure by figure, and what its schemas hold to. CONTRACT §4."""

from typing import Any

import orjson
import pytest

from tocsin.clock import Millis
from tocsin.profiles import load

TRCKER = load("trcker")
CREATED = 1_778_215_895_080  # 2026-05-08T04:51:35.080Z


def _faults(type_: str, **changed: Any) -> list[str]:
    entry = TRCKER.catalogue[type_]
    return [fault.pointer for fault in entry.validator.faults(dict(entry.event_type.example) | changed)]


def test_its_figures() -> None:
    """ "Retries": six delays, so seven requests; "Common questions": 10 seconds."""
    assert TRCKER.schedule_s == (1, 5, 30, 300, 1_800, 7_200)
    assert TRCKER.timeout_s == 10


def test_its_limits() -> None:
    """None is named; what has failed is the delivery, never the webhook."""
    assert TRCKER.limits.webhooks is None
    assert not TRCKER.limits.https_only
    assert not TRCKER.disable.on_exhausted
    assert TRCKER.disable.failing_for_s is None
    assert not TRCKER.disable.gone_disables


def test_its_accounts() -> None:
    """ "Subscribing": keys begin with tk_, and the secret is optional, so none is made."""
    assert TRCKER.key_prefix == "tk_"
    assert TRCKER.make_secret(bytes) is None
    TRCKER.check_secret("your_signing_secret_here")


@pytest.mark.parametrize(
    ("at", "shown"),
    [(CREATED, "04:51:35.080Z"), (CREATED - 80, "04:51:35.000Z"), (CREATED + 919, "04:51:35.999Z")],
)
def test_an_instant_has_three_decimals(make_facts: Any, at: int, shown: str) -> None:
    """Also where they are zero: receivers read it with a fixed pattern."""
    body = orjson.loads(TRCKER.render_body(make_facts(timestamp=Millis(at))))
    assert body["createdAt"] == f"2026-05-08T{shown}"


@pytest.mark.parametrize("key", ["revenueCents", "payoutCents"])
def test_money_is_whole_cents(key: str) -> None:
    """Neither parts of a cent nor text; a charge-back is below zero."""
    for amount in (0, 1260, -4200, 2**53 - 1):
        assert _faults("conversion.created", **{key: amount}) == []
    for amount in (12.6, "1260", "12.60", True, None):
        assert _faults("conversion.created", **{key: amount}) == [f"/data/{key}"]


@pytest.mark.parametrize("type_", ["conversion.created", "conversion.approved", "conversion.rejected"])
def test_a_conversion_stands_at_one_of_three(type_: str) -> None:
    """Pending, approved, rejected: a typing error is refused."""
    for status in ("pending", "approved", "rejected"):
        assert _faults(type_, status=status) == []
    assert _faults(type_, status="aproved") == ["/data/status"]


def test_a_cap_is_over_one_of_four_windows() -> None:
    """ "Available events": daily, weekly, monthly, global."""
    for window in ("daily", "weekly", "monthly", "global"):
        assert _faults("cap.reached", window=window) == []
    assert _faults("cap.reached", window="hourly") == ["/data/window"]


def test_what_is_not_known_may_be_left_out() -> None:
    """A conversion without partner, revenue and parameters, of an offer that nobody knows."""
    data = {"conversionId": "c1", "offerId": "", "payoutCents": 100, "currency": "EUR", "status": "approved"}
    assert TRCKER.catalogue["conversion.created"].validator.is_valid(data)
    assert TRCKER.catalogue["conversion.approved"].validator.is_valid({"conversionId": "c1", "status": "approved"})
