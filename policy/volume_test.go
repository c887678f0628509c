package policy

import (
	"errors"
	"math"
	"strings"
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

// lease takes bytes and moves them, as an edge does.
func lease(t *testing.T, c Caps, v Volume, now time.Time, w Way, want int64) (Volume, int64, error) {
	t.Helper()
	next, got, err := c.Lease(v, c.Period(now), w, want)
	if err == nil && got > 0 {
		next.Take(w, got)
	}
	return next, got, err
}

// H05: one reset a day and one a billing month, wherever the owner lives and whatever the clock does there.
func TestExactlyOneResetPerPeriod(t *testing.T) {
	zones := []string{
		"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
		"Asia/Beirut", "America/Santiago", "Africa/Cairo", // their clocks change at midnight, which then is not there
	}
	for i, zone := range zones {
		z := mustZone(t, zone)
		for _, billing := range [][]int{{0}, {0, 15, 31}, {31}}[min(i, 2)] {
			c := Caps{Day: 1e6, Month: 1e9, BillingDay: billing}
			var v Volume
			days, months, month := 0, 0, c.Period(time.Date(2026, 1, 1, 0, 0, 0, 0, z)).Month
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, z)
			for at := start; at.Before(time.Date(2027, 1, 1, 0, 0, 0, 0, z)); at = at.Add(time.Hour) {
				p := c.Period(at)
				if v.Since(p.Day).Total() == 0 {
					days++
				}
				if p.Month != month {
					if months++; v.Since(p.Month).Total() != 0 {
						t.Fatalf("%s %s: the month of %s does not begin at zero", zone, at, p.Month)
					}
					month = p.Month
				}
				var err error
				if v, _, err = lease(t, c, v, at, Down, 1); err != nil {
					t.Fatal(err)
				}
				if !at.Before(p.DayEnds) || at.Add(27*time.Hour).Before(p.DayEnds) {
					t.Fatalf("%s %s: the day ends at %s", zone, at, p.DayEnds)
				}
				if before, after := c.Period(p.DayEnds.Add(-time.Second)).Day, c.Period(p.DayEnds).Day; before != p.Day || after <= p.Day {
					t.Fatalf("%s %s: the day's end parts %s and %s", zone, at, before, after)
				}
				if before, after := c.Period(p.MonthEnds.Add(-time.Second)).Month, c.Period(p.MonthEnds).Month; before != p.Month || after <= p.Month {
					t.Fatalf("%s %s: the month's end parts %s and %s", zone, at, before, after)
				}
			}
			want := 11
			if billing > 1 {
				want = 12 // the first of them in January
			}
			if days != 365 || months != want {
				t.Errorf("%s, billed on %d: got %d day and %d month resets in 2026, want 365 and %d", zone, billing, days, months, want)
			}
		}
	}
}

func TestBillingDayIsTheLastOfAShorterMonth(t *testing.T) {
	for _, c := range []struct {
		billing      int
		day, month   string
		name, monthE string
	}{
		{0, "2026-02-28", "2026-02-01", "2026-02", "2026-03-01"},
		{1, "2026-03-01", "2026-03-01", "2026-03", "2026-04-01"},
		{31, "2026-02-27", "2026-01-31", "2026-01-31", "2026-02-28"},
		{31, "2026-02-28", "2026-02-28", "2026-02-28", "2026-03-31"},
		{31, "2026-03-30", "2026-02-28", "2026-02-28", "2026-03-31"},
		{31, "2026-03-31", "2026-03-31", "2026-03-31", "2026-04-30"},
		{30, "2028-02-29", "2028-02-29", "2028-02-29", "2028-03-30"},
		{15, "2026-01-14", "2025-12-15", "2025-12-15", "2026-01-15"},
		{15, "2026-12-31", "2026-12-15", "2026-12-15", "2027-01-15"},
	} {
		day, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		p := Caps{BillingDay: c.billing}.Period(day.Add(13 * time.Hour))
		if p.Month != c.month || p.MonthName() != c.name || p.MonthEnds.Format(time.DateOnly) != c.monthE {
			t.Errorf("%s billed on %d: got the month of %s (%s) to %s, want %s (%s) to %s",
				c.day, c.billing, p.Month, p.MonthName(), p.MonthEnds.Format(time.DateOnly), c.month, c.name, c.monthE)
		}
	}
}

