"""Webhooks: where events go."""

from typing import Any

import msgspec

from tocsin.api import wire
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.api.wire import Instant, PageQuery, WebhookIdText
from tocsin.clock import rfc3339
from tocsin.control.webhook_bodies import NewWebhook, WebhookPatch
from tocsin.model import MASK, Webhook, WebhookId, WebhookState

_NEW_EXAMPLE: dict[str, Any] = {
    "url": "https://example.com/hooks",
    "events": ["click.created", "conversion.*"],
    "name": "billing",
    "filter": 'data.visitor.country == "DE"',
    "headers": {"X-Api-Token": "t0ken"},
    "rate_limit": 50,
}
EXAMPLE: dict[str, Any] = {
    "id": "wh_06f3k9w2zq8rt",
    "url": "https://example.com/hooks",
    "events": ["click.created", "conversion.*"],
    "name": "billing",
    "description": "",
    "channel": "standard",
    "filter": 'data.visitor.country == "DE"',
    "headers": {"X-Api-Token": "***"},
    "rate_limit": 50,
    "max_in_flight": None,
    "options": {},
    "enabled": True,
    "status": "active",
    "status_reason": None,
    "status_since": "2026-01-01T00:00:00.000Z",
    "muted_until": None,
    "confirmed_at": None,
    "secret_overlap_until": None,
    "public_key": None,
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:00.000Z",
}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the specification's own example


class WebhookShown(msgspec.Struct, frozen=True, kw_only=True):
    """Never a secret: values of custom headers are masked. `enabled`: its status is `active`.
    `confirmed_at`: when whoever reads at its e-mail address agreed.
    `secret_overlap_until`: until then the secret before a rotation counts too. `public_key`: of an ed25519 secret
    (`whsk_…`), what its receiver verifies with.
    """

    id: WebhookIdText
    url: str
    events: list[str]
    name: str
    description: str
    channel: str
    filter: str | None
    headers: dict[str, str]
    rate_limit: float | None
    max_in_flight: int | None
    options: dict[str, Any]
    enabled: bool
    status: WebhookState
    status_reason: str | None
    status_since: Instant
    muted_until: Instant | None
    confirmed_at: Instant | None
    secret_overlap_until: Instant | None
    public_key: str | None
    created_at: Instant
    updated_at: Instant


class WebhookMade(WebhookShown, frozen=True, kw_only=True):
    """`secret`: shown this once; null where the profile works without one; a repeated answer leaves it out."""

    secret: str | msgspec.UnsetType | None = msgspec.UNSET


class WebhookList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[WebhookShown]
    next_cursor: str | None
    has_more: bool


def fields(call: Call, webhook: Webhook) -> dict[str, Any]:
    settings = webhook.settings
    signing = call.services.control.webhooks.signing(webhook)
    muted = webhook.muted_until is not None and webhook.muted_until > call.services.clock.now_ms()
    return {
        "id": wire.webhook_id(webhook.id),
        "url": settings.url_shown,
        "events": list(settings.events),
        "name": settings.name,
        "description": settings.description,
        "channel": settings.channel,
        "filter": settings.filter,
        "headers": dict.fromkeys(settings.header_names, MASK),
        "rate_limit": settings.rate_limit,
        "max_in_flight": settings.max_in_flight,
        "options": dict(settings.options),
        "enabled": webhook.state is WebhookState.ACTIVE,
        "status": webhook.state,
        "status_reason": webhook.status_reason,
        "status_since": rfc3339(webhook.status_since),
        "muted_until": wire.instant(webhook.muted_until) if muted else None,
        "confirmed_at": wire.instant(settings.confirmed_at),
        "secret_overlap_until": wire.instant(signing.overlap_until),
        "public_key": signing.public_key,
        "created_at": rfc3339(webhook.created_at),
        "updated_at": rfc3339(webhook.updated_at),
    }


