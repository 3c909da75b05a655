"""Amounts of money, exact: from a decimal as text, or a JSON number, to `Decimal`."""

import re
from decimal import Decimal, InvalidOperation

# Twelve digits are a trillion; nine decimals hold the price of one impression at a tenth of a cent per thousand.
_TEXT = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_LIMIT = 10**12
_DECIMALS = -9
# A number of so many digits is the same in binary floating point and back (IEEE 754): whoever wrote it, and with
# whatever JSON library, meant these digits.
_NUMBER_DIGITS = 15
_LONGEST = 400  # a JSON number of more characters is nobody's price


class BadAmount(ValueError):
    """Says why."""


def amount(value: object, *, negative: bool = False) -> Decimal:
    """Raises `BadAmount`."""
    found = _read(value)
    if found < 0 and not negative:
        raise BadAmount("an amount cannot be negative here")
    return found if found else abs(found)  # there is no negative zero


def _read(value: object) -> Decimal:
    if type(value) is str:
        if _TEXT.fullmatch(value) is None:
            raise BadAmount(
                'expected an amount such as "45.00": up to twelve digits, then a point and up to nine decimals'
            )
        return Decimal(value)
    if type(value) is int or type(value) is float:
        if (
            not -_LIMIT < value < _LIMIT
        ):  # also where it is not a number; before it is written out: an integer can have very many digits
            raise _too_large()
        value = Decimal(repr(value))
    if type(value) is not Decimal:
        raise BadAmount('expected an amount: a text such as "45.00", or a number')
    return _bounded(value)


def _bounded(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise BadAmount("not a number")
    if len(value.as_tuple().digits) > _LONGEST:
        raise _too_precise()
    if value.adjusted() >= 12 or abs(value) >= _LIMIT:
        raise _too_large()
    try:
        shortest = value.normalize()
    except InvalidOperation:
        raise _too_precise() from None
    if shortest != value:
        raise _too_precise()
    _, digits, exponent = shortest.as_tuple()
    assert isinstance(exponent, int), "it is finite"
    if len(digits) > _NUMBER_DIGITS:
        raise _too_precise()
    if exponent < _DECIMALS:
        raise BadAmount("more than nine decimals")
    return shortest.quantize(Decimal(1)) if exponent > 0 else shortest


def _too_large() -> BadAmount:
    return BadAmount("an amount has twelve digits before the point at most")


def _too_precise() -> BadAmount:
    return BadAmount("a number of more than 15 digits is not the same everywhere; send the amount as a text")
