"""How nouns are written as columns, and read from them: the same in each database.

A row's columns are those of the statement that lists the noun, in its order.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.ids import first_at
from tocsin.model import (
    Account,
    ApiKey,
    Attempt,
    DeliveryState,
    EventType,
    Scope,
    Webhook,
    WebhookSettings,
    WebhookState,
)
from tocsin.store.port import AuditEntry, Change, Page, WebhookEdit

Row = Sequence[Any]

# The codes of delivery states, in the order in which the statements compare them: below SENDING is waiting, from
# SUCCEEDED on is ended. Two digits, so that each takes one byte and no change of state changes a row's size.
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


def bounds_of(since: Millis | None, until: Millis | None, page: Page) -> tuple[int, int]:
    """The ids to look at: below the first, from the second on."""
    before = below(page)
    if until is not None:
        before = min(before, first_at(until))
    return max(0, min(before, BEYOND)), min(first_at(since or Millis(0)), BEYOND)


def account_of(row: Row) -> Account:
    id_, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at = row
    return Account(
        id=id_,
        name=name,
        profile=profile,
        timezone=timezone,
        external_id=external_id,
        notify_email=notify_email,
        settings=from_json(settings),
        config_version=config_version,
        created_at=created_at,
        updated_at=updated_at,
    )


def api_key_of(row: Row) -> ApiKey:
    id_, account_id, name, hint, digest, scopes, created_at, last_used_at, revoked_at = row
    return ApiKey(
        id=id_,
        account_id=account_id,
        name=name,
        hint=hint,
        digest=digest,
        scopes=frozenset(Scope(scope) for scope in scopes.split()),
        created_at=created_at,
        last_used_at=last_used_at,
        revoked_at=revoked_at,
    )


def event_type_of(row: Row) -> EventType:
    name, description, schema, example, source, extension = row
    return EventType(
        name=name,
        description=description,
        schema=from_json(schema),
        example=from_json(example),
        source=source,
        extension=bool(extension),
    )


def webhook_of(row: Row) -> Webhook:
    (
        id_,
        account_id,
        version,
        from_config,
        state,
        status_reason,
        status_since,
        muted_until,
        settings,
        sealed,
        created_at,
        updated_at,
        deleted,
    ) = row
    return Webhook(
        id=id_,
        account_id=account_id,
        version=version,
        from_config=from_config,
        state=WebhookState(state),
        status_reason=status_reason,
        status_since=status_since,
        muted_until=muted_until,
        settings=from_json(settings, WebhookSettings),
        sealed=sealed,
        created_at=created_at,
        updated_at=updated_at,
        deleted=bool(deleted),
    )


def edited(before: Webhook, edit: WebhookEdit, change: Change) -> Webhook:
    state = edit.state or before.state
    return msgspec.structs.replace(
        before,
        settings=edit.settings or before.settings,
        sealed=before.sealed if edit.sealed is None else edit.sealed,
        state=state,
        status_reason=before.status_reason if edit.state is None else edit.status_reason,
        status_since=before.status_since if state is before.state else change.at,
        muted_until=before.muted_until if edit.muted_until is None else edit.muted_until or None,
    )


def audit_entry_of(row: Row) -> AuditEntry:
    id_, account_id, at, actor, action, subject, detail, request_id = row
    return AuditEntry(
        id=id_,
        account_id=account_id,
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        detail=from_json(detail),
        request_id=request_id,
    )
