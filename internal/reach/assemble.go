package reach

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/core/transport"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/blank"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/observedaddrs"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/quic-go/quic-go"

	"sward/internal/identity"
)

// assemble puts a libp2p host together from its parts. libp2p.New does that too, and links WebRTC, WebTransport and a
// dependency injector, which a home agent that stays small can do without.
func assemble(h *Host) (_ host.Host, stop func() error, err error) {
	cfg := h.cfg
	addrs, err := listenAddrs(cfg.Listen)
	if err != nil {
		return nil, nil, err
	}
	var open opened
	defer func() {
		if err != nil {
			open.close() //nolint:errcheck // it did not start; that error is the one to tell
		}
	}()
	limits, err := newLimits(cfg.Relay)
	if err != nil {
		return nil, nil, err
	}
	open.add(limits.Close)
	main, err := newNode(cfg.Key, cfg, limits, &open)
	if err != nil {
		return nil, nil, err
	}
	observed, err := observedaddrs.NewManager(main.bus, main.swarm)
	if err != nil {
		return nil, nil, err
	}
	open.add(observed.Close)
	nat, err := newAutoNAT(cfg, limits, &open)
	if err != nil {
		return nil, nil, err
	}
	bh, err := basichost.NewHost(main.swarm, &basichost.HostOpts{
		EventBus: main.bus, AddrsFactory: h.addrs, UserAgent: cfg.Agent, EnableHolePunching: true, ObservedAddrsManager: observed, AutoNATv2: nat,
		DisableNonPublicAddrPublishing: true, // what a house looks like inside is nobody's business
	})
	if err != nil {
		return nil, nil, err
	}
	open.add(bh.Close)
	if err := client.AddTransport(bh, main.upgrader); err != nil {
		return nil, nil, err
	}
	observed.Start(main.swarm)
	bh.Start()
	if !cfg.Relay {
		// An edge asks whether it can be dialled, and never dials because somebody asked.
		bh.RemoveStreamHandler(autonatv2.DialProtocol)
	} else if err := serveCircuits(bh, cfg, &open); err != nil {
		return nil, nil, err
	}
	if err := main.swarm.Listen(addrs...); err != nil {
		return nil, nil, err
	}
	return bh, open.close, nil
}

// opened is what has to be closed, last first.
type opened []func() error

func (o *opened) add(end func() error) { *o = append(*o, end) }

func (o *opened) close() error {
	var all []error
	for i := len(*o) - 1; i >= 0; i-- {
		all = append(all, (*o)[i]())
	}
	return errors.Join(all...)
}

// node is a swarm with its transports: QUIC, and TCP where UDP is blocked.
type node struct {
	swarm    *swarm.Swarm
	bus      event.Bus
	upgrader transport.Upgrader
}

func newNode(key identity.Key, cfg Config, limits network.ResourceManager, open *opened, more ...swarm.Option) (*node, error) {
	private, err := key.Libp2p()
	if err != nil {
		return nil, err
	}
	gate := gater{gate: cfg.Gate}
	if !cfg.Relay {
		gate.peers = cfg.Allow
	}
	n := &node{bus: eventbus.NewBus()}
	if n.swarm, err = newSwarm(key, n.bus, open, append(more, swarm.WithConnectionGater(gate), swarm.WithResourceManager(limits))...); err != nil {
		return nil, err
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	security, err := libp2ptls.New(libp2ptls.ID, private, muxers)
	if err != nil {
		return nil, err
	}
	if n.upgrader, err = upgrader.New([]sec.SecureTransport{security}, muxers, nil, limits, gate); err != nil {
		return nil, err
	}
	reset, token, err := quicSecrets(private)
	if err != nil {
		return nil, err
	}
	sockets, err := quicreuse.NewConnManager(reset, token,
		quicreuse.VerifySourceAddress(limits.VerifySourceAddress), quicreuse.ConnContext(counted(limits)))
	if err != nil {
		return nil, err
	}
	open.add(sockets.Close)
	overQUIC, err := libp2pquic.NewTransport(private, sockets, nil, gate, limits)
	if err != nil {
		return nil, err
	}
	overTCP, err := tcp.NewTCPTransport(n.upgrader, limits, nil)
	if err != nil {
		return nil, err
	}
	return n, errors.Join(n.swarm.AddTransport(overQUIC), n.swarm.AddTransport(overTCP))
}

// newSwarm is a swarm that has no transport yet.
func newSwarm(key identity.Key, bus event.Bus, open *opened, more ...swarm.Option) (*swarm.Swarm, error) {
	private, err := key.Libp2p()
	if err != nil {
		return nil, err
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	open.add(store.Close)
	self := key.ID().Peer()
	if err := errors.Join(store.AddPrivKey(self, private), store.AddPubKey(self, private.GetPublic())); err != nil {
		return nil, err
	}
	// With few peers the detector takes a few edges behind firewalls for the end of UDP, and then neither answers AutoNAT
	// over QUIC nor dials it.
	s, err := swarm.NewSwarm(self, store, bus,
		append(more, swarm.WithUDPBlackHoleSuccessCounter(nil), swarm.WithIPv6BlackHoleSuccessCounter(nil))...)
	if err != nil {
		return nil, err
	}
	open.add(s.Close)
	return s, nil
}

// counted puts a connection under the limits before its handshake has cost anything.
func counted(limits network.ResourceManager) func(context.Context, *quic.ClientInfo) (context.Context, error) {
	return func(ctx context.Context, from *quic.ClientInfo) (context.Context, error) {
		addr, err := quicreuse.ToQuicMultiaddr(from.RemoteAddr, quic.Version1)
		if err != nil {
			return ctx, err
		}
		scope, err := limits.OpenConnection(network.DirInbound, false, addr)
		if err != nil {
			return ctx, err
		}
		context.AfterFunc(ctx, scope.Done)
		return network.WithConnManagementScope(ctx, scope), nil
	}
}

// newAutoNAT is the protocol by which an edge learns whether it can be dialled. A relay answers with a second node of its
// own, so that the answer does not come through a hole which the question has made. An edge's has no way to dial.
func newAutoNAT(cfg Config, limits network.ResourceManager, open *opened) (*autonatv2.AutoNAT, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	var dialer *swarm.Swarm
	if cfg.Relay {
		n, err := newNode(key, cfg, limits, open, swarm.WithDialRanker(swarm.NoDelayDialRanker), swarm.WithReadOnlyBlackHoleDetector())
		if err != nil {
			return nil, err
		}
		dialer = n.swarm
	} else {
		if dialer, err = newSwarm(key, eventbus.NewBus(), open); err != nil {
			return nil, err
		}
	}
	return autonatv2.New(blankhost.NewBlankHost(dialer))
}

// quicSecrets are derived from the key as libp2p's own are, so that after a restart old connections end at once.
func quicSecrets(key crypto.PrivKey) (reset quic.StatelessResetKey, token quic.TokenGeneratorKey, err error) {
	raw, err := key.Raw()
	if err != nil {
		return reset, token, err
	}
	for info, into := range map[string][]byte{"libp2p quic stateless reset key": reset[:], "libp2p quic token generator key": token[:]} {
		b, err := hkdf.Key(sha256.New, raw, nil, info, len(into))
		if err != nil {
			return reset, token, err
		}
		copy(into, b)
	}
	return reset, token, nil
}
