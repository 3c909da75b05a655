"""Every operation of the API, in the order of its description, and the surfaces that they form."""

from tocsin.api import (
    accounts,
    activity,
    alerts,
    audit,
    campaigns,
    compat_cue,
    compat_trcker,
    deliveries,
    event_types,
    events,
    health,
    keys,
    postback_tokens,
    visitors,
    webhook_actions,
    webhook_backtest,
    webhooks,
)
from tocsin.api.operations import Operation
from tocsin.api.surfaces import Surface

OPERATIONS: tuple[Operation, ...] = (
    *accounts.OPERATIONS,
    *keys.OPERATIONS,
    *event_types.OPERATIONS,
    *events.OPERATIONS,
    *activity.OPERATIONS,
    *postback_tokens.OPERATIONS,
    *webhook_backtest.OPERATIONS,  # before webhooks: its path has a word where theirs have an id
    *campaigns.OPERATIONS,
    *webhooks.OPERATIONS,
    *webhook_actions.OPERATIONS,
    *deliveries.OPERATIONS,
    *visitors.OPERATIONS,
    *alerts.OPERATIONS,
    *audit.OPERATIONS,
    *health.OPERATIONS,
    *compat_trcker.OPERATIONS,
    *compat_cue.OPERATIONS,
)

SURFACES: tuple[Surface, ...] = tuple(dict.fromkeys(one.surface for one in OPERATIONS))
