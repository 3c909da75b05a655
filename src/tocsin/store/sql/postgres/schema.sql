-- name: lock
-- One at a time brings a schema up to date; the number says "tocs".
SELECT pg_advisory_xact_lock(1953457011);

-- name: there
SELECT to_regclass('schema_version') IS NOT NULL;

-- name: empty
-- Whether nobody has made a table yet where ours would be.
SELECT NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relnamespace = current_schema()::regnamespace);

-- name: create
-- Which migrations were applied.
CREATE TABLE schema_version (
  number integer PRIMARY KEY,
  name   text    NOT NULL
);

-- name: version
SELECT coalesce(max(number), 0) FROM schema_version;

-- name: applied
INSERT INTO schema_version (number, name) VALUES ($1, $2);
