"""What is moved: each noun, the tables that it fills, and how it is read."""

from collections.abc import Callable

import msgspec

from tocsin.store.moving import reading
from tocsin.store.moving.pieces import HIGHEST, LOWEST, Key, Read, Row
from tocsin.store.sqlite.recent import activity_key_of, key_of


class Table(msgspec.Struct, frozen=True):
    """A table of the database that is moved to, and what of it is filled."""

    name: str
    columns: tuple[str, ...]
    place: tuple[str, ...]  # the columns that say in which piece a row is; rows are in their order
    parent: str | None = None  # rows go by those of this table, as (account_id, id), and are found by them only
    then: str | None = None  # with a parent: what rows of one are in order of
    from_: str | None = None  # the file's table that has all these rows, where one has


class Noun(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    tables: tuple[Table, ...]
    read: Read
    first: Key = (LOWEST,)
    beyond: Key = (HIGHEST,)
    there: Callable[[Key], Key] = lambda key: key  # a key as the database that is moved to has it
    early: bool = False  # moved while the server goes on: there is much of it, and it hardly changes any more


def _table(
    name: str, columns: str, place: str, *, parent: str | None = None, then: str | None = None, from_: str | None = None
) -> Table:
    return Table(name, tuple(columns.split()), tuple(place.split()), parent, then, from_)


def _alike(
    name: str,
    table: str,
    columns: str,
    place: str,
    *,
    change: Callable[[Row], Row] = lambda row: row,
    early: bool = False,
) -> Noun:
    """One whose rows are the same there, but for what `change` does."""
    made = _table(table, columns, place, from_=table)
    rest = ("",) * (len(made.place) - 1)
    return Noun(
        name=name,
        tables=(made,),
        read=reading.plain(table, [made.columns.index(column) for column in made.place], change),
        first=(LOWEST, *rest),
        beyond=(HIGHEST, *rest),
        early=early,
    )


# In the order in which they are moved: first those that the others speak of.
NOUNS: tuple[Noun, ...] = (
    _alike(
        "accounts",
        "account",
        "id name profile timezone external_id notify_email settings config_version created_at updated_at removed_at "
        "changed_at",
        "id",
    ),
    _alike("keys", "api_key", "id account_id name hint digest scopes created_at last_used_at revoked_at", "id"),
    _alike(
        "event types",
        "event_type",
        "account_id name description schema example source extension",
        "account_id name",
        change=reading.event_type,
    ),
    Noun(
        name="webhooks",
        tables=(
            _table("webhook", "account_id id version channel shard sealed created_at deleted", "id", from_="webhook"),
            _table(
                "webhook_version",
                "account_id webhook_id version from_config state status_reason status_since muted_until settings "
                "deleted updated_at",
                "webhook_id",
                parent="webhook",
                then="version",
                from_="webhook_version",
            ),
        ),
        read=reading.webhooks,
    ),
    _alike("audit", "audit", "id account_id at actor action subject detail request_id", "id"),
    _alike(
        "events",
        "event",
        "account_id id type timestamp accepted_at external_id source config_version matched visitor_id digest data",
        "id",
        early=True,
    ),
    Noun(
        name="external ids",
        tables=(_table("dedupe", "account_id external_id event_id", "event_id"),),
        read=reading.known_names("named_events", key_of),
        early=True,
    ),
    Noun(
        name="deliveries",
        tables=(
            _table(
                "delivery_live",
                "account_id id event_id webhook_id replay_id at attempts tries claim_count status_code state",
                "id",
                from_="delivery",
            ),
            _table(
                "delivery_log",
                "account_id id event_id webhook_id replay_id digest_id at attempts tries claim_count status_code state",
                "id",
                from_="delivery",
            ),
            _table(
                "attempt",
                "account_id delivery_id id record",
                "delivery_id",
                parent="delivery",
                then="id",
                from_="attempt",
            ),
        ),
        read=reading.deliveries,
        early=True,
    ),
    _alike("fan-out jobs", "fan_out", "event_id account_id config_version after", "event_id"),
    _alike("runs of failures", "lane", "webhook_id failing_since unbroken_since warned_at", "webhook_id"),
    _alike("kept bodies", "kept_body", "event_id account_id", "event_id"),
    _alike("notices", "notice", "webhook_id id account_id kind reason at due_at tries", "webhook_id"),
    _alike(
        "answers to repeat",
        "idempotency",
        "account_id route key digest holder expires_at status headers body",
        "account_id route key",
    ),
    _alike("windows", "digest_window", "webhook_id opened_at ends_at sent", "webhook_id"),
    _alike(
        "digests",
        "digest",
        "delivery_id webhook_id kind opened_at takes members revision scrub message",
        "delivery_id",
        change=reading.digest,
    ),
    _alike(
        "activities",
        "activity",
        "account_id id kind at accepted_at external_id visitor_id digest result data",
        "id",
        early=True,
    ),
    Noun(
        name="external ids of activities",
        tables=(_table("activity_dedupe", "account_id external_id activity_id", "activity_id"),),
        read=reading.known_names("named_activities", activity_key_of),
        early=True,
    ),
    Noun(
        name="trigger state",
        tables=(
            _table("trigger_state", "account_id key until look_at value", "account_id key", from_="trigger_state"),
        ),
        read=reading.states,
        first=(b"",),
        beyond=(b"\xff" * 9,),
        there=reading.state_key,
    ),
    _alike("timers", "timer", "account_id name due_at", "account_id name"),
)
