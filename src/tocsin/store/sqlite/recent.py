"""What is committed but not yet in the account-led tables, kept in memory and written into them in bulk.

Events of ten thousand accounts mixed at random each touch a page of their own account's in `timeline`, and one of their
own external id's in `dedupe`. Written with each event that is several times the event itself. Here accounts, and keys,
are spread over buckets; a full bucket is sorted and written at once, when many rows share each page.

Nothing can be lost: `timeline` and `dedupe` say nothing that the events and deliveries themselves do not. `meta` keeps
an id below which all is merged; what lies above it is read again when the database is opened. Merging a row twice
changes nothing.

The writer's thread owns this; readers may ask `ids_of` and `event_with` before their first statement: what is merged
meanwhile they then find in the tables.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from tocsin.store.sqlite import timeline
from tocsin.store.sqlite.database import Database, many_blobs
from tocsin.store.sqlite.statements import statements

_META = statements("meta")
_RECENT = statements("recent")

# An account's, or a key's, bucket is merged when it is full: about 5 ms each time, during which a publisher waits. With
# ten thousand accounts a page then takes in some 25 rows at once. In memory all full buckets take 30 MB.
_BUCKETS, _FULL = 128, 2_000
_KEY_BUCKETS, _FULL_KEYS = 64, 1_500

# Rows not merged from which on a quiet moment is used to merge them.
_QUIET = 2_000

_LOW = "recent.low"
_NONE = 1 << 63  # above all ids


def bucket_of(account_id: int) -> int:
    """An account's bucket: its id's bits above the node's, mixed."""
    return ((account_id >> 10) * 0x9E3779B97F4A7C15 >> 57) & 127


def key_of(account_id: int, external_id: str) -> bytes:
    """What an external id is remembered by: as good as the id itself, and short."""
    return blake2b(b"%d %s" % (account_id, str(external_id).encode()), digest_size=16).digest()


def activity_key_of(account_id: int, external_id: str) -> bytes:
    """As `key_of`, for activities: theirs is a namespace of its own."""
    return blake2b(b"activity %d %s" % (account_id, str(external_id).encode()), digest_size=16).digest()


def bucket_of_key(key: bytes) -> int:
    """A range of keys, so that a merge touches one part of the table only."""
    return key[0] >> 2


