"""The tokens of postback addresses: made, listed, revoked."""

from typing import Any

import msgspec

from tocsin.api import wire
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.api.wire import Instant, KeyIdText, PageQuery
from tocsin.control.postback_tokens import NewPostbackToken
from tocsin.model import ApiKey, KeyId

_EXAMPLE: dict[str, Any] = {
    "id": "key_06f3k9w2zq8rt",
    "name": "Fibre network",
    "hint": "pst_4fK2",
    "created_at": "2026-01-01T00:00:00.000Z",
    "last_used_at": None,
    "revoked_at": None,
}


class PostbackTokenShown(msgspec.Struct, frozen=True, kw_only=True):
    """`hint`: how the token begins."""

    id: KeyIdText
    name: str
    hint: str
    created_at: Instant
    last_used_at: Instant | None
    revoked_at: Instant | None


class PostbackTokenMade(PostbackTokenShown, frozen=True, kw_only=True):
    """`token` and `path`, the address that it makes below the server's own: shown this once; a repeated answer leaves
    both out.
    """

    token: str | msgspec.UnsetType = msgspec.UNSET
    path: str | msgspec.UnsetType = msgspec.UNSET


class PostbackTokenList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[PostbackTokenShown]
    next_cursor: str | None
    has_more: bool


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": wire.key_id(key.id),
        "name": key.name,
        "hint": key.hint,
        "created_at": wire.instant(key.created_at),
        "last_used_at": wire.instant(key.last_used_at),
        "revoked_at": wire.instant(key.revoked_at),
    }


@operation(
    "POST",
    "/v1/postback-tokens",
    access=Access.MANAGE,
    body=NewPostbackToken,
    body_example={"name": "Fibre network"},
    answers=(
        Answer(201, PostbackTokenMade, "The token", {**_EXAMPLE, "token": "pst_…", "path": "/in/pst_…/postback"}),
    ),
    secret_keys=("token", "path"),
)
async def create_postback_token(call: Call) -> Reply:
    """Make a postback token.

    For the address `/in/{token}/postback`, which an advertiser or a tracker calls at a conversion. It opens nothing
    else. Shown this once.
    """
    row, text = await call.services.control.postback_tokens.create(call.actor, call.account_id, call.body)
    made = {**_fields(row), "token": text, "path": f"/in/{text}/postback"}
    return Reply(201, msgspec.convert(made, PostbackTokenMade))


@operation(
    "GET",
    "/v1/postback-tokens",
    access=Access.READ,
    query=PageQuery,
    answers=(
        Answer(200, PostbackTokenList, "Newest first", {"data": [_EXAMPLE], "next_cursor": None, "has_more": False}),
    ),
)
async def list_postback_tokens(call: Call) -> Reply:
    """List postback tokens.

    Revoked ones too. They are keys without scopes, and so are listed among the keys as well.
    """
    page = call.query.page()
    rows, after = wire.cut(
        await call.services.control.postback_tokens.list(call.account_id, page), page, lambda row: row.id
    )
    data = [msgspec.convert(_fields(row), PostbackTokenShown) for row in rows]
    return Reply(200, PostbackTokenList(data=data, next_cursor=after, has_more=after is not None))


@operation(
    "DELETE",
    "/v1/postback-tokens/{key_id}",
    access=Access.MANAGE,
    answers=(Answer(204, None, "It is revoked"),),
)
async def revoke_postback_token(call: Call) -> Reply:
    """Revoke a postback token.

    In force in every process within two seconds: its address answers 404.
    """
    await call.services.control.postback_tokens.revoke(call.actor, call.account_id, KeyId(call.ids["key_id"]))
    return Reply(204)


OPERATIONS = (create_postback_token, list_postback_tokens, revoke_postback_token)
