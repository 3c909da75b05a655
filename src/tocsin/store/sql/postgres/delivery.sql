-- name: insert
-- A delivery that its owner sends at once comes in as being sent, in the very row that is settled later.
INSERT INTO delivery (
  id, event_id, webhook_id, account_id, state, prior, at, claim_count, attempts, tries
)
SELECT id, event_id, webhook_id, account_id, state, 10, at, claim_count, 0, tries
FROM unnest(
  $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::integer[], $8::integer[]
) AS given (id, event_id, webhook_id, account_id, state, at, claim_count, tries);

-- name: first_waiting
-- The first of each lane, one more than is wanted, whether due or not, and how large they are; nothing of a webhook that
-- is deleted. Each lane is a few steps of `delivery_waiting`, however much waits in it or in others.
SELECT wanted.webhook_id, first.id, first.at, octet_length(e.data)
FROM unnest($1::bigint[], $2::integer[]) WITH ORDINALITY AS wanted (webhook_id, n, place)
JOIN webhook ON webhook.id = wanted.webhook_id AND NOT webhook.deleted
CROSS JOIN LATERAL (
  SELECT d.id, d.at, d.account_id, d.event_id FROM delivery AS d
  WHERE d.webhook_id = wanted.webhook_id AND d.state < 12
  ORDER BY d.at, d.id LIMIT wanted.n + 1
) AS first
JOIN event AS e ON e.account_id = first.account_id AND e.id = first.event_id
ORDER BY wanted.place, first.at, first.id;

-- name: claim
-- What is needed to send them. What was cancelled meanwhile is not among them.
UPDATE delivery AS d SET prior = d.state, state = 12, claim_count = d.claim_count + 1
FROM event AS e
WHERE d.id = ANY ($1::bigint[]) AND d.state < 12 AND e.account_id = d.account_id AND e.id = d.event_id
RETURNING d.id, d.event_id, d.webhook_id, d.account_id, d.attempts, d.tries, d.claim_count, e.type, e.timestamp, e.data;

-- name: cancel_erased
UPDATE delivery SET state = 22, at = $2 WHERE id = ANY ($1::bigint[]) AND state < 12;

-- name: one
-- Nobody else changes it until the transaction ends, nor takes its body. The event is locked too because a row that
-- had to be waited for is read again only where it is locked itself.
SELECT d.event_id, d.webhook_id, d.state, d.attempts, d.tries, d.claim_count, e.type, e.timestamp, e.data
FROM delivery AS d
JOIN event AS e ON e.account_id = d.account_id AND e.id = d.event_id
JOIN account AS a ON a.id = d.account_id AND a.removed_at IS NULL
WHERE d.id = $1 AND d.account_id = $2
FOR UPDATE OF d FOR SHARE OF e;

-- name: claim_one
UPDATE delivery SET prior = state, state = 12, claim_count = claim_count + 1 WHERE account_id = $2 AND id = $1;

-- name: lock
SELECT id FROM delivery WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE;

-- name: settle
-- Settles what is being sent, and keeps the attempts at it; of one that is named twice the first. What is not being sent
-- leaves no trace, and an attempt that is kept already neither: its outcome may come again, where the first commit's was
-- unknown, and find the delivery claimed for the next attempt. Which were settled. `id = ANY` says again what the join says: so each is looked up, where the planner
-- would else go along all that is being sent, the dead rows of what was lately settled among it.
WITH given AS (
  SELECT DISTINCT ON (delivery_id) * FROM unnest(
    $1::bigint[], $2::smallint[], $3::bigint[], $4::integer[], $5::integer[], $6::bigint[], $7::bytea[], $8::integer[]
  ) WITH ORDINALITY AS outcome (delivery_id, state, at, tries, status_code, attempt_id, record, n, place)
  ORDER BY delivery_id, place
), settled AS (
  UPDATE delivery AS d SET
    state = given.state, at = given.at, tries = given.tries, status_code = given.status_code,
    attempts = d.attempts + 1, claim_count = 0
  FROM given WHERE d.id = given.delivery_id AND d.id = ANY ($1) AND d.state = 12 AND d.attempts = given.n - 1
  RETURNING d.account_id, d.id, given.attempt_id, given.record
)
INSERT INTO attempt (account_id, delivery_id, id, record)
SELECT account_id, id, attempt_id, record FROM settled
RETURNING delivery_id;

-- name: settle_manual
UPDATE delivery SET
  state = CASE WHEN $2 THEN 20 ELSE prior END, at = CASE WHEN $2 THEN $3 ELSE at END, status_code = $4,
  attempts = attempts + 1, claim_count = 0
WHERE id = $1 AND state = 12
RETURNING account_id;

-- name: state
SELECT state FROM delivery WHERE id = $1;

-- name: release
UPDATE delivery SET state = prior, claim_count = greatest(claim_count - 1, 0)
WHERE id = ANY ($1::bigint[]) AND state = 12;

-- name: claimed
SELECT id, webhook_id, account_id FROM delivery WHERE state = 12;

-- name: release_all
UPDATE delivery SET state = prior WHERE state = 12;

-- name: cancel
UPDATE delivery SET state = 22, at = $3 WHERE id = $1 AND account_id = $2 AND state < 12;

-- name: drop_waiting
-- What another is changing at the moment is waited for: none may be left when the answer says so.
UPDATE delivery AS d SET state = 22, at = $2
FROM (
  SELECT id FROM delivery WHERE webhook_id = $1 AND state < 12 ORDER BY at, id LIMIT $3 FOR UPDATE
) AS waiting
WHERE d.id = waiting.id;
