package tunnel

import "time"

// Stats is what a session's carrier has measured of its path since the session began.
type Stats struct {
	RTT    time.Duration // smoothed; 0: not measured yet
	MinRTT time.Duration // the least; 0 where the carrier does not tell
	// Packets of QUIC or segments of TCP that this end has sent, and how many of them were lost or sent again. 0 sent: the
	// carrier does not tell, as over TCP on other systems than Linux.
	Sent, Lost uint64
}

// Stats is what is known of the session's path.
func (s *Session) Stats() Stats { return s.conn.stats() }

func (c quicCarrier) stats() Stats {
	m := c.conn.ConnectionStats()
	return Stats{RTT: m.SmoothedRTT, MinRTT: m.MinRTT, Sent: m.PacketsSent, Lost: m.PacketsLost}
}

func (c *tcpCarrier) stats() Stats {
	m := tcpStats(c.link.raw.Conn)
	m.RTT = c.mux.RTT()
	return m
}
