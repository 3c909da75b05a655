-- name: streaks
SELECT webhook_id, failing_since, warned_at FROM lane WHERE webhook_id > ? ORDER BY webhook_id LIMIT ?;

-- name: streak
SELECT failing_since, warned_at FROM lane WHERE webhook_id = ?;

-- name: owner
SELECT account_id FROM webhook WHERE id = ? AND deleted = 0;

-- name: note
INSERT INTO lane (webhook_id, failing_since, warned_at) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET failing_since = excluded.failing_since, warned_at = excluded.warned_at;

-- name: forget
DELETE FROM lane WHERE webhook_id = ?;
