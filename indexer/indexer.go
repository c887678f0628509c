// Package indexer keeps the network's web index: Put makes pages findable, Search finds them, and
// Handler shows both to programs and to people.
//
// Two stores work together. The page store (SQLite) holds the text of each page, compressed, and is
// the truth. The shards (bleve) hold only what finding needs, and can be built again from it at any
// time. A page is put in three steps: written to the page store, indexed in its shard, marked as
// indexed. Put returns after the second, and what a crash left unmarked is indexed again at Open; so
// no acknowledged page is lost, and since a page's address is its identity, none is there twice.
//
// In the walk of a crawled page this is the last room: the crawler hands over what it read, with the
// edge that fetched it and the hash of what came, and a search result can still name both.
package indexer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/blevesearch/bleve/v2"
)

// Bounds of one document. What is over MaxText, a title's or a heading's length is cut off, since
// nobody searches for the end of a megabyte; an address that is too long is an error.
const (
	MaxURL      = 2048    // bytes
	MaxText     = 1 << 20 // bytes of text that are kept and indexed
	maxTitle    = 1 << 10 // bytes
	maxHeading  = 512     // bytes
	maxHeadings = 100
	maxLabel    = 128 // bytes of language, edge and hash
	maxShards   = 64
)

// ErrClosed is returned by operations on a closed index.
var ErrClosed = errors.New("index is closed")

// Document is one page.
type Document struct {
	URL      string // http or https; the page's identity
	Title    string
	Text     string // without markup
	Language string // ISO 639, may be empty
	Headings []string
	Fetched  time.Time
	Edge     string // who fetched it
	Hash     string // of what the target sent, as the edge signed it

	words int // of Text, about; set by tidy
}

// Config opens an index.
type Config struct {
	Dir    string // created if needed; everything lies below it
	Shards int    // fixed when the index is created; default: one per core
	Log    *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Shards <= 0 {
		c.Shards = runtime.NumCPU()
	}
	c.Shards = min(c.Shards, maxShards)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Index is an open index. Its methods may be called concurrently.
type Index struct {
	log    *slog.Logger
	pages  *pageStore
	shards []*shard
	alias  bleve.IndexAlias

	lengths average // of the pages' texts

	queue   chan *change
	closing chan struct{}
	writer  sync.WaitGroup
	once    sync.Once
}

// Open opens the index in c.Dir, or creates it. Only one process may have it open. A shard that is
// damaged is set aside and built again from the page store, which takes minutes per million pages;
// so is what a crash left half done.
func Open(c Config) (*Index, error) {
	ctx := context.Background() // half an index is none: opening ends when it is whole
	c = c.withDefaults()
	if c.Dir == "" {
		return nil, errors.New("open index: no directory given")
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	layout, err := openLayout(c.Dir, c.Shards)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	pages, err := openPages(ctx, filepath.Join(c.Dir, "pages.db"), layout.Shards)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	x := &Index{
		log: c.Log, pages: pages, alias: bleve.NewIndexAlias(),
		queue: make(chan *change, queueLength), closing: make(chan struct{}),
	}
	words, count, err := pages.lengths(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open index: %w", err), x.closeStores())
	}
	x.lengths.add(words, count)
	for n := range layout.Shards {
		s, err := openShard(ctx, c.Dir, n, pages, c.Log)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open index: %w", err), x.closeStores())
		}
		x.shards = append(x.shards, s)
		x.alias.Add(s)
	}
	if err := x.recoverPending(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open index: %w", err), x.closeStores())
	}
	x.writer.Go(x.write)
	return x, nil
}

// Close waits for the batch at work, refuses the ones that wait, and closes the stores.
func (x *Index) Close() error {
	err := ErrClosed
	x.once.Do(func() {
		close(x.closing)
		x.writer.Wait()
		err = x.closeStores()
	})
	return err
}

func (x *Index) closeStores() error {
	var errs []error
	for _, s := range x.shards {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, x.pages.close())...)
}

// Put stores documents and makes them findable; a document replaces an earlier one of the same
// address. When Put returns nil they are durable. When it fails or ctx ends, any part of them may
// be. A page that was taken down is skipped without an error.
func (x *Index) Put(ctx context.Context, documents ...Document) error {
	c := &change{}
	for _, d := range documents {
		if err := d.tidy(); err != nil {
			return fmt.Errorf("put document: %w", err)
		}
		if c.full() {
			if err := x.submit(ctx, c); err != nil {
				return err
			}
			c = &change{}
		}
		c.add(d)
	}
	return x.submit(ctx, c)
}

// Delete removes pages from search and store. Deleting what is not there is no error.
func (x *Index) Delete(ctx context.Context, addresses ...string) error {
	return x.submit(ctx, &change{deletes: addresses})
}

// TakeDown removes a page for good: it is gone when TakeDown returns, and Put will not bring it back.
func (x *Index) TakeDown(ctx context.Context, address string) error {
	return x.submit(ctx, &change{takeDowns: []string{address}})
}

// Count returns the number of pages that can be found.
func (x *Index) Count() (int, error) {
	n, err := x.alias.DocCount()
	return int(n), err
}

// tidy checks a document and cuts it to its bounds.
func (d *Document) tidy() error {
	if len(d.URL) > MaxURL {
		return fmt.Errorf("address of %d bytes, at most %d", len(d.URL), MaxURL)
	}
	u, err := url.Parse(d.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("address is not http or https with a host")
	}
	d.Title, d.Text = shorten(d.Title, maxTitle), shorten(d.Text, MaxText)
	d.Language, d.Edge, d.Hash = shorten(d.Language, maxLabel), shorten(d.Edge, maxLabel), shorten(d.Hash, maxLabel)
	headings := make([]string, 0, min(len(d.Headings), maxHeadings))
	for _, h := range d.Headings[:min(len(d.Headings), maxHeadings)] {
		headings = append(headings, strings.ReplaceAll(shorten(h, maxHeading), "\n", " "))
	}
	d.Headings, d.words = headings, wordCount(d.Text)
	return nil
}

func (d *Document) host() string {
	u, err := url.Parse(d.URL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// shorten cuts a text to limit bytes, and makes it valid UTF-8.
func shorten(s string, limit int) string {
	return strings.ToValidUTF8(s[:min(len(s), limit)], "")
}
