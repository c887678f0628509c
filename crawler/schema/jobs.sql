-- Times are Unix milliseconds. States and kinds are the numbers of job.go and frontier.go.

CREATE TABLE jobs (
  id         INTEGER PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,            -- the UUID that partners know
  kind       INTEGER NOT NULL,                   -- crawl or scrape
  account    TEXT    NOT NULL,
  owner      TEXT    NOT NULL,                   -- JSON of the whole Account
  request    TEXT    NOT NULL,                   -- JSON of the Order
  base       TEXT    NOT NULL,                   -- the start address, after its redirects once it was fetched
  state      INTEGER NOT NULL,
  failure    TEXT    NOT NULL DEFAULT '',        -- name of the code that ended it
  created    INTEGER NOT NULL,
  deadline   INTEGER NOT NULL,
  finished   INTEGER NOT NULL DEFAULT 0,
  stalled    INTEGER NOT NULL DEFAULT 0,         -- since when no edge was to be had; 0: one was
  resume_at  INTEGER NOT NULL DEFAULT 0,         -- nothing is fetched before: the account's cap is used up
  progress   INTEGER NOT NULL,                   -- when the last address was settled
  waiting    TEXT    NOT NULL DEFAULT '',        -- why there was none since, if that is long ago
  stopped    TEXT    NOT NULL DEFAULT '',        -- the bound at which it completed: limit, max_time, max_bytes
  quota      INTEGER NOT NULL,                   -- documents at most
  bytes      INTEGER NOT NULL DEFAULT 0,         -- of the bodies delivered
  completed  INTEGER NOT NULL DEFAULT 0,         -- documents delivered = next seq
  remembered INTEGER NOT NULL DEFAULT 0,         -- of these from memory, which cost nothing
  failed     INTEGER NOT NULL DEFAULT 0,         -- rows in errors, also those over the bound on rows
  discovered INTEGER NOT NULL DEFAULT 0,         -- addresses ever queued
  pages      INTEGER NOT NULL DEFAULT 0,         -- page addresses still queued
  seeds      INTEGER NOT NULL DEFAULT 0          -- robots.txt and sitemaps still queued
) STRICT;
CREATE INDEX jobs_by_account ON jobs (account, state);
CREATE INDEX jobs_by_state ON jobs (state, finished);
