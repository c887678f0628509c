package gateway

import "net"

// A stream that does not have a socket to itself says by these what the partner has of it: one inside TLS, HTTP/2 or
// HTTP/3.
type (
	// unacknowledger knows how many of the bytes written to it its partner has not acknowledged.
	unacknowledger interface{ unacknowledged() int }
	// leaver knows whether anything will still be acknowledged.
	leaver interface{ gone() bool }
	// mover knows how far the acknowledgements are, of everything that shares its socket.
	mover interface{ acknowledged() uint64 }
	// abandoner is one that cannot be cut without the others.
	abandoner interface{ abandon() }
	// wrapper is a connection over another one.
	wrapper interface{ NetConn() net.Conn }
)

// Unacknowledged is how many bytes written to conn its partner has not acknowledged yet. It is never too small, but
// where the system does not tell (unacked_other.go): there what was written counts as delivered, as it does where conn is
// no partner's connection. It is not known of a TCP connection that this side has closed.
func Unacknowledged(conn net.Conn) (bytes int, known bool) {
	ended := true // by us, as far as is known
	for {
		switch c := conn.(type) {
		case unacknowledger:
			return c.unacknowledged(), true
		case *client:
			ended = c.ended.Load()
			conn = c.Conn
		case wrapper:
			conn = c.NetConn()
		default:
			return queued(conn, ended)
		}
	}
}

// Gone reports whether client will acknowledge nothing more: it has reset the connection, or the connection is closed.
func Gone(client net.Conn) bool {
	for {
		switch c := client.(type) {
		case leaver:
			return c.gone()
		case wrapper:
			client = c.NetConn()
		default:
			return resetByPeer(client)
		}
	}
}

// Moved is a number that changes when client acknowledges anything that waits before the bytes of this stream, as other
// streams' bytes on its connection do; 0 where there are none.
func Moved(client net.Conn) uint64 {
	for {
		switch c := client.(type) {
		case mover:
			return c.acknowledged()
		case wrapper:
			client = c.NetConn()
		default:
			return 0
		}
	}
}

// Abandon takes back what waits for a client that acknowledges nothing any more, after its Reset, at the cost of what
// shares its connection.
func Abandon(client net.Conn) {
	for {
		switch c := client.(type) {
		case abandoner:
			c.abandon()
			return
		case wrapper:
			client = c.NetConn()
		default:
			return
		}
	}
}
