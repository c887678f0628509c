package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/apernet/quic-go"

	"sward/internal/identity"
	"sward/internal/wire"
)

// Dial opens a session with the relay that has the identity peer, at addr
// ("host:port"), and introduces itself by hello, of which it fills in what is
// empty: version, network, clock. If the relay refuses, the error is a
// *wire.Error with its code; if somebody else answers, identity.ErrWrongPeer.
//
// pc is the socket to use, which stays the caller's and carries one session at
// a time; nil makes one that ends with the session.
func Dial(ctx context.Context, cfg Config, pc net.PacketConn, addr string, peer identity.ID, hello wire.Hello) (*Session, wire.Welcome, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, wire.Welcome{}, err
	}
	s, err := connect(ctx, cfg, pc, addr, peer)
	if err != nil {
		return nil, wire.Welcome{}, fmt.Errorf("dial relay %s: %w", peer, err)
	}
	if hello.Version == 0 {
		hello.Version = wire.Version
	}
	if hello.Network == "" {
		hello.Network = cfg.Network
	}
	if hello.Clock == 0 {
		hello.Clock = time.Now().UnixMilli()
	}
	w, err := s.introduce(ctx, hello)
	if err != nil {
		s.Close(wire.CodeOf(err), "")
		return nil, wire.Welcome{}, fmt.Errorf("greet relay %s: %w", peer, err)
	}
	return s, w, nil
}

// connect tries the relay's addresses in turn.
func connect(ctx context.Context, cfg Config, pc net.PacketConn, addr string, peer identity.ID) (*Session, error) {
	addrs, err := resolve(ctx, addr)
	if err != nil {
		return nil, err
	}
	own := pc == nil
	if own {
		if pc, err = net.ListenUDP("udp", nil); err != nil {
			return nil, err
		}
	}
	transport := &quic.Transport{Conn: pc, StatelessResetKey: cfg.resetKey()}
	release := func() {
		transport.Close()
		if own {
			pc.Close()
		}
	}
	var failed []error
	for _, a := range addrs {
		conn, err := transport.Dial(ctx, net.UDPAddrFromAddrPort(a), cfg.tls(identity.Only(peer)), quicConfig(cfg.Idle))
		if err != nil {
			failed = append(failed, err)
			continue
		}
		return newSession(cfg, conn, peer, release), nil
	}
	release()
	return nil, errors.Join(failed...)
}

func resolve(ctx context.Context, addr string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("port %q is not a number from 1 to 65535", service)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	const most = 4 // addresses: each may cost a handshakeTimeout
	var addrs []netip.AddrPort
	for _, ip := range ips[:min(len(ips), most)] {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return addrs, nil
}

// introduce opens the control stream, says hello and hears the answer.
func (s *Session) introduce(ctx context.Context, hello wire.Hello) (w wire.Welcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	if s.control, err = s.conn.OpenStream(); err != nil {
		return w, err
	}
	if err := s.Send(hello); err != nil {
		return w, err
	}
	t, body, err := s.Control(ctx)
	switch {
	case err != nil:
		return w, err
	case t == wire.TypeBye:
		bye, err := wire.ParseBye(body)
		if err != nil {
			return w, err
		}
		return w, &wire.Error{Code: bye.Code, Detail: bye.Detail}
	case t != wire.TypeWelcome:
		return w, wire.Errorf(wire.ProtocolError, "hello was answered with %s", t)
	}
	if w, err = wire.ParseWelcome(body); err != nil {
		return w, err
	}
	if w.Version != wire.Version {
		return w, wire.Errorf(wire.VersionUnsupported, "the relay chose version %d, this program speaks %d", w.Version, wire.Version)
	}
	return w, nil
}
