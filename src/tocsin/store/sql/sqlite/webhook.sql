-- name: insert
INSERT INTO webhook (id, account_id, version, channel, sealed, created_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: insert_version
INSERT INTO webhook_version (
  webhook_id, version, from_config, state, status_reason, status_since, muted_until, settings, deleted, updated_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: get
SELECT w.id, w.account_id, w.version, v.from_config, v.state, v.status_reason, v.status_since, v.muted_until,
  v.settings, w.sealed, w.created_at, v.updated_at, v.deleted
FROM webhook AS w CROSS JOIN webhook_version AS v ON v.webhook_id = w.id AND v.version = w.version
WHERE w.id = ? AND w.account_id = ? AND w.deleted = 0;

-- name: list
SELECT w.id, w.account_id, w.version, v.from_config, v.state, v.status_reason, v.status_since, v.muted_until,
  v.settings, w.sealed, w.created_at, v.updated_at, v.deleted
FROM webhook AS w CROSS JOIN webhook_version AS v ON v.webhook_id = w.id AND v.version = w.version
WHERE w.account_id = ? AND w.id < ? AND w.deleted = 0 ORDER BY w.id DESC LIMIT ?;

-- name: as_of
-- Of each webhook the newest version that was in force by then.
SELECT w.id, w.account_id, v.version, v.from_config, v.state, v.status_reason, v.status_since, v.muted_until,
  v.settings, iif(v.version = w.version, w.sealed, x''), w.created_at, v.updated_at, v.deleted
FROM webhook AS w CROSS JOIN webhook_version AS v ON v.webhook_id = w.id AND v.version = (
  SELECT max(version) FROM webhook_version WHERE webhook_id = w.id AND from_config <= ?2
)
WHERE w.account_id = ?1 ORDER BY w.id;

-- name: count
SELECT count(*) FROM webhook WHERE account_id = ? AND deleted = 0;

-- name: change
UPDATE webhook SET version = ?2, channel = ?3, sealed = ?4, deleted = ?5 WHERE id = ?1;
