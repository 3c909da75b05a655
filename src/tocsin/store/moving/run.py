"""One run of a move: what may be done beside the server, what needs it stopped, and the check.

    copy      what has come since, piece by piece, beyond the last piece there
    refresh   every piece is read again; one that is not what was written is written anew
    check     every piece is read back, and every table counted

Beside a server the logs are copied and refreshed. Once it is stopped, and the file's lock held, all is: then nothing
can change any more, the check is made, and only after it does the file say that it was moved, and the database that it
is complete. At no moment would a server start on both.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import asyncpg

from tocsin import failpoints
from tocsin.clock import Clock, Millis
from tocsin.errors import Misconfigured
from tocsin.ids import first_at, show
from tocsin.store.moving.nouns import NOUNS, Noun, Table
from tocsin.store.moving.pieces import Bounds, Key, Piece, Row
from tocsin.store.moving.report import Moved, Progress, TableMoved, Tell
from tocsin.store.moving.source import Source
from tocsin.store.moving.target import Kept, Target
from tocsin.store.postgres.moved import Move
from tocsin.store.sqlite.lock import FileLock
from tocsin.store.sqlite.moved import MovedTo

T = TypeVar("T")

# A piece: some 50 ms of work, so that a run that is killed loses little, and a row that has changed means as many to be
# written again; and what it may take of memory, of which there are two at a time.
ROWS = 5_000
_BYTES = 8 << 20

# A server beats every few seconds. One that was not seen for so long has gone, and will not come back by itself.
_GONE_MS = 60_000

# Ids are made a little before their rows are committed, so the newest come in no order.
_SETTLED_MS = 60_000


class Run:
    """One run."""

    _target: Target

    def __init__(self, path: Path, clock: Clock, tell: Tell, rows: int) -> None:
        self._rows_of_piece = rows
        self._clock = clock
        self._tell = tell
        self._path = path
        self._lock: FileLock | None = None
        self._held = ""
        self._take_lock()
        try:
            self._source = Source(path, alone=self._lock is not None)
        except BaseException:
            self._release()
            raise
        self._pieces: dict[str, list[Kept]] = {}
        self._counted: dict[str, int] = {}
        self._read_alone: set[tuple[str, int]] = set()  # pieces that nothing can have changed since

    def close(self) -> None:
        self._source.close()
        self._release()

    def _take_lock(self) -> None:
        try:
            self._lock = FileLock(self._path)
        except Misconfigured as error:
            self._held = error.detail

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def check_key(self, fingerprint: str | None) -> None:
        """Raises `Misconfigured` where the secrets in the file could not be opened with it."""
        known = self._source.fingerprint
        if known is None:
            raise Misconfigured(f"{self._path} was never served: there is nothing to move")
        if fingerprint is None:
            raise Misconfigured(
                f"the key that the secrets in {self._path} are sealed with is not there: bring back {self._path}.key, "
                "or give it as TOCSIN_SECRET_KEY"
            )
        if known != fingerprint:
            raise Misconfigured(
                f"TOCSIN_SECRET_KEY (or {self._path}.key) is not the key that the secrets in {self._path} are sealed "
                "with: bring back that one"
            )

    async def go(self, target: Target) -> Moved:
        self._target = target
        begun = await self._begin()
        if isinstance(begun, Moved):
            return begun
        try:
            return await self._move(begun)
        except asyncpg.CharacterNotInRepertoireError:
            if unfit := await self._unfit():
                return self._stopped(unfit=unfit)
            raise

    async def _move(self, begun: Move) -> Moved:
        if self._lock is None:
            await self._beside()
            self._take_lock()
            if self._lock is None:
                return self._stopped(held=self._held)
            self._source.close()
            self._source = Source(self._path, alone=True)
            self._counted.clear()
        try:
            await self._alone()
        except asyncpg.UniqueViolationError as error:
            return self._stopped(differences=(f"it holds what nobody has moved: {error}",))
        if differences := await self._check():
            return self._stopped(differences=differences)
        left = await self._left()
        await self._nobody_works()
        self._source.mark_moved(MovedTo(address=self._target.shown, token=begun.token, at=self._clock.now_ms()))
        failpoints.reach("between_marks")
        await self._target.complete(begun, self._source.fingerprint or "", self._source.last_id())
        failpoints.reach("after_marks")
        return Moved(
            complete=True,
            origin=begun.origin,
            address=self._target.shown,
            tables=tuple(
                TableMoved(noun.name, table.name, rows)
                for noun in NOUNS
                for table, rows in zip(noun.tables, self._counts(noun), strict=True)
            ),
            digests=tuple((noun.name, self._digest(noun)) for noun in NOUNS),
            left=left,
        )

    def _stopped(
        self, *, held: str | None = None, unfit: tuple[str, ...] = (), differences: tuple[str, ...] = ()
    ) -> Moved:
        return Moved(
            complete=False,
            origin=self._source.shown,
            address=self._target.shown,
            held=held,
            unfit=unfit,
            differences=differences,
        )

    # --- the beginning --------------------------------------------------------------------------------------------

    async def _begin(self) -> Move | Moved:
        """Looks whether this may be done; from then on the database is this run's."""
        found = await self._target.move()
        if found is None:
            await self._may_begin()
            if unfit := await self._unfit():
                return self._stopped(unfit=unfit)
            begun = Move(
                origin=self._source.shown,
                source=self._source.identity(),
                token=secrets.token_hex(8),
                begun_at=self._clock.now_ms(),
            )
        else:
            begun, complete = found
            if self._may_go_on(begun, complete=complete):
                return Moved(complete=True, already=True, origin=begun.origin, address=self._target.shown)
        await self._nobody_works()
        await self._target.take(begun)
        for noun in NOUNS:
            self._pieces[noun.name] = await self._target.pieces(noun)
        if not any(self._pieces.values()):
            await self._target.lay_out(self._clock.now_ms(), self._source.since())
        return begun

    async def _may_begin(self) -> None:
        moved = self._source.moved_to()
        if moved is not None:
            raise Misconfigured(f"{self._path} was moved to {moved.address} before; nothing is to be moved from it")
        if table := await self._target.in_use():
            raise Misconfigured(
                f"{self._target.shown} is in use (its table {table} has rows); name an empty database in --to"
            )

    async def _nobody_works(self) -> None:
        name = await self._target.at_work(Millis(self._clock.now_ms() - _GONE_MS))
        if name is not None:
            raise Misconfigured(f"a server works on {self._target.shown}, at {name}; stop it first")

    def _may_go_on(self, begun: Move, *, complete: bool) -> bool:
        """Whether there is nothing left to do."""
        shown, moved = self._target.shown, self._source.moved_to()
        if begun.source != self._source.identity():
            raise Misconfigured(
                f"{shown} is filled from {begun.origin}, another installation; name an empty one in --to"
            )
        if moved is not None and moved.token != begun.token:
            raise Misconfigured(f"{self._path} was moved to {moved.address} before; nothing is to be moved from it")
        if begun.given_up or (complete and moved is None):
            raise Misconfigured(f"the move to {shown} was undone; make that database anew, empty, and begin again")
        return complete

    async def _unfit(self) -> tuple[str, ...]:
        """Rows with texts that the database cannot hold."""
        found = []
        for noun in NOUNS:
            for table in noun.tables:
                texts = await self._target.texts(table)
                if texts and table.from_ is not None:
                    rows = await _in_thread(self._source.with_nul, table.from_, texts, table.place)
                    found += [_shown(table, column, key) for column, key in rows]
        return tuple(found)

    # --- the two phases -------------------------------------------------------------------------------------------

    async def _beside(self) -> None:
        """While the server goes on: what is old already, and what was moved by earlier runs and has changed."""
        settled = (first_at(Millis(self._clock.now_ms() - _SETTLED_MS)) - 1,)
        for noun in NOUNS:
            if noun.early:
                earlier = list(self._pieces[noun.name])
                # A name may have gone from one row to a later one. Once nothing changes any more that is in order.
                with suppress(asyncpg.UniqueViolationError):
                    await self._copy(noun, settled)
                    await self._refresh(noun, earlier)

    async def _alone(self) -> None:
        """Nothing changes any more."""
        for noun in NOUNS:
            await self._refresh(noun, self._pieces[noun.name])
            await self._copy(noun, noun.beyond)

    async def _copy(self, noun: Noun, upto: Key) -> None:
        """Moves what lies beyond the last piece."""
        pieces = self._pieces[noun.name]
        beyond = pieces[-1].upto if pieces else noun.first
        done, total = self._rows(noun), await self._total(noun)
        reading = asyncio.create_task(self._read(noun, beyond, upto, self._rows_of_piece))
        try:
            while (piece := await reading).last is not None:
                # The next one is read while this one is written.
                reading = asyncio.create_task(self._read(noun, piece.last, upto, self._rows_of_piece))
                self._note(noun, await self._target.write(noun, len(pieces), beyond, piece.last, piece))
                beyond = piece.last
                done += _own(noun, piece.counts)
                self._tell(Progress("copy", noun.name, done, total))
        finally:
            await asyncio.wait([reading])
        self._tell(Progress("copy", noun.name, done, total, ended=True))

    async def _refresh(self, noun: Noun, pieces: Sequence[Kept]) -> None:
        """Writes pieces anew that are not in the file any more what they were. All such are taken out first: what is
        unique may have gone from one of them to another.
        """
        old = [one for one in pieces if (noun.name, one.number) not in self._read_alone]
        seen, total = 0, sum(_own(noun, one.counts) for one in old)
        stale = []
        for kept in old:
            piece = await self._read(noun, kept.beyond, kept.upto)
            if piece.digest != kept.digest:
                stale.append(kept)
            elif self._lock is not None:
                self._read_alone.add((noun.name, kept.number))
            seen += _own(noun, piece.counts)
            self._tell(Progress("refresh", noun.name, seen, total))
        await self._target.empty(noun, stale)
        for kept in stale:
            piece = await self._read(noun, kept.beyond, kept.upto)
            self._note(noun, await self._target.write(noun, kept.number, kept.beyond, kept.upto, piece))
        self._tell(Progress("refresh", noun.name, seen, total, ended=True))

    async def _read(self, noun: Noun, beyond: Key, upto: Key, rows: int = -1) -> Piece:
        """`rows`: at most so many, and not too many bytes either; -1: all."""
        bounds = Bounds(beyond, upto) if rows < 0 else Bounds(beyond, upto, rows, _BYTES)
        return await _in_thread(self._source.read, noun, bounds)

    async def _total(self, noun: Noun) -> int:
        """How many the file has of the noun; 0: it has no list of just these."""
        name = noun.tables[0].from_
        return 0 if name is None else await self._count(name)

    async def _count(self, name: str) -> int:
        """Rows of the file's table, which reads all of it: once, where it cannot change."""
        if name not in self._counted or self._lock is None:
            self._counted[name] = await _in_thread(self._source.count, name)
        return self._counted[name]

    def _note(self, noun: Noun, kept: Kept) -> None:
        pieces = self._pieces[noun.name]
        pieces[kept.number : kept.number + 1] = [kept]
        if self._lock is not None:
            self._read_alone.add((noun.name, kept.number))

    # --- the check ------------------------------------------------------------------------------------------------

    async def _check(self) -> tuple[str, ...]:
        """What the database holds otherwise than it was written."""
        found = []
        for noun in NOUNS:
            seen, total = 0, self._rows(noun)
            for kept in self._pieces[noun.name]:
                there = await self._target.read_back(noun, kept)
                if there.digest != kept.digest:
                    found.append(f"{noun.name}: of {_range(kept)} it holds something else than was written")
                seen += _own(noun, there.counts)
                self._tell(Progress("check", noun.name, seen, total))
            for table, rows in zip(noun.tables, self._counts(noun), strict=True):
                count = await self._target.count(table)
                if count != rows:
                    found.append(f"{noun.name}: {table.name} has {count:,} rows, {rows:,} were written")
            self._tell(Progress("check", noun.name, seen, total, ended=True))
        return tuple(found)

    async def _left(self) -> tuple[tuple[str, int], ...]:
        """Rows of the file that nothing refers to, and that nothing was made of."""
        moved: Counter[str] = Counter()
        for noun in NOUNS:
            for table, rows in zip(noun.tables, self._counts(noun), strict=True):
                if table.from_ is not None:
                    moved[table.from_] += rows
        left = []
        for name, rows in moved.items():
            count = await self._count(name)
            if count != rows:
                left.append((name, count - rows))
        return tuple(left)

    def _counts(self, noun: Noun) -> list[int]:
        """Rows that were written, by table."""
        return [sum(kept.counts[i] for kept in self._pieces[noun.name]) for i in range(len(noun.tables))]

    def _rows(self, noun: Noun) -> int:
        return _own(noun, self._counts(noun))

    def _digest(self, noun: Noun) -> str:
        whole = blake2b(digest_size=16)
        for kept in self._pieces[noun.name]:
            whole.update(kept.digest)
        return whole.hexdigest()


