package relay

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/wire"
	"sward/policy"
	"sward/relay/gateway"
)

// A client that asks for nothing but what is on a list is held to its account's rate like any other, and fills no log.
func TestBlockedRequestsAreHeldToTheRateAndFillNoLog(t *testing.T) {
	r, _, _ := limitRelay(t, NoLimits(), officeTerms(accounting.Limits{Rate: 100, Burst: 2000, Streams: 10}))
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("bad.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	r.limits.log = slog.New(slog.NewTextHandler(&log, nil))
	var err error
	if r.blocklists, err = openBlocklists(r.limits.log, []string{path}); err != nil {
		t.Fatal(err)
	}
	a := member(t, r, "key-0")
	codes := map[wire.Code]int{}
	for range 5000 {
		_, err := r.dial(t.Context(), a, targetOf(t, "bad.example:443"), gateway.Exit{})
		codes[wire.CodeOf(err)]++
	}
	if want := map[wire.Code]int{wire.DomainDenied: 2000, wire.PartnerLimit: 3000}; !maps.Equal(codes, want) {
		t.Errorf("got %v, want %v", codes, want)
	}
	if n := strings.Count(log.String(), "abuse suspected"); n != eventBurst {
		t.Errorf("%d lines in the log, want %d", n, eventBurst)
	}
	events := uint64(0)
	for _, counts := range r.usage.rows {
		events += counts.Abuse
	}
	if events != 2000 {
		t.Errorf("the account's usage counts %d events, want 2000", events)
	}
	if strings.Contains(log.String(), "bad.example") {
		t.Error("the log names the host")
	}
}

func TestBlocklistThatIsGoneIsToldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("bad.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	b, err := openBlocklists(slog.New(slog.NewTextHandler(&log, nil)), []string{path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		b.refresh(t.Context()) //nolint:errcheck // it logs
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("%d lines in the log, want 1:\n%s", n, log.String())
	}
}

func TestBlocklistFollowsItsFileAndOutlivesABrokenOne(t *testing.T) { // B16
	path := filepath.Join(t.TempDir(), "list")
	written := time.Now()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		written = written.Add(time.Minute)
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(b *blocklists, host string) bool {
		t.Helper()
		h, err := policy.ParseHost(host)
		if err != nil {
			t.Fatal(err)
		}
		return b.check(h) != nil
	}
	write("bad.example.com\n")
	b, err := openBlocklists(slog.New(slog.DiscardHandler), []string{path})
	if err != nil {
		t.Fatal(err)
	}
	if !refused(b, "www.bad.example.com") || refused(b, "worse.example.com") {
		t.Error("the first list is not what is in force")
	}
	for _, step := range []struct {
		text       string
		bad, worse bool
	}{
		{"worse.example.com\n", false, true},
		{"worse.example.com\nnot a host\n", false, true}, // broken: the one before stays
		{"bad.example.com\nworse.example.com\n", true, true},
	} {
		write(step.text)
		if err := b.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := refused(b, "bad.example.com"); got != step.bad {
			t.Errorf("after %q: bad.example.com refused %v, want %v", step.text, got, step.bad)
		}
		if got := refused(b, "worse.example.com"); got != step.worse {
			t.Errorf("after %q: worse.example.com refused %v, want %v", step.text, got, step.worse)
		}
	}
	if _, err := openBlocklists(slog.New(slog.DiscardHandler), []string{path + ".gone"}); err == nil {
		t.Error("a relay starts without a list that it was told to keep to")
	}
}
