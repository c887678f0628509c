-- What is known of each edge (trust.Standing), so that nobody is new again after a restart of the hub.

CREATE TABLE edges (
  edge       TEXT    PRIMARY KEY,
  pages      INTEGER NOT NULL,
  matches    INTEGER NOT NULL,
  mismatches INTEGER NOT NULL,
  clean      INTEGER NOT NULL,
  evidence   REAL    NOT NULL,                   -- nats
  missed     INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL,
  suspended  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX edges_seen ON edges (seen_at);
