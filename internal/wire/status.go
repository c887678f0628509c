package wire

// The bits of Status.Flags.
const (
	// StatusPaused is set while the owner has paused the edge: it refuses every new
	// stream.
	StatusPaused uint8 = 1
	// StatusRolling is set when a new session of the edge is about to come: this one
	// is to be kept until the channel of the new one is open. The edge then says Bye
	// here.
	StatusRolling uint8 = 2
	// StatusSealed is set when the edge has attacked its own home through its own
	// way out and every attack was refused. A relay gives no work to an edge that
	// does not say so, a browser's aside: it cannot know the addresses that it
	// reaches, and has a relay screen them.
	StatusSealed uint8 = 4
)

// Status tells the relay what the owner's rules allow now. An edge sends it on
// every change and every 30 s.
type Status struct {
	Flags  uint8
	Room   uint64   // bytes the owner's caps still allow
	Policy [32]byte // digest of the policy in force
	Apps   Apps
}

func (m Status) Type() Type { return TypeStatus }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Status) Append(b []byte) []byte { return encode(b, &m) }

// ParseStatus reads the body of a Status.
func ParseStatus(b []byte) (m Status, err error) { err = decode(b, &m); return m, err }

func (m *Status) fields(c *cursor) {
	u8(c, &m.Flags)
	u64(c, &m.Room)
	c.fixed(m.Policy[:])
	u8(c, &m.Apps)
}

// Bye announces that the sender opens and accepts no new stream, and closes the
// session when the running ones have ended. As the answer to Hello it is a refusal.
type Bye struct {
	Code   Code
	Detail string // one sentence for people; never parsed
}

func (m Bye) Type() Type { return TypeBye }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Bye) Append(b []byte) []byte { return encode(b, &m) }

// ParseBye reads the body of a Bye.
func ParseBye(b []byte) (m Bye, err error) { err = decode(b, &m); return m, err }

func (m *Bye) fields(c *cursor) {
	u16(c, &m.Code)
	c.str8("detail", &m.Detail, MaxDetail)
}
