-- Instants are milliseconds since 1970; ids are `tocsin.ids` numbers and so sort by time; JSON is text, bodies are
-- bytes. Each index says which query needs it. Why it is laid out so: docs/decisions/0002-sqlite-schema.md.

-- What the database says of itself: epoch, key fingerprint, how far housekeeping has come.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- === what people change ==============================================================================================

-- A removed account stays, unreachable, until its rows are purged.
CREATE TABLE account (
  id             INTEGER PRIMARY KEY,
  name           TEXT    NOT NULL,
  profile        TEXT    NOT NULL,
  timezone       TEXT    NOT NULL,
  external_id    TEXT,
  notify_email   TEXT,
  settings       TEXT    NOT NULL,
  config_version INTEGER NOT NULL,
  created_at     INTEGER NOT NULL,
  updated_at     INTEGER NOT NULL,
  removed_at     INTEGER
) STRICT;

-- An external id names one living account.
CREATE UNIQUE INDEX account_external_id ON account (external_id) WHERE external_id IS NOT NULL AND removed_at IS NULL;

-- Purging looks for removed accounts; a handful of entries.
CREATE INDEX account_removed ON account (removed_at) WHERE removed_at IS NOT NULL;

CREATE TABLE api_key (
  id           INTEGER PRIMARY KEY,
  account_id   INTEGER, -- NULL: the operator's
  name         TEXT    NOT NULL,
  hint         TEXT    NOT NULL,
  digest       BLOB    NOT NULL,
  scopes       TEXT    NOT NULL,
  created_at   INTEGER NOT NULL,
  last_used_at INTEGER,
  revoked_at   INTEGER
) STRICT;

-- Every request that is not cached looks its key up.
CREATE UNIQUE INDEX api_key_digest ON api_key (digest);

-- Lists of keys, newest first.
CREATE INDEX api_key_account ON api_key (account_id, id);

