//go:build !linux

package gateway

import "net"

// queued is 0 where the system does not tell: what was written counts as delivered.
func queued(net.Conn, bool) (bytes int, known bool) { return 0, true }

// resetByPeer is false where the system does not tell.
func resetByPeer(net.Conn) bool { return false }
