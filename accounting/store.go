package accounting

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
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
	tableLimits   = "limits"
	tableRefund   = "refund"
)

// table is how a part of the state lies in the database. The first column is the primary key.
type table struct {
	name    string
	columns string
	load    func(*state, *cells)
}

// upsert writes a row over the one with its key. It does not replace the row as a whole: the key's index stays as it is.
func (t table) upsert() string {
	var names, marks, set []string
	for i, column := range strings.Split(t.columns, ", ") {
		name, _, _ := strings.Cut(column, " ")
		names, marks = append(names, name), append(marks, "?")
		if i > 0 {
			set = append(set, name+"=excluded."+name)
		}
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (id) DO UPDATE SET %s",
		t.name, strings.Join(names, ","), strings.Join(marks, ","), strings.Join(set, ","))
}

// tables are in the order in which they are loaded.
var tables = []table{
	{tableBook, "id TEXT PRIMARY KEY, network TEXT, hub TEXT, seq INTEGER, head BLOB, time INTEGER, price INTEGER", loadBook},
	{tablePrice, "id INTEGER PRIMARY KEY, gib INTEGER, edge INTEGER, relay INTEGER", loadPrice},
	{tablePartner, "id TEXT PRIMARY KEY, name TEXT, purpose INTEGER, key BLOB, created INTEGER", loadPartner},
	{tableAccount, "id TEXT PRIMARY KEY, balance INTEGER", loadAccount},
	{tableGrant, "id TEXT PRIMARY KEY, partner TEXT, signed BLOB, used INTEGER, channels INTEGER, phase INTEGER, finals BLOB", loadGrant},
	{tableChannel, "id TEXT PRIMARY KEY, edge BLOB, relay BLOB, edge_key BLOB, relay_key BLOB, expires INTEGER, serial INTEGER, hash BLOB, gaps INTEGER, proofs INTEGER, tallies BLOB", loadChannel},
	{tableEdge, "id TEXT PRIMARY KEY, consent BLOB, consented INTEGER, suspended TEXT", loadEdge},
	{tableRelay, "id TEXT PRIMARY KEY, proxy TEXT, tunnel TEXT, region TEXT, admitted INTEGER, suspended TEXT", loadRelay},
	{tableInvite, "id TEXT PRIMARY KEY, expires INTEGER, edge TEXT", loadInvite},
	{tableEvidence, "id INTEGER PRIMARY KEY, rule TEXT, channel TEXT, edge TEXT, relay TEXT", loadEvidence},
	{tableLimits, "id TEXT PRIMARY KEY, rate INTEGER, burst INTEGER, streams INTEGER, day INTEGER", loadLimits},
	{tableRefund, "id TEXT PRIMARY KEY, source BLOB, claimed INTEGER, due INTEGER, fees INTEGER, paid INTEGER", loadRefund},
}

func (t table) create() string {
	return fmt.Sprintf("CREATE TABLE %s (%s) WITHOUT ROWID", t.name, t.columns)
}

// growing are the tables that the state does not keep.
const growing = `
CREATE TABLE posting (tx INTEGER, account TEXT, amount INTEGER, balance INTEGER);
CREATE TABLE usage (account TEXT, day TEXT, up INTEGER, down INTEGER, amount INTEGER, PRIMARY KEY (account, day)) WITHOUT ROWID;
`

func schema() string {
	var b strings.Builder
	for _, t := range tables {
		b.WriteString(t.create() + ";\n")
	}
	b.WriteString(growing + createEarned + ";\n")
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
	if err = prepare(ctx, db); err == nil {
		err = modernise(ctx, db)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", path, err), db.Close())
	}
	return &store{db}, nil
}

// prepare makes the tables of a new ledger. One that was made before there were lines (earned.go) is made anew, and filled
// from the journal, which has always held what they say.
func prepare(ctx context.Context, db *sql.DB) error {
	var names []string
	d := store{db}
	err := d.each(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table'", func(values []any) error {
		c := cells{values: values}
		names = append(names, c.text())
		return c.err
	})
	if err != nil {
		return err
	}
	if slices.Contains(names, "earned") {
		return nil
	}
	var drop strings.Builder
	for _, name := range names {
		drop.WriteString("DROP TABLE " + name + ";\n")
	}
	_, err = db.ExecContext(ctx, "BEGIN;"+drop.String()+schema()+"COMMIT;")
	return err
}

// lacksEarned reports whether a ledger was made before there were lines.
func lacksEarned(ctx context.Context, db *sql.DB) (bool, error) {
	var n int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'earned'").Scan(&n)
	return n == 0, err
}

// modernise adds to a ledger the tables that it was made before. Nothing in the journals of that time would have filled them,
// but for the lines of a ledger that is only looked at.
func modernise(ctx context.Context, db *sql.DB) error {
	for _, t := range tables {
		if t.name != tableLimits && t.name != tableRefund {
			continue
		}
		if _, err := db.ExecContext(ctx, strings.Replace(t.create(), "TABLE", "TABLE IF NOT EXISTS", 1)); err != nil {
			return err
		}
	}
	_, err := db.ExecContext(ctx, strings.Replace(createEarned, "TABLE", "TABLE IF NOT EXISTS", 1))
	return err
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
	if err := d.loadPace(ctx, s); err != nil {
		return nil, fmt.Errorf("load ledger: table usage: %w", err)
	}
	for _, m := range s.ledger.balances {
		s.ledger.total += m
	}
	if s.ledger.total != 0 {
		return nil, fmt.Errorf("load ledger: %w", errConservation)
	}
	return s, nil
}

// loadPace counts what partners have used on the last day of the book and the one before it.
func (d *store) loadPace(ctx context.Context, s *state) error {
	for _, back := range []int64{1, 0} {
		at := s.time - back*dayMillis
		const query = "SELECT account, up + down FROM usage WHERE account LIKE 'partner:%' AND day = ?"
		err := d.each(ctx, query, func(values []any) error {
			c := cells{values: values}
			name, bytes := parseAccount(c.text()), uint64(c.int())
			var id PartnerID
			if err := unhex(id[:], []byte(name.id)); err != nil {
				return err
			}
			if p := s.partners[id]; p != nil {
				p.pace.add(at, bytes)
			}
			return c.err
		}, time.UnixMilli(at).UTC().Format(time.DateOnly))
		if err != nil {
			return err
		}
	}
	return nil
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
	clear(s.earned)
	s.earnedFrom = 0
	s.postings = s.postings[:0]
	return nil
}

func write(ctx context.Context, tx *sql.Tx, s *state) error {
	changed := map[string][]string{}
	for id := range s.dirty {
		changed[id.table] = append(changed[id.table], id.id)
	}
	for _, ids := range changed {
		slices.Sort(ids) // one walk over the pages of the table
	}
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
	for _, t := range tables {
		upsert := t.upsert()
		for _, id := range changed[t.name] {
			var err error
			if r := s.dirty[rowID{t.name, id}]; r == nil {
				err = exec("DELETE FROM "+t.name+" WHERE id = ?", id)
			} else {
				err = exec(upsert, r.values()...)
			}
			if err != nil {
				return fmt.Errorf("table %s: %w", t.name, err)
			}
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
	if err := s.flushEarned(exec); err != nil {
		return fmt.Errorf("table earned: %w", err)
	}
	return nil
}

func (d *store) close() error { return d.db.Close() }
