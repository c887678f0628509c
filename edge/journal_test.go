package edge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
)

func TestRefusalsSayTheRuleAndNotTheTarget(t *testing.T) {
	dir := t.TempDir()
	r := openRefusals(dir)
	for _, host := range []string{"secret-hobby.example.com", "93.184.216.34", "2606:4700::1", "", "not a host"} {
		r.add(noon, wire.AppProxy, host, wire.CategoryDenied)
	}
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, refusalsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"secret-hobby", "93.184", "2606", "not a host"} {
		if strings.Contains(string(file), secret) {
			t.Errorf("the journal tells the target %q", secret)
		}
	}
	last, today := openRefusals(dir).recent(noon.Format(time.DateOnly))
	var classes []string
	for _, x := range last {
		classes = append(classes, x.Host)
	}
	want := []string{"not a public host", "none", "IPv6", "IPv4", "name under .com"}
	if diff := cmp.Diff(want, classes); diff != "" {
		t.Errorf("newest first, after a restart: %s", diff)
	}
	if today["category_denied"] != 5 {
		t.Errorf("today's count: got %v, want 5", today)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	r := openRefusals(t.TempDir())
	for i := range 50 * maxRefusals {
		r.add(noon.AddDate(0, 0, i/100), wire.AppCrawl, "", wire.CapDay)
	}
	if len(r.last) != maxRefusals || len(r.days) != refusalDays {
		t.Errorf("kept %d refusals over %d days, want %d over %d", len(r.last), len(r.days), maxRefusals, refusalDays)
	}
}

func TestPauseSurvivesARestartAndEndsByItself(t *testing.T) {
	dir, now := t.TempDir(), noon
	clock := func() time.Time { return now }
	p, err := openPause(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	if paused, _ := p.now(); paused {
		t.Error("paused without having been told")
	}
	if err := p.set(2 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if p, err = openPause(dir, clock); err != nil {
		t.Fatal(err)
	}
	if paused, until := p.now(); !paused || !until.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("after a restart: paused %v until %s, want until %s", paused, until, noon.Add(2*time.Hour))
	}
	now = noon.Add(2 * time.Hour)
	if paused, _ := p.now(); paused {
		t.Error("the pause did not end by itself")
	}
	write(t, filepath.Join(dir, pauseFile), []byte("{"))
	if p, err = openPause(dir, clock); err != nil {
		t.Fatal(err)
	}
	if paused, _ := p.now(); !paused {
		t.Error("with a damaged file the edge shares")
	}
	if err := p.set(MaxPause + 1); err == nil {
		t.Error("a pause beyond the longest was taken")
	}
}

func TestTooManyStreamsAreRefusedAndAllCanBeCut(t *testing.T) {
	l := newLive(2)
	first, leave, err := l.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.enter(t.Context()); wire.CodeOf(err) != wire.StreamLimit {
		t.Errorf("the third of two: got %v, want %s", err, wire.StreamLimit)
	}
	l.cutAll(wire.Errorf(wire.Paused, "test"))
	if got := wire.CodeOf(cause(first)); got != wire.Paused {
		t.Errorf("the first was cut with %s, want %s", got, wire.Paused)
	}
	leave()
	if l.count() != 1 {
		t.Errorf("%d streams are in, want 1", l.count())
	}
}
