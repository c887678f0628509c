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
  quota      INTEGER NOT NULL,                   -- documents at most
  completed  INTEGER NOT NULL DEFAULT 0,         -- documents delivered = next seq
  failed     INTEGER NOT NULL DEFAULT 0,         -- rows in errors, also those over the bound on rows
  discovered INTEGER NOT NULL DEFAULT 0,         -- addresses ever queued
  pages      INTEGER NOT NULL DEFAULT 0,         -- page addresses still queued
  seeds      INTEGER NOT NULL DEFAULT 0          -- robots.txt and sitemaps still queued
) STRICT;
CREATE INDEX jobs_by_account ON jobs (account, state);
CREATE INDEX jobs_by_state ON jobs (state, finished);

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

CREATE TABLE documents (
  id   INTEGER PRIMARY KEY,
  job  INTEGER NOT NULL,
  seq  INTEGER NOT NULL,                         -- 0, 1, 2 … within the job, without gaps
  url  INTEGER NOT NULL,
  size INTEGER NOT NULL,                         -- bytes of the JSON before compression
  body BLOB    NOT NULL,                         -- zstd
  UNIQUE (job, seq)
) STRICT;

CREATE TABLE errors (
  id     INTEGER PRIMARY KEY,
  job    INTEGER NOT NULL,
  url    TEXT    NOT NULL,
  code   TEXT    NOT NULL,
  owner  TEXT    NOT NULL,
  detail TEXT    NOT NULL,
  at     INTEGER NOT NULL
) STRICT;
CREATE INDEX errors_by_job ON errors (job);

CREATE TABLE outbox (
  id   INTEGER PRIMARY KEY,
  page BLOB NOT NULL                             -- zstd JSON of a Page
) STRICT;
