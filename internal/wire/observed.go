package wire

// Observed tells an edge the address from which its session comes, as the relay sees it: behind a home router that is the
// home's own public address, which the edge cannot know otherwise and must never dial, since the router would answer. A
// relay sends it after Welcome, before any stream.
type Observed struct {
	Address [16]byte // IPv6, or IPv4 mapped into it (RFC 4291 §2.5.5.2)
}

func (m Observed) Type() Type { return TypeObserved }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Observed) Append(b []byte) []byte { return encode(b, &m) }

// ParseObserved reads the body of an Observed.
func ParseObserved(b []byte) (m Observed, err error) { err = decode(b, &m); return m, err }

func (m *Observed) fields(c *cursor) { c.fixed(m.Address[:]) }
