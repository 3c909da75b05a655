-- name: own
-- Held until the end of the transaction: who ends the node waits for what it is writing.
SELECT epoch FROM node WHERE epoch = $1 FOR KEY SHARE;

-- name: lock_joining
-- One at a time chooses a number; the number says "tocj".
SELECT pg_advisory_xact_lock(1953457002);

-- name: free_number
-- One whose ids lie behind the instant, if there is any: the next ids then say when they were made.
SELECT one.number, coalesce(was.last_id, 0)
FROM generate_series(0, 1023) AS one (number) LEFT JOIN node_number AS was ON was.number = one.number
WHERE NOT EXISTS (SELECT 1 FROM node WHERE node.number = one.number)
ORDER BY coalesce(was.last_id, 0) >= $1, one.number LIMIT 1;

-- name: insert
INSERT INTO node (epoch, number, name, sends, seen_at, last_id)
VALUES (nextval('node_epoch'), $1, $2, $3, $4, $5) RETURNING epoch;

-- name: seen
UPDATE node SET seen_at = $2, last_id = greatest(last_id, $3) WHERE epoch = $1;

-- name: retire
UPDATE node SET sends = false WHERE epoch = $1;

-- name: all
SELECT epoch, sends, seen_at FROM node ORDER BY epoch;

-- name: present
SELECT n.name, n.sends, n.seen_at, coalesce(array_agg(s.id) FILTER (WHERE s.id IS NOT NULL), '{}')
FROM node AS n LEFT JOIN shard AS s ON s.epoch = n.epoch GROUP BY n.epoch ORDER BY n.epoch;

-- name: spare
-- Who could not be seen is given the time to be.
UPDATE node SET seen_at = $2 FROM (
  SELECT epoch FROM node WHERE epoch = ANY ($1::bigint[]) ORDER BY epoch FOR NO KEY UPDATE SKIP LOCKED
) AS free
WHERE node.epoch = free.epoch;

-- name: overdue
-- Waits for what it is committing.
SELECT epoch FROM node WHERE epoch = $1 AND seen_at < $2 FOR UPDATE;

-- name: end
DELETE FROM node WHERE epoch = $1 RETURNING number, last_id;

-- name: keep_number
INSERT INTO node_number (number, last_id) VALUES ($1, $2)
ON CONFLICT (number) DO UPDATE SET last_id = greatest(node_number.last_id, excluded.last_id);

-- name: hurry
-- No lock is waited for longer, in this transaction.
SET LOCAL lock_timeout = '500ms';

-- name: cut
-- Ends the sessions whose process says nothing for so many seconds in the middle of a transaction that has a node's
-- row: it is frozen, or its machine is gone. Only the server knows that, and by its own clock.
SELECT count(pg_terminate_backend(a.pid))
FROM pg_catalog.pg_stat_activity AS a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
  AND a.usename = current_user
  AND a.wait_event_type = 'Client' AND a.state_change < clock_timestamp() - $1 * interval '1 second'
  AND EXISTS (
    SELECT 1 FROM pg_catalog.pg_locks AS l
    WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.relation = 'node'::regclass AND l.granted
  );

-- name: take
UPDATE shard SET epoch = $1 WHERE id = ANY (ARRAY(
  SELECT id FROM shard WHERE epoch IS NULL ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING id;

-- name: held
SELECT id FROM shard WHERE epoch = $1;

-- name: give
UPDATE shard SET epoch = NULL WHERE epoch = $1 AND id = ANY ($2::smallint[]);

-- name: give_all
UPDATE shard SET epoch = NULL WHERE epoch = $1;

-- name: stored_now
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
