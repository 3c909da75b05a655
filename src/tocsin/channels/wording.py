"""How values are written for people: money, countries, numbers, times … as the locale of a webhook has them (CLDR's
forms, by Babel). Words stay English.

Nothing here raises, whatever the value: what has no form of its own is written as it came.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tocsin.channels.limits import clean, cut
from tocsin.errors import Fault, Invalid
from tocsin.nearest import did_you_mean
from tocsin.profiles.details import Kind
from tocsin.profiles.masking import mask_text
from tocsin.profiles.readable import readable

if TYPE_CHECKING:
    from babel import Locale

DEFAULT_LOCALE = "en_US"

# UTF-16 units. Names of campaigns are shorter by far, and a message has to keep room for its other lines; addresses
# carry their parameters.
_MAX_TEXT = 300
_MAX_URL = 600
_MAX_WORDS = 8  # of a list; then how many more there are
_SMALLEST = Decimal("0.000001")  # of an amount: the price of one impression at a tenth of a cent per thousand
_CENT = Decimal("0.01")
# Figures from here on are written as 1.000E+20: Babel counts with 28 digits, decimals included, and details have 18.
_LARGEST = 10**20
# CONTRACT §5: the metrics of alerts that are in percent, and those that are money; the others are counts.
_PERCENT_METRICS = frozenset({"conversion_rate", "fraud_rate", "bot_rate", "ctr"})
_MONEY_METRICS = frozenset({"spend", "payout"})
_COMPARISONS = {">": "Above", ">=": "At Least", "<": "Below", "<=": "At Most"}
_UNITS = (("duration-day", 86_400), ("duration-hour", 3_600), ("duration-minute", 60), ("duration-second", 1))
_ZONE = re.compile(r"[A-Za-z0-9_+\-]{1,32}(/[A-Za-z0-9_+\-]{1,32}){0,2}")
_LAST_ZERO = re.compile("0(?!.*0)")


def check_locale(name: str, pointer: str = "/options/locale") -> None:
    """Takes a locale as CLDR names it, with ``_`` or ``-`` and in any case: ``de_DE``, ``pt-BR``, ``ja``.

    Raises:
        Invalid: `option_invalid`, with the nearest names.
    """
    if _key(name) not in _locales():
        near = did_you_mean(name.replace("-", "_"), _locales().values())
        detail = f"no locale is called {name[:32]!r}{near}; write one such as de_DE"
        raise Invalid("the locale is unknown", code="option_invalid", faults=[Fault(pointer, detail)])


def write(kind: Kind, value: Any, details: Mapping[str, Any], locale: str) -> str:
    """A detail's value in its kind's form, clean and not too long; empty where nothing can be seen of it.

    Args:
        details: the event's, for what a value needs to be understood: its currency, metric, time zone.
    """
    return _WRITERS[kind](value, details, _locale(locale))


def words(text: str, units: int = _MAX_TEXT) -> str:
    """Somebody's text as one clean line."""
    return cut(clean(text), units)


def number(value: int | Decimal, locale: str) -> str:
    """``1,312``."""
    return _number(value, {}, _locale(locale))


def money(amount: Decimal, currency: str | None, locale: str) -> str:
    """``$45.00``, with as many decimals as the currency has, and with more where an amount under one has more. A
    currency that CLDR does not know is written as it came: ``45.00 USDT``.
    """
    return _money(amount, {"currency": currency}, _locale(locale))


def country(code: str, locale: str) -> str:
    """The country's full name; a text that is no code as it is."""
    return _country(code, {}, _locale(locale))


def duration(seconds: int | Decimal, locale: str) -> str:
    """``1 hour 30 minutes``: the two largest units."""
    return _duration(seconds, {}, _locale(locale))


def instant(text: str, locale: str, timezone: str | None = None) -> str:
    """``Mar 14, 2026, 9:26 AM UTC``, of an RFC 3339 instant."""
    return _instant(text, {"timezone": timezone}, _locale(locale))


# --- by kind ------------------------------------------------------------------------------------------------------


def _text(value: str, _details: Mapping[str, Any], _locale: "Locale") -> str:
    return words(value)


def _word(value: str, _details: Mapping[str, Any], _locale: "Locale") -> str:
    return words(readable(clean(value)))


def _url(value: str, _details: Mapping[str, Any], _locale: "Locale") -> str:
    return words(value, _MAX_URL)


def _ip(value: str, _details: Mapping[str, Any], _locale: "Locale") -> str:
    """CONTRACT §8: masked in messages always; whoever calls has masked the data already."""
    return words(mask_text(value))


def _words(value: tuple[str, ...], _details: Mapping[str, Any], _locale: "Locale") -> str:
    shown = [found for one in value[:_MAX_WORDS] if (found := words(readable(clean(one)), 60))]
    more = len(value) - _MAX_WORDS
    return ", ".join(shown) + (f" and {more} more" if shown and more > 0 else "")


def _ranking(value: tuple[tuple[str, int], ...], details: Mapping[str, Any], locale: "Locale") -> str:
    shown = [f"{words(readable(clean(name)), 60)} ({_number(count, details, locale)})" for name, count in value[:5]]
    return ", ".join(shown)


def _country(value: str, _details: Mapping[str, Any], locale: "Locale") -> str:
    return str(locale.territories.get(value) or words(value))


def _number(value: int | Decimal, _details: Mapping[str, Any], locale: "Locale") -> str:
    from babel.numbers import format_decimal  # noqa: PLC0415 - as in `_locale`

    return str(format_decimal(value, locale=locale)) if -_LARGEST < value < _LARGEST else _scientific(value)


