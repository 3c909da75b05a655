-- name: lock
-- One at a time brings a schema up to date, as long as its transaction lasts; the number says "tocs".
SELECT pg_try_advisory_xact_lock(1953457011);

-- name: stay
-- However long it takes.
SET LOCAL idle_in_transaction_session_timeout = 0;

-- name: hurry
SELECT set_config('lock_timeout', $1, true);

-- name: there
SELECT to_regclass('schema_version') IS NOT NULL;

-- name: empty
-- Whether nobody has made a table yet where ours would be.
SELECT NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relnamespace = current_schema()::regnamespace);

-- name: create
-- Which migrations were applied, and the oldest schema whose programs may run beside each.
CREATE TABLE schema_version (
  number integer PRIMARY KEY,
  name   text    NOT NULL,
  beside integer NOT NULL
);

-- name: version
-- And the oldest schema whose programs may run, as all those say that a program does not know.
SELECT coalesce(max(number), 0), coalesce(max(beside) FILTER (WHERE number > $1), 0) FROM schema_version;

-- name: applied
INSERT INTO schema_version (number, name, beside) VALUES ($1, $2, $3);
