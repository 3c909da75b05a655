-- name: insert
INSERT INTO event (
  id, account_id, type, timestamp, accepted_at, external_id, source, config_version, matched, visitor_id,
  visitor_bucket, digest, data
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) /* repeated */;

-- name: first
SELECT digest, timestamp, matched FROM event WHERE id = ?;

-- name: insert_fan_out
INSERT INTO fan_out (event_id, account_id, config_version, after) VALUES (?, ?, ?, 0);

-- name: config_versions
-- Of those of the accounts that live, as one row.
SELECT json_group_array(id), json_group_array(config_version) FROM account
WHERE id IN (SELECT value FROM carray(?)) AND removed_at IS NULL;
