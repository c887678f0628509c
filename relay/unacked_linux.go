package relay

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacknowledged is how many bytes written to c its peer has not acknowledged yet (SIOCOUTQ, tcp(7)); 0 when c is no
// TCP connection.
func unacknowledged(c net.Conn) int {
	tcp, ok := c.(interface{ NetConn() net.Conn })
	for ok {
		c = tcp.NetConn()
		tcp, ok = c.(interface{ NetConn() net.Conn })
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0
	}
	pending := 0
	err = raw.Control(func(fd uintptr) {
		pending, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	})
	if err != nil {
		return 0
	}
	return pending
}
