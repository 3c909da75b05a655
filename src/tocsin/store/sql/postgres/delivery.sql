-- What has not ended stands in `delivery_live`, what has in `delivery_log`; a delivery is moved, in one statement, never
-- copied. Whoever looks in one after the other for the same delivery may miss it on its way: see claims.find.
--
-- Vacuuming finds `delivery_live` empty as often as not, and the planner then thinks it to be: it would compare every row of
-- a set with every other (1,250 µs for each of 1,000 that are settled, where 40 do). So rows of it are not joined: each is
-- looked up and locked (LATERAL … LIMIT 1 FOR UPDATE), and then changed by `id = ANY`.

-- name: insert
-- A delivery that its owner sends at once comes in as being sent, in the very row that is settled later.
INSERT INTO delivery_live (
  id, event_id, webhook_id, account_id, state, prior, at, claim_count, attempts, tries, claimed_by
)
SELECT id, event_id, webhook_id, account_id, state, 10, at, claim_count, 0, tries, claimed_by
FROM unnest(
  $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::integer[], $8::integer[],
  $9::bigint[]
) AS given (id, event_id, webhook_id, account_id, state, at, claim_count, tries, claimed_by);

-- name: first_waiting
-- The first of each lane, one more than is wanted, whether due or not; nothing of a webhook that is deleted. Each lane is
-- a few steps of `delivery_waiting`, however much waits in it or in others.
SELECT wanted.webhook_id, first.id, first.at, first.account_id, first.event_id
FROM unnest($1::bigint[], $2::integer[]) WITH ORDINALITY AS wanted (webhook_id, n, place)
JOIN webhook ON webhook.id = wanted.webhook_id AND NOT webhook.deleted
CROSS JOIN LATERAL (
  SELECT d.id, d.at, d.account_id, d.event_id FROM delivery_live AS d
  WHERE d.webhook_id = wanted.webhook_id AND d.state < 12
  ORDER BY d.at, d.id LIMIT wanted.n + 1
) AS first
ORDER BY wanted.place, first.at, first.id;

-- name: sizes
-- How large events are, which lie between the bounds; NULL: an erasure took what they held. Each is looked up, whatever
-- the planner thinks of how many there are between the bounds: of a new week it knows nothing yet.
SELECT given.id, octet_length(e.data)
FROM unnest($1::bigint[], $2::bigint[]) AS given (account_id, id)
CROSS JOIN LATERAL (
  SELECT data FROM event AS e WHERE e.account_id = given.account_id AND e.id = given.id AND e.id BETWEEN $3 AND $4
  LIMIT 1
) AS e;

-- name: claim
-- What is needed to send them; the events lie between the bounds. What was cancelled meanwhile is not among them.
WITH found AS MATERIALIZED (
  SELECT d.*, e.type, e.timestamp, e.data, e.config_version
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS given (id, account_id, event_id)
  CROSS JOIN LATERAL (
    SELECT d.id, d.event_id, d.webhook_id, d.account_id, d.attempts, d.tries, d.claim_count + 1 AS claim_count
    FROM delivery_live AS d WHERE d.id = given.id AND d.state < 12 LIMIT 1 FOR UPDATE
  ) AS d
  CROSS JOIN LATERAL (
    SELECT type, timestamp, data, config_version FROM event AS e
    WHERE e.account_id = given.account_id AND e.id = given.event_id AND e.id BETWEEN $5 AND $6 LIMIT 1
  ) AS e
), claimed AS (
  UPDATE delivery_live SET prior = state, state = 12, claim_count = claim_count + 1, claimed_by = $4
  WHERE id = ANY (ARRAY(SELECT id FROM found))
)
SELECT * FROM found;

-- name: cancel_erased
WITH gone AS (DELETE FROM delivery_live WHERE id = ANY ($1::bigint[]) AND state < 12 RETURNING *)
INSERT INTO delivery_log
  (account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, claim_count, status_code, state)
SELECT account_id, id, event_id, webhook_id, replay_id, $2, attempts, tries, claim_count, status_code, 22 FROM gone;

