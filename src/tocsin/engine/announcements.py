"""A word on a webhook that was stopped, to another chat of its account: a delivery like any other."""

import orjson

from tocsin import ids
from tocsin.clock import Millis
from tocsin.engine.directory import AccountView, WebhookView
from tocsin.ids import IdSource
from tocsin.model import NOTICE_TYPE, OWN_SOURCE, DeliveryId, EventId, Webhook, WebhookState
from tocsin.profiles.jsjson import stabilise
from tocsin.store.port import NewDelivery, NewEvent


def announcement(
    view: AccountView, webhook: Webhook, state: WebhookState, reason: str, at: Millis, id_source: IdSource
) -> NewEvent | None:
    """What to write together with the change; None: the account has nowhere else to be told.

    Told is the chat or mailbox of the lowest id; those that share the stopped one's token or chat come last, since what
    stopped it may stop them.
    """
    stopped = view.webhooks.get(webhook.id)
    keys = _keys(stopped) if stopped is not None else frozenset()
    able = (hook for hook in view.webhooks.values() if hook.webhook.id != webhook.id and _tells(hook, at))
    told = min(able, key=lambda hook: (not keys.isdisjoint(_keys(hook)), hook.webhook.id), default=None)
    if told is None:
        return None
    settings = webhook.settings
    data = {
        "webhook": ids.show("wh_", webhook.id),
        "name": settings.name,
        "channel": settings.channel,
        "url_shown": settings.url_shown,
        "state": state.value,
        "reason": reason,
    }
    delivery = NewDelivery(id=DeliveryId(id_source.next()), webhook_id=told.webhook.id, claimed=False)
    return NewEvent(
        id=EventId(id_source.next()),
        account_id=webhook.account_id,
        type=NOTICE_TYPE,
        timestamp=at,
        accepted_at=at,
        data=stabilise(orjson.dumps(data))[1],
        external_id=None,
        digest=b"",
        source=OWN_SOURCE,
        config_version=view.account.config_version,
        matched=1,
        visitor_id=None,
        deliveries=(delivery,),
    )


def _tells(hook: WebhookView, at: Millis) -> bool:
    webhook = hook.webhook
    return (
        hook.target.chat is not None
        and webhook.state is WebhookState.ACTIVE
        and (webhook.muted_until is None or webhook.muted_until <= at)
    )


def _keys(hook: WebhookView) -> frozenset[str]:
    chat = hook.target.chat
    return frozenset() if chat is None else frozenset(rule.key for rule in chat.address.paces)
