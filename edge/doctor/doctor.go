// Package doctor looks at what a home agent needs and says what is wrong and what to do about it, in words for the
// person at the keyboard.
//
// It examines from the inside out: the machine (disk, file modes), its clock and DNS, then the way to each relay over
// UDP and TCP, how large a packet gets through, and what stands between this machine and the Internet. It changes
// nothing, and disturbs no running edge: what it says to a relay it says as a stranger, under a key made for the
// occasion.
package doctor

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sward/accounting"
	"sward/edge"
	"sward/internal/identity"
	"sward/internal/outside"
)

// Level says how much a finding matters.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Note    Level = "note"    // worth knowing; sharing works
	Problem Level = "problem" // sharing does not work, or not safely
)

// Finding is what one check found.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Found string `json:"found"`
	Do    string `json:"do,omitempty"` // what the owner can do about it
}

// Hub is what the doctor asks of the hub; *accounting.Client is it.
type Hub interface {
	Now(context.Context) (time.Time, error)
	Directory(context.Context) (accounting.SignedDirectory, error)
}

var _ Hub = (*accounting.Client)(nil)

// Config is what to examine.
type Config struct {
	Dir     string // the edge's directory
	Network string
	HubAddr string       // host:port
	Hub     Hub          // nil: no settings yet, and the network is left out
	Edge    identity.ID  // whose relays to try
	Relays  []edge.Relay // the fixed list of the settings; nil: the directory's
	Router  Finding      // what the running edge says of the router; zero: none runs

	Resolve func(context.Context, string) ([]netip.Addr, error) // default outside.Resolve
	Own     func() []netip.Prefix                               // default outside.Own
	Clock   func() time.Time                                    // default time.Now

	Patience time.Duration // for one question; default 6 s: a chain of them is at most four long
}

func (c Config) withDefaults() Config {
	if c.Resolve == nil {
		c.Resolve = outside.Resolve
	}
	if c.Own == nil {
		c.Own = outside.Own
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Patience == 0 {
		c.Patience = patience
	}
	return c
}

// patience is three attempts of a DNS resolver, or four first packets of a handshake.
const patience = 6 * time.Second

// Examine makes every check that can be made, and returns the findings in the order in which to read them.
func Examine(ctx context.Context, cfg Config) []Finding {
	cfg = cfg.withDefaults()
	checks := []func(context.Context) []Finding{
		func(context.Context) []Finding { return cfg.disk() },
		func(context.Context) []Finding { return cfg.modes() },
		cfg.dns,
	}
	if cfg.Hub != nil {
		checks = append(checks, cfg.clock, cfg.way)
	}
	found := make([][]Finding, len(checks))
	var wait sync.WaitGroup
	for i, check := range checks {
		wait.Go(func() { found[i] = check(ctx) })
	}
	wait.Wait()
	return slices.Concat(found...)
}

func ok(check, found string) Finding          { return Finding{check, OK, found, ""} }
func note(check, found, do string) Finding    { return Finding{check, Note, found, do} }
func problem(check, found, do string) Finding { return Finding{check, Problem, found, do} }
func one(f Finding) []Finding                 { return []Finding{f} }
func rounded(d time.Duration) time.Duration   { return d.Round(max(d.Abs()/100, time.Millisecond)) }
