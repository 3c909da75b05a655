-- name: streaks
SELECT webhook_id, failing_since, unbroken_since, warned_at FROM lane WHERE webhook_id > ? ORDER BY webhook_id LIMIT ?;

-- name: streak
SELECT failing_since, unbroken_since, warned_at FROM lane WHERE webhook_id = ?;

-- name: owner
SELECT w.account_id, v.settings ->> '$.shard'
FROM webhook AS w CROSS JOIN webhook_version AS v ON v.webhook_id = w.id AND v.version = w.version
WHERE w.id = ? AND w.deleted = 0;

-- name: note
INSERT INTO lane (webhook_id, failing_since, unbroken_since, warned_at)
VALUES (?1, ?2, coalesce(?3, (SELECT unbroken_since FROM lane WHERE webhook_id = ?1), ?2), ?4)
ON CONFLICT DO UPDATE
SET failing_since = excluded.failing_since, unbroken_since = excluded.unbroken_since, warned_at = excluded.warned_at;

-- name: forget
DELETE FROM lane WHERE webhook_id = ?;
