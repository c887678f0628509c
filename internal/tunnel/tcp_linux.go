package tunnel

import (
	"math"
	"net"
	"syscall"
	"time"

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
	if info := tcpInfo(conn); info != nil {
		acked = info.Bytes_acked
	}
	return acked
}

// tcpStats is what the kernel has counted.
func tcpStats(conn net.Conn) Stats {
	info := tcpInfo(conn)
	if info == nil {
		return Stats{}
	}
	s := Stats{Sent: uint64(info.Segs_out), Lost: uint64(info.Total_retrans)}
	if info.Min_rtt != math.MaxUint32 { // which it is before the first measurement
		s.MinRTT = time.Duration(info.Min_rtt) * time.Microsecond
	}
	return s
}

// tcpInfo is what the kernel tells of conn, nil where it tells nothing.
func tcpInfo(conn net.Conn) (info *unix.TCPInfo) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	raw.Control(func(fd uintptr) { //nolint:errcheck // of a closed socket nothing is known
		if told, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			info = told
		}
	})
	return info
}
