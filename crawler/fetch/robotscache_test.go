package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sward/internal/wire"
)

// J08.
func TestRobotsStatusDecides(t *testing.T) {
	const forbids = "User-agent: *\nDisallow: /\n"
	for status, want := range map[int]struct {
		code wire.Code
		rule string
	}{
		200: {wire.RobotsDenied, "Disallow: /"},
		206: {wire.RobotsDenied, "Disallow: /"},
		304: {wire.OK, ""},
		400: {wire.OK, ""},
		401: {wire.OK, ""},
		403: {wire.OK, ""},
		404: {wire.OK, ""},
		410: {wire.OK, ""},
		429: {wire.RobotsUnreachable, "status 429"},
		500: {wire.RobotsUnreachable, "status 500"},
		503: {wire.RobotsUnreachable, "status 503"},
	} {
		inWorld(t, func(t *testing.T, w *world) {
			file := forbids
			if status == 304 {
				file = ""
			}
			w.site("site.example:80", withRobots(status, file, text("page")))
			if r := fetchOne(t, w, "http://site.example/"); r.Code != want.code || r.Rule != want.rule {
				t.Errorf("robots.txt with status %d: %v by %q, want %v by %q", status, r.Code, r.Rule, want.code, want.rule)
			}
		})
	}
}

// J08.
func TestRobotsAreFollowedFiveTimes(t *testing.T) {
	for hops, want := range map[int]wire.Code{1: wire.RobotsDenied, 5: wire.RobotsDenied, 6: wire.OK, 50: wire.OK} {
		inWorld(t, func(t *testing.T, w *world) {
			w.site("site.example:80", func(rw http.ResponseWriter, req *http.Request) {
				n, err := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/hop"))
				switch {
				case req.URL.Path == robotsPath:
					http.Redirect(rw, req, fmt.Sprintf("/hop%d", hops-1), http.StatusFound)
				case err == nil && n > 0:
					http.Redirect(rw, req, fmt.Sprintf("/hop%d", n-1), http.StatusFound)
				case err == nil:
					fmt.Fprint(rw, "User-agent: *\nDisallow: /\n")
				}
			})
			if r := fetchOne(t, w, "http://site.example/page"); r.Code != want {
				t.Errorf("robots.txt after %d redirects: %v, want %v", hops, r.Code, want)
			}
		})
	}
}

func TestRobotsThatCannotBeReadForbid(t *testing.T) {
	for name, c := range map[string]struct {
		location string
		want     wire.Code
		rule     string
	}{
		"redirect to the house": {"http://192.168.1.1/robots.txt", wire.DestPrivate, ""},
		"redirect to a file":    {"file:///etc/passwd", wire.BadRequest, ""},
		"redirect to nothing":   {"http://nowhere.example/robots.txt", wire.RobotsUnreachable, "dns_not_found"},
	} {
		inWorld(t, func(t *testing.T, w *world) {
			w.site("site.example:80", func(rw http.ResponseWriter, req *http.Request) {
				if req.URL.Path != robotsPath {
					t.Errorf("%s: %s was fetched", name, req.URL)
				}
				rw.Header().Set("Location", c.location)
				rw.WriteHeader(http.StatusFound)
			})
			if r := fetchOne(t, w, "http://site.example/"); r.Code != c.want || r.Rule != c.rule {
				t.Errorf("%s: %v by %q, want %v by %q", name, r.Code, r.Rule, c.want, c.rule)
			}
		})
	}
	inWorld(t, func(t *testing.T, w *world) {
		w.raw("mute.example:80", func(c net.Conn) { c.Read(make([]byte, 4096)); c.Read(make([]byte, 1)) })
		if r := fetchOne(t, w, "http://mute.example/"); r.Code != wire.RobotsUnreachable || r.Rule != "fetch_timeout" {
			t.Errorf("silent host: %v by %q, want robots_unreachable by fetch_timeout", r.Code, r.Rule)
		}
	})
}

func TestLargeRobotsCountToTheirLimit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		file := "User-agent: *\nDisallow: /a\n" + strings.Repeat("# five megabytes\n", 5<<20/17) + "Disallow: /\n"
		w.site("site.example:80", withRobots(200, file, text("page")))
		results := fetchAll(t, New(w.config()), Batch{URLs: []string{"http://site.example/a", "http://site.example/b"}})
		if results[0].Code != wire.RobotsDenied || results[1].Code != wire.OK {
			t.Errorf("rules before and after the limit: %v and %v, want robots_denied and ok", results[0].Code, results[1].Code)
		}
	})
}

func TestRobotsAreReadOncePerOrigin(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var reads atomic.Int32
		counted := func(status int) http.HandlerFunc {
			return func(rw http.ResponseWriter, req *http.Request) {
				if req.URL.Path == robotsPath {
					reads.Add(1)
					time.Sleep(time.Second)
					rw.WriteHeader(status)
				}
			}
		}
		w.site("site.example:80", counted(200))
		w.site("site.example:8080", counted(200))
		w.site("down.example:80", counted(503))
		f := New(w.config())
		batch := func(urls ...string) {
			fetchAll(t, f, Batch{URLs: urls})
		}

		var herd sync.WaitGroup
		for i := range 50 {
			herd.Go(func() { batch(fmt.Sprintf("http://site.example/%d", i), "http://site.example/x") })
		}
		herd.Wait()
		if got := reads.Swap(0); got != 1 {
			t.Errorf("50 batches of one host read robots.txt %d times, want once", got)
		}
		batch("http://site.example:8080/")
		if got := reads.Swap(0); got != 1 {
			t.Errorf("another port read robots.txt %d times, want once of its own", got)
		}
		time.Sleep(robotsLife)
		batch("http://site.example/1", "http://site.example/2")
		if got := reads.Swap(0); got != 1 {
			t.Errorf("after a day robots.txt was read %d times, want once", got)
		}

		batch("http://down.example/1", "http://down.example/2")
		if got := reads.Swap(0); got != 1 {
			t.Errorf("robots.txt of a host in trouble was read %d times, want once", got)
		}
		time.Sleep(robotsRetry)
		batch("http://down.example/1")
		if got := reads.Swap(0); got != 1 {
			t.Errorf("after the back-off robots.txt was read %d times, want once", got)
		}
	})
}

func TestRobotsCacheStaysWithinItsBounds(t *testing.T) {
	c := newRobotsCache(time.Now)
	get := func(i, size int) {
		_, err := c.get(t.Context(), fmt.Sprintf("http://%d.example", i), func(context.Context) (*Robots, error) {
			return &Robots{size: size}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 * maxSites {
		get(i, 1)
	}
	if len(c.sites) != maxSites || c.bytes != maxSites {
		t.Errorf("%d sites, %d bytes, want %d of each", len(c.sites), c.bytes, maxSites)
	}
	for i := range 100 {
		get(i, maxSitesBytes/10)
	}
	if c.bytes > maxSitesBytes {
		t.Errorf("%d bytes, want at most %d", c.bytes, maxSitesBytes)
	}
}

func TestRobotsOfACutBatchAreNotRemembered(t *testing.T) {
	c := newRobotsCache(time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.get(ctx, "http://site.example", func(context.Context) (*Robots, error) {
		cancel()
		return nil, context.Canceled
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cut read = %v, want canceled", err)
	}
	want := &Robots{}
	got, err := c.get(t.Context(), "http://site.example", func(context.Context) (*Robots, error) { return want, nil })
	if got != want || err != nil {
		t.Errorf("next read = %v, %v, want the file", got, err)
	}
}
