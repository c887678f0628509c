package tunnel

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"github.com/apernet/quic-go"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// maxCoalesced in bytes is the largest that the kernel hands over at once: what an IP length can say.
	maxCoalesced = 64 << 10
	// maxControl in bytes has room for the segment size, ECN bits and packet info, of either IP version: 88 at the most.
	maxControl = 128
)

// groConn is a UDP socket whose kernel hands over several datagrams of one sender at once (UDP_GRO): one system call,
// one walk through the network stack, instead of a dozen. quic-go knows nothing of it, so what was coalesced is taken
// apart again here, in the one method that it reads batches with. Everything else is the socket's own, so that quic-go
// finds in it all that it looks for in a *net.UDPConn, and goes on to send in segments (GSO), to mark ECN, and to forbid
// fragments.
//
// It has one reader, as quic-go's transports do.
type groConn struct {
	*net.UDPConn
	buf     []byte
	oob     []byte
	rest    []byte // of buf: not handed on yet
	segment int    // size in bytes of each piece of rest but the last
	control []byte // of oob: what came with it
	from    *net.UDPAddr
	source  netip.AddrPort // from, as the socket says it
}

var _ quic.OOBCapablePacketConn = (*groConn)(nil)

// coalescing gives pc with UDP_GRO, or pc itself where the kernel has none (before Linux 5.0), or where it is no UDP
// socket of the system.
func coalescing(pc net.PacketConn) net.PacketConn {
	udp, ok := pc.(*net.UDPConn)
	if !ok {
		return pc
	}
	raw, err := udp.SyscallConn()
	if err != nil || !enableGRO(raw) {
		return pc
	}
	return &groConn{UDPConn: udp, buf: make([]byte, maxCoalesced), oob: make([]byte, maxControl)}
}

func enableGRO(raw syscall.RawConn) (enabled bool) {
	err := raw.Control(func(fd uintptr) {
		enabled = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	})
	return err == nil && enabled
}

// ReadBatch fills the messages with one datagram each: those of the last system call that are left, or of a new one.
func (c *groConn) ReadBatch(messages []ipv4.Message, flags int) (n int, err error) {
	if len(c.rest) == 0 {
		if err := c.receive(flags); err != nil {
			return 0, err
		}
		if len(c.rest) == 0 { // an empty datagram is one too, of which quic-go makes nothing
			messages[0].N, messages[0].NN, messages[0].Addr = 0, 0, c.from
			return 1, nil
		}
	}
	for ; n < len(messages) && len(c.rest) > 0; n++ {
		m, size := &messages[n], min(c.segment, len(c.rest))
		m.N = copy(m.Buffers[0], c.rest[:size]) // one that is larger than a packet may be is cut, and will not decrypt
		m.NN = copy(m.OOB, c.control)
		m.Addr = c.from
		c.rest = c.rest[size:]
	}
	return n, nil
}

// receive waits for the next datagrams. A flag is passed on by no caller there is.
func (c *groConn) receive(int) error {
	n, nn, _, source, err := c.ReadMsgUDPAddrPort(c.buf, c.oob)
	if err != nil {
		return err
	}
	if source != c.source || c.from == nil { // quic-go keeps the address, so it is never changed in place
		c.source, c.from = source, net.UDPAddrFromAddrPort(source)
	}
	c.rest, c.control = c.buf[:n], c.oob[:nn]
	c.segment = segmentSize(c.control, n)
	return nil
}

// segmentSize finds in the control messages how large each of the coalesced datagrams is, the last but excepted; whole
// when there was only one.
func segmentSize(control []byte, whole int) int {
	for len(control) > 0 {
		head, body, remainder, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		if head.Level == unix.IPPROTO_UDP && head.Type == unix.UDP_GRO && len(body) >= 2 {
			// An int, of which older kernels wrote the half (include/linux/udp.h).
			size := int(binary.NativeEndian.Uint16(body))
			if len(body) >= 4 {
				size = int(binary.NativeEndian.Uint32(body))
			}
			if size > 0 {
				return size
			}
		}
		control = remainder
	}
	return max(whole, 1)
}
