-- Names that partners gave to their orders, so that one that is sent again is not done again.

CREATE TABLE once (
  account TEXT    NOT NULL,
  name    TEXT    NOT NULL,
  job     TEXT    NOT NULL,                      -- the UUID of the job that was started under it
  at      INTEGER NOT NULL,
  PRIMARY KEY (account, name)
) STRICT;
CREATE INDEX once_at ON once (at);
