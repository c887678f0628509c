// Package household is the hub's knowledge of homes with several devices: who is behind one line, and how the devices of
// one owner share one cap.
//
// The hub sees from which address each edge calls, and shows an owner the other devices that call from theirs. The owner
// invites one and agrees on the other: nobody is joined by an address alone, which a carrier may give to a whole street.
// From then on the smallest of the devices' caps holds for all of them together.
//
// It is kept by allowances. The hub tells each device how far it may go in the running day and month, as a total, and the
// allowances of all devices never add up to more than the cap (share.go). So no moment and no crash passes it, whatever the
// devices do at once; a device that is away keeps what it was allowed and harms nobody, and one that loses the hub goes on
// to the end of its allowance. What is allowed is on disk before it is told.
package household

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sward/accounting"
	"sward/internal/daemon"
	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	maxDevices = 16      // of one household
	maxHomes   = 100_000 // each is a small file
	fileEnding = ".json"

	// refusalLife is how long a household that was turned down cannot ask the same device again.
	refusalLife = 24 * time.Hour
)

// Config is where households are kept.
type Config struct {
	Dir   string
	Clock func() time.Time
	Log   *slog.Logger
}

// Store is the households of a hub.
type Store struct {
	cfg Config

	mu      sync.Mutex
	homes   map[string]*home      // by name
	of      map[identity.ID]*home // of each device, invited ones too
	near    sightings
	refused map[refusal]time.Time
}

// refusal is an invitation that was turned down.
type refusal struct {
	home   string
	device identity.ID
}

// home is one household, as it is on disk.
type home struct {
	Name    string                     `json:"name"`
	Devices []*device                  `json:"devices"` // the one that began it first
	Left    accounting.HouseholdVolume `json:"left"`    // what devices that have left had used
}

type device struct {
	ID     identity.ID                `json:"id"`
	From   identity.ID                `json:"from,omitzero"` // who invited it
	Agreed bool                       `json:"agreed"`
	Seen   time.Time                  `json:"seen"`
	Caps   accounting.HouseholdCaps   `json:"caps"`
	Used   accounting.HouseholdVolume `json:"used"`
	Allow  accounting.HouseholdVolume `json:"allow"`
	Bound  bool                       `json:"bound"` // it has been told that it shares
}

