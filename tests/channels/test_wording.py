"""How values are written for people, in any locale; and that no value is too strange to be written."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.channels import wording
from tocsin.errors import Invalid
from tocsin.profiles.details import Kind, read

LOCALES = ["en_US", "de_DE", "ja_JP", "ar_EG", "fr", "tr", "hi_IN", "pt-BR", "no_such"]


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "written"),
    [
        ("45", "USD", "en_US", "$45.00"),
        ("45", "USD", "de_DE", "45,00\xa0$"),
        ("1234.5", "EUR", "de_DE", "1.234,50\xa0€"),
        ("1234.5", "EUR", "de-de", "1.234,50\xa0€"),
        ("1045", "JPY", "en_US", "¥1,045"),
        ("1045.5", "JPY", "ja_JP", "￥1,046"),
        ("-3.5", "EUR", "en_US", "-€3.50"),
        ("0.125", "EUR", "en_US", "€0.125"),
        ("0.0031", "EUR", "en_US", "€0.0031"),
        ("2.125", "EUR", "en_US", "€2.13"),
        ("45", "XX1", "en_US", "45.00 XX1"),
        ("12.5", "USDT", "de_DE", "12,50 USDT"),
        ("10000", None, "en_US", "10,000.00"),
        ("0.0031", None, "en_US", "0.0031"),
        ("1e25", "EUR", "en_US", "1.000E+25 EUR"),
        ("45", "EUR", "no_such", "€45.00"),
    ],
)
def test_money(amount: str, currency: str | None, locale: str, written: str) -> None:
    """With the currency's own decimals, in the locale's form; more of them for a fraction; an unknown code as given."""
    assert wording.money(Decimal(amount), currency, locale) == written


@pytest.mark.parametrize(
    ("code", "locale", "written"),
    [
        ("US", "en_US", "United States"),
        ("US", "de_DE", "Vereinigte Staaten"),
        ("DE", "fr", "Allemagne"),
        ("Atlantis", "en_US", "Atlantis"),
        ("QQ", "en_US", "QQ"),
    ],
)
def test_countries(code: str, locale: str, written: str) -> None:
    """Their full names; what is none stays as it came."""
    assert wording.country(code, locale) == written


@pytest.mark.parametrize(
    ("kind", "value", "details", "locale", "written"),
    [
        (Kind.NUMBER, 1312, {}, "en_US", "1,312"),
        (Kind.NUMBER, Decimal("1312.25"), {}, "de_DE", "1.312,25"),
        (Kind.PERCENT, Decimal("26.4"), {}, "en_US", "26.4%"),
        (Kind.PERCENT, 80, {}, "de_DE", "80\xa0%"),
        (Kind.PERCENT, 80, {}, "tr", "%80"),
        (Kind.MEASURE, 20, {"metric": "bot_rate"}, "en_US", "20%"),
        (Kind.MEASURE, 20, {"metric": "payout", "currency": "EUR"}, "en_US", "€20.00"),
        (Kind.MEASURE, 20, {"metric": "spend"}, "en_US", "20.00"),
        (Kind.MEASURE, 2000, {"metric": "clicks", "currency": "EUR"}, "en_US", "2,000"),
        (Kind.SECONDS, 3600, {}, "en_US", "1 hour"),
        (Kind.SECONDS, 5400, {}, "de_DE", "1 Stunde 30 Minuten"),
        (Kind.SECONDS, 93_784, {}, "en_US", "1 day 2 hours"),
        (Kind.SECONDS, 5400, {}, "ja_JP", "1 時間 30 分"),
        (Kind.SECONDS, 0, {}, "en_US", "0 seconds"),
        (Kind.DATE, "2026-03-14", {}, "en_US", "Mar 14, 2026"),
        (Kind.DATE, "tomorrow", {}, "en_US", "tomorrow"),
        (Kind.INSTANT, "2026-03-14T09:26:53Z", {}, "en_US", "Mar 14, 2026, 9:26\u202fAM UTC"),
        (Kind.INSTANT, "2026-03-14T09:26:53Z", {"timezone": "Europe/Berlin"}, "de_DE", None),
        (Kind.INSTANT, "soon", {}, "en_US", "soon"),
        (Kind.COMPARISON, ">=", {}, "en_US", "At Least"),
        (Kind.IP, "203.0.113.24", {}, "en_US", "203.0.x.x"),
        (Kind.IP, "2001:db8:41::7", {}, "en_US", "2001:db8:x:x:x:x:x:x"),
        (Kind.WORD, "headless_chrome", {}, "en_US", "Headless Chrome"),
        (Kind.WORD, "invoice.issued", {}, "en_US", "Invoice Issued"),
        (Kind.WORD, "Order was returned", {}, "en_US", "Order was returned"),
        (Kind.WORD, "FRAUD", {}, "en_US", "Fraud"),
        (Kind.WORDS, ("datacenter_ip", "vpn_detected"), {}, "en_US", "Datacenter IP, VPN Detected"),
        (Kind.WORDS, tuple(f"rule_{n}" for n in range(10)), {}, "en_US", None),
        (Kind.RANKING, (("honeypot", 1200),), {}, "en_US", "Honeypot (1,200)"),
        (Kind.TEXT, " two\nlines\x00 and \u202eright ", {}, "en_US", "two lines and right"),
        (Kind.TEXT, "\x00\u200b", {}, "en_US", ""),
    ],
)
def test_values(kind: Kind, value: Any, details: dict[str, Any], locale: str, written: str | None) -> None:
    """Each kind in its form."""
    found = wording.write(kind, value, details, locale)
    if kind is Kind.WORDS and written is None:
        assert found.endswith("Rule 7 and 2 more")
    elif written is None:
        assert found == "14.03.2026, 10:26 (Europe/Berlin)"
    else:
        assert found == written


@pytest.mark.parametrize("zone", ["Nowhere/Town", "../../etc/passwd", "Europe", "", "x" * 500])
def test_a_zone_that_is_none_is_utc(zone: str) -> None:
    """Data may name any zone."""
    assert wording.instant("2026-03-14T09:26:53+01:00", "en_US", zone).endswith("UTC")


def test_long_texts_end_in_an_ellipsis() -> None:
    """A campaign's name of 10,000 characters leaves room for the other lines."""
    found = wording.words("é" * 10_000)
    assert len(found) == 300
    assert found.endswith("…")


