package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

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

	mu      sync.Mutex
	caps    policy.Caps
	state   policy.Volume // as on disk: every lease counted as used
	held    int64         // of the current lease, not reserved by anybody
	lease   int64         // size of the next lease
	leased  time.Time     // when the current one was taken
	dayEnds time.Time     // when the lease's period is over; looked at for each piece, so not as text
	epoch   int           // counts leases' periods: a reservation returns only to its own
	closed  bool
}

// errVolumeClosed: the edge is stopping.
var errVolumeClosed = errors.New("volume is closed")

func openVolume(path string, caps policy.Caps, clock func() time.Time) (*volume, error) {
	v := &volume{caps: caps, path: path, clock: clock, lease: leaseSize}
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if data != nil {
		if err := json.Unmarshal(data, &v.state); err != nil || !v.sound() {
			return nil, fmt.Errorf("%s is damaged; delete it to count this month from zero again", path)
		}
	}
	return v, nil
}

func (v *volume) sound() bool {
	_, day := time.Parse(time.DateOnly, v.state.Day)
	_, month := time.Parse("2006-01", v.state.Month)
	return day == nil && month == nil && v.state.DayUsed >= 0 && v.state.MonthUsed >= 0
}

// reserve gives up to max bytes that may be moved, and the epoch to return the unused part under. The error is a
// *policy.Denied with cap_day or cap_month when a cap is reached, or that of the disk: what cannot be remembered
// must not flow.
func (v *volume) reserve(limit int) (n, epoch int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return 0, 0, errVolumeClosed
	}
	now := v.clock()
	if !now.Before(v.dayEnds) {
		// The old day's rest stays with the old day: a lease must not be spent in another period.
		v.held = 0
		v.epoch++
	}
	if v.held == 0 {
		next, got, err := v.caps.Lease(v.state, now, v.leaseLocked(now))
		if err != nil {
			return 0, 0, err
		}
		if err := v.store(next); err != nil {
			return 0, 0, err
		}
		v.held, v.dayEnds, v.leased = got, midnightAfter(now), now
	}
	n = int(min(int64(limit), v.held))
	v.held -= int64(n)
	return n, v.epoch, nil
}

// leaseLocked is how much to carve now, by how long the lease before lasted.
func (v *volume) leaseLocked(now time.Time) int64 {
	switch lasted := now.Sub(v.leased); {
	case v.leased.IsZero():
	case lasted < leaseShort:
		v.lease = min(2*v.lease, maxLease)
	case lasted > leaseLong:
		v.lease = max(v.lease/2, leaseSize)
	}
	return max(leaseSize, min(v.lease, v.caps.Room(v.state.At(now), now)/leaseShare))
}

// midnightAfter is the start of the next day on t's own calendar, also where that is not 24 hours away.
func midnightAfter(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, t.Location())
}

// giveBack returns what was reserved and did not move.
func (v *volume) giveBack(epoch, unused int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if epoch == v.epoch && !v.closed {
		v.held += int64(unused)
	}
}

// setCaps puts other caps in force. What was leased and not reserved goes back first: it was carved from the old ones.
func (v *volume) setCaps(caps policy.Caps) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.caps = caps
	v.state = v.state.Return(v.state, v.held) // on disk the lease counts as used until the next one: the safe side
	v.held = 0
	v.epoch++
}

// used is what counts against the caps now, without the part of a lease that nobody has reserved.
func (v *volume) used() policy.Volume {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.state.At(v.clock())
	return now.Return(v.state, v.held)
}

// room is how many bytes the caps still allow.
func (v *volume) room() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.clock()
	return v.caps.Room(v.state.At(now).Return(v.state, v.held), now)
}

// check says which cap is reached, or nil.
func (v *volume) check() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.clock()
	_, _, err := v.caps.Lease(v.state.At(now).Return(v.state, v.held), now, 1)
	return err
}

// close returns the rest of the lease and ends all reserving. It follows the last stream.
func (v *volume) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	if v.held == 0 {
		return nil
	}
	return v.store(v.state.Return(v.state, v.held))
}

func (v *volume) store(next policy.Volume) error {
	data, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode volume: %w", err)
	}
	if err := writeFile(v.path, append(data, '\n')); err != nil {
		return err
	}
	v.state = next
	return nil
}
