package wire

// Role says what the dialer of a session is.
type Role uint8

// The roles that dial a relay.
const (
	RoleEdge Role = 1 // accepts streams, shares a connection
	RoleHub  Role = 2 // opens streams, for the crawler
)

// App is what a stream is for. The names are those of the owner's policy.
type App uint8

// The applications.
const (
	AppProxy App = 1 // one TCP connection to the target
	AppCrawl App = 2 // one batch of fetches
)

// String is "proxy" or "crawl".
func (a App) String() string {
	switch a {
	case AppProxy:
		return "proxy"
	case AppCrawl:
		return "crawl"
	}
	return "unknown app"
}

// Apps is a set of applications: the bit a-1 stands for the application a.
type Apps uint8

// AppsOf is the set of the given applications.
func AppsOf(apps ...App) Apps {
	var s Apps
	for _, a := range apps {
		s |= a.bit()
	}
	return s
}

// Has tells whether a is in the set.
func (s Apps) Has(a App) bool { return s&a.bit() != 0 }

// bit is zero for a number that no set can hold.
func (a App) bit() Apps { return 1 << (uint8(a) - 1) }

// Hello is the first frame of the control stream. The sender's identity is not in
// it: TLS has proved it.
type Hello struct {
	Version uint16
	Role    Role
	Apps    Apps     // what the edge's owner serves
	Streams uint16   // how many streams the sender accepts at once
	Clock   int64    // the sender's clock, Unix milliseconds
	Network string   // "main", "sandbox", …: both ends must agree
	Agent   string   // program and version
	Consent [32]byte // hash of the consent text the owner agreed to; zero for a hub
	Policy  [32]byte // digest of the owner's policy; zero for a hub
}

func (m Hello) Type() Type { return TypeHello }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Hello) Append(b []byte) []byte { return encode(b, &m) }

// ParseHello reads the body of a Hello.
func ParseHello(b []byte) (m Hello, err error) { err = decode(b, &m); return m, err }

func (m *Hello) fields(c *cursor) {
	u16(c, &m.Version)
	u8(c, &m.Role)
	u8(c, &m.Apps)
	u16(c, &m.Streams)
	u64(c, &m.Clock)
	c.str8("network", &m.Network, MaxNetwork)
	c.str8("agent", &m.Agent, MaxAgent)
	c.fixed(m.Consent[:])
	c.fixed(m.Policy[:])
}

// Welcome answers Hello and sets the terms of the session.
type Welcome struct {
	Version uint16
	Clock   int64  // the relay's clock, Unix milliseconds
	Streams uint16 // how many streams the relay will keep open at once
	Step    uint32 // bytes between two receipts
	Window  uint32 // unsigned bytes at which either side stops
	Region  string // where the relay places the edge
}

func (m Welcome) Type() Type { return TypeWelcome }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Welcome) Append(b []byte) []byte { return encode(b, &m) }

// ParseWelcome reads the body of a Welcome.
func ParseWelcome(b []byte) (m Welcome, err error) { err = decode(b, &m); return m, err }

func (m *Welcome) fields(c *cursor) {
	u16(c, &m.Version)
	u64(c, &m.Clock)
	u16(c, &m.Streams)
	u32(c, &m.Step)
	u32(c, &m.Window)
	c.str8("region", &m.Region, MaxRegion)
}
