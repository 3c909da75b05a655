-- name: insert
INSERT INTO attempt (account_id, delivery_id, id, record) VALUES ($1, $2, $3, $4);
