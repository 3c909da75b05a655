-- name: put
-- In the place of an older one. A warning does not take the place of the news that a webhook was stopped.
INSERT INTO notice (webhook_id, id, account_id, kind, reason, at, due_at, tries) VALUES ($1, $2, $3, $4, $5, $6, $7, 0)
ON CONFLICT (webhook_id) DO UPDATE SET id = excluded.id, kind = excluded.kind, reason = excluded.reason,
  at = excluded.at, due_at = excluded.due_at, tries = 0
WHERE excluded.kind <> 'failing' OR notice.kind = 'failing';

-- name: due
SELECT id, account_id, webhook_id, kind, reason, at, tries FROM notice WHERE due_at <= $1 ORDER BY due_at LIMIT $2;

-- name: next_due
SELECT due_at FROM notice ORDER BY due_at LIMIT 1;

-- name: postpone
UPDATE notice SET due_at = $3, tries = tries + 1 WHERE webhook_id = $1 AND id = $2;

-- name: remove
DELETE FROM notice WHERE webhook_id = $1 AND id = $2;