// Open reads the households in cfg.Dir. A file that is damaged stops it: a cap must not be forgotten.
func Open(cfg Config) (*Store, error) {
	s := &Store{
		cfg: cfg, homes: map[string]*home{}, of: map[identity.ID]*home{},
		near: sightings{at: map[identity.ID]sighting{}, by: map[netip.Prefix][]identity.ID{}}, refused: map[refusal]time.Time{},
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("households: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "*"+fileEnding))
	if err != nil {
		return nil, fmt.Errorf("households: %w", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("households: %w", err)
		}
		h := &home{}
		if err := json.Unmarshal(data, h); err != nil || h.Name+fileEnding != filepath.Base(name) || len(h.Devices) == 0 {
			return nil, fmt.Errorf("households: %s is damaged; delete it to take that household apart", name)
		}
		s.homes[h.Name] = h
		for _, d := range h.Devices {
			s.of[d.ID] = h
		}
	}
	return s, nil
}

// Call answers one edge: it notes where the edge is and what it used, does what its owner wants, and says what holds.
func (s *Store) Call(edge identity.ID, from netip.Addr, call accounting.HouseholdCall) (accounting.HouseholdAnswer, error) {
	if err := check(call); err != nil {
		return accounting.HouseholdAnswer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock()
	s.near.note(edge, from, now)
	if err := s.actLocked(edge, call, now); err != nil {
		return accounting.HouseholdAnswer{}, err
	}
	h := s.of[edge]
	if h == nil {
		return accounting.HouseholdAnswer{Near: s.strangersLocked(edge, now)}, nil
	}
	d := h.device(edge)
	before := *d
	d.Caps, d.Seen = call.Caps, now
	if d.Agreed {
		d.Bound = len(h.agreed()) > 1
		h.share(d, call, now)
	}
	if d.Caps != before.Caps || d.Allow != before.Allow || d.Bound != before.Bound {
		if err := s.storeLocked(h); err != nil {
			*d = before // what is not on disk was not allowed
			return accounting.HouseholdAnswer{}, err
		}
	}
	return s.answerLocked(h, d, now), nil
}

// Kin are the devices that share an edge's household, itself included, or nobody.
func (s *Store) Kin(edge identity.ID) []identity.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.of[edge]
	if h == nil || !h.device(edge).Agreed {
		return nil
	}
	var kin []identity.ID
	for _, d := range h.agreed() {
		kin = append(kin, d.ID)
	}
	return kin
}

func check(call accounting.HouseholdCall) error {
	c, u := call.Caps, call.Used
	switch {
	case c.Day < 0 || c.Month < 0 || u.DayBytes < 0 || u.MonthBytes < 0:
		return wire.Errorf(wire.BadRequest, "a number of bytes is not negative")
	case c.BillingDay < 0 || c.BillingDay > 31:
		return wire.Errorf(wire.BadRequest, "%d is no day of a month", c.BillingDay)
	case len(c.Zone) > maxZone || len(u.Day) > len(time.DateOnly) || len(u.Month) > len(time.DateOnly):
		return wire.Errorf(wire.BadRequest, "a name is too long")
	}
	return nil
}

// actLocked does what an owner wants.
func (s *Store) actLocked(edge identity.ID, call accounting.HouseholdCall, now time.Time) error {
	switch call.Act {
	case "":
		return nil
	case accounting.HouseholdInvite:
		return s.inviteLocked(edge, call.With, now)
	case accounting.HouseholdAgree:
		return s.agreeLocked(edge, now)
	case accounting.HouseholdLeave:
		return s.leaveLocked(edge, now)
	}
	return wire.Errorf(wire.BadRequest, "%.20q is nothing that can be done about a household", call.Act)
}

func (s *Store) inviteLocked(edge, with identity.ID, now time.Time) error {
	h := s.of[edge]
	switch {
	case h != nil && !h.device(edge).Agreed:
		return wire.Errorf(wire.BadRequest, "this device is itself invited: agree or leave first")
	case s.of[with] != nil && s.of[with] == h:
		return nil // twice is once
	case s.of[with] != nil, !s.near.together(edge, with, now):
		return wire.Errorf(wire.BadRequest, "no such device is behind this address")
	case h != nil && len(h.Devices) >= maxDevices:
		return wire.Errorf(wire.BadRequest, "a household has %d devices at most", maxDevices)
	case h != nil && now.Before(s.refused[refusal{h.Name, with}]):
		return wire.Errorf(wire.BadRequest, "that device has said no; ask again tomorrow")
	case h == nil && len(s.homes) >= maxHomes:
		return wire.Errorf(wire.BadRequest, "the hub takes no more households")
	}
	if h == nil {
		h = &home{Name: strings.ToLower(rand.Text()[:16]), Devices: []*device{{ID: edge, Agreed: true, Seen: now}}}
	}
	h.Devices = append(h.Devices, &device{ID: with, From: edge, Seen: now})
	if err := s.storeLocked(h); err != nil {
		h.Devices = h.Devices[:len(h.Devices)-1]
		return err
	}
	s.homes[h.Name], s.of[edge], s.of[with] = h, h, h
	return nil
}

func (s *Store) agreeLocked(edge identity.ID, now time.Time) error {
	h := s.of[edge]
	if h == nil {
		return wire.Errorf(wire.BadRequest, "nobody has invited this device")
	}
	d := h.device(edge)
	if d.Agreed {
		return nil
	}
	if !s.near.together(edge, d.From, now) {
		return wire.Errorf(wire.BadRequest, "the device that invited is not behind this address any more")
	}
	d.Agreed = true
	if err := s.storeLocked(h); err != nil {
		d.Agreed = false
		return err
	}
	return nil
}

// leaveLocked takes a device out. What it used stays counted: the line has carried it.
func (s *Store) leaveLocked(edge identity.ID, now time.Time) error {
	h := s.of[edge]
	if h == nil {
		return nil
	}
	d, p := h.device(edge), h.period(now)
	if !d.Agreed {
		s.refuseLocked(h.Name, edge, now)
	}
	next := *h
	carried, allowed := in(d.Used, p), in(d.Allow, p) // it may have used all that it was allowed, and told of less
	next.Left = add(in(h.Left, p), accounting.HouseholdVolume{
		Day: p.Day, DayBytes: max(carried.DayBytes, allowed.DayBytes), Month: p.Month, MonthBytes: max(carried.MonthBytes, allowed.MonthBytes),
	})
	next.Devices = slices.DeleteFunc(slices.Clone(h.Devices), func(other *device) bool { return other == d })
	if len(next.Devices) <= 1 {
		if err := os.Remove(s.path(h)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("take a household apart: %w", err)
		}
		for _, other := range h.Devices {
			delete(s.of, other.ID)
		}
		delete(s.homes, h.Name)
		return nil
	}
	if err := s.storeLocked(&next); err != nil {
		return err
	}
	*h = next
	delete(s.of, edge)
	return nil
}

func (s *Store) refuseLocked(home string, device identity.ID, now time.Time) {
	for r, until := range s.refused {
		if now.After(until) {
			delete(s.refused, r)
		}
	}
	if len(s.refused) < maxHomes {
		s.refused[refusal{home, device}] = now.Add(refusalLife)
	}
}

// strangersLocked are the devices near an edge that are in no household: its owner may know them.
func (s *Store) strangersLocked(edge identity.ID, now time.Time) []identity.ID {
	found := []identity.ID{}
	for _, id := range s.near.beside(edge, now) {
		if s.of[id] == nil && len(found) < maxDevices {
			found = append(found, id)
		}
	}
	slices.SortFunc(found, func(a, b identity.ID) int { return bytes.Compare(a[:], b[:]) })
	return found
}

func (s *Store) answerLocked(h *home, d *device, now time.Time) accounting.HouseholdAnswer {
	p := h.period(now)
	a := accounting.HouseholdAnswer{
		Near: []identity.ID{}, Name: h.Name, Agreed: d.Agreed, From: d.From, Caps: h.caps(), Used: in(h.Left, p),
	}
	for _, other := range h.Devices {
		used := in(other.Used, p)
		a.Used = add(a.Used, used)
		a.Members = append(a.Members, accounting.HouseholdMember{
			ID: other.ID, Agreed: other.Agreed, Seen: other.Seen, Used: used,
			Here: other == d || s.near.together(d.ID, other.ID, now),
		})
	}
	if d.Agreed {
		a.Near = s.strangersLocked(d.ID, now)
		if d.Bound {
			allow := d.Allow
			a.Allow = &allow
		}
	}
	return a
}

func (s *Store) path(h *home) string { return filepath.Join(s.cfg.Dir, h.Name+fileEnding) }

func (s *Store) storeLocked(h *home) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode household: %w", err)
	}
	return daemon.WriteFile(s.path(h), append(data, '\n'), 0o600)
}

func (h *home) device(id identity.ID) *device {
	for _, d := range h.Devices {
		if d.ID == id {
			return d
		}
	}
	return nil
}

// agreed are the devices whose owner has said yes, there too.
func (h *home) agreed() []*device {
	var all []*device
	for _, d := range h.Devices {
		if d.Agreed {
			all = append(all, d)
		}
	}
	return all
}
