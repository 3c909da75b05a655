"""From what was posted to an `Activity`: checked by its shape, bounded, completed.

    amounts             `Decimal`, exact; all other numbers as JavaScript reads them
    null                as if that key of the shape had not been sent
    visitor.ip          in canonical form, an IPv4 address in IPv6 clothes as IPv4
    visitor.country     two capitals, with country_name in English; currencies too are capitals
    visitor.browser     its name; an object's version and vendor become browser_version and browser_vendor
    visitor.device, os (with os_version), browser (with browser_version, browser_vendor), country
                        derived where absent
    of a visit: params, device {type, model, os}, traffic_source {channel, source, campaign}
                        the same
    signals.bot, vpn, cloaker, fraud
                        an object with what is known, or true; absent where it was false
    sub1…sub9           texts

What it gives back it takes again and gives back unchanged: backtests read the log through it.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import msgspec

from tocsin.clock import Millis, rfc3339
from tocsin.errors import Fault
from tocsin.faults import MAX_FAULTS, Open, choices, faults_of, fields, invalid, pointer
from tocsin.profiles import countries
from tocsin.triggers import classify
from tocsin.triggers.activity import Activity, ActivityId, AddressFacts, AgentFacts, Kind
from tocsin.triggers.amounts import BadAmount, amount
from tocsin.triggers.knowledge import Knowledge
from tocsin.triggers.shapes import AMOUNTS, MAX_DEPTH, MAX_ITEMS, MAX_KEY, MAX_TEXT, SHAPES

MAX_AHEAD_MS = 5 * 60_000  # so much clocks of producers may be fast

_MAX_SAFE = 2**53 - 1
_PERHAPS_TRUE = ("bot", "vpn", "cloaker", "fraud")
_SUBS = tuple(f"sub{n}" for n in range(1, 10))

_NO_NAMES: frozenset[str] = frozenset()
_NAMES = {kind: frozenset(path[-1] for path in paths) for kind, paths in AMOUNTS.items()}

_NUMBERS = frozenset({int, float, Decimal})

# Gateways' ways to say that they do not know: ISO 3166-1 leaves XX and ZZ to their users, T1 is Tor.
_NO_COUNTRY = frozenset({"XX", "ZZ", "T1"})

Path = tuple[str, ...]


def normalise(
    kind: Kind,
    raw: Mapping[str, Any],
    *,
    id: ActivityId,
    external_id: str | None,
    at: Millis,
    accepted_at: Millis,
    knowledge: Knowledge,
) -> Activity:
    """`raw` stays as it is: what the activity holds is a copy.

    Args:
        raw: its keys beyond kind, external_id and at. An amount that is a number with decimals is best a `Decimal`
            (`read`); a float counts as the shortest decimal that reads back as the same float.

    Raises:
        Invalid: with pointers relative to the activity, 20 at most.
    """
    if at > accepted_at + MAX_AHEAD_MS:
        raise invalid([Fault("/at", f"more than 5 minutes ahead of the server's clock, {rfc3339(accepted_at)}")])
    copy = _Copy(AMOUNTS.get(kind, ()), _NAMES.get(kind, _NO_NAMES), negative=kind is Kind.SPEND)
    data = copy.members(raw, (), 1)
    if not copy.faults:
        try:
            msgspec.convert(data, SHAPES[kind])
        except msgspec.ValidationError:
            copy.faults.extend(faults_of(data, SHAPES[kind]))
    if copy.faults:
        raise invalid(copy.faults[:MAX_FAULTS])
    if copy.nulls:
        _drop_nulls(data, SHAPES[kind])
    if kind is Kind.CONVERSION and not data.keys() & {"payout", "offer", "click_id"}:
        raise invalid([Fault("/payout", "it is missing, and neither offer nor click_id leads to one")])
    address, agent = _complete(kind, data, knowledge)
    return Activity(
        id=id,
        kind=kind,
        at=at,
        accepted_at=accepted_at,
        external_id=external_id,
        data=data,
        address=address,
        agent=agent,
    )


# --- a bounded copy -----------------------------------------------------------------------------------------------


class _Copy:
    """Copies what was posted, value by value, and says what is out of bounds."""

    __slots__ = ("_amounts", "_names", "_negative", "faults", "nulls")

    def __init__(self, amounts: tuple[Path, ...], names: frozenset[str], *, negative: bool) -> None:
        """`names`: the last steps of the `amounts`' paths; values of other names need no path to be looked at."""
        self._amounts = amounts
        self._names = names
        self._negative = negative
        self.faults: list[Fault] = []
        self.nulls = False

    def members(self, given: Mapping[str, Any], at: Path, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if depth > MAX_DEPTH or len(given) > MAX_ITEMS:
            self._fault(at, f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else f"more than {MAX_ITEMS} keys")
            return found
        names = self._names
        for key, value in given.items():
            kind = type(value)
            if len(key) > MAX_KEY or not (key.isascii() or _is_text(key)):
                self._fault((*at, key[:64]), f"a key of more than {MAX_KEY} characters, or with a lone surrogate")
            elif kind is str and len(value) <= MAX_TEXT and value.isascii() and key not in names:
                found[key] = value
            elif kind is dict and key not in names:
                found[key] = self.members(value, (*at, key), depth + 1)
            elif kind is int and -_MAX_SAFE <= value <= _MAX_SAFE and key not in names:
                found[key] = value
            else:
                found[key] = self._value(value, (*at, key), depth)
        return found

    def _value(self, value: Any, at: Path, depth: int) -> Any:
        kind = type(value)
        if value is None:
            self.nulls = True
        elif at in self._amounts:
            return self._amount(value, at)
        elif kind is str:
            self._check_text(value, at)
        elif kind is dict:
            return self.members(value, at, depth + 1)
        elif kind is list:
            return self._items(value, at, depth + 1)
        elif kind in _NUMBERS:
            return self._number(value, at)
        elif kind is not bool:
            self._fault(at, "not a value of JSON")
        return value

    def _items(self, given: list[Any], at: Path, depth: int) -> list[Any]:
        if depth > MAX_DEPTH or len(given) > MAX_ITEMS:
            self._fault(at, f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else f"more than {MAX_ITEMS} items")
            return []
        return [self._value(one, (*at, str(index)), depth) for index, one in enumerate(given)]

    def _check_text(self, value: str, at: Path) -> None:
        if len(value) > MAX_TEXT:
            self._fault(at, f"a text of more than {MAX_TEXT:,} characters")
        elif not _is_text(value):
            self._fault(at, "a lone surrogate is no character")

    def _number(self, value: float | Decimal, at: Path) -> int | float:
        """As JavaScript reads it."""
        if type(value) is int and -_MAX_SAFE <= value <= _MAX_SAFE:
            return value
        try:
            found = float(value)
        except (OverflowError, ValueError):  # ValueError: of a signalling NaN
            found = math.inf
        if type(value) is int or not math.isfinite(found):
            self._fault(at, "a number that JavaScript would alter; send it as a text")
            return 0
        return int(found) if found.is_integer() and -_MAX_SAFE <= found <= _MAX_SAFE else found

    def _amount(self, value: Any, at: Path) -> Decimal:
        try:
            return amount(value, negative=self._negative)
        except BadAmount as error:
            self._fault(at, str(error))
            return Decimal(0)

    def _fault(self, at: Path, why: str) -> None:
        self.faults.append(Fault(pointer(*(step.encode(errors="replace").decode() for step in at)), why))


def _is_text(text: str) -> bool:
    """Whether it can be encoded."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _drop_nulls(data: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Of the shape's own keys; others keep theirs."""
    for name, inner in _parts(struct):
        if name in data:
            value = data[name]
            if value is None:
                del data[name]
            elif inner is not None and type(value) is dict:
                _drop_nulls(value, inner)


@cache
def _parts(struct: Any) -> tuple[tuple[str, type[Open] | None], ...]:
    """A shape's keys, and the shape of what stands there where it is an object of known keys."""
    return tuple((name, _shape_of(field.type)) for name, field in fields(struct).items())


def _shape_of(found: Any) -> type[Open] | None:
    return next((one for one in choices(found) if isinstance(one, type) and issubclass(one, Open)), None)


# --- completion ---------------------------------------------------------------------------------------------------


def _complete(kind: Kind, data: dict[str, Any], knowledge: Knowledge) -> tuple[AddressFacts | None, AgentFacts | None]:
    """Raises `Invalid`."""
    if type(currency := data.get("currency")) is str:
        data["currency"] = currency.upper()
    if kind is Kind.CONVERSION:
        for name in _SUBS:
            if name in data:
                data[name] = _text(data[name])
    if type(signals := data.get("signals")) is dict:
        _complete_signals(signals)
    visitor = data.get("visitor")
    if type(visitor) is not dict:
        return None, None
    address, agent = _complete_visitor(visitor, knowledge)
    if kind is Kind.VISIT:
        classify.complete_visit(data, visitor, agent)
    return address, agent


def _complete_signals(signals: dict[str, Any]) -> None:
    for name in _PERHAPS_TRUE:
        found = signals.get(name, True)
        if found is False:
            del signals[name]
        elif found == {}:  # a VPN of which nothing is known is one
            signals[name] = True


def _complete_visitor(visitor: dict[str, Any], knowledge: Knowledge) -> tuple[AddressFacts | None, AgentFacts | None]:
    address: AddressFacts | None = None
    agent: AgentFacts | None = None
    if (given := visitor.get("ip")) is not None:
        ip = canonical_ip(given)
        if ip is None:
            raise invalid([Fault("/visitor/ip", f"{given[:64]!r} is no IP address")])
        visitor["ip"] = ip
        address = knowledge.address(ip)
    if user_agent := visitor.get("user_agent"):
        agent = knowledge.agent(user_agent)
    if (country := visitor.get("country")) is not None:
        country = countries.code(country)
        if country in _NO_COUNTRY:
            del visitor["country"]
        else:
            visitor["country"] = country
    if type(browser := visitor.get("browser")) is dict:
        _flatten_browser(visitor, browser)
    classify.complete_visitor(visitor, address, agent)
    return address, agent


def _flatten_browser(visitor: dict[str, Any], browser: Mapping[str, Any]) -> None:
    del visitor["browser"]
    for name, key in (("name", "browser"), ("version", "browser_version"), ("vendor", "browser_vendor")):
        if (found := browser.get(name)) is not None:
            visitor.setdefault(key, found)


@lru_cache(maxsize=16_384)  # addresses come in runs; an entry is some 200 bytes
def canonical_ip(text: str) -> str | None:
    """None: it is no address."""
    text = text.strip()
    try:
        if ":" not in text:
            IPv4Address(text)  # it takes the canonical form alone
            return text
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return None
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
    return str(found)


def _text(value: object) -> str:
    if type(value) is str:
        return value
    return str(value).lower() if type(value) is bool else str(value)
