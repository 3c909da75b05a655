-- name: epoch
-- Held until the end of the transaction: who becomes the owner waits for those who write as the one before.
SELECT epoch FROM owner WHERE id = 1 FOR SHARE;

-- name: acquire
UPDATE owner SET epoch = epoch + 1, acquired_at = $1 WHERE id = 1 RETURNING epoch;
