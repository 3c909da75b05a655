"""The surface of `trcker`: for clients written against its document, "Webhooks", sections "Subscribing" and "Available
events". Names are camelCase and instants have three decimals, as in the document's payloads; it shows no answers and no
errors of its own, so those are in the same hand.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tocsin import profiles
from tocsin.api import compat, requests, wire
from tocsin.api.compat import Deleted, ErrorDetail
from tocsin.api.openapi_webhooks import example_and_schema
from tocsin.api.operations import Access, Answer, Call, Empty, Reply, operation
from tocsin.api.problems import ErrorForm, Problem
from tocsin.api.requests import Scope, header
from tocsin.api.services import Services
from tocsin.api.surfaces import Surface, bearer
from tocsin.api.webhooks import webhook_id_of
from tocsin.api.wire import Instant, Limit, PageQuery, WebhookIdText
from tocsin.clock import rfc3339
from tocsin.control.actor import Principal
from tocsin.control.webhook_bodies import NewWebhook, Patterns, Secret, Url
from tocsin.model import AccountId, Webhook, WebhookState

PROFILE = "trcker"

_EXAMPLE: dict[str, Any] = {
    "id": "wh_06f3k9w2zq8rt",
    "url": "https://example.com/hooks",
    "events": ["conversion.created", "fraud.high_risk"],
    "brandId": "shop-17",
    "status": "active",
    "statusReason": None,
    "createdAt": "2026-01-01T00:00:00.000Z",
    "updatedAt": "2026-01-01T00:00:00.000Z",
}
_SECRET = "an-example-of-a-signing-secret"  # noqa: S105 - an example
_EVENT_EXAMPLE: dict[str, Any] = {
    "event": "conversion.approved",
    "description": "A pending conversion was approved.",
    "payloadSchema": {"type": "object", "required": ["id", "event", "createdAt", "brandId", "data"]},
    "example": {"id": "evt_06f3k9w2zq8rt", "event": "conversion.approved", "createdAt": "2026-01-01T00:00:00.000Z"},
}


class TrckerErrorTold(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    code: str
    message: str
    details: list[ErrorDetail]
    request_id: str
    docs: str


class TrckerError(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is that of /v1; `docs` leads to its page."""

    error: TrckerErrorTold


def _error(found: Problem) -> TrckerError:
    return TrckerError(error=TrckerErrorTold(request_id=found.request_id, **compat.told(found)))


async def _account_of(services: Services, scope: Scope, principal: Principal) -> AccountId | None:
    account_id = requests.account_of(principal, header(scope, b"tocsin-account"))
    if account_id is not None:
        await compat.account_of_profile(services, account_id, PROFILE)
    return account_id


SURFACE = Surface(
    name=PROFILE,
    prefix="/api/public",
    authenticate=bearer,
    account_of=_account_of,
    errors=ErrorForm(compat.JSON, TrckerError, _error),
    problems=("wrong_profile",),
    tag="trcker compatibility",
    tag_description="For clients written against Trcker's document, and accounts of that profile.",
)


class TrckerNewWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """Without a `secret`, deliveries are not signed. Keys beyond these are passed over."""

    url: Url
    events: Patterns
    secret: Secret | None = None


