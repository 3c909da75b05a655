"""The surface of `cue`: for clients written against its document, "Webhooks", sections "Register Your Webhook" and
"Webhook Management API". Names are snake_case and instants in whole seconds, as in the document's payloads; it shows no
answers and no errors of its own, so those are in the same hand.

The document's clients say who they are in one header, `x-user-id`. Here that is a credential only where it holds one:

    x-user-id          Authorization       the caller is
    ───────────────    ────────────────    ─────────────────────────────────────────────────────────────
    an account's key   –                   that account
    –                  a Bearer key        the key's account; the operator's names one in Tocsin-Account
    an external_id     a Bearer key        the key's account, which must be that one; the operator's: that one
    an external_id     –                   nobody, but where the operator trusts the gateway that sends it

What begins like a key is taken for a key and nothing else, and no account can have such an external_id. Whether an
external_id exists is looked up only for the operator's key and for a trusted gateway, so nobody else can find out.
"""

import ipaddress
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tocsin.api import attempts, compat, requests, wire
from tocsin.api.attempts import RequestShown, ResponseShown
from tocsin.api.compat import ErrorDetail
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.api.problems import ErrorForm, Problem
from tocsin.api.requests import Scope, header
from tocsin.api.services import Services
from tocsin.api.surfaces import BEARER, Surface
from tocsin.api.webhooks import webhook_id_of
from tocsin.api.wire import AttemptIdText, Instant, Limit, PageQuery, WebhookIdText
from tocsin.clock import rfc3339_seconds
from tocsin.config import Settings
from tocsin.control.actor import Principal
from tocsin.control.values import Prose
from tocsin.control.webhook_bodies import NewWebhook, Patterns, Secret, Url, WebhookPatch
from tocsin.errors import Malformed, NotFound, Unauthorised
from tocsin.model import AccountId, OutcomeKind, Webhook, WebhookState
from tocsin.model import Scope as KeyScope
from tocsin.security.keys import looks_like_key

PROFILE = "cue"

# A gateway vouches for whoever manages webhooks; it publishes nothing, and these are the scopes that the surface asks.
_VOUCHED = frozenset({KeyScope.MANAGE, KeyScope.READ})

# An external_id has at most 128 characters (CONTRACT §1); what is longer need not be looked up.
_MAX_EXTERNAL_ID = 128

_USER_ID = b"x-user-id"

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


# --- who calls ----------------------------------------------------------------------------------------------------


async def _authenticate(services: Services, scope: Scope) -> Principal:
    keyring = services.control.keyring
    named = _user_id(scope)
    authorization = header(scope, b"authorization")
    if authorization is not None:
        return await requests.authenticate(keyring, authorization)
    if named is None:
        raise Unauthorised("send an API key of the account, in x-user-id or as a Bearer", code="missing_key")
    if looks_like_key(named):
        principal = await keyring.principal(named)
        if principal is None or principal.account_id is None:
            raise Unauthorised(
                "x-user-id is no API key of an account, or it was revoked; the operator's key goes into the header "
                "Authorization"
            )
        return principal
    if not _vouched_for(services.settings, scope):
        raise Unauthorised(
            "an x-user-id that is no API key proves nothing: send a key of the account instead, or beside it as "
            "Authorization: Bearer",
            code="missing_key",
        )
    account_id = await _by_external_id(services, named)
    if account_id is None:
        raise NotFound("no account has that x-user-id as its external_id")
    return Principal(key_id=None, account_id=account_id, scopes=_VOUCHED, may_publish=False)


async def _account_of(services: Services, scope: Scope, principal: Principal) -> AccountId | None:
    account_id = requests.account_of(principal, header(scope, b"tocsin-account"))
    named = _user_id(scope)
    if named is not None:
        meant = await _named_account(services, principal, named)
        # Whether there is such an account is not for another one to know: it is answered as in /v1, 404 either way.
        if meant is None or account_id not in (None, meant):
            raise NotFound("x-user-id is neither a key nor the external_id of the account that the key belongs to")
        account_id = meant
    if account_id is not None:
        await compat.account_of_profile(services, account_id, PROFILE)
    return account_id


async def _named_account(services: Services, principal: Principal, named: str) -> AccountId | None:
    """The account that x-user-id means to that principal; None: none that it may know of."""
    if looks_like_key(named):
        other = await services.control.keyring.principal(named)
        return None if other is None else other.account_id
    if principal.account_id is None:
        return await _by_external_id(services, named)
    own = await services.control.accounts.get(principal.account_id)
    return own.id if own.external_id == named else None


def _user_id(scope: Scope) -> str | None:
    """None where it is not given, or empty.

    Raises:
        Malformed: it is given twice: a gateway that adds its own would let the caller's through.
    """
    values = [bytes(value) for name, value in scope["headers"] if name == _USER_ID]
    if len(values) > 1:
        raise Malformed("x-user-id is given more than once; a gateway must replace it, not add its own")
    return (values[0].decode("latin-1").strip() or None) if values else None


def _vouched_for(settings: Settings, scope: Scope) -> bool:
    """Whether the socket's own peer is a gateway that the operator trusts to say who calls."""
    if not settings.cue_trust_user_id or not scope.get("client"):
        return False
    try:
        peer = ipaddress.ip_address(scope["client"][0])
    except ValueError:
        return False
    mapped = peer.ipv4_mapped if peer.version == 6 else None
    return any((mapped or peer) in network for network in settings.proxies())


async def _by_external_id(services: Services, named: str) -> AccountId | None:
    if len(named) > _MAX_EXTERNAL_ID or not named.isascii():
        return None
    account = await services.store.accounts.by_external_id(named)
    return None if account is None else account.id


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


SURFACE = Surface(
    name=PROFILE,
    prefix="/api/v1",
    authenticate=_authenticate,
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


class CueDeleted(msgspec.Struct, frozen=True, kw_only=True):
    id: WebhookIdText
    deleted: bool


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
    answers=(Answer(200, CueDeleted, "It is gone", {"id": _EXAMPLE["id"], "deleted": True}),),
)
async def cue_delete_webhook(call: Call) -> Reply:
    """Delete a webhook.

    Deliveries that wait for it are cancelled; those that ended stay in the log.
    """
    webhook_id = webhook_id_of(call)
    await call.services.control.webhooks.remove(call.actor, call.account_id, webhook_id)
    return Reply(200, CueDeleted(id=wire.webhook_id(webhook_id), deleted=True))


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
