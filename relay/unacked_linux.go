package relay

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unacknowledged is how many bytes written to c its peer has not acknowledged yet (SIOCOUTQ, tcp(7)); 0 when c is no
// TCP connection. It is not known of a connection that this side has closed.
func unacknowledged(c net.Conn) (bytes int, known bool) {
	var failed error
	tcp, err := onSocket(c, func(fd int) { bytes, failed = unix.IoctlGetInt(fd, unix.SIOCOUTQ) })
	return bytes, !tcp || err == nil && failed == nil
}

// dead reports whether the peer has reset c, so that what it has not acknowledged it never will: the kernel has closed
// the connection though this side has not.
func dead(c net.Conn) bool {
	const closed = 7 // TCP_CLOSE in the kernel's net/tcp_states.h
	var state uint8
	_, err := onSocket(c, func(fd int) {
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			state = info.State
		}
	})
	return err == nil && state == closed
}

// onSocket calls do with the TCP socket under c, under whatever that is wrapped in. tcp is false when there is none.
func onSocket(c net.Conn, do func(fd int)) (tcp bool, err error) {
	wrapped, ok := c.(interface{ NetConn() net.Conn })
	for ok {
		c = wrapped.NetConn()
		wrapped, ok = c.(interface{ NetConn() net.Conn })
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		return false, nil
	}
	var raw syscall.RawConn
	if raw, err = t.SyscallConn(); err == nil {
		err = raw.Control(func(fd uintptr) { do(int(fd)) })
	}
	return true, err
}
