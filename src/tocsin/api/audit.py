"""Who changed what."""

from typing import Any

import msgspec

from tocsin.api import wire
from tocsin.api.operations import Access, AccountFrom, Answer, Call, Reply, operation
from tocsin.api.wire import AccountIdText, Instant, PageQuery
from tocsin.clock import rfc3339

_EXAMPLE = {
    "at": "2026-01-01T00:00:00.000Z",
    "actor": "key_06f3k9w2zq8rt",
    "action": "webhook.changed",
    "subject": "wh_06f3k9w2zq8rt",
    "detail": {"changed": ["events"]},
    "account_id": "acc_06f3k9w2zq8rt",
    "request_id": "req_06f3k9w2zq8rt",
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """`actor`: `operator`, `system`, the id of a key, or `gateway`: one that is trusted to name accounts. Never a
    secret.
    """

    at: Instant
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    account_id: AccountIdText | None
    request_id: str | None


class EntryList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[Entry]
    next_cursor: str | None
    has_more: bool


@operation(
    "GET",
    "/v1/audit",
    access=Access.READ,
    account=AccountFrom.KEY_OR_OPERATOR,
    query=PageQuery,
    answers=(Answer(200, EntryList, "Newest first", {"data": [_EXAMPLE], "next_cursor": None, "has_more": False}),),
)
async def list_audit(call: Call) -> Reply:
    """Read the audit log.

    Of the account; an operator who names no account reads that of the whole server.
    """
    page = call.query.page()
    found = await call.services.store.records.audit(call.account_or_operator, page)
    rows, after = wire.cut(found, page, lambda entry: entry.id)
    data = [
        Entry(
            at=rfc3339(row.at),
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            detail=dict(row.detail),
            account_id=None if row.account_id is None else wire.account_id(row.account_id),
            request_id=row.request_id,
        )
        for row in rows
    ]
    return Reply(200, EntryList(data=data, next_cursor=after, has_more=after is not None))


OPERATIONS = (list_audit,)
