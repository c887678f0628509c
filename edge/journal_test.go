package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/internal/wire"
	"sward/policy"
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

func TestJournalsAreBounded(t *testing.T) {
	dir := t.TempDir()
	r, a := openRefusals(dir), openActivity(dir)
	for i := range 50 * maxRefusals {
		now := noon.AddDate(0, 0, i/100)
		r.add(now, wire.AppCrawl, "", wire.CapDay)
		host, err := policy.ParseHost(fmt.Sprintf("www.site-%d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		a.add(noon, host, "search-index", 1, 1)
	}
	if len(r.last) != maxRefusals || len(r.days) != refusalDays {
		t.Errorf("kept %d refusals over %d days, want %d over %d", len(r.last), len(r.days), maxRefusals, refusalDays)
	}
	sites := a.day(noon.Format(time.DateOnly))
	if len(sites) != maxSites+1 || sites[0].Site != otherSites || sites[0].Streams != 50*maxRefusals-maxSites {
		t.Errorf("kept %d sites, the first %+v; want %d and the rest added up", len(sites), sites[0], maxSites)
	}
	for range 2 * activityDays {
		a.add(noon.AddDate(0, 0, len(a.days)), policy.Host{}, "search-index", 1, 1)
	}
	if len(a.days) > activityDays {
		t.Errorf("kept %d days, want %d", len(a.days), activityDays)
	}
}

func TestActivityIsBySiteAndSurvivesARestart(t *testing.T) { // H15
	dir := t.TempDir()
	a := openActivity(dir)
	for _, name := range []string{"www.shop.co.uk", "img.shop.co.uk", "93.184.216.34", "localhost-like.example"} {
		host, err := policy.ParseHost(name)
		if err != nil {
			t.Fatal(err)
		}
		a.add(noon, host, "price-comparison", 10, 90)
	}
	if err := a.save(); err != nil {
		t.Fatal(err)
	}
	got := openActivity(dir).day(noon.Format(time.DateOnly))
	want := []Use{
		{Site: "shop.co.uk", Streams: 2, Up: 20, Down: 180, For: map[string]int{"price-comparison": 2}},
		{Site: "addresses", Streams: 1, Up: 10, Down: 90, For: map[string]int{"price-comparison": 1}},
		{Site: "localhost-like.example", Streams: 1, Up: 10, Down: 90, For: map[string]int{"price-comparison": 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if other := openActivity(dir).day("2026-11-20"); len(other) != 0 {
		t.Errorf("another day shows %v", other)
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
