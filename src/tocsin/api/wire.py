"""What `/v1` shows of the nouns, and how: ids with prefixes, instants as RFC 3339, secrets never."""

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from tocsin import ids
from tocsin.clock import Millis, rfc3339
from tocsin.errors import Fault, Invalid
from tocsin.model import DIGEST_TYPE
from tocsin.store.port import Page

EXAMPLE_NUMBER = 0x33C_734F_05FB_A31A  # behind the id that examples show: 06f3k9w2zq8rt

_ID_DIGITS = "[0-9a-hjkmnp-tv-z]{13}$"

Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-01-01T00:00:00.000Z"])]
AccountIdText = Annotated[str, Meta(pattern=f"^acc_{_ID_DIGITS}", examples=["acc_06f3k9w2zq8rt"])]
KeyIdText = Annotated[str, Meta(pattern=f"^key_{_ID_DIGITS}", examples=["key_06f3k9w2zq8rt"])]
EventIdText = Annotated[str, Meta(pattern=f"^evt_{_ID_DIGITS}", examples=["evt_06f3k9w2zq8rt"])]
WebhookIdText = Annotated[str, Meta(pattern=f"^wh_{_ID_DIGITS}", examples=["wh_06f3k9w2zq8rt"])]
DeliveryIdText = Annotated[str, Meta(pattern=f"^(dlv|dig)_{_ID_DIGITS}", examples=["dlv_06f3k9w2zq8rt"])]
DigestIdText = Annotated[str, Meta(pattern=f"^dig_{_ID_DIGITS}", examples=["dig_06f3k9w2zq8rt"])]
AlertIdText = Annotated[str, Meta(pattern=f"^alr_{_ID_DIGITS}", examples=["alr_06f3k9w2zq8rt"])]
ActivityIdText = Annotated[str, Meta(pattern=f"^act_{_ID_DIGITS}", examples=["act_06f3k9w2zq8rt"])]
AttemptIdText = Annotated[str, Meta(pattern=f"^att_{_ID_DIGITS}", examples=["att_06f3k9w2zq8rt"])]

Encoding = Literal["utf-8", "base64"]

T = TypeVar("T")


def account_id(number: int) -> str:
    return ids.show("acc_", number)


def key_id(number: int) -> str:
    return ids.show("key_", number)


def event_id(number: int) -> str:
    return ids.show("evt_", number)


def activity_id(number: int) -> str:
    return ids.show("act_", number)


def webhook_id(number: int) -> str:
    return ids.show("wh_", number)


def delivery_id(number: int, type: str = "") -> str:
    """`type`: its event's; a digest is known by its prefix."""
    return digest_id(number) if type == DIGEST_TYPE else ids.show("dlv_", number)


def digest_id(number: int) -> str:
    return ids.show("dig_", number)


def attempt_id(number: int) -> str:
    return ids.show("att_", number)


def instant(at: Millis | None) -> str | None:
    return None if at is None else rfc3339(at)


def made_at(number: int) -> str:
    """When an id was made."""
    return rfc3339(ids.made_at_ms(number))


# --- lists --------------------------------------------------------------------------------------------------------


Limit = Annotated[int, Meta(ge=1, le=250, description="how many at most")]
Cursor = Annotated[str, Meta(max_length=64, description="`next_cursor` of the page before")]


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Limit = 50
    cursor: Cursor | None = None

    def page(self) -> Page:
        return Page(limit=self.limit, before=None if self.cursor is None else read_cursor(self.cursor))


def cursor(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(8, "big")).rstrip(b"=").decode()


def read_cursor(text: str) -> int:
    """Raises `Invalid`."""
    try:
        # An id in base 64 without padding: 8 bytes are 11 characters.
        number = int.from_bytes(base64.b64decode(f"{text}=", altchars=b"-_", validate=True), "big")
        if cursor(number) == text and number < 1 << 63:
            return number
    except (ValueError, OverflowError):
        pass
    raise _foreign_cursor()


def name_cursor(name: str) -> str:
    """For a list that is ordered by name."""
    return base64.urlsafe_b64encode(name.encode()).rstrip(b"=").decode()


def read_name_cursor(text: str | None) -> str:
    """Raises `Invalid`."""
    if text is None:
        return ""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise _foreign_cursor() from None


def _foreign_cursor() -> Invalid:
    return Invalid("the cursor is not one of ours", faults=[Fault("?cursor", "use next_cursor of the page before")])


def cut(rows: Sequence[T], page: Page, number: Callable[[T], int]) -> tuple[Sequence[T], str | None]:
    """The rows of a page (the store gives one more where there are more), and the cursor of the next."""
    if len(rows) <= page.limit:
        return rows, None
    shown = rows[: page.limit]
    return shown, cursor(number(shown[-1]))


# --- foreign text -------------------------------------------------------------------------------------------------


def text(value: str) -> str:
    """Encodable whatever it holds: what receivers send need not be."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def header_map(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By name; a repeated one has its values joined, as RFC 9110 §5.3 does."""
    found: dict[str, str] = {}
    for name, value in headers:
        shown = text(name)
        found[shown] = f"{found[shown]}, {text(value)}" if shown in found else text(value)
    return found


def body_text(body: bytes, *, truncated: bool = False) -> tuple[str, Encoding]:
    """A body as text, and its encoding: ``utf-8``, or ``base64`` where it is no text."""
    try:
        return body.decode(), "utf-8"
    except UnicodeDecodeError as error:
        # A cut can go through a character, whose first bytes are then left over.
        if truncated and error.end == len(body) and len(body) - error.start < 4:
            return body[: error.start].decode(), "utf-8"
        return base64.b64encode(body).decode(), "base64"
