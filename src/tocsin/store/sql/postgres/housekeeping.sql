-- name: invalid_indexes
-- Indexes that were not built to their end: queries do not use them.
SELECT c.relname FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname;

-- name: checksum_failures
-- Pages of this database that did not read as they were written, where the server watches them.
SELECT coalesce(checksum_failures, 0) FROM pg_catalog.pg_stat_database WHERE datname = current_database();

-- name: unlogged
-- Tables that a crash would empty.
SELECT relname FROM pg_catalog.pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relpersistence <> 'p' ORDER BY relname;

-- name: settings
-- Of the server, as they hold in this session.
SELECT name, setting FROM pg_catalog.pg_settings
WHERE name IN ('synchronous_commit', 'fsync', 'full_page_writes', 'autovacuum');

-- name: tables_without_autovacuum
SELECT relname FROM pg_catalog.pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND 'autovacuum_enabled=false' = ANY (reloptions)
ORDER BY relname;

-- name: session
-- The process of the server that runs this statement.
SELECT pg_backend_pid();
