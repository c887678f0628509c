package testnet_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sward/accounting"
	"sward/internal/identity"
)

const (
	failDownloads = 200                     // at once
	failSize      = 256 << 10               // of each, in bytes
	failPieces    = 16                      // in which the site sends it
	failPause     = 60 * time.Millisecond   // between two: each takes a second
	failRounds    = 3                       // downloads of each worker, one after the other
	failAt        = 1500 * time.Millisecond // into it, something fails
	failWindow    = 512 << 10               // unsigned bytes that a new edge and its relay can lose to each other
	failTrust     = 8                       // an edge with history: one part in so many of what it was credited with, if that is more
)

// slowSite sends failSize bytes over about a second, so that whatever happens, happens in the middle of many.
func slowSite() http.Handler {
	piece := make([]byte, failSize/failPieces)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(failSize))
		for range failPieces {
			if _, err := w.Write(piece); err != nil {
				return
			}
			http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(failPause):
			}
		}
	})
}

// toll is what became of the downloads of one scenario.
type toll struct {
	mu       sync.Mutex
	whole    int
	refused  map[string]int // before the first byte, by reason; "the door is gone" is no answer of ours
	half     int            // broken off after it, or after the tunnel was open: what has begun is not begun again
	received uint64         // bytes out of the tunnel, as the client counted them
}

func (s *toll) String() string {
	return fmt.Sprintf("%d whole, %d broken off half-way, failed before the first byte: %v; %d bytes received", s.whole, s.half, s.refused, s.received)
}

// download fetches the site through a CONNECT tunnel of a door, and books what became of it.
func (l *lab) download(ctx context.Context, s *toll, door, partner, key string) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	opened := false
	book := func(why string, got uint64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.received += got
		switch {
		case why == "":
			s.whole++
		case opened:
			s.half++
		default:
			s.refused[why]++
		}
	}
	c, err := l.dial(ctx, "tcp", door)
	if err != nil {
		book("the door is gone", 0)
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	fmt.Fprintf(c, "CONNECT %s:80 HTTP/1.1\r\nHost: %[1]s:80\r\nProxy-Authorization: Basic %s\r\n\r\n", siteName,
		base64.StdEncoding.EncodeToString([]byte(partner+":"+key)))
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		book("the door is gone", 0)
		return
	}
	if answer.StatusCode != http.StatusOK {
		book(answer.Header.Get("Sward-Error"), 0)
		return
	}
	opened = true
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", siteName)
	counted := &counter{r: r}
	body, err := http.ReadResponse(bufio.NewReader(counted), nil)
	if err != nil {
		book("cut before the response", counted.n)
		return
	}
	n, err := io.Copy(io.Discard, body.Body)
	body.Body.Close()
	if err != nil || n != failSize {
		book("cut in the response", counted.n)
		return
	}
	book("", counted.n)
}

type counter struct {
	r io.Reader
	n uint64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += uint64(n)
	return n, err
}

