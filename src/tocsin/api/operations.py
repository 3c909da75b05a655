"""An operation, declared once: from the declaration come routing, decoding, permission, idempotency and description.

@operation("POST", "/v1/webhooks", access=Access.MANAGE, body=NewWebhook, answers=(Answer(201, WebhookCreated, …),))
async def create_webhook(call: Call) -> Reply: …
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from tocsin import ids
from tocsin.api.services import Services
from tocsin.api.surfaces import V1, Surface
from tocsin.control.actor import Actor, Principal
from tocsin.errors import Forbidden, NotFound
from tocsin.model import AccountId, Scope

MAX_BODY_BYTES = 1 << 20  # CONTRACT §3
MAX_BATCH_BYTES = 8 << 20


class Access(StrEnum):
    """Who may call."""

    PUBLIC = "public"
    OPERATOR = "operator"
    PUBLISH = "publish"
    MANAGE = "manage"
    READ = "read"

    @property
    def scope(self) -> Scope | None:
        return None if self in (Access.PUBLIC, Access.OPERATOR) else Scope(self.value)


class AccountFrom(StrEnum):
    """Which account a call works on."""

    NONE = "none"
    KEY = "key"  # the caller's, as the surface finds it: in /v1 the key's, or the operator names it in Tocsin-Account
    KEY_OR_OPERATOR = "key_or_operator"  # the same; an operator that names none means what belongs to the operator
    PATH = "path"  # {account_id}, which a key of another account cannot see


class Empty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing is asked for."""


class Answer(msgspec.Struct, frozen=True):
    """`shape` None: no body. `example` is checked against `shape` by a test."""

    status: int
    shape: Any
    description: str
    example: Any = None
    media_type: str = "application/json"


class Reply(msgspec.Struct, frozen=True):
    """What a handler answers; `body` is a struct, None, or bytes with a `content_type`."""

    status: int
    body: Any = None
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Call:
    """One request, as a handler sees it: permitted, decoded."""

    __slots__ = ("_account_id", "body", "ids", "path", "principal", "query", "raw", "request_id", "services")

    def __init__(
        self,
        services: Services,
        request_id: str,
        *,
        principal: Principal | None,
        account_id: AccountId | None,
        path: Mapping[str, str],
        ids: Mapping[str, int],
        body: Any,
        raw: bytes,
        query: Any,
    ) -> None:
        self.services = services
        self.request_id = request_id
        self.principal = principal
        self._account_id = account_id
        self.path = path
        self.ids = ids
        self.body = body
        self.raw = raw  # the body's bytes, as they came
        self.query = query

    @property
    def account_id(self) -> AccountId:
        assert self._account_id is not None, "the operation is declared without an account"
        return self._account_id

    @property
    def account_or_operator(self) -> AccountId | None:
        return self._account_id

    @property
    def actor(self) -> Actor:
        return Actor(principal=self.principal, request_id=self.request_id)


Handler = Callable[[Call], Awaitable[Reply]]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    method: str
    path: str
    access: Access
    account: AccountFrom
    summary: str
    description: str
    tag: str
    answers: tuple[Answer, ...]
    handler: Handler
    surface: Surface = V1
    body: Any = None  # a struct; None: no body is read, or on POST only an empty one
    body_shown: Any = None  # in the description, where the struct leaves parts of it undecoded; a tuple: any of them
    body_example: Any = None
    body_examples: Mapping[str, Any] | None = None  # several, by name: shown in its place
    max_body_bytes: int = MAX_BODY_BYTES
    query: Any = None  # a struct
    problems: tuple[str, ...] = ()  # codes beyond those that follow from the rest
    makes: str | None = None  # the path's parameter that the answer's `id` can be given as
    secret_keys: tuple[str, ...] = ()  # of the answer: left out when it is repeated


def operation(
    method: str,
    path: str,
    *,
    access: Access,
    answers: tuple[Answer, ...],
    account: AccountFrom = AccountFrom.KEY,
    surface: Surface = V1,
    **more: Any,
) -> Callable[[Handler], Operation]:
    """Declares the function below as an operation: its name is the id, its docstring the summary and description."""

    def declare(handler: Handler) -> Operation:
        summary, _, description = (handler.__doc__ or "").partition("\n\n")
        return Operation(
            id=getattr(handler, "__name__", ""),
            method=method,
            path=path,
            access=access,
            account=AccountFrom.NONE if access is Access.PUBLIC else account,
            summary=" ".join(summary.split()).rstrip("."),
            description=" ".join(description.split()),
            tag=surface.tag or (path.split("/")[2] if surface.covers(path) else "server"),
            answers=answers,
            handler=handler,
            surface=surface,
            **more,
        )

    return declare


# What a path's parameter is: an id with one of these prefixes, or a name.
PATH_IDS: Mapping[str, tuple[str, ...]] = {
    "account_id": (ids.PREFIXES["account"],),
    "key_id": (ids.PREFIXES["key"],),
    "event_id": (ids.PREFIXES["event"],),
    "webhook_id": (ids.PREFIXES["webhook"],),
    "delivery_id": (ids.PREFIXES["delivery"], ids.PREFIXES["digest"]),
    "alert_id": (ids.PREFIXES["alert"],),
}


def path_ids(path: Mapping[str, str]) -> dict[str, int]:
    """The ids in a path, as numbers.

    Raises:
        NotFound: one of them is no id of its kind, so there can be nothing behind it.
    """
    found = {}
    for name, text in path.items():
        prefixes = PATH_IDS.get(name)
        if prefixes is not None:
            number = ids.parse_any(prefixes, text)
            if number is None:
                raise NotFound(f"{text[:64]!r} is no {name}: such ids look like {ids.show(prefixes[0], 0)}")
            found[name] = number
    return found


def permit(declared: Operation, principal: Principal) -> None:
    """Raises `Forbidden` where the principal may not call the operation."""
    if declared.access is Access.OPERATOR and principal.account_id is not None:
        raise Forbidden("only the operator's key may do this", code="operator_only")
    scope = declared.access.scope
    if scope is not None and scope not in principal.scopes:
        raise Forbidden(f"the key lacks the scope {scope}; it has {', '.join(sorted(principal.scopes))}")
