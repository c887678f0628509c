package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// OpenPort opens a relay's two sockets at address: UDP, and TCP with the same
// number, since an edge knows one address. With port 0 the system picks a number
// that is free for both. The caller closes them.
func OpenPort(ctx context.Context, address string) (net.PacketConn, net.Listener, error) {
	const tries = 16 // the system knows what is free for UDP only
	var err error
	for range tries {
		var config net.ListenConfig
		var udp net.PacketConn
		if udp, err = config.ListenPacket(ctx, "udp", address); err != nil {
			return nil, nil, err
		}
		var tcp net.Listener
		if tcp, err = config.Listen(ctx, "tcp", udp.LocalAddr().String()); err == nil {
			return udp, tcp, nil
		}
		udp.Close()
		if _, port, _ := net.SplitHostPort(address); port != "0" || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("no port is free for both UDP and TCP: %w", err)
}
