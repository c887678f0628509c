// Package portmap keeps one UDP port of this machine open on the home router, when the owner has switched that on.
//
// An edge works without it: it is the one that dials. With it, peers can reach the edge first.
package portmap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/huin/goupnp/soap"
)

const (
	// mapLease is what the router is asked for: long enough for a night's sleep
	// of the laptop not to matter, short enough that a mapping outlives a crash
	// by no more than that.
	mapLease = time.Hour
	// mapRetry is the pause after a failure. A router does not learn UPnP.
	mapRetry = 10 * time.Minute
	// mapTimeout bounds one pass, the search for the router included.
	mapTimeout = 20 * time.Second
	// unmapTimeout bounds the removal at the end.
	unmapTimeout = 5 * time.Second
	// mapTries is how many external ports are tried when the first is taken.
	mapTries = 4
	// mapLabel is what the owner reads in the router's own list.
	mapLabel = "sward edge"
)

// UPnP errors with a remedy. Source: UPnP WANIPConnection:2, table 2-9 and on.
const (
	upnpNoSuchEntry   = 714 // there is nothing to remove
	upnpConflict      = 718 // the external port is mapped to somebody else
	upnpOnlyPermanent = 725 // the router knows no leases
)

// ErrNotPublic says that the router is itself behind a router or a carrier's NAT, so that
// a mapping on it opens nothing.
var ErrNotPublic = errors.New("the router's own address is not public")

// Config says which port to map.
type Config struct {
	Port uint16       // the local UDP port; the external one is the same if it is free
	Root *url.URL     // the router's UPnP description; nil searches the network (SSDP)
	Log  *slog.Logger // nil discards
}

// Mapper is a worker that keeps one UDP port mapped on the home router, by UPnP.
// An edge works without it; with it, peers can reach the edge first. It opens
// the owner's router to the outside, so it is started only when the owner has
// switched it on.
type Mapper struct {
	cfg      Config
	router   *router // the one found last; nil searches again
	external uint16  // the port that is, or may be, mapped; 0 is none
	outside  atomic.Pointer[netip.AddrPort]
}

// New checks cfg.
func New(cfg Config) (*Mapper, error) {
	if cfg.Port == 0 {
		return nil, errors.New("port mapper needs a port")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Mapper{cfg: cfg}, nil
}

// External is where the mapped port can be reached; ok is false while it is not
// mapped.
func (m *Mapper) External() (_ netip.AddrPort, ok bool) {
	if p := m.outside.Load(); p != nil {
		return *p, true
	}
	return netip.AddrPort{}, false
}

// Run maps the port, renews the lease at half its life, and removes the mapping
// when ctx ends. That it cannot be mapped is logged once and is no failure: it
// tries again every ten minutes.
func (m *Mapper) Run(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		pause := mapLease / 2
		was := m.outside.Load()
		switch err := m.mapOnce(ctx); {
		case err == nil:
			if now := m.outside.Load(); was == nil || *was != *now {
				m.cfg.Log.Info("port is mapped on the router", "port", m.cfg.Port, "external", now.Port())
			}
			failing = false
		case ctx.Err() == nil:
			pause = mapRetry
			if !failing {
				m.cfg.Log.Warn("port cannot be mapped on the router", "port", m.cfg.Port, "err", err)
			}
			failing = true
		}
		sleep(ctx, pause)
	}
	m.unmap(ctx)
	return nil
}

// mapOnce makes or renews the mapping.
func (m *Mapper) mapOnce(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, mapTimeout)
	defer cancel()
	err := m.ensure(bounded)
	if err != nil {
		m.outside.Store(nil)
		if ctx.Err() == nil {
			m.router = nil // it may have another address by now
		}
	}
	return err
}

func (m *Mapper) ensure(ctx context.Context) (err error) {
	if m.router == nil {
		if m.router, err = findRouter(ctx, m.cfg.Root); err != nil {
			return err
		}
	}
	outside, err := m.router.outside(ctx)
	if err != nil {
		return err
	}
	if !public(outside) {
		return ErrNotPublic
	}
	port := m.external
	if port == 0 {
		port = m.cfg.Port
	}
	for range mapTries {
		m.external = port // before the call: without an answer it may be mapped
		if err = m.router.add(ctx, port, m.cfg.Port, mapLease); upnpCode(err) == upnpOnlyPermanent {
			err = m.router.add(ctx, port, m.cfg.Port, 0)
		}
		if upnpCode(err) == 0 {
			break
		}
		m.external = 0
		if upnpCode(err) != upnpConflict {
			break
		}
		port = uint16(1<<15 + rand.N(1<<15)) // where few services live
	}
	if err != nil {
		return fmt.Errorf("add port mapping: %w", err)
	}
	at := netip.AddrPortFrom(outside, port)
	m.outside.Store(&at)
	return nil
}

// unmap removes the mapping after ctx has ended.
func (m *Mapper) unmap(ctx context.Context) {
	if m.router == nil || m.external == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unmapTimeout)
	defer cancel()
	m.outside.Store(nil)
	if err := m.router.DeletePortMappingCtx(ctx, "", m.external, "UDP"); err != nil && upnpCode(err) != upnpNoSuchEntry {
		m.cfg.Log.Warn("port mapping is left on the router", "external", m.external, "err", err)
	}
}

// upnpCode is the router's error number, or 0.
func upnpCode(err error) int {
	if fault, ok := errors.AsType[*soap.SOAPFaultError](err); ok {
		return fault.Detail.UPnPError.Errorcode
	}
	return 0
}

// sharedSpace is a carrier's NAT (RFC 6598), dsLite the inside of a DS-Lite
// tunnel (RFC 6333): a router that has such an address shares a public one.
var (
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
	dsLite      = netip.MustParsePrefix("192.0.0.0/24")
)

// public reports whether the Internet can reach a.
func public(a netip.Addr) bool {
	return a.Is4() && a.IsGlobalUnicast() && !a.IsPrivate() && !sharedSpace.Contains(a) && !dsLite.Contains(a)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
