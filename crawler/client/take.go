package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"sward/crawler/warc"
)

// pollEvery is how often a running job is asked for.
const pollEvery = time.Second

// Wish is a crawl and the file that it shall become.
type Wish struct {
	Order  map[string]any // in the API's words
	Job    string         // of a crawl that runs or has ended; empty: Order is started
	File   string
	Format string // jsonl, warc or parquet
}

// Progress is how far a wish is: first the crawl, then, with Total other than 0, bytes of the file.
type Progress struct {
	Job         string
	Status      Status
	Done, Total int64
}

// Taken is what came of a wish, also of one that has not come true yet: then some of it is empty.
type Taken struct {
	Job       string
	Status    Status
	Bytes     int64 // of the file
	Documents int
}

// pickup is what stands beside an unfinished file: enough to go on.
type pickup struct {
	path  string
	named bool // by the caller just now: the file knows nothing of it that a mistyped name would lose

	API       string         `json:"api"`
	Order     map[string]any `json:"order,omitempty"`
	Job       string         `json:"job"`
	Format    string         `json:"format"`
	ETag      string         `json:"etag,omitempty"`
	Documents int            `json:"documents,omitempty"`
}

func (p *pickup) save() error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	temporary := p.path + "~"
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, p.path)
}

// Unfinished are the names that go with a file until it is whole: its bytes so far, and what is needed to go on.
func Unfinished(file string) (part, state string) { return file + ".part", file + ".part.json" }

// Take starts the crawl, or goes on with the one that was started for the same file, waits for its end, and brings its
// export. It returns early only with an error; what is there by then is found by the next call.
func (c *Client) Take(ctx context.Context, w Wish, each func(Progress)) (t Taken, err error) {
	if _, err := os.Stat(w.File); err == nil {
		return t, fmt.Errorf("%s is there already", w.File)
	}
	p, err := c.begin(ctx, w)
	if err != nil {
		return t, err
	}
	t.Job = p.Job
	if t.Status, err = c.follow(ctx, p, each); err != nil {
		return t, err
	}
	if t.Status.Completed == 0 {
		reason := t.Status.Error
		if reason == "" {
			reason = "no page could be had"
		}
		return t, errors.Join(fmt.Errorf("the crawl %s: %s", t.Status.Status, reason), os.Remove(p.path))
	}
	t.Bytes, err = c.fetch(ctx, p, w.File, t.Status, each)
	t.Documents = p.Documents
	return t, err
}

// begin finds the job that was started for the file, or starts it.
func (c *Client) begin(ctx context.Context, w Wish) (*pickup, error) {
	_, state := Unfinished(w.File)
	p := &pickup{path: state}
	text, err := os.ReadFile(state)
	if err == nil {
		if err := json.Unmarshal(text, p); err != nil {
			return nil, fmt.Errorf("read %s: %w", state, err)
		}
		if p.Format != w.Format || w.Job != "" && p.Job != w.Job || w.Job == "" && !sameOrder(p.Order, w.Order) || p.API != c.API {
			return nil, fmt.Errorf("%s is of another crawl: choose another file, or delete it", state)
		}
	} else if errors.Is(err, os.ErrNotExist) {
		p.API, p.Order, p.Job, p.Format, p.named = c.API, w.Order, w.Job, w.Format, w.Job != ""
		if err := p.save(); err != nil { // a crawl whose result has no place is not started
			return nil, err
		}
	} else {
		return nil, err
	}
	if p.Job == "" {
		if p.Job, err = c.Start(ctx, w.Order); err != nil {
			return nil, errors.Join(err, os.Remove(state))
		}
	}
	return p, p.save()
}

// sameOrder compares what was read with what will be written.
func sameOrder(have, want map[string]any) bool {
	text, err := json.Marshal(want)
	var again map[string]any
	return err == nil && json.Unmarshal(text, &again) == nil && reflect.DeepEqual(have, again)
}

// follow polls until the job has ended.
func (c *Client) follow(ctx context.Context, p *pickup, each func(Progress)) (Status, error) {
	for {
		s, err := c.Status(ctx, p.Job)
		if no, refused := errors.AsType[*Refused](err); refused && no.Status == http.StatusNotFound {
			if p.named {
				return s, errors.Join(fmt.Errorf("the hub has no job %s (any more: results are kept for a day)", p.Job), os.Remove(p.path))
			}
			return s, fmt.Errorf("the hub has no job %s (any more: results are kept for a day): delete %s to start again", p.Job, p.path)
		}
		if err != nil {
			return s, err
		}
		each(Progress{Job: p.Job, Status: s})
		if !s.Running() {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(c.withDefaults().pollEvery):
		}
	}
}

// fetch downloads the export, checks it, and gives it its name.
func (c *Client) fetch(ctx context.Context, p *pickup, name string, s Status, each func(Progress)) (int64, error) {
	part, state := Unfinished(name)
	file, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	err = c.download(ctx, p, file, func(done, total int64) { each(Progress{Job: p.Job, Status: s, Done: done, Total: total}) })
	if err == nil {
		err = file.Sync()
	}
	size, seekErr := file.Seek(0, io.SeekEnd)
	if err := errors.Join(err, seekErr, file.Close()); err != nil {
		return 0, err
	}
	if err := check(part, p); err != nil {
		return 0, fmt.Errorf("%s is not what the hub has: %w: delete it and %s to start again", filepath.Base(part), err, filepath.Base(state))
	}
	return size, errors.Join(os.Rename(part, name), os.Remove(state))
}

// check holds a whole file against what was announced.
func check(path string, p *pickup) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	switch p.Format {
	case "warc":
		var first error
		sum, err := warc.Check(file, func(_ int64, err error) {
			if first == nil {
				first = err
			}
		})
		if err := errors.Join(err, first); err != nil {
			return fmt.Errorf("%d problems in %d records: %w", sum.Problems, sum.Records, err)
		}
	case "jsonl":
		n, err := countLines(file)
		if err != nil {
			return err
		}
		if n != p.Documents {
			return fmt.Errorf("%d lines for %d documents", n, p.Documents)
		}
	case "parquet":
		magic := make([]byte, 4)
		if _, err := file.Seek(-4, io.SeekEnd); err != nil {
			return err
		}
		if _, err := io.ReadFull(file, magic); err != nil || string(magic) != "PAR1" {
			return fmt.Errorf("it ends with %q", magic)
		}
	}
	return nil
}

func countLines(r io.Reader) (n int, err error) {
	in, buffer := bufio.NewReader(r), make([]byte, 64<<10)
	for {
		got, err := in.Read(buffer)
		n += bytes.Count(buffer[:got], []byte{'\n'})
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
