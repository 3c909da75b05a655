"""Windows, and digests as they take members: all of one call in a few statements, however many lanes it is about."""

from collections.abc import Mapping, Sequence

import msgspec

from tocsin.errors import Conflict
from tocsin.model import DIGEST_TYPE, OWN_SOURCE, AccountId, Delivery, DeliveryId, WebhookId
from tocsin.store.columns import PENDING, SENDING
from tocsin.store.port import Claimed, DigestKind, Gathered, NewEvent, OpenDigest, Page, Settlement, Window
from tocsin.store.postgres.database import Database, Pool, bounds, columns, in_range
from tocsin.store.postgres.ingest import config_versions, write_deliveries, write_events
from tocsin.store.postgres.records import members_of
from tocsin.store.postgres.statements import statements
from tocsin.store.postgres.writer import Writer, WritingDatabase
from tocsin.store.scrubbing import bared

_DELIVERY = statements("delivery")
_DIGEST = statements("digest")


class PostgresDigests:
    def __init__(self, writer: Writer, pool: Pool) -> None:
        self._writer = writer
        self._pool = pool

    async def window(self, webhook_id: WebhookId) -> Window | None:
        if not in_range(webhook_id):
            return None
        return await self._pool.read(lambda db: _window(db, webhook_id))

    async def gather(self, gathered: Sequence[Gathered], epoch: int) -> None:
        async def write(db: WritingDatabase) -> None:
            await db.own(epoch)
            living = await config_versions(db, {one.account_id for one in gathered})
            for group in _groups([one for one in gathered if one.account_id in living]):
                await _gather(db, group, epoch)

        rows = sum(4 + len(fold.members) for one in gathered for fold in one.folds) + len(gathered)
        await self._writer.together(write, rows=rows, fenced=True)

    async def members(self, account_id: AccountId, digest_id: DeliveryId, page: Page) -> Sequence[Delivery]:
        return await self._pool.read(lambda db: members_of(db, account_id, digest_id, page))


async def _window(db: Database, webhook_id: WebhookId) -> Window | None:
    rows = await db.rows(_DIGEST["window"], webhook_id)
    if not rows:
        return None
    opened_at, ends_at, sent = rows[0][:3]
    return Window(
        webhook_id=webhook_id,
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
            for _, _, _, delivery_id, event_id, kind, opened, due_at, tries, message, revision, data in rows
            if delivery_id is not None
        ),
    )


def _groups(gathered: Sequence[Gathered]) -> Sequence[Sequence[Gathered]]:
    """In order, so that none of them holds a webhook twice: nearly always all together."""
    groups: list[dict[int, Gathered]] = []
    for one in gathered:
        webhook_id = one.window.webhook_id
        if not groups or webhook_id in groups[-1]:
            groups.append({})
        groups[-1][webhook_id] = one
    return [list(group.values()) for group in groups]


class _Named(msgspec.Struct):
    """A digest that is named, and what comes to it."""

    digest: OpenDigest
    account_id: AccountId
    webhook_id: WebhookId
    takes: bool
    folded: int = 0
    bare: bool = False

    @property
    def kept(self) -> OpenDigest:
        """What was taken from a member after it was claimed does not come back by way of a summary."""
        if not self.bare:
            return self.digest
        one = self.digest
        return msgspec.structs.replace(one, summary=bared(one.summary), revision=one.revision + 1)


async def _gather(db: Database, gathered: Sequence[Gathered], epoch: int) -> None:
    windows = [one.window for one in gathered]
    webhook_ids = [window.webhook_id for window in windows]
    await db.change(
        _DIGEST["put_windows"],
        webhook_ids,
        [window.opened_at for window in windows],
        [window.ends_at for window in windows],
        [window.sent for window in windows],
    )
    named: dict[DeliveryId, _Named] = {}
    for one in gathered:
        takes = {digest.delivery_id for digest in one.window.open}
        for digest in (*one.window.open, *(fold.into for fold in one.folds)):
            named[digest.delivery_id] = _Named(
                digest, one.account_id, one.window.webhook_id, takes=digest.delivery_id in takes
            )
    await db.change(_DIGEST["close_others"], webhook_ids, [id_ for id_, one in named.items() if one.takes])
    await _fold(db, gathered, named, epoch)
    known = await _stored(db, named)
    if any(ended or revision != named[id_].digest.revision for id_, (revision, ended) in known.items()):
        raise Conflict("the digest was changed meanwhile; read it again", code="changed_meanwhile")
    await _change(db, [one for id_, one in named.items() if id_ in known])
    await _make(db, [one for id_, one in named.items() if id_ not in known])


