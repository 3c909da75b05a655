-- name: lives
-- Those of the accounts that live, as one row.
SELECT json_group_array(id) FROM account WHERE id IN (SELECT value FROM carray(?)) AND removed_at IS NULL;

-- name: values
-- What is remembered under the keys and has not expired at an instant.
SELECT s.key, s.value FROM carray(?1) AS c CROSS JOIN trigger_state AS s ON s.key = c.value
WHERE s.until IS NULL OR s.until > ?2;

-- name: known
SELECT id, digest, result FROM activity WHERE id IN (SELECT value FROM carray(?));

-- name: insert_activity
INSERT INTO activity (id, account_id, kind, at, accepted_at, external_id, visitor_id, digest, result, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) /* repeated */;

-- name: put
INSERT INTO trigger_state (key, until, value) VALUES (?, ?, ?) /* repeated */
ON CONFLICT (key) DO UPDATE SET until = excluded.until, value = excluded.value;

-- name: drop
DELETE FROM trigger_state WHERE key IN (SELECT value FROM carray(?));

-- name: set_timer
INSERT INTO timer (account_id, name, due_at) VALUES (?, ?, ?) /* repeated */
ON CONFLICT (account_id, name) DO UPDATE SET due_at = excluded.due_at;

-- name: clear_timers
DELETE FROM timer WHERE (account_id, name) IN (VALUES (?, ?) /* repeated */);

-- name: timer
SELECT due_at FROM timer WHERE account_id = ? AND name = ?;

-- name: due
-- Nothing of an account that was removed.
SELECT t.account_id, t.name, t.due_at FROM timer AS t INDEXED BY timer_due
WHERE t.due_at <= ?1 AND EXISTS (SELECT 1 FROM account AS a WHERE a.id = t.account_id AND a.removed_at IS NULL)
ORDER BY t.due_at LIMIT ?2;

-- name: next_due
SELECT t.due_at FROM timer AS t INDEXED BY timer_due
WHERE EXISTS (SELECT 1 FROM account AS a WHERE a.id = t.account_id AND a.removed_at IS NULL)
ORDER BY t.due_at LIMIT 1;

-- name: scan
-- From a key on, but for one.
SELECT key, value FROM trigger_state WHERE key >= ?1 AND key <> ?2 ORDER BY key LIMIT ?3;

-- name: activities
-- Those of the given ids that are the account's and still have their data, in the order given.
SELECT a.id, a.kind, a.at, a.accepted_at, a.external_id, a.digest, a.data, a.result, a.visitor_id
FROM carray(?1) AS c CROSS JOIN activity AS a ON a.id = c.value
WHERE a.account_id = ?2 AND a.data IS NOT NULL LIMIT ?3;
