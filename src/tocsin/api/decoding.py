"""From bytes to typed requests: strict, and naming every value at fault, not only the first.

The way of a request that is right is one decode. Only one that is wrong is looked at again, value by value.
"""

import types
from itertools import islice
from typing import Any, TypeVar, Union
from urllib.parse import parse_qsl

import msgspec

from tocsin.errors import Fault, Invalid, Malformed
from tocsin.faults import MAX_FAULTS, Open, choices, faults_of, fields, forbids, invalid, said, unknown_keys
from tocsin.nearest import did_you_mean
from tocsin.profiles.jsjson import stabilise

_MAX_PARAMETERS = 64  # no operation has a fifth of them

T = TypeVar("T")


def decode_body(body: bytes, shape: type[T]) -> T:
    """Reads a JSON object into a struct. An empty body is an empty object.

    A key that the struct does not know is refused where the struct forbids it. Where it does not, it is passed over,
    unless it is nearly one that it knows: a slip (`secert`) would change what is done without a word.

    Raises:
        Malformed: `malformed_json`.
        Invalid: with a pointer for every value at fault, 20 at most.
    """
    try:
        found = msgspec.json.decode(body or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain(body or b"{}", shape, error) from None
    if body and not forbids(shape) and not issubclass(shape, Open):
        keys = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        if slips := tuple(islice(unknown_keys(keys, shape, ""), MAX_FAULTS)):
            raise invalid(slips)
    return found


def explain(body: bytes, shape: type[Any], error: Exception) -> Malformed | Invalid:
    """What to say about a body that could not be decoded into `shape`."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        try:
            # It tells JSON that is no JSON from JSON that is not taken: NaN, lone surrogates, too deep.
            stabilise(body, "")
        except (Malformed, Invalid) as told:
            return told
        return Malformed(f"the body cannot be read as JSON: {cause}", code="malformed_json")
    return invalid(faults_of(found, shape) or (Fault("", str(error)),))


def decode_query(query: bytes, shape: type[T]) -> T:
    """Reads a query string; each parameter once.

    Raises:
        Malformed: it is not percent-encoded UTF-8.
        Invalid: a parameter is unknown, given twice, or does not fit; pointers are ``?name``.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise Malformed(f"the query cannot be read: {error}") from None
    known = fields(shape)
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    for name, text in pairs:
        if len(faults) == MAX_FAULTS:
            break
        field = known.get(name)
        if field is None:
            faults.append(Fault(f"?{name[:64]}", f"there is no such parameter{did_you_mean(name, known)}"))
        elif name in values:
            faults.append(Fault(f"?{name}", "it is given more than once"))
        else:
            try:
                values[name] = msgspec.convert(text, without_none(field.type), strict=False)
            except msgspec.ValidationError as error:
                values[name] = None
                hint = "; write + as %2B" if " " in text else ""
                faults.append(Fault(f"?{name}", said(error)[0] + hint))
    if faults:
        raise invalid(faults)
    return shape(**values)


def without_none(shape: Any) -> Any:
    """A query has no null: the text ``null`` is a text."""
    left = tuple(choice for choice in choices(shape) if choice is not types.NoneType)
    return Union[left] if len(left) != len(choices(shape)) else shape  # noqa: UP007 - built from a tuple
