package crawler

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	_ "modernc.org/sqlite" // the driver
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// schema is all tables, one file for each concern.
func schema() (string, error) {
	names, err := fs.Glob(schemaFiles, "schema/*.sql")
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, name := range names {
		text, err := schemaFiles.ReadFile(name)
		if err != nil {
			return "", err
		}
		all.Write(text)
	}
	return all.String(), nil
}

// schemaVersion is that of a store which the files in schema made.
const schemaVersion = 2

// maxReaders is how many read transactions run beside the one writer.
const maxReaders = 4

// store is the database: a SQLite file, or PostgreSQL where the operator named one. One connection writes, so that
// transactions never meet each other; readers see the last commit. A commit that returned is on disk
// (synchronous=FULL, PostgreSQL's default), and what an API answer or a settled page promised survives a kill.
type store struct {
	dialect
	reader *sql.DB
	pool   *sql.DB // holds the writer's connection and no other

	mu       sync.Mutex // one write transaction at a time
	writer   *sql.Conn
	prepared map[string]*sql.Stmt // on writer, by text
}

// openDatabase opens the database of a DSN, or the SQLite file in dir where that is empty.
func openDatabase(dir, database string) (_ *store, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open crawl store: %w", err)
	}
	s := &store{dialect: postgres, prepared: make(map[string]*sql.Stmt)}
	dsn := database
	if dsn == "" {
		s.dialect = sqlite
		dsn = "file:" + filepath.ToSlash(filepath.Join(dir, "crawl.db")) +
			"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open crawl store: %w", err), s.close())
		}
	}()
	if s.pool, err = sql.Open(s.driver, dsn); err != nil {
		return nil, err
	}
	if s.reader, err = sql.Open(s.driver, dsn); err != nil {
		return nil, err
	}
	s.reader.SetMaxOpenConns(maxReaders)
	s.reader.SetMaxIdleConns(maxReaders)
	if err := s.connect(); err != nil {
		return nil, err
	}
	return s, s.migrate()
}

// connect gets the writer's connection, which is the only one that writes in the whole database.
func (s *store) connect() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if s.writer, err = s.pool.Conn(ctx); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := s.claim(ctx, s.writer); err != nil {
		return errors.Join(fmt.Errorf("connect: %w", err), s.disconnect())
	}
	return nil
}

// connectTimeout is for a connection to a database, and for the last one's claim to go.
const connectTimeout = 30 * time.Second

func (s *store) disconnect() error {
	var errs []error
	for _, stmt := range s.prepared {
		errs = append(errs, stmt.Close())
	}
	clear(s.prepared)
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
		s.writer = nil
	}
	return errors.Join(errs...)
}

func (s *store) migrate() error {
	version, err := s.version(context.Background(), s.reader)
	if err != nil {
		return err
	}
	switch version {
	case schemaVersion:
		return nil
	case 0:
		files, err := schema()
		if err != nil {
			return err
		}
		return s.update(func(tx *tx) error {
			_, err := tx.writer.ExecContext(context.Background(), tx.tables(files)+tx.stamp(schemaVersion))
			return err
		})
	default:
		return fmt.Errorf("store has version %d, this program knows %d", version, schemaVersion)
	}
}

// tx is the open write transaction; it prepares each statement once in the connection's life.
type tx struct{ *store }

// update runs f in one write transaction, which is durable when update returns nil and undone when
// it does not. It takes no context: a transaction is milliseconds of local work, and one that was
// half cancelled would be harder to reason about than one that ended.
func (s *store) update(f func(*tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.beginLocked(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err := f(&tx{s})
	if err == nil {
		if _, err = s.writer.ExecContext(context.Background(), "COMMIT"); err == nil {
			return nil
		}
		err = fmt.Errorf("commit: %w", err)
	}
	_, undo := s.writer.ExecContext(context.Background(), "ROLLBACK")
	return errors.Join(err, undo)
}

// beginLocked opens the transaction, on a new connection where a server has closed the last one.
func (s *store) beginLocked() error {
	if s.writer != nil {
		_, err := s.writer.ExecContext(context.Background(), s.begin)
		if err == nil || s.driver == sqlite.driver {
			return err
		}
	}
	_ = s.disconnect() // of a connection that is broken: its errors say no more than that
	if err := s.connect(); err != nil {
		return err
	}
	_, err := s.writer.ExecContext(context.Background(), s.begin)
	return err
}

func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if known := t.prepared[query]; known != nil {
		return known, nil
	}
	fresh, err := t.writer.PrepareContext(context.Background(), t.text(query))
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	t.prepared[query] = fresh
	return fresh, nil
}

// args are the arguments as the database takes them.
func (s *store) args(list []any) []any {
	for i, v := range list {
		list[i] = s.arg(v)
	}
	return list
}

// do runs a statement and returns how many rows it changed.
func (t *tx) do(query string, args ...any) (int64, error) {
	stmt, err := t.stmt(query) //nolint:sqlclosecheck // close ends it with the store
	if err != nil {
		return 0, err
	}
	r, err := stmt.ExecContext(context.Background(), t.args(args)...)
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return r.RowsAffected()
}

// rows reads outside of the write transaction: the last commit.
func (s *store) rows(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return s.reader.QueryContext(ctx, s.text(query), s.args(args)...)
}

// row reads one row, likewise.
func (s *store) row(ctx context.Context, query string, args ...any) *sql.Row {
	return s.reader.QueryRowContext(ctx, s.text(query), s.args(args)...)
}

// query runs a query for one row.
func (t *tx) query(query string, args ...any) *sql.Row {
	stmt, err := t.stmt(query) //nolint:sqlclosecheck // close ends it with the store
	if err != nil {
		return t.writer.QueryRowContext(context.Background(), t.text(query), t.args(args)...) // carries the same error
	}
	return stmt.QueryRowContext(context.Background(), t.args(args)...)
}

// list runs a query for several rows inside the transaction. They are to be closed before its next statement.
func (t *tx) list(query string, args ...any) (*sql.Rows, error) {
	stmt, err := t.stmt(query) //nolint:sqlclosecheck // close ends it with the store
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(context.Background(), t.args(args)...)
}

func (s *store) close() error {
	errs := []error{s.disconnect()}
	for _, db := range []*sql.DB{s.reader, s.pool} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Documents and pages are stored as zstd. Both coders are safe for concurrent EncodeAll and
// DecodeAll.
var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxDocument))
)

// maxDocument is the most one document's JSON may have, in bytes: four renderings of a body at its
// limit, escaped.
const maxDocument = 256 << 20

func pack(b []byte) []byte { return packer.EncodeAll(b, nil) }

func unpack(b []byte) ([]byte, error) {
	out, err := unpacker.DecodeAll(b, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return out, nil
}
