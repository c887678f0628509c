package household

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/identity"
	"sward/internal/wire"
)

var (
	house  = netip.MustParseAddr("203.0.113.7")
	street = netip.MustParseAddr("203.0.113.8")
)

// town is a store with a clock that the test turns.
type town struct {
	*Store
	t   *testing.T
	dir string
	now time.Time
}

func newTown(t *testing.T) *town {
	w := &town{t: t, dir: t.TempDir(), now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	w.reopen()
	return w
}

func (w *town) reopen() {
	w.t.Helper()
	s, err := Open(Config{Dir: w.dir, Clock: func() time.Time { return w.now }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Store = s
}

func (w *town) call(d identity.ID, from netip.Addr, c accounting.HouseholdCall) accounting.HouseholdAnswer {
	w.t.Helper()
	a, err := w.Call(d, from, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *town) refused(d identity.ID, from netip.Addr, c accounting.HouseholdCall) {
	w.t.Helper()
	if _, err := w.Call(d, from, c); wire.CodeOf(err) != wire.BadRequest {
		w.t.Errorf("%s by %s: got %v, want it refused", c.Act, d, err)
	}
}

func newDevice(t *testing.T) identity.ID {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k.ID()
}

func act(what string, with ...identity.ID) accounting.HouseholdCall {
	c := accounting.HouseholdCall{Act: what}
	if len(with) > 0 {
		c.With = with[0]
	}
	return c
}

func TestDevicesJoinByTheOwnersWordOnBoth(t *testing.T) {
	w := newTown(t)
	a, b, far := newDevice(t), newDevice(t), newDevice(t)
	w.call(a, house, act(""))
	w.call(far, street, act(""))
	if got := w.call(b, house, act("")).Near; len(got) != 1 || got[0] != a {
		t.Fatalf("near: %v, want the other device of the house and not that of the street", got)
	}
	w.refused(a, house, act(accounting.HouseholdInvite, far))
	w.refused(a, house, act(accounting.HouseholdInvite, a))
	w.refused(b, house, act(accounting.HouseholdAgree))
	w.call(a, house, act(accounting.HouseholdInvite, b))
	if kin := w.Kin(b); kin != nil {
		t.Errorf("an invitation alone makes kin of %v", kin)
	}
	if got := w.call(b, house, act("")); got.Agreed || got.From != a || got.Allow != nil {
		t.Errorf("an invited device hears %+v", got)
	}
	w.reopen()
	w.call(a, house, act(""))
	w.refused(b, street, act(accounting.HouseholdAgree)) // it has moved away meanwhile
	if got := w.call(b, house, act(accounting.HouseholdAgree)); !got.Agreed || len(got.Members) != 2 {
		t.Errorf("after agreeing: %+v", got)
	}
	w.reopen()
	if kin := w.Kin(a); len(kin) != 2 {
		t.Errorf("after a restart the household has %d devices, want 2", len(kin))
	}
	w.call(b, house, act(accounting.HouseholdLeave))
	w.reopen()
	if kin := w.Kin(a); kin != nil {
		t.Errorf("a device that left is still kin of %v", kin)
	}
}

func TestRefusedInvitationIsNotRepeated(t *testing.T) {
	w := newTown(t)
	a, b, c := newDevice(t), newDevice(t), newDevice(t)
	for _, d := range []identity.ID{a, b, c} {
		w.call(d, house, act(""))
	}
	w.call(a, house, act(accounting.HouseholdInvite, c)) // so that the household stays when b says no
	w.call(c, house, act(accounting.HouseholdAgree))
	w.call(a, house, act(accounting.HouseholdInvite, b))
	w.call(b, house, act(accounting.HouseholdLeave))
	w.refused(a, house, act(accounting.HouseholdInvite, b))
	w.now = w.now.Add(refusalLife + time.Minute)
	w.call(b, house, act(""))
	w.call(a, house, act(accounting.HouseholdInvite, b))
}

func TestNeighboursOfOneIPv6LineAreOfOneSlash64(t *testing.T) {
	w := newTown(t)
	a, b, c := newDevice(t), newDevice(t), newDevice(t)
	w.call(a, netip.MustParseAddr("2001:db8:1:1::5"), act(""))
	w.call(b, netip.MustParseAddr("2001:db8:1:2::5"), act(""))
	if got := w.call(c, netip.MustParseAddr("2001:db8:1:1::6"), act("")).Near; len(got) != 1 || got[0] != a {
		t.Errorf("near: %v, want the one in the same /64", got)
	}
}

// family is devices that use what they are allowed as a program of an edge would.
type family struct {
	w       *town
	devices []identity.ID
	caps    map[identity.ID]accounting.HouseholdCaps
	used    map[identity.ID]*accounting.HouseholdVolume
	allow   map[identity.ID]accounting.HouseholdVolume
}

func newFamily(w *town, caps ...accounting.HouseholdCaps) *family {
	f := &family{
		w: w, caps: map[identity.ID]accounting.HouseholdCaps{}, used: map[identity.ID]*accounting.HouseholdVolume{},
		allow: map[identity.ID]accounting.HouseholdVolume{},
	}
	for i, c := range caps {
		d := newDevice(w.t)
		f.devices, f.caps[d], f.used[d] = append(f.devices, d), c, &accounting.HouseholdVolume{}
		f.ask(d, "")
		if i > 0 {
			f.ask(f.devices[0], accounting.HouseholdInvite, d)
			f.ask(d, accounting.HouseholdAgree)
		}
	}
	f.ask(f.devices[0], "")
	return f
}

func (f *family) ask(d identity.ID, what string, with ...identity.ID) accounting.HouseholdAnswer {
	f.w.t.Helper()
	c := act(what, with...)
	c.Caps, c.Used = f.caps[d], *f.used[d]
	answer := f.w.call(d, house, c)
	if answer.Allow != nil {
		f.allow[d] = *answer.Allow
	}
	return answer
}

// use moves up to n bytes, as far as the device is allowed to in the period of today.
func (f *family) use(d identity.ID, n int64) int64 {
	today, month := f.w.now.Format(time.DateOnly), f.w.now.Format("2006-01")+"-01"
	u, a := f.used[d], f.allow[d]
	if u.Day != today {
		u.Day, u.DayBytes = today, 0
	}
	if u.Month != month {
		u.Month, u.MonthBytes = month, 0
	}
	room := func(allowed, used int64, same bool) int64 {
		switch {
		case !same:
			return 0
		case allowed == Unlimited:
			return n
		}
		return max(allowed-used, 0)
	}
	n = min(n, room(a.DayBytes, u.DayBytes, a.Day == today), room(a.MonthBytes, u.MonthBytes, a.Month == month))
	u.DayBytes, u.MonthBytes = u.DayBytes+n, u.MonthBytes+n
	return n
}

func (f *family) total(of func(accounting.HouseholdVolume) int64) (sum int64) {
	for _, d := range f.devices {
		sum += of(*f.used[d])
	}
	return sum
}

const gb = 1_000_000_000

func TestHouseholdNeverPassesItsCap(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			w := newTown(t)
			f := newFamily(w,
				accounting.HouseholdCaps{Day: 10 * gb, Month: 60 * gb, Zone: "UTC"},
				accounting.HouseholdCaps{Day: 4 * gb, Month: 100 * gb, Zone: "Asia/Tokyo"},
				accounting.HouseholdCaps{Month: 50 * gb})
			for range 1200 {
				d := f.devices[rnd.IntN(len(f.devices))]
				switch rnd.IntN(40) {
				case 0:
					w.now = w.now.Add(time.Duration(rnd.IntN(120)) * time.Minute)
				case 1:
					w.reopen() // a crash of the hub
				case 2:
					*f.used[d] = accounting.HouseholdVolume{Day: f.used[d].Day, Month: f.used[d].Month, DayBytes: f.used[d].DayBytes, MonthBytes: f.used[d].MonthBytes}
					delete(f.allow, d) // a crash of the device: it knows what it used, and not how far it may go
				default:
					f.ask(d, "")
					f.use(d, rnd.Int64N(400<<20))
				}
				today, month := w.now.Format(time.DateOnly), w.now.Format("2006-01")+"-01"
				day := f.total(func(v accounting.HouseholdVolume) int64 {
					if v.Day != today {
						return 0
					}
					return v.DayBytes
				})
				months := f.total(func(v accounting.HouseholdVolume) int64 {
					if v.Month != month {
						return 0
					}
					return v.MonthBytes
				})
				if day > 4*gb || months > 50*gb {
					t.Fatalf("%d bytes of %d a day, %d of %d a month", day, 4*gb, months, 50*gb)
				}
			}
		})
	}
}

// A greedy device leaves the others their share, and a device that is away leaves it to those who are there.
func TestShareIsFairAndNothingIsLeftOver(t *testing.T) {
	w := newTown(t)
	caps := accounting.HouseholdCaps{Day: 9 * gb, Zone: "UTC"}
	f := newFamily(w, caps, caps, caps)
	greedy, second, third := f.devices[0], f.devices[1], f.devices[2]
	w.now = time.Date(2026, 3, 2, 0, 0, 1, 0, time.UTC)
	for range 250 {
		f.ask(greedy, "")
		f.use(greedy, 50<<20)
	}
	if got := f.used[greedy].DayBytes; got < 3*gb*9/10 || got > 3*gb*11/10 {
		t.Errorf("at the day's begin one device of three uses %d of %d", got, 9*gb)
	}
	w.now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for range 250 {
		f.ask(second, "")
		f.use(second, 50<<20)
	}
	if got := f.used[second].DayBytes; got < 3*gb {
		t.Errorf("the second device gets %d of the %d that are its share", got, 3*gb)
	}
	w.now = time.Date(2026, 3, 2, 23, 59, 0, 0, time.UTC)
	for range 250 {
		f.ask(third, "")
		f.use(third, 50<<20)
	}
	total := f.total(func(v accounting.HouseholdVolume) int64 { return v.DayBytes })
	if total > 9*gb || total < 9*gb-9*gb/50 {
		t.Errorf("in the end %d of %d are used, want nearly all", total, 9*gb)
	}
}

func TestNothingIsAllowedBeforeAllKnowThatTheyShare(t *testing.T) {
	w := newTown(t)
	a, b := newDevice(t), newDevice(t)
	caps := accounting.HouseholdCaps{Day: gb, Zone: "UTC"}
	say := func(d identity.ID, what string, used int64, with ...identity.ID) accounting.HouseholdAnswer {
		c := act(what, with...)
		c.Caps = caps
		c.Used = accounting.HouseholdVolume{Day: w.now.Format(time.DateOnly), DayBytes: used}
		return w.call(d, house, c)
	}
	say(a, "", 0)
	say(b, "", 0)
	say(a, accounting.HouseholdInvite, 0, b)
	if got := say(b, accounting.HouseholdAgree, 0).Allow; got == nil || got.DayBytes != 0 {
		t.Errorf("b may use %v though a may still use all of its own cap", got)
	}
	if got := say(a, "", gb*9/10).Allow; got == nil || got.DayBytes < gb*9/10 {
		t.Errorf("a may use %v, and has used 0.9 GB", got)
	}
	if got := say(b, "", 0).Allow; got == nil || got.DayBytes > gb/10 {
		t.Errorf("b may use %v of the 0.1 GB that are left", got)
	}
}

// What a device used stays counted when it leaves, also where it had no cap to be allowed under.
func TestWhatALeaverUsedStaysCounted(t *testing.T) {
	w := newTown(t)
	w.now = time.Date(2026, 3, 2, 0, 0, 1, 0, time.UTC)
	free := accounting.HouseholdCaps{Zone: "UTC"}
	f := newFamily(w, free, free, free)
	leaver := f.devices[2]
	f.ask(leaver, "")
	f.use(leaver, gb)
	f.ask(leaver, "")
	f.ask(leaver, accounting.HouseholdLeave)
	if got := f.ask(f.devices[0], "").Used.DayBytes; got != gb {
		t.Errorf("after it left %d bytes are counted, want %d", got, gb)
	}
}

func TestDamagedHouseholdIsNotForgotten(t *testing.T) {
	w := newTown(t)
	newFamily(w, accounting.HouseholdCaps{Day: gb}, accounting.HouseholdCaps{})
	files, err := filepath.Glob(filepath.Join(w.dir, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: w.dir, Clock: time.Now}); err == nil {
		t.Error("a hub starts without a household that it cannot read")
	}
}

func TestBadCallsAreRefused(t *testing.T) {
	w := newTown(t)
	d := newDevice(t)
	for name, c := range map[string]accounting.HouseholdCall{
		"negative": {Used: accounting.HouseholdVolume{DayBytes: -1}}, "act": {Act: "rob"},
		"billing": {Caps: accounting.HouseholdCaps{BillingDay: 32}}, "zone": {Caps: accounting.HouseholdCaps{Zone: string(make([]byte, 65))}},
	} {
		if _, err := w.Call(d, house, c); wire.CodeOf(err) != wire.BadRequest {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
