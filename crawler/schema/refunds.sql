-- Bytes that crossed edges for an account and brought it nothing. They are paid to the edges and given back to the account.

CREATE TABLE refunds (
  account TEXT    PRIMARY KEY,
  owner   TEXT    NOT NULL,                      -- JSON of the Account
  bytes   INTEGER NOT NULL,                      -- in all, ever: it only grows
  told    INTEGER NOT NULL                       -- of them, to whoever pays; -1: nothing yet
) STRICT;

CREATE TABLE source (
  id BLOB PRIMARY KEY                            -- names this store's counts
) STRICT;
