"""API keys."""

from typing import Any

import msgspec

from tocsin.api import wire
from tocsin.api.operations import Access, AccountFrom, Answer, Call, Reply, operation
from tocsin.api.wire import AccountIdText, Instant, KeyIdText, PageQuery
from tocsin.control.keys import OPERATOR_PREFIX, NewKey
from tocsin.model import ApiKey, KeyId, Scope

_EXAMPLE = {
    "id": "key_06f3k9w2zq8rt",
    "account_id": "acc_06f3k9w2zq8rt",
    "name": "checkout",
    "hint": "tsn_4fK2",
    "scopes": ["publish"],
    "created_at": "2026-01-01T00:00:00.000Z",
    "last_used_at": None,
    "revoked_at": None,
}


class KeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """`hint`: how the key begins. `account_id` null: the operator's. `last_used_at` is exact to some ten seconds."""

    id: KeyIdText
    account_id: AccountIdText | None
    name: str
    hint: str
    scopes: list[Scope]
    created_at: Instant
    last_used_at: Instant | None
    revoked_at: Instant | None


class KeyMade(KeyShown, frozen=True, kw_only=True):
    """`key`: shown this once; a repeated answer leaves it out."""

    key: str | msgspec.UnsetType = msgspec.UNSET


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[KeyShown]
    next_cursor: str | None
    has_more: bool


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": wire.key_id(key.id),
        "account_id": None if key.account_id is None else wire.account_id(key.account_id),
        "name": key.name,
        "hint": key.hint,
        "scopes": sorted(key.scopes),
        "created_at": wire.instant(key.created_at),
        "last_used_at": wire.instant(key.last_used_at),
        "revoked_at": wire.instant(key.revoked_at),
    }


@operation(
    "POST",
    "/v1/keys",
    access=Access.MANAGE,
    account=AccountFrom.KEY_OR_OPERATOR,
    body=NewKey,
    body_example={"name": "checkout", "scopes": ["publish"]},
    answers=(Answer(201, KeyMade, "The key", {**_EXAMPLE, "key": "tsn_…"}),),
    problems=("missing_scope",),
    makes="key_id",
    secret_keys=("key",),
)
async def create_key(call: Call) -> Reply:
    """Make a key.

    For the account; an operator who names no account gets another operator's key. The key itself is shown this once.
    A key cannot give scopes that it has not.
    """
    account_id = call.account_or_operator
    prefix = OPERATOR_PREFIX
    if account_id is not None:
        prefix = (await call.services.directory.view(account_id)).profile.key_prefix
    key, text = await call.services.control.keys.create(call.actor, account_id, call.body, prefix=prefix)
    return Reply(201, msgspec.convert({**_fields(key), "key": text}, KeyMade))


@operation(
    "GET",
    "/v1/keys",
    access=Access.READ,
    account=AccountFrom.KEY_OR_OPERATOR,
    query=PageQuery,
    answers=(Answer(200, KeyList, "Newest first", {"data": [_EXAMPLE], "next_cursor": None, "has_more": False}),),
)
async def list_keys(call: Call) -> Reply:
    """List keys.

    Revoked ones too.
    """
    page = call.query.page()
    rows, after = wire.cut(
        await call.services.control.keys.list(call.account_or_operator, page), page, lambda key: key.id
    )
    data = [msgspec.convert(_fields(row), KeyShown) for row in rows]
    return Reply(200, KeyList(data=data, next_cursor=after, has_more=after is not None))


@operation(
    "DELETE",
    "/v1/keys/{key_id}",
    access=Access.MANAGE,
    account=AccountFrom.KEY_OR_OPERATOR,
    answers=(Answer(204, None, "It is revoked"),),
    problems=("key_in_use",),
)
async def revoke_key(call: Call) -> Reply:
    """Revoke a key.

    In force in every process within two seconds.
    """
    await call.services.control.keys.revoke(call.actor, call.account_or_operator, KeyId(call.ids["key_id"]))
    return Reply(204)


OPERATIONS = (create_key, list_keys, revoke_key)
