package policy

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustZone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestExactlyOneResetPerPeriod(t *testing.T) { // H05
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"} {
		z := mustZone(t, zone)
		v, resets, months := Volume{}, 0, 0
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, z)
		for at := start; at.Before(start.AddDate(1, 0, 0)); at = at.Add(30 * time.Minute) {
			before := v
			v = v.At(at)
			if v.Day != before.Day {
				resets++
				v.DayUsed = 1
			}
			if v.Month != before.Month {
				months++
			}
			if v.DayUsed != 1 {
				t.Fatalf("%s %s: the day's count was lost", zone, at)
			}
		}
		if resets != 365 || months != 12 {
			t.Errorf("%s: got %d day and %d month resets in 2026, want 365 and 12", zone, resets, months)
		}
	}
}

func TestClockSteppingBackNeverResets(t *testing.T) {
	z := mustZone(t, "Europe/Berlin")
	now := time.Date(2026, 3, 1, 0, 10, 0, 0, z)
	caps := Caps{Day: 100, Month: 1000}
	v, got, err := caps.Lease(Volume{}, now, 100)
	if err != nil || got != 100 {
		t.Fatalf("lease: got %d, %v; want 100", got, err)
	}
	for _, back := range []time.Time{now.Add(-time.Hour), now.AddDate(0, -1, 0), now.AddDate(-5, 0, 0), now.In(time.UTC)} {
		if after := v.At(back); after != v {
			t.Errorf("clock at %s: got %+v, want %+v", back, after, v)
		}
		if room := caps.Room(v, back); room != 0 {
			t.Errorf("clock at %s: got room %d, want 0", back, room)
		}
	}
	if room := caps.Room(v, now.AddDate(0, 0, 1)); room != 100 {
		t.Errorf("next day: got room %d, want 100", room)
	}
}

func TestLeaseNeverPassesACap(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		caps  Caps
		total int64
		rule  string
	}{
		{"day", Caps{Day: 1000}, 1000, "cap_day"},
		{"month", Caps{Month: 700}, 700, "cap_month"},
		{"both", Caps{Day: 1000, Month: 999}, 999, "cap_month"},
	} {
		var v Volume
		var sum int64
		for {
			next, got, err := c.caps.Lease(v, now, 64)
			if err != nil {
				var d *Denied
				if !errors.As(err, &d) || d.Rule != c.rule {
					t.Errorf("%s: got %v, want %s", c.name, err, c.rule)
				}
				break
			}
			v, sum = next, sum+got
		}
		if sum != c.total {
			t.Errorf("%s: leased %d, want %d", c.name, sum, c.total)
		}
	}
	v, got, err := (Caps{}).Lease(Volume{DayUsed: math.MaxInt64 - 1, Day: "2026-11-21"}, now, 64)
	if err != nil || got != 64 || v.DayUsed != math.MaxInt64 {
		t.Errorf("uncapped: got %d, %+v, %v; want 64 and a count that does not wrap", got, v, err)
	}
}

func TestUnusedLeaseReturnsToItsOwnPeriod(t *testing.T) {
	evening := time.Date(2026, 11, 30, 23, 59, 0, 0, time.UTC)
	caps := Caps{Day: 1000, Month: 5000}
	leased, _, err := caps.Lease(Volume{}, evening, 400)
	if err != nil {
		t.Fatal(err)
	}
	want := Volume{Day: "2026-11-30", Month: "2026-11", DayUsed: 100, MonthUsed: 100}
	if got := leased.Return(leased, 300); got != want {
		t.Errorf("same day: %s", cmp.Diff(want, got))
	}
	next, _, err := caps.Lease(leased, evening.Add(time.Minute), 50)
	if err != nil {
		t.Fatal(err)
	}
	want = Volume{Day: "2026-12-01", Month: "2026-12", DayUsed: 50, MonthUsed: 50}
	if got := next.Return(leased, 300); got != want {
		t.Errorf("after midnight: %s", cmp.Diff(want, got))
	}
}

func TestSizeReadsAndWritesExactly(t *testing.T) {
	for in, want := range map[string]Size{
		"0": 0, "1500": 1500, "200GB": 200e9, "10GiB": 10 << 30, "512 MiB": 512 << 20, "1.5TB": 15e11,
		"1.5 kib": 1536, " 7b ": 7, "9223372036854775807": math.MaxInt64,
	} {
		got, err := ParseSize(in)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
		text, _ := got.MarshalText()
		var back Size
		if err := back.UnmarshalText(text); err != nil || back != got {
			t.Errorf("%q written as %s, read as %d, %v", in, text, back, err)
		}
	}
	for _, bad := range []string{"", "GB", "-1GB", "+1", "1.GB", "1.2345GB", ".5GB", "1e9", "10 PB", "9223372036854775808", "99999999TiB", "１GB", "1_000"} {
		if got, err := ParseSize(bad); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", bad, got)
		}
	}
	if got := Size(200e9).String(); got != "200GB" {
		t.Errorf("got %s, want 200GB", got)
	}
}
