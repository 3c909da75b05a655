"""The forms in which a dialect can show a fact: ``payout | cents``.

A form takes a fact as it is inside (amounts `Decimal`, instants `Millis`, ids text or number) and gives JSON, or None
where the fact has no such form: the part then vanishes, as if nothing were known.
"""

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from tocsin.clock import Millis, rfc3339, rfc3339_seconds
from tocsin.triggers.windows import window

Form = Callable[[Any, ZoneInfo], Any]

_SIMPLE = frozenset({str, int, bool, float, type(None)})
_MAX_SAFE_INTEGER = 2**53 - 1
# Of those schemas that take decimals as text, the narrowest takes eight places.
_PLACES = Decimal("0.00000001")
# Years 1970 to 9998: what `windows` and RFC 3339 can both show.
_LAST = 253_370_764_800_000


def plain(value: Any) -> Any:
    """Anything as JSON: amounts become numbers; what is not known (None) is left out of objects and lists."""
    if type(value) in _SIMPLE:
        return value
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value if item is not None]
    return value


def _text(value: Any, _zone: ZoneInfo) -> str | None:
    """A string, a number or a truth value as text; an empty string says nothing."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int | float):
        return str(value)
    return None


def _texts(value: Any, zone: ZoneInfo) -> Any:
    """Every value inside as text: ``{"touch": true}`` as ``{"touch": "true"}``. Empty strings stay."""
    if isinstance(value, Mapping):
        return {str(key): _texts(item, zone) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_texts(item, zone) for item in value if item is not None]
    return value if value == "" else _text(value, zone)


def _names(value: Any, zone: ZoneInfo) -> list[str] | None:
    """A list of texts; one text is a list of one."""
    items = value if isinstance(value, list | tuple) else [value]
    return [text for item in items if (text := _text(item, zone)) is not None]


def _joined(value: Any, zone: ZoneInfo) -> str | None:
    """A list of texts as one, with a comma between."""
    return ", ".join(_names(value, zone) or ()) or None


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, Decimal | int | float | str):
        return None
    try:
        found = Decimal(value.removesuffix("%").strip()) if isinstance(value, str) else Decimal(str(value))
    except ArithmeticError:
        return None
    return found if found.is_finite() else None


def _number(value: Any, _zone: ZoneInfo | None = None) -> int | float | None:
    """A JSON number: ``45`` for 45.00, ``45.5`` for 45.50, ``2`` for "2.0%"."""
    found = _decimal(value)
    if found is None:
        return None
    if found == found.to_integral_value() and abs(found) <= _MAX_SAFE_INTEGER:
        return int(found)
    return float(found)


def _integer(value: Any, _zone: ZoneInfo) -> int | None:
    """A whole number; what has a fraction is no such thing."""
    found = _number(value)
    return found if isinstance(found, int) else None


def _cents(value: Any, _zone: ZoneInfo) -> int | None:
    """An amount in hundredths of its currency's unit. Half a cent is rounded away from zero: 0.125 is 13."""
    found = _decimal(value)
    if found is None:
        return None
    cents = int((found * 100).to_integral_value(ROUND_HALF_UP))
    return cents if abs(cents) <= _MAX_SAFE_INTEGER else None


def _amount(value: Any, _zone: ZoneInfo) -> str | None:
    """An amount as text, as it was posted: ``"45.00"``; at most eight places, rounded half up."""
    found = _decimal(value)
    if found is None:
        return None
    exponent = found.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -8:
        found = found.quantize(_PLACES, ROUND_HALF_UP).normalize()
    return f"{found:f}"


def _whole_id(value: Any, _zone: ZoneInfo) -> int | str | None:
    """An id in the JSON type in which it came."""
    return value if isinstance(value, int | str) and not isinstance(value, bool) and value != "" else None


def _instant(value: Any, _zone: ZoneInfo) -> str | None:
    """In whole seconds: ``2026-03-14T09:26:53Z``."""
    return rfc3339_seconds(value) if _is_instant(value) else None


def _instant_ms(value: Any, _zone: ZoneInfo) -> str | None:
    """With three decimals: ``2026-03-14T09:26:53.589Z``."""
    return rfc3339(value) if _is_instant(value) else None


def _date(value: Any, zone: ZoneInfo) -> str | None:
    """The date that the account's calendar shows: ``2026-03-14``."""
    return window("daily", Millis(value), zone).name if _is_instant(value) else None


def _is_instant(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LAST


def _object(value: Any, _zone: ZoneInfo) -> Any:
    return plain(value) if isinstance(value, Mapping) else None


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "text": _text,
        "texts": _texts,
        "names": _names,
        "joined": _joined,
        "number": _number,
        "integer": _integer,
        "cents": _cents,
        "amount": _amount,
        "id": _whole_id,
        "instant": _instant,
        "instant_ms": _instant_ms,
        "date": _date,
        "object": _object,
    }
)
