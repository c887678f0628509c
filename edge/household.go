package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/identity"
)

const (
	householdFile = "household.json"

	// An edge asks about its home every householdEvery: the hub knows by that who is behind one line. While an invitation
	// waits for its answer it is householdSoon, because a person waits too.
	householdEvery = 10 * time.Minute
	householdSoon  = 15 * time.Second
	// A device that runs low asks at once, and one that was given nothing then waits a while.
	householdPause = 2 * time.Second
	householdEmpty = time.Minute
)

// kin is what this edge knows of the other devices behind its line.
type kin struct {
	path string
	wake chan struct{} // one slot: the allowance runs low, or the owner's caps have changed

	asking sync.Mutex // one call at a time, so that answers take effect in their order; before mu and adopting

	adopting sync.Mutex // the terms do not change between being read and being put in force

	mu   sync.Mutex
	last known // on disk too
}

// known is the hub's last answer, and whether the owner has invited or agreed on this very device. Without that the hub may
// lower what is allowed here and not say when a month begins: a new one each day would let a month's cap pass each day.
type known struct {
	accounting.HouseholdAnswer

	Joined bool `json:"joined,omitempty"`
}

// after is what is known after the hub's answer to act.
func (k known) after(act string, answer accounting.HouseholdAnswer) known {
	joined := k.Joined || act == accounting.HouseholdInvite || act == accounting.HouseholdAgree
	return known{answer, joined && act != accounting.HouseholdLeave && answer.Name != ""}
}

func (e *Edge) household() known {
	if !e.isOpen() {
		return known{}
	}
	e.kin.mu.Lock()
	defer e.kin.mu.Unlock()
	return e.kin.last
}

// openKin reads what was known. A device that shares a cap starts with nothing allowed, until the hub has said how far it
// may go: the others may have used it meanwhile.
func openKin(dir string, v *volume) (*kin, error) {
	k := &kin{path: filepath.Join(dir, householdFile), wake: make(chan struct{}, 1)}
	data, err := readFile(k.path)
	if err != nil {
		return nil, err
	}
	if data != nil {
		if err := json.Unmarshal(data, &k.last); err != nil {
			return nil, fmt.Errorf("%s is damaged; delete it if this is the only device that shares your line", k.path)
		}
	}
	v.low = k.wake
	if k.last.Name != "" && k.last.Agreed {
		v.share(&accounting.HouseholdVolume{})
	}
	return k, nil
}

// Household is what the hub last said of the devices behind this line.
func (e *Edge) Household() accounting.HouseholdAnswer { return e.household().HouseholdAnswer }

// HouseholdAct does what the owner wants about the other devices: accounting.HouseholdInvite with one of them,
// HouseholdAgree or HouseholdLeave, or with an empty act just asks again.
func (e *Edge) HouseholdAct(ctx context.Context, act string, with identity.ID) error {
	if !e.isOpen() {
		return errNotRunning
	}
	defer e.kin.poke() // so that what the other device does about it is heard soon
	return e.askHousehold(ctx, act, with)
}

// keepHousehold asks about the home from time to time, and whenever the allowance runs low. Without the owner's agreement
// the hub hears nothing of this edge.
func (e *Edge) keepHousehold(ctx context.Context) error {
	if err := e.waitForConsent(ctx); err != nil {
		return nil //nolint:nilerr // the edge was stopped before its owner agreed
	}
	for ctx.Err() == nil {
		before, wanted := e.Household().Allow, e.volume.wants()
		err := e.askHousehold(ctx, "", identity.ID{})
		e.note(ctx, "the hub does not tell about the household", err)
		pause := householdPause
		after := e.Household()
		nothing := wanted && before != nil && after.Allow != nil && *before == *after.Allow
		if err != nil && after.Name != "" || nothing && !waits(after) {
			pause = householdEmpty
		}
		sleep(ctx, pause)
		timer := time.NewTimer(e.householdWait(err) - pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-e.kin.wake:
		}
		timer.Stop()
	}
	return nil
}

// householdWait is when to ask again unasked: soon where an invitation is open, and when a new day begins.
func (e *Edge) householdWait(err error) time.Duration {
	h := e.Household()
	wait := householdEvery
	if err != nil && h.Name != "" {
		wait = householdEmpty
	}
	if waits(h) {
		wait = householdSoon
	}
	if h.Allow != nil {
		wait = min(wait, max(e.volume.dayEnds().Sub(e.cfg.Clock()), 0)+time.Second)
	}
	return wait
}

// poke has the hub asked soon.
func (k *kin) poke() {
	select {
	case k.wake <- struct{}{}:
	default: // it is due already
	}
}

// waits tells whether somebody has yet to answer an invitation.
func waits(h accounting.HouseholdAnswer) bool {
	return slices.ContainsFunc(h.Members, func(m accounting.HouseholdMember) bool { return !m.Agreed })
}

// askHousehold is one call, and what follows from its answer.
func (e *Edge) askHousehold(ctx context.Context, act string, with identity.ID) error {
	t := e.terms()
	call := accounting.HouseholdCall{Act: act, With: with, Caps: accounting.HouseholdCaps{
		Day: int64(t.Caps.Day), Month: int64(t.Caps.Month), BillingDay: t.Caps.BillingDay, Zone: zoneName(t.zone, e.cfg.Clock()),
	}}
	e.kin.asking.Lock()
	defer e.kin.asking.Unlock()
	next := e.household()
	for range 2 { // again where the household counts by another calendar than this device did
		used := e.volume.used()
		call.Used = accounting.HouseholdVolume{
			Day: used.period.Day, DayBytes: used.day.Total(), Month: used.period.Month, MonthBytes: used.month.Total(),
		}
		answer, err := e.cfg.Hub.Household(ctx, call)
		if err != nil {
			return err
		}
		next = next.after(call.Act, answer)
		call.Act = ""
		if !e.adoptCalendar(next) {
			break
		}
	}
	data, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode household: %w", err)
	}
	if err := writeFile(e.kin.path, append(data, '\n')); err != nil {
		return err
	}
	e.kin.mu.Lock()
	e.kin.last = next
	e.kin.mu.Unlock()
	e.volume.share(next.Allow)
	e.announce()
	return nil
}

// adoptCalendar counts by the household's days and months, or by this device's own again; it tells whether that is another
// calendar than before.
func (e *Edge) adoptCalendar(answer known) bool {
	e.kin.adopting.Lock()
	defer e.kin.adopting.Unlock()
	t := e.terms()
	caps, zone := t.Caps.Policy(), t.zone
	if answer.Joined && answer.Name != "" && answer.Agreed {
		caps.BillingDay = answer.Caps.BillingDay
		zone = time.UTC
		if there, err := time.LoadLocation(answer.Caps.Zone); err == nil && answer.Caps.Zone != "" {
			zone = there
		}
	}
	before := e.volume.used().period
	e.volume.change(caps, zone)
	after := e.volume.used().period
	return before.Day != after.Day || before.Month != after.Month
}

// zoneName is the name of the time zone where the caps are counted: of the machine's own where the owner named none, which
// the system tells by name or, on some, not at all.
func zoneName(zone *time.Location, now time.Time) string {
	if zone == nil {
		zone = now.Location()
	}
	if name := zone.String(); name != "Local" {
		return name
	}
	return ""
}
