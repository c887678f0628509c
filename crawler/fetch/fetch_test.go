package fetch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
)

func TestEveryAnswerIsAPage(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		latin1 := []byte("<meta charset=iso-8859-1>caf\xe9")
		w.site("site.example:80", noRobots(func(rw http.ResponseWriter, req *http.Request) {
			var status int
			fmt.Sscanf(req.URL.Path, "/%d", &status)
			rw.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
			rw.WriteHeader(status)
			if status != http.StatusNoContent && status != http.StatusNotModified {
				rw.Write(latin1)
			}
		}))
		statuses := []int{200, 201, 203, 204, 206, 300, 304, 400, 401, 403, 404, 410, 418, 451, 500, 503, 599}
		var urls []string
		for _, s := range statuses {
			urls = append(urls, fmt.Sprintf("http://site.example/%d", s))
		}
		for i, r := range fetchAll(t, New(w.config()), Batch{URLs: urls}) {
			if r.Code != wire.OK || r.Status != statuses[i] || r.URL != urls[i] || r.Address != siteAddress {
				t.Errorf("page %d = %v, status %d, URL %s, address %v", statuses[i], r.Code, r.Status, r.URL, r.Address)
			}
			want := latin1
			if r.Status == 204 || r.Status == 304 {
				want = nil
			}
			if !bytes.Equal(r.Body, want) {
				t.Errorf("body of page %d = %q, want the bytes as sent: %q", r.Status, r.Body, want)
			}
		}
	})
}

func TestNoURLIsLost(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("site.example:80", noRobots(text("x")))
		w.raw("mute.example:80", func(c net.Conn) {})
		w.raw("noise.example:80", func(c net.Conn) { io.WriteString(c, "220 mail.example ESMTP\r\n") })
		cases := []struct {
			url  string
			want wire.Code
		}{
			{"http://site.example/", wire.OK},
			{"", wire.BadRequest},
			{"not a url", wire.BadRequest},
			{"ftp://site.example/", wire.BadRequest},
			{"javascript:alert(1)", wire.BadRequest},
			{"http://user:secret@site.example/", wire.BadRequest},
			{"http://site.example/" + strings.Repeat("\u00e9", 500), wire.BadRequest}, // 3,000 bytes once escaped
			{"http://intranet/", wire.DestName},
			{"http://printer.local/", wire.DestName},
			{"http://127.0.0.1/", wire.DestLoopback},
			{"http://0x7f.1/", wire.DestLoopback},
			{"http://[::1]/", wire.DestLoopback},
			{"http://router.example/", wire.DestPrivate},
			{"http://nowhere.example/", wire.RobotsUnreachable},
			{"http://mute.example/", wire.RobotsUnreachable},
			{"http://noise.example/", wire.RobotsUnreachable},
			{"http://site.example/again", wire.OK},
		}
		var urls []string
		for _, c := range cases {
			urls = append(urls, c.url)
		}
		for i, r := range fetchAll(t, New(w.config()), Batch{URLs: urls}) {
			if r.Code != cases[i].want {
				t.Errorf("%s = %v (rule %q), want %v", r.URL, r.Code, r.Rule, cases[i].want)
			}
		}
	})
}

func TestBatchBeyondLimitsIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for name, b := range map[string]Batch{
			"too many URLs":    {URLs: make([]string, wire.MaxURLs+1)},
			"URL too long":     {URLs: []string{"http://site.example/" + strings.Repeat("a", wire.MaxURL)}},
			"another bot":      {Agent: "Googlebot/2.1"},
			"longer name":      {Agent: "SwardBotNot/1.0"},
			"injected header":  {Agent: "SwardBot/1.0\r\nCookie: a=b"},
			"agent too long":   {Agent: "SwardBot/" + strings.Repeat("1", wire.MaxAgent)},
			"negative delay":   {Delay: -1},
			"negative timeout": {Deadline: -1},
		} {
			err := New(w.config()).Fetch(t.Context(), b, func(Result) error { return nil })
			if got := wire.CodeOf(err); got != wire.BadRequest {
				t.Errorf("%s: code %v (%v), want bad_request", name, got, err)
			}
		}
		if err := New(w.config()).Fetch(t.Context(), Batch{Agent: "swardbot/2 (+https://buyer.example)"}, nil); err != nil {
			t.Errorf("agent with the same product token: %v", err)
		}
	})
}

