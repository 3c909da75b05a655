"""The seam between Tocsin and its database: role protocols and what passes through them.

A store holds:

    append-only     event, activity, attempt, webhook_version, audit
    live            delivery, lane (webhooks whose deliveries are failing), window and digest (webhooks that gather),
                    fan-out jobs, notice, timer, trigger state
    small           account, api_key, event_type, webhook, idempotency, dedupe

Which lanes have a backlog and when each is next due is derived from the deliveries that wait; no row repeats it. How
the rows are laid out is each store's own affair (SQLite: ``docs/decisions/0002-sqlite-schema.md``).

Errors, from any call: `errors.Unavailable` where the database cannot answer now (nothing was changed, or, said in
`code="commit_unknown"`, it is unknown whether it was).
"""

from tocsin.store.port.cluster import Cluster, News, Node, Present, Standing
from tocsin.store.port.digests import DigestKind, Digests, Fold, Gathered, OpenDigest, Window
from tocsin.store.port.erasure import Erased, Erasure
from tocsin.store.port.housekeeping import Condition, Housekeeping, Purged, SchemaStatus
from tocsin.store.port.idempotency import Idempotency, StoredAnswer
from tocsin.store.port.journal import (
    NOTHING_CLAIMED,
    Accepted,
    AccountGone,
    ClaimAnswer,
    Claimed,
    ContentConflict,
    Duplicate,
    FanOutJob,
    Ingested,
    InHands,
    Journal,
    LaneFacts,
    NewDelivery,
    NewEvent,
    Settlement,
    Stale,
    Unstorable,
)
from tocsin.store.port.notices import Notices
from tocsin.store.port.records import DeliveryFilter, EventFilter, Records
from tocsin.store.port.settings import (
    Accounts,
    AuditEntry,
    Catalogue,
    Change,
    Keys,
    Page,
    Snapshot,
    Snapshots,
    WebhookEdit,
    Webhooks,
)
from tocsin.store.port.store import Store
from tocsin.store.port.triggers import (
    Deciding,
    KnownActivity,
    NewActivity,
    Timer,
    TriggerAsk,
    TriggerRead,
    Triggers,
    TriggerWrite,
    Turn,
)

__all__ = [
    "NOTHING_CLAIMED",
    "Accepted",
    "AccountGone",
    "Accounts",
    "AuditEntry",
    "Catalogue",
    "Change",
    "ClaimAnswer",
    "Claimed",
    "Cluster",
    "Condition",
    "ContentConflict",
    "Deciding",
    "DeliveryFilter",
    "DigestKind",
    "Digests",
    "Duplicate",
    "Erased",
    "Erasure",
    "EventFilter",
    "FanOutJob",
    "Fold",
    "Gathered",
    "Housekeeping",
    "Idempotency",
    "InHands",
    "Ingested",
    "Journal",
    "Keys",
    "KnownActivity",
    "LaneFacts",
    "NewActivity",
    "NewDelivery",
    "NewEvent",
    "News",
    "Node",
    "Notices",
    "OpenDigest",
    "Page",
    "Present",
    "Purged",
    "Records",
    "SchemaStatus",
    "Settlement",
    "Snapshot",
    "Snapshots",
    "Stale",
    "Standing",
    "Store",
    "StoredAnswer",
    "Timer",
    "TriggerAsk",
    "TriggerRead",
    "TriggerWrite",
    "Triggers",
    "Turn",
    "Unstorable",
    "WebhookEdit",
    "Webhooks",
    "Window",
]
