"""A surface: a family of addresses under one prefix, with its own way to tell callers apart and to say what is wrong.

`/v1` is ours. The others let a client that was written against a vendor's document go on unchanged; each is declared in
its compat module. What an operation does is the same on all of them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tocsin.api import requests
from tocsin.api.problems import PROBLEM_DETAILS, ErrorForm
from tocsin.api.requests import Scope, header
from tocsin.api.services import Services
from tocsin.control.actor import Principal
from tocsin.model import AccountId

Authenticate = Callable[[Services, Scope], Awaitable[Principal]]
AccountOf = Callable[[Services, Scope, Principal], Awaitable[AccountId | None]]

BEARER: Mapping[str, Sequence[str]] = {"key": ()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """Declared once, as a constant.

    Args:
        name: of the surface itself, in the description.
        prefix: whatever lies below it is this surface's, also what no operation answers.
        authenticate: who calls; raises `Unauthorised`. Asked first.
        account_of: which account is meant, None where an operator names none; raises `NotFound` where it is not the
            caller's, `Forbidden` where the surface is not for it.
        errors: how every error below the prefix is answered.
        problems: codes that any of its operations can answer, beyond those that follow from its declaration.
        tag: groups its operations in the description; None: each goes by the noun in its path.
        tag_description: what the group is for.
        security: what a request can be sent with, each as OpenAPI's security requirements have it.
        security_schemes: what `security` names beyond the Bearer key.
    """

    name: str
    prefix: str
    authenticate: Authenticate
    account_of: AccountOf
    errors: ErrorForm
    problems: tuple[str, ...] = ()
    tag: str | None = None
    tag_description: str = ""
    security: tuple[Mapping[str, Sequence[str]], ...] = (BEARER,)
    security_schemes: Mapping[str, Any] = field(default_factory=dict)

    def covers(self, path: str) -> bool:
        return path == self.prefix or path.startswith(f"{self.prefix}/")


async def bearer(services: Services, scope: Scope) -> Principal:
    """Whoever holds the key in the header Authorization."""
    return await requests.authenticate(services.control.keyring, header(scope, b"authorization"))


async def keys_account(services: Services, scope: Scope, principal: Principal) -> AccountId | None:  # noqa: ARG001 - the form of all
    """The key's account, or the one that the operator names in Tocsin-Account."""
    return requests.account_of(principal, header(scope, b"tocsin-account"))


V1 = Surface(
    name="v1",
    prefix="/v1",
    authenticate=bearer,
    account_of=keys_account,
    errors=PROBLEM_DETAILS,
)
