package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Way is one direction of what an owner lends.
type Way uint8

// The ways, as their owner sees them.
const (
	Up   Way = iota // from partners towards targets
	Down            // from targets towards partners
)

// Caps is how many bytes the owner lends per day and per month of their provider's calendar; 0 is no cap. Caps of one way
// hold beside those of both ways together.
type Caps struct {
	Day, Month         int64 // up and down together
	DayUp, DayDown     int64
	MonthUp, MonthDown int64

	BillingDay int // on which the provider's month begins, 1 to 31, in a shorter month its last day; 0 is the 1st
}

// The soft band is the last part of a cap, kept for what is running when it is reached: no new stream is taken then, so that
// few are cut in the middle at the cap itself, which nothing passes.
const (
	softShare = 50        // one over this of the cap, and at most
	softBytes = 128 << 20 // what the default number of streams needs to finish two ordinary pages each
)

// Validate refuses what is no cap. The error names the key.
func (c Caps) Validate() error {
	for _, n := range []int64{c.Day, c.Month, c.DayUp, c.DayDown, c.MonthUp, c.MonthDown} {
		if n < 0 {
			return fmt.Errorf("caps: %d is negative", n)
		}
	}
	if c.BillingDay < 0 || c.BillingDay > 31 {
		return fmt.Errorf("caps.billing_day: %d is not between 1 and 31", c.BillingDay)
	}
	return nil
}

// limit is one cap and what stands against it.
type limit struct {
	rule, what string
	cap, used  int64
}

func (l limit) left() int64 {
	if l.cap == 0 {
		return math.MaxInt64
	}
	return max(l.cap-l.used, 0)
}

// band is the soft part of the cap.
func (l limit) band() int64 { return min(l.cap/softShare, softBytes) }

// limits are all caps with what v counts against them in p, the longer period first: a month that is used up says more than
// its last day.
func (c Caps) limits(v Volume, p Period) [6]limit {
	p = c.Open(v, p)
	day, month := v.Since(p.Day), v.Since(p.Month)
	return [...]limit{
		{"cap_month", "this month", c.Month, month.Total()},
		{"cap_month", "this month on the way up", c.MonthUp, month.way(Up)},
		{"cap_month", "this month on the way down", c.MonthDown, month.way(Down)},
		{"cap_day", "this day", c.Day, day.Total()},
		{"cap_day", "this day on the way up", c.DayUp, day.way(Up)},
		{"cap_day", "this day on the way down", c.DayDown, day.way(Down)},
	}
}

// of tells whether the limit at i of limits holds for a way.
func (w Way) of(i int) bool { return i%3 == 0 || i%3 == int(w)+1 }

// Left is how many bytes may still be leased for a way; math.MaxInt64 when nothing caps it.
func (c Caps) Left(v Volume, p Period, w Way) int64 {
	left := int64(math.MaxInt64)
	for i, l := range c.limits(v, p) {
		if w.of(i) {
			left = min(left, l.left())
		}
	}
	return left
}

// Room is how many bytes new streams may hope for: what every cap leaves above its soft band. The error is *Denied with
// cap_day or cap_month when one leaves nothing.
func (c Caps) Room(v Volume, p Period) (int64, error) {
	room := int64(math.MaxInt64)
	for _, l := range c.limits(v, p) {
		if l.cap == 0 {
			continue
		}
		if l.left() == 0 {
			return 0, l.reached()
		}
		if l.left() <= l.band() {
			return 0, denied(l.rule, "of the %s of %s %d bytes are left, which are kept for what is running", Size(l.cap), l.what, l.left())
		}
		room = min(room, l.left()-l.band())
	}
	return room, nil
}

func (l limit) reached() error { return denied(l.rule, "the %s of %s are used", Size(l.cap), l.what) }

// Lease takes up to want bytes for a way and returns the volume to store before any of them flows, so that neither
// parallel streams nor a crash can pass a cap. What it took is in the volume's Lease, which counts against both ways until
// [Volume.Take] says which way a byte went. The error is *Denied with cap_day or cap_month when nothing is left.
func (c Caps) Lease(v Volume, p Period, w Way, want int64) (Volume, int64, error) {
	v = v.At(p)
	if want <= 0 {
		return v, 0, nil
	}
	got := want
	for i, l := range c.limits(v, p) {
		if !w.of(i) {
			continue
		}
		if l.left() == 0 {
			return v, 0, l.reached()
		}
		got = min(got, l.left())
	}
	v.Lease = addCapped(v.Lease, got)
	return v, got, nil
}

// Day is what was moved on one day.
type Day struct {
	Date string `json:"date"` // 2006-01-02, where the caps are counted
	Up   int64  `json:"up"`
	Down int64  `json:"down"`
	Lost int64  `json:"lost,omitempty"` // leased when the program was killed: moved or not, and nobody knows which way
}

// Total is what counts against a cap of both ways.
func (d Day) Total() int64 { return addCapped(addCapped(d.Up, d.Down), d.Lost) }

// way is what counts against a cap of one.
func (d Day) way(w Way) int64 {
	if w == Up {
		return addCapped(d.Up, d.Lost)
	}
	return addCapped(d.Down, d.Lost)
}

