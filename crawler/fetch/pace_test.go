package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
)

// visits records when a site's pages were asked for, in seconds since it began.
type visits struct {
	mu    sync.Mutex
	start time.Time
	times []float64
}

func (v *visits) count(h http.HandlerFunc) http.HandlerFunc {
	v.start = time.Now()
	return func(rw http.ResponseWriter, req *http.Request) {
		v.mu.Lock()
		v.times = append(v.times, time.Since(v.start).Seconds())
		v.mu.Unlock()
		h(rw, req)
	}
}

func (v *visits) take() []float64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	times := v.times
	v.times = nil
	return times
}

func TestDelayLiesBetweenRequests(t *testing.T) {
	three := []string{"http://site.example/1", "http://site.example/2", "http://site.example/3"}
	for _, c := range []struct {
		name, robots string
		delay        time.Duration
		want         []float64
	}{
		{"no delay", "", 0, []float64{0, 0, 0}},
		{"batch's delay", "", 2 * time.Second, []float64{0, 2, 4}},
		{"site's longer delay", "User-agent: *\nCrawl-delay: 5\n", 2 * time.Second, []float64{0, 5, 10}},
		{"site's shorter delay", "User-agent: *\nCrawl-delay: 0.5\n", 2 * time.Second, []float64{0, 2, 4}},
		{"delay beyond the cap", "User-agent: *\nCrawl-delay: 3600\n", time.Hour, []float64{0, 30, 60}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				var v visits
				w.site("site.example:80", withRobots(200, c.robots, v.count(text("x"))))
				fetchAll(t, New(w.config()), Batch{URLs: three, Delay: c.delay})
				if diff := cmp.Diff(c.want, v.take()); diff != "" {
					t.Errorf("requests at seconds (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestDelayCountsFromTheEndOfAnAnswer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var v visits
		w.site("site.example:80", noRobots(v.count(func(rw http.ResponseWriter, _ *http.Request) { time.Sleep(7 * time.Second) })))
		fetchAll(t, New(w.config()), Batch{URLs: []string{"http://site.example/1", "http://site.example/2"}, Delay: 2 * time.Second})
		if diff := cmp.Diff([]float64{0, 9}, v.take()); diff != "" {
			t.Errorf("requests at seconds (-want +got):\n%s", diff)
		}
	})
}

func TestDelayHoldsForRedirectsAndAcrossBatches(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var v, other visits
		w.site("site.example:80", noRobots(v.count(func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/from" {
				http.Redirect(rw, req, "/to", http.StatusFound)
			}
		})))
		w.site("other.example:80", noRobots(other.count(text("x"))))
		f := New(w.config())
		fetchAll(t, f, Batch{URLs: []string{"http://site.example/from"}, Delay: 3 * time.Second})
		fetchAll(t, f, Batch{URLs: []string{"http://other.example/", "http://site.example/next"}, Delay: 3 * time.Second})
		if diff := cmp.Diff([]float64{0, 3, 6}, v.take()); diff != "" {
			t.Errorf("requests at seconds (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]float64{3}, other.take()); diff != "" {
			t.Errorf("another host waited (-want +got):\n%s", diff)
		}

		var both sync.WaitGroup
		for i := range 3 {
			both.Go(func() {
				fetchAll(t, f, Batch{URLs: []string{fmt.Sprintf("http://site.example/%d", i)}, Delay: 3 * time.Second})
			})
		}
		both.Wait()
		if diff := cmp.Diff([]float64{9, 12, 15}, v.take()); diff != "" {
			t.Errorf("requests of batches at the same time, at seconds (-want +got):\n%s", diff)
		}
	})
}

