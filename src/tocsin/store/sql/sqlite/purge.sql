-- name: bodies
-- Events with a body, beyond a place and older than a bound, and whether something of them has not ended.
SELECT e.id,
  EXISTS (SELECT 1 FROM delivery AS d INDEXED BY delivery_event WHERE d.event_id = e.id AND d.state < 20)
  OR EXISTS (SELECT 1 FROM fan_out AS f WHERE f.event_id = e.id)
FROM event AS e WHERE e.id > ?1 AND e.id < ?2 ORDER BY e.id LIMIT ?3;

-- name: kept_bodies
SELECT k.event_id,
  EXISTS (SELECT 1 FROM delivery AS d INDEXED BY delivery_event WHERE d.event_id = k.event_id AND d.state < 20)
  OR EXISTS (SELECT 1 FROM fan_out AS f WHERE f.event_id = k.event_id)
FROM kept_body AS k WHERE k.event_id > ?1 ORDER BY k.event_id LIMIT ?2;

-- name: keep_body
INSERT INTO kept_body (event_id) VALUES (?) /* repeated */ ON CONFLICT DO NOTHING;

-- name: take_bodies
UPDATE event SET data = NULL WHERE id IN (SELECT value FROM carray(?)) AND data IS NOT NULL;

-- name: unkeep_bodies
DELETE FROM kept_body WHERE event_id IN (SELECT value FROM carray(?));

-- name: external_ids
-- Of the next events beyond a place and older than a bound.
SELECT id, account_id, external_id FROM event WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3;

-- name: external_ids_of
SELECT account_id, external_id FROM event WHERE id IN (SELECT value FROM carray(?)) AND external_id IS NOT NULL;

-- name: delete_dedupe
-- Those of the keys that belong to events up to the one named: a key may have been used again since.
DELETE FROM dedupe WHERE key IN (SELECT value FROM carray(?1)) AND event_id <= ?2;

-- name: deliveries
-- Deliveries beyond a place and older than a bound, and whether they ended before an instant. What was folded goes after
-- its digest: its outcome is that one's, and an erasure finds that one by it.
SELECT d.id, d.state >= 20 AND d.at < ?3
  AND (d.digest_id IS NULL OR NOT EXISTS (SELECT 1 FROM delivery AS g WHERE g.id = d.digest_id))
FROM delivery AS d WHERE d.id > ?1 AND d.id < ?2 ORDER BY d.id LIMIT ?4;

-- name: events
-- Events beyond a place and older than a bound, and whether nothing refers to them any more.
SELECT e.id,
  NOT EXISTS (SELECT 1 FROM delivery AS d INDEXED BY delivery_event WHERE d.event_id = e.id)
  AND NOT EXISTS (SELECT 1 FROM fan_out AS f WHERE f.event_id = e.id)
FROM event AS e WHERE e.id > ?1 AND e.id < ?2 ORDER BY e.id LIMIT ?3;

-- name: delete_attempts
-- All attempts of the given deliveries.
DELETE FROM attempt WHERE number IN (
  WITH RECURSIVE chain (number) AS (
    SELECT last_attempt FROM delivery WHERE id IN (SELECT value FROM carray(?))
    UNION ALL
    SELECT a.previous FROM chain AS c CROSS JOIN attempt AS a ON a.number = c.number WHERE a.previous IS NOT NULL
  )
  SELECT number FROM chain
);

-- name: accounts_of_deliveries
SELECT account_id, id FROM delivery WHERE id IN (SELECT value FROM carray(?));

-- name: accounts_of_events
SELECT account_id, id FROM event WHERE id IN (SELECT value FROM carray(?));

-- name: delete_deliveries
DELETE FROM delivery WHERE id IN (SELECT value FROM carray(?));

-- name: delete_digests
DELETE FROM digest WHERE delivery_id IN (SELECT value FROM carray(?));