@pytest.mark.parametrize("name", ["en_US", "de-DE", "DE_de", "ja", "zh_Hans_CN"])
def test_locales(name: str) -> None:
    """As CLDR names them, however they are spelled."""
    wording.check_locale(name)


@pytest.mark.parametrize(("name", "near"), [("de_DD", "de_DE"), ("fr-FF", "fr_FR"), ("klingon", ""), ("", "")])
def test_a_locale_that_is_none_is_refused(name: str, near: str) -> None:
    """With a pointer, and what may have been meant."""
    with pytest.raises(Invalid) as caught:
        wording.check_locale(name)
    assert caught.value.code == "option_invalid"
    assert caught.value.faults[0].pointer == "/options/locale"
    assert ("did you mean" in caught.value.faults[0].detail) is bool(near)
    assert near in caught.value.faults[0].detail


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["1e999", "9" * 40, "-0", "5%"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300)
@given(value=_json, other=_json, kind=st.sampled_from(list(Kind)), locale=st.sampled_from(LOCALES))
def test_whatever_is_read_can_be_written(value: Any, other: Any, kind: Kind, locale: str) -> None:
    """Of any JSON, in any kind: it is left out, or it is one clean line."""
    found = read(kind, value)
    if found is None:
        return
    kinds = {"currency": Kind.CURRENCY, "metric": Kind.WORD, "timezone": Kind.TEXT}
    details = {name: read(one, other) for name, one in kinds.items()}
    written = wording.write(kind, found, {name: one for name, one in details.items() if one is not None}, locale)
    assert "\n" not in written
    assert not any("\ud800" <= char <= "\udfff" for char in written)
    assert len(written) <= 1_000
