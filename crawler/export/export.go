// Package export hands a job's result out as one file: JSON lines, a WARC file or a Parquet table.
//
// A file is what it is made of: the bytes follow from the job, the format and the number of documents, and from nothing
// else, so that a download which broke off goes on where it was (RFC 9110 §14), from another connection, after a restart of
// the hub, and while the job still runs. JSON lines and WARC files are made as they are read; how long they will be is
// known without reading a document. A Parquet table has its index at its end, so it is made once, beside the archive, and
// kept for a while.
package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"sward/crawler"
)

const (
	atOnce      = 32              // exports that are handed out at the same time; each holds a connection and a chunk of documents
	atOnceEach  = 8               // of one account, so that one that reads slowly leaves places to the others
	writeWait   = 2 * time.Minute // for a client to take the next few kilobytes
	retryAfter  = "5"             // seconds, when there are too many
	maxParquet  = 4 << 30         // bytes of one table; a job that has more goes out as JSON lines or WARC
	maxSpool    = 16 << 30        // bytes of all tables that are kept
	spoolKeep   = 24 * time.Hour  // from the last use of a table; its documents are not kept longer either
	tableBuilds = 2               // tables that are made at the same time: each takes a core
	buildTime   = 15 * time.Minute
)

// Config is the export's world. Crawler and Dir are required.
type Config struct {
	Crawler *crawler.Crawler
	Dir     string       // for tables
	Log     *slog.Logger // nil: discard
}

// Exporter hands out files.
type Exporter struct {
	cfg    Config
	tables *spool

	mu     sync.Mutex
	all    int
	places map[string]int // taken, by account; none is 0
}

// Open prepares the directory and removes what an earlier process left unfinished in it.
func Open(cfg Config) (*Exporter, error) {
	if cfg.Crawler == nil || cfg.Dir == "" {
		return nil, errors.New("open export: Crawler and Dir are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	tables, err := openSpool(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open export: %w", err)
	}
	return &Exporter{cfg: cfg, tables: tables, places: make(map[string]int)}, nil
}

// format is one form of file.
type format struct {
	suffix, contentType string
	version             int // part of the ETag: counts up when the same documents come out as other bytes
}

var formats = map[string]format{
	"jsonl":   {".jsonl", "application/x-ndjson; charset=utf-8", 1},
	"warc":    {".warc.gz", "application/warc", 1}, // as registered; that records are compressed is the format's own matter
	"parquet": {".parquet", "application/vnd.apache.parquet", 1},
}

// Serve answers GET and HEAD for the export of a job, which the caller has found to be the asking account's. The format is
// the query's. Failures have the shape of the crawl API.
func (e *Exporter) Serve(w http.ResponseWriter, r *http.Request, j crawler.Job) {
	name := r.URL.Query().Get("format")
	if name == "" {
		name = "jsonl"
	}
	f, known := formats[name]
	if !known {
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", fmt.Sprintf("format is jsonl, warc or parquet, not %.20q", name))
		return
	}
	if j.Kind == crawler.Map {
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", "a map has addresses and no documents to export")
		return
	}
	if !e.enter(j.Account.ID) {
		w.Header().Set("Retry-After", retryAfter)
		refuse(w, http.StatusServiceUnavailable, "EXPORTS_BUSY",
			fmt.Sprintf("%d exports are being handed out, or %d of this account: try again soon", atOnce, atOnceEach))
		return
	}
	defer e.leave(j.Account.ID)
	if strings.Contains(r.Header.Get("Range"), ",") {
		r.Header.Del("Range") // RFC 9110 §14.2: each of ten thousand parts would have a chunk of documents read for a byte
	}
	n := f.documents(r.Header, j)
	h := w.Header()
	h.Set("ETag", f.etag(j.ID, n))
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Disposition", `attachment; filename="`+j.ID+f.suffix+`"`)
	h.Set("X-Content-Type-Options", "nosniff") // a stranger's pages are in it
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Sward-Documents", strconv.Itoa(n))
	h.Set("Sward-Status", j.State.String())
	if err := e.serve(&patient{ResponseWriter: w, slow: http.NewResponseController(w)}, r, j, name, n); err != nil {
		e.failed(w, r, name, err)
	}
}

