"""Accounts: tenants, each with a profile."""

from typing import Any

import msgspec

from tocsin.api import wire
from tocsin.api.operations import Access, AccountFrom, Answer, Call, Reply, operation
from tocsin.api.wire import AccountIdText, Instant, PageQuery
from tocsin.control.accounts import AccountPatch, NewAccount
from tocsin.model import Account

_EXAMPLE = {
    "id": "acc_06f3k9w2zq8rt",
    "name": "Rocket Shoes",
    "profile": "standard",
    "timezone": "Europe/Berlin",
    "external_id": "shop-17",
    "notify_email": "ops@example.com",
    "settings": {},
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:00.000Z",
}
_NEW_EXAMPLE = {
    "name": "Rocket Shoes",
    "profile": "standard",
    "timezone": "Europe/Berlin",
    "external_id": "shop-17",
    "notify_email": "ops@example.com",
}


class AccountShown(msgspec.Struct, frozen=True, kw_only=True):
    id: AccountIdText
    name: str
    profile: str
    timezone: str
    external_id: str | None
    notify_email: str | None
    settings: dict[str, Any]
    created_at: Instant
    updated_at: Instant


class AccountMade(AccountShown, frozen=True, kw_only=True):
    """`key`: the account's first key, shown this once; a repeated answer leaves it out."""

    key: str | msgspec.UnsetType = msgspec.UNSET


class AccountList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[AccountShown]
    next_cursor: str | None
    has_more: bool


def _fields(account: Account) -> dict[str, object]:
    return {
        "id": wire.account_id(account.id),
        "name": account.name,
        "profile": account.profile,
        "timezone": account.timezone,
        "external_id": account.external_id,
        "notify_email": account.notify_email,
        "settings": dict(account.settings),
        "created_at": wire.instant(account.created_at),
        "updated_at": wire.instant(account.updated_at),
    }


def shown(account: Account) -> AccountShown:
    return msgspec.convert(_fields(account), AccountShown)


@operation(
    "POST",
    "/v1/accounts",
    access=Access.OPERATOR,
    account=AccountFrom.NONE,
    body=NewAccount,
    body_example=_NEW_EXAMPLE,
    answers=(Answer(201, AccountMade, "The account and its first key", {**_EXAMPLE, "key": "tsn_…"}),),
    problems=("invalid", "external_id_taken"),
    makes="account_id",
    secret_keys=("key",),
)
async def create_account(call: Call) -> Reply:
    """Make an account.

    Its first key may do everything in the account, and is shown this once. The profile is for life.
    """
    account, key = await call.services.control.accounts.create(call.actor, call.body)
    return Reply(201, msgspec.convert({**_fields(account), "key": key}, AccountMade))


@operation(
    "GET",
    "/v1/accounts",
    access=Access.OPERATOR,
    account=AccountFrom.NONE,
    query=PageQuery,
    answers=(Answer(200, AccountList, "Newest first", {"data": [_EXAMPLE], "next_cursor": None, "has_more": False}),),
)
async def list_accounts(call: Call) -> Reply:
    """List accounts."""
    page = call.query.page()
    rows, after = wire.cut(await call.services.control.accounts.list(page), page, lambda account: account.id)
    return Reply(200, AccountList(data=[shown(row) for row in rows], next_cursor=after, has_more=after is not None))


@operation(
    "GET",
    "/v1/accounts/{account_id}",
    access=Access.READ,
    account=AccountFrom.PATH,
    answers=(Answer(200, AccountShown, "The account", _EXAMPLE),),
)
async def get_account(call: Call) -> Reply:
    """Read an account."""
    return Reply(200, shown(await call.services.control.accounts.get(call.account_id)))


@operation(
    "PATCH",
    "/v1/accounts/{account_id}",
    access=Access.MANAGE,
    account=AccountFrom.PATH,
    body=AccountPatch,
    body_example={"timezone": "America/New_York", "settings": {"mask_ips": True}},
    answers=(Answer(200, AccountShown, "The account as it is now", _EXAMPLE),),
    problems=("external_id_taken", "operator_only"),
)
async def change_account(call: Call) -> Reply:
    """Change an account.

    A merge patch: what is left out stays, null empties. An external_id is changed with the operator's key only.
    """
    account = await call.services.control.accounts.change(call.actor, call.account_id, call.body)
    return Reply(200, shown(account))


@operation(
    "DELETE",
    "/v1/accounts/{account_id}",
    access=Access.OPERATOR,
    account=AccountFrom.PATH,
    answers=(Answer(204, None, "It is gone"),),
)
async def delete_account(call: Call) -> Reply:
    """Remove an account.

    With its keys and webhooks, at once. What waits is never sent; events and logs are removed by and by.
    """
    await call.services.control.accounts.remove(call.actor, call.account_id)
    return Reply(204)


OPERATIONS = (create_account, list_accounts, get_account, change_account, delete_account)
