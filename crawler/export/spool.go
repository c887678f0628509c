package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sward/crawler"
)

// errTooLarge is the refusal of a table over maxParquet.
var errTooLarge = fmt.Errorf("the table would be over %d GiB: take the format jsonl or warc", maxParquet>>30)

const unfinished = "unfinished-*" // a table that is being written

// spool keeps tables, each under a name that says what it holds.
type spool struct {
	dir    string
	builds chan struct{}

	mu     sync.Mutex
	making map[string]chan struct{} // closed when the table is there, or cannot be made
}

func openSpool(dir string) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	left, err := filepath.Glob(filepath.Join(dir, unfinished))
	if err != nil {
		return nil, err
	}
	return &spool{dir: dir, builds: make(chan struct{}, tableBuilds), making: make(map[string]chan struct{})}, removeAll(left)
}

// open opens the table of a job's first n documents, and makes it if it is not there. Of several who ask for the same one,
// the first makes it.
func (s *spool) open(ctx context.Context, from *crawler.Crawler, j crawler.Job, n int) (*os.File, error) {
	path := filepath.Join(s.dir, fmt.Sprintf("%s-v%d-%d.parquet", j.ID, formats["parquet"].version, n))
	for {
		s.mu.Lock()
		made := s.making[path]
		if made == nil {
			f, err := os.Open(path)
			if err == nil {
				s.mu.Unlock()
				now := time.Now()
				return f, errors.Join(os.Chtimes(path, now, now)) // used: it is the last to go
			}
			if !errors.Is(err, fs.ErrNotExist) {
				s.mu.Unlock()
				return nil, err
			}
			made = make(chan struct{})
			s.making[path] = made
			s.mu.Unlock()
			return s.make(ctx, made, path, from, j, n)
		}
		s.mu.Unlock()
		select {
		case <-made:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// make writes a table under another name first: what has its name is whole.
func (s *spool) make(ctx context.Context, made chan struct{}, path string, from *crawler.Crawler, j crawler.Job, n int) (_ *os.File, err error) {
	defer func() {
		s.mu.Lock()
		delete(s.making, path)
		s.mu.Unlock()
		close(made)
	}()
	select {
	case s.builds <- struct{}{}:
		defer func() { <-s.builds }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := s.sweep(time.Now()); err != nil {
		return nil, fmt.Errorf("make room for a table: %w", err)
	}
	f, err := os.CreateTemp(s.dir, unfinished)
	if err != nil {
		return nil, fmt.Errorf("make table: %w", err)
	}
	building, stop := context.WithTimeout(context.WithoutCancel(ctx), buildTime) // who hung up comes again, and it is there
	defer stop()
	err = writeTable(building, &bounded{to: f, left: maxParquet}, from, j, n)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make table: %w", err), removeAll([]string{f.Name()}))
	}
	return os.Open(path)
}

// sweep removes tables that nobody has used for a day, and of the others the longest unused until a table of any size
// finds room.
func (s *spool) sweep(now time.Time) error {
	entries, err := filepath.Glob(filepath.Join(s.dir, "*.parquet"))
	if err != nil {
		return err
	}
	type table struct {
		path string
		fs.FileInfo
	}
	var tables []table
	var total int64
	for _, path := range entries {
		if info, err := os.Stat(path); err == nil {
			tables = append(tables, table{path, info})
			total += info.Size()
		}
	}
	slices.SortFunc(tables, func(a, b table) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	var gone []string
	for _, t := range tables {
		if now.Sub(t.ModTime()) <= spoolKeep && total <= maxSpool-tableBuilds*maxParquet {
			break
		}
		gone = append(gone, t.path)
		total -= t.Size()
	}
	return removeAll(gone) // who reads one goes on reading it
}

// bounded stops a table that would fill the disk.
type bounded struct {
	to   io.Writer
	left int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, errTooLarge
	}
	return b.to.Write(p)
}
