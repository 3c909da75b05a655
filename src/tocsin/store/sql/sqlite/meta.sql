-- name: get
SELECT value FROM meta WHERE name = ?;

-- name: set
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: keep
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING;

-- name: forget
DELETE FROM meta WHERE name = ?;
