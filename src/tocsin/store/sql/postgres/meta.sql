-- name: get
SELECT value FROM meta WHERE name = $1;

-- name: set
INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: keep
INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING;

-- name: forget
DELETE FROM meta WHERE name = ANY ($1::text[]);