-- What other processes must forget; revoked keys only.
CREATE INDEX api_key_revoked ON api_key (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE event_type (
  account_id  INTEGER NOT NULL,
  name        TEXT    NOT NULL,
  description TEXT    NOT NULL,
  schema      TEXT    NOT NULL,
  example     TEXT    NOT NULL,
  source      TEXT    NOT NULL,
  extension   INTEGER NOT NULL,
  PRIMARY KEY (account_id, name)
) STRICT, WITHOUT ROWID;

-- A webhook as it is now. Its settings are those of its newest version; what is secret is kept here only, so that a
-- secret that was replaced is gone.
CREATE TABLE webhook (
  id         INTEGER PRIMARY KEY,
  account_id INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  channel    TEXT    NOT NULL, -- as in its settings: lists of deliveries show it
  sealed     BLOB    NOT NULL,
  created_at INTEGER NOT NULL,
  deleted    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Routing and lists; deleted ones too, for "which were there then".
CREATE INDEX webhook_account ON webhook (account_id, id);

CREATE TABLE webhook_version (
  webhook_id    INTEGER NOT NULL,
  version       INTEGER NOT NULL,
  from_config   INTEGER NOT NULL, -- the account's config_version from which it was in force
  state         TEXT    NOT NULL,
  status_reason TEXT,
  status_since  INTEGER NOT NULL,
  muted_until   INTEGER,
  settings      TEXT    NOT NULL,
  deleted       INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  PRIMARY KEY (webhook_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  id         INTEGER PRIMARY KEY,
  account_id INTEGER,
  at         INTEGER NOT NULL,
  actor      TEXT    NOT NULL,
  action     TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  detail     TEXT    NOT NULL,
  request_id TEXT
) STRICT;

-- Lists of an account's changes.
CREATE INDEX audit_account ON audit (account_id, id);

-- === what happens ====================================================================================================

CREATE TABLE event (
  id             INTEGER PRIMARY KEY,
  account_id     INTEGER NOT NULL,
  type           TEXT    NOT NULL,
  timestamp      INTEGER NOT NULL,
  accepted_at    INTEGER NOT NULL,
  external_id    TEXT,
  source         TEXT    NOT NULL,
  config_version INTEGER NOT NULL,
  matched        INTEGER NOT NULL,
  visitor_id     TEXT,
  visitor_bucket INTEGER, -- 0 to 255, by account and visitor
  digest         BLOB, -- with an external id: of what makes two events the same content
  data           BLOB -- NULL: retention took it. Last, so that reading the rest does not read it
) STRICT;

-- Erasure of a visitor; only events that name one. By bucket, so that it grows in 256 places and not in as many as
-- there are visitors: an erasure looks at one event in 256, and no event pays for a page of its own.
CREATE INDEX event_visitor ON event (visitor_bucket) WHERE visitor_bucket IS NOT NULL;

-- state: 10 pending, 11 retrying, 12 sending, 20 succeeded, 21 failed, 22 cancelled, 23 digested. All are one byte on
-- disk, and so is all else that changes when a delivery is settled: a row that grows would split its full page.
CREATE TABLE delivery (
  id           INTEGER PRIMARY KEY,
  event_id     INTEGER NOT NULL,
  webhook_id   INTEGER NOT NULL,
  account_id   INTEGER NOT NULL,
  state        INTEGER NOT NULL,
  waits        INTEGER NOT NULL CHECK (waits = (state < 12)), -- pending or retrying
  prior        INTEGER NOT NULL, -- while sending: the state to put it back into
  at           INTEGER NOT NULL, -- until it has ended: when due; then: when it ended
  attempts     INTEGER NOT NULL,
  tries        INTEGER NOT NULL,
  claim_count  INTEGER NOT NULL,
  status_code  INTEGER NOT NULL, -- of the last attempt; -1000: none came
  last_attempt INTEGER NOT NULL, -- number of the newest attempt; negative: none was made
  replay_id    INTEGER
) STRICT;

-- Claims: the first due ones of a lane. A delivery that is handed over on arrival never touches it. By a column that is
-- compared with a constant, because only then SQLite knows that the index alone answers.
CREATE INDEX delivery_waiting ON delivery (webhook_id, at) WHERE waits = 1;

-- What the former owner was sending, at start. As small as what is in flight.
CREATE INDEX delivery_sending ON delivery (state) WHERE state = 12;

-- Deliveries of an event. Grows at its end only.
CREATE INDEX delivery_event ON delivery (event_id);

-- Lists of what failed, however much succeeded around it; failed ones only.
CREATE INDEX delivery_failed ON delivery (account_id) WHERE state = 21;

-- Everything of an account by time, events and deliveries alike: the one account-led index of the journal. In chunks,
-- written in bulk some time after the rows themselves: see sqlite/timeline.py and sqlite/recent.py.
CREATE TABLE timeline (
  account_id INTEGER NOT NULL,
  last       INTEGER NOT NULL, -- the newest id of the chunk; an account's chunks do not overlap
  ids        BLOB    NOT NULL, -- rising, eight bytes each, little-endian
  PRIMARY KEY (account_id, last)
) STRICT, WITHOUT ROWID;

-- Attempts are chained from delivery.last_attempt backwards, which needs no index.
CREATE TABLE attempt (
  number      INTEGER PRIMARY KEY,
  delivery_id INTEGER NOT NULL,
  previous    INTEGER, -- number of the attempt before
  record      BLOB NOT NULL -- MessagePack of model.Attempt
) STRICT;

-- Which event has an external id; the rest stands in the event, which stays as long as this. Short rows, as keys
-- arrive in no order and each finds its own page. Written in bulk like `timeline`.
CREATE TABLE dedupe (
  key      BLOB PRIMARY KEY, -- 16 bytes of BLAKE2b over account and external id
  event_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Events whose deliveries are still being written.
CREATE TABLE fan_out (
  event_id       INTEGER PRIMARY KEY,
  account_id     INTEGER NOT NULL,
  config_version INTEGER NOT NULL,
  after          INTEGER NOT NULL
) STRICT;

-- Webhooks in an unbroken run of failures.
CREATE TABLE lane (
  webhook_id    INTEGER PRIMARY KEY,
  failing_since INTEGER NOT NULL,
  warned_at     INTEGER
) STRICT;

-- Events that were due to lose their body while a delivery had not ended.
CREATE TABLE kept_body (
  event_id INTEGER PRIMARY KEY
) STRICT;

-- Answers to repeat. Rows are written in the order in which they expire.
CREATE TABLE idempotency (
  id         INTEGER PRIMARY KEY,
  account_id INTEGER NOT NULL, -- 0: the operator
  route      TEXT    NOT NULL,
  key        TEXT    NOT NULL,
  digest     BLOB    NOT NULL,
  holder     INTEGER NOT NULL, -- which opening of the database runs it
  expires_at INTEGER NOT NULL,
  status     INTEGER, -- NULL: still running
  headers    TEXT,
  body       BLOB
) STRICT;

CREATE UNIQUE INDEX idempotency_key ON idempotency (account_id, route, key);
