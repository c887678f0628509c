-- What is to be fetched, and when.

CREATE TABLE urls (
  id       INTEGER PRIMARY KEY,
  job      INTEGER NOT NULL,
  key      BLOB    NOT NULL,                     -- what makes two addresses the same page for this job
  kind     INTEGER NOT NULL,
  url      TEXT    NOT NULL,
  host     TEXT    NOT NULL,
  depth    INTEGER NOT NULL,
  via      INTEGER NOT NULL,                     -- the address that led here; 0: the partner
  state    INTEGER NOT NULL,
  attempt  INTEGER NOT NULL DEFAULT 0,
  ready_at INTEGER NOT NULL,
  avoid    TEXT    NOT NULL DEFAULT '',          -- edges that failed it, by line
  UNIQUE (job, key)
) STRICT;
CREATE INDEX urls_due ON urls (host, job, ready_at, id) WHERE state = 0;

CREATE TABLE hosts (
  host     TEXT    PRIMARY KEY,
  ready_at INTEGER NOT NULL DEFAULT 0,           -- no request before
  wake_at  INTEGER,                              -- when a queued address is due; NULL: nothing is queued
  delay    INTEGER NOT NULL DEFAULT 0,           -- Crawl-delay of its robots.txt, milliseconds
  failures INTEGER NOT NULL DEFAULT 0,           -- batches in a row that reached nothing
  last_job INTEGER NOT NULL DEFAULT 0            -- whose turn it was
) STRICT, WITHOUT ROWID;
CREATE INDEX hosts_due ON hosts (wake_at) WHERE wake_at IS NOT NULL;
