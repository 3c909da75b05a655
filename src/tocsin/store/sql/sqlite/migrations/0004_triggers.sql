-- What triggers remember and what is due. Why it is laid out so: docs/decisions/0004-trigger-state.md.

-- The log of activities. Which ones an account has stands in `timeline`, under the account's id made negative.
CREATE TABLE activity (
  id          INTEGER PRIMARY KEY,
  account_id  INTEGER NOT NULL,
  kind        TEXT    NOT NULL,
  at          INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL,
  external_id TEXT,
  visitor_id  TEXT,
  digest      BLOB, -- with an external id: of what makes two activities the same content
  result      BLOB NOT NULL, -- JSON: what its publisher was told
  data        BLOB -- NULL: retention or an erasure took it
) STRICT;

-- What is remembered of an account, by the keys of `tocsin.triggers.state`.
CREATE TABLE trigger_state (
  key   BLOB PRIMARY KEY, -- the account's id, eight bytes, big-endian; then the key's text
  until INTEGER, -- from then on as if it had never been; NULL: for ever
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- When to look whether a key of `trigger_state` has expired: a row for each key that can, written when it comes up and
-- not each time its `until` moves; what was moved meanwhile is looked at again later. In hours, so that the index grows
-- in as many places as there are different times to live.
CREATE TABLE trigger_expiry (
  id   INTEGER PRIMARY KEY,
  hour INTEGER NOT NULL, -- the first that begins after `until`
  key  BLOB    NOT NULL
) STRICT;

CREATE INDEX trigger_expiry_hour ON trigger_expiry (hour);

CREATE TRIGGER trigger_state_comes AFTER INSERT ON trigger_state WHEN NEW.until IS NOT NULL BEGIN
  INSERT INTO trigger_expiry (hour, key) VALUES (NEW.until / 3600000 + 1, NEW.key);
END;

CREATE TRIGGER trigger_state_may_expire AFTER UPDATE OF until ON trigger_state
WHEN OLD.until IS NULL AND NEW.until IS NOT NULL BEGIN
  INSERT INTO trigger_expiry (hour, key) VALUES (NEW.until / 3600000 + 1, NEW.key);
END;

-- What is to be looked at, at a time that a rule has set.
CREATE TABLE timer (
  account_id INTEGER NOT NULL,
  name       TEXT    NOT NULL,
  due_at     INTEGER NOT NULL,
  PRIMARY KEY (account_id, name)
) STRICT, WITHOUT ROWID;

-- What is due, and when next.
CREATE INDEX timer_due ON timer (due_at);
