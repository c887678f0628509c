package household

import (
	"math"
	"time"

	"sward/accounting"
	"sward/policy"
)

const (
	maxZone = 64 // bytes of a time zone's name

	// A device is allowed stepShare of the cap at a time, within these bounds: enough that a fast line asks every few
	// seconds and no more, and little enough that what a device that went away holds back is small.
	stepShare = 64
	minStep   = 16 << 20
	maxStep   = 1 << 30

	// goneAfter is when a device that has not called is taken for away: others may have all of its share.
	goneAfter = 24 * time.Hour

	// Unlimited is an allowance without a cap.
	Unlimited = -1
)

// caps are those of all devices together: the smallest of theirs, so that no device's owner finds more used than they
// allowed. Days and months are those of the device that began the household.
func (h *home) caps() accounting.HouseholdCaps {
	c := accounting.HouseholdCaps{BillingDay: h.Devices[0].Caps.BillingDay, Zone: h.Devices[0].Caps.Zone}
	for _, d := range h.agreed() {
		c.Day, c.Month = smaller(c.Day, d.Caps.Day), smaller(c.Month, d.Caps.Month)
	}
	return c
}

// smaller is the smaller cap, where 0 is none.
func smaller(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// span is a period with the share of it that is still to come.
type span struct {
	policy.Period
	dayLeft, monthLeft float64
}

func (h *home) period(now time.Time) span {
	c := h.caps()
	zone, err := time.LoadLocation(c.Zone)
	if err != nil || c.Zone == "" {
		zone = time.UTC // a device says which zone its owner means; without it one calendar is as good as another
	}
	now = now.In(zone)
	p := policy.Caps{BillingDay: c.BillingDay}.Period(now)
	left := func(began string, ends time.Time) float64 {
		from, err := time.ParseInLocation(time.DateOnly, began, zone)
		if err != nil || !from.Before(ends) {
			return 1
		}
		return min(max(float64(ends.Sub(now))/float64(ends.Sub(from)), 0), 1)
	}
	return span{p, left(p.Day, p.DayEnds), left(p.Month, p.MonthEnds)}
}

// in is what v counts in p: nothing where it speaks of another period.
func in(v accounting.HouseholdVolume, p span) accounting.HouseholdVolume {
	out := accounting.HouseholdVolume{Day: p.Day, Month: p.Month}
	if v.Day == p.Day {
		out.DayBytes = max(v.DayBytes, 0)
	}
	if v.Month == p.Month {
		out.MonthBytes = max(v.MonthBytes, 0)
	}
	return out
}

// add sums two counts of one period.
func add(a, b accounting.HouseholdVolume) accounting.HouseholdVolume {
	a.DayBytes, a.MonthBytes = sum(a.DayBytes, b.DayBytes), sum(a.MonthBytes, b.MonthBytes)
	return a
}

func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// share notes what a device used and allows it more where there is more.
func (h *home) share(d *device, call accounting.HouseholdCall, now time.Time) {
	p := h.period(now)
	// A count never shrinks within its period: a device that has lost its memory has not moved its bytes back.
	before, told := in(d.Used, p), in(call.Used, p)
	d.Used = accounting.HouseholdVolume{
		Day: p.Day, DayBytes: max(before.DayBytes, told.DayBytes), Month: p.Month, MonthBytes: max(before.MonthBytes, told.MonthBytes),
	}
	caps, left := h.caps(), in(h.Left, p)
	day := func(v accounting.HouseholdVolume) int64 { return in(v, p).DayBytes }
	month := func(v accounting.HouseholdVolume) int64 { return in(v, p).MonthBytes }
	d.Allow = accounting.HouseholdVolume{
		Day: p.Day, DayBytes: h.allow(d, caps.Day, left.DayBytes, p.dayLeft, day, now),
		Month: p.Month, MonthBytes: h.allow(d, caps.Month, left.MonthBytes, p.monthLeft, month, now),
	}
}

// allow is how far a device may go against one cap: as it was, or a step beyond what it has used, as far as the others
// leave room. Each device that is there has an equal share kept for it, of which what it has not asked for is set free
// evenly over the period: so nobody uses all of a month on its first day, and nothing is left over on its last.
func (h *home) allow(d *device, limit, left int64, toCome float64, of func(accounting.HouseholdVolume) int64, now time.Time) int64 {
	used := of(d.Used)
	if limit == 0 {
		return Unlimited
	}
	all := h.agreed()
	free, share := limit-left, limit/int64(len(all))
	allowed := max(of(d.Allow), used)
	for _, other := range all {
		if other != d && !other.Bound {
			return allowed // it may still go as far as its own caps: nothing can be promised before it has called
		}
		allowed := max(of(other.Allow), of(other.Used))
		free -= allowed
		if other == d || now.Sub(other.Seen) > goneAfter {
			continue
		}
		free -= int64(float64(max(share-allowed, 0)) * toCome)
	}
	step := min(max(limit/stepShare, minStep), maxStep)
	if allowed-used > step/2 || free <= 0 {
		return allowed
	}
	return allowed + min(sum(used, step)-allowed, free)
}