-- name: delete_events
DELETE FROM event WHERE id IN (SELECT value FROM carray(?));

-- name: delete_fan_outs
DELETE FROM fan_out WHERE event_id IN (SELECT value FROM carray(?));

-- name: activity_bodies
-- The next activities beyond a place and older than a bound.
SELECT id FROM activity WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3;

-- name: take_activity_bodies
UPDATE activity SET data = NULL WHERE id IN (SELECT value FROM carray(?)) AND data IS NOT NULL;

-- name: activities
-- The oldest activities, if older than a bound.
SELECT id, account_id, external_id FROM activity WHERE id < ?1 ORDER BY id LIMIT ?2;

-- name: activities_of
SELECT id, account_id, external_id FROM activity WHERE id IN (SELECT value FROM carray(?));

-- name: delete_activities
DELETE FROM activity WHERE id IN (SELECT value FROM carray(?));

-- name: may_have_expired
SELECT id, key FROM trigger_expiry INDEXED BY trigger_expiry_hour WHERE hour <= ?1 ORDER BY hour LIMIT ?2;

-- name: delete_expired
DELETE FROM trigger_state WHERE key IN (SELECT value FROM carray(?1)) AND until <= ?2;

-- name: look_again
-- Those of the keys that have not expired after all.
INSERT INTO trigger_expiry (hour, key) SELECT until / 3600000 + 1, key FROM trigger_state
WHERE key IN (SELECT value FROM carray(?)) AND until IS NOT NULL;

-- name: looked_at
DELETE FROM trigger_expiry WHERE id IN (SELECT value FROM carray(?));

-- name: state_of_account
-- Of the keys from one on and below another.
DELETE FROM trigger_state WHERE key IN (SELECT key FROM trigger_state WHERE key >= ?1 AND key < ?2 LIMIT ?3);

-- name: timers_of_account
DELETE FROM timer WHERE (account_id, name) IN (SELECT account_id, name FROM timer WHERE account_id = ?1 LIMIT ?2);

-- name: windows
-- Windows beyond a place, and whether they ended before an instant and have no open digest.
SELECT w.webhook_id, w.ends_at < ?2 AND NOT EXISTS (
  SELECT 1 FROM digest AS g INDEXED BY digest_open CROSS JOIN delivery AS d ON d.id = g.delivery_id
  WHERE g.webhook_id = w.webhook_id AND g.takes = 1 AND (d.state < 12 OR (d.state = 12 AND d.prior < 20))
)
FROM digest_window AS w WHERE w.webhook_id > ?1 ORDER BY w.webhook_id LIMIT ?3;

-- name: delete_windows
DELETE FROM digest_window WHERE webhook_id IN (SELECT value FROM carray(?));

-- name: abandoned_backlogs
-- The webhooks with something waiting that are deleted, of those given.
SELECT id FROM webhook WHERE deleted = 1 AND id IN (SELECT value FROM carray(?));

-- name: removed_account
SELECT id, removed_at FROM account INDEXED BY account_removed
WHERE removed_at IS NOT NULL AND removed_at > ? ORDER BY removed_at LIMIT 1;

-- name: idempotency_of_account
DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency WHERE account_id = ?1 LIMIT ?2);

-- name: lanes_of_account
DELETE FROM lane WHERE webhook_id IN (SELECT id FROM webhook WHERE account_id = ?);

-- name: notices_of_account
DELETE FROM notice WHERE webhook_id IN (SELECT id FROM webhook WHERE account_id = ?);

-- name: versions_of_account
DELETE FROM webhook_version WHERE webhook_id IN (SELECT id FROM webhook WHERE account_id = ?);

-- name: webhooks_of_account
DELETE FROM webhook WHERE account_id = ?;

-- name: keys_of_account
DELETE FROM api_key WHERE account_id = ?;

-- name: account
DELETE FROM account WHERE id = ? AND removed_at IS NOT NULL;

-- name: free_pages
SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count;
