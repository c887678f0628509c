-- What a partner asked to be called about. An event leaves when its call was answered, or its attempts are used up.

CREATE TABLE hooks (
  job    INTEGER PRIMARY KEY,
  hook   TEXT    NOT NULL,                       -- JSON of the Webhook
  events INTEGER NOT NULL                        -- a bit for each kind that is wanted
) STRICT;

CREATE TABLE events (
  id       INTEGER PRIMARY KEY,
  job      INTEGER NOT NULL,
  kind     INTEGER NOT NULL,                     -- a bit of hooks.events
  ref      INTEGER NOT NULL,                     -- the document's seq, or the row in errors
  attempt  INTEGER NOT NULL DEFAULT 0,
  ready_at INTEGER NOT NULL
) STRICT;
CREATE INDEX events_due ON events (ready_at, id);
CREATE INDEX events_by_job ON events (job);
