package tunnel

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

// Largest and least datagrams of a trial, in bytes of UDP payload: what QUIC must have (RFC 9000 §14), and what fits a
// whole Ethernet frame over IPv6.
const (
	LeastTrial   = 1200
	LargestTrial = 1452
)

// Trial is what an attempt to reach a relay found.
type Trial struct {
	Remote  netip.AddrPort // the address that answered
	Elapsed time.Duration  // from the first packet to a proved identity
}

// Try connects to a relay over the one carrier that cfg names, as Dial would, and leaves without having introduced
// itself: both ends have proved who they are, and the relay has no session. It is how an owner finds out what gets
// through. Over QUIC the first datagrams have size bytes and are not split on the way, so that they pass only a path
// that carries as much; 0 is the size that Dial uses.
func Try(ctx context.Context, cfg Config, addr string, peer identity.ID, size int) (Trial, error) {
	if cfg.Carrier == AnyCarrier {
		return Trial{}, fmt.Errorf("a trial is of one carrier")
	}
	if size != 0 && (size < LeastTrial || size > LargestTrial) {
		return Trial{}, fmt.Errorf("a trial of %d bytes, want %d to %d", size, LeastTrial, LargestTrial)
	}
	cfg.first = uint16(size)
	d, err := NewDialer(cfg, nil)
	if err != nil {
		return Trial{}, err
	}
	defer d.Close()
	addrs, err := d.cfg.resolve(ctx, addr)
	if err != nil {
		return Trial{}, err
	}
	attempt := d.overQUIC
	if cfg.Carrier == TCP {
		attempt = d.overTCP
	}
	start := time.Now()
	got := attempt(ctx, addrs, peer)
	if got.err != nil {
		return Trial{}, fmt.Errorf("try relay %s: %w", peer, got.err)
	}
	t := Trial{Elapsed: time.Since(start)}
	if remote, err := netip.ParseAddrPort(got.conn.remoteAddr().String()); err == nil {
		t.Remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	}
	got.conn.end(wire.OK, "")
	got.release()
	return t, nil
}