class TrckerWebhook(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`brandId`: as in the payloads. `statusReason`: why it is not active."""

    id: WebhookIdText
    url: str
    events: list[str]
    brand_id: str
    status: WebhookState
    status_reason: str | None
    created_at: Instant
    updated_at: Instant


class TrckerWebhookMade(TrckerWebhook, frozen=True, kw_only=True, rename="camel"):
    """`secret`: what was given, shown this once; null where none was. A repeated answer leaves it out."""

    secret: str | UnsetType | None = UNSET


class TrckerWebhookList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    data: list[TrckerWebhook]
    next_cursor: str | None
    has_more: bool


class TrckerEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`payloadSchema`: JSON Schema 2020-12 of the whole body; `example`: such a body."""

    event: str
    description: str
    payload_schema: dict[str, Any]
    example: dict[str, Any]


class TrckerEventList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[TrckerEvent]


class TrckerPage(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document knows no paging: who asks for none gets as much as a page can hold."""

    limit: Limit = 250


async def _brand_id(call: Call) -> str:
    return compat.shown_name(await call.services.control.accounts.get(call.account_id))


def _fields(webhook: Webhook, brand_id: str) -> dict[str, Any]:
    return {
        "id": wire.webhook_id(webhook.id),
        "url": webhook.settings.url_shown,
        "events": list(webhook.settings.events),
        "brand_id": brand_id,
        "status": webhook.state,
        "status_reason": webhook.status_reason,
        "created_at": rfc3339(webhook.created_at),
        "updated_at": rfc3339(webhook.updated_at),
    }


@operation(
    "POST",
    "/api/public/webhooks",
    surface=SURFACE,
    access=Access.MANAGE,
    body=TrckerNewWebhook,
    body_example={"url": _EXAMPLE["url"], "events": _EXAMPLE["events"], "secret": _SECRET},
    answers=(Answer(201, TrckerWebhookMade, "The webhook", {**_EXAMPLE, "secret": _SECRET}),),
    problems=("url_refused", "unknown_event_type", "secret_invalid", "webhook_limit"),
    makes="webhook_id",
    secret_keys=("secret",),
)
async def trcker_create_webhook(call: Call) -> Reply:
    """Subscribe.

    With the checks and limits of /v1/webhooks, where it can be seen and changed too.
    """
    asked: TrckerNewWebhook = call.body
    new = NewWebhook(url=asked.url, events=asked.events, secret=asked.secret)
    webhook, secret = await call.services.control.webhooks.create(call.actor, call.account_id, new)
    return Reply(201, TrckerWebhookMade(**_fields(webhook, await _brand_id(call)), secret=secret))


@operation(
    "GET",
    "/api/public/webhooks",
    surface=SURFACE,
    access=Access.READ,
    query=TrckerPage,
    answers=(
        Answer(200, TrckerWebhookList, "Newest first", {"data": [_EXAMPLE], "nextCursor": None, "hasMore": False}),
    ),
)
async def trcker_list_webhooks(call: Call) -> Reply:
    """List subscriptions."""
    page = call.query.page()
    found = await call.services.control.webhooks.list(call.account_id, page)
    rows, after = wire.cut(found, page, lambda webhook: webhook.id)
    brand_id = await _brand_id(call)
    data = [TrckerWebhook(**_fields(row, brand_id)) for row in rows]
    return Reply(200, TrckerWebhookList(data=data, next_cursor=after, has_more=after is not None))


@operation(
    "GET",
    "/api/public/webhooks/{webhook_id}",
    surface=SURFACE,
    access=Access.READ,
    answers=(Answer(200, TrckerWebhook, "The subscription", _EXAMPLE),),
)
async def trcker_get_webhook(call: Call) -> Reply:
    """Read a subscription."""
    webhook = await call.services.control.webhooks.get(call.account_id, webhook_id_of(call))
    return Reply(200, TrckerWebhook(**_fields(webhook, await _brand_id(call))))


@operation(
    "DELETE",
    "/api/public/webhooks/{webhook_id}",
    surface=SURFACE,
    access=Access.MANAGE,
    answers=(Answer(200, Deleted, "It is gone", {"id": _EXAMPLE["id"], "deleted": True}),),
)
async def trcker_delete_webhook(call: Call) -> Reply:
    """Unsubscribe.

    Deliveries that wait for it are cancelled; those that ended stay in the log.
    """
    webhook_id = webhook_id_of(call)
    await call.services.control.webhooks.remove(call.actor, call.account_id, webhook_id)
    return Reply(200, Deleted(id=wire.webhook_id(webhook_id)))


@operation(
    "GET",
    "/api/public/webhook-events",
    surface=SURFACE,
    access=Access.READ,
    query=Empty,
    answers=(Answer(200, TrckerEventList, "By name", {"data": [_EVENT_EXAMPLE]}),),
)
async def trcker_list_events(call: Call) -> Reply:
    """List the events that can be subscribed to, with payload schemas."""
    profile = profiles.load(PROFILE)
    data = []
    for event_type in await call.services.control.event_types.list(call.account_id):
        example, schema = example_and_schema(profile, event_type)
        data.append(
            TrckerEvent(
                event=event_type.name, description=event_type.description, payload_schema=schema, example=example
            )
        )
    return Reply(200, TrckerEventList(data=data))


OPERATIONS = (
    trcker_create_webhook,
    trcker_list_webhooks,
    trcker_get_webhook,
    trcker_delete_webhook,
    trcker_list_events,
)
