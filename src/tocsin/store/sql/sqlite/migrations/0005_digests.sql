-- Webhooks that gather: their windows, and the digests that deliveries are folded into. Why a digest is a delivery:
-- docs/decisions/0005-digests.md.

-- Which digest a delivery was folded into. Last, and NULL takes no space: deliveries that are sent on their own, nearly
-- all, are as wide as before.
ALTER TABLE delivery ADD COLUMN digest_id INTEGER;

-- The members of a digest; only what was folded.
CREATE INDEX delivery_digest ON delivery (digest_id) WHERE digest_id IS NOT NULL;

-- A webhook's newest window. One that has ended and has no open digest is forgotten by and by.
CREATE TABLE digest_window (
  webhook_id INTEGER PRIMARY KEY,
  opened_at  INTEGER NOT NULL,
  ends_at    INTEGER NOT NULL,
  sent       INTEGER NOT NULL -- messages of it that went out on their own
) STRICT;

-- What a digest is beside its delivery and its event, as long as the delivery is there.
CREATE TABLE digest (
  delivery_id INTEGER PRIMARY KEY,
  webhook_id  INTEGER NOT NULL,
  kind        TEXT    NOT NULL,
  opened_at   INTEGER NOT NULL,
  takes       INTEGER NOT NULL, -- 1: it takes members, as long as its delivery has not ended
  members     INTEGER NOT NULL, -- deliveries folded into it; those of a digest folded into it in its place
  revision    INTEGER NOT NULL, -- how often its summary was changed by an erasure
  scrub       INTEGER NOT NULL, -- 1: it was being sent during an erasure; what comes of that sending is stored bare
  message     TEXT -- what the service calls it, once it was sent
) STRICT;

-- The open digests of a webhook; at most one of each kind.
CREATE UNIQUE INDEX digest_open ON digest (webhook_id, kind) WHERE takes = 1;