// maxDays bounds the days that are kept: two of the longest months, so that a billing day can change and the new period's
// count is known.
const maxDays = 62

// Volume is what was moved and leased so far, day by day. Days are kept rather than sums, so that the owner can change the
// billing day at any time and no byte is forgotten or counted twice.
type Volume struct {
	Days  []Day `json:"days"`            // ascending, only those on which something moved
	Lease int64 `json:"lease,omitempty"` // of the last day: taken from its caps, not yet moved either way
}

// ParseVolume reads a volume that was stored as JSON. One of the form before there were days, with the sums of a day and of its
// month, keeps both: what the month had before that day is put on the day before, where every billing day finds it, and as
// nobody knows which way a byte went, it counts against both.
func ParseVolume(data []byte) (Volume, error) {
	var stored struct {
		Volume
		Day       string `json:"day"`   // 2006-01-02
		Month     string `json:"month"` // 2006-01
		DayUsed   int64  `json:"day_used"`
		MonthUsed int64  `json:"month_used"`
	}
	if err := json.Unmarshal(data, &stored); err != nil {
		return Volume{}, err
	}
	v := stored.Volume
	if stored.Day != "" || stored.Month != "" {
		day, err := time.Parse(time.DateOnly, stored.Day)
		if err != nil || stored.Month != day.Format("2006-01") || stored.DayUsed < 0 || stored.MonthUsed < 0 || len(v.Days) > 0 || v.Lease != 0 {
			return Volume{}, errVolume
		}
		earlier := max(stored.MonthUsed-stored.DayUsed, 0)
		if day.Day() > 1 {
			v.Days = append(v.Days, Day{Date: day.AddDate(0, 0, -1).Format(time.DateOnly), Lost: earlier})
			earlier = 0
		}
		v.Days = append(v.Days, Day{Date: stored.Day, Lost: addCapped(stored.DayUsed, earlier)})
	}
	if !v.Sound() {
		return Volume{}, errVolume
	}
	return v, nil
}

var errVolume = errors.New("it is no count of days")

// Sound tells whether v can be the work of this package.
func (v Volume) Sound() bool {
	last := ""
	for _, d := range v.Days {
		if _, err := time.Parse(time.DateOnly, d.Date); err != nil || d.Date <= last || d.Up < 0 || d.Down < 0 || d.Lost < 0 {
			return false
		}
		last = d.Date
	}
	return v.Lease >= 0 && len(v.Days) <= maxDays && (v.Lease == 0 || len(v.Days) > 0)
}

// At moves v to a period. Days only move forward: a clock that steps back, or a move westwards, finds the later day still
// open ([Caps.Open]). A clock that was far ahead therefore keeps a cap that it used up shut until that date has come, which is
// the safe side; the owner can delete the state. A lease of an earlier day is given back to it.
func (v Volume) At(p Period) Volume {
	if n := len(v.Days); n > 0 && v.Days[n-1].Date >= p.Day {
		return v
	}
	days := make([]Day, 0, maxDays)
	days = append(days, v.Days[max(len(v.Days)-maxDays+1, 0):]...)
	return Volume{Days: append(days, Day{Date: p.Day})}
}

// Since adds up the days from a date on. The lease counts as lost, which is what it is until a byte of it moves.
func (v Volume) Since(date string) Day {
	sum := Day{Date: date}
	for i := len(v.Days) - 1; i >= 0 && v.Days[i].Date >= date; i-- {
		d := &v.Days[i]
		sum.Up, sum.Down, sum.Lost = addCapped(sum.Up, d.Up), addCapped(sum.Down, d.Down), addCapped(sum.Lost, d.Lost)
		if i == len(v.Days)-1 {
			sum.Lost = addCapped(sum.Lost, v.Lease)
		}
	}
	return sum
}

// Take moves n bytes of the lease to a way's count, and with a negative n back. It changes v's own days.
func (v *Volume) Take(w Way, n int64) {
	v.Lease -= n
	v.Move(v.Days[len(v.Days)-1].Date, w, n)
}

// Move adds n bytes to what moved a way on a date, and takes them off when n is negative: a reservation that outlived its
// lease returns so. It changes v's own days.
func (v *Volume) Move(date string, w Way, n int64) {
	i, found := slices.BinarySearchFunc(v.Days, date, func(d Day, date string) int { return strings.Compare(d.Date, date) })
	if !found {
		return // forgotten long ago
	}
	count := &v.Days[i].Down
	if w == Up {
		count = &v.Days[i].Up
	}
	*count = max(addCapped(*count, n), 0)
}

// Lose is what a start makes of the lease of a program that was killed.
func (v Volume) Lose() Volume {
	if v.Lease == 0 {
		return v
	}
	v.Days = slices.Clone(v.Days)
	last := &v.Days[len(v.Days)-1]
	last.Lost = addCapped(last.Lost, v.Lease)
	v.Lease = 0
	return v
}

// addCapped adds without wrapping: an uncapped edge may count for ever.
func addCapped(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
