"""Every operation of the API, in the order of its description."""

from tocsin.api import (
    accounts,
    audit,
    deliveries,
    event_types,
    events,
    health,
    keys,
    webhook_actions,
    webhooks,
)
from tocsin.api.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *accounts.OPERATIONS,
    *keys.OPERATIONS,
    *event_types.OPERATIONS,
    *events.OPERATIONS,
    *webhooks.OPERATIONS,
    *webhook_actions.OPERATIONS,
    *deliveries.OPERATIONS,
    *audit.OPERATIONS,
    *health.OPERATIONS,
)