class Recent:
    """What is not merged, and what the transaction that is open adds to it."""

    def __init__(self, *, full: int = _FULL, full_keys: int = _FULL_KEYS, quiet: int = _QUIET) -> None:
        self._full = full
        self._full_keys = full_keys
        self._quiet = quiet
        self._ids: list[dict[int, list[int]]] = [{} for _ in range(_BUCKETS)]  # by account
        self._counts = [0] * _BUCKETS
        self._lows = [_NONE] * _BUCKETS  # the lowest id of each
        self._keys: list[dict[bytes, int]] = [{} for _ in range(_KEY_BUCKETS)]
        self._key_lows = [_NONE] * _KEY_BUCKETS
        self._low = self._low_kept = 0  # all ids below are merged; as the database says, and said before
        self._top = 0  # the highest id ever seen
        self._new: list[tuple[int, int]] = []
        self._new_keys: dict[bytes, int] = {}

    def load(self, database: Database) -> None:
        """Reads what was not merged when the database was closed."""
        self._low = self._low_kept = self._top = int(database.value(_META["get"], (_LOW,)) or 0)
        for account_id, id_, external_id in database.execute(_RECENT["events_from"], (self._low,)):
            self._new.append((account_id, id_))
            if external_id is not None:
                self._new_keys[key_of(account_id, external_id)] = id_
        self._new += database.rows(_RECENT["deliveries_from"], (self._low,))
        for account_id, id_, external_id in database.execute(_RECENT["activities_from"], (self._low,)):
            self._new.append((-account_id, id_))
            if external_id is not None:
                self._new_keys[activity_key_of(account_id, external_id)] = id_
        self.committed()

    # --- the transaction that is open -----------------------------------------------------------------------------

    def add(self, database: Database, rows: Sequence[tuple[int, int]]) -> None:
        """Takes rows that are being written: (account, id) of events and deliveries, (-account, id) of activities."""
        if not rows:
            return
        self._new += rows
        lowest = min(id_ for _, id_ in rows)
        if lowest < self._low:  # made long ago, committed only now
            self._keep_low(database, lowest)

    def add_keys(self, database: Database, pairs: Iterable[tuple[bytes, int]]) -> dict[int, int]:
        """Takes (key, event) pairs in order. Answers, for each event whose key is known, which event has it."""
        pairs = list(pairs)
        unmerged = {key: event_id for key, _ in pairs if (event_id := self.event_with(key)) is not None}
        others = {key for key, _ in pairs if key not in unmerged and key not in self._new_keys}
        merged: dict[bytes, int] = {}
        if others:
            merged = dict(database.rows(_RECENT["known"], (many_blobs(others),)))
        firsts: dict[int, int] = {}
        for key, event_id in pairs:
            first = merged.get(key) or unmerged.get(key) or self._new_keys.setdefault(key, event_id)
            if first != event_id:
                firsts[event_id] = first
        return firsts

    def mark(self) -> tuple[int, int, int]:
        """Where a savepoint begins."""
        return len(self._new), len(self._new_keys), self._low

    def back_to(self, mark: tuple[int, int, int] | None) -> None:
        """What was done since is rolled back; None: since the transaction began."""
        ids, keys, self._low = mark or (0, 0, self._low_kept)
        del self._new[ids:]
        while len(self._new_keys) > keys:
            self._new_keys.popitem()

    def committed(self) -> None:
        for account_id, id_ in self._new:
            bucket = bucket_of(account_id)
            self._ids[bucket].setdefault(account_id, []).append(id_)
            self._counts[bucket] += 1
            self._lows[bucket] = min(self._lows[bucket], id_)
            self._top = max(self._top, id_)
        for key, event_id in self._new_keys.items():
            bucket = bucket_of_key(key)
            self._keys[bucket][key] = event_id
            self._key_lows[bucket] = min(self._key_lows[bucket], event_id)
        self._low_kept = self._low
        self._new.clear()
        self._new_keys.clear()

    # --- reading --------------------------------------------------------------------------------------------------

    def ids_of(self, account_id: int) -> list[int]:
        """Events and deliveries of an account that are not merged, in any order; its activities, if asked for with the
        id made negative.
        """
        return self._ids[bucket_of(account_id)].get(account_id, [])[:]

    def event_with(self, key: bytes) -> int | None:
        """The event that has a key, where that is not merged."""
        return self._keys[bucket_of_key(key)].get(key)

    # --- merging --------------------------------------------------------------------------------------------------

    def due(self, *, quiet: bool) -> tuple[int | None, int | None]:
        """Which bucket, and which bucket of keys, to merge now."""
        counts, key_counts = self._counts, [len(keys) for keys in self._keys]
        full, full_keys = self._full, self._full_keys
        if quiet and sum(counts) + sum(key_counts) >= self._quiet:
            full = full_keys = 1
        most, most_keys = max(counts), max(key_counts)
        return (
            counts.index(most) if most >= full else None,
            key_counts.index(most_keys) if most_keys >= full_keys else None,
        )

    def older(self, than: int) -> list[int]:
        """The buckets with something older than an id."""
        return [bucket for bucket, low in enumerate(self._lows) if low < than]

    def holding(self, keys: Iterable[bytes]) -> set[int]:
        """The buckets with any of the keys."""
        return {bucket_of_key(key) for key in keys if self.event_with(key) is not None}

    def merge(self, database: Database, bucket: int | None, key_bucket: int | None, *, quiet: bool) -> None:
        """Within a transaction; `merged` follows once it is committed."""
        if bucket is not None and self._ids[bucket]:
            timeline.add(database, self._ids[bucket], tidy=quiet)
        if key_bucket is not None:
            database.change_rows(_RECENT, "merge_keys", sorted(self._keys[key_bucket].items()))
        self._keep_low(database, self._lowest(bucket, key_bucket))

    def merged(self, bucket: int | None, key_bucket: int | None) -> None:
        # New objects, not emptied ones: readers may be looking at the old.
        if bucket is not None:
            self._ids[bucket] = {}
            self._counts[bucket] = 0
            self._lows[bucket] = _NONE
        if key_bucket is not None:
            self._keys[key_bucket] = {}
            self._key_lows[key_bucket] = _NONE

    def _lowest(self, bucket: int | None, key_bucket: int | None) -> int:
        """The lowest id that is in no table, once these two buckets are merged."""
        lows = [low for i, low in enumerate(self._lows) if i != bucket]
        lows += [low for i, low in enumerate(self._key_lows) if i != key_bucket]
        return min(self._top + 1, *lows, *(id_ for _, id_ in self._new))

    def _keep_low(self, database: Database, low: int) -> None:
        database.execute(_META["set"], (_LOW, str(low)))
        self._low = low
