package edge

import (
	"bytes"
	"context"
	"slices"
	"time"

	"sward/accounting"
	"sward/edge/seal"
	"sward/internal/identity"
	"sward/internal/portmap"
	"sward/internal/wire"
)

// Status is what the owner sees, on the dashboard and in the terminal.
type Status struct {
	Edge    identity.ID `json:"edge"`
	Network string      `json:"network"`
	Agent   string      `json:"agent"`

	Serving     bool      `json:"serving"`       // streams are accepted now
	Why         string    `json:"why,omitempty"` // not serving: the name of the reason (no_consent, paused, out_of_hours, cap_day, cap_month, no_relay)
	Paused      bool      `json:"paused"`
	PausedUntil time.Time `json:"paused_until,omitzero"` // zero: until resumed
	Holds       []Hold    `json:"holds,omitempty"`
	Consent     string    `json:"consent,omitempty"`      // when and how the owner agreed
	BadSettings string    `json:"bad_settings,omitempty"` // what is wrong with the settings file; those of before are in force

	Seal seal.Report `json:"seal"` // the last attack of this edge on its own home

	Mapping portmap.State `json:"mapping"` // of the tunnels' port on the home router

	Relays  []RelayStatus `json:"relays"`
	Streams int           `json:"streams"` // running now

	Lists []string `json:"lists"` // versions behind the categories: the program's, and the hub's where it adds any

	Today Used  `json:"today"`
	Month Used  `json:"month"`
	Sites []Use `json:"sites"` // today, most bytes first

	Points       accounting.Micro `json:"points"`             // at the hub, in millionths
	PointsAt     time.Time        `json:"points_at,omitzero"` // when the hub last said so
	Registered   bool             `json:"registered"`         // the hub knows this edge
	Suspended    string           `json:"suspended,omitempty"`
	Unsubmitted  int              `json:"unsubmitted"`   // receipts the hub has not confirmed yet
	Refusals     []Refusal        `json:"refusals"`      // newest first
	RefusedToday map[string]int   `json:"refused_today"` // by rule
}

// RelayStatus is one relay as this edge sees it.
type RelayStatus struct {
	ID        identity.ID `json:"id"`
	Addr      string      `json:"addr"`
	Region    string      `json:"region,omitempty"`
	Connected bool        `json:"connected"`
	Since     time.Time   `json:"since,omitzero"`
	Problem   string      `json:"problem,omitempty"` // why not connected
}

// Reasons of Status.Why that are not codes of the protocol.
const (
	whyNoRelay  = "no_relay"
	whyStarting = "starting"
)

// Reason is why nothing is shared now, in words; empty while sharing.
func (s Status) Reason() string {
	switch s.Why {
	case whyNoRelay:
		return "no relay is connected"
	case whyStarting:
		return "the edge is starting"
	}
	for _, h := range s.Holds {
		if h.Name == s.Why {
			return h.Text
		}
	}
	return meaning(s.Why)
}

// Meaning is what the rule of a refusal says, in words.
func (r Refusal) Meaning() string { return meaning(r.Rule) }

func meaning(rule string) string {
	if code, ok := wire.CodeByName(rule); ok {
		return code.Meaning()
	}
	return rule
}

// Status looks at everything the owner may want to know.
func (e *Edge) Status(context.Context) Status {
	if !e.isOpen() {
		return Status{Edge: e.ID(), Network: e.cfg.Network, Agent: e.cfg.Agent, Why: whyStarting}
	}
	now := e.cfg.Clock()
	s := Status{
		Edge: e.ID(), Network: e.cfg.Network, Agent: e.cfg.Agent,
		Relays: []RelayStatus{}, Streams: e.live.count(),
		Sites: e.usesOf(now.Format(time.DateOnly)),
	}
	s.Lists = e.lists().Versions()
	s.Today, s.Month = e.volume.used().used()
	s.Mapping = e.Mapping()
	s.Paused, s.PausedUntil = e.pause.now()
	s.Holds, s.BadSettings, s.Seal = e.holds.list(), e.file.fault(), e.Seal()
	s.Refusals, s.RefusedToday = e.refusals.recent(now.Format(time.DateOnly))
	consent, err := ReadConsent(e.cfg.Dir)
	if err == nil {
		s.Consent = consent.When.In(now.Location()).Format(time.DateOnly) + ", " + consent.How
	}
	e.mu.Lock()
	connected := false
	for _, l := range e.relays {
		r := l.status()
		connected = connected || r.Connected
		s.Relays = append(s.Relays, r)
	}
	s.Points, s.PointsAt = e.points.account.Points, e.points.at
	s.Registered, s.Suspended = e.points.account.Registered, e.points.account.Suspended
	s.Unsubmitted = e.points.unsubmitted
	e.mu.Unlock()
	slices.SortFunc(s.Relays, func(a, b RelayStatus) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	switch why := e.ready(); {
	case err != nil:
		s.Why = wire.NoConsent.Name()
	case !s.Paused && len(s.Holds) > 0:
		s.Why = s.Holds[0].Name
	case why != nil:
		s.Why = why.Code.Name()
	case !connected:
		s.Why = whyNoRelay
	default:
		s.Serving = true
	}
	return s
}
