package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The smallest bench there is: it measures all roads, shows ratios, and writes a file for benchstat and profiles.
func TestBenchMeasuresEveryRoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it moves a history of its own first")
	}
	dir := t.TempDir()
	plan := defaultPlan()
	flags := flag.NewFlagSet("road", flag.ContinueOnError)
	plan.flags(flags)
	file := filepath.Join(dir, "bench.txt")
	if err := flags.Parse([]string{"-reps", "1", "-bytes", "1048576", "-requests", "20", "-clients", "2", "-idle", "1", "-out", file, "-profile", dir}); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := plan.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ in, pattern string }{
		{out.String(), `direct +goproxy +quic +sward +sward/quic`},
		{out.String(), `(?m)^ *1 stream, MiB/s( +[0-9.]+){7}$`},
		{out.String(), `(?m)^ *keep-alive, req/s( +[0-9.]+){7}$`},
		{out.String(), `(?m)^ *warm request, p50, µs( +[0-9.]+){7}$`},
		{out.String(), `heap of an idle edge, both ends of it, with 1 edges: -?\d+ KiB`},
		{string(written), `(?m)^pkg: sward$`},
		{string(written), `(?m)^BenchmarkPath/1_stream/sward 1 [0-9.]+ MiB/s`},
	} {
		if !regexp.MustCompile(want.pattern).MatchString(want.in) {
			t.Errorf("got\n%s\nwant a match of %s", want.in, want.pattern)
		}
	}
	if profiles, _ := filepath.Glob(filepath.Join(dir, "*.prof")); len(profiles) != len(plan.metrics()) {
		t.Errorf("got profiles %v, want one for each metric", profiles)
	}
}

// A measurement of nothing is refused before anything is started.
func TestBenchRefusesToMeasureNothing(t *testing.T) {
	for _, c := range []struct {
		change func(*benchPlan)
		want   string
	}{
		{func(p *benchPlan) { p.reps = 0 }, "-reps 0: a measurement takes at least one"},
		{func(p *benchPlan) { p.clients = 0 }, "-clients 0: a measurement takes at least one"},
		{func(p *benchPlan) { p.bytes = -1 }, "-bytes -1: a measurement takes at least one"},
		{func(p *benchPlan) { p.only = "pigeons" }, "-only pigeons: no metric has that in its name"},
	} {
		plan := defaultPlan()
		c.change(&plan)
		if err := plan.run(t.Context(), &strings.Builder{}); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
