-- What is remembered of pages beyond the jobs that fetched them.
CREATE TABLE memory (
  id       INTEGER PRIMARY KEY,
  key      BLOB    NOT NULL UNIQUE,              -- of whose memory it is and the address that was asked for
  url      TEXT    NOT NULL,                     -- where redirects led
  file     TEXT    NOT NULL,                     -- of the archive, where the response is, …
  place    INTEGER NOT NULL,                     -- … from this byte on, …
  length   INTEGER NOT NULL,                     -- … so many bytes, …
  records  INTEGER NOT NULL,                     -- … with the records beside it so many …
  record   TEXT    NOT NULL,                     -- … and with this name
  etag     TEXT    NOT NULL,                     -- as the site gave it; empty: it gave none
  modified TEXT    NOT NULL,                     -- Last-Modified, likewise
  payload  BLOB    NOT NULL,                     -- SHA-256 of the body
  content  BLOB    NOT NULL,                     -- SHA-256 of the normalised text
  reading  BLOB    NOT NULL,                     -- how the text was taken: only what was taken alike can be compared
  fetched  INTEGER NOT NULL,                     -- date of that response
  checked  INTEGER NOT NULL,                     -- when it was last known to be what the site says
  span     INTEGER NOT NULL,                     -- milliseconds after which it is likely to have changed
  edge     TEXT    NOT NULL,                     -- that brought the body; empty: it was fetched from here
  how      TEXT    NOT NULL                      -- JSON of a history
) STRICT;
CREATE INDEX memory_by_edge ON memory (edge);
CREATE INDEX memory_by_check ON memory (checked);

-- The texts of a job's documents that are no duplicates. The bands are the four quarters of simhash: two texts that
-- differ in three bits or fewer have at least one of them in common.
CREATE TABLE texts (
  id      INTEGER PRIMARY KEY,
  job     INTEGER NOT NULL,
  url     TEXT    NOT NULL,
  content BLOB    NOT NULL,                      -- SHA-256 of the normalised text
  simhash INTEGER NOT NULL,                      -- its 64 bits as a signed number
  band0   INTEGER,                               -- NULL: too short a text to be compared by simhash
  band1   INTEGER,
  band2   INTEGER,
  band3   INTEGER
) STRICT;
CREATE INDEX texts_same ON texts (job, content);
CREATE INDEX texts_band0 ON texts (job, band0) WHERE band0 IS NOT NULL;
CREATE INDEX texts_band1 ON texts (job, band1) WHERE band1 IS NOT NULL;
CREATE INDEX texts_band2 ON texts (job, band2) WHERE band2 IS NOT NULL;
CREATE INDEX texts_band3 ON texts (job, band3) WHERE band3 IS NOT NULL;
