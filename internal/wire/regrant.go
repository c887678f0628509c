package wire

// Regrant carries a later version of a grant that streams already run on: the same
// id with a higher limit or a later expiry. A relay sends it before any stream
// moves a byte that only the later version covers.
type Regrant struct {
	Grant []byte // signed grant, as in Open
}

func (m Regrant) Type() Type { return TypeRegrant }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Regrant) Append(b []byte) []byte { return encode(b, &m) }

// ParseRegrant reads the body of a Regrant.
func ParseRegrant(b []byte) (m Regrant, err error) { err = decode(b, &m); return m, err }

func (m *Regrant) fields(c *cursor) { c.bytes16("grant", &m.Grant, MaxGrant) }
