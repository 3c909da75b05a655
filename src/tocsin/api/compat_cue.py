"""The surface of `cue`: for clients written against its document, "Webhooks", sections "Register Your Webhook" and
"Webhook Management API". Names are snake_case and instants in whole seconds, as in the document's payloads; it shows no
answers and no errors of its own, so those are in the same hand. Who calls is `user_ids`' to say.
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tocsin.api import attempts, compat, user_ids, wire
from tocsin.api.attempts import RequestShown, ResponseShown
from tocsin.api.compat import Deleted, ErrorDetail
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.api.problems import ErrorForm, Problem
from tocsin.api.requests import Scope
from tocsin.api.services import Services
from tocsin.api.surfaces import BEARER, Surface
from tocsin.api.webhooks import webhook_id_of
from tocsin.api.wire import AttemptIdText, Instant, Limit, PageQuery, WebhookIdText
from tocsin.clock import rfc3339_seconds
from tocsin.control.actor import Principal
from tocsin.control.values import Prose
from tocsin.control.webhook_bodies import NewWebhook, Patterns, Secret, Url, WebhookPatch
from tocsin.model import AccountId, OutcomeKind, Webhook, WebhookState

PROFILE = "cue"

_EXAMPLE: dict[str, Any] = {
    "id": "wh_06f3k9w2zq8rt",
    "url": "https://example.com/hooks",
    "events": ["ad.click", "campaign.budget_exhausted"],
    "description": "billing",
    "status": "active",
    "status_reason": None,
    "active": True,
    "created": "2026-01-01T00:00:00Z",
    "updated": "2026-01-01T00:00:00Z",
}
_SECRET = "9f1c0b7e5d2a4836"  # noqa: S105 - an example


# --- its form -----------------------------------------------------------------------------------------------------


class CueErrorTold(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str
    details: list[ErrorDetail]
    request_id: str
    docs: str


class CueError(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is that of /v1; `docs` leads to its page."""

    error: CueErrorTold


def _error(found: Problem) -> CueError:
    return CueError(error=CueErrorTold(request_id=found.request_id, **compat.told(found)))


async def _account_of(services: Services, scope: Scope, principal: Principal) -> AccountId | None:
    account_id = await user_ids.account_of(services, scope, principal)
    if account_id is not None:
        await compat.account_of_profile(services, account_id, PROFILE)
    return account_id


SURFACE = Surface(
    name=PROFILE,
    prefix="/api/v1",
    authenticate=user_ids.authenticate,
    account_of=_account_of,
    errors=ErrorForm(compat.JSON, CueError, _error),
    problems=("wrong_profile", "malformed_request", "not_found"),
    tag="cue compatibility",
    tag_description="For clients written against Cue's document, and accounts of that profile.",
    security=({"user_id": ()}, BEARER, {"user_id": (), "key": ()}),
    security_schemes={
        "user_id": {
            "type": "apiKey",
            "in": "header",
            "name": "x-user-id",
            "description": "An API key of the account, enough by itself; or the account's external_id beside a Bearer "
            "key.",
        }
    },
)


class CueNewWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """Without a `secret` one is made. Keys beyond these are passed over."""

    url: Url
    events: Patterns
    description: Prose = ""
    secret: Secret | None = None
    active: bool = True


