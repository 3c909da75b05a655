-- name: account_lives
SELECT 1 FROM account WHERE id = ? AND removed_at IS NULL;

-- name: near_event
SELECT json_group_array(id) FROM (
  SELECT id FROM delivery INDEXED BY delivery_event
  WHERE event_id = ?1 AND id < ?2 AND id >= ?3 ORDER BY id DESC LIMIT ?4
);

-- name: near_failed
SELECT json_group_array(id) FROM (
  SELECT id FROM delivery INDEXED BY delivery_failed
  WHERE account_id = ?1 AND state = 21 AND id < ?2 AND id >= ?3 ORDER BY id DESC LIMIT ?4
);

-- name: near_digest
SELECT json_group_array(id) FROM (
  SELECT id FROM delivery INDEXED BY delivery_digest
  WHERE digest_id = ?1 AND id < ?2 AND id >= ?3 ORDER BY id DESC LIMIT ?4
);

-- name: events
-- Those of the given ids that are events of the account, not Tocsin's own, and pass the filter, in the order given.
SELECT e.id, e.account_id, e.type, e.timestamp, e.accepted_at, e.external_id, e.source, e.config_version, e.matched,
  e.visitor_id
FROM carray(?1) AS c CROSS JOIN event AS e ON e.id = c.value
WHERE e.account_id = ?2 AND e.source <> 'tocsin'
  AND (?3 IS NULL OR e.type = ?3) AND (?4 IS NULL OR e.source = ?4) AND (?5 IS NULL OR e.external_id = ?5)
LIMIT ?6;

-- name: event
SELECT id, account_id, type, timestamp, accepted_at, external_id, source, config_version, matched, visitor_id, data
FROM event WHERE id = ? AND account_id = ?;

-- name: deliveries
-- Those of the given ids that are deliveries of the account and pass the filter, in the order given.
SELECT d.id, d.event_id, d.webhook_id, d.account_id, e.type, w.channel, d.state, d.at, d.attempts,
  d.status_code, d.replay_id, d.digest_id, g.members
FROM carray(?1) AS c CROSS JOIN delivery AS d ON d.id = c.value
CROSS JOIN event AS e ON e.id = d.event_id
LEFT JOIN webhook AS w ON w.id = d.webhook_id
LEFT JOIN digest AS g ON g.delivery_id = d.id
WHERE d.account_id = ?2
  AND (?3 IS NULL OR d.webhook_id = ?3) AND (?4 IS NULL OR d.event_id = ?4) AND (?5 IS NULL OR d.state = ?5)
  AND (?6 IS NULL OR d.status_code = ?6) AND (?7 IS NULL OR e.type = ?7) AND (?8 IS NULL OR w.channel = ?8)
  AND (?9 IS NULL OR d.digest_id = ?9)
LIMIT ?10;

-- name: last_attempt
SELECT last_attempt FROM delivery WHERE id = ? AND account_id = ?;

-- name: waiting
-- How many wait, counted up to a bound.
SELECT count(*) FROM (SELECT 1 FROM delivery INDEXED BY delivery_waiting WHERE waits = 1 LIMIT ?);

-- name: fan_out_jobs
SELECT count(*) FROM fan_out;

-- name: notices
SELECT count(*) FROM notice;

-- name: pages
SELECT page_count * page_size FROM pragma_page_count, pragma_page_size;
