package sandbox

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// World is a closed Internet: a few names with addresses, and the listeners behind those addresses. Edges in a
// sandbox resolve and dial in it instead of the real one, so that the address gate works on addresses that look
// public without any exception in it, and nothing outside can be reached whatever a request asks for.
type World struct {
	mu    sync.Mutex
	names map[string][]netip.Addr
	hosts map[netip.AddrPort]string // address in the world → listener on this machine
	dials map[netip.AddrPort]int
}

// NewWorld returns a world without names and hosts.
func NewWorld() *World {
	return &World{names: map[string][]netip.Addr{}, hosts: map[netip.AddrPort]string{}, dials: map[netip.AddrPort]int{}}
}

// Name gives name its addresses, in the order in which a resolver would answer them.
func (w *World) Name(name string, addresses ...netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[name] = addresses
}

// Host puts the listener at local (host:port on this machine) behind address.
func (w *World) Host(address netip.AddrPort, local string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[address] = local
}

// Resolve answers like the DNS of this world.
func (w *World) Resolve(_ context.Context, name string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	addresses, known := w.names[name]
	if !known {
		return nil, &net.DNSError{Err: "no such host in the sandbox", Name: name, IsNotFound: true}
	}
	return append([]netip.Addr(nil), addresses...), nil
}

// Dial connects to the listener behind address; an address without one refuses.
func (w *World) Dial(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	w.dials[address]++
	local, known := w.hosts[address]
	w.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("dial %s: nothing is there in the sandbox: %w", address, errRefused)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", local)
}

// Dials tells how often address was dialled: tests assert zero for what the gate must refuse.
func (w *World) Dials(address netip.AddrPort) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials[address]
}
