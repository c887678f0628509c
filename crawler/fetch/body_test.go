package fetch

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"sward/internal/wire"
)

var encoders = map[string]func(io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"x-gzip":  func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"bare deflate": func(w io.Writer) io.WriteCloser {
		f, err := flate.NewWriter(w, flate.DefaultCompression)
		if err != nil {
			panic(err)
		}
		return f
	},
	"zstd": func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		return z
	},
}

func encode(t *testing.T, coding string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := encoders[coding](&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// codingName is what a server writes in Content-Encoding.
func codingName(coding string) string {
	if coding == "bare deflate" {
		return "deflate"
	}
	return coding
}

// served is what a Fetcher with the given limits makes of content under a header.
func served(t *testing.T, limit Batch, header map[string]string, content []byte) (r Result) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("site.example:80", noRobots(func(rw http.ResponseWriter, _ *http.Request) {
			for k, v := range header {
				rw.Header().Set(k, v)
			}
			rw.Write(content)
		}))
		limit.URLs = []string{"http://site.example/page.xml.gz"}
		r = fetchAll(t, New(w.config()), limit)[0]
	})
	return r
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

func TestOneCodingIsUndone(t *testing.T) {
	page := bytes.Repeat([]byte("a page of text\n"), 4000)
	for coding := range encoders {
		r := served(t, Batch{}, map[string]string{"Content-Encoding": codingName(coding)}, encode(t, coding, page))
		if r.Code != wire.OK || r.Flags != 0 || !bytes.Equal(r.Body, page) {
			t.Errorf("%s: %v, flags %d, %d bytes, want the %d of the page", coding, r.Code, r.Flags, len(r.Body), len(page))
		}
		r = served(t, Batch{}, map[string]string{"Content-Encoding": codingName(coding)}, nil)
		if r.Code != wire.OK || len(r.Body) != 0 {
			t.Errorf("%s of nothing: %v, %d bytes, want an empty page", coding, r.Code, len(r.Body))
		}
	}
}

func TestFilesStayAsTheyAre(t *testing.T) {
	archive := encode(t, "gzip", []byte("inside"))
	for name, header := range map[string]map[string]string{
		"gzip as a type":      {"Content-Type": "application/x-gzip"},
		"gzip without a type": {"Content-Type": ""},
		"unknown coding":      {"Content-Encoding": "aes128gcm"},
		"identity":            {"Content-Encoding": "identity"},
	} {
		if r := served(t, Batch{}, header, archive); r.Code != wire.OK || !bytes.Equal(r.Body, archive) {
			t.Errorf("%s: %v, %d bytes, want the %d as sent", name, r.Code, len(r.Body), len(archive))
		}
	}
	nested := encode(t, "gzip", archive)
	if r := served(t, Batch{}, map[string]string{"Content-Encoding": "gzip"}, nested); !bytes.Equal(r.Body, archive) {
		t.Errorf("gzip in gzip: %d bytes, want the %d of the inner file", len(r.Body), len(archive))
	}
}

// J01, J02: bombs in every coding.
func TestBombsStopAtTheDecodedLimit(t *testing.T) {
	const limit = 1 << 20
	zeros := make([]byte, 16<<20)
	for coding := range encoders {
		bomb := encode(t, coding, zeros)
		r := served(t, Batch{MaxBody: limit}, map[string]string{"Content-Encoding": codingName(coding)}, bomb)
		if r.Code != wire.OK || r.Flags != wire.PageDecodedTruncated || len(r.Body) != limit {
			t.Errorf("%s bomb of %d bytes: %v, flags %d, %d bytes, want ok, decoded-truncated, %d", coding, len(bomb), r.Code, r.Flags, len(r.Body), limit)
		}
	}
}

