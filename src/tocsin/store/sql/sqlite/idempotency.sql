-- name: get
SELECT id, digest, holder, expires_at, status, headers, body FROM idempotency
WHERE account_id = ? AND route = ? AND key = ?;

-- name: insert
INSERT INTO idempotency (account_id, route, key, digest, holder, expires_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: delete
DELETE FROM idempotency WHERE id = ?;

-- name: finish
UPDATE idempotency SET digest = ?4, status = ?5, headers = ?6, body = ?7
WHERE account_id = ?1 AND route = ?2 AND key = ?3;

-- name: abandon
DELETE FROM idempotency WHERE account_id = ? AND route = ? AND key = ? AND status IS NULL;

-- name: purge
DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency ORDER BY id LIMIT ?2) AND expires_at <= ?1;