// enter takes a place for an account, if there is one.
func (e *Exporter) enter(account string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all >= atOnce || e.places[account] >= atOnceEach {
		return false
	}
	e.all++
	e.places[account]++
	return true
}

func (e *Exporter) leave(account string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all--
	if e.places[account]--; e.places[account] == 0 {
		delete(e.places, account)
	}
}

// serve makes the file and lets the standard library do HTTP's conditions and ranges.
func (e *Exporter) serve(w *patient, r *http.Request, j crawler.Job, name string, n int) error {
	if name == "parquet" {
		table, err := e.tables.open(r.Context(), e.cfg.Crawler, j, n)
		if err != nil {
			return err
		}
		defer table.Close()
		http.ServeContent(w, r, "", j.Finished, table)
		return nil
	}
	list, err := e.cfg.Crawler.Delivered(r.Context(), j, n)
	if err == nil && len(list) < n {
		err = fmt.Errorf("the store has %d of %d documents", len(list), n)
	}
	if err != nil {
		return err
	}
	var pieces pieces = &lines{ctx: r.Context(), from: e.cfg.Crawler, job: j, list: list}
	if name == "warc" {
		if pieces, err = newRecords(e.cfg.Crawler, j, list); err != nil {
			return err
		}
	}
	file := newReader(pieces)
	defer file.Close()
	http.ServeContent(w, r, "", j.Finished, file)
	if file.failed != nil {
		e.cfg.Log.Error("an export broke off", "format", name, "error", file.failed)
	}
	return nil
}

// failed answers for what could not be made, unless the client has gone or has had the beginning.
func (e *Exporter) failed(w http.ResponseWriter, r *http.Request, name string, err error) {
	if r.Context().Err() != nil {
		return
	}
	for _, field := range []string{"ETag", "Content-Disposition", "Sward-Documents", "Sward-Status"} {
		w.Header().Del(field)
	}
	switch {
	case errors.Is(err, crawler.ErrNoJob):
		refuse(w, http.StatusNotFound, "NOT_FOUND", "Job not found")
	case errors.Is(err, errMoved):
		refuse(w, http.StatusGone, "ARCHIVE_MOVED", err.Error())
	case errors.Is(err, errTooLarge):
		refuse(w, http.StatusUnprocessableEntity, "EXPORT_TOO_LARGE", err.Error())
	default:
		e.cfg.Log.Error("an export cannot be made", "format", name, "error", err)
		refuse(w, http.StatusInternalServerError, "UNKNOWN_ERROR", "the export could not be made")
	}
}

// documents is how many documents the file has: those that there are, or for somebody who goes on with a file of fewer,
// as many as that has.
func (f format) documents(h http.Header, j crawler.Job) int {
	for _, field := range []string{"If-Range", "If-Match"} {
		tag := strings.TrimSuffix(strings.TrimPrefix(h.Get(field), `"`), `"`)
		if at := strings.LastIndexByte(tag, '-'); at >= 0 {
			if n, err := strconv.Atoi(tag[at+1:]); err == nil && n >= 0 && n <= j.Completed && f.etag(j.ID, n) == h.Get(field) {
				return n
			}
		}
	}
	return j.Completed
}

// etag is strong: it says all that the bytes follow from.
func (f format) etag(job string, n int) string {
	return fmt.Sprintf(`"%s%s-v%d-%d"`, job, f.suffix, f.version, n)
}

// patient gives the client time for each write: a file takes as long as it takes, a client who has stopped reading does not.
type patient struct {
	http.ResponseWriter
	slow *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	p.slow.SetWriteDeadline(time.Now().Add(writeWait)) //nolint:errcheck // a writer without deadlines is a test's
	return p.ResponseWriter.Write(b)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	text, _ := json.Marshal(map[string]any{"success": false, "code": code, "error": message}) // strings: cannot fail
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(text) //nolint:errcheck // a partner who has gone reads no error either
}

// removeAll deletes files and forgives those that others have deleted.
func removeAll(paths []string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
