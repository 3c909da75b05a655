-- name: list
SELECT name, description, schema, example, source, extension FROM event_type WHERE account_id = ? ORDER BY name;

-- name: exists
SELECT 1 FROM event_type WHERE account_id = ? AND name = ?;

-- name: count
SELECT count(*) FROM event_type WHERE account_id = ?;

-- name: put
INSERT INTO event_type (account_id, name, description, schema, example, source, extension)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  description = excluded.description, schema = excluded.schema, example = excluded.example,
  source = excluded.source, extension = excluded.extension;

-- name: delete
DELETE FROM event_type WHERE account_id = ? AND name = ?;
