-- name: insert
INSERT INTO account (
  id, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: get
SELECT id, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at
FROM account WHERE id = ? AND removed_at IS NULL;

-- name: by_external_id
SELECT id, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at
FROM account WHERE external_id = ? AND removed_at IS NULL;

-- name: list
SELECT id, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at
FROM account WHERE id < ? AND removed_at IS NULL ORDER BY id DESC LIMIT ?;

-- name: profiles
SELECT profile FROM account WHERE removed_at IS NULL;

-- name: change
UPDATE account SET
  name = ?2, profile = ?3, timezone = ?4, external_id = ?5, notify_email = ?6, settings = ?7, updated_at = ?8,
  config_version = config_version + 1
WHERE id = ?1 AND removed_at IS NULL;

-- name: raise_config
UPDATE account SET config_version = config_version + 1 WHERE id = ? AND removed_at IS NULL
RETURNING config_version;

-- name: remove
UPDATE account SET removed_at = ?2, updated_at = ?2, config_version = config_version + 1
WHERE id = ?1 AND removed_at IS NULL;

-- name: delete_event_types
DELETE FROM event_type WHERE account_id = ?;

-- name: delete_webhooks
UPDATE webhook SET deleted = 1, sealed = x'' WHERE account_id = ?;

-- name: revoke_keys
UPDATE api_key SET revoked_at = ?2 WHERE account_id = ?1 AND revoked_at IS NULL;
