-- name: read
-- All that is asked, as of one moment: (what, account, name, number, bytes).
--   0: an account that lives, and the version of its state
--   1: what is remembered under a key and has not expired
--   2: the first activity that had an external id; see `results`
--   3: a timer
SELECT 0, a.id, NULL::bytea, coalesce(v.version, 0), NULL::bytea
FROM account AS a LEFT JOIN trigger_version AS v ON v.account_id = a.id
WHERE a.id = ANY ($1::bigint[]) AND a.removed_at IS NULL
UNION ALL
SELECT 1, s.account_id, s.key, NULL, s.value
FROM unnest($2::bigint[], $3::bytea[]) AS k (account_id, key) JOIN trigger_state AS s USING (account_id, key)
WHERE s.until IS NULL OR s.until > $8
UNION ALL
SELECT 2, n.account_id, convert_to(n.external_id, 'UTF8'), n.activity_id, NULL
FROM unnest($4::bigint[], $5::text[]) AS k (account_id, external_id)
JOIN activity_dedupe AS n USING (account_id, external_id)
UNION ALL
SELECT 3, t.account_id, convert_to(t.name, 'UTF8'), t.due_at, NULL
FROM unnest($6::bigint[], $7::text[]) AS k (account_id, name) JOIN timer AS t USING (account_id, name);

-- name: results
-- What became of activities, between the bounds.
SELECT given.id, e.digest, e.result
FROM unnest($1::bigint[], $2::bigint[]) AS given (account_id, id)
CROSS JOIN LATERAL (
  SELECT digest, result FROM activity AS e WHERE e.account_id = given.account_id AND e.id = given.id AND e.id BETWEEN $3 AND $4
  LIMIT 1
) AS e;

-- name: rise
-- Raises the version of those of the accounts whose version is still the one given, and which nobody else holds; which
-- they are. An account without a row is at 0. Only who makes an account's row at the same time is waited for, in rising
-- order, so that nobody waits in a circle.
WITH given AS (
  SELECT account_id, version FROM unnest($1::bigint[], $2::bigint[]) AS t (account_id, version)
), free AS (
  SELECT v.account_id FROM given AS g JOIN trigger_version AS v USING (account_id)
  WHERE v.version = g.version FOR UPDATE OF v SKIP LOCKED
), risen AS (
  UPDATE trigger_version AS v SET version = v.version + 1 FROM free WHERE v.account_id = free.account_id
  RETURNING v.account_id
), made AS (
  INSERT INTO trigger_version (account_id, version)
  SELECT account_id, 1 FROM given WHERE version = 0 ORDER BY account_id
  ON CONFLICT (account_id) DO NOTHING
  RETURNING account_id
)
SELECT account_id FROM risen UNION ALL SELECT account_id FROM made;

-- name: hold
-- Until the end of the transaction nobody else writes the account's state; who does so now is waited for.
SELECT account_id FROM trigger_version WHERE account_id = $1 FOR UPDATE;

-- name: make
INSERT INTO trigger_version (account_id, version) VALUES ($1, 0) ON CONFLICT (account_id) DO NOTHING;

-- name: hold_free
-- As `hold`, of those of the accounts that nobody holds; which they are.
SELECT account_id FROM trigger_version WHERE account_id = ANY ($1::bigint[]) FOR UPDATE SKIP LOCKED;

-- name: bounds
-- What a turn may wait for, and how long it may be left lying.
SELECT set_config('lock_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $2, true);

-- name: lower
-- Puts back what `rise` raised in this transaction, where nothing was written after all.
UPDATE trigger_version SET version = version - 1 WHERE account_id = ANY ($1::bigint[]);

-- name: outdate
-- Raises an account's version whatever it is.
INSERT INTO trigger_version AS v (account_id, version) VALUES ($1, 1)
ON CONFLICT (account_id) DO UPDATE SET version = v.version + 1;

-- name: insert_activities
INSERT INTO activity (id, account_id, kind, at, accepted_at, external_id, visitor_id, digest, result, data)
SELECT * FROM unnest(
  $1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[], $8::bytea[],
  $9::bytea[], $10::bytea[]
);

-- name: insert_names
INSERT INTO activity_dedupe (account_id, external_id, activity_id)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]);

-- name: put
-- `look_at` stays where a key has one: see trigger_state in the schema.
INSERT INTO trigger_state AS s (account_id, key, until, look_at, value)
SELECT account_id, key, until, until / 3600000 + 1, value
FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bytea[]) AS t (account_id, key, until, value)
ON CONFLICT (account_id, key) DO UPDATE SET
  until = excluded.until, value = excluded.value, look_at = coalesce(s.look_at, excluded.look_at);

-- name: drop
DELETE FROM trigger_state AS s USING unnest($1::bigint[], $2::bytea[]) AS t (account_id, key)
WHERE s.account_id = t.account_id AND s.key = t.key;

-- name: set_timers
INSERT INTO timer (account_id, name, due_at) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])
ON CONFLICT (account_id, name) DO UPDATE SET due_at = excluded.due_at;

-- name: clear_timers
DELETE FROM timer AS o USING unnest($1::bigint[], $2::text[]) AS t (account_id, name)
WHERE o.account_id = t.account_id AND o.name = t.name;

-- name: due
-- Nothing of an account that was removed.
SELECT t.account_id, t.name, t.due_at FROM timer AS t
WHERE t.due_at <= $1 AND EXISTS (SELECT FROM account AS a WHERE a.id = t.account_id AND a.removed_at IS NULL)
ORDER BY t.due_at, t.account_id, t.name LIMIT $2;

-- name: next_due
SELECT t.due_at FROM timer AS t
WHERE EXISTS (SELECT FROM account AS a WHERE a.id = t.account_id AND a.removed_at IS NULL)
ORDER BY t.due_at LIMIT 1;

-- name: scan
-- An account's keys from one on, beyond another (NULL: none) and below a third (NULL: to the end), in order.
SELECT s.key, s.value FROM trigger_state AS s JOIN account AS a ON a.id = s.account_id AND a.removed_at IS NULL
WHERE s.account_id = $1 AND s.key >= $2 AND ($3::bytea IS NULL OR s.key > $3) AND ($4::bytea IS NULL OR s.key < $4) ORDER BY s.key LIMIT $5;

-- name: activities
SELECT t.id, t.kind, t.at, t.accepted_at, t.external_id, t.digest, t.data, t.result, t.visitor_id
FROM activity AS t JOIN account AS a ON a.id = t.account_id AND a.removed_at IS NULL
WHERE t.account_id = $1 AND t.id > $2 AND t.id < $3 AND t.data IS NOT NULL ORDER BY t.id LIMIT $4;
