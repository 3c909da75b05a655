-- Logs are gone through in the order of their ids, across accounts; see store/postgres/purge.py. Whether a row has others is
-- asked for in a subquery of its own, one step of an index each: for an EXISTS PostgreSQL may go through all of the other
-- table instead. For the same reason rows that are to go are picked first, by their places.

-- name: bodies
-- Events with a body, beyond a place and older than a bound, and whether something of them has not ended.
SELECT e.account_id, e.id,
  (SELECT true FROM delivery_live AS d WHERE d.event_id = e.id LIMIT 1) IS NOT NULL
  OR (SELECT true FROM fan_out AS f WHERE f.event_id = e.id) IS NOT NULL AS open
FROM event AS e WHERE e.id > $1 AND e.id < $2 ORDER BY e.id LIMIT $3;

-- name: kept_bodies
SELECT k.account_id, k.event_id,
  (SELECT true FROM delivery_live AS d WHERE d.event_id = k.event_id LIMIT 1) IS NOT NULL
  OR (SELECT true FROM fan_out AS f WHERE f.event_id = k.event_id) IS NOT NULL AS open
FROM kept_body AS k WHERE k.event_id > $1 ORDER BY k.event_id LIMIT $2;

-- name: keep_bodies
INSERT INTO kept_body (account_id, event_id) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING;

-- name: take_bodies
UPDATE event SET data = NULL FROM unnest($1::bigint[], $2::bigint[]) AS t (account_id, id)
WHERE event.account_id = t.account_id AND event.id = t.id AND event.id BETWEEN $3 AND $4 AND event.data IS NOT NULL;

-- name: unkeep_bodies
DELETE FROM kept_body WHERE event_id = ANY ($1::bigint[]);

-- name: dedupe
DELETE FROM dedupe WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM dedupe WHERE event_id < $1 ORDER BY event_id LIMIT $2
));

-- name: deliveries
-- Ended deliveries beyond a place and older than a bound, and whether they ended before an instant. What was folded goes
-- after its digest: its outcome is that one's, and an erasure finds that one by it.
SELECT d.account_id, d.id, d.at < $3 AND (SELECT true FROM delivery AS g WHERE g.id = d.digest_id) IS NULL AS over
FROM delivery_log AS d WHERE d.id > $1 AND d.id < $2 ORDER BY d.id LIMIT $4;

-- name: delete_deliveries
-- Those of the given that are there still: one may be sent anew by hand.
DELETE FROM delivery_log AS d USING unnest($1::bigint[], $2::bigint[]) AS t (account_id, id)
WHERE d.account_id = t.account_id AND d.id = t.id AND d.id BETWEEN $3 AND $4
RETURNING d.account_id, d.id;

-- name: delete_attempts
-- All attempts of the given deliveries.
DELETE FROM attempt AS a USING unnest($1::bigint[], $2::bigint[]) AS t (account_id, delivery_id)
WHERE a.account_id = t.account_id AND a.delivery_id = t.delivery_id AND a.delivery_id BETWEEN $3 AND $4;

-- name: delete_digests
DELETE FROM digest WHERE delivery_id = ANY ($1::bigint[]);

-- name: events
-- Events beyond a place and older than a bound, and whether nothing refers to them any more.
SELECT e.account_id, e.id,
  (SELECT true FROM delivery AS d WHERE d.event_id = e.id LIMIT 1) IS NULL
  AND (SELECT true FROM fan_out AS f WHERE f.event_id = e.id) IS NULL AS free
FROM event AS e WHERE e.id > $1 AND e.id < $2 ORDER BY e.id LIMIT $3;

-- name: delete_events
DELETE FROM event AS e USING unnest($1::bigint[], $2::bigint[]) AS t (account_id, id)
WHERE e.account_id = t.account_id AND e.id = t.id AND e.id BETWEEN $3 AND $4;

-- name: delete_fan_outs
DELETE FROM fan_out WHERE event_id = ANY ($1::bigint[]);

-- name: activity_bodies
-- The next activities beyond a place and older than a bound.
SELECT account_id, id FROM activity WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3;

-- name: take_activity_bodies
UPDATE activity AS a SET data = NULL FROM unnest($1::bigint[], $2::bigint[]) AS t (account_id, id)
WHERE a.account_id = t.account_id AND a.id = t.id AND a.id BETWEEN $3 AND $4 AND a.data IS NOT NULL;

-- name: activities
-- The oldest activities beyond a place, if older than a bound.
SELECT account_id, id, external_id FROM activity WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3;

-- name: names
-- Of activities older than a bound, which may go as a whole week.
DELETE FROM activity_dedupe WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM activity_dedupe WHERE activity_id < $1 ORDER BY activity_id LIMIT $2
));

-- name: delete_names
DELETE FROM activity_dedupe AS n USING unnest($1::bigint[], $2::text[], $3::bigint[]) AS t (account_id, external_id, id)
WHERE n.account_id = t.account_id AND n.external_id = t.external_id AND n.activity_id = t.id;

