-- name: tell
-- In a statement of its own: a notification within a transaction makes its commit wait for all others that have one.
SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload;
