-- name: events
-- The next events of a visitor.
SELECT id FROM event INDEXED BY event_visitor
WHERE visitor_bucket = ?1 AND id > ?2 AND account_id = ?3 AND visitor_id = ?4 ORDER BY id LIMIT ?5;

-- name: deliveries
-- All of the given events, and their last attempts.
SELECT id, last_attempt FROM delivery INDEXED BY delivery_event WHERE event_id IN (SELECT value FROM carray(?));

-- name: attempts
-- All of the given deliveries.
WITH RECURSIVE chain (number) AS (
  SELECT last_attempt FROM delivery WHERE id IN (SELECT value FROM carray(?))
  UNION ALL
  SELECT a.previous FROM chain AS c CROSS JOIN attempt AS a ON a.number = c.number WHERE a.previous IS NOT NULL
)
SELECT a.number, a.record FROM chain AS c CROSS JOIN attempt AS a ON a.number = c.number;

-- name: holders
-- The digests that hold the given deliveries, themselves or in another digest.
WITH RECURSIVE holder (id) AS (
  SELECT digest_id FROM delivery WHERE id IN (SELECT value FROM carray(?)) AND digest_id IS NOT NULL
  UNION
  SELECT d.digest_id FROM holder AS h CROSS JOIN delivery AS d ON d.id = h.id WHERE d.digest_id IS NOT NULL
)
SELECT d.id, d.event_id, e.data FROM holder AS h CROSS JOIN delivery AS d ON d.id = h.id
CROSS JOIN event AS e ON e.id = d.event_id;

-- name: change_digest
UPDATE digest SET revision = revision + 1, scrub = (SELECT state = 12 FROM delivery WHERE id = ?1)
WHERE delivery_id = ?1;

-- name: to_bare
-- Of the given deliveries those of which an erasure took something while they were being sent.
SELECT d.id FROM carray(?) AS c CROSS JOIN delivery AS d ON d.id = c.value CROSS JOIN event AS e ON e.id = d.event_id
LEFT JOIN digest AS g ON g.delivery_id = d.id
WHERE e.data IS NULL OR g.scrub = 1;

-- name: scrubbed
UPDATE digest SET scrub = 0 WHERE delivery_id IN (SELECT value FROM carray(?)) AND scrub = 1;

-- name: change_attempt
UPDATE attempt SET record = ?2 WHERE number = ?1;

-- name: empty_events
UPDATE event SET data = NULL, visitor_id = NULL, visitor_bucket = NULL WHERE id IN (SELECT value FROM carray(?));

-- name: activities
-- Those of the given ids that are of a visitor.
SELECT a.id FROM carray(?1) AS c CROSS JOIN activity AS a ON a.id = c.value
WHERE a.account_id = ?2 AND a.visitor_id = ?3;

-- name: empty_activities
UPDATE activity SET data = NULL, visitor_id = NULL WHERE id IN (SELECT value FROM carray(?));

-- name: remembered
-- The next keys of an account, and the values that may name a visitor.
SELECT key, CASE WHEN instr(value, ?3) THEN value END FROM trigger_state
WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?4;

-- name: value
SELECT value FROM trigger_state WHERE key = ?;

-- name: change_value
UPDATE trigger_state SET value = ?2 WHERE key = ?1;

-- name: newest_expiry
SELECT max(id) FROM trigger_expiry;

-- name: expiries
-- Where any of the keys is named, from one row to another.
SELECT id FROM trigger_expiry WHERE id > ?1 AND id <= ?2 AND key IN (SELECT value FROM carray(?3));