def webhook_id_of(call: Call) -> WebhookId:
    return WebhookId(call.ids["webhook_id"])


@operation(
    "POST",
    "/v1/webhooks",
    access=Access.MANAGE,
    body=NewWebhook,
    body_example=_NEW_EXAMPLE,
    answers=(Answer(201, WebhookMade, "The webhook with its secret", {**EXAMPLE, "secret": SECRET}),),
    problems=(
        "url_refused",
        "unknown_macro",
        "unknown_event_type",
        "filter_invalid",
        "header_refused",
        "option_invalid",
        "secret_invalid",
        "webhook_limit",
        "confirmation_paced",
    ),
    makes="webhook_id",
    secret_keys=("secret",),
)
async def create_webhook(call: Call) -> Reply:
    """Make a webhook.

    `events` are exact names, families such as `click.*`, or `*`. `filter` is a CEL expression over `event` (`type`,
    `timestamp`) and `data`. The secret that signs is shown this once.
    """
    webhook, secret = await call.services.control.webhooks.create(call.actor, call.account_id, call.body)
    return Reply(201, WebhookMade(**fields(call, webhook), secret=secret))


@operation(
    "GET",
    "/v1/webhooks",
    access=Access.READ,
    query=PageQuery,
    answers=(Answer(200, WebhookList, "Newest first", {"data": [EXAMPLE], "next_cursor": None, "has_more": False}),),
)
async def list_webhooks(call: Call) -> Reply:
    """List webhooks."""
    page = call.query.page()
    found = await call.services.control.webhooks.list(call.account_id, page)
    rows, after = wire.cut(found, page, lambda webhook: webhook.id)
    data = [WebhookShown(**fields(call, row)) for row in rows]
    return Reply(200, WebhookList(data=data, next_cursor=after, has_more=after is not None))


@operation(
    "GET",
    "/v1/webhooks/{webhook_id}",
    access=Access.READ,
    answers=(Answer(200, WebhookShown, "The webhook", EXAMPLE),),
)
async def get_webhook(call: Call) -> Reply:
    """Read a webhook."""
    webhook = await call.services.control.webhooks.get(call.account_id, webhook_id_of(call))
    return Reply(200, WebhookShown(**fields(call, webhook)))


@operation(
    "PATCH",
    "/v1/webhooks/{webhook_id}",
    access=Access.MANAGE,
    body=WebhookPatch,
    body_example={"events": ["*"], "headers": {"X-Api-Token": None}},
    answers=(Answer(200, WebhookShown, "The webhook as it is now", {**EXAMPLE, "events": ["*"], "headers": {}}),),
    problems=(
        "url_refused",
        "unknown_macro",
        "unknown_event_type",
        "filter_invalid",
        "header_refused",
        "secret_invalid",
        "option_invalid",
        "not_confirmed",
        "confirmation_paced",
        "changed_meanwhile",
    ),
)
async def change_webhook(call: Call) -> Reply:
    """Change a webhook.

    A merge patch (RFC 7396): what is left out stays, null removes. In force for every event accepted after the answer.
    The secret is changed by rotate-secret (where it is a token, also as the header that carries it), the channel not at
    all.
    """
    webhook = await call.services.control.webhooks.change(call.actor, call.account_id, webhook_id_of(call), call.body)
    return Reply(200, WebhookShown(**fields(call, webhook)))


@operation(
    "DELETE",
    "/v1/webhooks/{webhook_id}",
    access=Access.MANAGE,
    answers=(Answer(204, None, "It is gone"),),
)
async def delete_webhook(call: Call) -> Reply:
    """Delete a webhook.

    Deliveries that wait for it are cancelled; those that ended stay in the log.
    """
    await call.services.control.webhooks.remove(call.actor, call.account_id, webhook_id_of(call))
    return Reply(204)


OPERATIONS = (create_webhook, list_webhooks, get_webhook, change_webhook, delete_webhook)
