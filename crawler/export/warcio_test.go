package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/crawler"
	"sward/crawler/warc"
)

const (
	warcioVersion = "2.4.11"
	npmTime       = 3 * time.Minute // for 33 packages over a slow line
	scriptTime    = time.Minute
)

// warcToolsReadIt has the Webrecorder project's tools read what is exported: their index has each page where it
// is, under the digest that they compute of it.
func warcToolsReadIt(t *testing.T, e *Exporter, first crawler.Job, c *crawler.Crawler) {
	if testing.Short() {
		t.Skip("skipped: installs an npm package")
	}
	dir := installWarcio(t)
	again, err := c.Start(t.Context(), first.Account, crawler.Crawl, crawler.Order{ // finds all of it unchanged
		URL: "http://site.test/", Scrape: crawler.ScrapeOptions{Formats: []crawler.Format{"markdown", "warc"}, MaxAge: new(int64)},
	})
	if err == nil {
		again, err = c.Wait(t.Context(), again)
	}
	if err != nil {
		t.Fatal(err)
	}
	data := body(t, get(t, e, again, "GET", "format=warc"))
	path := filepath.Join(dir, again.ID+".warc.gz")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	type entry struct {
		URL, Digest, MIME      string
		Status, Offset, Length int64
	}
	var index, want []entry
	decode(t, node(t, dir, "node_modules/warcio/dist/cli.js", "cdx-index", "--format", "json", path), &index)
	seen := map[string]int{}
	err = warc.Read(bytes.NewReader(data), func(r warc.Record) error {
		seen[r.Type]++
		switch digest := strings.TrimPrefix(r.Fields.Get("WARC-Payload-Digest"), "sha1:"); r.Type {
		case "response":
			want = append(want, entry{r.URL, digest, "text/html", 200, r.Offset, r.Length})
		case "revisit":
			want = append(want, entry{r.URL, digest, "warc/revisit", 200, r.Offset, r.Length})
		case "conversion":
			want = append(want, entry{URL: r.URL, MIME: "text/markdown; charset=utf-8", Offset: r.Offset, Length: r.Length})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, index); diff != "" {
		t.Errorf("warcio's index (-want +got):\n%s", diff)
	}
	if seen["response"] != sitePages || seen["conversion"] != sitePages || seen["revisit"] != sitePages {
		t.Errorf("the file has %v, want %d of each", seen, sitePages)
	}
	type record struct {
		Type, URL string
		Bytes     int
		Digest    bool
	}
	var read []record
	decode(t, node(t, dir, "digests.mjs", path), &read)
	found := map[string]int{}
	for _, r := range read {
		found[r.Type]++
		if !r.Digest || r.Type == "response" && r.Bytes == 0 {
			t.Errorf("%s of %s: warcio has %d bytes, digest as it says: %t", r.Type, r.URL, r.Bytes, r.Digest)
		}
	}
	if diff := cmp.Diff(seen, found); diff != "" {
		t.Errorf("records (-ours +warcio's):\n%s", diff)
	}
}

// decode reads one JSON value a line.
func decode[T any](t *testing.T, text []byte, into *[]T) {
	t.Helper()
	for in := json.NewDecoder(bytes.NewReader(text)); ; {
		var v T
		if err := in.Decode(&v); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in %.300s", err, text)
		}
		*into = append(*into, v)
	}
}

// node runs a script and returns what it printed.
func node(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scriptTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %v: %v\n%s", args, err, stderr.String())
	}
	return out
}

// installWarcio returns a folder with the script and the package it needs, which is installed once and kept in the user's
// cache.
func installWarcio(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: warcio needs %s", tool)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	at := filepath.Join(cache, "sward-test", "warcio-"+warcioVersion)
	if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
		fresh, err := os.MkdirTemp(t.TempDir(), "npm-")
		if err == nil {
			err = os.MkdirAll(filepath.Dir(at), 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), npmTime)
		defer cancel()
		cmd := exec.CommandContext(ctx, "npm", "install", "--prefix", fresh, "--no-audit", "--no-fund", "--ignore-scripts", "warcio@"+warcioVersion)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("skipped: npm cannot install warcio: %v\n%s", err, out)
		}
		if err := os.Rename(fresh, at); err != nil { // another disk, or another test was quicker
			at = fresh
		}
	}
	dir := t.TempDir()
	script, err := os.ReadFile("testdata/digests.mjs")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "digests.mjs"), script, 0o600)
	}
	if err == nil {
		err = os.Symlink(filepath.Join(at, "node_modules"), filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