func TestRetryAfterIsHonouredAndCapped(t *testing.T) {
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, c := range []struct {
		name   string
		status int
		value  func() string
		want   time.Duration
	}{
		{"seconds", 429, func() string { return "60" }, time.Minute},
		{"for ever", 429, func() string { return "99999999" }, time.Hour},
		{"beyond any number", 503, func() string { return "99999999999999999999" }, time.Hour},
		{"a date", 503, func() string { return date(90 * time.Second) }, 90 * time.Second},
		{"a far date", 503, func() string { return date(1000 * time.Hour) }, time.Hour},
		{"a past date", 503, func() string { return date(-time.Hour) }, 0},
		{"429 without a time", 429, func() string { return "" }, unaskedBackoff},
		{"nonsense", 429, func() string { return "soon" }, unaskedBackoff},
		{"on a page", 200, func() string { return "60" }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				var v visits
				w.site("site.example:80", noRobots(v.count(func(rw http.ResponseWriter, _ *http.Request) {
					rw.Header().Set("Retry-After", c.value())
					rw.WriteHeader(c.status)
				})))
				f := New(w.config())
				r := fetchAll(t, f, Batch{URLs: []string{"http://site.example/"}})[0]
				if r.Code != wire.OK || r.RetryAfter != c.want {
					t.Fatalf("%v, retry after %v, want ok and %v", r.Code, r.RetryAfter, c.want)
				}
				if err := f.pace.wait(t.Context(), "site.example", 0); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(v.start); waited != c.want {
					t.Errorf("the host's next turn came after %v, want %v", waited, c.want)
				}
			})
		})
	}
}

func TestBackoffBeyondTheBatchIsNotWaitedFor(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var v visits
		w.site("site.example:80", noRobots(v.count(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Retry-After", "1800")
			rw.WriteHeader(http.StatusTooManyRequests)
		})))
		results := fetchAll(t, New(w.config()), Batch{URLs: []string{"http://site.example/1", "http://site.example/2", "http://site.example/3"}})
		for _, r := range results[1:] {
			if r.Code != wire.FetchTimeout || r.Status != 0 || r.RetryAfter != 30*time.Minute {
				t.Errorf("page %d: %v, status %d, retry after %v, want fetch_timeout, unasked, 30m", r.Index, r.Code, r.Status, r.RetryAfter)
			}
		}
		if diff := cmp.Diff([]float64{0}, v.take()); diff != "" || time.Since(v.start) != 0 {
			t.Errorf("batch took %v, requests at seconds (-want +got):\n%s", time.Since(v.start), diff)
		}
	})
}

func TestDeadlineEndsTheBatchAndReportsTheRest(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.site("site.example:80", noRobots(func(rw http.ResponseWriter, _ *http.Request) { time.Sleep(4 * time.Second) }))
		start := time.Now()
		results := fetchAll(t, New(w.config()), Batch{
			URLs:     []string{"http://site.example/1", "http://site.example/2", "http://site.example/3", "http://site.example/4"},
			Deadline: 10 * time.Second,
		})
		var got []wire.Code
		for _, r := range results {
			got = append(got, r.Code)
		}
		if diff := cmp.Diff([]wire.Code{wire.OK, wire.OK, wire.FetchTimeout, wire.FetchTimeout}, got); diff != "" {
			t.Errorf("codes (-want +got):\n%s", diff)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("batch took %v, want its deadline of 10s", took)
		}
	})
}

func TestPacerStaysWithinItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(time.Now)
		for i := range maxPaced {
			p.rest(fmt.Sprint(i), time.Hour+time.Duration(i))
		}
		p.rest("one more", time.Hour)
		if _, kept := p.free["0"]; kept || len(p.free) != maxPaced {
			t.Errorf("%d hosts, the next to be free kept %v, want %d and false", len(p.free), kept, maxPaced)
		}
		time.Sleep(2 * time.Hour)
		p.rest("and one", time.Hour)
		if len(p.free) != 1 {
			t.Errorf("%d hosts after all have rested, want 1", len(p.free))
		}
	})
}

func TestTurnsEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(time.Now)
		p.rest("site.example", time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if err := p.wait(ctx, "site.example", 0); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("wait = %v after %v, want canceled after 1s", err, time.Since(start))
		}
	})
}
