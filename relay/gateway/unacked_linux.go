package gateway

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// States of a TCP connection, from the kernel's net/tcp_states.h.
const (
	tcpFinWait1 = 4
	tcpClose    = 7
	tcpLastAck  = 9
	tcpClosing  = 11
)

// queued is how many bytes written to c its peer has not acknowledged yet (SIOCOUTQ, tcp(7)); 0 when c is no TCP
// connection. It is not known of a connection that this side has closed.
//
// SIOCOUTQ counts sequence numbers, and our FIN has one; ended says that there may be one. It is in the answer in the
// states in which it is sent and not acknowledged. They are asked for first: a FIN acknowledged in between was the last
// of all, and the answer is 0.
func queued(c net.Conn, ended bool) (bytes int, known bool) {
	var failed error
	tcp, err := onSocket(c, func(fd int) {
		fin := 0
		if ended {
			switch state(fd) {
			case tcpFinWait1, tcpClosing, tcpLastAck:
				fin = 1
			}
		}
		bytes, failed = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		bytes = max(bytes-fin, 0)
	})
	return bytes, !tcp || err == nil && failed == nil
}

// resetByPeer reports whether the peer has reset c, so that what it has not acknowledged it never will: the kernel has
// closed the connection though this side has not.
func resetByPeer(c net.Conn) (dead bool) {
	_, err := onSocket(c, func(fd int) { dead = state(fd) == tcpClose })
	return err == nil && dead
}

// state is the connection's; 0 is none.
func state(fd int) uint8 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return info.State
}

// onSocket calls do with the descriptor of a TCP connection. tcp is false when c is none.
func onSocket(c net.Conn, do func(fd int)) (tcp bool, err error) {
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
