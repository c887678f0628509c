package fetch

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"sward/internal/wire"
)

// pageOf20K is an average page of text.
var pageOf20K = func() []byte {
	b := make([]byte, 0, 20<<10)
	for i := 0; len(b) < 20<<10; i++ {
		b = append(strconv.AppendInt(append(b, "<p>line "...), int64(i), 10), "</p>\n"...)
	}
	return b
}()

// benchmarkSite serves the page on loopback TCP, and returns the dialer that takes
// site.example there.
func benchmarkSite(b *testing.B) func(ctx context.Context, network, hostport string) (net.Conn, error) {
	s := httptest.NewServer(noRobots(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(pageOf20K) }))
	b.Cleanup(s.Close)
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}
}

// BenchmarkFetch counts pages fetched one after the other, in full batches.
func BenchmarkFetch(b *testing.B) {
	f := New(Config{Dial: benchmarkSite(b)})
	urls := make([]string, wire.MaxURLs)
	for i := range urls {
		urls[i] = "http://site.example/" + strconv.Itoa(i)
	}
	b.SetBytes(int64(len(pageOf20K)))
	b.ReportAllocs()
	left := 0
	for b.Loop() {
		if left > 0 {
			left--
			continue
		}
		left = len(urls) - 1
		err := f.Fetch(b.Context(), Batch{URLs: urls}, func(r Result) error {
			if r.Code != wire.OK || len(r.Body) != len(pageOf20K) {
				b.Fatalf("page %d: %v, %d bytes", r.Index, r.Code, len(r.Body))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNetHTTP is the floor: the same pages with a bare client.
func BenchmarkNetHTTP(b *testing.B) {
	client := &http.Client{Transport: &http.Transport{DialContext: benchmarkSite(b)}}
	b.SetBytes(int64(len(pageOf20K)))
	b.ReportAllocs()
	for b.Loop() {
		resp, err := client.Get("http://site.example/x")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}
