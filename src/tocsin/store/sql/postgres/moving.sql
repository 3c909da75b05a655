-- What a move keeps in the database that it fills, until it is complete (see store/moving/target.py).

-- name: utf8
SELECT current_setting('server_encoding') = 'UTF8';

-- name: empty
DELETE FROM moving_piece;

-- name: mine
-- Whether the move is this run's still; nobody takes it over before the end of the transaction.
SELECT true FROM meta WHERE name = 'moving.run' AND value = $1 FOR UPDATE;

-- name: losable
-- A crash of the server may take the last pieces and the notes of them away together: they are moved again.
SET LOCAL synchronous_commit = off;

-- name: by_index
-- Tables that were filled a moment ago have no statistics: rows of a piece are looked for where they are known to be, and
-- by one process, as there are few.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
  set_config('enable_mergejoin', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
  set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: pieces
SELECT number, beyond, upto, counts, digest FROM moving_piece WHERE noun = $1 ORDER BY number;

-- name: keep
INSERT INTO moving_piece (noun, number, beyond, upto, counts, digest) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (noun, number) DO UPDATE SET counts = excluded.counts, digest = excluded.digest;

-- name: texts
-- Which of a table's columns are text, in which there can be no NUL.
SELECT attname::text FROM pg_catalog.pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND atttypid = 'text'::regtype;

-- name: number_audit_on
SELECT setval(pg_get_serial_sequence('audit', 'id'), max(id)) FROM audit HAVING max(id) IS NOT NULL;

-- name: at_work
-- A process that was seen there since an instant.
SELECT name FROM node WHERE seen_at > $1 ORDER BY epoch LIMIT 1;
