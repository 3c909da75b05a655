-- beside: 1
--
-- Instants are milliseconds since 1970; ids are `tocsin.ids` numbers and so sort by time; JSON that no query looks into is
-- text; bodies are bytes. The account leads the primary key of whatever can be distributed by it. Texts that are keys or
-- are put in order compare by their bytes (COLLATE "C"), whatever the database's locale is. Each index says which query
-- needs it.

-- What the database says of itself: key fingerprint, how far housekeeping has come.
CREATE TABLE meta (
  name  text COLLATE "C" PRIMARY KEY,
  value bytea NOT NULL -- UTF-8, of which a text would not hold all
);

-- === the processes ==================================================================================================

CREATE SEQUENCE node_epoch;

-- A run of a process, while it is there. Every write that counts on it reads its row FOR KEY SHARE; a beat changes it
-- beside them; who ends it deletes it, and so waits for them. `number` is a key: it never changes, or it would block.
CREATE TABLE node (
  epoch   bigint   PRIMARY KEY,
  number  smallint NOT NULL UNIQUE CHECK (number BETWEEN 0 AND 1023),
  name    text     NOT NULL,
  sends   boolean  NOT NULL,
  seen_at bigint   NOT NULL,
  last_id bigint   NOT NULL -- it makes none greater before its next beat
) WITH (
  fillfactor = 50, -- beats change rows within their page
  autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0
);

-- The greatest id that each number can have been used for by nodes that are gone: none is made twice.
CREATE TABLE node_number (
  number  smallint PRIMARY KEY,
  last_id bigint   NOT NULL
);

-- Who sends for which webhooks. All of them are there from the beginning; each has one node, or none.
CREATE TABLE shard (
  id    smallint PRIMARY KEY CHECK (id BETWEEN 0 AND 255),
  epoch bigint
) WITH (fillfactor = 50);
INSERT INTO shard (id) SELECT generate_series(0, 255);

-- === what people change ==============================================================================================

-- A removed account stays, unreachable, until its rows are purged.
CREATE TABLE account (
  id             bigint PRIMARY KEY,
  name           text   NOT NULL,
  profile        text   NOT NULL,
  timezone       text   NOT NULL,
  external_id    text COLLATE "C",
  notify_email   text,
  settings       text   NOT NULL,
  config_version bigint NOT NULL,
  created_at     bigint NOT NULL,
  updated_at     bigint NOT NULL,
  changed_at     bigint NOT NULL, -- or anything that it has: when `config_version` was raised
  removed_at     bigint
);

-- An external id names one living account.
CREATE UNIQUE INDEX account_external_id ON account (external_id) WHERE external_id IS NOT NULL AND removed_at IS NULL;

-- What other processes must look at again. People change settings; nothing hot does.
CREATE INDEX account_changed ON account (changed_at);

-- Purging looks for removed accounts; a handful of entries.
CREATE INDEX account_removed ON account (removed_at) WHERE removed_at IS NOT NULL;

CREATE TABLE api_key (
  id           bigint PRIMARY KEY,
  account_id   bigint, -- NULL: the operator's
  name         text   NOT NULL,
  hint         text   NOT NULL,
  digest       bytea  NOT NULL,
  scopes       text   NOT NULL,
  created_at   bigint NOT NULL,
  last_used_at bigint,
  revoked_at   bigint
) WITH (fillfactor = 80); -- `last_used_at` is in no index: a use changes its row within its page

-- Every request that is not cached looks its key up.
CREATE UNIQUE INDEX api_key_digest ON api_key (digest);

-- Lists of keys, newest first.
CREATE INDEX api_key_account ON api_key (account_id, id);

