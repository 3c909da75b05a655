"""Where what messages say of an event stands in its data, by the same names in every dialect."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tocsin.errors import Misconfigured
from tocsin.profiles import Profile
from tocsin.profiles.loader import read_profile

M = "messages.toml"


def _details(dialects: Mapping[str, Profile], name: str, type_: str) -> dict[str, Any]:
    profile = dialects[name]
    return profile.messages.details(type_, profile.catalogue[type_].event_type.example)


def test_a_conversion_in_both_shapes(dialects: Mapping[str, Profile]) -> None:
    """CloakRadar's nested objects and its flat keys say the same; money is exact, and dollars where nothing is said."""
    nested = _details(dialects, "cloakradar", "conversion.new")
    assert (nested["campaign"], nested["campaign_id"]) == ("Native – Fibre 500 – DE", "1042")
    assert (nested["payout"], nested["revenue"], nested["currency"]) == (Decimal(45), Decimal("60.5"), "EUR")
    assert (nested["country"], nested["device"], nested["os"]) == ("DE", "mobile", "iOS")
    flat = {"campaign_name": "A", "offer_name": "B", "payout": 45.0, "country": "us", "device": "mobile"}
    assert dialects["cloakradar"].messages.details("conversion.new", flat) == {
        "campaign": "A",
        "offer": "B",
        "payout": Decimal(45),
        "currency": "USD",
        "country": "US",
        "device": "mobile",
    }


def test_the_currency_is_understood_of_money_only(dialects: Mapping[str, Profile]) -> None:
    """An event without an amount has no currency."""
    assert dialects["cloakradar"].messages.details("campaign.paused", {"campaign_name": "A"}) == {"campaign": "A"}


@pytest.mark.parametrize("value", [None, True, [], {}, "", " ", "unknown", 7.5, ["a"], {"name": "x"}, "x" * 10_000])
def test_other_forms_are_left_out(dialects: Mapping[str, Profile], value: Any) -> None:
    """A detail is there in its own form or not at all; long texts stay whole."""
    found = dialects["standard"].messages.details("click.created", {"score": value, "cost": value, "reasons": value})
    assert found in ({}, {"score": Decimal("7.5"), "cost": Decimal("7.5")})
    named = dialects["standard"].messages.details("click.created", {"campaign": {"name": value}})
    assert named in ({}, {"campaign": "x" * 10_000})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('campaign = ["campaign.name"', 'campaing = ["campaign.name"', "details.campaing: .*did you mean 'campaign'"),
        ('campaign = ["campaign.name"', 'campaign = ["campaign..name"', "details.campaign: a path"),
        ('payout = "payout"', 'payout = { paths = "payout", unit = "pence" }', "unit"),
        ('offer = "offer.name"', 'offer = { paths = "offer.name", unit = "cents" }', "details.offer.unit"),
        ('offer = "offer.name"', 'offer = { paths = "offer.name", otherwise = "x" }', "details.offer.otherwise"),
        ('offer = "offer.name"', 'offer = { paths = "offer.name", kind = "number" }', "details.offer.kind"),
        ('tone = "info"', 'tone = "loud"', "tone"),
        ('tone = "info"', 'tones = "info"', "tones"),
        ('[events."click.created"]', '[events."click.craeted"]', "did you mean 'click.created'"),
        ('title = "New Click"', 'title = "{campaign} was clicked"', "title: the last one"),
        ('title = "New Click"', 'title = ["{campaing}", "Click"]', "did you mean 'campaign'"),
        ('title = "New Click"', 'title = ["{campaign", "Click"]', "a brace"),
        ('title = "New Click"', "title = []", "title: it is empty"),
        ('lines = ["campaign", "offer", "partner", "cost"', 'lines = ["campaign", "ofer"', "lines.1: .*'offer'"),
        ('lines = ["campaign", "offer"', 'lines = [{ label = "X" }, "offer"', "lines.0: a line is"),
        ('lines = ["campaign", "offer"', 'lines = [{ label = "X", text = "Y" }, "offer"', "lines.0.text"),
    ],
)
def test_a_mistake_names_file_and_key(edit: Callable[..., Path], old: str, new: str, said: str) -> None:
    """What cannot be shown stops the start, with the nearest names."""
    with pytest.raises(Misconfigured, match=rf"messages\.toml: .*{said}"):
        read_profile(edit("standard", M, old, new))


def test_without_the_file_details_stand_where_those_of_standard_do(edit: Callable[..., Path]) -> None:
    """A dialect of one's own needs no messages.toml; its types then have no wording, but a name."""
    folder = edit("cue", "profile.toml", "name", "name")
    (folder / M).unlink(missing_ok=True)
    messages = read_profile(folder).messages
    assert messages.details("ad.click", {"campaign": {"name": "A"}}) == {"campaign": "A"}
    assert messages.wording("ad.click", "slack") is None
    assert (messages.tone("ad.click"), messages.label("ad.click")) == ("info", "Ad Click")
