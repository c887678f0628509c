package wire

// bodyAttest is the type of an Attest among the signed bodies; those of 1, 2 and 3
// are in accounting (PROTOCOL.md §8).
const bodyAttest uint16 = 4

// AttestSize is the length in bytes of every Attest body.
const AttestSize = 2 + 2 + 16 + 32 + 2 + 32 + 8 + 32 + 8 + 32

// Attest is an edge's statement of what it fetched. It is not a frame: its body is
// what the edge's identity signs (type "fetch"), and it travels inside a Page.
//
//	version u16 = 1 | type u16 = 4 | job [16] | URL's SHA-256 [32] | status u16 | body's SHA-256 [32] |
//	body's length u64 | response head's SHA-256 [32] | time i64 ms | channel [32]
type Attest struct {
	Job          [16]byte
	URLHash      [32]byte // SHA-256 of the URL asked for, as it stands in the Batch
	Status       uint16
	BodySHA256   [32]byte // of the decoded body as sent, truncated or not
	BodyLen      uint64   // bytes of the same
	HeaderDigest [32]byte // SHA-256 of Page.Response
	Time         int64    // Unix milliseconds, Page.Started
	Channel      [32]byte // account under which the bytes are billed
}

// Append adds the AttestSize bytes to sign to b.
func (m Attest) Append(b []byte) []byte { return encode(b, &m) }

// ParseAttest reads the signed body. Verify the signature over b first.
func ParseAttest(b []byte) (m Attest, err error) { err = decode(b, &m); return m, err }

func (m *Attest) fields(c *cursor) {
	version, body := uint16(Version), bodyAttest
	u16(c, &version)
	u16(c, &body)
	if version != Version || body != bodyAttest {
		c.fail("is of another version or type")
	}
	c.fixed(m.Job[:])
	c.fixed(m.URLHash[:])
	u16(c, &m.Status)
	c.fixed(m.BodySHA256[:])
	u64(c, &m.BodyLen)
	c.fixed(m.HeaderDigest[:])
	u64(c, &m.Time)
	c.fixed(m.Channel[:])
}