-- What other processes must forget; revoked keys only.
CREATE INDEX api_key_revoked ON api_key (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE event_type (
  account_id  bigint  NOT NULL,
  name        text COLLATE "C" NOT NULL,
  description text    NOT NULL,
  schema      text    NOT NULL,
  example     text    NOT NULL,
  source      text    NOT NULL,
  extension   boolean NOT NULL,
  PRIMARY KEY (account_id, name)
);

-- A webhook as it is now. Its settings are those of its newest version; what is secret is kept here only, so that a
-- secret that was replaced is gone. Routing and lists go by the account; deleted ones too, for "which were there then".
CREATE TABLE webhook (
  account_id bigint  NOT NULL,
  id         bigint  NOT NULL,
  version    bigint  NOT NULL,
  channel    text    NOT NULL, -- as in its settings: lists of deliveries show it
  shard      smallint NOT NULL, -- where it is sent for
  sealed     bytea   NOT NULL,
  created_at bigint  NOT NULL,
  deleted    boolean NOT NULL DEFAULT false,
  PRIMARY KEY (account_id, id)
);

-- Claims and lanes know a webhook by its id alone.
CREATE UNIQUE INDEX webhook_id ON webhook (id);

CREATE TABLE webhook_version (
  account_id    bigint  NOT NULL,
  webhook_id    bigint  NOT NULL,
  version       bigint  NOT NULL,
  from_config   bigint  NOT NULL, -- the account's config_version from which it was in force
  state         text    NOT NULL,
  status_reason text,
  status_since  bigint  NOT NULL,
  muted_until   bigint,
  settings      text    NOT NULL,
  deleted       boolean NOT NULL,
  updated_at    bigint  NOT NULL,
  PRIMARY KEY (account_id, webhook_id, version)
);

CREATE TABLE audit (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id bigint,
  at         bigint NOT NULL,
  actor      text   NOT NULL,
  action     text   NOT NULL,
  subject    text   NOT NULL,
  detail     text   NOT NULL,
  request_id text
);

-- Lists of an account's changes.
CREATE INDEX audit_account ON audit (account_id, id);

-- === what happens ====================================================================================================

-- Logs are partitioned by the id that leads in time, a week each: retention drops weeks, and what is asked of lately looks
-- at the latest only. Here each has one partition, of everything; store/postgres/partitions.py takes it apart. There is no
-- DEFAULT: without one the partitions are known to follow each other. Settings of storage are the partitions' own, and
-- stand there too.

-- Lists of an account's events go by the primary key. Rows are written once; what changes them is a digest's growth,
-- retention and erasure.
CREATE TABLE event (
  account_id     bigint NOT NULL,
  id             bigint NOT NULL,
  type           text   NOT NULL,
  timestamp      bigint NOT NULL,
  accepted_at    bigint NOT NULL,
  external_id    text COLLATE "C",
  source         text   NOT NULL,
  config_version bigint NOT NULL,
  matched        bigint NOT NULL,
  visitor_id     bytea, -- UTF-8: a publisher's text may hold a NUL, which `text` cannot
  digest         bytea, -- with an external id: of what makes two events the same content
  data           bytea, -- NULL: retention or an erasure took it
  PRIMARY KEY (account_id, id)
) PARTITION BY RANGE (id);
CREATE TABLE event_beyond PARTITION OF event FOR VALUES FROM (MINVALUE) TO (MAXVALUE);

-- Retention goes through all accounts by time. Grows at its end only.
CREATE INDEX event_id ON event (id);

-- Erasure of a visitor; only events that name one.
CREATE INDEX event_visitor ON event (account_id, visitor_id, id) WHERE visitor_id IS NOT NULL;

-- What has not ended: all that is claimed and due, and nothing else, so that it stays as small as the work that is left,
-- whatever the logs hold. state: 10 pending, 11 retrying, 12 sending.
CREATE TABLE delivery_live (
  account_id  bigint   NOT NULL,
  id          bigint   NOT NULL,
  event_id    bigint   NOT NULL,
  webhook_id  bigint   NOT NULL,
  replay_id   bigint,
  at          bigint   NOT NULL, -- when due; of one that had ended and is sent anew by hand: when it had ended
  claimed_by  bigint, -- the epoch of the node that is sending it
  attempts    integer  NOT NULL DEFAULT 0,
  tries       integer  NOT NULL DEFAULT 0,
  claim_count integer  NOT NULL,
  status_code integer, -- of the last attempt; NULL: none came
  state       smallint NOT NULL,
  prior       smallint NOT NULL DEFAULT 10, -- while sending: what it goes back to; from 20 on: into the log
  PRIMARY KEY (id), -- claims, settling, giving back and folding know a delivery by it alone
  CHECK (state < 20), -- lists of what has ended pass this table over by it
  CHECK ((state = 12) = (claimed_by IS NOT NULL))
) WITH (
  -- Every row dies here, nearly all within seconds of their coming. A vacuum for each so many dead rows, whatever else
  -- waits in the table, and without pauses: what it reads is in memory, and every row that it is late makes claims slower
  -- and the table longer.
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000,
  -- The next rows need the pages of the last ones: giving those at the end back to the disk would lock everybody out.
  vacuum_truncate = false
  -- No room is left in its pages for what changes: the one change that is frequent, to claim, takes a row out of
  -- `delivery_waiting` and into `delivery_sending`, so that all its entries are written anew wherever it comes to lie.
);

-- Where vacuuming finds the table empty, the planner takes it to be so, and any index that holds the id for as good as any
-- other to find a row by it. So those that have the id in second place are for queries only that ask for what is first:
-- that it is NOT NULL is always so, and known of nothing else.

-- Lists of an account's deliveries.
CREATE INDEX delivery_live_account ON delivery_live (account_id, id) WHERE account_id IS NOT NULL;

-- Claims: the first due ones of a lane. A delivery that is handed over on arrival never touches it.
CREATE INDEX delivery_waiting ON delivery_live (webhook_id, at, id) WHERE state < 12;

-- What a node that has gone was sending. As small as what is in flight, and grows at the end of each node's part only.
CREATE INDEX delivery_sending ON delivery_live (claimed_by, id) WHERE state = 12;

-- Deliveries of an event; whether any has not ended. Grows at its end only.
CREATE INDEX delivery_live_event ON delivery_live (event_id, id) WHERE event_id IS NOT NULL;

-- What has ended. state: 20 succeeded, 21 failed, 22 cancelled, 23 digested. Lists of an account's deliveries go by the
-- primary key. A row comes once; it leaves by retention, or to be sent anew by hand.
CREATE TABLE delivery_log (
  account_id  bigint   NOT NULL,
  id          bigint   NOT NULL,
  event_id    bigint   NOT NULL,
  webhook_id  bigint   NOT NULL,
  replay_id   bigint,
  digest_id   bigint, -- which digest it was folded into
  at          bigint   NOT NULL, -- when it ended
  attempts    integer  NOT NULL,
  tries       integer  NOT NULL,
  claim_count integer  NOT NULL DEFAULT 0,
  status_code integer,
  state       smallint NOT NULL,
  PRIMARY KEY (account_id, id),
  CHECK (state >= 20)
) PARTITION BY RANGE (id);
CREATE TABLE delivery_log_beyond PARTITION OF delivery_log FOR VALUES FROM (MINVALUE) TO (MAXVALUE);

-- Retention goes through all accounts by time; digests know a delivery by its id alone. Grows near its end only.
CREATE UNIQUE INDEX delivery_log_id ON delivery_log (id);

-- Deliveries of an event. Grows near its end only.
CREATE INDEX delivery_log_event ON delivery_log (event_id, id);

-- Lists of what failed, however much succeeded around it; failed ones only.
CREATE INDEX delivery_log_failed ON delivery_log (account_id, id) WHERE state = 21;

-- The members of a digest; only what was folded.
CREATE INDEX delivery_log_digest ON delivery_log (digest_id, id) WHERE digest_id IS NOT NULL;

-- Whether a week holds anything that ended late; a few pages a week, and next to nothing for each row.
CREATE INDEX delivery_log_at ON delivery_log USING brin (at) WITH (pages_per_range = 64);

-- What reads asks both. A delivery is in one of them.
CREATE VIEW delivery AS
SELECT account_id, id, event_id, webhook_id, replay_id, NULL::bigint AS digest_id, at, attempts, tries, status_code, state
FROM delivery_live
UNION ALL
SELECT account_id, id, event_id, webhook_id, replay_id, digest_id, at, attempts, tries, status_code, state
FROM delivery_log;

-- Attempts of a delivery go by the primary key, first to last.
CREATE TABLE attempt (
  account_id  bigint NOT NULL,
  delivery_id bigint NOT NULL,
  id          bigint NOT NULL,
  record      bytea  NOT NULL, -- MessagePack of model.Attempt
  PRIMARY KEY (account_id, delivery_id, id)
) PARTITION BY RANGE (delivery_id);
CREATE TABLE attempt_beyond PARTITION OF attempt FOR VALUES FROM (MINVALUE) TO (MAXVALUE);

-- Which event has an external id, as long as it is remembered; the rest stands in the event.
CREATE TABLE dedupe (
  account_id  bigint NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  event_id    bigint NOT NULL,
  PRIMARY KEY (account_id, external_id)
);

-- Retention: those of events that are old. Grows at its end only.
CREATE INDEX dedupe_event ON dedupe (event_id);

-- Events whose deliveries are still being written.
CREATE TABLE fan_out (
  event_id       bigint PRIMARY KEY,
  account_id     bigint NOT NULL,
  config_version bigint NOT NULL,
  after          bigint NOT NULL
);

-- Webhooks in an unbroken run of failures.
CREATE TABLE lane (
  webhook_id     bigint PRIMARY KEY,
  failing_since  bigint NOT NULL, -- as it counts since the webhook was enabled
  unbroken_since bigint NOT NULL, -- nothing has succeeded since then, whether it was enabled anew or not
  warned_at      bigint
);

-- Events that were due to lose their body while a delivery had not ended.
CREATE TABLE kept_body (
  event_id   bigint PRIMARY KEY,
  account_id bigint NOT NULL
);

-- E-mails that are still to be sent to the owners of webhooks: the newest word on each webhook, so that there are never
-- more than webhooks. Written in the transaction of the change that they tell of.
CREATE TABLE notice (
  webhook_id bigint PRIMARY KEY,
  id         bigint NOT NULL,
  account_id bigint NOT NULL,
  kind       text   NOT NULL,
  reason     text   NOT NULL,
  at         bigint NOT NULL, -- when it came to it
  due_at     bigint NOT NULL, -- when it is to be sent, or tried again
  tries      bigint NOT NULL
);

-- What to send now, and when next.
CREATE INDEX notice_due ON notice (due_at);

-- Answers to repeat. `holder` is the epoch of the node that runs the request.
CREATE TABLE idempotency (
  account_id bigint NOT NULL, -- 0: the operator
  route      text COLLATE "C" NOT NULL,
  key        text COLLATE "C" NOT NULL,
  digest     bytea  NOT NULL,
  holder     bigint NOT NULL,
  expires_at bigint NOT NULL,
  status     integer, -- NULL: still running
  headers    text,
  body       bytea,
  PRIMARY KEY (account_id, route, key)
);

-- What has expired.
CREATE INDEX idempotency_expires ON idempotency (expires_at);

-- === digests =========================================================================================================
-- Why a digest is a delivery: docs/decisions/0005-digests.md.

-- A webhook's newest window. One that has ended and has no open digest is forgotten by and by.
CREATE TABLE digest_window (
  webhook_id bigint PRIMARY KEY,
  opened_at  bigint NOT NULL,
  ends_at    bigint NOT NULL,
  sent       bigint NOT NULL -- messages of it that went out on their own
);

-- What a digest is beside its delivery and its event, as long as the delivery is there.
CREATE TABLE digest (
  delivery_id bigint  PRIMARY KEY,
  webhook_id  bigint  NOT NULL,
  kind        text COLLATE "C" NOT NULL,
  opened_at   bigint  NOT NULL,
  takes       boolean NOT NULL, -- it takes members, as long as its delivery has not ended
  members     bigint  NOT NULL, -- deliveries folded into it; those of a digest folded into it in its place
  revision    bigint  NOT NULL, -- how often its summary was changed by an erasure
  scrub       boolean NOT NULL, -- it was being sent during an erasure; what comes of that sending is stored bare
  message     text -- what the service calls it, once it was sent
);

-- The open digests of a webhook. At most one of each kind takes members; `gather` closes others before it opens one.
CREATE UNIQUE INDEX digest_open ON digest (webhook_id, kind) WHERE takes;

-- === triggers ========================================================================================================
-- What is remembered, and why: docs/decisions/0004-trigger-state.md.

-- The log of activities; an account's in order by the primary key.
CREATE TABLE activity (
  account_id  bigint NOT NULL,
  id          bigint NOT NULL,
  kind        text   NOT NULL,
  at          bigint NOT NULL,
  accepted_at bigint NOT NULL,
  external_id text COLLATE "C",
  visitor_id  bytea, -- UTF-8, as in `event`
  digest      bytea, -- with an external id: of what makes two activities the same content
  result      bytea NOT NULL, -- JSON: what its publisher was told
  data        bytea, -- NULL: retention or an erasure took it
  PRIMARY KEY (account_id, id)
) PARTITION BY RANGE (id);
CREATE TABLE activity_beyond PARTITION OF activity FOR VALUES FROM (MINVALUE) TO (MAXVALUE);

-- Retention goes through all accounts by time. Grows at its end only.
CREATE INDEX activity_id ON activity (id);

-- Erasure of a visitor; only activities that name one.
CREATE INDEX activity_visitor ON activity (account_id, visitor_id, id) WHERE visitor_id IS NOT NULL;

-- Which activity has an external id: a namespace of its own.
CREATE TABLE activity_dedupe (
  account_id  bigint NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  activity_id bigint NOT NULL,
  PRIMARY KEY (account_id, external_id)
);

-- Retention: those of activities that are old. Grows at its end only.
CREATE INDEX activity_dedupe_activity ON activity_dedupe (activity_id);

-- The version of an account's trigger state; a row from its first write on, without one it is 0. Whoever writes an
-- account's state raises it first, and so holds back every other until the end of the transaction.
CREATE TABLE trigger_version (
  account_id bigint PRIMARY KEY,
  version    bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1); -- raised with every batch: new rows stay in their page

-- What is remembered of an account, by the keys of `tocsin.triggers.state`.
CREATE TABLE trigger_state (
  account_id bigint NOT NULL,
  key        bytea  NOT NULL, -- UTF-8: keys hold the names of visitors, see `event`; and bytes are their order
  until      bigint, -- from then on as if it had never been; NULL: for ever
  look_at    bigint, -- the hour in which to look whether it has expired; NULL: it never will. See below
  value      bytea  NOT NULL,
  PRIMARY KEY (account_id, key)
) WITH (
  -- Counters are written over and over: room for the next row in the page, and vacuuming long before a fifth is dead.
  fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05
);

-- What may have expired. `until` moves with every click of a visitor, and were it in an index each move would write every
-- index of the table anew. So `look_at` is set when a key first gets an end and then stays, whatever becomes of `until`;
-- what was moved meanwhile is looked at again later.
CREATE INDEX trigger_state_look_at ON trigger_state (look_at) WHERE look_at IS NOT NULL;

-- What is to be looked at, at a time that a rule has set.
CREATE TABLE timer (
  account_id bigint NOT NULL,
  name       text COLLATE "C" NOT NULL,
  due_at     bigint NOT NULL,
  PRIMARY KEY (account_id, name)
);

-- What is due, and when next.
CREATE INDEX timer_due ON timer (due_at);

-- === a move from another database ====================================================================================

-- What of it has been written, piece by piece: empty but while one is under way (store/moving).
CREATE TABLE moving_piece (
  noun   text COLLATE "C" NOT NULL,
  number integer  NOT NULL,
  beyond bytea    NOT NULL, -- the key beyond which it begins, as MessagePack
  upto   bytea    NOT NULL, -- the key with which it ends
  counts bigint[] NOT NULL, -- rows of each table
  digest bytea    NOT NULL,
  PRIMARY KEY (noun, number)
);
