-- name: take
-- Nothing where somebody has the key, in a transaction that has ended; waits for one that has not.
INSERT INTO idempotency (account_id, route, key, digest, holder, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account_id, route, key) DO NOTHING;

-- name: get
SELECT digest, holder, expires_at, status, headers, body FROM idempotency
WHERE account_id = $1 AND route = $2 AND key = $3 FOR UPDATE;

-- name: take_over
UPDATE idempotency SET digest = $4, holder = $5, expires_at = $6, status = NULL, headers = NULL, body = NULL
WHERE account_id = $1 AND route = $2 AND key = $3;

-- name: finish
UPDATE idempotency SET digest = $4, status = $5, headers = $6, body = $7
WHERE account_id = $1 AND route = $2 AND key = $3;

-- name: abandon
DELETE FROM idempotency WHERE account_id = $1 AND route = $2 AND key = $3 AND status IS NULL;
