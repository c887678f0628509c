package tunnel

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes the kernel takes beyond what it has sent. Without this
// bound a slow line's send buffer grows to megabytes, and a ping, a count or
// another stream waits seconds behind them.
const unsent = 128 << 10

// tuneTCP asks for BBR, which one lost packet in a hundred does not slow down, and
// for a short queue. A kernel that has no BBR stays with its own choice.
func tuneTCP(conn net.Conn) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { //nolint:errcheck // a closed socket needs no tuning
		unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "bbr")  //nolint:errcheck // see above
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) //nolint:errcheck // see above
	})
}

// delivered is how many bytes the kernel at the other end has acknowledged; 0 where
// nobody knows.
func delivered(conn net.Conn) (acked uint64) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) { //nolint:errcheck // of a closed socket nothing is known
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			acked = info.Bytes_acked
		}
	})
	return acked
}
