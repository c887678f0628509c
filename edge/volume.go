package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"sward/accounting"
	"sward/policy"
)

const volumeFile = "volume.json"

const (
	// leaseSize is how many bytes are carved from the caps at once. Each lease is one durable write of a few
	// milliseconds, and a crash forgets at most one lease, on the safe side: 4 MiB keeps both small at 100 Mbit/s.
	leaseSize = 4 << 20
	// maxLease is how far a lease grows on a fast line, where one that is used up within leaseShort is doubled: at a
	// gigabit 4 MiB would be a write every 30 ms. One that lasts longer than leaseLong is halved again, so that a crash
	// forgets a few seconds' traffic whatever the rate, and never more than a part of what the caps still allow.
	maxLease   = 64 << 20
	leaseShort = time.Second
	leaseLong  = 4 * time.Second
	leaseShare = 64 // one over this
	// minLease bounds how small a lease becomes near the end of a cap.
	minLease = 256 << 10
)

// volume keeps the owner's daily and monthly caps.
//
// A lease is taken from the caps and made durable before any of its bytes flow, and streams reserve from the
// lease before they read. So neither sixty-four streams at once nor a power cut can pass a cap, and after a crash
// the unused rest of the last lease counts as used. What a cap counts is payload relayed for others: up and down of
// a proxy stream, wire bytes of crawled pages. Each of these bytes crosses the home line twice, once towards the
// target and once through the tunnel, which whoever pays for the line by volume should know.
type volume struct {
	path  string
	clock func() time.Time

	mu     sync.Mutex
	caps   policy.Caps
	zone   *time.Location // where days and months are counted; nil: that of the clock
	period policy.Period
	state  policy.Volume // what moved or is reserved, and the lease, which nobody has reserved
	lease  int64         // size of the next lease
	leased time.Time     // when the current one was taken
	epoch  int           // counts leases, days and changes of the caps: a reservation returns to the lease only of its own
	closed bool

	kin  *accounting.HouseholdVolume // how far this device may go in its household; nil: it is in none
	half accounting.HouseholdVolume  // of the allowance: beyond it, more is asked for
	low  chan<- struct{}             // one slot: more is wanted
}

// reserved is what one read or write may move.
type reserved struct {
	n     int
	way   policy.Way
	epoch int
	day   string
}

// errVolumeClosed: the edge is stopping.
var errVolumeClosed = errors.New("volume is closed")

func openVolume(path string, caps policy.Caps, zone *time.Location, clock func() time.Time) (*volume, error) {
	v := &volume{caps: caps, zone: zone, path: path, clock: clock, lease: leaseSize}
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if data != nil {
		if v.state, err = policy.ParseVolume(data); err != nil {
			return nil, fmt.Errorf("%s is damaged; delete it to count this month from zero again: %w", path, err)
		}
		v.state = v.state.Lose()
	}
	v.period = v.caps.Period(v.now())
	return v, nil
}

// now is the time where the caps are counted.
func (v *volume) now() time.Time {
	if v.zone == nil {
		return v.clock()
	}
	return v.clock().In(v.zone)
}

// change puts other caps in force, from the next piece of every stream on. The state is counted by days, so that another
// billing day or time zone counts what moved before it. What was leased and not reserved goes back, since it was carved from
// the old caps; on disk it counts as used until the next lease, which is the safe side.
func (v *volume) change(caps policy.Caps, zone *time.Location) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.caps, v.zone = caps, zone
	v.period = caps.Period(v.now())
	v.state.Lease = 0
	v.epoch++
}

// reserve gives up to limit bytes that may be moved one way. The error is a *policy.Denied with cap_day or cap_month when
// a cap is reached, or that of the disk: what cannot be remembered must not flow.
func (v *volume) reserve(way policy.Way, limit int) (reserved, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return reserved{}, errVolumeClosed
	}
	now := v.now()
	v.turnLocked(now)
	moved := v.movedLocked()
	allowed, err := v.allowedLocked(moved)
	if err != nil {
		return reserved{}, err
	}
	n := min(int64(limit), v.state.Lease, v.caps.Left(moved, v.period, way), allowed)
	if n <= 0 {
		next, got, err := v.caps.Lease(v.state, v.period, way, min(v.leaseLocked(now, way), allowed))
		if err != nil {
			return reserved{}, err
		}
		before := v.state
		v.state = next
		if err := v.store(); err != nil {
			v.state = before
			return reserved{}, err
		}
		// What runs was stored with its way: were it to return to this lease, it could go the other way, and a crash would
		// remember it on the wrong one.
		v.epoch++
		v.leased = now
		n = min(int64(limit), got)
	}
	v.state.Take(way, n)
	return reserved{int(n), way, v.epoch, v.state.Days[len(v.state.Days)-1].Date}, nil
}

