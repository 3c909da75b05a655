-- Names of tables and bounds cannot be parameters: what is in {braces} is put in by store/postgres/partitions.py, from
-- constants and the catalogue.

-- name: only_one
-- Whether no other process is at it.
SELECT pg_try_advisory_xact_lock(1953457012);

-- name: patience
SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true);

-- name: parts
-- The partitions of a table, and what each is of.
SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid)
FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($1);

-- name: lock
-- Whoever reads or writes the table, or a partition by its table, asks for this one first.
LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE;

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

-- name: create
-- Millions of rows that only come: a fifth of them, the default, would be many pages to look at at once. In steps of so
-- many rows vacuuming keeps the visibility map fresh and never has long to do.
CREATE TABLE {part} PARTITION OF {table} FOR VALUES FROM ({least}) TO ({beyond}) WITH (
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000,
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
