package policy

import (
	"strings"
	"time"
)

// Period is the day and the month that a moment belongs to where the caps are counted. A day ends at that place's midnight
// whatever its length, and a month on its provider's billing day.
type Period struct {
	Day   string // 2006-01-02
	Month string // the date on which the month began

	DayEnds, MonthEnds time.Time
}

// Period is that of now, in now's own time zone.
func (c Caps) Period(now time.Time) Period {
	y, m, d := now.Date()
	begins := c.billing(y, m)
	starts, ends := time.Date(y, m, begins, 0, 0, 0, 0, time.UTC), monthAfter(y, m, c)
	if d < begins {
		last := time.Date(y, m-1, 1, 0, 0, 0, 0, time.UTC)
		starts = time.Date(last.Year(), last.Month(), c.billing(last.Year(), last.Month()), 0, 0, 0, 0, time.UTC)
		ends = time.Date(y, m, begins, 0, 0, 0, 0, time.UTC)
	}
	return Period{
		Day: now.Format(time.DateOnly), Month: starts.Format(time.DateOnly),
		DayEnds: startOf(y, m, d+1, now.Location()), MonthEnds: startOf(ends.Year(), ends.Month(), ends.Day(), now.Location()),
	}
}

// Open is the period that is open for v: p, or that of v's last day when the clock has stepped back behind it.
func (c Caps) Open(v Volume, p Period) Period {
	n := len(v.Days)
	if n == 0 || v.Days[n-1].Date <= p.Day {
		return p
	}
	last, err := time.Parse(time.DateOnly, v.Days[n-1].Date)
	if err != nil {
		return p // not the work of this package
	}
	later := c.Period(last)
	p.Day, p.Month = later.Day, later.Month
	return p
}

// MonthName is the period as people call it: 2006-01 for a month of the calendar, else the date on which it began.
func (p Period) MonthName() string {
	if month, first := strings.CutSuffix(p.Month, "-01"); first {
		return month
	}
	return p.Month
}

// billing is the day of a month on which the provider's month begins: the last one where the month has no such day.
func (c Caps) billing(y int, m time.Month) int {
	last := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return min(max(c.BillingDay, 1), last)
}

// monthAfter is the date on which the provider's month after that of y and m begins.
func monthAfter(y int, m time.Month, c Caps) time.Time {
	next := time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
	return time.Date(next.Year(), next.Month(), c.billing(next.Year(), next.Month()), 0, 0, 0, 0, time.UTC)
}

// startOf is the first moment of a date. Where a change of the clock takes midnight away, or a whole day as on Samoa in 2011,
// time.Date may answer with a moment of the day before: a quarter of an hour is the finest step that zones make.
func startOf(y int, m time.Month, d int, zone *time.Location) time.Time {
	want := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	for t.Format(time.DateOnly) < want {
		t = t.Add(15 * time.Minute)
	}
	return t
}
