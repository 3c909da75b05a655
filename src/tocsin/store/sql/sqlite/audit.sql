-- name: insert
INSERT INTO audit (account_id, at, actor, action, subject, detail, request_id) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: list
SELECT id, account_id, at, actor, action, subject, detail, request_id FROM audit
WHERE id < ? ORDER BY id DESC LIMIT ?;

-- name: list_of_account
SELECT id, account_id, at, actor, action, subject, detail, request_id FROM audit
WHERE account_id = ? AND id < ? ORDER BY id DESC LIMIT ?;
