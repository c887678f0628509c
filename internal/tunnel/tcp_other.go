//go:build !linux

package tunnel

import "net"

// tuneTCP does nothing where congestion control is the system's alone.
func tuneTCP(net.Conn) {}

// delivered is what this system does not tell.
func delivered(net.Conn) uint64 { return 0 }

// tcpStats is neither.
func tcpStats(net.Conn) Stats { return Stats{} }
