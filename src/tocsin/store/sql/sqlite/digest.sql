-- name: window
SELECT opened_at, ends_at, sent FROM digest_window WHERE webhook_id = ?;

-- name: open
-- The digests of a webhook that take members. One that has ended takes none, whatever `takes` says; being sent once more
-- by hand it has ended still.
SELECT g.delivery_id, d.event_id, g.kind, g.opened_at, d.at, d.tries, g.message, g.revision, e.data
FROM digest AS g INDEXED BY digest_open
CROSS JOIN delivery AS d ON d.id = g.delivery_id CROSS JOIN event AS e ON e.id = d.event_id
WHERE g.webhook_id = ? AND g.takes = 1 AND (d.state < 12 OR (d.state = 12 AND d.prior < 20)) AND e.data IS NOT NULL
ORDER BY g.kind;

-- name: put_window
INSERT INTO digest_window (webhook_id, opened_at, ends_at, sent) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET opened_at = excluded.opened_at, ends_at = excluded.ends_at, sent = excluded.sent;

-- name: close_others
UPDATE digest SET takes = 0 WHERE webhook_id = ?1 AND takes = 1 AND delivery_id NOT IN (SELECT value FROM carray(?2));

-- name: close_all
UPDATE digest SET takes = 0 WHERE webhook_id = ? AND takes = 1;

-- name: close
UPDATE digest SET takes = 0, revision = revision + 1 WHERE delivery_id = ?;

-- name: stored
-- What is known of a digest: its revision, and whether it has ended or lost its summary.
SELECT g.revision, d.state >= 20 OR (d.state = 12 AND d.prior >= 20) OR e.data IS NULL
FROM digest AS g CROSS JOIN delivery AS d ON d.id = g.delivery_id CROSS JOIN event AS e ON e.id = d.event_id
WHERE g.delivery_id = ?;

-- name: to_fold
-- Of those of the given deliveries that are still being sent: for how many they stand, and whether an erasure took
-- something of what was claimed.
SELECT coalesce(sum(coalesce(g.members, 1)), 0), coalesce(max(e.data IS NULL OR coalesce(g.scrub, 0)), 0)
FROM carray(?1) AS c CROSS JOIN delivery AS d ON d.id = c.value CROSS JOIN event AS e ON e.id = d.event_id
LEFT JOIN digest AS g ON g.delivery_id = d.id
WHERE d.state = 12 AND d.webhook_id = ?2 AND d.id <> ?3;

-- name: fold
UPDATE delivery SET state = 23, at = ?4, digest_id = ?3, claim_count = 0
WHERE id IN (SELECT value FROM carray(?1)) AND state = 12 AND webhook_id = ?2 AND id <> ?3;

-- name: insert_delivery
INSERT INTO delivery (
  id, event_id, webhook_id, account_id, state, waits, at, claim_count, prior, attempts, tries, status_code, last_attempt
) VALUES (?, ?, ?, ?, 10, 1, ?, 0, 10, 0, ?, -1000, -1099511627776);

-- name: insert
INSERT INTO digest (delivery_id, webhook_id, kind, opened_at, takes, members, revision, scrub)
VALUES (?, ?, ?, ?, ?, ?, ?, 0);

-- name: change
UPDATE digest SET takes = ?4, members = members + ?2, revision = ?3 WHERE delivery_id = ?1;

-- name: change_delivery
-- One that waits; of one that is being sent, what comes of it decides.
UPDATE delivery SET at = ?2, tries = ?3 WHERE id = ?1 AND waits = 1;

-- name: change_event
UPDATE event SET data = ?2 WHERE id = ?1;

-- name: claimed
SELECT delivery_id, message, revision FROM digest WHERE delivery_id IN (SELECT value FROM carray(?));

-- name: keep_message
UPDATE digest SET message = ?2 WHERE delivery_id = ?1;
