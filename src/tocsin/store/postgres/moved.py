"""Whether a database was filled from another one, and wholly: until it is, no server may start on it."""

from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.errors import Misconfigured
from tocsin.store.postgres.statements import statements

_META = statements("meta")

MOVING = "moving"  # in `meta` while it is filled
MOVED_FROM = "moved_from"  # and from then on


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What `meta` says of it."""

    origin: str  # where it comes from, for people
    source: str  # which installation that is
    token: str  # tells it from any other move of the same
    begun_at: Millis
    given_up: bool = False


async def refuse_incomplete(connection: Any, shown: str) -> None:
    """Raises `Misconfigured` where a move into the database has not come to its end."""
    found = await connection.fetchval(_META["get"], MOVING)
    if found is None:
        return
    move = msgspec.json.decode(found, type=Move)
    if move.given_up:
        raise Misconfigured(f"{shown} was moved to from {move.origin}, and that was undone; use {move.origin}")
    raise Misconfigured(
        f"{shown} is being filled from {move.origin} and is not complete; run tocsin migrate --from {move.origin} "
        "--to … again until it says that all is moved"
    )