func TestHeadsAreKeptByteForByte(t *testing.T) {
	const head = "HTTP/1.1 200 Fine  enough\r\nX-oDD-case:   two  spaces \r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\nContent-Length: 4\r\n\r\n"
	inWorld(t, func(t *testing.T, w *world) {
		w.raw("site.example:80", func(c net.Conn) {
			in := bufio.NewReader(c)
			for {
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				if req.URL.Path == robotsPath {
					io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
					continue
				}
				io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </x.css>\r\n\r\n"+head+"body")
			}
		})
		results := fetchAll(t, New(w.config()), Batch{URLs: []string{"http://site.example/a?b=1&a=2#part", "http://site.example/b"}})
		for i, path := range []string{"/a?b=1&a=2", "/b"} {
			want := "GET " + path + " HTTP/1.1\r\nHost: site.example\r\nUser-Agent: " + DefaultAgent +
				"\r\nAccept: */*\r\nAccept-Encoding: gzip, br, zstd, deflate\r\n\r\n"
			if diff := cmp.Diff(want, string(results[i].Request)); diff != "" {
				t.Errorf("request head %d (-want +got):\n%s", i, diff)
			}
			if diff := cmp.Diff(head, string(results[i].Response)); diff != "" {
				t.Errorf("response head %d (-want +got):\n%s", i, diff)
			}
		}
		h, err := results[0].Header()
		if err != nil || h.Get("X-Odd-Case") != "two  spaces" {
			t.Errorf("Header() = %v, %v, want X-Odd-Case", h, err)
		}
	})
}

// J03: an endless head.
func TestHeadsHaveALimit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("site.example:80", noRobots(func(rw http.ResponseWriter, req *http.Request) {
			n, _ := strconv.Atoi(req.URL.RawQuery)
			for i := range n {
				http.SetCookie(rw, &http.Cookie{Name: fmt.Sprintf("cookie%05d", i), Value: "v"})
			}
		}))
		const each = len("Set-Cookie: cookie00000=v\r\n")
		for cookies, want := range map[int]wire.Code{
			maxHead/each - 10:    wire.OK,
			maxHead / each:       wire.TargetClosed, // with what else is in a head
			maxCapture/each + 10: wire.TargetClosed,
			10_000:               wire.TargetClosed,
		} {
			if r := fetchOne(t, w, fmt.Sprintf("http://site.example/?%d", cookies)); r.Code != want {
				t.Errorf("%d cookies: %v, want %v", cookies, r.Code, want)
			}
		}
	})
}

// J20: there is no cookie jar to fill, and none to share.
func TestNoStateCrossesRequests(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("site.example:80", noRobots(func(rw http.ResponseWriter, req *http.Request) {
			for _, name := range []string{"Cookie", "Authorization", "Referer"} {
				if v := req.Header.Get(name); v != "" {
					t.Errorf("%s carries %s: %s", req.URL, name, v)
				}
			}
			rw.Header().Set("Set-Cookie", "session=1")
			if req.URL.Path == "/" {
				http.Redirect(rw, req, "/next", http.StatusFound)
			}
		}))
		fetchAll(t, New(w.config()), Batch{URLs: []string{"http://site.example/", "http://site.example/"}})
	})
}

func TestTLSIsVerified(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.secure("example.com:443", noRobots(text("sealed")))
		w.secure("other.test:443", noRobots(text("wrong name")))
		if r := fetchOne(t, w, "https://example.com/"); r.Code != wire.OK || string(r.Body) != "sealed" {
			t.Errorf("trusted certificate: %v, %q", r.Code, r.Body)
		}
		if r := fetchOne(t, w, "https://other.test/"); r.Code != wire.RobotsUnreachable || r.Rule != "tls_error" {
			t.Errorf("certificate of another name: %v, rule %q, want robots_unreachable by tls_error", r.Code, r.Rule)
		}
		if r := fetchOne(t, w, "https://other.test/robots.txt"); r.Code != wire.TLSError {
			t.Errorf("robots.txt behind a certificate of another name: %v, want tls_error", r.Code)
		}
	})
}

// J24.
func TestLyingContentLength(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		answer := func(length int) func(net.Conn) {
			return func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n01234567890123456789", length)
				}
			}
		}
		w.raw("short.example:80", answer(30))
		w.raw("long.example:80", answer(10))
		if r := fetchOne(t, w, "http://short.example/robots.txt"); r.Code != wire.TargetClosed || len(r.Body) != 20 {
			t.Errorf("20 of 30 bytes: %v with %d bytes, want target_closed with what came", r.Code, len(r.Body))
		}
		if r := fetchOne(t, w, "http://long.example/robots.txt"); r.Code != wire.OK || string(r.Body) != "0123456789" {
			t.Errorf("20 bytes for 10: %v, %q, want the first 10", r.Code, r.Body)
		}
	})
}

