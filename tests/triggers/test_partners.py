"""Partners, each change of status said once; and billing, passed on."""

import pytest

from tests.triggers.market import Account, names


@pytest.mark.parametrize("status", ["applied", "approved", "banned"])
def test_each_status_is_said_once(status) -> None:
    """With the name and reason that are known."""
    account = Account()
    partner = {"id": 8, "name": "Clickwell", "tier": "gold"}
    (found,) = account.post("partner", partner=partner, status=status, reason="because", email="a@b.example")
    assert found.name == f"partner_{status}"
    assert found.facts == {"partner": partner, "status": status, "reason": "because", "email": "a@b.example"}
    assert account.post("partner", partner={"id": "8"}, status=status) == []


def test_every_transition_is_said_with_the_name_of_before() -> None:
    """And not with the reason of before."""
    account = Account()
    account.post("partner", partner={"id": "p", "name": "Clickwell"}, status="applied", reason="form")
    steps = ["approved", "banned", "banned", "approved"]
    found = [one for status in steps for one in account.post("partner", partner={"id": "p"}, status=status)]
    assert names(found) == ["partner_approved", "partner_banned", "partner_approved"]
    assert [one.facts["partner"]["name"] for one in found] == ["Clickwell"] * 3
    assert not any("reason" in one.facts for one in found)


def test_billing_is_passed_on_as_it_came() -> None:
    """Nothing is remembered of it."""
    account = Account()
    (found,) = account.post("billing", data={"invoice": 7})
    assert (found.name, found.facts) == ("billing", {"data": {"invoice": 7}})
    assert account.values == {}
