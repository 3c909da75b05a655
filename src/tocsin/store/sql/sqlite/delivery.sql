-- name: insert
-- A delivery that its owner sends at once comes in as being sent, in the very row that is settled later.
INSERT INTO delivery (
  id, event_id, webhook_id, account_id, state, waits, at, claim_count, prior, attempts, tries, status_code, last_attempt
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 10, 0, 0, -1000, -1099511627776) /* repeated */;

-- name: first_waiting
-- The first of a lane, whether due or not, as one row; nothing of a webhook that is deleted.
SELECT json_group_array(json_array(id, at)) FROM (
  SELECT id, at FROM delivery INDEXED BY delivery_waiting
  WHERE webhook_id = ?1 AND waits = 1 AND EXISTS (SELECT 1 FROM webhook WHERE id = ?1 AND deleted = 0)
  ORDER BY at, id LIMIT ?2
);

-- name: next_due
SELECT at FROM delivery INDEXED BY delivery_waiting WHERE webhook_id = ? AND waits = 1 ORDER BY at LIMIT 1;

-- name: to_send
-- What is needed to send them, in the order given.
SELECT
  d.id, d.event_id, d.webhook_id, d.account_id, d.attempts, d.tries, d.claim_count, e.type, e.timestamp, e.data,
  e.config_version
FROM carray(?) AS c CROSS JOIN delivery AS d ON d.id = c.value CROSS JOIN event AS e ON e.id = d.event_id;

-- name: claim
UPDATE delivery SET prior = state, state = 12, waits = 0, claim_count = claim_count + 1
WHERE id IN (SELECT value FROM carray(?)) AND waits = 1;

-- name: cancel_erased
UPDATE delivery SET state = 22, waits = 0, at = ?2 WHERE id IN (SELECT value FROM carray(?1)) AND waits = 1;

-- name: one
SELECT d.event_id, d.webhook_id, d.state, d.attempts, d.tries, d.claim_count, e.type, e.timestamp, e.data
FROM delivery AS d CROSS JOIN event AS e ON e.id = d.event_id
CROSS JOIN account AS a ON a.id = d.account_id AND a.removed_at IS NULL
WHERE d.id = ? AND d.account_id = ?;

-- name: claim_one
UPDATE delivery SET prior = state, state = 12, waits = 0, claim_count = claim_count + 1 WHERE id = ?;

-- name: last_attempts
SELECT id, last_attempt FROM delivery WHERE id IN (SELECT value FROM carray(?)) AND state = 12;

-- name: settle
-- An attempt that is kept already changes nothing: its outcome may come again, where the first commit's was unknown, and
-- find the delivery claimed for the next attempt.
UPDATE delivery SET
  state = v.column2, waits = (v.column2 < 12), at = v.column3, tries = v.column4, status_code = v.column5,
  last_attempt = v.column6, attempts = attempts + 1, claim_count = 0
FROM (VALUES (?, ?, ?, ?, ?, ?, ?) /* repeated */) AS v
WHERE delivery.id = v.column1 AND delivery.state = 12 AND delivery.attempts = v.column7 - 1;

-- name: settled
-- Which attempts are the newest of their delivery.
SELECT last_attempt FROM delivery WHERE id IN (SELECT value FROM carray(?));

-- name: settle_manual
UPDATE delivery SET
  state = iif(?2, 20, prior), waits = NOT ?2 AND prior < 12, at = iif(?2, ?3, at), status_code = ?4, last_attempt = ?5,
  attempts = attempts + 1, claim_count = 0
WHERE id = ?1 AND state = 12;

-- name: state
SELECT state FROM delivery WHERE id = ?;

-- name: release
UPDATE delivery SET state = prior, waits = (prior < 12), claim_count = max(claim_count - 1, 0)
WHERE id IN (SELECT value FROM carray(?)) AND state = 12;

-- name: claimed
SELECT id, webhook_id, account_id FROM delivery INDEXED BY delivery_sending WHERE state = 12;

-- name: release_all
UPDATE delivery INDEXED BY delivery_sending SET state = prior, waits = (prior < 12) WHERE state = 12;

-- name: cancel
UPDATE delivery SET state = 22, waits = 0, at = ?3 WHERE id = ?1 AND account_id = ?2 AND waits = 1;

-- name: drop_waiting
UPDATE delivery SET state = 22, waits = 0, at = ?2 WHERE id IN (
  SELECT id FROM delivery INDEXED BY delivery_waiting WHERE webhook_id = ?1 AND waits = 1 LIMIT ?3
);

-- name: backlogs
-- The webhooks beyond ?1 with something waiting, and when it is due: one step of the index for each.
WITH RECURSIVE backlog (webhook_id) AS (
  SELECT (SELECT webhook_id FROM delivery INDEXED BY delivery_waiting
          WHERE webhook_id > ?1 AND waits = 1 ORDER BY webhook_id LIMIT 1)
  UNION ALL
  SELECT (SELECT webhook_id FROM delivery INDEXED BY delivery_waiting
          WHERE webhook_id > b.webhook_id AND waits = 1 ORDER BY webhook_id LIMIT 1)
  FROM backlog AS b WHERE b.webhook_id IS NOT NULL
  LIMIT ?2
)
SELECT webhook_id, (
  SELECT at FROM delivery AS d INDEXED BY delivery_waiting
  WHERE d.webhook_id = backlog.webhook_id AND d.waits = 1 ORDER BY at LIMIT 1
)
FROM backlog WHERE webhook_id IS NOT NULL;
