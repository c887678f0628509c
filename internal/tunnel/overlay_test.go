package tunnel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"sward/internal/identity"
	"sward/internal/reach"
)

// overlays is a network for all tests of this package: a relay that calls, and an edge that is called.
type overlays struct {
	relay, edge *reach.Host

	mu        sync.Mutex // one call at a time, so that its two ends meet
	listeners map[string]*calls
}

// overlay opens the network once: its hosts last as long as the test program.
func overlay(t testing.TB) *overlays {
	t.Helper()
	o, err := theOverlay()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

var theOverlay = sync.OnceValues(func() (*overlays, error) {
	o := &overlays{listeners: map[string]*calls{}}
	anybody := func(identity.ID) error { return nil }
	open := func(relay bool) (*reach.Host, error) {
		key, err := identity.NewKey()
		if err != nil {
			return nil, err
		}
		return reach.Open(reach.Config{
			Key: key, Listen: "127.0.0.1:0", Relay: relay, Allow: anybody, Reserve: anybody, Callers: anybody,
			Gate:    func(netip.Addr) error { return nil },
			Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no names here") },
		})
	}
	var err error
	if o.relay, err = open(true); err != nil {
		return nil, err
	}
	o.edge, err = open(false)
	return o, err
})

// dial has the relay call the edge, for the listener at addr.
func (o *overlays) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.listeners[addr]
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	far, err := o.relay.Call(ctx, reach.Place{Edge: o.edge.ID(), Addr: netip.MustParseAddr("127.0.0.1"), Port: o.edge.Port()})
	if err != nil {
		return nil, err
	}
	select {
	case l.conns <- far:
	case <-l.done:
		far.Close()
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		far.Close()
		return nil, ctx.Err()
	}
	return o.edge.Accept(ctx)
}

func (o *overlays) listener(addr string) net.Listener {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := &calls{conns: make(chan net.Conn), done: make(chan struct{})}
	o.listeners[addr] = l
	return l
}

// calls are those for one listener.
type calls struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (c *calls) Accept() (net.Conn, error) {
	select {
	case conn := <-c.conns:
		return conn, nil
	case <-c.done:
		return nil, net.ErrClosed
	}
}

func (c *calls) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}

func (*calls) Addr() net.Addr { return reach.Addr{} }
