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
