-- name: events_from
SELECT account_id, id, external_id FROM event WHERE id >= ?;

-- name: deliveries_from
SELECT account_id, id FROM delivery WHERE id >= ?;

-- name: activities_from
SELECT account_id, id, external_id FROM activity WHERE id >= ?;

-- name: merge_keys
INSERT OR IGNORE INTO dedupe (key, event_id) VALUES (?, ?) /* repeated */;

-- name: known
-- Which of the keys are merged, and whose they are.
SELECT key, event_id FROM dedupe WHERE key IN (SELECT value FROM carray(?));

-- name: event_with
SELECT event_id FROM dedupe WHERE key = ?;
