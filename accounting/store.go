package accounting

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"sward/internal/identity"
)

// driver is the name under which modernc.org/sqlite registers itself. The programs that open a book or audit one import
// it; this package does not, because the home agent uses this package too and carries no database.
const driver = "sqlite"

// The tables that mirror the state, row by row.
const (
	tableBook     = "book"
	tablePrice    = "price"
	tablePartner  = "partner"
	tableAccount  = "account"
	tableGrant    = "grants"
	tableChannel  = "channel"
	tableEdge     = "edge"
	tableRelay    = "relay"
	tableInvite   = "invite"
	tableEvidence = "evidence"
)

// table is how a part of the state lies in the database. The first column is the primary key.
type table struct {
	name    string
	columns string
	load    func(*state, *cells)
}

// tables are in the order in which they are loaded.
var tables = []table{
	{tableBook, "id TEXT PRIMARY KEY, network TEXT, hub TEXT, seq INTEGER, head BLOB, time INTEGER, price INTEGER", loadBook},
	{tablePrice, "id INTEGER PRIMARY KEY, gib INTEGER, edge INTEGER, relay INTEGER", loadPrice},
	{tablePartner, "id TEXT PRIMARY KEY, name TEXT, purpose INTEGER, key BLOB, created INTEGER", loadPartner},
	{tableAccount, "id TEXT PRIMARY KEY, balance INTEGER", loadAccount},
	{tableGrant, "id TEXT PRIMARY KEY, partner TEXT, signed BLOB, used INTEGER, channels INTEGER, phase INTEGER, finals BLOB", loadGrant},
	{tableChannel, "id TEXT PRIMARY KEY, edge BLOB, relay BLOB, edge_key BLOB, relay_key BLOB, expires INTEGER, serial INTEGER, hash BLOB, gaps INTEGER, proofs INTEGER, tallies BLOB", loadChannel},
	{tableEdge, "id TEXT PRIMARY KEY, consent BLOB, consented INTEGER, bytes INTEGER, suspended TEXT", loadEdge},
	{tableRelay, "id TEXT PRIMARY KEY, proxy TEXT, tunnel TEXT, region TEXT, admitted INTEGER, suspended TEXT", loadRelay},
	{tableInvite, "id TEXT PRIMARY KEY, expires INTEGER, edge TEXT", loadInvite},
	{tableEvidence, "id INTEGER PRIMARY KEY, rule TEXT, channel TEXT, edge TEXT, relay TEXT", loadEvidence},
}

// growing are the tables that the state does not keep.
const growing = `
CREATE TABLE posting (tx INTEGER, account TEXT, amount INTEGER, balance INTEGER);
CREATE TABLE usage (account TEXT, day TEXT, up INTEGER, down INTEGER, amount INTEGER, PRIMARY KEY (account, day));
`

func schema() string {
	var b strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&b, "CREATE TABLE %s (%s);\n", t.name, t.columns)
	}
	b.WriteString(growing)
	return b.String()
}

