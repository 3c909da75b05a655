-- name: insert
INSERT INTO event (
  id, account_id, type, timestamp, accepted_at, external_id, source, config_version, matched, visitor_id, data
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) /* repeated */;

-- name: insert_timeline
INSERT INTO timeline (account_id, id) VALUES (?, ?) /* repeated */;

-- name: insert_dedupe
INSERT INTO dedupe (account_id, external_id, event_id, digest, timestamp, matched)
VALUES (?, ?, ?, ?, ?, ?) /* repeated */
ON CONFLICT DO NOTHING;

-- name: known
SELECT event_id, digest, timestamp, matched FROM dedupe WHERE account_id = ? AND external_id = ?;

-- name: insert_fan_out
INSERT INTO fan_out (event_id, account_id, config_version, after) VALUES (?, ?, ?, 0);

-- name: config_versions
-- Of those of the accounts that live, as one row.
SELECT json_group_array(id), json_group_array(config_version) FROM account
WHERE id IN (SELECT value FROM carray(?)) AND removed_at IS NULL;
