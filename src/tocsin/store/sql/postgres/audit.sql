-- name: insert
INSERT INTO audit (account_id, at, actor, action, subject, detail, request_id) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: list
SELECT id, account_id, at, actor, action, subject, detail, request_id FROM audit
WHERE id < $1 ORDER BY id DESC LIMIT $2;

-- name: list_of_account
SELECT id, account_id, at, actor, action, subject, detail, request_id FROM audit
WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3;
