//go:build !linux

package tunnel

import "net"

// tuneTCP does nothing where congestion control is the system's alone.
func tuneTCP(net.Conn) {}
