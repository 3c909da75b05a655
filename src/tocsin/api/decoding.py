"""From bytes to typed requests: strict, and naming every value at fault, not only the first.

The way of a request that is right is one decode. Only one that is wrong is looked at again, value by value.
"""

import re
import types
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec

from tocsin.errors import Fault, Invalid, Malformed
from tocsin.nearest import did_you_mean, nearest
from tocsin.profiles.jsjson import stabilise

MAX_FAULTS = 20
_MAX_PARAMETERS = 64  # no operation has a fifth of them
_MAX_SLIPS = 100

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>(?:key in )?\$.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "datetime": "instant"}

T = TypeVar("T")

_known_fields: dict[type[Any], Mapping[str, msgspec.structs.FieldInfo]] = {}


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
    if body and not _forbids(shape):
        keys = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        if slips := tuple(islice(_unknown_keys(keys, shape, ""), MAX_FAULTS)):
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
    faults = tuple(islice(_faults(found, shape, ""), MAX_FAULTS))
    return invalid(faults or (Fault("", str(error)),))


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
    fields = _fields(shape)
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    for name, text in pairs:
        if len(faults) == MAX_FAULTS:
            break
        field = fields.get(name)
        if field is None:
            faults.append(Fault(f"?{name[:64]}", f"there is no such parameter{did_you_mean(name, fields)}"))
        elif name in values:
            faults.append(Fault(f"?{name}", "it is given more than once"))
        else:
            try:
                values[name] = msgspec.convert(text, without_none(field.type), strict=False)
            except msgspec.ValidationError as error:
                values[name] = None
                hint = "; write + as %2B" if " " in text else ""
                faults.append(Fault(f"?{name}", _said(error)[0] + hint))
    if faults:
        raise invalid(faults)
    return shape(**values)


def invalid(faults: list[Fault] | tuple[Fault, ...]) -> Invalid:
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    where = f"{first.pointer}: " if first.pointer else ""
    return Invalid(f"{where}{first.detail}{more}", faults=faults)


def pointer(*steps: str | int) -> str:
    """RFC 6901: ``pointer("a", 0, "b/c")`` is ``/a/0/b~1c``."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


# --- the second look ----------------------------------------------------------------------------------------------


def _faults(value: Any, shape: Any, at: str) -> Iterator[Fault]:
    """Lazily: a body can hold more faults than anybody wants to be told."""
    if shape is msgspec.Raw:
        return  # any JSON, and this was decoded already
    struct, parts = _struct_of(shape), _parts_of(shape)
    if struct is not None and isinstance(value, dict):
        yield from _object_faults(value, struct, at)
        return
    inside = False
    if parts is not None and isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            for fault in _faults(one, parts, at + pointer(key if isinstance(key, int) else key[:64])):
                inside = True
                yield fault
    if not inside:
        try:
            msgspec.convert(value, shape)
        except msgspec.ValidationError as error:
            what, path = _said(error)
            yield Fault(at + path, (_says(shape) or what) if "matching regex" in what else what)


def _object_faults(value: Mapping[str, Any], struct: type[Any], at: str) -> Iterator[Fault]:
    yield from _unknown_keys(value, struct, at)
    for name, field in _fields(struct).items():
        if name in value:
            yield from _faults(value[name], field.type, at + pointer(name))
        elif field.required:
            yield Fault(at + pointer(name), "it is missing")


def _unknown_keys(value: Mapping[str, Any], struct: type[Any], at: str) -> Iterator[Fault]:
    """Those that are refused."""
    fields = _fields(struct)
    unknown = (name for name in value if name not in fields)
    if not _forbids(struct):
        # Nobody's hand slips in a body of hundreds of keys, and looking for what each was meant to be takes its time.
        unknown = (name for name in islice(unknown, _MAX_SLIPS) if nearest(name, fields))
    for name in unknown:
        yield Fault(at + pointer(name[:64]), f"there is no such key{did_you_mean(name, fields)}")


def _forbids(struct: Any) -> bool:
    return bool(getattr(struct, "__struct_config__", None) and struct.__struct_config__.forbid_unknown_fields)


def _said(error: msgspec.ValidationError) -> tuple[str, str]:
    """The sentence of msgspec in the words of JSON, and its path as a pointer."""
    match = _AT.match(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    what = re.sub(r"`(\w+)`", lambda word: _WORDS.get(word[1], word[1]), what)
    steps = [a or b for a, b in _STEP.findall(path)]
    return what[:1].lower() + what[1:], pointer(*(step for step in steps if step != "..."))


def _fields(struct: type[Any]) -> Mapping[str, msgspec.structs.FieldInfo]:
    found = _known_fields.get(struct)
    if found is None:
        found = _known_fields[struct] = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    return found


def _bare(shape: Any) -> Any:
    return get_args(shape)[0] if get_origin(shape) is Annotated else shape


def _choices(shape: Any) -> tuple[Any, ...]:
    bare = _bare(shape)
    return get_args(bare) if get_origin(bare) in (Union, types.UnionType) else (bare,)


def _struct_of(shape: Any) -> type[Any] | None:
    """The struct among what a value may be."""
    for choice in map(_bare, _choices(shape)):
        if isinstance(choice, type) and issubclass(choice, msgspec.Struct):
            return choice
    return None


def _parts_of(shape: Any) -> Any | None:
    """What a list's items or a map's values may be."""
    for choice in map(_bare, _choices(shape)):
        if get_origin(choice) in (list, tuple, dict):
            return get_args(choice)[1 if get_origin(choice) is dict else 0]
    return None


def _says(shape: Any) -> str | None:
    """What the type itself says where its pattern does not fit: `Meta(extra={"says": …})`."""
    for choice in (shape, *_choices(shape)):
        for meta in get_args(choice)[1:] if get_origin(choice) is Annotated else ():
            if isinstance(meta, msgspec.Meta) and meta.extra and "says" in meta.extra:
                return str(meta.extra["says"])
    return None


def without_none(shape: Any) -> Any:
    """A query has no null: the text ``null`` is a text."""
    left = tuple(choice for choice in _choices(shape) if choice is not types.NoneType)
    return Union[left] if len(left) != len(_choices(shape)) else shape  # noqa: UP007 - built from a tuple
