package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sward/accounting"
	"sward/policy"
)

// ListsDir is where, in a hub's directory, the operator puts lists: one file a category, banking.txt and so on, in the form
// that [policy.BuildTable] reads.
const ListsDir = "lists"

const (
	listSuffix = ".txt"
	// listsEvery is how often the files are looked at. An edge hears of a change with the next directory that it reads.
	listsEvery = time.Minute
	// maxListFile bounds one file: what fits a table, with names as long as they are on average and comments.
	maxListFile = 32 << 20
)

// lists keeps the directory's lists equal to the operator's files. Files with a fault change nothing.
type lists struct {
	dir  string
	book *accounting.Book
	log  *slog.Logger

	// Of refresh alone.
	seen    string // names, sizes and times of the files last read
	failing bool   // and told
}

// openLists puts the files into the directory. All must be good: a hub does not begin with half of its lists.
func openLists(dir string, book *accounting.Book, log *slog.Logger) (*lists, error) {
	l := &lists{dir: dir, book: book, log: log}
	_, err := l.refresh()
	return l, err
}

// run follows the files.
func (l *lists) run(ctx context.Context) error {
	tick := time.NewTicker(listsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		entries, err := l.refresh()
		switch {
		case err != nil && !l.failing:
			l.log.Warn("the lists cannot be used, the last good ones stay in the directory", "err", err)
		case err == nil && entries >= 0:
			l.log.Info("lists are in the directory", "entries", entries)
		}
		l.failing = err != nil
	}
}

// refresh reads the files if they are others than before, and says how many entries they have, or -1.
func (l *lists) refresh() (entries int, err error) {
	files, seen, newest, err := ListFiles(l.dir)
	if err != nil || seen == l.seen {
		return -1, err
	}
	l.seen = seen // a fault is told once
	if len(files) == 0 {
		return 0, l.book.SetList("", nil)
	}
	version := newest.UTC().Format(time.RFC3339)
	table, err := policy.BuildTable(version, files)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", l.dir, err)
	}
	parsed, err := policy.ParseTable(table)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", l.dir, err)
	}
	return parsed.Len(), l.book.SetList(version, table)
}

// ListFiles reads a directory of lists: category → lines. seen tells one state of the files from another, and newest is when the
// last of them was written. A directory that is not there has none.
func ListFiles(dir string) (files map[string]string, seen string, newest time.Time, err error) {
	found, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", newest, err
	}
	files = map[string]string{}
	var stamps strings.Builder
	for _, f := range found {
		name, ok := strings.CutSuffix(f.Name(), listSuffix)
		if !ok || strings.HasPrefix(name, ".") {
			continue // an editor's, or a note
		}
		text, info, err := readList(filepath.Join(dir, f.Name()))
		if err != nil {
			return nil, "", newest, err
		}
		files[name] = text
		fmt.Fprintln(&stamps, name, info.Size(), info.ModTime().UnixNano())
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return files, stamps.String(), newest, nil
}

func readList(path string) (string, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxListFile+1))
	if err == nil && len(text) > maxListFile {
		err = fmt.Errorf("%s: longer than %d bytes", path, maxListFile)
	}
	return string(text), info, err
}
