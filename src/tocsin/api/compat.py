"""What the compatibility surfaces share. Each stands in for one vendor's interface: its paths, its names, its way to
say who calls; what an operation does is `control`'s, as in `/v1`.

An error has the form that such interfaces have, ``{"error": {"code": …, "message": …, …}}``, with the codes of `/v1`.
"""

from typing import Any

import msgspec

from tocsin.api import wire
from tocsin.api.problems import Problem
from tocsin.api.services import Services
from tocsin.api.wire import WebhookIdText
from tocsin.errors import Forbidden
from tocsin.model import Account, AccountId

JSON = "application/json"


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """`pointer`: a JSON pointer into the body, or `?name` for a parameter of the query."""

    pointer: str
    message: str


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """A body, and not a 204: clients that read JSON after every call go on, and so do those that only look whether it
    went well.
    """

    id: WebhookIdText
    deleted: bool = True


def told(found: Problem) -> dict[str, Any]:
    """The fields of an error but for the request's id, whose name differs. Its message says by itself what is wrong:
    many clients show nothing else.
    """
    message = found.detail
    if found.errors and found.errors[0].detail not in message:
        message = f"{message}: {found.errors[0].detail}"
    return {
        "code": found.code,
        "message": message,
        "details": [ErrorDetail(pointer=fault.pointer, message=fault.detail) for fault in found.errors],
        "docs": found.type,
    }


async def account_of_profile(services: Services, account_id: AccountId, profile: str) -> Account:
    """Raises `Forbidden` (`wrong_profile`) or `NotFound`."""
    account = await services.control.accounts.get(account_id)
    if account.profile != profile:
        raise Forbidden(
            f"this address serves accounts of the profile {profile}, and this account has {account.profile}; "
            "use /v1/webhooks",
            code="wrong_profile",
        )
    return account


def shown_name(account: Account) -> str:
    """CONTRACT §4: what receivers know the account by."""
    return account.external_id or wire.account_id(account.id)
