-- What came of it.

CREATE TABLE documents (
  id   INTEGER PRIMARY KEY,
  job  INTEGER NOT NULL,
  seq  INTEGER NOT NULL,                         -- 0, 1, 2 … within the job, without gaps
  url  INTEGER NOT NULL,
  size INTEGER NOT NULL,                         -- bytes of the JSON before compression
  archive_file  TEXT    NOT NULL DEFAULT '',     -- where the exchange with its body is archived
  archive_at    INTEGER NOT NULL DEFAULT 0,
  archive_bytes INTEGER NOT NULL DEFAULT 0,      -- of all its records
  beside_file   TEXT    NOT NULL DEFAULT '',     -- likewise, of the records that are of this job alone: a revisit, a conversion
  beside_at     INTEGER NOT NULL DEFAULT 0,
  beside_bytes  INTEGER NOT NULL DEFAULT 0,
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
  price  TEXT    NOT NULL DEFAULT '',            -- that the site asks for the page
  at     INTEGER NOT NULL
) STRICT;
CREATE INDEX errors_by_job ON errors (job);

CREATE TABLE outbox (
  id   INTEGER PRIMARY KEY,
  page BLOB NOT NULL                             -- zstd JSON of a Page
) STRICT;
