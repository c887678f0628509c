package warc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	stdgzip "compress/gzip"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
)

var archiveTime = time.Date(2026, 11, 21, 10, 15, 30, 125e6, time.UTC)

func openArchive(t testing.TB, dir string, maxBytes int64) *Archive {
	t.Helper()
	w, err := Open(dir, maxBytes, func() time.Time { return archiveTime })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func pageExchange(path string, body string) Exchange {
	return Exchange{
		URL: "https://site.example" + path, Address: "192.0.2.7", Started: archiveTime,
		Request:  []byte("GET " + path + " HTTP/1.1\r\nHost: site.example\r\nAccept-Encoding: gzip\r\n\r\n"),
		Response: []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"),
		Body:     []byte(body), Metadata: map[string]string{"edge": "12D3KooW", "attest-signature": "ab12"},
	}
}

func readArchive(t testing.TB, path string) (records []Record) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Read(f, func(r Record) error { records = append(records, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return records
}

func archiveFiles(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.warc.gz"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// TestArchiveIsTheRecordedFormat compares the unpacked bytes of a file with a recorded one, random
// identifiers replaced.
var updateGolden = flag.Bool("update-golden", false, "write what is archived as the new truth")

func TestArchiveIsTheRecordedFormat(t *testing.T) {
	dir := t.TempDir()
	w := openArchive(t, dir, 0)
	if _, err := w.Write(pageExchange("/a", "<p>grass</p>")); err != nil {
		t.Fatal(err)
	}
	cut := pageExchange("/b", "cut")
	cut.Truncated, cut.Metadata, cut.Address = "length", nil, "2001:db8::7"
	cut.Response = []byte("HTTP/1.1 200 OK\nContent-Length: 1000") // as it came: bare newlines, no empty line
	if _, err := w.Write(cut); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(archiveFiles(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzip, err := stdgzip.NewReader(f) // another implementation, all members in a row
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]string)
	got := regexp.MustCompile(`urn:uuid:[0-9a-f-]{36}`).ReplaceAllStringFunc(string(raw), func(id string) string {
		if ids[id] == "" {
			ids[id] = fmt.Sprintf("urn:uuid:%d", len(ids)+1)
		}
		return ids[id]
	})
	golden := "testdata/warc/exchange.warc"
	if *updateGolden {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
}

func TestArchivedResponseIsReadByItsLocation(t *testing.T) {
	dir := t.TempDir()
	w := openArchive(t, dir, 0)
	var at []Location
	for n := range 5 {
		l, err := w.Write(pageExchange(fmt.Sprintf("/%d", n), strings.Repeat("grass ", n*1000)))
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, l)
	}
	for n, l := range at {
		data, err := os.ReadFile(filepath.Join(dir, l.File))
		if err != nil {
			t.Fatal(err)
		}
		var got []Record
		if err := Read(bytes.NewReader(data[l.Offset:l.Offset+l.Length]), func(r Record) error { got = append(got, r); return nil }); err != nil {
			t.Fatal(err)
		}
		body := strings.Repeat("grass ", n*1000)
		sum := sha256.Sum256([]byte(body))
		if len(got) != 1 || got[0].Type != "response" || got[0].URL != fmt.Sprintf("https://site.example/%d", n) ||
			!bytes.HasSuffix(got[0].Block, []byte("\r\n\r\n"+body)) || got[0].Fields.Get("Sward-Payload-SHA256") != hex.EncodeToString(sum[:]) {
			t.Errorf("record %d at %+v: got %+v", n, l, got)
		}
	}
}

func TestArchivedHeaderIsTrueOfTheArchivedBody(t *testing.T) {
	for _, c := range []struct{ name, received, want string }{
		{"as received", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\n"},
		{
			"coded", "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\nContent-length: 3\r\nServer: x\r\n\r\n",
			"HTTP/1.1 200 OK\r\nX-Archive-Orig-content-encoding: br\r\nX-Archive-Orig-Content-length: 3\r\nServer: x\r\nContent-Length: 5\r\n\r\n",
		},
		{
			"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.1 200 OK\r\nX-Archive-Orig-Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
		},
		{"no fields", "HTTP/1.0 200", "HTTP/1.0 200\r\n\r\n"},
		{"a value that names a field", "HTTP/1.1 200 OK\r\nX: Content-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nX: Content-Encoding: gzip\r\n\r\n"},
	} {
		if got := string(archivedHeader([]byte(c.received), 5)); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestArchiveRefusesWhatWouldForgeARecord(t *testing.T) {
	w := openArchive(t, t.TempDir(), 0)
	for name, change := range map[string]func(*Exchange){
		"line break in the address":   func(x *Exchange) { x.URL = "https://site.example/\r\nWARC-Type: response" },
		"no address":                  func(x *Exchange) { x.URL = "" },
		"line break in the target":    func(x *Exchange) { x.Address = "192.0.2.7\r\nX: y" },
		"line break in metadata":      func(x *Exchange) { x.Metadata = map[string]string{"a": "b\r\nc: d"} },
		"colon in a metadata name":    func(x *Exchange) { x.Metadata = map[string]string{"a:b": "c"} },
		"unknown truncation":          func(x *Exchange) { x.Truncated = "because" },
		"no status line":              func(x *Exchange) { x.Response = []byte("WARC/1.1\r\n\r\n") },
		"body over the record's size": func(x *Exchange) { x.Body = make([]byte, maxWARCBlock) },
	} {
		x := pageExchange("/", "body")
		change(&x)
		if _, err := w.Write(x); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, err := w.Write(pageExchange("/", "body")); err != nil {
		t.Errorf("a good exchange after the refused ones: %v", err)
	}
}

func TestArchiveRotatesAtItsSize(t *testing.T) {
	dir := t.TempDir()
	w := openArchive(t, dir, minWARCFile)
	for n := range 40 {
		if _, err := w.Write(pageExchange(fmt.Sprintf("/%d", n), noise(n, 100<<10))); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	files := archiveFiles(t, dir)
	if len(files) < 3 {
		t.Fatalf("got %d files for 4 MB with at most 1 MiB each", len(files))
	}
	responses := 0
	for _, file := range files {
		records := readArchive(t, file)
		if records[0].Type != "warcinfo" || records[0].Fields.Get("WARC-Filename") != filepath.Base(file) {
			t.Errorf("%s starts with %s of %s", filepath.Base(file), records[0].Type, records[0].Fields.Get("WARC-Filename"))
		}
		for _, r := range records[1:] {
			if r.Fields.Get("WARC-Warcinfo-ID") != "<"+records[0].ID+">" {
				t.Errorf("record %s does not name its file's warcinfo", r.ID)
			}
			if r.Type == "response" {
				responses++
			}
		}
	}
	if responses != 40 {
		t.Errorf("got %d responses, want 40", responses)
	}
}

// noise is text that does not compress.
func noise(seed, length int) string {
	var b strings.Builder
	for n := 0; b.Len() < length; n++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %d", seed, n))
		b.Write(sum[:])
	}
	return b.String()[:length]
}

// TestTornArchiveIsCutToItsLastRecord cuts a file at every byte of its last exchange, as a kill in
// the middle of a write does, and expects all earlier records and a file that can be continued.
func TestTornArchiveIsCutToItsLastRecord(t *testing.T) {
	source := t.TempDir()
	w := openArchive(t, source, 0)
	for n := range 2 {
		if _, err := w.Write(pageExchange(fmt.Sprintf("/%d", n), "body")); err != nil {
			t.Fatal(err)
		}
	}
	last, err := w.Write(pageExchange("/last", "body"))
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	whole, err := os.ReadFile(filepath.Join(source, last.File))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, last.File)
	for cut := last.Offset; cut <= int64(len(whole)); cut += 7 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		w := openArchive(t, dir, 0)
		if _, err := w.Write(pageExchange("/after", "body")); err != nil {
			t.Fatal(err)
		}
		w.Close()
		var responses []string
		for _, r := range readArchive(t, path) {
			if r.Type == "response" {
				responses = append(responses, strings.TrimPrefix(r.URL, "https://site.example"))
			}
		}
		want := []string{"/0", "/1", "/after"}
		if cut >= last.Offset+last.Length {
			want = []string{"/0", "/1", "/last", "/after"}
		}
		if !slices.Equal(responses, want) {
			t.Fatalf("cut at byte %d of %d: got %v, want %v", cut, len(whole), responses, want)
		}
	}
	if files := archiveFiles(t, dir); len(files) != 1 {
		t.Errorf("got %d files, want the one continued", len(files))
	}
}

func TestDamagedArchiveIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	w := openArchive(t, dir, 0)
	for n := range 3 {
		if _, err := w.Write(pageExchange(fmt.Sprintf("/%d", n), "body")); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	path := archiveFiles(t, dir)[0]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 0xff
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	w = openArchive(t, dir, 0)
	if _, err := w.Write(pageExchange("/after", "body")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	left, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(left, data) {
		t.Errorf("the damaged file was changed, %v", err)
	}
	files := archiveFiles(t, dir)
	if len(files) != 2 {
		t.Fatalf("got %d files, want a second one", len(files))
	}
	if records := readArchive(t, files[1]); len(records) != 4 {
		t.Errorf("got %d records in the new file, want 4", len(records))
	}
}

func TestArchiveTakesManyWriters(t *testing.T) {
	dir := t.TempDir()
	w := openArchive(t, dir, 0)
	var group sync.WaitGroup
	for n := range 32 {
		group.Go(func() {
			if _, err := w.Write(pageExchange(fmt.Sprintf("/%d", n), noise(n, 2000))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := w.Sync(); err != nil {
		t.Error(err)
	}
	w.Close()
	if records := readArchive(t, archiveFiles(t, dir)[0]); len(records) != 1+3*32 {
		t.Errorf("got %d records, want %d", len(records), 1+3*32)
	}
}

func TestClosedArchiveRefusesWork(t *testing.T) {
	w := openArchive(t, t.TempDir(), 0)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(pageExchange("/", "")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write: got %v, want %v", err, os.ErrClosed)
	}
	if err := w.Sync(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("sync: got %v, want %v", err, os.ErrClosed)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestReaderRefusesMalformedRecords(t *testing.T) {
	good := "WARC/1.1\r\nWARC-Type: metadata\r\nWARC-Record-ID: <urn:x>\r\nWARC-Date: 2026-11-21T10:15:30Z\r\nContent-Length: 4\r\n\r\nbody\r\n\r\n"
	if err := Read(strings.NewReader(gzipped(t, good)), func(Record) error { return nil }); err != nil {
		t.Fatalf("the good record: %v", err)
	}
	for name, record := range map[string]string{
		"version":      strings.Replace(good, "1.1", "1.0", 1),
		"length short": strings.Replace(good, ": 4", ": 3", 1),
		"length long":  strings.Replace(good, ": 4", ": 5", 1),
		"no length":    strings.Replace(good, "Content-Length: 4\r\n", "", 1),
		"negative":     strings.Replace(good, ": 4", ": -4", 1),
		"huge":         strings.Replace(good, ": 4", ": 999999999999", 1),
		"no end":       strings.TrimSuffix(good, "\r\n"),
		"date":         strings.Replace(good, "2026", "never", 1),
		"no type":      strings.Replace(good, "WARC-Type: metadata\r\n", "", 1),
		"digest":       strings.Replace(good, "Content-Length", "WARC-Block-Digest: sha1:AAAA\r\nContent-Length", 1),
		"two records":  good + good,
	} {
		if err := Read(strings.NewReader(gzipped(t, record)), func(Record) error { return nil }); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want %v", name, err, ErrMalformed)
		}
	}
	stop := errors.New("stop")
	if err := Read(strings.NewReader(gzipped(t, good)), func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the callee's error", err)
	}
}

func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	w := openArchive(f, dir, 0)
	if _, err := w.Write(pageExchange("/", "body")); err != nil {
		f.Fatal(err)
	}
	w.Close()
	data, err := os.ReadFile(archiveFiles(f, dir)[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		var end int64
		err := Read(bytes.NewReader(data), func(r Record) error {
			if r.Offset != end || r.Length <= 0 {
				t.Fatalf("record of %d bytes at %d, the last one ended at %d", r.Length, r.Offset, end)
			}
			end = r.Offset + r.Length
			return nil
		})
		if err == nil && end != int64(len(data)) {
			t.Fatalf("read %d of %d bytes without an error", end, len(data))
		}
	})
}

func BenchmarkWARCWrite(b *testing.B) {
	w := openArchive(b, b.TempDir(), 1<<30)
	x := pageExchange("/", strings.Repeat("<p>Some grass and some clover.</p>\n", 1000))
	b.SetBytes(int64(len(x.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Write(x); err != nil {
			b.Fatal(err)
		}
	}
}

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
