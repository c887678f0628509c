package tunnel

import (
	"net/netip"
	"sync"
	"time"

	"github.com/apernet/quic-go"

	"sward/internal/bbr"
)

// paced keeps a QUIC connection under our own congestion controller.
//
// The hook is Conn.SetCongestionControl of github.com/apernet/quic-go, a fork that follows upstream closely. Upstream has
// none (quic-go issue 776), and its CUBIC carries 4 of 100 Mbit/s where one packet in a hundred is lost. This file and
// the types that internal/bbr takes from the fork are all that knows of it: once upstream has a hook, the imports change
// here and there, and bbr.Control grows the methods by which upstream calls. Without one, upstream works as before: this
// file goes, and sessions are slow on bad lines.
type paced struct {
	conn  *quic.Conn
	yield time.Duration

	mu      sync.Mutex
	control *bbr.Control   // of the path at hand
	peer    netip.AddrPort // to where it leads
}

// control puts conn under a controller that builds a queue of at most yield; see Config.Yield.
func control(conn *quic.Conn, yield time.Duration) *paced {
	p := &paced{conn: conn, yield: yield}
	p.mind()
	return p
}

// mind begins anew on a new path. When a home's router gives the edge another port or address, quic-go forgets the path
// at the relay's end, and the controller with it: from then on it is Reno. The session calls mind at each control frame,
// of which an edge sends one within seconds of such a change.
func (p *paced) mind() {
	if p == nil {
		return
	}
	at, _ := netip.ParseAddrPort(p.conn.RemoteAddr().String()) // what is none stays none, and so the same
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.control != nil && at == p.peer {
		return
	}
	p.peer = at
	p.control = bbr.New(bbr.Config{PacketSize: p.conn.InitialPacketSize(), Yield: p.yield})
	p.conn.SetCongestionControl(p.control)
}

// inFlight is how many bytes this end has sent that the peer has not acknowledged.
func (p *paced) inFlight() int64 {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.control.InFlight()
}
