package accounting

import (
	"context"
	"encoding/hex"
	"strconv"

	"sward/internal/identity"
)

// earnedDays is how many UTC days back the ledger tells what was earned from which channel: a month and the days in which an
// owner asks about its end. What is older is in the days of usage as a sum, and in the journal to the last receipt.
const earnedDays = 35

// earnedID is what one channel has brought its edge on one UTC day under one price: the line of a statement.
type earnedID struct {
	edge    identity.ID
	day     int64 // days since 1970
	channel ChannelID
	price   uint32
}

// earned is how much that was, and the receipt it rests on.
type earned struct {
	relay    identity.ID
	serial   uint64 // of the last receipt that was settled that day
	time     int64  // when, Unix milliseconds
	up, down uint64
	amount   Micro
}

// createEarned is the table of the lines. It grows by a row for each channel with traffic and day, and is cut at the other
// end once a day.
const createEarned = `CREATE TABLE earned (edge BLOB, day INTEGER, channel BLOB, price INTEGER, relay BLOB, serial INTEGER, time INTEGER, up INTEGER, down INTEGER, amount INTEGER, PRIMARY KEY (edge, day, channel, price)) WITHOUT ROWID`

// earnFrom notes for the edge's owner where a credit comes from. serial is that of the receipt which brings it.
func (s *state) earnFrom(c *liveChannel, serial uint64, price uint32, up, down uint64, m Micro) {
	id := earnedID{c.edge, s.time / dayMillis, c.id, price}
	e := s.earned[id]
	e.relay, e.serial, e.time = c.relay, serial, s.time
	e.up, e.down, e.amount = e.up+up, e.down+down, e.amount+m
	s.earned[id] = e
}

// forgetEarned drops the lines that have become too old with the day that begins now.
func (s *state) forgetEarned(now int64) {
	if now/dayMillis == s.time/dayMillis {
		return
	}
	s.earnedFrom = now/dayMillis - earnedDays
	for id := range s.earned {
		if id.day < s.earnedFrom {
			delete(s.earned, id)
		}
	}
}

// flushEarned writes the lines with exec, which runs one statement of the ledger's transaction.
func (s *state) flushEarned(exec func(string, ...any) error) error {
	if s.earnedFrom > 0 {
		if err := exec("DELETE FROM earned WHERE day < ?", s.earnedFrom); err != nil {
			return err
		}
	}
	const add = `INSERT INTO earned VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (edge, day, channel, price) DO UPDATE SET
		serial = excluded.serial, time = excluded.time, up = up + excluded.up, down = down + excluded.down, amount = amount + excluded.amount`
	for id, e := range s.earned {
		err := exec(add, id.edge[:], id.day, id.channel[:], int64(id.price), e.relay[:], int64(e.serial), e.time,
			int64(e.up), int64(e.down), int64(e.amount))
		if err != nil {
			return err
		}
	}
	return nil
}

// compareEarned holds the lines of a ledger against those of the replay.
func (m *mirror) compareEarned(ctx context.Context, s *state) error {
	if m.noEarned {
		return nil // of a time before there were lines: the next hub that opens it makes the ledger anew
	}
	want := map[string][]any{}
	for id, e := range s.earned {
		key := hex.EncodeToString(id.edge[:]) + " " + strconv.FormatInt(id.day, 10) + " " + id.channel.String() + " " + decimal(uint64(id.price))
		want[key] = []any{key, e.relay[:], int64(e.serial), e.time, int64(e.up), int64(e.down), int64(e.amount)}
	}
	const query = `SELECT lower(hex(edge)) || ' ' || day || ' ' || lower(hex(channel)) || ' ' || price, relay, serial, time, up, down, amount FROM earned`
	return m.compareTable(ctx, "earned", query, want)
}
