package accounting

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mirror is a copy of a book's ledger, held against a replay of its journal.
type mirror struct {
	store
	applied  uint64 // the record up to which it has come
	noEarned bool   // it was made by a program that kept no lines
	postings *sql.Rows
}

// openMirror copies the ledger of a book to temp and opens the copy. Where a hub is writing, SQLite makes the copy;
// otherwise the files are copied, the log of a crash with them.
func openMirror(ctx context.Context, dir, temp string, live bool) (*mirror, error) {
	path := filepath.Join(temp, ledgerFile)
	if err := copyLedger(ctx, filepath.Join(dir, ledgerFile), path, live); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &Finding{File: ledgerFile, Why: "it is missing"}
		}
		return nil, &Finding{File: ledgerFile, Why: err.Error()}
	}
	db, err := openDatabase(path, "rw")
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	m := &mirror{store: store{db}}
	if err := m.begin(ctx); err != nil {
		m.close()
		return nil, &Finding{File: ledgerFile, Why: err.Error()}
	}
	return m, nil
}

func copyLedger(ctx context.Context, from, to string, live bool) error {
	if _, err := os.Stat(from); err != nil {
		return err
	}
	if live {
		db, err := openDatabase(from, "ro")
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
		return err
	}
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(from+suffix, to+suffix); err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// begin checks the database as such, and opens the postings.
func (m *mirror) begin(ctx context.Context) error {
	var err error
	if m.noEarned, err = lacksEarned(ctx, m.db); err != nil {
		return err
	}
	if err := modernise(ctx, m.db); err != nil {
		return err
	}
	var verdict string
	if err := m.db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	var have []string
	err = m.each(ctx, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL", func(values []any) error {
		have = append(have, fmt.Sprint(values[0]))
		return nil
	})
	if err != nil {
		return err
	}
	want := strings.Split(strings.TrimSuffix(strings.TrimSpace(schema()), ";"), ";\n")
	for i := range want {
		want[i] = strings.TrimSpace(want[i])
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		return errors.New("its tables are not those of a ledger")
	}
	err = m.each(ctx, "SELECT seq FROM book", func(values []any) error {
		c := cells{values: values}
		m.applied = uint64(c.int())
		return c.err
	})
	if err != nil {
		return err
	}
	m.postings, err = m.db.QueryContext(ctx, "SELECT tx, account, amount, balance FROM posting ORDER BY rowid") //nolint:rowserrcheck // follow and compare read them, and check
	return err
}

func (m *mirror) close() error {
	if m.postings != nil {
		m.postings.Close()
	}
	return m.store.close()
}

// follow takes what the replay has posted and compares it with the next postings of the ledger.
func (m *mirror) follow(s *state) error {
	for _, want := range s.postings {
		if !m.postings.Next() {
			if err := m.postings.Err(); err != nil {
				return &Finding{File: ledgerFile, Why: err.Error()}
			}
			return &Finding{File: ledgerFile, Why: fmt.Sprintf("posting of transaction %d to %s is missing", want.tx, want.account)}
		}
		var tx, amount, balance int64
		var name string
		if err := m.postings.Scan(&tx, &name, &amount, &balance); err != nil {
			return &Finding{File: ledgerFile, Why: err.Error()}
		}
		if uint64(tx) != want.tx || name != want.account.String() || Micro(amount) != want.amount || Micro(balance) != want.balance {
			return &Finding{File: ledgerFile, Why: fmt.Sprintf("posting of transaction %d to %s over %s is where transaction %d to %s over %s belongs",
				tx, name, Micro(amount), want.tx, want.account, want.amount)}
		}
	}
	s.postings = s.postings[:0]
	return nil
}

// compare holds the whole ledger against the state of the replay.
func (m *mirror) compare(ctx context.Context, s *state) error {
	if err := m.follow(s); err != nil {
		return err
	}
	if m.postings.Next() {
		return &Finding{File: ledgerFile, Why: "it has postings that no record has caused"}
	}
	if err := m.postings.Err(); err != nil {
		return &Finding{File: ledgerFile, Why: err.Error()}
	}
	for _, t := range tables {
		if err := m.compareTable(ctx, t.name, "SELECT * FROM "+t.name, s.rows(t.name)); err != nil {
			return err
		}
	}
	days := map[string][]any{}
	for id, u := range s.usage {
		days[id.account.String()+" "+id.day] = []any{id.account.String() + " " + id.day, int64(u.up), int64(u.down), int64(u.amount)}
	}
	if err := m.compareTable(ctx, "usage", "SELECT account || ' ' || day, up, down, amount FROM usage", days); err != nil {
		return err
	}
	return m.compareEarned(ctx, s)
}

// compareTable holds the rows of a query against what they must be, by their first value.
func (m *mirror) compareTable(ctx context.Context, name, query string, want map[string][]any) error {
	err := m.each(ctx, query, func(have []any) error {
		key := fmt.Sprint(have[0])
		row, known := want[key]
		if !known {
			return fmt.Errorf("row %s should not be there", key)
		}
		delete(want, key)
		if len(row) != len(have) {
			return fmt.Errorf("row %s has %d columns", key, len(have))
		}
		for i := range row {
			if !sameValue(have[i], row[i]) {
				return fmt.Errorf("row %s: column %d is %v, but the journal gives %v", key, i+1, have[i], row[i])
			}
		}
		return nil
	})
	if err == nil && len(want) > 0 {
		missing := make([]string, 0, len(want))
		for key := range want {
			missing = append(missing, key)
		}
		err = fmt.Errorf("row %s is missing", slices.Min(missing))
	}
	if err != nil {
		return &Finding{File: ledgerFile, Why: fmt.Sprintf("table %s: %v", name, err)}
	}
	return nil
}

func sameValue(have, want any) bool {
	h, blob := have.([]byte)
	w, wantBlob := want.([]byte)
	if blob || wantBlob {
		return blob == wantBlob && bytes.Equal(h, w)
	}
	return have == want
}

// rows are all rows of one table as the state gives them, by primary key.
func (s *state) rows(table string) map[string][]any {
	all := map[string][]any{}
	add := func(r row) {
		values := r.values()
		all[fmt.Sprint(values[0])] = values
	}
	switch table {
	case tableBook:
		if s.seq > 0 {
			add(bookRow{s})
		}
	case tablePrice:
		for _, p := range s.prices {
			add(priceRow{p})
		}
	case tablePartner:
		addAll(add, s.partners)
	case tableAccount:
		for a, m := range s.ledger.balances {
			add(accountRow{a.String(), m})
		}
	case tableGrant:
		addAll(add, s.grants)
	case tableChannel:
		addAll(add, s.channels)
	case tableEdge:
		addAll(add, s.edges)
	case tableRelay:
		addAll(add, s.relays)
	case tableInvite:
		addAll(add, s.invites)
	case tableEvidence:
		addAll(add, s.evidence)
	case tableLimits:
		for _, p := range s.partners {
			if p.limited {
				add(limitsRow{p})
			}
		}
	case tableRefund:
		for _, p := range s.partners {
			if p.refunds.open {
				add(refundRow{p})
			}
		}
	}
	return all
}

func addAll[K comparable, R row](add func(row), rows map[K]R) {
	for _, r := range rows {
		add(r)
	}
}
