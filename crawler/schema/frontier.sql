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
  ready_at INTEGER NOT NULL,                     -- not before; of what never waited its rank: below 1 000 000, long past
  avoid    TEXT    NOT NULL DEFAULT '',          -- edges that failed it, by line
  UNIQUE (job, key)
) STRICT;
CREATE INDEX urls_due ON urls (host, job, ready_at, id) WHERE state = 0;

CREATE TABLE hosts (
  host     TEXT    PRIMARY KEY,
  domain   TEXT    NOT NULL,                     -- the registrable domain, which has one budget for all its hosts
  ready_at INTEGER NOT NULL DEFAULT 0,           -- no request before
  wake_at  INTEGER,                              -- when a queued address is due; NULL: nothing is queued
  delay    INTEGER NOT NULL DEFAULT 0,           -- Crawl-delay of its robots.txt, milliseconds
  pace     INTEGER NOT NULL DEFAULT 0,           -- what its answers' times ask for between two requests, milliseconds
  strain   INTEGER NOT NULL DEFAULT 0,           -- how many times the delay is doubled, because it asked for patience
  failures INTEGER NOT NULL DEFAULT 0,           -- batches in a row that reached nothing
  last_job INTEGER NOT NULL DEFAULT 0            -- whose turn it was
) STRICT, WITHOUT ROWID;
CREATE INDEX hosts_due ON hosts (domain, wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE domains (
  domain   TEXT    PRIMARY KEY,
  ready_at INTEGER NOT NULL DEFAULT 0,           -- no request to any of its hosts before
  wake_at  INTEGER                               -- when one of its hosts is to be looked at; NULL: nothing is queued
) STRICT, WITHOUT ROWID;
CREATE INDEX domains_due ON domains (wake_at) WHERE wake_at IS NOT NULL;

-- How many addresses of a form a job has taken, where forms can be endless.
CREATE TABLE shapes (
  id    INTEGER PRIMARY KEY,
  job   INTEGER NOT NULL,
  host  TEXT    NOT NULL,                        -- or a domain
  shape TEXT    NOT NULL,                        -- '': all addresses of the host; '*': the domain's hosts
  n     INTEGER NOT NULL,
  UNIQUE (job, host, shape)
) STRICT;
