-- name: account_lives
SELECT true FROM account WHERE id = $1 AND removed_at IS NULL;

-- name: events
-- An account's events that pass the filter, newest first, of so many looked at; and, where these were too few, the last
-- id that was looked at: NULL if nothing is left. One row at least, whose `id` may be NULL.
WITH found AS MATERIALIZED (
  SELECT e.* FROM (
    SELECT id, account_id, type, timestamp, accepted_at, external_id, source, config_version, matched, visitor_id
    FROM event
    WHERE account_id = $1 AND id >= $3
      -- An external id names one event as long as it is remembered: nothing newer can have it. least() passes NULL over.
      AND id < least($2, (SELECT event_id + 1 FROM dedupe WHERE account_id = $1 AND external_id = $6))
    ORDER BY id DESC LIMIT $8
  ) AS e
  WHERE e.source <> 'tocsin' AND ($4::text IS NULL OR e.type = $4) AND ($5::text IS NULL OR e.source = $5)
    AND ($6::text IS NULL OR e.external_id = $6)
  ORDER BY e.id DESC LIMIT $7
)
SELECT CASE WHEN c.n < $7 THEN (
    SELECT id FROM event
    WHERE account_id = $1 AND id >= $3
      AND id < least($2, (SELECT event_id + 1 FROM dedupe WHERE account_id = $1 AND external_id = $6))
    ORDER BY id DESC OFFSET $8 - 1 LIMIT 1
  ) END AS looked, f.*
FROM (SELECT count(*) AS n FROM found) AS c LEFT JOIN found AS f ON true ORDER BY f.id DESC;

-- name: event
SELECT e.id, e.account_id, e.type, e.timestamp, e.accepted_at, e.external_id, e.source, e.config_version, e.matched,
  e.visitor_id, e.data
FROM event AS e JOIN account AS a ON a.id = e.account_id AND a.removed_at IS NULL
WHERE e.account_id = $1 AND e.id = $2;

-- name: deliveries
-- As `events`. Where a filter has an index of its own, its condition is put in the place of what is marked as near.
WITH found AS MATERIALIZED (
  SELECT d.id, d.event_id, d.webhook_id, d.account_id, e.type, w.channel, d.state, d.at, d.attempts, d.status_code,
    d.replay_id, d.digest_id, g.members
  FROM (
    SELECT * FROM delivery WHERE account_id = $1 /* near */ AND id >= $3 AND id < $2 ORDER BY id DESC LIMIT $12
  ) AS d
  JOIN event AS e ON e.account_id = d.account_id AND e.id = d.event_id
  LEFT JOIN webhook AS w ON w.account_id = d.account_id AND w.id = d.webhook_id
  LEFT JOIN digest AS g ON g.delivery_id = d.id
  WHERE d.account_id = $1
    AND ($4::bigint IS NULL OR d.webhook_id = $4) AND ($5::bigint IS NULL OR d.event_id = $5)
    AND ($6::int IS NULL OR d.state = $6) AND ($7::bigint IS NULL OR d.status_code = $7)
    AND ($8::text IS NULL OR e.type = $8) AND ($9::text IS NULL OR w.channel = $9)
    AND ($10::bigint IS NULL OR d.digest_id = $10)
  ORDER BY d.id DESC LIMIT $11
)
SELECT CASE WHEN c.n < $11 THEN (
    SELECT id FROM delivery WHERE account_id = $1 /* near */ AND id >= $3 AND id < $2 ORDER BY id DESC OFFSET $12 - 1 LIMIT 1
  ) END AS looked, f.*
FROM (SELECT count(*) AS n FROM found) AS c LEFT JOIN found AS f ON true ORDER BY f.id DESC;

-- name: delivery
SELECT d.id, d.event_id, d.webhook_id, d.account_id, e.type, w.channel, d.state, d.at, d.attempts, d.status_code,
  d.replay_id, d.digest_id, g.members
FROM delivery AS d
JOIN account AS a ON a.id = d.account_id AND a.removed_at IS NULL
JOIN event AS e ON e.account_id = d.account_id AND e.id = d.event_id
LEFT JOIN webhook AS w ON w.account_id = d.account_id AND w.id = d.webhook_id
LEFT JOIN digest AS g ON g.delivery_id = d.id
WHERE d.account_id = $1 AND d.id = $2;

-- name: attempts
-- Of a delivery, first to last.
SELECT t.record FROM attempt AS t JOIN account AS a ON a.id = t.account_id AND a.removed_at IS NULL
WHERE t.account_id = $1 AND t.delivery_id = $2 ORDER BY t.id;

-- name: counts
-- How many deliveries wait, counted up to a bound, and what else is measured.
SELECT
  (SELECT count(*) FROM (SELECT FROM delivery_live WHERE state < 12 ORDER BY webhook_id LIMIT $1) AS waiting),
  (SELECT count(*) FROM fan_out),
  (SELECT count(*) FROM notice),
  pg_database_size(current_database());