// J01, J02: stacked codings, and a zstd window that nobody needs.
func TestCodingsThatAreRefused(t *testing.T) {
	gz := encode(t, "gzip", []byte("x"))
	// A zstd frame whose window is 2 GiB: magic, descriptor, window exponent 21 (RFC 8878 §3.1.1.1.2).
	window := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3}, make([]byte, 64)...)
	for name, c := range map[string]struct {
		coding  string
		content []byte
	}{
		"a stack":              {"gzip, gzip, gzip", encode(t, "gzip", encode(t, "gzip", gz))},
		"a mixed stack":        {"br,gzip", encode(t, "gzip", encode(t, "br", []byte("x")))},
		"a window of 2 GiB":    {"zstd", window},
		"text called gzip":     {"gzip", []byte("<html>not compressed</html>")},
		"text called zstd":     {"zstd", []byte("<html>not compressed</html>")},
		"text called brotli":   {"br", []byte("<html>not compressed</html>")},
		"half a gzip file":     {"gzip", encode(t, "gzip", random(5000))[:2500]},
		"a gzip header, torn":  {"gzip", gz[:5]},
		"one byte of a stream": {"deflate", []byte{0x78}},
	} {
		if r := served(t, Batch{}, map[string]string{"Content-Encoding": c.coding}, c.content); r.Code != wire.TargetClosed || r.Status != 200 {
			t.Errorf("%s: %v, status %d, want target_closed after a 200", name, r.Code, r.Status)
		}
	}
}

func TestNoTruncationIsSilent(t *testing.T) {
	const limit = 100_000
	noise := random(limit + 1)
	gz := encode(t, "gzip", noise)
	for name, c := range map[string]struct {
		batch   Batch
		coding  string
		content []byte
		flags   uint8
		length  int
	}{
		"at the wire limit":               {Batch{MaxWire: limit}, "", noise[:limit], 0, limit},
		"beyond the wire limit":           {Batch{MaxWire: limit}, "", noise, wire.PageWireTruncated, limit},
		"at the decoded limit":            {Batch{MaxBody: limit}, "", noise[:limit], 0, limit},
		"beyond the decoded limit":        {Batch{MaxBody: limit}, "", noise, wire.PageDecodedTruncated, limit},
		"coded, at the decoded limit":     {Batch{MaxBody: limit + 1}, "gzip", gz, 0, limit + 1},
		"coded, beyond the limit":         {Batch{MaxBody: limit}, "gzip", gz, wire.PageDecodedTruncated, limit},
		"coded, at the wire limit":        {Batch{MaxWire: int64(len(gz))}, "gzip", gz, 0, limit + 1},
		"coded, beyond the wire limit":    {Batch{MaxWire: int64(len(gz)) - 1}, "gzip", gz, wire.PageWireTruncated, -1},
		"limits of the batch are clipped": {Batch{MaxWire: 1 << 40, MaxBody: 1 << 40}, "", make([]byte, defaultLimit+1), wire.PageWireTruncated, defaultLimit},
	} {
		r := served(t, c.batch, map[string]string{"Content-Encoding": c.coding, "Content-Type": "text/plain"}, c.content)
		if r.Code != wire.OK || r.Flags != c.flags {
			t.Errorf("%s: %v, flags %d, want ok, %d", name, r.Code, r.Flags, c.flags)
		}
		if c.length >= 0 && len(r.Body) != c.length {
			t.Errorf("%s: %d bytes, want %d", name, len(r.Body), c.length)
		}
		if !bytes.HasPrefix(c.content, r.Body) && c.coding == "" || c.coding != "" && !bytes.HasPrefix(noise, r.Body) {
			t.Errorf("%s: the body is not what was sent", name)
		}
	}
}

func FuzzBody(f *testing.F) {
	var tb testing.T
	for coding := range encoders {
		f.Add(codingName(coding), encode(&tb, coding, []byte("some content of a page")))
	}
	f.Add("gzip, br", []byte("x"))
	f.Fuzz(func(t *testing.T, coding string, content []byte) {
		const limit = 1 << 16
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		b := newBody(ctx, cancel, io.NopCloser(bytes.NewReader(content)), []string{coding}, limits{wire: limit, body: limit, idle: time.Minute})
		got, err := io.ReadAll(b)
		if err != nil || len(got) > limit {
			t.Errorf("%d bytes, error %v, want at most %d and none", len(got), err, limit)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}
