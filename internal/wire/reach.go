package wire

// ReachCircuit is set in Reach.Flags when others can come to the edge over a
// circuit of the relay that is told so.
const ReachCircuit uint8 = 1

// Reach tells a relay how other relays get to the edge. An edge whose owner lets
// them sends it when that changes, and to each new session; all zero takes it back.
type Reach struct {
	Flags uint8
	Port  uint16 // UDP port at which it can be dialled, at the address that Observed names; 0 for none
}

func (m Reach) Type() Type { return TypeReach }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Reach) Append(b []byte) []byte { return encode(b, &m) }

// ParseReach reads the body of a Reach.
func ParseReach(b []byte) (m Reach, err error) { err = decode(b, &m); return m, err }

func (m *Reach) fields(c *cursor) {
	u8(c, &m.Flags)
	u16(c, &m.Port)
}

// DialBack asks a relay to find out whether the edge can be dialled at a UDP port,
// at the address that Observed names.
type DialBack struct{ Port uint16 }

func (m DialBack) Type() Type { return TypeDialBack }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m DialBack) Append(b []byte) []byte { return encode(b, &m) }

// ParseDialBack reads the body of a DialBack.
func ParseDialBack(b []byte) (m DialBack, err error) { err = decode(b, &m); return m, err }

func (m *DialBack) fields(c *cursor) { u16(c, &m.Port) }

// DialedBack is the answer: the relay has come there, or it has not.
type DialedBack struct {
	Port uint16
	Code Code // 0: an edge with this identity answered
}

func (m DialedBack) Type() Type { return TypeDialedBack }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m DialedBack) Append(b []byte) []byte { return encode(b, &m) }

// ParseDialedBack reads the body of a DialedBack.
func ParseDialedBack(b []byte) (m DialedBack, err error) { err = decode(b, &m); return m, err }

func (m *DialedBack) fields(c *cursor) {
	u16(c, &m.Port)
	u16(c, &m.Code)
}