class CueWebhookPatch(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out stays. Keys beyond these are passed over."""

    url: Url | UnsetType = UNSET
    events: Patterns | UnsetType = UNSET
    description: Prose | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class CueTestAsked(msgspec.Struct, frozen=True, kw_only=True):
    """`type`: whose example to send; left out, the first that the webhook takes."""

    type: str | None = None


class CueWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """`active`: its status is `active`. `status_reason`: why it is not."""

    id: WebhookIdText
    url: str
    events: list[str]
    description: str
    status: WebhookState
    status_reason: str | None
    active: bool
    created: Instant
    updated: Instant


class CueWebhookMade(CueWebhook, frozen=True, kw_only=True):
    """`secret`: what deliveries are signed with, shown this once; a repeated answer leaves it out."""

    secret: str | UnsetType | None = UNSET


class CueWebhookList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[CueWebhook]
    next_cursor: str | None
    has_more: bool


class CueTest(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt as it went. `success`: the answer was a 2xx in time. `response` null: none came."""

    id: AttemptIdText
    webhook_id: WebhookIdText
    success: bool
    outcome: OutcomeKind
    status_code: int | None
    duration_ms: float
    error: str | None
    created: Instant
    request: RequestShown
    response: ResponseShown | None


class CuePage(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document knows no paging: who asks for none gets as much as a page can hold."""

    limit: Limit = 250


def _fields(webhook: Webhook) -> dict[str, Any]:
    settings = webhook.settings
    return {
        "id": wire.webhook_id(webhook.id),
        "url": settings.url_shown,
        "events": list(settings.events),
        "description": settings.description,
        "status": webhook.state,
        "status_reason": webhook.status_reason,
        "active": webhook.state is WebhookState.ACTIVE,
        "created": rfc3339_seconds(webhook.created_at),
        "updated": rfc3339_seconds(webhook.updated_at),
    }


# --- operations ---------------------------------------------------------------------------------------------------


@operation(
    "POST",
    "/api/v1/webhooks",
    surface=SURFACE,
    access=Access.MANAGE,
    body=CueNewWebhook,
    body_example={name: _EXAMPLE[name] for name in ("url", "events", "description")},
    answers=(Answer(201, CueWebhookMade, "The webhook with its secret", {**_EXAMPLE, "secret": _SECRET}),),
    problems=("url_refused", "unknown_event_type", "secret_invalid", "webhook_limit"),
    makes="webhook_id",
    secret_keys=("secret",),
)
async def cue_create_webhook(call: Call) -> Reply:
    """Register a webhook.

    With the checks and limits of /v1/webhooks, where it can be seen and changed too. The secret is shown this once.
    """
    asked: CueNewWebhook = call.body
    new = NewWebhook(
        url=asked.url,
        events=asked.events,
        description=asked.description,
        secret=asked.secret,
        enabled=asked.active,
    )
    webhook, secret = await call.services.control.webhooks.create(call.actor, call.account_id, new)
    return Reply(201, CueWebhookMade(**_fields(webhook), secret=secret))


@operation(
    "GET",
    "/api/v1/webhooks",
    surface=SURFACE,
    access=Access.READ,
    query=CuePage,
    answers=(
        Answer(200, CueWebhookList, "Newest first", {"data": [_EXAMPLE], "next_cursor": None, "has_more": False}),
    ),
)
async def cue_list_webhooks(call: Call) -> Reply:
    """List webhooks."""
    page = call.query.page()
    found = await call.services.control.webhooks.list(call.account_id, page)
    rows, after = wire.cut(found, page, lambda webhook: webhook.id)
    data = [CueWebhook(**_fields(row)) for row in rows]
    return Reply(200, CueWebhookList(data=data, next_cursor=after, has_more=after is not None))


@operation(
    "PATCH",
    "/api/v1/webhooks/{webhook_id}",
    surface=SURFACE,
    access=Access.MANAGE,
    body=CueWebhookPatch,
    body_example={"events": ["ad.click"]},
    answers=(Answer(200, CueWebhook, "The webhook as it is now", {**_EXAMPLE, "events": ["ad.click"]}),),
    problems=("url_refused", "unknown_event_type", "changed_meanwhile"),
)
async def cue_change_webhook(call: Call) -> Reply:
    """Update a webhook.

    In force for every event accepted after the answer.
    """
    asked: CueWebhookPatch = call.body
    patch = WebhookPatch(url=asked.url, events=asked.events, description=asked.description, enabled=asked.active)
    webhook = await call.services.control.webhooks.change(call.actor, call.account_id, webhook_id_of(call), patch)
    return Reply(200, CueWebhook(**_fields(webhook)))


@operation(
    "DELETE",
    "/api/v1/webhooks/{webhook_id}",
    surface=SURFACE,
    access=Access.MANAGE,
    answers=(Answer(200, Deleted, "It is gone", {"id": _EXAMPLE["id"], "deleted": True}),),
)
async def cue_delete_webhook(call: Call) -> Reply:
    """Delete a webhook.

    Deliveries that wait for it are cancelled; those that ended stay in the log.
    """
    webhook_id = webhook_id_of(call)
    await call.services.control.webhooks.remove(call.actor, call.account_id, webhook_id)
    return Reply(200, Deleted(id=wire.webhook_id(webhook_id)))


@operation(
    "POST",
    "/api/v1/webhooks/{webhook_id}/test",
    surface=SURFACE,
    access=Access.MANAGE,
    body=CueTestAsked,
    body_example={"type": "ad.click"},
    answers=(
        Answer(
            200,
            CueTest,
            "The attempt as it went",
            {
                "webhook_id": _EXAMPLE["id"],
                "success": False,
                "created": "2026-01-01T00:00:00Z",
                **{
                    name: attempts.EXAMPLE[name]
                    for name in ("id", "outcome", "status_code", "duration_ms", "error", "request", "response")
                },
            },
        ),
    ),
    problems=("unknown_event_type",),
)
async def cue_test_webhook(call: Call) -> Reply:
    """Send a test.

    Sends a type's example, signed, with the header `Tocsin-Test: true`, and answers with what really happened. Works
    while the webhook is disabled, and leaves no delivery behind.
    """
    webhook_id = webhook_id_of(call)
    attempt = await call.services.manual.send_test(call.account_id, webhook_id, call.body.type)
    shown = attempts.shown(attempt, None)
    return Reply(
        200,
        CueTest(
            id=shown.id,
            webhook_id=wire.webhook_id(webhook_id),
            success=attempt.outcome.ok,
            outcome=shown.outcome,
            status_code=shown.status_code,
            duration_ms=shown.duration_ms,
            error=shown.error,
            created=rfc3339_seconds(attempt.started_at),
            request=shown.request,
            response=shown.response,
        ),
    )


OPERATIONS = (cue_create_webhook, cue_list_webhooks, cue_change_webhook, cue_delete_webhook, cue_test_webhook)