// openDatabase opens a file with the given pragmas and mode (rwc, ro).
func openDatabase(path, mode string, pragmas ...string) (*sql.DB, error) {
	if !slices.Contains(sql.Drivers(), driver) {
		return nil, errors.New(`no SQLite driver: the program must import _ "modernc.org/sqlite"`)
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") && filepath.IsAbs(path) {
		path = "/" + path // a drive letter
	}
	query := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_pragma": append(pragmas, "busy_timeout(10000)")}
	return sql.Open(driver, "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query.Encode())
}

// store is the SQLite ledger. It can always be thrown away and made again from the journal.
type store struct{ db *sql.DB }

// openStore opens the ledger, making it if it is not there. It does not wait for the disk at each transaction: the
// journal has done so, and what a power cut takes from here is replayed from there.
func openStore(ctx context.Context, path string) (*store, error) {
	db, err := openDatabase(path, "rwc", "journal_mode(WAL)", "synchronous(NORMAL)")
	if err != nil {
		return nil, err
	}
	var n int
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'").Scan(&n)
	if err == nil && n == 0 {
		_, err = db.ExecContext(ctx, "BEGIN;"+schema()+"COMMIT;")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", path, err), db.Close())
	}
	return &store{db}, nil
}

// load reads the state back.
func (d *store) load(ctx context.Context) (*state, error) {
	s := newState()
	for _, t := range tables {
		err := d.each(ctx, "SELECT * FROM "+t.name, func(values []any) error {
			c := cells{values: values}
			t.load(s, &c)
			return c.err
		})
		if err != nil {
			return nil, fmt.Errorf("load ledger: table %s: %w", t.name, err)
		}
	}
	clear(s.dirty)
	for _, m := range s.ledger.balances {
		s.ledger.total += m
	}
	if s.ledger.total != 0 {
		return nil, fmt.Errorf("load ledger: %w", errConservation)
	}
	return s, nil
}

// each calls f with every row of a query.
func (d *store) each(ctx context.Context, query string, f func([]any) error, args ...any) error {
	rows, err := d.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range into {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := f(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// flush writes all that has changed in one transaction, the applied sequence with it. If that fails, the changes stay
// marked for the next time: the journal has them.
func (d *store) flush(ctx context.Context, s *state) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("flush ledger: %w", err)
	}
	if err := write(ctx, tx, s); err != nil {
		return errors.Join(fmt.Errorf("flush ledger: %w", err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("flush ledger: %w", err)
	}
	clear(s.dirty)
	clear(s.usage)
	s.postings = s.postings[:0]
	return nil
}

func write(ctx context.Context, tx *sql.Tx, s *state) error {
	statements := map[string]*sql.Stmt{}
	exec := func(query string, values ...any) error {
		statement := statements[query]
		if statement == nil {
			var err error
			if statement, err = tx.PrepareContext(ctx, query); err != nil {
				return err
			}
			statements[query] = statement
		}
		_, err := statement.ExecContext(ctx, values...)
		return err
	}
	for id, r := range s.dirty {
		var err error
		if r == nil {
			err = exec("DELETE FROM "+id.table+" WHERE id = ?", id.id)
		} else {
			values := r.values()
			err = exec("INSERT OR REPLACE INTO "+id.table+" VALUES (?"+strings.Repeat(",?", len(values)-1)+")", values...)
		}
		if err != nil {
			return fmt.Errorf("table %s: %w", id.table, err)
		}
	}
	for _, p := range s.postings {
		if err := exec("INSERT INTO posting VALUES (?,?,?,?)", int64(p.tx), p.account.String(), int64(p.amount), int64(p.balance)); err != nil {
			return fmt.Errorf("table posting: %w", err)
		}
	}
	for id, u := range s.usage {
		const add = `INSERT INTO usage VALUES (?,?,?,?,?) ON CONFLICT (account, day)
			DO UPDATE SET up = up + excluded.up, down = down + excluded.down, amount = amount + excluded.amount`
		if err := exec(add, id.account.String(), id.day, int64(u.up), int64(u.down), int64(u.amount)); err != nil {
			return fmt.Errorf("table usage: %w", err)
		}
	}
	return nil
}

func (d *store) close() error { return d.db.Close() }

// cells takes the values of one row, one after the other.
type cells struct {
	values []any
	err    error
}

func (c *cells) next() any {
	if len(c.values) == 0 {
		c.fail("too few columns")
		return nil
	}
	v := c.values[0]
	c.values = c.values[1:]
	return v
}

func (c *cells) fail(why string) {
	if c.err == nil {
		c.err = errors.New(why)
	}
}

func (c *cells) int() int64 {
	v, ok := c.next().(int64)
	if !ok {
		c.fail("a number is missing")
	}
	return v
}

func (c *cells) text() string {
	v, ok := c.next().(string)
	if !ok {
		c.fail("a text is missing")
	}
	return v
}

func (c *cells) blob() []byte {
	v, ok := c.next().([]byte)
	if !ok {
		c.fail("a blob is missing")
	}
	return v
}

// fixed fills into from a blob, hex from a text in hexadecimal; both must have its length.
func (c *cells) fixed(into []byte) {
	if b := c.blob(); len(b) == len(into) {
		copy(into, b)
	} else {
		c.fail("a blob has the wrong length")
	}
}

func (c *cells) hex(into []byte) {
	b, err := hex.DecodeString(c.text())
	if err != nil || len(b) != len(into) {
		c.fail("an id is malformed")
	}
	copy(into, b)
}

func (c *cells) peer() (id identity.ID) {
	if err := id.UnmarshalText([]byte(c.text())); err != nil {
		c.fail(err.Error())
	}
	return id
}

func loadBook(s *state, c *cells) {
	c.text()
	s.network, s.hub = c.text(), c.peer()
	s.seq = uint64(c.int())
	c.fixed(s.head[:])
	s.time, s.price = c.int(), uint32(c.int())
}

func loadPrice(s *state, c *cells) {
	p := Price{ID: uint32(c.int()), GiB: Micro(c.int()), Edge: Micro(c.int()), Relay: Micro(c.int())}
	s.prices[p.ID] = p
}

func loadPartner(s *state, c *cells) {
	p := new(partner)
	c.hex(p.id[:])
	p.name, p.purpose = c.text(), uint16(c.int())
	c.fixed(p.key[:])
	p.created = c.int()
	s.partners[p.id], s.byName[p.name], s.byKey[p.key] = p, p, p
}

func loadAccount(s *state, c *cells) {
	name := c.text()
	s.ledger.balances[parseAccount(name)] = Micro(c.int())
}

func loadGrant(s *state, c *cells) {
	g := new(liveGrant)
	var id GrantID
	c.hex(id[:])
	c.hex(g.partner[:])
	signed, err := ParseSignedGrant(c.blob())
	if err != nil || signed.ID != id {
		c.fail("a grant is malformed")
	}
	g.SignedGrant, g.used, g.channels, g.phase = signed, uint64(c.int()), uint32(c.int()), c.int()
	for b := c.blob(); len(b) >= 40; b = b[40:] {
		g.finals = append(g.finals, Final{ChannelID(b[:32]), binary.BigEndian.Uint64(b[32:])})
	}
	s.grants[id] = g
	holder := s.partners[g.partner]
	switch {
	case holder == nil:
		c.fail("a grant of nobody")
	case g.phase != grantClosed:
		holder.live++
	}
}

func loadChannel(s *state, c *cells) {
	l := new(liveChannel)
	c.hex(l.id[:])
	c.fixed(l.edge[:])
	c.fixed(l.relay[:])
	c.fixed(l.edgeKey[:])
	c.fixed(l.relayKey[:])
	l.expires, l.serial = c.int(), uint64(c.int())
	c.fixed(l.hash[:])
	l.gaps, l.proofs = uint64(c.int()), c.int()
	for f := fields(c.blob()); len(f) >= chargedSize; {
		l.tallies = append(l.tallies, charged{Tally{Grant: f.tag(), Up: f.u64(), Down: f.u64(), Streams: f.u32()}, f.u64()})
	}
	s.channels[l.id] = l
}

func loadEdge(s *state, c *cells) {
	e := &edgeRow{text: c.text()}
	if err := e.id.UnmarshalText([]byte(e.text)); err != nil {
		c.fail(err.Error())
	}
	c.fixed(e.consent[:])
	e.consented, e.bytes, e.suspended = c.int(), uint64(c.int()), c.text()
	s.edges[e.id] = e
	if e.suspended != "" {
		s.barred[e.id] = true
	}
}

func loadRelay(s *state, c *cells) {
	r := &relayRow{RelayInfo: RelayInfo{ID: c.peer(), Proxy: c.text(), Tunnel: c.text(), Region: c.text()}}
	r.admitted, r.suspended = c.int(), c.text()
	s.relays[r.ID] = r
}

func loadInvite(s *state, c *cells) {
	i := new(inviteRow)
	c.hex(i.code[:])
	i.expires, i.edge = c.int(), c.peer()
	s.invites[i.code] = i
}

func loadEvidence(s *state, c *cells) {
	e := &evidenceRow{seq: uint64(c.int()), rule: Refusal(c.text())}
	c.hex(e.channel[:])
	e.edge, e.relay = c.peer(), c.peer()
	s.evidence[e.seq] = e
}
