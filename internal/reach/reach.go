// Package reach is the way to an edge for a relay that it did not dial. An edge keeps tunnels to a few relays; when
// another one needs it, for a session that began elsewhere or for the hub, that relay finds it here: at the address that
// the home router has mapped, through a hole punched in the router, or by a circuit over a relay that the edge does know.
//
// The network is libp2p's, with the identities of everything else. Each edge whose owner wants it has a Host, and so has
// each relay that takes part:
//
//	edge                        its relay                     another relay
//	Host.Reserve ─────────────▶ a circuit's place
//	Reach (tunnel) ───────────▶ where the edge is ── hub ───▶ Host.Call
//	             ◀────────────── circuit, or none ◀──────────
//	             ◀─────────── hole punched (DCUtR), or direct
//	Host.Accept  ◀──────────── one stream, Conn ─────────────
//	tunnel over that stream: TLS, the edge greets, all as usual
//
// What runs over the stream is a tunnel with its own handshake (package tunnel): a relay in between carries bytes that it
// can neither read nor forge. Strangers get no further than libp2p's handshake: streams are for those that Config.Allow
// knows, circuits for edges and relays of the network, and no address is dialled that Config.Gate refuses.
package reach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"sward/internal/identity"
)

const (
	// streamProtocol names the stream that carries a tunnel.
	streamProtocol protocol.ID = "/sward/tunnel/1"
	// maxWaiting is how many streams may wait for Accept. Who comes when all are taken is refused.
	maxWaiting = 64
)

// Config is a host's world.
type Config struct {
	Key identity.Key
	// Listen is the address of the host's sockets, host:port for UDP and TCP: "0.0.0.0:7445"; port 0 is any.
	Listen string
	// Relay makes it a relay's host: it carries circuits, and answers edges that ask whether they can be dialled.
	Relay bool
	// Allow says who may open a stream here, and whom an edge's host may dial.
	Allow func(identity.ID) error
	// Reserve says, at a relay, which edges may have a place for circuits, and Callers who may come to them over one.
	Reserve, Callers func(identity.ID) error
	// Gate says which addresses may be dialled; strangers name them.
	Gate func(netip.Addr) error
	// Resolve finds the addresses of a relay's name.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	// Mapped is what the home router has mapped the UDP port to; nil, or false, for nothing.
	Mapped func() (netip.AddrPort, bool)
	Agent  string // program and version, told to whoever connects
	Log    *slog.Logger
}

func (c Config) check() error {
	switch {
	case c.Key.IsZero():
		return errors.New("reach: no key")
	case c.Allow == nil || c.Gate == nil || c.Resolve == nil:
		return errors.New("reach: nobody says who is allowed, or what may be dialled")
	case c.Relay && (c.Reserve == nil || c.Callers == nil):
		return errors.New("reach: nobody says whose circuits are carried")
	}
	return nil
}

// Host is one end of the libp2p network. Open makes it, Close ends it and all its streams.
type Host struct {
	cfg     Config
	host    host.Host
	stop    func() error // everything that was opened, in order
	streams chan *Conn
	closed  chan struct{}
	once    sync.Once
	slots   slots
	public  public
	log     *slog.Logger
}

// Open starts a host on its sockets.
func Open(cfg Config) (*Host, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, streams: make(chan *Conn, maxWaiting), closed: make(chan struct{}), log: cfg.Log}
	h.slots.held = map[identity.ID]slot{}
	var err error
	if h.host, h.stop, err = assemble(h); err != nil {
		return nil, fmt.Errorf("open a libp2p host: %w", err)
	}
	h.host.SetStreamHandler(streamProtocol, h.take)
	if err := h.public.watch(h); err != nil {
		h.Close()
		return nil, fmt.Errorf("open a libp2p host: %w", err)
	}
	return h, nil
}

// Close ends the host.
func (h *Host) Close() error {
	var err error
	h.once.Do(func() {
		close(h.closed)
		err = h.stop()
		h.public.wait()
	})
	return err
}

// ID is the host's identity.
func (h *Host) ID() identity.ID { return h.cfg.Key.ID() }

// Done is closed when the host has been.
func (h *Host) Done() <-chan struct{} { return h.closed }

// take keeps a stream for Accept, of those who may open one.
func (h *Host) take(s network.Stream) {
	c, err := h.newConn(s)
	if err == nil {
		err = h.cfg.Allow(c.Peer())
	}
	if err != nil {
		h.log.Debug("a stream was refused", "err", err)
		s.Reset() //nolint:errcheck // refused either way
		return
	}
	select {
	case h.streams <- c:
	default:
		h.log.Debug("a stream was refused: too many wait", "peer", c.Peer())
		s.Reset() //nolint:errcheck // likewise
	}
}

// Accept returns the next stream that somebody has opened here. The error is the context's, or net.ErrClosed.
func (h *Host) Accept(ctx context.Context) (*Conn, error) {
	select {
	case c := <-h.streams:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-h.closed:
		return nil, net.ErrClosed
	}
}
