-- What a move to another database reads: each noun in the order of its key, beyond one key and up to another, as many
-- rows as asked for, with the columns that the other store has (see store/moving/nouns.py).

-- name: account
SELECT id, name, profile, timezone, external_id, notify_email, settings, config_version, created_at, updated_at,
  removed_at, coalesce(removed_at, updated_at)
FROM account WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3;

-- name: api_key
SELECT id, account_id, name, hint, digest, scopes, created_at, last_used_at, revoked_at
FROM api_key WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3;

-- name: event_type
SELECT account_id, name, description, schema, example, source, extension
FROM event_type WHERE (account_id, name) > (?1, ?2) AND (account_id, name) <= (?3, ?4) ORDER BY account_id, name LIMIT ?5;

-- name: webhook
SELECT w.account_id, w.id, w.version, w.channel, v.settings ->> '$.shard', w.sealed, w.created_at, w.deleted
FROM webhook AS w LEFT JOIN webhook_version AS v ON v.webhook_id = w.id AND v.version = w.version
WHERE w.id > ?1 AND w.id <= ?2 ORDER BY w.id LIMIT ?3;

-- name: webhook_version
-- Of the webhooks given.
SELECT w.account_id, v.webhook_id, v.version, v.from_config, v.state, v.status_reason, v.status_since, v.muted_until,
  v.settings, v.deleted, v.updated_at
FROM carray(?1) AS c CROSS JOIN webhook AS w ON w.id = c.value CROSS JOIN webhook_version AS v ON v.webhook_id = w.id;

-- name: audit
SELECT id, account_id, at, actor, action, subject, detail, request_id
FROM audit WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3;

-- name: event
SELECT account_id, id, type, timestamp, accepted_at, external_id, source, config_version, matched,
  CAST(visitor_id AS BLOB), digest, data
FROM event WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3;

-- name: named_events
-- Those with an external id.
SELECT account_id, external_id, id
FROM event WHERE id > ?1 AND id <= ?2 AND external_id IS NOT NULL ORDER BY id LIMIT ?3;

-- name: delivery
SELECT account_id, id, event_id, webhook_id, replay_id, digest_id, at, attempts, tries, claim_count,
  nullif(status_code, -1000), iif(state = 12, prior, state), last_attempt
FROM delivery WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3;

-- name: attempt
-- By their numbers, in no order.
SELECT a.delivery_id, a.previous, a.record FROM carray(?1) AS c CROSS JOIN attempt AS a ON a.number = c.value;

-- name: fan_out
SELECT event_id, account_id, config_version, after
FROM fan_out WHERE event_id > ?1 AND event_id <= ?2 ORDER BY event_id LIMIT ?3;

-- name: lane
SELECT webhook_id, failing_since, coalesce(unbroken_since, failing_since), warned_at
FROM lane WHERE webhook_id > ?1 AND webhook_id <= ?2 ORDER BY webhook_id LIMIT ?3;

-- name: kept_body
SELECT k.event_id, e.account_id FROM kept_body AS k CROSS JOIN event AS e ON e.id = k.event_id
WHERE k.event_id > ?1 AND k.event_id <= ?2 ORDER BY k.event_id LIMIT ?3;

-- name: notice
SELECT webhook_id, id, account_id, kind, reason, at, due_at, tries
FROM notice WHERE webhook_id > ?1 AND webhook_id <= ?2 ORDER BY webhook_id LIMIT ?3;

-- name: idempotency
-- Whoever held a key runs no more.
SELECT account_id, route, key, digest, 0, expires_at, status, headers, body
FROM idempotency WHERE (account_id, route, key) > (?1, ?2, ?3) AND (account_id, route, key) <= (?4, ?5, ?6)
ORDER BY account_id, route, key LIMIT ?7;

-- name: digest_window
SELECT webhook_id, opened_at, ends_at, sent
FROM digest_window WHERE webhook_id > ?1 AND webhook_id <= ?2 ORDER BY webhook_id LIMIT ?3;

-- name: digest
SELECT delivery_id, webhook_id, kind, opened_at, takes, members, revision, scrub, message
FROM digest WHERE delivery_id > ?1 AND delivery_id <= ?2 ORDER BY delivery_id LIMIT ?3;

-- name: activity
SELECT account_id, id, kind, at, accepted_at, external_id, CAST(visitor_id AS BLOB), digest, result, data
FROM activity WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3;

-- name: named_activities
SELECT account_id, external_id, id
FROM activity WHERE id > ?1 AND id <= ?2 AND external_id IS NOT NULL ORDER BY id LIMIT ?3;

-- name: trigger_state
SELECT key, until, value FROM trigger_state WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT ?3;

-- name: timer
SELECT account_id, name, due_at
FROM timer WHERE (account_id, name) > (?1, ?2) AND (account_id, name) <= (?3, ?4) ORDER BY account_id, name LIMIT ?5;

-- name: operator
-- The first key of the operator's: no two installations have the same.
SELECT min(id) FROM api_key WHERE account_id IS NULL;

-- name: oldest
-- The oldest id of the logs.
SELECT min(id) FROM (
  SELECT (SELECT min(id) FROM event) AS id
  UNION ALL SELECT (SELECT min(id) FROM delivery)
  UNION ALL SELECT (SELECT min(id) FROM activity)
);