-- name: one_live
-- Nobody else changes it until the transaction ends.
SELECT d.event_id, d.webhook_id, d.state, d.attempts, d.tries, d.claim_count
FROM delivery_live AS d JOIN account AS a ON a.id = d.account_id AND a.removed_at IS NULL
WHERE d.id = $1 AND d.account_id = $2
FOR UPDATE OF d;

-- name: one_log
SELECT d.event_id, d.webhook_id, d.state, d.attempts, d.tries, d.claim_count
FROM delivery_log AS d JOIN account AS a ON a.id = d.account_id AND a.removed_at IS NULL
WHERE d.id = $1 AND d.account_id = $2
FOR UPDATE OF d;

-- name: event
-- Nobody takes its body until the transaction ends.
SELECT type, timestamp, data FROM event WHERE account_id = $1 AND id = $2 FOR SHARE;

-- name: claim_live
UPDATE delivery_live SET prior = state, state = 12, claim_count = claim_count + 1, claimed_by = $3
WHERE account_id = $2 AND id = $1;

-- name: claim_ended
WITH back AS (DELETE FROM delivery_log WHERE account_id = $2 AND id = $1 RETURNING *)
INSERT INTO delivery_live (
  account_id, id, event_id, webhook_id, replay_id, at, claimed_by, attempts, tries, claim_count, status_code, state, prior
)
SELECT account_id, id, event_id, webhook_id, replay_id, at, $3, attempts, tries, claim_count + 1, status_code, 12, state FROM back;

-- name: lock
-- Those that have not ended.
SELECT id, account_id, event_id, state, prior FROM delivery_live WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE;

-- name: settle
-- Moves what the node is sending into the log, and keeps the attempts at it. What it is not sending leaves no trace, and
-- an attempt that is kept already neither: its outcome may come again, where the first commit's was unknown, and find the
-- delivery claimed for the next attempt. Which were settled.
WITH found AS MATERIALIZED (
  SELECT d.*, given.*
  FROM unnest(
    $1::bigint[], $2::smallint[], $3::bigint[], $4::integer[], $5::integer[], $6::bigint[], $7::bytea[], $8::integer[]
  ) AS given (delivery_id, state, at, tries, status_code, attempt_id, record, n)
  CROSS JOIN LATERAL (
    SELECT d.account_id, d.event_id, d.webhook_id, d.replay_id FROM delivery_live AS d
    WHERE d.id = given.delivery_id AND d.claimed_by = $9 AND d.attempts = given.n - 1 LIMIT 1 FOR UPDATE
  ) AS d
), gone AS (
  DELETE FROM delivery_live WHERE id = ANY (ARRAY(SELECT delivery_id FROM found)) RETURNING 1
), logged AS (
  INSERT INTO delivery_log
    (account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, status_code, state)
  SELECT account_id, delivery_id, event_id, webhook_id, replay_id, at, n, tries, status_code, state FROM found
)
INSERT INTO attempt (account_id, delivery_id, id, record)
SELECT account_id, delivery_id, attempt_id, record FROM found
RETURNING delivery_id;

-- name: settle_waiting
-- As `settle`, of what goes on: a new row in the place of the old, once that is gone. To change it would write as much.
WITH found AS MATERIALIZED (
  SELECT d.*, given.*
  FROM unnest(
    $1::bigint[], $2::smallint[], $3::bigint[], $4::integer[], $5::integer[], $6::bigint[], $7::bytea[], $8::integer[]
  ) AS given (delivery_id, state, at, tries, status_code, attempt_id, record, n)
  CROSS JOIN LATERAL (
    SELECT d.account_id, d.event_id, d.webhook_id, d.replay_id FROM delivery_live AS d
    WHERE d.id = given.delivery_id AND d.claimed_by = $9 AND d.attempts = given.n - 1 LIMIT 1 FOR UPDATE
  ) AS d
), gone AS (
  DELETE FROM delivery_live WHERE id = ANY (ARRAY(SELECT delivery_id FROM found)) RETURNING 1
), kept AS (
  INSERT INTO attempt (account_id, delivery_id, id, record)
  SELECT account_id, delivery_id, attempt_id, record FROM found
)
INSERT INTO delivery_live (
  account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, claim_count, status_code, state
)
SELECT account_id, delivery_id, event_id, webhook_id, replay_id, at, n, tries, 0, status_code, state
FROM found WHERE (SELECT count(*) FROM gone) > 0
RETURNING id;

