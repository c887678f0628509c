package indexer

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	_ "modernc.org/sqlite" // the database/sql driver named sqlite
)

//go:embed pages.sql
var pagesSchema string

// state is how far a page has come. It is stored: see pages.sql.
type state int

const (
	statePending state = 0 // in the page store, not yet known to be in its shard
	stateIndexed state = 1
	stateRemoved state = 2 // not shown any more, not yet known to be out of its shard
)

// pageStore keeps what pages say. A transaction that returned is on disk (WAL, synchronous=FULL).
type pageStore struct {
	db     *sql.DB
	zip    *zstd.Encoder
	unzip  *zstd.Decoder
	shards int
}

// openPages opens the page store of an index with so many shards.
func openPages(ctx context.Context, path string, shards int) (*pageStore, error) {
	dsn := (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: url.Values{
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)"},
		"_txlock": {"immediate"}, // a transaction here always writes; waiting beats failing half-way
	}.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open page store: %w", err)
	}
	if _, err := db.ExecContext(ctx, pagesSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("open page store: %w", err), db.Close())
	}
	zip, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(2*MaxText))
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &pageStore{db: db, zip: zip, unzip: unzip, shards: shards}, nil
}

func (p *pageStore) close() error {
	p.unzip.Close()
	return errors.Join(p.zip.Close(), p.db.Close())
}

// begin writes what is about to be done: documents as pending, removals as removed, takedowns for
// good; and what is known to be done since the last call. It returns the documents that are not
// taken down. All of it is one transaction.
func (p *pageStore) begin(ctx context.Context, c *change, done *progress) (accepted []Document, removed []string, err error) {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("write pages: %w", err)
	}
	defer tx.Rollback()
	if err := finish(ctx, tx, done); err != nil {
		return nil, nil, fmt.Errorf("write pages: %w", err)
	}
	removed = append(removed, c.deletes...)
	for _, address := range c.takeDowns {
		if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO takedowns VALUES (?, ?)`, address, time.Now().UnixMilli()); err != nil {
			return nil, nil, fmt.Errorf("write pages: %w", err)
		}
		removed = append(removed, address)
	}
	for _, address := range removed {
		if _, err := tx.ExecContext(ctx, `UPDATE pages SET state = ? WHERE url = ?`, stateRemoved, address); err != nil {
			return nil, nil, fmt.Errorf("write pages: %w", err)
		}
	}
	for _, d := range c.documents {
		put, err := p.insert(ctx, tx, d)
		if err != nil {
			return nil, nil, fmt.Errorf("write pages: %w", err)
		}
		if put {
			accepted = append(accepted, d)
		}
	}
	return accepted, removed, tx.Commit()
}

// insert reports false for a page that was taken down.
func (p *pageStore) insert(ctx context.Context, tx *sql.Tx, d Document) (bool, error) {
	result, err := tx.ExecContext(ctx, `INSERT INTO pages SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM takedowns WHERE url = ?)
		ON CONFLICT (url) DO UPDATE SET shard = excluded.shard, state = excluded.state, title = excluded.title,
		headings = excluded.headings, language = excluded.language, fetched = excluded.fetched, edge = excluded.edge,
		hash = excluded.hash, words = excluded.words, text = excluded.text`,
		d.URL, shardOf(d.host(), p.shards), statePending, d.Title, strings.Join(d.Headings, "\n"), d.Language,
		d.Fetched.UnixMilli(), d.Edge, d.Hash, d.words, p.zip.EncodeAll([]byte(d.Text), nil), d.URL)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// finish writes what has reached the shards.
func finish(ctx context.Context, tx *sql.Tx, done *progress) error {
	for _, address := range done.indexed {
		if _, err := tx.ExecContext(ctx, `UPDATE pages SET state = ? WHERE url = ? AND state = ?`, stateIndexed, address, statePending); err != nil {
			return err
		}
	}
	for _, address := range done.removed {
		if _, err := tx.ExecContext(ctx, `DELETE FROM pages WHERE url = ? AND state = ?`, address, stateRemoved); err != nil {
			return err
		}
	}
	return nil
}

// finish writes progress without beginning anything new.
func (p *pageStore) finish(ctx context.Context, done *progress) error {
	_, _, err := p.begin(ctx, &change{}, done)
	return err
}

// pending returns a batch of what a crash left between store and shard.
func (p *pageStore) pending(ctx context.Context) (*change, error) {
	rows, err := p.db.QueryContext(ctx, selectPage+` WHERE state <> ?`, stateIndexed)
	if err != nil {
		return nil, fmt.Errorf("read pages: %w", err)
	}
	defer rows.Close()
	c := &change{}
	for !c.full() && len(c.deletes) < batchDocuments && rows.Next() {
		d, s, err := p.scan(rows)
		switch {
		case err != nil:
			return nil, err
		case s == stateRemoved:
			c.deletes = append(c.deletes, d.URL)
		default:
			c.add(d)
		}
	}
	return c, rows.Err()
}

const selectPage = `SELECT url, state, title, headings, language, fetched, edge, hash, text FROM pages`

// get returns a page that may be shown, or false.
func (p *pageStore) get(ctx context.Context, address string) (Document, bool, error) {
	row := p.db.QueryRowContext(ctx, selectPage+` WHERE url = ? AND state <> ?`, address, stateRemoved)
	d, _, err := p.scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return Document{}, false, nil
	}
	return d, err == nil, err
}

func (p *pageStore) scan(row interface{ Scan(...any) error }) (d Document, s state, err error) {
	var headings string
	var fetched int64
	var text []byte
	if err := row.Scan(&d.URL, &s, &d.Title, &headings, &d.Language, &fetched, &d.Edge, &d.Hash, &text); err != nil {
		return d, s, fmt.Errorf("read page: %w", err)
	}
	if headings != "" {
		d.Headings = strings.Split(headings, "\n")
	}
	d.Fetched = time.UnixMilli(fetched).UTC()
	plain, err := p.unzip.DecodeAll(text, nil)
	if err != nil {
		return d, s, fmt.Errorf("read page: %w", err)
	}
	d.Text = string(plain)
	return d, s, nil
}

func (p *pageStore) countIndexed(ctx context.Context, shard int) (n int, err error) {
	err = p.db.QueryRowContext(ctx, `SELECT count(*) FROM pages WHERE shard = ? AND state = ?`, shard, stateIndexed).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count pages: %w", err)
	}
	return n, nil
}

// lengths returns the number of words of all pages, and of pages.
func (p *pageStore) lengths(ctx context.Context) (words, pages float64, err error) {
	err = p.db.QueryRowContext(ctx, `SELECT coalesce(sum(words), 0), count(*) FROM pages`).Scan(&words, &pages)
	if err != nil {
		return 0, 0, fmt.Errorf("measure pages: %w", err)
	}
	return words, pages, nil
}

// reindexShard marks all pages of an empty shard as pending.
func (p *pageStore) reindexShard(ctx context.Context, shard int) error {
	if _, err := p.db.ExecContext(ctx, `UPDATE pages SET state = ? WHERE shard = ? AND state = ?`, statePending, shard, stateIndexed); err != nil {
		return fmt.Errorf("mark pages for indexing: %w", err)
	}
	return nil
}
