-- name: beyond
-- The next lanes with something waiting or a streak: one step of `delivery_waiting` for each backlog, whatever its
-- length.
WITH RECURSIVE backlog (webhook_id) AS (
  (SELECT webhook_id FROM delivery_live WHERE webhook_id > $1 AND state < 12 ORDER BY webhook_id LIMIT 1)
  UNION ALL
  SELECT next.webhook_id FROM backlog CROSS JOIN LATERAL (
    SELECT d.webhook_id FROM delivery_live AS d
    WHERE d.webhook_id > backlog.webhook_id AND d.state < 12 ORDER BY d.webhook_id LIMIT 1
  ) AS next
)
(SELECT webhook_id FROM backlog LIMIT $2)
UNION
(SELECT webhook_id FROM lane WHERE webhook_id > $1 ORDER BY webhook_id LIMIT $2)
ORDER BY webhook_id LIMIT $2;

-- name: facts
SELECT webhook.id, webhook.account_id, webhook.shard, next.at, lane.failing_since, lane.unbroken_since, lane.warned_at
FROM webhook
LEFT JOIN lane ON lane.webhook_id = webhook.id
LEFT JOIN LATERAL (
  SELECT d.at FROM delivery_live AS d WHERE d.webhook_id = webhook.id AND d.state < 12 ORDER BY d.at LIMIT 1
) AS next ON true
WHERE webhook.id = ANY ($1::bigint[]) AND webhook.shard = ANY ($2::smallint[]) AND NOT webhook.deleted
ORDER BY webhook.id;

-- name: note
INSERT INTO lane (webhook_id, failing_since, unbroken_since, warned_at) VALUES ($1, $2, coalesce($3::bigint, $2::bigint), $4)
ON CONFLICT (webhook_id) DO UPDATE SET
  failing_since = excluded.failing_since, unbroken_since = coalesce($3::bigint, lane.unbroken_since, $2::bigint),
  warned_at = excluded.warned_at;

-- name: forget
DELETE FROM lane WHERE webhook_id = $1;
