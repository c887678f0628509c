package wire

// MaxCountry is in bytes, of a country's code.
const MaxCountry = 2

// Place tells a hub where an edge is, before it first joins a stream of the hub's to that edge: pages name the country and
// the network they were fetched from. What the relay does not know is empty and zero.
type Place struct {
	Edge    ID
	Country string // ISO 3166-1 alpha-2 in lower case
	ASN     uint32 // of the network that announces its address
}

func (m Place) Type() Type { return TypePlace }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Place) Append(b []byte) []byte { return encode(b, &m) }

// ParsePlace reads the body of a Place.
func ParsePlace(b []byte) (m Place, err error) { err = decode(b, &m); return m, err }

func (m *Place) fields(c *cursor) {
	c.fixed(m.Edge[:])
	c.str8("country", &m.Country, MaxCountry)
	u32(c, &m.ASN)
}
