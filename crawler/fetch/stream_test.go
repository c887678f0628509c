package fetch

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
)

var (
	testChannel = [32]byte{31: 7}
	testJob     = [16]byte{15: 3}
)

// crawl runs a batch through both ends of a stream.
func crawl(t *testing.T, f *Fetcher, b Batch, sign func([]byte) []byte, allow func(*url.URL) error) ([]Result, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	served := make(chan error, 1)
	go func() {
		defer far.Close()
		served <- Serve(t.Context(), far, f, testChannel, sign, allow)
	}()
	var results []Result
	err := Remote(t.Context(), near, b, func(r Result) error {
		results = append(results, r)
		return nil
	})
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	return results, err
}

func TestStreamCarriesWhatFetchSees(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		big := random(3 << 20)
		w.site("site.example:80", withRobots(200, "User-agent: *\nCrawl-delay: 1.5\nDisallow: /no\nAllow: /\n", func(rw http.ResponseWriter, req *http.Request) {
			switch req.URL.Path {
			case "/moved":
				http.Redirect(rw, req, "/big", http.StatusFound)
			case "/big":
				rw.Write(big)
			case "/busy":
				rw.Header().Set("Retry-After", "2")
				rw.WriteHeader(http.StatusServiceUnavailable)
			case "/text":
				fmt.Fprint(rw, "some text")
			}
		}))
		public, private, err := ed25519.GenerateKey(bytes.NewReader(random(32)))
		if err != nil {
			t.Fatal(err)
		}
		sign := func(body []byte) []byte { return ed25519.Sign(private, body) }
		b := Batch{Job: testJob, Delay: time.Second, MaxBody: 4 << 20, URLs: []string{
			"HTTP://site.example:80/text", "http://site.example/moved", "http://site.example/empty", "http://site.example/no",
			"http://site.example/busy", "http://10.0.0.1/", "nonsense", "http://bank.example/",
		}}
		allow := func(u *url.URL) error {
			if u.Hostname() == "bank.example" {
				return denyAll(u)
			}
			return nil
		}
		got, err := crawl(t, New(w.config()), b, sign, allow)
		if err != nil {
			t.Fatalf("Remote: %v", err)
		}
		for _, r := range got {
			if r.Status == 0 {
				continue
			}
			if !ed25519.Verify(public, r.Attest, r.Sig) {
				t.Errorf("page %d: signature does not verify", r.Index)
			}
			signed, err := wire.ParseAttest(r.Attest)
			if err != nil || signed.Channel != testChannel || signed.Job != testJob {
				t.Errorf("page %d: attestation %+v, %v", r.Index, signed, err)
			}
		}

		direct := b
		direct.Allow = allow
		for i, want := range fetchAll(t, New(w.config()), direct) {
			if !bytes.Equal(got[i].Body, want.Body) {
				t.Errorf("page %d: %d bytes of body streamed, want the %d fetched", i, len(got[i].Body), len(want.Body))
			}
			want, got := timeless(want), timeless(got[i])
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("page %d (-fetched +streamed):\n%.2000s", i, diff)
			}
		}
	})
}

// timeless is a result without its body and without what differs between two runs.
func timeless(r Result) Result {
	r.Attest, r.Sig, r.Started, r.Took, r.Body = nil, nil, time.Time{}, 0, nil
	r.Response = regexp.MustCompile("Date: [^\r]*").ReplaceAll(r.Response, nil)
	return r
}

func TestRefusedBatchIsItsCode(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		_, err := crawl(t, New(w.config()), Batch{Agent: "Googlebot/2.1"}, nil, nil)
		if got := wire.CodeOf(err); got != wire.BadRequest {
			t.Errorf("batch of another bot: %v (%v), want bad_request", got, err)
		}
		if got, err := crawl(t, New(w.config()), Batch{}, nil, nil); err != nil || len(got) != 0 {
			t.Errorf("empty batch: %d pages, %v, want none and no error", len(got), err)
		}
	})
}

func TestStreamEndsWithItsContext(t *testing.T) {
	ends := map[string]func(context.Context, net.Conn) error{
		"Remote": func(ctx context.Context, c net.Conn) error {
			return Remote(ctx, c, batchOfOne, func(Result) error { return nil })
		},
		"Serve": func(ctx context.Context, c net.Conn) error {
			return Serve(ctx, c, New(Config{}), testChannel, nil, nil)
		},
	}
	for name, run := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				defer near.Close()
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				start := time.Now()
				if err := run(ctx, near); err == nil || time.Since(start) != time.Second {
					t.Errorf("%s = %v after %v, want an error after 1s", name, err, time.Since(start))
				}
			})
		})
	}
}

func TestServeRefusesStreamsThatAreNoBatch(t *testing.T) {
	for name, frame := range map[string][]byte{
		"another frame": wireFrame(wire.TypePage, nil),
		"torn batch":    wireFrame(wire.TypeBatch, []byte("torn")),
		"giant frame":   {byte(wire.TypeBatch), 0xff, 0xff, 0xff},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go func() {
				_, _ = near.Write(frame)
				near.Close()
			}()
			err := Serve(t.Context(), far, New(Config{}), testChannel, nil, nil)
			if got := wire.CodeOf(err); got != wire.ProtocolError {
				t.Errorf("%s: %v, want protocol_error", name, err)
			}
		})
	}
}

func wireFrame(t wire.Type, body []byte) []byte {
	var b bytes.Buffer
	if err := wire.WriteFrame(&b, t, body); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestNumbersFitTheirFields(t *testing.T) {
	for in, want := range map[int64]uint32{-1: 0, 0: 0, 5: 5, math.MaxUint32: math.MaxUint32, 1 << 40: math.MaxUint32} {
		if got := to32(in); got != want {
			t.Errorf("to32(%d) = %d, want %d", in, got, want)
		}
	}
}

// TestLargestPageFitsAFrame holds the limits of this package against the frame's.
func TestLargestPageFitsAFrame(t *testing.T) {
	long := "http://site.example/" + strings.Repeat("a", wire.MaxURL-20)
	r := Result{
		Index: 255, Status: 999, URL: long, Hops: slices.Repeat([]string{long}, maxRedirects),
		Rule: strings.Repeat("é", wire.MaxRule), Request: make([]byte, maxHead), Response: make([]byte, maxHead),
		Attest: wire.Attest{}.Append(nil), Sig: make([]byte, 64), Address: siteAddress,
	}
	if err := wire.Write(io.Discard, toWirePage(r)); err != nil {
		t.Errorf("largest page: %v", err)
	}
}
