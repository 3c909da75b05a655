-- name: newest
SELECT max(number) FROM attempt;

-- name: insert
INSERT INTO attempt (number, delivery_id, previous, record) VALUES (?, ?, ?, ?) /* repeated */;

-- name: chain
-- An attempt and those before it, newest first.
WITH RECURSIVE chain (number, previous, record) AS (
  SELECT number, previous, record FROM attempt WHERE number = ?
  UNION ALL
  SELECT a.number, a.previous, a.record FROM chain AS c CROSS JOIN attempt AS a ON a.number = c.previous
)
SELECT record FROM chain;