async def _stored(db: Database, named: Mapping[DeliveryId, _Named]) -> Mapping[DeliveryId, tuple[int, bool]]:
    """Of those that are known: the revision, and whether it has ended or lost its summary. They stay so."""
    if not named:
        return {}
    live = await db.rows(_DELIVERY["lock"], list(named))
    open_ = {id_ for id_, _, _, state, prior in live if state < SENDING or prior < SENDING}
    rows = [(id_, one.account_id, one.digest.event_id) for id_, one in named.items()]
    between = bounds(event_id for _, _, event_id in rows)
    return {
        id_: (revision, id_ not in open_ or emptied)
        for id_, revision, emptied in await db.rows(_DIGEST["stored"], *columns(rows, 3), *between)
    }


async def _fold(db: Database, gathered: Sequence[Gathered], named: Mapping[DeliveryId, _Named], epoch: int) -> None:
    members = [
        (member, one.window.webhook_id, fold.into.delivery_id, one.at)
        for one in gathered
        for fold in one.folds
        for member in fold.members
    ]
    if not members:
        return
    folded = [tuple(row) for row in await db.rows(_DIGEST["fold"], *columns(members, 4), epoch)]
    if folded:
        between = bounds(event_id for _, _, event_id, _ in folded)
        for into, n, erased in await db.rows(_DIGEST["folded"], *columns(folded, 4), *between):
            named[into].folded = n
            named[into].bare = erased


async def _change(db: Database, changed: Sequence[_Named]) -> None:
    if not changed:
        return
    kept = [one.kept for one in changed]
    ids = [digest.delivery_id for digest in kept]
    await db.change(
        _DIGEST["change"],
        ids,
        [one.takes for one in changed],
        [one.folded for one in changed],
        [digest.revision for digest in kept],
    )
    await db.change(
        _DIGEST["change_deliveries"], ids, [digest.due_at for digest in kept], [digest.tries for digest in kept]
    )
    await db.change(
        _DIGEST["change_events"],
        [one.account_id for one in changed],
        [digest.event_id for digest in kept],
        [digest.summary for digest in kept],
        *bounds(digest.event_id for digest in kept),
    )


async def _make(db: Database, made: Sequence[_Named]) -> None:
    if not made:
        return
    events = [
        NewEvent(
            id=digest.event_id,
            account_id=one.account_id,
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
        for one in made
        for digest in (one.kept,)
    ]
    await write_events(db, events, range(len(events)), [], None)
    await write_deliveries(
        db,
        [
            (
                one.digest.delivery_id,
                one.digest.event_id,
                one.webhook_id,
                one.account_id,
                PENDING,
                one.digest.due_at,
                0,
                one.digest.tries,
                None,
            )
            for one in made
        ],
    )
    await db.change(
        _DIGEST["insert"],
        [one.digest.delivery_id for one in made],
        [one.webhook_id for one in made],
        [one.digest.kind.value for one in made],
        [one.digest.opened_at for one in made],
        [one.takes for one in made],
        [one.folded for one in made],
        [one.kept.revision for one in made],
    )


# --- the journal's part -------------------------------------------------------------------------------------------


async def as_digests(db: Database, claimed: Sequence[Claimed]) -> Sequence[Claimed]:
    """The same, with what is known of the digests among them."""
    digests = [one.id for one in claimed if one.type == DIGEST_TYPE]
    if not digests:
        return claimed
    known = {id_: (message, revision) for id_, message, revision in await db.rows(_DIGEST["claimed"], digests)}
    return [
        one
        if one.id not in known
        else msgspec.structs.replace(one, message=known[one.id][0], revision=known[one.id][1])
        for one in claimed
    ]


async def keep_messages(db: Database, settlements: Sequence[Settlement]) -> None:
    """Keeps what services call digests; others have none that is kept."""
    await db.change(
        _DIGEST["keep_messages"], [one.delivery_id for one in settlements], [one.message for one in settlements]
    )
