-- What origins say of themselves. A file that differs between two looks is kept in both forms until it has not been seen
-- for a day: the strictest binds.

CREATE TABLE sites (
  origin  TEXT    PRIMARY KEY,                   -- scheme, host and port; or the address of a licence
  seen_at INTEGER NOT NULL,                      -- of the last look that was answered
  next_at INTEGER NOT NULL,                      -- no look before
  looks   INTEGER NOT NULL,                      -- since the card was new
  lookers TEXT    NOT NULL                       -- edges through which it was looked, by blank
) STRICT;
CREATE INDEX sites_by_age ON sites (seen_at);

CREATE TABLE site_files (
  origin  TEXT    NOT NULL,
  kind    INTEGER NOT NULL,
  digest  BLOB    NOT NULL,                      -- SHA-256 of the file
  seen_at INTEGER NOT NULL,
  body    BLOB    NOT NULL,                      -- zstd
  PRIMARY KEY (origin, kind, digest)
) STRICT;
CREATE INDEX site_files_by_age ON site_files (seen_at);
