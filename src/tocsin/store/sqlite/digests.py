"""Windows, and digests as they take members."""

from collections.abc import Sequence

import msgspec

from tocsin.errors import Conflict
from tocsin.model import DIGEST_TYPE, OWN_SOURCE, AccountId, Delivery, DeliveryId, WebhookId
from tocsin.store.port import Claimed, DigestKind, Gathered, NewEvent, OpenDigest, Page, Settlement, Window
from tocsin.store.scrubbing import bared
from tocsin.store.sqlite.database import Database, in_range, many
from tocsin.store.sqlite.ingest import config_versions, write_events
from tocsin.store.sqlite.readers import Readers
from tocsin.store.sqlite.records import members_of
from tocsin.store.sqlite.statements import statements
from tocsin.store.sqlite.writer import Writer, WritingDatabase

_DIGEST = statements("digest")


class SqliteDigests:
    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def window(self, webhook_id: WebhookId) -> Window | None:
        return await self._readers.do(lambda db: _window(db, webhook_id))

    async def gather(self, gathered: Sequence[Gathered], epoch: int) -> None:
        def write(db: WritingDatabase) -> None:
            db.own(epoch)
            living = config_versions(db, {one.account_id for one in gathered})
            for one in gathered:
                if one.account_id in living:
                    _gather(db, one)

        rows = sum(4 + len(fold.members) for one in gathered for fold in one.folds) + len(gathered)
        await self._writer.do(write, rows=rows)

    async def members(self, account_id: AccountId, digest_id: DeliveryId, page: Page) -> Sequence[Delivery]:
        return await self._readers.do(lambda db: members_of(db, account_id, digest_id, page))


def _window(db: Database, webhook_id: int) -> Window | None:
    row = db.row(_DIGEST["window"], (webhook_id,)) if in_range(webhook_id) else None
    if row is None:
        return None
    opened_at, ends_at, sent = row
    return Window(
        webhook_id=WebhookId(webhook_id),
        opened_at=opened_at,
        ends_at=ends_at,
        sent=sent,
        open=tuple(
            OpenDigest(
                delivery_id=delivery_id,
                event_id=event_id,
                kind=DigestKind(kind),
                opened_at=opened,
                due_at=due_at,
                summary=data,
                message=message,
                tries=tries,
                revision=revision,
            )
            for delivery_id, event_id, kind, opened, due_at, tries, message, revision, data in db.rows(
                _DIGEST["open"], (webhook_id,)
            )
        ),
    )


def _gather(db: WritingDatabase, gathered: Gathered) -> None:
    window = gathered.window
    webhook_id = window.webhook_id
    db.execute(_DIGEST["put_window"], (webhook_id, window.opened_at, window.ends_at, window.sent))
    named = {one.delivery_id: one for one in (*window.open, *(fold.into for fold in gathered.folds))}
    takes = {one.delivery_id for one in window.open}
    if takes:
        db.execute(_DIGEST["close_others"], (webhook_id, many(takes)))
    else:
        db.execute(_DIGEST["close_all"], (webhook_id,))
    folded = dict.fromkeys(named, 0)
    bare = set()
    for fold in gathered.folds:
        into = fold.into.delivery_id
        if not fold.members:
            continue
        ids = many(fold.members)
        n, erased = db.rows(_DIGEST["to_fold"], (ids, webhook_id, into))[0]
        folded[into] += n
        if erased:
            bare.add(into)
        db.execute(_DIGEST["fold"], (ids, webhook_id, into, gathered.at))
    for id_, digest in named.items():
        # What was taken from a member after it was claimed does not come back by way of a summary.
        kept = _bared(digest) if id_ in bare else digest
        _put(db, gathered.account_id, webhook_id, kept, folded[id_], takes=id_ in takes, expected=digest.revision)


def _put(
    db: WritingDatabase,
    account_id: AccountId,
    webhook_id: WebhookId,
    digest: OpenDigest,
    folded: int,
    *,
    takes: bool,
    expected: int,
) -> None:
    id_ = digest.delivery_id
    stored = db.row(_DIGEST["stored"], (id_,))
    if stored is None:
        _make(db, account_id, webhook_id, digest, folded, takes=takes)
        return
    revision, ended = stored
    if ended or revision != expected:
        raise Conflict("the digest was changed meanwhile; read it again", code="changed_meanwhile")
    db.execute(_DIGEST["change"], (id_, folded, digest.revision, takes))
    db.execute(_DIGEST["change_delivery"], (id_, digest.due_at, digest.tries))
    db.execute(_DIGEST["change_event"], (digest.event_id, digest.summary))


def _make(
    db: WritingDatabase, account_id: AccountId, webhook_id: WebhookId, digest: OpenDigest, folded: int, *, takes: bool
) -> None:
    event = NewEvent(
        id=digest.event_id,
        account_id=account_id,
        type=DIGEST_TYPE,
        timestamp=digest.opened_at,
        accepted_at=digest.opened_at,
        data=digest.summary,
        external_id=None,
        digest=b"",
        source=OWN_SOURCE,
        config_version=0,  # matched by nothing
        matched=1,
        visitor_id=None,
        deliveries=(),
    )
    id_ = digest.delivery_id
    write_events(db, [event], [0], [])
    db.execute(_DIGEST["insert_delivery"], (id_, digest.event_id, webhook_id, account_id, digest.due_at, digest.tries))
    db.execute(
        _DIGEST["insert"], (id_, webhook_id, digest.kind.value, digest.opened_at, takes, folded, digest.revision)
    )
    db.recent.add(db, [(account_id, id_)])


# --- what may tell of a visitor -----------------------------------------------------------------------------------


def _bared(digest: OpenDigest) -> OpenDigest:
    return msgspec.structs.replace(digest, summary=bared(digest.summary), revision=digest.revision + 1)


# --- the journal's part -------------------------------------------------------------------------------------------


def as_digests(db: Database, claimed: Sequence[Claimed]) -> Sequence[Claimed]:
    """The same, with what is known of the digests among them."""
    digests = [one.id for one in claimed if one.type == DIGEST_TYPE]
    if not digests:
        return claimed
    known = {id_: (message, revision) for id_, message, revision in db.rows(_DIGEST["claimed"], (many(digests),))}
    return [
        one
        if one.id not in known
        else msgspec.structs.replace(one, message=known[one.id][0], revision=known[one.id][1])
        for one in claimed
    ]


def close_digest(db: WritingDatabase, digest_id: DeliveryId) -> None:
    """What it counts is about to be told by hand: it takes no more, and whoever still thinks so reads it again."""
    db.execute(_DIGEST["close"], (digest_id,))


def keep_messages(db: WritingDatabase, settlements: Sequence[Settlement]) -> None:
    """Keeps what services call digests; others have none that is kept."""
    for one in settlements:
        db.execute(_DIGEST["keep_message"], (one.delivery_id, one.message))