func TestClockSteppingBackNeverResets(t *testing.T) {
	z := mustZone(t, "Europe/Berlin")
	now := time.Date(2026, 3, 1, 0, 10, 0, 0, z)
	caps := Caps{Day: 100, Month: 1000}
	v, got, err := lease(t, caps, Volume{}, now, Down, 100)
	if err != nil || got != 100 {
		t.Fatalf("lease: got %d, %v; want 100", got, err)
	}
	for _, back := range []time.Time{now.Add(-time.Hour), now.AddDate(0, -1, 0), now.AddDate(-5, 0, 0), now.In(time.UTC)} {
		if after := v.At(caps.Period(back)); !cmp.Equal(after, v) {
			t.Errorf("clock at %s: got %+v, want %+v", back, after, v)
		}
		if left := caps.Left(v, caps.Period(back), Down); left != 0 {
			t.Errorf("clock at %s: %d bytes are left, want 0", back, left)
		}
	}
	if left := caps.Left(v, caps.Period(now.AddDate(0, 0, 1)), Up); left != 100 {
		t.Errorf("next day: %d bytes are left, want 100", left)
	}
}

func TestLeaseNeverPassesACap(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name     string
		caps     Caps
		up, down int64 // of which at most so much may go
		rule     string
	}{
		{"day", Caps{Day: 1000}, 1000, 1000, "cap_day"},
		{"month", Caps{Month: 700}, 700, 700, "cap_month"},
		{"both", Caps{Day: 1000, Month: 999}, 999, 999, "cap_month"},
		{"up", Caps{Day: 1000, DayUp: 100}, 100, 1000, "cap_day"},
		{"down", Caps{MonthDown: 300, DayUp: 200}, 200, 300, "cap_"},
	} {
		var v Volume
		var moved [2]int64
		for turn := 0; ; turn++ {
			w := Way(turn % 2) //nolint:gosec // 0 or 1
			next, got, err := lease(t, c.caps, v, now, w, 64)
			if err != nil {
				var d *Denied
				if !errors.As(err, &d) || !strings.HasPrefix(d.Rule, c.rule) {
					t.Errorf("%s: got %v, want %s", c.name, err, c.rule)
				}
				if _, _, err = c.caps.Lease(v, c.caps.Period(now), 1-w, 64); err != nil {
					break // neither way
				}
				continue
			}
			v = next
			moved[w] += got
		}
		sum := v.Since("2026-11-21")
		if sum.Up != moved[Up] || sum.Down != moved[Down] || sum.Up > c.up || sum.Down > c.down || sum.Total() < max(c.up, c.down) {
			t.Errorf("%s: moved %v, counted %+v; want at most %d up and %d down", c.name, moved, sum, c.up, c.down)
		}
	}
	full := Volume{Days: []Day{{Date: "2026-11-21", Down: math.MaxInt64 - 1}}}
	v, got, err := lease(t, Caps{}, full, now, Down, 64)
	if err != nil || got != 64 || v.Since("2026-11-21").Total() != math.MaxInt64 {
		t.Errorf("uncapped: got %d, %+v, %v; want 64 and a count that does not wrap", got, v, err)
	}
}

