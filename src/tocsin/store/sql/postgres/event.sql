-- name: config_versions
-- Of those of the accounts that live. Held until the transaction ends: a change of the account comes before or after
-- all that is matched by it, never in between. In order, so that two that hold several do not wait for each other.
SELECT id, config_version FROM account WHERE id = ANY ($1::bigint[]) AND removed_at IS NULL ORDER BY id FOR SHARE;

-- name: take_external_ids
-- Which events are the first with their external ids. In the order given: the first of a batch is the first for good.
INSERT INTO dedupe (account_id, external_id, event_id)
SELECT account_id, external_id, event_id
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS given (account_id, external_id, event_id)
ON CONFLICT DO NOTHING
RETURNING event_id;

-- name: firsts
-- Which events have the external ids.
SELECT given.place, known.event_id
FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS given (account_id, external_id, place)
JOIN dedupe AS known ON known.account_id = given.account_id AND known.external_id = given.external_id;

-- name: contents
-- What an event is compared by, between the bounds.
SELECT given.id, e.digest, e.timestamp, e.matched
FROM unnest($1::bigint[], $2::bigint[]) AS given (account_id, id)
CROSS JOIN LATERAL (
  SELECT digest, timestamp, matched FROM event AS e WHERE e.account_id = given.account_id AND e.id = given.id AND e.id BETWEEN $3 AND $4
  LIMIT 1
) AS e;

-- name: insert
INSERT INTO event (
  id, account_id, type, timestamp, accepted_at, external_id, source, config_version, matched, visitor_id, digest, data
)
SELECT * FROM unnest(
  $1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::bigint[],
  $9::bigint[], $10::bytea[], $11::bytea[], $12::bytea[]
);

-- name: insert_fan_out
INSERT INTO fan_out (event_id, account_id, config_version, after)
SELECT event_id, account_id, config_version, 0
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS given (event_id, account_id, config_version);
