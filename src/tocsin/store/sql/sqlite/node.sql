-- name: last_id
-- The greatest id there is of what is kept longest; each is a step to the end of a table.
SELECT max(
  (SELECT coalesce(max(id), 0) FROM account), (SELECT coalesce(max(id), 0) FROM api_key),
  (SELECT coalesce(max(id), 0) FROM webhook), (SELECT coalesce(max(id), 0) FROM event),
  (SELECT coalesce(max(id), 0) FROM delivery), (SELECT coalesce(max(id), 0) FROM activity)
);

-- name: last_attempt
SELECT record FROM attempt ORDER BY number DESC LIMIT 1;
