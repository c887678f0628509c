package reach

import (
	"context"
	"net"
	"net/netip"
)

// Addr is where a peer is, and how one came there.
type Addr struct {
	netip.AddrPort
	Path Path
}

// Network is "libp2p".
func (Addr) Network() string { return "libp2p" }

// Listener hands out what Accept does, for a tunnel's listener. Closing it leaves the host as it is.
func (h *Host) Listener() net.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	return &listener{h, ctx, cancel}
}

type listener struct {
	host   *Host
	ctx    context.Context
	cancel context.CancelFunc
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.host.Accept(l.ctx)
	if err != nil {
		return nil, net.ErrClosed // there is no other reason
	}
	return c, nil
}

func (l *listener) Close() error {
	l.cancel()
	return nil
}

func (l *listener) Addr() net.Addr { return Addr{} }

// Bring calls an edge and hands the stream to Accept, as if the edge had come by itself: in a tunnel it is the edge that
// greets.
func (h *Host) Bring(ctx context.Context, p Place) (Path, error) {
	c, err := h.Call(ctx, p)
	if err != nil {
		return 0, err
	}
	select {
	case h.streams <- c:
		return c.path, nil
	case <-h.closed:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.Reset() //nolint:errcheck // nobody takes it
	return 0, err
}