// J03: an endless body, and one that never starts.
func TestSlowTargetsEndInTime(t *testing.T) {
	drip := func(first, piece string, every time.Duration) func(net.Conn) {
		return func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			for _, err := io.WriteString(c, first); err == nil; _, err = io.WriteString(c, piece) {
				time.Sleep(every)
			}
		}
	}
	stall := func(first string) func(net.Conn) {
		return func(c net.Conn) {
			in := bufio.NewReader(c)
			if _, err := http.ReadRequest(in); err == nil {
				io.WriteString(c, first)
				in.ReadByte() // until the fetcher hangs up
			}
		}
	}
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	cases := []struct {
		name string
		talk func(net.Conn)
		want wire.Code
		body bool
		most time.Duration
	}{
		{"never answers", stall(""), wire.FetchTimeout, false, 20 * time.Second},
		{"endless headers, slowly", drip(ok, "X: y\r\n", time.Second), wire.FetchTimeout, false, 20 * time.Second},
		{"endless headers, fast", drip(ok, "X: y\r\n", 0), wire.TargetClosed, false, time.Second},
		{"100 Continue for ever", drip("", "HTTP/1.1 100 Continue\r\n\r\n", time.Millisecond), wire.TargetClosed, false, 2 * time.Second},
		{"stops in the body", stall(ok + "\r\nstart"), wire.FetchTimeout, true, 20 * time.Second},
		{"1 KiB/s for ever", drip(ok+"\r\n", strings.Repeat("x", 1024), time.Second), wire.FetchTimeout, true, time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.raw("slow.example:80", c.talk)
				start := time.Now()
				r := fetchOne(t, w, "http://slow.example/robots.txt")
				if r.Code != c.want || (len(r.Body) > 0) != c.body {
					t.Errorf("code %v, %d bytes, want %v, bytes %v", r.Code, len(r.Body), c.want, c.body)
				}
				if timed := r.Flags == wire.PageTimeTruncated; timed != c.body {
					t.Errorf("flags %d, want time-truncated %v", r.Flags, c.body)
				}
				if took := time.Since(start); took > c.most {
					t.Errorf("took %v, want at most %v", took, c.most)
				}
			})
		})
	}
}

func TestFetchStopsWithItsContext(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("site.example:80", noRobots(text("x")))
		w.raw("slow.example:80", func(c net.Conn) { io.Copy(io.Discard, c) })
		for name, urls := range map[string][]string{
			"in a delay":    {"http://site.example/1", "http://site.example/2"},
			"in a request":  {"http://slow.example/robots.txt"},
			"in robots.txt": {"http://slow.example/"},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			start := time.Now()
			err := New(w.config()).Fetch(ctx, Batch{URLs: urls, Delay: 20 * time.Second}, func(Result) error { return nil })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v, want canceled", name, err)
			}
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("%s: returned %v after the start, want 3s", name, took)
			}
		}
	})
}

func TestFetchStopsWithEmit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("site.example:80", noRobots(text("x")))
		full := errors.New("full")
		calls := 0
		err := New(w.config()).Fetch(t.Context(), Batch{URLs: []string{"http://site.example/1", "http://site.example/2"}}, func(Result) error {
			calls++
			return full
		})
		if !errors.Is(err, full) || calls != 1 {
			t.Errorf("Fetch = %v after %d calls, want emit's error after 1", err, calls)
		}
	})
}

func TestOwnerIsAskedFirst(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("site.example:80", func(_ http.ResponseWriter, req *http.Request) {
			t.Errorf("%s was asked for", req.URL)
		})
		for name, c := range map[string]struct {
			allow func(*url.URL) error
			want  wire.Code
		}{
			"policy":      {denyAll, wire.DomainDenied},
			"coded":       {func(*url.URL) error { return wire.Errorf(wire.CapDay, "used up") }, wire.CapDay},
			"plain error": {func(*url.URL) error { return errors.New("no") }, wire.DomainDenied},
		} {
			r := fetchAll(t, New(w.config()), Batch{URLs: []string{"http://site.example/"}, Allow: c.allow})[0]
			if r.Code != c.want || r.Status != 0 {
				t.Errorf("%s: %v, status %d, want %v and no answer", name, r.Code, r.Status, c.want)
			}
		}
	})
}
