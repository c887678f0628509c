package edge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sward/internal/daemon"
	"sward/internal/wire"
)

// H10: a rule that is added while a tunnel is open ends that tunnel, and no other.
func TestChangeOfRulesReachesOpenStreams(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	denied, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	stays, err := s.open(t.Context(), r.grant(), "other.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	before := e.wireStatus().Policy
	change := e.Settings()
	change.Policy.Deny = []string{"site.example"}
	if err := e.Change(change); err != nil {
		t.Fatal(err)
	}
	if err := denied.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := denied.Read(make([]byte, 1)); wire.CodeOf(err) != wire.DomainDenied {
		t.Errorf("the stream that is denied now ends with %v, want %s", err, wire.DomainDenied)
	}
	if got, err := stays.exchange(t.Context(), 1<<10); err != nil || got != 1<<10 {
		t.Errorf("the other stream echoed %d bytes: %v", got, err)
	}
	if _, err := s.open(t.Context(), r.grant(), "site.example", 80); wire.CodeOf(err) != wire.DomainDenied {
		t.Errorf("a new stream: got %v, want %s", err, wire.DomainDenied)
	}
	eventually(t, "the relay hears of the new policy", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.status.Policy != before && s.status.Policy == e.wireStatus().Policy
	})
}

func TestSettingsWithAFaultChangeNothing(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	r.next()
	bad := e.Settings()
	bad.Policy.Ports = []uint16{25}
	bad.Streams = 3
	if err := e.Change(bad); err == nil || !strings.Contains(err.Error(), "ports[0]") {
		t.Errorf("got %v, want an error that names ports[0]", err)
	}
	if got := e.Settings(); got.Streams != testSettings().Streams {
		t.Errorf("a part of bad settings is in force: %d streams", got.Streams)
	}
}

// H12: the settings file and Change are one thing, and a file that is cut short, empty, huge or wrong changes nothing.
func TestSettingsFileIsFollowedAndWritten(t *testing.T) {
	r := newTestRelay(t)
	path := filepath.Join(t.TempDir(), SettingsFile)
	c := DefaultFileConfig()
	c.Hub, c.Settings = Hub{Addr: "hub.example:7400", ID: r.hub.key.ID()}, testSettings()
	text, err := daemon.MarshalConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "streams: 64", "streams: 64 # my router is weak", 1))
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(text))
	e, _ := testEdge(t, r, echo(t), func(c *Config) { c.File = path })
	r.next()

	write(strings.Replace(string(text), "streams: 64", "streams: 5", 1))
	e.followOnce()
	if got := e.Settings().Streams; got != 5 {
		t.Fatalf("after an edit of the file %d streams, want 5", got)
	}
	for name, bad := range map[string]string{
		"cut short": string(text[:len(text)/2]) + "\n  - :", "empty": "", "unknown key": string(text) + "\nstreems: 4\n",
		"huge": string(text) + strings.Repeat("# no end\n", 1<<20), "bad rule": strings.Replace(string(text), "- 443", "- 25", 1),
	} {
		write(bad)
		e.followOnce()
		if got := e.Settings().Streams; got != 5 {
			t.Errorf("%s: the settings have changed to %d streams", name, got)
		}
		if e.Status(t.Context()).BadSettings == "" {
			t.Errorf("%s: the status does not say what is wrong", name)
		}
		if err := e.Change(e.Settings()); err == nil {
			t.Errorf("%s: a change writes over a file that its owner has not finished", name)
		}
	}
	write(string(text))
	e.followOnce()
	change := e.Settings()
	change.Streams, change.Policy.Deny = 7, []string{"shop.example"}
	if err := e.Change(change); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSettings(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Streams != 7 || got.Policy.Deny[0] != "shop.example" || got.Hub != c.Hub {
		t.Errorf("the file says %+v", got)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(after), "# my router is weak") {
		t.Errorf("the owner's comment is gone:\n%s", after)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	e.followOnce()
	if problem := e.Status(t.Context()).BadSettings; problem != "" {
		t.Errorf("our own write is a problem: %s", problem)
	}
}

func TestRateChangesWhileRunning(t *testing.T) {
	p := newPace(0)
	mine := paced{pace: p}
	if n, err := mine.allow(t.Context(), 1<<20); err != nil || n != maxQuantum {
		t.Fatalf("without a limit: %d, %v", n, err)
	}
	p.set(64 << 10)
	mine = paced{pace: p}
	start, moved := time.Now(), 0
	for time.Since(start) < 500*time.Millisecond {
		n, err := mine.allow(t.Context(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		mine.moved(n)
		moved += n
	}
	if most := int(float64(64<<10)*time.Since(start).Seconds()) + 2*mine.pace.now.Load().quantum; moved > most {
		t.Errorf("moved %d bytes after the rate was lowered, want at most %d", moved, most)
	}
}

func TestHoldStopsServingAndSaysWhy(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	open, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	e.hold("battery", "this computer runs on its battery")
	if err := open.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Read(make([]byte, 1)); wire.CodeOf(err) != wire.Paused {
		t.Errorf("the open stream ends with %v, want %s", err, wire.Paused)
	}
	if _, err := s.open(t.Context(), r.grant(), "site.example", 80); wire.CodeOf(err) != wire.Paused {
		t.Errorf("a new stream: got %v, want %s", err, wire.Paused)
	}
	if st := e.Status(t.Context()); st.Serving || st.Why != "battery" || st.Reason() != "this computer runs on its battery" {
		t.Errorf("status %v %q %q", st.Serving, st.Why, st.Reason())
	}
	e.release("battery")
	eventually(t, "serving again", func() bool { return e.Status(t.Context()).Serving })
}

func TestLoweredCapsHoldAtOnce(t *testing.T) {
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	st, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.exchange(t.Context(), 64<<10); err != nil {
		t.Fatal(err)
	}
	st.end()
	lower := e.Settings()
	lower.Caps = Caps{Day: 1 << 10}
	if err := e.Change(lower); err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(t.Context(), r.grant(), "site.example", 80); wire.CodeOf(err) != wire.CapDay {
		t.Errorf("got %v, want %s", err, wire.CapDay)
	}
}
