-- Names of tables and bounds cannot be parameters: what is in {braces} is put in by store/postgres/partitions.py, from
-- constants and the catalogue.

-- name: only_one
-- Whether no other process is at it.
SELECT pg_try_advisory_xact_lock(1953457012);

-- name: patience
SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true);

-- name: parts
-- The partitions of a table, what each is of, how large it is, and how many rows it has, as last estimated.
SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid), pg_relation_size(c.oid), greatest(c.reltuples, 0)::bigint
FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($1);

-- name: lock
-- Whoever reads or writes the table, or a partition by its table, asks for this one first.
LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE;

-- name: lock_part
-- Against those who write; they are rare where all is old.
LOCK TABLE {part} IN SHARE ROW EXCLUSIVE MODE;

-- name: rows
-- How many, counted up to a bound.
SELECT count(*) FROM (SELECT FROM {part} LIMIT $1) AS first;

-- name: greatest
SELECT max({key}) FROM {part};

-- name: drop
DROP TABLE {part};

-- name: detach
ALTER TABLE {table} DETACH PARTITION {part};

-- name: attach
ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES FROM ({least}) TO ({beyond});

-- name: rename
ALTER TABLE {part} RENAME TO {to};

-- name: move
INSERT INTO {table} SELECT * FROM {part};

-- name: move_some
INSERT INTO {table} SELECT * FROM {part} WHERE {key} = ANY ($1::bigint[]);

-- name: late
-- What ended late, up to a bound.
SELECT id FROM {part} WHERE at >= $1 LIMIT $2;

-- name: folded
-- Members of digests that stay: of the given, and of those that are not of this week.
SELECT m.id FROM {part} AS m WHERE m.digest_id = ANY ($1::bigint[])
UNION ALL
(SELECT m.id FROM {part} AS m
WHERE (m.digest_id < $2 OR m.digest_id >= $3) AND (SELECT true FROM delivery AS g WHERE g.id = m.digest_id)
LIMIT $4);

-- name: live
SELECT id FROM delivery_live WHERE id >= $1 AND id < $2 LIMIT $3;

-- name: deliveries
-- All that are left of a week.
SELECT id FROM delivery WHERE id >= $1 AND id < $2 LIMIT $3;

-- name: delete_digests
-- Of deliveries that went with a week.
DELETE FROM digest WHERE ctid = ANY (ARRAY(
  SELECT g.ctid FROM digest AS g
  WHERE g.delivery_id >= $1 AND g.delivery_id < $2 AND (SELECT true FROM delivery AS d WHERE d.id = g.delivery_id) IS NULL
  LIMIT $3
));

-- name: events
-- Events of a week that are referred to.
(SELECT DISTINCT event_id FROM delivery WHERE event_id >= $1 AND event_id < $2 LIMIT $3)
UNION
(SELECT event_id FROM fan_out WHERE event_id >= $1 AND event_id < $2 LIMIT $3);

-- name: named_events
-- Whether external ids of events so old are still remembered.
SELECT EXISTS (SELECT FROM dedupe WHERE event_id < $1);

-- name: named_activities
SELECT EXISTS (SELECT FROM activity_dedupe WHERE activity_id < $1);

-- name: create
-- Millions of rows that only come: a fifth of them, the default, would be many pages to look at at once. In steps of so
-- many rows vacuuming keeps the visibility map fresh and never has long to do.
CREATE TABLE {part} PARTITION OF {table} FOR VALUES FROM ({least}) TO ({beyond}) WITH (
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000,
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
