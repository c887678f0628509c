package wire

// ChannelAsk starts a channel of account: the edge names the fresh key with which
// it will sign receipts, and the policy and consent in force.
type ChannelAsk struct {
	ChannelKey [32]byte // Ed25519 public key, new for every process start
	Nonce      [16]byte
	Policy     [32]byte
	Consent    [32]byte
	Class      uint16 // kind of edge: see accounting
}

func (m ChannelAsk) Type() Type { return TypeChannelAsk }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m ChannelAsk) Append(b []byte) []byte { return encode(b, &m) }

// ParseChannelAsk reads the body of a ChannelAsk.
func ParseChannelAsk(b []byte) (m ChannelAsk, err error) { err = decode(b, &m); return m, err }

func (m *ChannelAsk) fields(c *cursor) {
	c.fixed(m.ChannelKey[:])
	c.fixed(m.Nonce[:])
	c.fixed(m.Policy[:])
	c.fixed(m.Consent[:])
	u16(c, &m.Class)
}

// ChannelOffer carries the channel's body as the relay signed it. The bytes travel
// as they were signed; accounting parses them.
type ChannelOffer struct {
	Body []byte
	Sig  [64]byte // by the relay's identity
}

func (m ChannelOffer) Type() Type { return TypeChannelOffer }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m ChannelOffer) Append(b []byte) []byte { return encode(b, &m) }

// ParseChannelOffer reads the body of a ChannelOffer.
func ParseChannelOffer(b []byte) (m ChannelOffer, err error) { err = decode(b, &m); return m, err }

func (m *ChannelOffer) fields(c *cursor) {
	c.bytes16("body", &m.Body, MaxChannelBody)
	c.fixed(m.Sig[:])
}

// ChannelAccept is the edge's signature over the offered body: the channel is open.
type ChannelAccept struct {
	Channel [32]byte // id of the channel, computed from the body
	Sig     [64]byte // by the edge's identity
}

func (m ChannelAccept) Type() Type { return TypeChannelAccept }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m ChannelAccept) Append(b []byte) []byte { return encode(b, &m) }

// ParseChannelAccept reads the body of a ChannelAccept.
func ParseChannelAccept(b []byte) (m ChannelAccept, err error) { err = decode(b, &m); return m, err }

func (m *ChannelAccept) fields(c *cursor) {
	c.fixed(m.Channel[:])
	c.fixed(m.Sig[:])
}
