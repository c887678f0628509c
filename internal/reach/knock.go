package reach

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"sward/internal/identity"
)

const (
	// knockTimeout bounds one knock: a handshake is two round trips.
	knockTimeout = 5 * time.Second
	// alpn is libp2p's, over QUIC.
	alpn = "libp2p"
)

// Knock finds out whether a host can be dialled at addr, from a socket that has never been there: a home router lets
// through only what it has mapped, and not the answer to a packet that was sent. It ends with the handshake, in which the
// other end has proved to be peer.
//
// A router that lets in all from an address that was once sent to (address-dependent filtering, RFC 4787 §5) says yes to
// the relay it knows and no to others. An edge therefore asks for what it has had mapped, or has for itself.
func Knock(ctx context.Context, key identity.Key, addr netip.AddrPort, peer identity.ID) error {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return fmt.Errorf("knock: %w", err)
	}
	defer socket.Close()
	config := key.TLSConfig(identity.Only(peer))
	config.NextProtos = []string{alpn}
	conn, err := quic.Dial(ctx, socket, net.UDPAddrFromAddrPort(addr), config, &quic.Config{HandshakeIdleTimeout: knockTimeout})
	if err != nil {
		return fmt.Errorf("knock: %w", err)
	}
	return conn.CloseWithError(0, "")
}
