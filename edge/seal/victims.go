package seal

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// victims are listeners that stand for the services of a home computer. They are on loopback alone: one on the home
// network would be open to the neighbours while it lasts, and have a firewall ask the owner what it is for.
type victims struct {
	at      []netip.AddrPort
	missing []string // families that this machine does not have

	listeners []net.Listener
	accepting sync.WaitGroup
	reached   atomic.Int64
}

func openVictims(ctx context.Context) (*victims, error) {
	v := &victims{}
	var lc net.ListenConfig
	var failed error
	for _, family := range []struct{ network, address, name string }{
		{"tcp4", "127.0.0.1:0", "IPv4"}, {"tcp6", "[::1]:0", "IPv6"},
	} {
		l, err := lc.Listen(ctx, family.network, family.address)
		if err != nil {
			v.missing, failed = append(v.missing, "this machine has no loopback address for "+family.name), err
			continue
		}
		v.listeners = append(v.listeners, l)
		v.at = append(v.at, l.Addr().(*net.TCPAddr).AddrPort())
		v.accepting.Go(func() { v.accept(l) })
	}
	if len(v.at) == 0 {
		return nil, fmt.Errorf("listen on loopback: %w", failed)
	}
	return v, nil
}

func (v *victims) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		v.reached.Add(1)
		conn.Close()
	}
}

// close ends the victims and tells how often they were reached. A connection that waits to be accepted has been made, and
// is lost to the count: whoever made it knows.
func (v *victims) close() int {
	for _, l := range v.listeners {
		l.Close()
	}
	v.accepting.Wait()
	return int(v.reached.Load())
}