-- name: settle_manual
-- Whose it is, if the node was sending it.
WITH waiting AS (
  UPDATE delivery_live SET
    state = prior, status_code = $4, attempts = attempts + 1, claim_count = 0, claimed_by = NULL
  WHERE id = $1 AND claimed_by = $5 AND NOT $2 AND prior < 12
  RETURNING account_id
), ended AS (
  DELETE FROM delivery_live WHERE id = $1 AND claimed_by = $5 AND ($2 OR prior >= 20) RETURNING *
), logged AS (
  INSERT INTO delivery_log
    (account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, status_code, state)
  SELECT account_id, id, event_id, webhook_id, replay_id, CASE WHEN $2 THEN $3 ELSE at END, attempts + 1, tries, $4,
    CASE WHEN $2 THEN 20 ELSE prior END
  FROM ended
)
SELECT account_id FROM waiting UNION ALL SELECT account_id FROM ended;

-- name: state
SELECT state FROM delivery WHERE id = $1;

-- name: release
-- Unsent: what had waited waits again, what had ended ends again as it had.
WITH ended AS (
  DELETE FROM delivery_live WHERE id = ANY ($1::bigint[]) AND claimed_by IS NOT DISTINCT FROM $2 AND prior >= 20 RETURNING *
), logged AS (
  INSERT INTO delivery_log
    (account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, claim_count, status_code, state)
  SELECT account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, greatest(claim_count - 1, 0), status_code,
    prior
  FROM ended
)
UPDATE delivery_live SET state = prior, claim_count = greatest(claim_count - 1, 0), claimed_by = NULL
WHERE id = ANY ($1::bigint[]) AND claimed_by IS NOT DISTINCT FROM $2 AND prior < 12;

-- name: claimed
SELECT id, webhook_id, account_id FROM delivery_live WHERE state = 12 AND claimed_by = $1;

-- name: release_of
-- All that a node was sending. Nobody knows whether it sent them: they count as claimed.
WITH ended AS (
  DELETE FROM delivery_live WHERE state = 12 AND claimed_by = $1 AND prior >= 20 RETURNING *
), logged AS (
  INSERT INTO delivery_log
    (account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, claim_count, status_code, state)
  SELECT account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, claim_count, status_code, prior FROM ended
)
UPDATE delivery_live SET state = prior, claimed_by = NULL WHERE state = 12 AND claimed_by = $1 AND prior < 12;

-- name: cancel
WITH gone AS (DELETE FROM delivery_live WHERE id = $1 AND account_id = $2 AND state < 12 RETURNING *)
INSERT INTO delivery_log
  (account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, claim_count, status_code, state)
SELECT account_id, id, event_id, webhook_id, replay_id, $3, attempts, tries, claim_count, status_code, 22 FROM gone;

-- name: drop_waiting
-- What another is changing at the moment is waited for: none may be left when the answer says so.
WITH waiting AS (
  SELECT id FROM delivery_live WHERE webhook_id = $1 AND state < 12 ORDER BY at, id LIMIT $3 FOR UPDATE
), gone AS (
  DELETE FROM delivery_live WHERE id = ANY (ARRAY(SELECT id FROM waiting)) RETURNING *
)
INSERT INTO delivery_log
  (account_id, id, event_id, webhook_id, replay_id, at, attempts, tries, claim_count, status_code, state)
SELECT account_id, id, event_id, webhook_id, replay_id, $2, attempts, tries, claim_count, status_code, 22 FROM gone;
