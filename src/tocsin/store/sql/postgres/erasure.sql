-- name: events
-- The next events of a visitor.
SELECT id FROM event WHERE account_id = $1 AND visitor_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: lock_deliveries
-- Those of the given events that have not ended. Locked, so that what is being settled is settled before its attempts are
-- looked at, or is settled after the event was emptied, and sees it.
SELECT id FROM delivery_live WHERE event_id = ANY ($2::bigint[]) AND account_id = $1 ORDER BY id FOR UPDATE;

-- name: deliveries
-- All of the given events.
SELECT id FROM delivery WHERE event_id = ANY ($2::bigint[]) AND account_id = $1 ORDER BY id;

-- name: cancel
WITH gone AS (DELETE FROM delivery_live WHERE account_id = $1 AND id = ANY ($2::bigint[]) AND state < 12 RETURNING *)
INSERT INTO delivery_log
  (account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, claim_count, status_code, state)
SELECT account_id, id, event_id, webhook_id, replay_id, $3, attempts, tries, claim_count, status_code, 22 FROM gone;

-- name: holders
-- The digests that hold the given deliveries, themselves or in another digest.
WITH RECURSIVE holder (id) AS (
  SELECT digest_id FROM delivery_log WHERE account_id = $1 AND id = ANY ($2::bigint[]) AND digest_id IS NOT NULL
  UNION
  SELECT d.digest_id FROM holder AS h JOIN delivery_log AS d ON d.account_id = $1 AND d.id = h.id
  WHERE d.digest_id IS NOT NULL
)
SELECT id FROM holder;

-- name: summaries
SELECT d.id, d.event_id, e.data
FROM delivery AS d JOIN event AS e ON e.account_id = d.account_id AND e.id = d.event_id
WHERE d.account_id = $1 AND d.id = ANY ($2::bigint[]) ORDER BY d.id FOR UPDATE OF e;

-- name: change_digest
UPDATE digest SET revision = revision + 1,
  scrub = EXISTS (SELECT FROM delivery_live WHERE account_id = $1 AND id = $2 AND state = 12)
WHERE delivery_id = $2;

-- name: change_summary
UPDATE event SET data = $3 WHERE account_id = $1 AND id = $2;

-- name: attempts
-- All of the given deliveries.
SELECT delivery_id, id, record FROM attempt WHERE account_id = $1 AND delivery_id = ANY ($2::bigint[]);

-- name: change_attempt
UPDATE attempt SET record = $4 WHERE account_id = $1 AND delivery_id = $2 AND id = $3;

-- name: empty_events
UPDATE event SET data = NULL, visitor_id = NULL WHERE account_id = $1 AND id = ANY ($2::bigint[]);

-- name: empty_activities
-- The oldest of a visitor.
UPDATE activity SET data = NULL, visitor_id = NULL WHERE account_id = $1 AND id = ANY (ARRAY(
  SELECT id FROM activity WHERE account_id = $1 AND visitor_id = $2 ORDER BY id LIMIT $3
));

-- name: remembered
-- The next keys of an account, beyond one (NULL: from the first on), and the values that may name a visitor.
SELECT key, CASE WHEN position($3::bytea IN value) > 0 THEN value END FROM trigger_state
WHERE account_id = $1 AND ($2::bytea IS NULL OR key > $2) ORDER BY key LIMIT $4;

-- name: values
SELECT key, value FROM trigger_state WHERE account_id = $1 AND key = ANY ($2::bytea[]) FOR UPDATE;

-- name: change_value
UPDATE trigger_state SET value = $3 WHERE account_id = $1 AND key = $2;