async def _in_thread(call: Callable[..., T], *arguments: object) -> T:
    """Waits for the thread also where this is cancelled: the connection that it reads by is about to be closed."""
    task = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.wait([task])


def _own(noun: Noun, counts: Sequence[int]) -> int:
    """Rows of the noun itself, without what goes by them."""
    return sum(rows for table, rows in zip(noun.tables, counts, strict=True) if table.parent is None)


# How ids are shown, by the columns that they stand in.
_PREFIXES = {"account_id": "acc_", "webhook_id": "wh_", "delivery_id": "dlv_", "event_id": "evt_"}
_OWN_PREFIXES = {"account": "acc_", "api_key": "key_", "webhook": "wh_", "event": "evt_", "activity": "act_"}


def _shown(table: Table, column: str, key: Row) -> str:
    r"""Which row has a NUL: ``timer (acc_0s9xehfnc0000, 'a\\x00b'), column name``."""
    parts = []
    for name, value in zip(table.place, key, strict=True):
        prefix = _OWN_PREFIXES.get(table.name) if name == "id" else _PREFIXES.get(name)
        parts.append(show(prefix, value) if prefix and isinstance(value, int) else repr(value))
    return f"{table.from_} ({', '.join(parts)}), column {column}"


def _range(kept: Kept) -> str:
    return f"piece {kept.number + 1}"
