"""Which webhooks an event goes to, and the honest answer to "why did mine get nothing?"."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.engine.directory import AccountView, WebhookView, takes
from tocsin.engine.filtering.filters import FilterFailed, FilterInput, compile_filter
from tocsin.errors import Invalid
from tocsin.model import Webhook, WebhookId, WebhookState


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one event went to one webhook, by the settings of that time, and why."""

    webhook_id: WebhookId
    matched: bool
    reason: str


def match(view: AccountView, type: str, timestamp: Millis, data: Any) -> list[WebhookView]:
    """The webhooks that the event goes to, by rising id. A filter that fails takes nothing."""
    subscribed = view.subscribed(type)
    matched = []
    given: FilterInput | None = None
    for hook in subscribed:
        if hook.filter is not None:
            given = given or FilterInput(type, timestamp, data)
            try:
                if not hook.filter.matches(given):
                    continue
            except FilterFailed:
                continue
        matched.append(hook)
    return matched


def explain(webhooks: Iterable[Webhook], type: str, timestamp: Millis, data: Any) -> Sequence[Verdict]:
    """A verdict for each webhook, given in the versions that were in force (`store.port.Webhooks.as_of`).

    `data` None: the body is gone by retention, so filters can no longer be judged.
    """
    given = FilterInput(type, timestamp, data)
    return [_explain(webhook, type, given, judgeable=data is not None) for webhook in webhooks]


def _explain(webhook: Webhook, type: str, given: FilterInput, *, judgeable: bool) -> Verdict:
    def verdict(reason: str, *, matched: bool = False) -> Verdict:
        return Verdict(webhook_id=webhook.id, matched=matched, reason=reason)

    if webhook.deleted:
        return verdict("it was deleted")
    if webhook.state is not WebhookState.ACTIVE:
        return verdict(f"it was {webhook.state}: {webhook.status_reason or 'no reason given'}")
    settings = webhook.settings
    if not takes(settings.events, type):
        return verdict(f"it is not subscribed to {type}: it takes {', '.join(settings.events)}")
    if settings.filter is None:
        return verdict(f"it is subscribed to {type}", matched=True)
    if not judgeable:
        return verdict("the event's body is gone by retention, so its filter cannot be judged any more")
    try:
        if compile_filter(settings.filter).matches(given):
            return verdict(f"it is subscribed to {type} and its filter is true", matched=True)
    except FilterFailed as failure:
        return verdict(f"its filter failed on this event: {failure}")
    except Invalid as error:
        return verdict(f"its filter is not valid in this version: {error.detail}")
    return verdict(f"its filter is false: {settings.filter}")
