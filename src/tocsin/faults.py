"""Names every value at fault, not only the first: a second look at what does not fit its struct, value by value.

The way of what is right is one decode. Only what is wrong is looked at here.
"""

import re
import types
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from tocsin.errors import Fault, Invalid
from tocsin.nearest import did_you_mean, nearest

MAX_FAULTS = 20
_MAX_SLIPS = 100

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>(?:key in )?\$.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "datetime": "instant"}

_known_fields: dict[type[Any], Mapping[str, msgspec.structs.FieldInfo]] = {}


class Open(msgspec.Struct):
    """Keeps keys that it does not know: none of them is taken for a slip."""


def faults_of(value: Any, shape: Any, at: str = "") -> tuple[Fault, ...]:
    """What keeps a decoded value from fitting, `MAX_FAULTS` at most; nothing where it fits."""
    return tuple(islice(_of(value, shape, at), MAX_FAULTS))


def invalid(faults: list[Fault] | tuple[Fault, ...]) -> Invalid:
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    where = f"{first.pointer}: " if first.pointer else ""
    return Invalid(f"{where}{first.detail}{more}", faults=faults)


def pointer(*steps: str | int) -> str:
    """RFC 6901: ``pointer("a", 0, "b/c")`` is ``/a/0/b~1c``."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _of(value: Any, shape: Any, at: str) -> Iterator[Fault]:
    """Lazily: a body can hold more faults than anybody wants to be told."""
    if shape is msgspec.Raw:
        return  # any JSON, and this was decoded already
    struct, parts = _struct_of(shape), _parts_of(shape)
    if struct is not None and isinstance(value, dict):
        yield from _in_object(value, struct, at)
        return
    inside = False
    if parts is not None and isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            for fault in _of(one, parts, at + pointer(key if isinstance(key, int) else key[:64])):
                inside = True
                yield fault
    if not inside:
        try:
            msgspec.convert(value, shape)
        except msgspec.ValidationError as error:
            what, path = said(error)
            yield Fault(at + path, what if path else _says(shape) or what)


def _in_object(value: Mapping[str, Any], struct: type[Any], at: str) -> Iterator[Fault]:
    yield from unknown_keys(value, struct, at)
    known = fields(struct)
    for name, field in known.items():
        if name in value:
            yield from _of(value[name], field.type, at + pointer(name))
        elif field.required:
            instead = nearest(name, islice((key for key in value if key not in known), _MAX_SLIPS))
            slip = f"; is {instead[0][:64]!r} meant for it?" if instead and issubclass(struct, Open) else ""
            yield Fault(at + pointer(name), "it is missing" + slip)


def unknown_keys(value: Mapping[str, Any], struct: type[Any], at: str) -> Iterator[Fault]:
    """Those that are refused."""
    if issubclass(struct, Open):
        return
    known = fields(struct)
    unknown = (name for name in value if name not in known)
    if not forbids(struct):
        # Nobody's hand slips in a body of hundreds of keys, and looking for what each was meant to be takes its time.
        unknown = (name for name in islice(unknown, _MAX_SLIPS) if nearest(name, known))
    for name in unknown:
        yield Fault(at + pointer(name[:64]), f"there is no such key{did_you_mean(name, known)}")


def forbids(struct: Any) -> bool:
    return bool(getattr(struct, "__struct_config__", None) and struct.__struct_config__.forbid_unknown_fields)


def said(error: msgspec.ValidationError) -> tuple[str, str]:
    """The sentence of msgspec in the words of JSON, and its path as a pointer."""
    match = _AT.match(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    what = re.sub(r"`([\w |]+)`", lambda words: " or ".join(_words(words[1])), what)
    steps = [a or b for a, b in _STEP.findall(path)]
    return what[:1].lower() + what[1:], pointer(*(step for step in steps if step != "..."))


def _words(types: str) -> Iterator[str]:
    return (_WORDS.get(word, word) for word in types.split(" | "))


def fields(struct: type[Any]) -> Mapping[str, msgspec.structs.FieldInfo]:
    found = _known_fields.get(struct)
    if found is None:
        found = _known_fields[struct] = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    return found


def _bare(shape: Any) -> Any:
    return get_args(shape)[0] if get_origin(shape) is Annotated else shape


def choices(shape: Any) -> tuple[Any, ...]:
    bare = _bare(shape)
    return get_args(bare) if get_origin(bare) in (Union, types.UnionType) else (bare,)


def _struct_of(shape: Any) -> type[Any] | None:
    """The struct among what a value may be."""
    for choice in map(_bare, choices(shape)):
        if isinstance(choice, type) and issubclass(choice, msgspec.Struct):
            return choice
    return None


def _parts_of(shape: Any) -> Any | None:
    """What a list's items or a map's values may be."""
    for choice in map(_bare, choices(shape)):
        if get_origin(choice) in (list, tuple, dict):
            return get_args(choice)[1 if get_origin(choice) is dict else 0]
    return None


def _says(shape: Any) -> str | None:
    """What the type itself says where a value is none of it: `Meta(extra={"says": …})`."""
    for choice in (shape, *choices(shape)):
        for meta in get_args(choice)[1:] if get_origin(choice) is Annotated else ():
            if isinstance(meta, msgspec.Meta) and meta.extra and "says" in meta.extra:
                return str(meta.extra["says"])
    return None