def _percent(value: int | Decimal, _details: Mapping[str, Any], locale: "Locale") -> str:
    from babel.numbers import format_percent  # noqa: PLC0415 - as in `_locale`

    if not -_LARGEST < value < _LARGEST:
        return f"{_scientific(value)}%"
    pattern = _LAST_ZERO.sub("0.##", str(locale.percent_formats[None].pattern))  # CLDR's own shows no decimals
    return str(format_percent(Decimal(value) / 100, pattern, locale=locale))


def _measure(value: int | Decimal, details: Mapping[str, Any], locale: "Locale") -> str:
    metric = details.get("metric")
    if metric in _PERCENT_METRICS:
        return _percent(value, details, locale)
    return (_money if metric in _MONEY_METRICS else _number)(Decimal(value), details, locale)


def _money(value: Decimal, details: Mapping[str, Any], locale: "Locale") -> str:
    from babel.numbers import format_currency, format_decimal, get_currency_precision  # noqa: PLC0415 - as in `_locale`

    currency: str = details.get("currency") or ""
    if abs(value) >= _LARGEST:
        return f"{_scientific(value)} {words(currency, 12)}".rstrip()
    known = currency in locale.currencies
    step = Decimal(1).scaleb(-get_currency_precision(currency)) if known else _CENT
    # Half a cent up, as whole cents are made elsewhere.
    amount = value.quantize(step, ROUND_HALF_UP)
    exact = amount != value and abs(value) < 1
    if exact:
        amount = value.quantize(_SMALLEST, ROUND_HALF_UP)
    if known:
        return str(format_currency(amount, currency, locale=locale, decimal_quantization=not exact))
    plain = str(format_decimal(amount, "#,##0.00####" if exact else "#,##0.00", locale=locale))
    return f"{plain} {code}" if (code := words(currency, 12)) else plain


def _scientific(value: int | Decimal) -> str:
    return f"{value:.3E}"


def _duration(value: int | Decimal, _details: Mapping[str, Any], locale: "Locale") -> str:
    rest = max(int(value), 0)
    parts: list[str] = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or (size == 1 and not parts):
            parts.append(_unit(count, unit, locale))
    return " ".join(parts[:2])


def _unit(count: int, unit: str, locale: "Locale") -> str:
    """Written out; where Babel lacks that (it does in Japanese, Chinese, Korean), as short as it has it."""
    from babel.units import format_unit  # noqa: PLC0415 - as in `_locale`

    forms = (str(format_unit(count, unit, length, locale=locale)) for length in ("long", "short", "narrow"))
    return next((form for form in forms if not form.endswith(unit)), f"{count} {unit.removeprefix('duration-')}")


def _date(value: str, _details: Mapping[str, Any], locale: "Locale") -> str:
    from babel.dates import format_date  # noqa: PLC0415 - as in `_locale`

    try:
        found = date.fromisoformat(value)
    except ValueError:
        return words(value)
    return str(format_date(found, "medium", locale=locale))


def _instant(value: str, details: Mapping[str, Any], locale: "Locale") -> str:
    from babel.dates import format_date, format_time, get_datetime_format  # noqa: PLC0415 - as above

    try:
        found = datetime.fromisoformat(value)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(_zone(details.get("timezone")))
    except (ValueError, OverflowError):
        return words(value)
    day = str(format_date(found, "medium", locale=locale))
    time = str(format_time(found, "short", locale=locale))
    zone = "UTC" if found.tzinfo is UTC else f"({found.tzinfo})"
    together = str(get_datetime_format("medium", locale=locale)).replace("{1}", day).replace("{0}", time)
    return f"{together} {zone}"


@lru_cache(maxsize=256)
def _zone(name: str | None) -> tzinfo:
    """UTC where there is no such zone."""
    if name is None or _ZONE.fullmatch(name) is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # such as a folder of the database
        return UTC


def _comparison(value: str, _details: Mapping[str, Any], _locale: "Locale") -> str:
    return _COMPARISONS.get(value) or words(value)


_WRITERS: Mapping[Kind, Callable[[Any, Mapping[str, Any], "Locale"], str]] = {
    Kind.TEXT: _text,
    Kind.WORD: _word,
    Kind.ID: _text,
    Kind.URL: _url,
    Kind.IP: _ip,
    Kind.DATE: _date,
    Kind.INSTANT: _instant,
    Kind.COUNTRY: _country,
    Kind.CURRENCY: _text,
    Kind.MONEY: _money,
    Kind.NUMBER: _number,
    Kind.PERCENT: _percent,
    Kind.MEASURE: _measure,
    Kind.COMPARISON: _comparison,
    Kind.SECONDS: _duration,
    Kind.WORDS: _words,
    Kind.RANKING: _ranking,
}


# --- locales ------------------------------------------------------------------------------------------------------


@cache
def _locales() -> Mapping[str, str]:
    """CLDR's names, by `_key`."""
    from babel.localedata import locale_identifiers  # noqa: PLC0415 - as in `_locale`

    return {_key(name): name for name in locale_identifiers()}


def _key(name: str) -> str:
    return name.replace("-", "_").lower()


@lru_cache(maxsize=2_048)  # as many as there are: a thousand, with 200 MB if ever all of them are in use
def _locale(name: str) -> "Locale":
    """The default where there is no such locale, as of a webhook that was made with a newer CLDR."""
    from babel import Locale  # noqa: PLC0415 - a server that sends no messages does without its 70 ms and 9 MB

    return Locale.parse(_locales().get(_key(name), DEFAULT_LOCALE))
