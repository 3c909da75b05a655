"""How a dialect wraps an event's data, as data.

    members = [{ key = "type", from = "event.type" }, { key = "data", from = "data" }]      an object around the data
    members = [{ key = "event", from = "event.type" }, { merge = "data" }]                  the data's own keys beside
    members = [{ merge = "data" }]                                                          the data alone
    { key = "property", members = […] }                                                     an object inside
    { key = "api_version", value = "v1" }                                                   always the same

The data's bytes are spliced in, never parsed and written again, and the result is as stable under JavaScript as they
are. Where a merged key of the data meets one of the envelope's, the envelope's stands: a receiver must be able to rely
on it.
"""

from collections.abc import Callable, Sequence

import msgspec
import orjson

from tocsin.profiles.facts import TEXTS, Facts
from tocsin.profiles.jsjson import is_array_index, stabilise

_Piece = bytes | Callable[[Facts], bytes]


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``members``: a key with exactly one of `source`, `value` and `members`, or `merge` alone."""

    key: str | None = None
    source: str | None = msgspec.field(name="from", default=None)
    value: str | int | bool | None = None
    members: tuple["Member", ...] | None = None
    merge: str | None = None


class Envelope:
    """Renders bodies of one form.

    Raises:
        ValueError: the form makes no sense; says why.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        _check(members)
        self.merges = any(member.merge for member in members)
        self._alone = self.merges and len(members) == 1
        self._own_keys = tuple(member.key for member in members if member.key is not None)
        self._sources = {member.source: member.key for member in members if member.source is not None}
        self.outline = _outline(members)  # for people: ``{"type":…,"data":DATA}``
        self._quoted_keys = tuple(orjson.dumps(key) + b":" for key in self._own_keys)
        # With a merge: the pieces of each member, None for the data's keys. Without: the pieces of the whole body.
        self._chunks = [None if member.merge else _joined(_member_pieces(member)) for member in members]
        self._pieces = None if self.merges else _joined(_object_pieces(members))

    @property
    def keys(self) -> tuple[str, ...]:
        """Those that it puts into each body, at the top, in their order."""
        return self._own_keys

    def key_of(self, source: str) -> str | None:
        """The key, at the top, under which bodies carry that fact."""
        return self._sources.get(source)

    def render(self, facts: Facts) -> bytes:
        if self._pieces is not None:
            return b"".join([piece if type(piece) is bytes else piece(facts) for piece in self._pieces])  # type: ignore[operator]
        if self._alone:
            return facts.data
        data = facts.data
        # Stable data has its array indices first, so its first key tells whether there are any.
        indices = data[2:3].isdigit()
        if indices or any(key in data for key in self._quoted_keys):
            members = {key: item for key, item in orjson.loads(data).items() if key not in self._own_keys}
            data = stabilise(orjson.dumps(members))[1]
        body = self._merged(facts, data[1:-1])
        return stabilise(body)[1] if indices else body

    def _merged(self, facts: Facts, inner: bytes) -> bytes:
        chunks = [
            inner
            if pieces is None
            else b"".join([piece if isinstance(piece, bytes) else piece(facts) for piece in pieces])
            for pieces in self._chunks
        ]
        return b"{" + b",".join([chunk for chunk in chunks if chunk]) + b"}"


def _check(members: Sequence[Member], *, inside: bool = False) -> None:
    if not members:
        raise ValueError("members: there are none")
    keys: set[str] = set()
    for member in members:
        if member.merge is not None:
            if inside or member != Member(merge="data"):
                raise ValueError('members: only { merge = "data" } can be merged, at the top, with nothing beside')
            continue
        if not member.key:
            raise ValueError("members: an entry has neither a key nor a merge")
        if member.key in keys or is_array_index(member.key):
            raise ValueError(f"members: the key {member.key!r} is there twice, or JavaScript would move it")
        keys.add(member.key)
        _check_content(member)
    if not inside and _places(members) != 1:
        raise ValueError("members: the data must stand in exactly one place")


def _check_content(member: Member) -> None:
    if sum(part is not None for part in (member.source, member.value, member.members)) != 1:
        raise ValueError(f"members: {member.key!r} needs exactly one of from, value and members")
    if member.source is not None and member.source != "data" and member.source not in TEXTS:
        raise ValueError(f"members: {member.key!r} comes from {member.source!r}; there are data, {', '.join(TEXTS)}")
    if member.members is not None:
        _check(member.members, inside=True)


def _places(members: Sequence[Member]) -> int:
    return sum(
        (member.merge == "data") + (member.source == "data") + _places(member.members or ()) for member in members
    )


def _outline(members: Sequence[Member]) -> str:
    if members[0].merge and len(members) == 1:
        return "DATA"
    parts = []
    for member in members:
        if member.merge:
            parts.append("the keys of DATA")
            continue
        if member.members is not None:
            inner = _outline(member.members)
        elif member.source is not None:
            inner = "DATA" if member.source == "data" else "…"
        else:
            inner = orjson.dumps(member.value).decode()
        parts.append(f'"{member.key}":{inner}')
    return "{" + ",".join(parts) + "}"


def _object_pieces(members: Sequence[Member]) -> list[_Piece]:
    pieces: list[_Piece] = []
    for number, member in enumerate(members):
        pieces += [b"," if number else b"{", *_member_pieces(member)]
    return [*pieces, b"}"]


def _member_pieces(member: Member) -> list[_Piece]:
    name = orjson.dumps(member.key) + b":"
    if member.members is not None:
        return [name, *_object_pieces(member.members)]
    if member.source is not None:
        return [name, _value(member.source)]
    return [name, orjson.dumps(member.value)]


def _value(source: str) -> Callable[[Facts], bytes]:
    if source == "data":
        return lambda facts: facts.data
    text = TEXTS[source]
    return lambda facts: orjson.dumps(text(facts))


def _joined(pieces: Sequence[_Piece]) -> list[_Piece]:
    """The same with neighbouring constants made one."""
    joined: list[_Piece] = []
    for piece in pieces:
        if joined and isinstance(piece, bytes) and isinstance(joined[-1], bytes):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
