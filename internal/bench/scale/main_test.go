package main

import (
	"context"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The test's own program is the relay as well.
func TestMain(m *testing.M) {
	if asRelay() {
		exit(runRelay(context.Background(), os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// The smallest measurement there is. N12: every edge is back after the relay has started again, in either way.
func TestScaleMeasuresIdleEdgesAndTheirReturn(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts relays of its own")
	}
	p := defaultPlan()
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	p.flags(flags)
	if err := flags.Parse([]string{"-edges", "20", "-sockets", "2", "-idle", "100ms", "-storm", "10", "-status", "200ms"}); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := p.run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^\| 20 \| [0-9.]+ s \(\d+/s\)( \| [0-9.]+){8} \|$`,
		`(?m)^\| 10 \| a stop in good order( \| [0-9.]+){6} \|$`,
		`(?m)^\| 10 \| a crash( \| [0-9.]+){6} \|$`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("got\n%s\nwant a match of %s", out.String(), want)
		}
	}
}

func TestScaleRefusesToMeasureNothing(t *testing.T) {
	p := defaultPlan()
	p.edges = 0
	if err := p.run(t.Context(), &strings.Builder{}); err == nil || err.Error() != "-edges 0: a measurement takes at least one" {
		t.Errorf("got %v", err)
	}
}

func TestDensestSecond(t *testing.T) {
	at := func(seconds ...float64) (all []time.Time) {
		for _, s := range seconds {
			all = append(all, time.Unix(0, int64(s*1e9)))
		}
		return all
	}
	for _, c := range []struct {
		at   []time.Time
		want int
	}{
		{nil, 0}, {at(1), 1}, {at(1, 2, 3), 1}, {at(1, 1.5, 1.9, 2.4, 2.45, 2.49), 5}, {at(0, 0, 0), 3},
	} {
		if got := densest(c.at, time.Second); got != c.want {
			t.Errorf("%v: got %d, want %d", c.at, got, c.want)
		}
	}
}
