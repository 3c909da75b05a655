"""What can be done with a webhook: tested, switched, muted, given a new secret, previewed."""

from typing import Annotated

import msgspec
from msgspec import Meta

from tocsin.api import attempts, wire
from tocsin.api.attempts import AttemptShown
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.api.queries import id_of
from tocsin.api.webhooks import EXAMPLE, SECRET, WebhookMade, WebhookShown, fields, webhook_id_of
from tocsin.api.wire import EventIdText
from tocsin.control.values import Line
from tocsin.control.webhook_bodies import Hours, Rotation
from tocsin.control.webhooks import Held
from tocsin.errors import Fault, Invalid
from tocsin.model import EventId


class WebhookEnabled(WebhookShown, frozen=True, kw_only=True):
    """`dropped`: how many deliveries that it held were cancelled."""

    dropped: int


class WebhookConfirmed(WebhookShown, frozen=True, kw_only=True):
    """`mail_sent`: whoever reads at its address was asked once more."""

    mail_sent: bool


class ConfirmAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`code`: from the mail that went to the webhook's address, or its whole link; left out: the mail is sent again."""

    code: Annotated[str, Meta(max_length=2_048)] | None = None


class TestAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`type`: whose example to send; left out, the first that the webhook takes."""

    type: str | None = None


class EnableAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of the deliveries that it held."""

    held: Held = "resume"


class DisableAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Line = "disabled by its owner"


class MuteAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """0 ends it."""

    hours: Hours


class PreviewAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A real event, or the example of a type; neither: the first type that the webhook takes."""

    event_id: EventIdText | None = None
    type: str | None = None


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The request as it would be sent now, with secret values masked. `chats`: the body that the same event would make
    in each chat, by the webhook's templates and options; a mail as it goes over the wire.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: str
    chats: dict[str, str]


@operation(
    "POST",
    "/v1/webhooks/{webhook_id}/test",
    access=Access.MANAGE,
    body=TestAsked,
    body_example={"type": "click.created"},
    answers=(Answer(200, AttemptShown, "The attempt as it went", {**attempts.EXAMPLE, "trigger": "test"}),),
    problems=("unknown_event_type", "not_confirmed"),
)
async def test_webhook(call: Call) -> Reply:
    """Send a test.

    Sends a type's example, signed, with the header `Tocsin-Test: true`, and answers with what really happened. Works
    while the webhook is disabled, and leaves no delivery behind.
    """
    attempt = await call.services.manual.send_test(call.account_id, webhook_id_of(call), call.body.type)
    return Reply(200, attempts.shown(attempt, None))


@operation(
    "POST",
    "/v1/webhooks/{webhook_id}/enable",
    access=Access.MANAGE,
    body=EnableAsked,
    body_example={"held": "resume"},
    answers=(Answer(200, WebhookEnabled, "The webhook as it is now", {**EXAMPLE, "dropped": 0}),),
    problems=("not_confirmed", "changed_meanwhile"),
)
async def enable_webhook(call: Call) -> Reply:
    """Enable a webhook.

    Deliveries that it held go out under its limits (`resume`), or are cancelled (`drop`). Events that came while it was
    disabled made no deliveries.
    """
    webhook, dropped = await call.services.control.webhooks.enable(
        call.actor, call.account_id, webhook_id_of(call), call.body.held
    )
    return Reply(200, WebhookEnabled(**fields(call, webhook), dropped=dropped))


@operation(
    "POST",
    "/v1/webhooks/{webhook_id}/disable",
    access=Access.MANAGE,
    body=DisableAsked,
    body_example={"reason": "maintenance"},
    answers=(
        Answer(
            200,
            WebhookShown,
            "The webhook as it is now",
            {**EXAMPLE, "enabled": False, "status": "disabled", "status_reason": "maintenance"},
        ),
    ),
)
async def disable_webhook(call: Call) -> Reply:
    """Disable a webhook.

    Its waiting deliveries are held; events make no deliveries for it until it is enabled.
    """
    webhook = await call.services.control.webhooks.disable(
        call.actor, call.account_id, webhook_id_of(call), call.body.reason
    )
    return Reply(200, WebhookShown(**fields(call, webhook)))


@operation(
    "POST",
    "/v1/webhooks/{webhook_id}/confirm",
    access=Access.MANAGE,
    body=ConfirmAsked,
    body_example={"code": "AQ…"},
    answers=(
        Answer(
            200,
            WebhookConfirmed,
            "The webhook as it is now",
            {
                **EXAMPLE,
                "url": "mailto:you@example.com",
                "channel": "email",
                "headers": {},
                "confirmed_at": "2026-01-01T00:00:00.000Z",
                "mail_sent": False,
            },
        ),
    ),
    problems=("code_invalid", "no_confirmation", "confirmation_paced", "changed_meanwhile"),
)
async def confirm_webhook(call: Call) -> Reply:
    """Confirm an e-mail address.

    The code comes with the mail that was sent to the webhook's address, whose link does the same. A webhook that was
    waiting for it becomes active. Without a code the mail is sent again.
    """
    asked: ConfirmAsked = call.body
    readers = call.services.control.readers
    if asked.code is None:
        webhook = await readers.ask_again(call.actor, call.account_id, webhook_id_of(call))
    else:
        webhook = await readers.confirm(call.actor, call.account_id, webhook_id_of(call), asked.code)
    return Reply(200, WebhookConfirmed(**fields(call, webhook), mail_sent=asked.code is None))


@operation(
    "POST",
    "/v1/webhooks/{webhook_id}/mute",
    access=Access.MANAGE,
    body=MuteAsked,
    body_example={"hours": 8},
    answers=(
        Answer(200, WebhookShown, "The webhook as it is now", {**EXAMPLE, "muted_until": "2026-01-01T08:00:00.000Z"}),
    ),
)
async def mute_webhook(call: Call) -> Reply:
    """Mute a webhook for some hours.

    Events go on making deliveries, which wait until the mute ends. 0 hours end it now.
    """
    webhook = await call.services.control.webhooks.mute(
        call.actor, call.account_id, webhook_id_of(call), call.body.hours
    )
    return Reply(200, WebhookShown(**fields(call, webhook)))


@operation(
    "POST",
    "/v1/webhooks/{webhook_id}/rotate-secret",
    access=Access.MANAGE,
    body=Rotation,
    body_example={"overlap_s": 86400},
    answers=(Answer(200, WebhookMade, "The webhook with its new secret", {**EXAMPLE, "secret": SECRET}),),
    problems=("secret_invalid", "not_signed", "changed_meanwhile"),
    secret_keys=("secret",),
)
async def rotate_secret(call: Call) -> Reply:
    """Give a webhook a new secret.

    During the overlap the profile `standard` signs with both. The other profiles' headers hold one signature: the old
    secret signs until the overlap ends, or rotate-secret/activate is called.
    """
    webhook, secret = await call.services.control.webhooks.rotate_secret(
        call.actor, call.account_id, webhook_id_of(call), call.body
    )
    return Reply(200, WebhookMade(**fields(call, webhook), secret=secret))


@operation(
    "POST",
    "/v1/webhooks/{webhook_id}/rotate-secret/activate",
    access=Access.MANAGE,
    answers=(Answer(200, WebhookShown, "The webhook as it is now", EXAMPLE),),
    problems=("no_rotation", "changed_meanwhile"),
)
async def activate_secret(call: Call) -> Reply:
    """End a rotation's overlap now.

    Only the new secret signs from here on.
    """
    webhook = await call.services.control.webhooks.activate_secret(call.actor, call.account_id, webhook_id_of(call))
    return Reply(200, WebhookShown(**fields(call, webhook)))


@operation(
    "POST",
    "/v1/webhooks/{webhook_id}/preview",
    access=Access.MANAGE,
    body=PreviewAsked,
    body_example={"type": "click.created"},
    answers=(
        Answer(
            200,
            Preview,
            "The request as it would be sent now",
            {
                **{name: attempts.EXAMPLE["request"][name] for name in ("method", "url", "headers", "body")},
                "chats": {"telegram": '{"chat_id":1,"text":"🎉 <b>New Conversion!</b>…","parse_mode":"HTML"}'},
            },
        ),
    ),
    problems=("unknown_event_type", "body_gone"),
)
async def preview_webhook(call: Call) -> Reply:
    """Render without sending.

    The request that an event makes, and beside it the same event in each chat.
    """
    asked: PreviewAsked = call.body
    if asked.event_id is not None and asked.type is not None:
        raise Invalid("name an event or a type, not both", faults=[Fault("/type", "leave one of the two out")])
    number = None if asked.event_id is None else EventId(id_of("evt_", asked.event_id, "/event_id"))
    made = await call.services.control.webhooks.preview(
        call.account_id, webhook_id_of(call), event_id=number, type=asked.type
    )
    return Reply(
        200,
        Preview(
            method=made.request.method,
            url=made.url_shown,
            headers=wire.header_map(made.headers),
            body=wire.body_text(made.request.body)[0],
            chats={name: wire.body_text(request.body)[0] for name, request in made.chats.items()},
        ),
    )


OPERATIONS = (
    test_webhook,
    enable_webhook,
    disable_webhook,
    confirm_webhook,
    mute_webhook,
    rotate_secret,
    activate_secret,
    preview_webhook,
)