// turnLocked begins the day that now is in.
func (v *volume) turnLocked(now time.Time) {
	if now.Before(v.period.DayEnds) {
		return
	}
	v.period = v.caps.Period(now)
	v.epoch++
	v.state.Lease = 0 // the old day's rest stays with the old day: a lease is not spent in another period
}

// movedLocked is the state without the lease: all of it moved, or is about to.
func (v *volume) movedLocked() policy.Volume { return policy.Volume{Days: v.state.Days} }

// leaseLocked is how much to carve now, by how long the lease before lasted.
func (v *volume) leaseLocked(now time.Time, way policy.Way) int64 {
	switch lasted := now.Sub(v.leased); {
	case v.leased.IsZero():
	case lasted < leaseShort:
		v.lease = min(2*v.lease, maxLease)
	case lasted > leaseLong:
		v.lease = max(v.lease/2, leaseSize)
	}
	return max(minLease, min(v.lease, v.caps.Left(v.state, v.period, way)/leaseShare))
}

// settle returns what was reserved and did not move: to its lease, or after that to the count of its day.
func (v *volume) settle(r reserved, moved int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	unused := int64(r.n - moved)
	switch {
	case unused == 0 || v.closed:
	case r.epoch == v.epoch:
		v.state.Take(r.way, -unused)
	default:
		v.state.Move(r.day, r.way, -unused)
	}
}

// share puts in force how far this device may go in its household, and nil that it is in none.
func (v *volume) share(allow *accounting.HouseholdVolume) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kin = allow
	if allow == nil {
		return
	}
	moved := v.movedLocked()
	halfway := func(used, allowed int64) int64 { return used + (allowed-used)/2 }
	v.half = accounting.HouseholdVolume{
		DayBytes:   halfway(moved.Since(v.period.Day).Total(), allow.DayBytes),
		MonthBytes: halfway(moved.Since(v.period.Month).Total(), allow.MonthBytes),
	}
}

// allowedLocked is how much the household still allows this device. It speaks of one day and one month: in the next ones
// nothing is allowed before the hub has said how much.
func (v *volume) allowedLocked(moved policy.Volume) (int64, error) {
	if v.kin == nil {
		return math.MaxInt64, nil
	}
	left := int64(math.MaxInt64)
	for _, c := range []struct {
		rule, told, period   string
		allowed, half, moved int64
	}{
		{"cap_month", v.kin.Month, v.period.Month, v.kin.MonthBytes, v.half.MonthBytes, moved.Since(v.period.Month).Total()},
		{"cap_day", v.kin.Day, v.period.Day, v.kin.DayBytes, v.half.DayBytes, moved.Since(v.period.Day).Total()},
	} {
		if c.told == c.period && c.allowed < 0 {
			continue // the household has no such cap
		}
		if c.told != c.period || c.moved >= c.half {
			select {
			case v.low <- struct{}{}:
			default: // it is known
			}
		}
		if c.told != c.period || c.moved >= c.allowed {
			return 0, &policy.Denied{Rule: c.rule, Detail: "the devices of this household have used what they may together, or the hub has not said how much is left"}
		}
		left = min(left, c.allowed-c.moved)
	}
	return left, nil
}

// wants tells whether this device is low: it has used half of what the household allows it, or the hub has not said how much
// that is.
func (v *volume) wants() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.kin == nil {
		return false
	}
	moved := v.movedLocked()
	low := func(told, period string, allowed, half int64) bool {
		return told != period || allowed >= 0 && moved.Since(period).Total() >= half
	}
	return low(v.kin.Day, v.period.Day, v.kin.DayBytes, v.half.DayBytes) ||
		low(v.kin.Month, v.period.Month, v.kin.MonthBytes, v.half.MonthBytes)
}

// dayEnds is when the day that is counted is over.
func (v *volume) dayEnds() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.period.DayEnds
}

// tally is what counts against the caps, and the caps.
type tally struct {
	caps       policy.Caps
	period     policy.Period
	day, month policy.Day
}

func (v *volume) used() tally {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.turnLocked(v.now())
	moved := v.movedLocked()
	open := v.caps.Open(moved, v.period)
	return tally{v.caps, open, moved.Since(open.Day), moved.Since(open.Month)}
}

// room is how many bytes new streams may hope for. The error says which cap is reached, or so nearly that the rest is for
// those that run.
func (v *volume) room() (int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.turnLocked(v.now())
	moved := v.movedLocked()
	allowed, err := v.allowedLocked(moved)
	if err != nil {
		return 0, err
	}
	room, err := v.caps.Room(moved, v.period)
	return min(room, allowed), err
}

// close returns the rest of the lease and ends all reserving. It follows the last stream.
func (v *volume) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	if len(v.state.Days) == 0 {
		return nil
	}
	v.state.Lease = 0
	return v.store()
}

func (v *volume) store() error {
	data, err := json.Marshal(v.state)
	if err != nil {
		return fmt.Errorf("encode volume: %w", err)
	}
	return writeFile(v.path, append(data, '\n'))
}
