-- name: insert
INSERT INTO webhook (account_id, id, version, channel, shard, sealed, created_at) VALUES ($1, $2, 1, $3, $4, $5, $6);

-- name: insert_version
INSERT INTO webhook_version (
  account_id, webhook_id, version, from_config, state, status_reason, status_since, muted_until, settings, deleted,
  updated_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: get
SELECT w.id, w.account_id, w.version, v.from_config, v.state, v.status_reason, v.status_since, v.muted_until,
  v.settings, w.sealed, w.created_at, v.updated_at, v.deleted
FROM webhook AS w
JOIN webhook_version AS v ON v.account_id = w.account_id AND v.webhook_id = w.id AND v.version = w.version
WHERE w.account_id = $1 AND w.id = $2 AND NOT w.deleted;

-- name: list
SELECT w.id, w.account_id, w.version, v.from_config, v.state, v.status_reason, v.status_since, v.muted_until,
  v.settings, w.sealed, w.created_at, v.updated_at, v.deleted
FROM webhook AS w
JOIN webhook_version AS v ON v.account_id = w.account_id AND v.webhook_id = w.id AND v.version = w.version
WHERE w.account_id = $1 AND w.id < $2 AND NOT w.deleted ORDER BY w.id DESC LIMIT $3;

-- name: as_of
-- Of each webhook the newest version that was in force by then.
SELECT w.id, w.account_id, v.version, v.from_config, v.state, v.status_reason, v.status_since, v.muted_until,
  v.settings, CASE WHEN v.version = w.version THEN w.sealed ELSE '' END, w.created_at, v.updated_at, v.deleted
FROM webhook AS w CROSS JOIN LATERAL (
  SELECT * FROM webhook_version AS o
  WHERE o.account_id = w.account_id AND o.webhook_id = w.id AND o.from_config <= $2 ORDER BY o.version DESC LIMIT 1
) AS v
WHERE w.account_id = $1 ORDER BY w.id;

-- name: count
SELECT count(*) FROM webhook WHERE account_id = $1 AND NOT deleted;

-- name: change
UPDATE webhook SET version = $3, channel = $4, shard = $5, sealed = $6, deleted = $7 WHERE account_id = $1 AND id = $2;
