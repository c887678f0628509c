CREATE TABLE IF NOT EXISTS pages (
  url      TEXT    PRIMARY KEY,
  shard    INTEGER NOT NULL,
  state    INTEGER NOT NULL, -- 0 to be indexed, 1 indexed, 2 to be removed
  title    TEXT    NOT NULL,
  headings TEXT    NOT NULL, -- one a line
  language TEXT    NOT NULL,
  fetched  INTEGER NOT NULL, -- unix milliseconds
  edge     TEXT    NOT NULL,
  hash     TEXT    NOT NULL,
  words    INTEGER NOT NULL, -- of the text, about
  text     BLOB    NOT NULL  -- zstd
);
CREATE INDEX IF NOT EXISTS pages_by_state ON pages (shard, state, words);
CREATE TABLE IF NOT EXISTS takedowns (
  url TEXT    PRIMARY KEY,
  at  INTEGER NOT NULL       -- unix milliseconds
) WITHOUT ROWID;
