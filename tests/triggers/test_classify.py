"""What is derived of visitors and visits: traffic sources, countries, devices; what was supplied stands."""

from typing import Any

import pytest

from tests.triggers.test_normalise import take
from tocsin.profiles.countries import country_name
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.classify import parameters

PAGE = "https://shop.example/"
PHONE = "Mozilla/5.0 (iPhone; …)"


def visit(url: str = PAGE, /, visitor: dict[str, Any] | None = None, **more: Any) -> Activity:
    return take(Kind.VISIT, visit_id="v", url=url, visitor={"id": "a", **(visitor or {})}, **more)


@pytest.mark.parametrize(
    ("query", "referrer", "channel", "source"),
    [
        ("", None, "Direct", None),
        ("", "", "Direct", None),
        ("", "https://www.shop.example/cart", "Direct", None),
        ("", "https://www.google.com/", "Organic Search", "Google"),
        ("", "https://www.google.co.uk/search?q=x", "Organic Search", "Google"),
        ("", "https://google.evil.example/", "Referral", "google.evil.example"),
        ("", "https://news.google.com.evil.example/", "Referral", "news.google.com.evil.example"),
        ("", "https://mail.google.com/", "Email", "Gmail"),
        ("", "https://l.facebook.com/l.php", "Social", "Facebook"),
        ("", "https://T.CO/abc", "Social", "X"),
        ("", "android-app://com.google.android.googlequicksearchbox/", "Organic Search", "Google"),
        ("", "https://blog.example:8443/a", "Referral", "blog.example"),
        ("", "http://[broken", "Direct", None),
        ("", "no address", "Direct", None),
        ("?gclid=1", "https://www.google.com/", "Paid Search", "Google"),
        ("?msclkid=1", None, "Paid Search", "Bing"),
        ("?fbclid=1", None, "Social", "Facebook"),
        ("?utm_source=newsletter&utm_medium=email", "https://www.google.com/", "Email", "newsletter"),
        ("?utm_source=newsletter", None, "Email", "newsletter"),
        ("?utm_source=google&utm_medium=cpc&gclid=1", None, "Paid Search", "Google"),
        ("?utm_source=GOOGLE&utm_medium=CPC", None, "Paid Search", "Google"),
        ("?utm_source=fb&utm_medium=cpc", None, "Paid Social", "Facebook"),
        ("?utm_source=search&utm_medium=cpc", None, "Paid Search", "search"),
        ("?utm_source=google", None, "Organic Search", "Google"),
        ("?utm_source=facebook.com", None, "Social", "Facebook"),
        ("?utm_source=clickwell&utm_medium=affiliate", None, "Affiliate", "clickwell"),
        ("?utm_source=magazine&utm_medium=banner", None, "Display", "magazine"),
        ("?utm_source=flyer", None, "Other", "flyer"),
        ("?utm_medium=sms", None, "SMS", None),
    ],
)
def test_the_traffic_source_is_told(query: str, referrer: str | None, channel: str, source: str | None):
    """UTM parameters first, then what ad networks add, then the referrer."""
    found = visit(f"{PAGE}{query}", referrer=referrer).data["traffic_source"]
    assert found == {"channel": channel, **({} if source is None else {"source": source})}


def test_a_supplied_source_stands():
    """Whatever the parameters say."""
    own = {"channel": "Podcast"}
    assert visit(f"{PAGE}?utm_source=google&utm_medium=cpc", traffic_source=own).data["traffic_source"] == own


def test_supplied_params_count_in_place_of_the_address():
    """They are not read from `url` where they are given, and the campaign is theirs."""
    found = visit(f"{PAGE}?utm_campaign=a&utm_source=b", params={"utm_campaign": "c", "utm_source": "bing"}).data
    assert found["params"] == {"utm_campaign": "c", "utm_source": "bing"}
    assert found["traffic_source"] == {"channel": "Organic Search", "source": "Bing", "campaign": "c"}


@pytest.mark.parametrize(
    ("url", "params"),
    [
        (PAGE, {}),
        (f"{PAGE}?a=1&b=&a=2#?c=3", {"a": "1", "b": ""}),
        (f"{PAGE}?q=a+b%20c%C3%BC&=x", {"q": "a b cü"}),
        (f"{PAGE}?bad=%FF", {"bad": "\ufffd"}),
        (f"{PAGE}?{'&'.join(f'p{n}=1' for n in range(500))}", {f"p{n}": "1" for n in range(100)}),
    ],
)
def test_parameters_are_read_from_the_address(url: str, params: dict[str, str]):
    """Decoded; the first of a repeated one; a hundred at most."""
    assert parameters(url) == params


def test_device_os_browser_and_country_are_derived():
    """From user agent and address; with what belongs to each."""
    data = visit(visitor={"user_agent": PHONE, "ip": "203.0.113.24"}).data
    assert data["visitor"] == {
        "id": "a",
        "user_agent": PHONE,
        "ip": "203.0.113.24",
        "device": "mobile",
        "os": "iOS",
        "os_version": "18.3",
        "browser": "Safari",
        "browser_version": "18.3",
        "browser_vendor": "Apple",
        "country": "DE",
        "country_name": "Germany",
    }
    assert data["device"] == {"type": "mobile", "model": "iPhone", "os": "iOS 18.3"}


def test_what_was_supplied_stands():
    """And nothing is put beside it that belongs to another."""
    own = {"device": "tv", "os": "Tizen", "browser": "Samsung", "country": "us"}
    data = visit(visitor={**own, "user_agent": PHONE, "ip": "203.0.113.24"}, device={"type": "console"}).data
    assert data["visitor"] | {"country": "US"} == data["visitor"] | own | {"country": "US"}
    assert "os_version" not in data["visitor"]
    assert "browser_version" not in data["visitor"]
    assert data["device"] == {"type": "console", "model": "iPhone", "os": "Tizen"}


@pytest.mark.parametrize(
    ("given", "country", "name"),
    [("de", "DE", "Germany"), ("UK", "GB", "United Kingdom"), ("TR", "TR", "Türkiye"), ("QQ", "QQ", None)],
)
def test_countries_have_names(given: str, country: str, name: str | None):
    """In English; a code that no country has is kept without one."""
    visitor = take(Kind.CLICK, click_id="c", visitor={"country": given}).data["visitor"]
    assert (visitor["country"], visitor.get("country_name")) == (country, name)
    assert country_name(country) == name


@pytest.mark.parametrize("unknown", ["XX", "zz", "T1"])
def test_a_gateways_word_for_not_knowing_is_no_country(unknown: str):
    """The address is asked then."""
    visitor = take(Kind.CLICK, click_id="c", visitor={"country": unknown, "ip": "203.0.113.24"}).data["visitor"]
    assert visitor["country"] == "DE"
