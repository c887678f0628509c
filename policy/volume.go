package policy

import (
	"math"
	"time"
)

// Caps is how many bytes the owner lends per day and per month of their own calendar; 0 is no cap.
type Caps struct {
	Day   int64
	Month int64
}

// Volume is what was leased against the caps so far. Periods are named in the owner's time zone, so
// that a day ends at the owner's midnight whatever the length of that day was.
type Volume struct {
	Day       string `json:"day"`   // 2006-01-02
	Month     string `json:"month"` // 2006-01
	DayUsed   int64  `json:"day_used"`
	MonthUsed int64  `json:"month_used"`
}

// At moves v to the periods of now. Periods only move forward: their names sort as dates do, a later
// one starts at zero once, and a clock that steps back or a move westwards finds the later period
// still open. A clock that was far ahead therefore keeps the cap shut until that date has come,
// which is the safe side; the owner can delete the state.
func (v Volume) At(now time.Time) Volume {
	if day := now.Format(time.DateOnly); day > v.Day {
		v.Day, v.DayUsed = day, 0
	}
	if month := now.Format("2006-01"); month > v.Month {
		v.Month, v.MonthUsed = month, 0
	}
	return v
}

// Room is how many bytes may still be leased now; math.MaxInt64 when nothing is capped.
func (c Caps) Room(v Volume, now time.Time) int64 {
	v = v.At(now)
	return min(room(c.Day, v.DayUsed), room(c.Month, v.MonthUsed))
}

func room(limit, used int64) int64 {
	if limit == 0 {
		return math.MaxInt64
	}
	return max(limit-used, 0)
}

// Lease takes up to want bytes from the room and returns the volume to store before any of them
// flows, so that neither parallel streams nor a crash can pass a cap. The error is *Denied with
// cap_day or cap_month when nothing is left.
func (c Caps) Lease(v Volume, now time.Time, want int64) (Volume, int64, error) {
	v = v.At(now)
	switch {
	case want <= 0:
		return v, 0, nil
	case room(c.Month, v.MonthUsed) == 0:
		return v, 0, denied("cap_month", "the %s of this month are used", Size(c.Month))
	case room(c.Day, v.DayUsed) == 0:
		return v, 0, denied("cap_day", "the %s of this day are used", Size(c.Day))
	}
	got := min(want, c.Room(v, now))
	v.DayUsed = addCapped(v.DayUsed, got)
	v.MonthUsed = addCapped(v.MonthUsed, got)
	return v, got, nil
}

// Return gives back what a lease did not use. Only a period the lease was taken in gets it back:
// leased is the volume that Lease returned.
func (v Volume) Return(leased Volume, unused int64) Volume {
	if v.Day == leased.Day {
		v.DayUsed = max(v.DayUsed-max(unused, 0), 0)
	}
	if v.Month == leased.Month {
		v.MonthUsed = max(v.MonthUsed-max(unused, 0), 0)
	}
	return v
}

// addCapped adds without wrapping: an uncapped edge may count for ever.
func addCapped(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
