-- name: insert
INSERT INTO account (
  id, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at,
  changed_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10);

-- name: get
SELECT id, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at
FROM account WHERE id = $1 AND removed_at IS NULL;

-- name: by_external_id
SELECT id, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at
FROM account WHERE external_id = $1 AND removed_at IS NULL;

-- name: list
SELECT id, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at
FROM account WHERE id < $1 AND removed_at IS NULL ORDER BY id DESC LIMIT $2;

-- name: profiles
SELECT profile, count(*) FROM account WHERE removed_at IS NULL GROUP BY profile;

-- name: change
UPDATE account SET
  name = $2, profile = $3, timezone = $4, external_id = $5, notify_email = $6, settings = $7, updated_at = $8,
  config_version = config_version + 1, changed_at = greatest(changed_at, $8)
WHERE id = $1 AND removed_at IS NULL
RETURNING id, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at;

-- name: raise_config
-- Whoever changes what an account has does this first: one change after the other.
UPDATE account SET config_version = config_version + 1, changed_at = greatest(changed_at, $2)
WHERE id = $1 AND removed_at IS NULL
RETURNING config_version;

-- name: changed_since
SELECT id, config_version FROM account WHERE changed_at >= $1 ORDER BY changed_at;

-- name: lock
-- As long as this transaction lasts nobody else changes what the account has.
SELECT config_version FROM account WHERE id = $1 AND removed_at IS NULL FOR NO KEY UPDATE;

-- name: remove
UPDATE account SET
  removed_at = $2, updated_at = $2, config_version = config_version + 1, changed_at = greatest(changed_at, $2)
WHERE id = $1 AND removed_at IS NULL;

-- name: delete_event_types
DELETE FROM event_type WHERE account_id = $1;

-- name: delete_webhooks
UPDATE webhook SET deleted = true, sealed = '' WHERE account_id = $1;

-- name: revoke_keys
UPDATE api_key SET revoked_at = $2 WHERE account_id = $1 AND revoked_at IS NULL;
