"""How nouns are written as columns."""

from typing import Any

import msgspec

from tocsin.model import Attempt, DeliveryState
from tocsin.store.port import Page

# The codes of delivery states, in the order in which the statements compare them: below SENDING is waiting, from
# SUCCEEDED on is ended. The same as SQLite's.
STATES: dict[int, DeliveryState] = {
    10: DeliveryState.PENDING,
    11: DeliveryState.RETRYING,
    12: DeliveryState.SENDING,
    20: DeliveryState.SUCCEEDED,
    21: DeliveryState.FAILED,
    22: DeliveryState.CANCELLED,
    23: DeliveryState.DIGESTED,
}
CODES: dict[DeliveryState, int] = {state: code for code, state in STATES.items()}
PENDING, RETRYING, SENDING = 10, 11, 12
SUCCEEDED, FAILED, CANCELLED, DIGESTED = 20, 21, 22, 23

# Above every id: where a list of all begins.
BEYOND = (1 << 63) - 1

encode_json = msgspec.json.Encoder().encode
encode_attempt = msgspec.msgpack.Encoder().encode
decode_attempt = msgspec.msgpack.Decoder(Attempt).decode


def below(page: Page) -> int:
    """The id that a page's ids are below."""
    return BEYOND if page.before is None else max(-BEYOND, min(page.before, BEYOND))


def to_json(value: object) -> str:
    return encode_json(value).decode()


def from_json(text: str, kind: Any = Any) -> Any:
    return msgspec.json.decode(text, type=kind)
