-- name: insert
INSERT INTO api_key (id, account_id, name, hint, digest, scopes, created_at, last_used_at, revoked_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING;

-- name: by_digest
SELECT id, account_id, name, hint, digest, scopes, created_at, last_used_at, revoked_at
FROM api_key WHERE digest = ?;

-- name: list
SELECT id, account_id, name, hint, digest, scopes, created_at, last_used_at, revoked_at
FROM api_key WHERE account_id IS ? AND id < ? ORDER BY id DESC LIMIT ?;

-- name: revoke
UPDATE api_key SET revoked_at = ?3 WHERE id = ?1 AND account_id IS ?2 AND revoked_at IS NULL;

-- name: revoked_since
SELECT id FROM api_key WHERE revoked_at >= ? ORDER BY revoked_at;

-- name: note_use
UPDATE api_key SET last_used_at = ?2 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2);

-- name: operators
SELECT 1 FROM api_key WHERE account_id IS NULL AND revoked_at IS NULL LIMIT 1;
