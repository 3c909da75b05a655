-- name: jobs
SELECT f.event_id, f.account_id, f.config_version, f.after
FROM fan_out AS f JOIN account AS a ON a.id = f.account_id AND a.removed_at IS NULL
ORDER BY f.event_id LIMIT $1;

-- name: advance
UPDATE fan_out SET after = $3 WHERE event_id = $1 AND after = $2;

-- name: finish
DELETE FROM fan_out WHERE event_id = $1 AND after = $2;