-- name: delete_activities
DELETE FROM activity AS a USING unnest($1::bigint[], $2::bigint[]) AS t (account_id, id)
WHERE a.account_id = t.account_id AND a.id = t.id AND a.id BETWEEN $3 AND $4;

-- name: expired
-- Forgets what has expired, of what is to be looked at by an hour; what has not is looked at again later. What a
-- transaction under way is changing is passed over, so that nobody waits for another in a circle.
WITH due AS MATERIALIZED (
  SELECT account_id, key, until FROM trigger_state WHERE look_at <= $1 ORDER BY look_at LIMIT $3
  FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM trigger_state AS s USING due
  WHERE s.account_id = due.account_id AND s.key = due.key AND due.until <= $2
  RETURNING 1
), later AS (
  UPDATE trigger_state AS s SET look_at = due.until / 3600000 + 1 FROM due
  WHERE s.account_id = due.account_id AND s.key = due.key AND (due.until IS NULL OR due.until > $2)
  RETURNING 1
)
SELECT count(*) FROM gone;

-- name: windows
-- Windows beyond a place, and whether they ended before an instant and have no open digest.
SELECT w.webhook_id, w.ends_at < $2 AND (
  SELECT true FROM digest AS g JOIN delivery_live AS d ON d.id = g.delivery_id
  WHERE g.webhook_id = w.webhook_id AND g.takes AND (d.state < 12 OR d.prior < 20) LIMIT 1
) IS NULL AS over
FROM digest_window AS w WHERE w.webhook_id > $1 ORDER BY w.webhook_id LIMIT $3;

-- name: delete_windows
-- Those of the given that ended before an instant still.
DELETE FROM digest_window WHERE webhook_id = ANY ($1::bigint[]) AND ends_at < $2;

-- name: idempotency
DELETE FROM idempotency WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
));

-- name: webhooks
-- The next ones beyond a place, and whether they are deleted.
SELECT id, deleted FROM webhook WHERE id > $1 ORDER BY id LIMIT $2;

-- name: drop_abandoned
-- Cancels what still waits for the given webhooks, so many of each.
WITH gone AS (
  DELETE FROM delivery_live WHERE state < 12 AND id = ANY (ARRAY(
    SELECT d.id FROM unnest($1::bigint[]) AS w (id) CROSS JOIN LATERAL (
      SELECT id FROM delivery_live WHERE webhook_id = w.id AND state < 12 ORDER BY at, id LIMIT $3
    ) AS d
  ))
  RETURNING *
)
INSERT INTO delivery_log
  (account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, claim_count, status_code, state)
SELECT account_id, id, event_id, webhook_id, replay_id, $2, attempts, tries, claim_count, status_code, 22 FROM gone;

-- name: removed_account
SELECT id, removed_at FROM account WHERE removed_at > $1 ORDER BY removed_at LIMIT 1;

-- name: dedupe_of_account
DELETE FROM dedupe WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM dedupe WHERE account_id = $1 ORDER BY account_id, external_id LIMIT $2
));

-- name: events_of_account
-- The oldest.
SELECT account_id, id FROM event WHERE account_id = $1 ORDER BY id LIMIT $2;

-- name: deliveries_of_account
SELECT account_id, id FROM delivery WHERE account_id = $1 ORDER BY id LIMIT $2;

-- name: delete_live_deliveries
DELETE FROM delivery_live AS d USING unnest($1::bigint[], $2::bigint[]) AS t (account_id, id)
WHERE d.account_id = t.account_id AND d.id = t.id AND d.id = ANY ($2)
RETURNING d.account_id, d.id;

-- name: activities_of_account
SELECT account_id, id, external_id FROM activity WHERE account_id = $1 ORDER BY id LIMIT $2;

-- name: state_of_account
DELETE FROM trigger_state WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM trigger_state WHERE account_id = $1 ORDER BY account_id, key LIMIT $2
));

-- name: timers_of_account
DELETE FROM timer WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM timer WHERE account_id = $1 ORDER BY account_id, name LIMIT $2
));

-- name: idempotency_of_account
DELETE FROM idempotency WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency WHERE account_id = $1 ORDER BY account_id, route, key LIMIT $2
));

-- name: lanes_of_account
DELETE FROM lane WHERE webhook_id IN (SELECT id FROM webhook WHERE account_id = $1);

-- name: notices_of_account
DELETE FROM notice WHERE webhook_id IN (SELECT id FROM webhook WHERE account_id = $1);

-- name: windows_of_account
DELETE FROM digest_window WHERE webhook_id IN (SELECT id FROM webhook WHERE account_id = $1);

-- name: versions_of_account
DELETE FROM webhook_version WHERE account_id = $1;

-- name: webhooks_of_account
DELETE FROM webhook WHERE account_id = $1;

-- name: trigger_version_of_account
DELETE FROM trigger_version WHERE account_id = $1;

-- name: keys_of_account
DELETE FROM api_key WHERE account_id = $1;

-- name: account
DELETE FROM account WHERE id = $1 AND removed_at IS NOT NULL;
