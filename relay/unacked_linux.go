package relay

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacknowledged is how many bytes written to c its peer has not acknowledged yet (SIOCOUTQ, tcp(7)); 0 when c is no
// TCP connection. It is not known of a connection that this side has closed.
func unacknowledged(c net.Conn) (bytes int, known bool) {
	tcp, ok := c.(interface{ NetConn() net.Conn })
	for ok {
		c = tcp.NetConn()
		tcp, ok = c.(interface{ NetConn() net.Conn })
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		return 0, true
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, false
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		bytes, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	})
	return bytes, err == nil && failed == nil
}
