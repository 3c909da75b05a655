-- name: window
-- How it stands, a row for each digest that takes members, or one without. One that has ended takes none, whatever
-- `takes` says; being sent once more by hand it has ended still.
SELECT w.opened_at, w.ends_at, w.sent, open.*
FROM digest_window AS w
LEFT JOIN LATERAL (
  SELECT g.delivery_id, d.event_id, g.kind, g.opened_at, d.at, d.tries, g.message, g.revision, e.data
  FROM digest AS g
  JOIN delivery_live AS d ON d.id = g.delivery_id AND (d.state < 12 OR d.prior < 20)
  JOIN event AS e ON e.account_id = d.account_id AND e.id = d.event_id
  WHERE g.webhook_id = w.webhook_id AND g.takes
  AND e.data IS NOT NULL
) AS open ON true
WHERE w.webhook_id = $1
ORDER BY open.kind;

-- name: put_windows
INSERT INTO digest_window (webhook_id, opened_at, ends_at, sent)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
ON CONFLICT (webhook_id) DO UPDATE
SET opened_at = excluded.opened_at, ends_at = excluded.ends_at, sent = excluded.sent;

-- name: close_others
-- Those of the webhooks that are not named.
UPDATE digest SET takes = false
WHERE webhook_id = ANY ($1::bigint[]) AND takes AND delivery_id <> ALL ($2::bigint[]);

-- name: fold
-- Moves those members into the log that the node is still sending; which they are. See `delivery.settle`.
WITH found AS MATERIALIZED (
  SELECT d.*, given.digest_id, given.at
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS given (id, webhook_id, digest_id, at)
  CROSS JOIN LATERAL (
    SELECT d.account_id, d.id, d.event_id, d.webhook_id, d.replay_id, d.attempts, d.tries, d.status_code
    FROM delivery_live AS d
    WHERE d.id = given.id AND d.webhook_id = given.webhook_id AND d.claimed_by = $5 AND d.id <> given.digest_id
    LIMIT 1 FOR UPDATE
  ) AS d
), gone AS (
  DELETE FROM delivery_live WHERE id = ANY (ARRAY(SELECT id FROM found))
)
INSERT INTO delivery_log (
  account_id, id, event_id, webhook_id, replay_id, digest_id, at, attempts, tries, status_code, state
)
SELECT account_id, id, event_id, webhook_id, replay_id, digest_id, at, attempts, tries, status_code, 23 FROM found
RETURNING id, account_id, event_id, digest_id;

-- name: folded
-- Of each digest that took in any of the given deliveries, whose events lie between the bounds: for how many they stand,
-- and whether an erasure took something of what was claimed. A statement of its own: it sees an erasure that `fold` had to
-- wait for.
SELECT given.digest_id, sum(coalesce(g.members, 1))::bigint, bool_or(e.data IS NULL OR coalesce(g.scrub, false))
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS given (id, account_id, event_id, digest_id)
CROSS JOIN LATERAL (
  SELECT data FROM event AS e WHERE e.account_id = given.account_id AND e.id = given.event_id AND e.id BETWEEN $5 AND $6
  LIMIT 1
) AS e
LEFT JOIN digest AS g ON g.delivery_id = given.id
GROUP BY given.digest_id;

-- name: stored
-- What is known of digests, whose events lie between the bounds: their revisions, and whether they have lost their
-- summaries. Nobody else changes them until the transaction ends.
SELECT g.delivery_id, g.revision, e.data IS NULL
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS given (id, account_id, event_id)
JOIN digest AS g ON g.delivery_id = given.id
JOIN event AS e ON e.account_id = given.account_id AND e.id = given.event_id
WHERE e.id BETWEEN $4 AND $5
ORDER BY g.delivery_id
FOR UPDATE OF g, e;

-- name: insert
INSERT INTO digest (delivery_id, webhook_id, kind, opened_at, takes, members, revision, scrub)
SELECT delivery_id, webhook_id, kind, opened_at, takes, members, revision, false
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::boolean[], $6::bigint[], $7::bigint[])
AS given (delivery_id, webhook_id, kind, opened_at, takes, members, revision);

-- name: change
UPDATE digest AS g SET takes = given.takes, members = g.members + given.folded, revision = given.revision
FROM unnest($1::bigint[], $2::boolean[], $3::bigint[], $4::bigint[]) AS given (delivery_id, takes, folded, revision)
WHERE g.delivery_id = given.delivery_id;

-- name: change_deliveries
-- Those that wait; of one that is being sent, what comes of it decides.
UPDATE delivery_live AS d SET at = given.at, tries = given.tries
FROM unnest($1::bigint[], $2::bigint[], $3::integer[]) AS given (id, at, tries)
WHERE d.id = given.id AND d.id = ANY ($1) AND d.state < 12;

-- name: change_events
UPDATE event AS e SET data = given.data
FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS given (account_id, id, data)
WHERE e.account_id = given.account_id AND e.id = given.id AND e.id BETWEEN $4 AND $5;

-- name: claimed
SELECT delivery_id, message, revision FROM digest WHERE delivery_id = ANY ($1::bigint[]);

-- name: keep_messages
-- What services call digests; others have none that is kept.
UPDATE digest AS g SET message = given.message
FROM unnest($1::bigint[], $2::text[]) AS given (delivery_id, message)
WHERE g.delivery_id = given.delivery_id;

-- name: to_bare
-- Of the given deliveries, whose events lie between the bounds, those of which an erasure took something while they were
-- being sent.
SELECT given.id
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS given (id, account_id, event_id)
CROSS JOIN LATERAL (
  SELECT data FROM event AS e WHERE e.account_id = given.account_id AND e.id = given.event_id AND e.id BETWEEN $4 AND $5
  LIMIT 1
) AS e
LEFT JOIN digest AS g ON g.delivery_id = given.id
WHERE e.data IS NULL OR g.scrub;

-- name: scrubbed
UPDATE digest SET scrub = false WHERE delivery_id = ANY ($1::bigint[]) AND scrub;
