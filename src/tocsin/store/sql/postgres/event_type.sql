-- name: list
SELECT name, description, schema, example, source, extension FROM event_type WHERE account_id = $1 ORDER BY name;

-- name: exists
SELECT 1 FROM event_type WHERE account_id = $1 AND name = $2;

-- name: count
SELECT count(*) FROM event_type WHERE account_id = $1;

-- name: put
INSERT INTO event_type (account_id, name, description, schema, example, source, extension)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (account_id, name) DO UPDATE SET
  description = excluded.description, schema = excluded.schema, example = excluded.example,
  source = excluded.source, extension = excluded.extension;

-- name: delete
DELETE FROM event_type WHERE account_id = $1 AND name = $2;