// A lease that a killed program held counts against both ways, once in their sum.
func TestALostLeaseCountsOnceTogetherAndFullyEachWay(t *testing.T) {
	now := time.Date(2026, 11, 30, 23, 59, 0, 0, time.UTC)
	c := Caps{Day: 1000, DayUp: 600}
	v, _, err := c.Lease(Volume{}, c.Period(now), Down, 500)
	if err != nil {
		t.Fatal(err)
	}
	v.Take(Down, 100)
	for name, v := range map[string]Volume{"running": v, "killed": v.Lose()} {
		p := c.Period(now)
		if up, down := c.Left(v, p, Up), c.Left(v, p, Down); up != 200 || down != 500 {
			t.Errorf("%s: %d up and %d down are left, want 200 and 500", name, up, down)
		}
	}
	next := c.Period(now.Add(time.Minute))
	want := Volume{Days: []Day{{Date: "2026-11-30", Down: 100}, {Date: "2026-12-01"}}}
	if diff := cmp.Diff(want, v.At(next)); diff != "" {
		t.Errorf("after midnight the lease is not given back to its day: %s", diff)
	}
	later := v.At(next)
	later.Move("2026-11-30", Down, -40) // a read that came up short, over midnight
	if got := later.Since("2026-11-01").Down; got != 60 {
		t.Errorf("%d bytes count, want 60", got)
	}
}

func TestTheSoftBandIsNotForNewStreams(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		caps Caps
		used int64
		room int64
		rule string
	}{
		{Caps{}, 1e18, math.MaxInt64, ""},
		{Caps{Day: 1000}, 0, 980, ""},
		{Caps{Day: 1000}, 979, 1, ""},
		{Caps{Day: 1000}, 980, 0, "cap_day"},
		{Caps{Day: 1000}, 1000, 0, "cap_day"},
		{Caps{Month: 200e9}, 0, 200e9 - softBytes, ""},
		{Caps{Month: 200e9, MonthDown: 1000}, 999, 0, "cap_month"},
	} {
		p := c.caps.Period(now)
		room, err := c.caps.Room(Volume{Days: []Day{{Date: p.Day, Down: c.used}}}, p)
		var d *Denied
		if errors.As(err, &d); room != c.room || (c.rule == "") != (err == nil) || d != nil && d.Rule != c.rule {
			t.Errorf("%+v used %d: got %d, %v; want %d %s", c.caps, c.used, room, err, c.room, c.rule)
		}
	}
}

// FuzzVolume: whatever is leased, moved, returned and lost over days, no cap is passed and nothing is negative.
func FuzzVolume(f *testing.F) {
	f.Add([]byte{0, 200, 1, 30, 2, 9, 3, 0, 4, 250, 5, 5})
	f.Fuzz(func(t *testing.T, steps []byte) {
		c := Caps{Day: 500, Month: 2000, DayUp: 300, MonthDown: 1500, BillingDay: 31}
		now := time.Date(2026, 1, 30, 12, 0, 0, 0, time.UTC)
		var v Volume
		for i := 0; i+1 < len(steps); i += 2 {
			n := int64(steps[i+1])
			switch steps[i] % 5 {
			case 0, 1:
				w := Way(steps[i] % 5)
				if next, _, err := c.Lease(v, c.Period(now), w, n); err == nil {
					if v = next; n > 0 && c.Left(Volume{Days: v.Days}, c.Period(now), w) >= n/2 && v.Lease >= n/2 {
						v.Take(w, n/2)
					}
				}
			case 2:
				now = now.Add(time.Duration(n) * time.Hour / 4)
			case 3:
				v = v.Lose()
			case 4:
				now = now.Add(-time.Duration(n) * time.Minute)
			}
			p := c.Period(now)
			day, month := v.Since(p.Day), v.Since(p.Month)
			if !v.Sound() || month.Total() < day.Total() {
				t.Fatalf("step %d: %+v", i, v)
			}
			for _, d := range v.Days {
				if d.Total() > c.Day || d.Up > c.DayUp {
					t.Fatalf("step %d: a day's cap is passed: %+v", i, d)
				}
			}
		}
	})
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
