package wire

// Route tells a relay which edge the hub wants. It stands before Open, and its
// absence means any edge.
type Route struct {
	Edge  ID   // zero: the relay chooses
	Avoid []ID // edges not to choose
}

func (m Route) Type() Type { return TypeRoute }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Route) Append(b []byte) []byte { return encode(b, &m) }

// ParseRoute reads the body of a Route.
func ParseRoute(b []byte) (m Route, err error) { err = decode(b, &m); return m, err }

func (m *Route) fields(c *cursor) {
	c.fixed(m.Edge[:])
	n := c.length("number of edges", len(m.Avoid), 1, MaxAvoid, len(ID{}))
	if n > 0 && !c.writing {
		m.Avoid = make([]ID, n)
	}
	for i := range n {
		c.fixed(m.Avoid[i][:])
	}
}

// Open asks for a stream to a target. It is the first frame of every stream but
// the control stream (a hub may put Route before it).
type Open struct {
	Grant []byte // signed grant; accounting parses it
	App   App
	Hops  uint8  // relays passed so far: more than MaxHops is a loop
	Host  string // name or address literal, as the partner wrote it; empty for a crawl
	Port  uint16
}

func (m Open) Type() Type { return TypeOpen }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Open) Append(b []byte) []byte { return encode(b, &m) }

// ParseOpen reads the body of an Open.
func ParseOpen(b []byte) (m Open, err error) { err = decode(b, &m); return m, err }

func (m *Open) fields(c *cursor) {
	c.bytes16("grant", &m.Grant, MaxGrant)
	u8(c, &m.App)
	u8(c, &m.Hops)
	c.str8("host", &m.Host, MaxHost)
	u16(c, &m.Port)
}

// Opened answers Open. With code OK the stream is joined to the target, and the
// next byte is the connection's; any other code is a refusal and the stream's end.
type Opened struct {
	Code   Code
	Edge   ID     // the edge that answers; zero when none was reached
	Detail string // one sentence for people; never parsed
}

func (m Opened) Type() Type { return TypeOpened }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Opened) Append(b []byte) []byte { return encode(b, &m) }

// ParseOpened reads the body of an Opened.
func ParseOpened(b []byte) (m Opened, err error) { err = decode(b, &m); return m, err }

func (m *Opened) fields(c *cursor) {
	u16(c, &m.Code)
	c.fixed(m.Edge[:])
	c.str8("detail", &m.Detail, MaxDetail)
}

// Err is nil for code OK and otherwise the refusal as an *Error.
func (m Opened) Err() error {
	if m.Code == OK {
		return nil
	}
	return &Error{Code: m.Code, Detail: m.Detail, Edge: m.Edge}
}