// In the middle of 200 downloads through two relays and four homes, one of them is killed or told to leave. What can be
// saved is saved: an edge that drains costs nobody anything, a request that has not begun goes to another edge, and
// nobody pays for a byte that did not arrive.
func TestDownloadsThroughFailures(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: builds programs and runs a network of processes")
	}
	l := newLab(t, 6) // 64 streams each: five of them carry 200
	defer l.logs()
	bin := build(t)
	l.serveSite(slowSite())
	hubDir := filepath.Join(l.dir, "hub")
	hub := l.start(l.net, "hub", bin("sward"), "hub", "--dir", hubDir, "--network", "lab",
		"--internal", backbone+":7400", "--api", backbone+":7401", "--search", backbone+":7402")
	hubID := l.output(l.net, bin("sward"), "id", "--dir", hubDir)
	l.eventually("the hub is up", func() error { return l.get(fmt.Sprintf("http://%s:7402/", backbone), "", nil) })
	var relays, edges []*process
	var doors []string
	for n := range 2 {
		dir := filepath.Join(l.dir, fmt.Sprintf("relay%d", n))
		// The lab has one site: what it stands is not what is looked at here.
		l.must(os.MkdirAll(dir, 0o700))
		l.must(os.WriteFile(filepath.Join(dir, "relay.yaml"), []byte("limits: {target_rate: -1, target_burst: -1, target_streams: -1, short_rate: -1, short_burst: -1}\n"), 0o600))
		l.output(l.net, bin("sward"), "admit", l.output(l.net, bin("sward"), "id", "--dir", dir), "--dir", hubDir)
		door := fmt.Sprintf("%s:%d", backbone, 7480+n)
		doors = append(doors, door)
		relays = append(relays, l.start(l.net, fmt.Sprintf("relay%d", n), bin("sward"), "relay", "--dir", dir, "--network", "lab",
			"--hub", backbone+":7400", "--hub-id", hubID, "--tunnel", fmt.Sprintf("%s:%d", backbone, 7443+n), "--proxy", door,
			"--debug", fmt.Sprintf("127.0.0.1:%d", 7490+n)))
	}
	l.eventually("the hub knows both relays", func() error { // before an edge reads its directory
		log, err := os.ReadFile(filepath.Join(l.dir, "hub.log"))
		if got := strings.Count(string(log), "tunnel is up"); got != len(relays) {
			return fmt.Errorf("%d of %d: %w", got, len(relays), err)
		}
		return nil
	})
	for n, home := range l.home {
		dir := filepath.Join(l.dir, fmt.Sprintf("edge%d", n))
		code := l.output(l.net, bin("sward"), "owner", "invite", "--dir", hubDir)
		l.output(home, bin("sward-edge"), "init", "--dir", dir, "--network", "lab", "--hub", backbone+":7400", "--hub-id", hubID, "--consent-code", code)
		edges = append(edges, l.start(home, fmt.Sprintf("edge%d", n), bin("sward-edge"), "run", "--dir", dir))
	}

	tolls := map[string]*toll{}
	for _, c := range []struct {
		name  string
		fail  func()
		after func() // brings back what failed
	}{
		{"drain-edge", func() { edges[0].stop(syscall.SIGTERM) }, func() { edges[0].run() }},
		{"kill-edge", func() { edges[1].stop(syscall.SIGKILL) }, func() { edges[1].run() }},
		{"kill-relay", func() { relays[1].stop(syscall.SIGKILL) }, func() { relays[1].run() }},
	} {
		key := l.output(l.net, bin("sward"), "partner", "add", c.name, "--purpose", "market-research", "--dir", hubDir)
		l.output(l.net, bin("sward"), "partner", "credit", c.name, "10GiB", "--dir", hubDir)
		for _, door := range doors {
			l.eventually("the door "+door+" serves", func() error {
				s := &toll{refused: map[string]int{}}
				if l.download(t.Context(), s, door, c.name, key); s.whole != 1 {
					return fmt.Errorf("%s", s)
				}
				tolls[c.name+door] = s
				return nil
			})
		}
		s := &toll{refused: map[string]int{}}
		tolls[c.name] = s
		workers, ctx := errgroup.WithContext(t.Context())
		for n := range failDownloads {
			workers.Go(func() error {
				time.Sleep(time.Duration(n) * failPieces * failPause / failDownloads) // not all at one moment
				for range failRounds {
					l.download(ctx, s, doors[n%len(doors)], c.name, key)
				}
				return nil
			})
		}
		time.Sleep(failAt)
		c.fail()
		workers.Wait() //nolint:errcheck // they have none
		t.Logf("%s: %s", c.name, s)
		c.after()
	}
	time.Sleep(5 * time.Second) // for the relay that was killed to hand in what it has on disk
	for _, p := range append(edges, relays...) {
		p.stop(syscall.SIGTERM)
	}
	hub.stop(syscall.SIGTERM)
	t.Log(l.output(l.net, bin("sward"), "audit", filepath.Join(hubDir, "books")))

	charged := l.charged(hubDir)
	var before uint64 // credited until then
	for _, name := range []string{"drain-edge", "kill-edge", "kill-relay"} {
		s := tolls[name]
		received := s.received
		for _, door := range doors {
			received += tolls[name+door].received
		}
		t.Logf("%s: %d bytes received, %d charged (%+d)", name, received, charged[name], int64(charged[name]-received))
		if charged[name] > received {
			t.Errorf("%s: %d bytes are charged of %d that arrived", name, charged[name], received)
		}
		// What was in flight when a process was killed is in no receipt: at most a window for each of its channels. Windows
		// grow with what an edge has earned, and all edges have earned about the same.
		channels := map[string]int{"drain-edge": 0, "kill-edge": len(relays), "kill-relay": len(edges)}[name]
		window := max(failWindow, before/uint64(len(edges))/failTrust)
		if lost := received - min(charged[name], received); lost > uint64(channels)*window {
			t.Errorf("%s: %d bytes that arrived are not charged, more than the windows of %d channels, %d each", name, lost, channels, window)
		}
		before += charged[name]
		for why, n := range s.refused {
			if name != "kill-relay" || why != "the door is gone" {
				t.Errorf("%s: %d requests failed before their first byte: %s", name, n, why)
			}
		}
	}
	if s := tolls["drain-edge"]; s.half != 0 {
		t.Errorf("drain-edge: %d downloads broke off, want none", s.half)
	}
}

// charged is what each partner pays for in down-bytes, by the books of a hub that has stopped.
func (l *lab) charged(hubDir string) map[string]uint64 {
	l.t.Helper()
	key, err := identity.LoadOrCreateKey(filepath.Join(hubDir, "key"))
	if err != nil {
		l.t.Fatal(err)
	}
	book, err := accounting.OpenBook(accounting.BookConfig{Dir: filepath.Join(hubDir, "books"), Key: key, Network: "lab"})
	if err != nil {
		l.t.Fatal(err)
	}
	defer book.Close()
	charged := map[string]uint64{}
	for _, name := range []string{"drain-edge", "kill-edge", "kill-relay"} {
		u, err := book.Usage(l.t.Context(), name)
		if err != nil {
			l.t.Fatal(err)
		}
		charged[name] = u.Down
	}
	return charged
}
