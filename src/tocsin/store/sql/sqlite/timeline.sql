-- name: insert
INSERT INTO timeline (account_id, last, ids) VALUES (?, ?, ?) /* repeated */;

-- name: newest
-- The newest chunk of each of the accounts, where it has any, as one row.
SELECT json_group_array(json_array(c.value, t.last)) FROM carray(?) AS c
CROSS JOIN timeline AS t ON t.account_id = c.value AND t.last = (
  SELECT last FROM timeline WHERE account_id = c.value ORDER BY last DESC LIMIT 1
);

-- name: from
-- Chunks with anything at or above an id, oldest first.
SELECT last, ids FROM timeline WHERE account_id = ? AND last >= ? ORDER BY last LIMIT ?;

-- name: below
-- Chunks wholly below an id, newest first.
SELECT last, ids FROM timeline WHERE account_id = ? AND last < ? ORDER BY last DESC;

-- name: delete
DELETE FROM timeline WHERE account_id = ? AND last >= ? AND last <= ?;
