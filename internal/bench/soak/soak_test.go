package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// A short soak: the night into the billing day, with a kill. The rest is make soak's.
func TestCapsHoldOverAMidnightAndAKill(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: runs a network for ten seconds")
	}
	var out bytes.Buffer
	p := plan{length: nightLeast, dir: t.TempDir(), out: &out}
	if err := p.run(t.Context()); err != nil {
		t.Errorf("%v", err)
	}
	t.Logf("\n%s", out.String())
	if lines := strings.Count(out.String(), "\n"); lines != 3 {
		t.Errorf("the report has %d lines, want one night between a heading and a sum", lines)
	}
}

func TestALongSoakHasAWholeMonth(t *testing.T) {
	all, err := evenings(15 * time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	kills, lengths := 0, map[time.Duration]int{}
	for _, n := range all {
		if n.kill {
			kills++
		}
		lengths[n.date.AddDate(0, 0, 1).Sub(n.date)]++
	}
	if len(all) < 31 || kills < 8 || lengths[25*time.Hour] != 1 || lengths[23*time.Hour] != 1 {
		t.Errorf("%d nights, %d kills, days by length %v; want a month, 8 kills, one day of 25 hours and one of 23", len(all), kills, lengths)
	}
}
