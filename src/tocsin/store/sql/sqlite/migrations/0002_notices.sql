-- E-mails that are still to be sent to the owners of webhooks: the newest word on each webhook, so that there are never
-- more than webhooks. Written in the transaction of the change that they tell of.
CREATE TABLE notice (
  webhook_id INTEGER PRIMARY KEY,
  id         INTEGER NOT NULL,
  account_id INTEGER NOT NULL,
  kind       TEXT    NOT NULL,
  reason     TEXT    NOT NULL,
  at         INTEGER NOT NULL, -- when it came to it
  due_at     INTEGER NOT NULL, -- when it is to be sent, or tried again
  tries      INTEGER NOT NULL
) STRICT;

-- What to send now, and when next.
CREATE INDEX notice_due ON notice (due_at);
