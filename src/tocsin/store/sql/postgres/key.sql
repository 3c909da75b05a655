-- name: insert
INSERT INTO api_key (id, account_id, name, hint, digest, scopes, created_at, last_used_at, revoked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (digest) DO NOTHING;

-- name: by_digest
SELECT id, account_id, name, hint, digest, scopes, created_at, last_used_at, revoked_at
FROM api_key WHERE digest = $1;

-- name: list
SELECT id, account_id, name, hint, digest, scopes, created_at, last_used_at, revoked_at
FROM api_key WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3;

-- name: list_operators
SELECT id, account_id, name, hint, digest, scopes, created_at, last_used_at, revoked_at
FROM api_key WHERE account_id IS NULL AND id < $1 ORDER BY id DESC LIMIT $2;

-- name: revoke
UPDATE api_key SET revoked_at = $3
WHERE id = $1 AND account_id IS NOT DISTINCT FROM $2::bigint AND revoked_at IS NULL;

-- name: revoked_since
SELECT id FROM api_key WHERE revoked_at >= $1 ORDER BY revoked_at;

-- name: note_use
UPDATE api_key SET last_used_at = u.at FROM unnest($1::bigint[], $2::bigint[]) AS u (id, at)
WHERE api_key.id = u.id AND (api_key.last_used_at IS NULL OR api_key.last_used_at < u.at);

-- name: operators
SELECT 1 FROM api_key WHERE account_id IS NULL AND revoked_at IS NULL LIMIT 1;
