package wire

import "bytes"

// tallySize is the length of one Tally: grant, up, down, streams.
const tallySize = 16 + 8 + 8 + 4

// Tally is what one grant has used of a channel since the channel opened.
type Tally struct {
	Grant   [16]byte
	Up      uint64 // bytes from the partner towards the target
	Down    uint64 // bytes from the target towards the partner
	Streams uint32 // streams opened
}

// Count is the edge's view of a channel: cumulative, ascending by grant, at most
// MaxTallies.
type Count struct {
	Channel [32]byte
	Tallies []Tally
}

func (m Count) Type() Type { return TypeCount }

// Append adds the body to b, or returns nil if a field breaks its limit or the
// tallies are not in strictly ascending order.
func (m Count) Append(b []byte) []byte { return encode(b, &m) }

// ParseCount reads the body of a Count.
func ParseCount(b []byte) (m Count, err error) { err = decode(b, &m); return m, err }

func (m *Count) fields(c *cursor) {
	c.fixed(m.Channel[:])
	n := c.length("number of tallies", len(m.Tallies), 2, MaxTallies, tallySize)
	if n > 0 && !c.writing {
		m.Tallies = make([]Tally, n)
	}
	for i := range n {
		t := &m.Tallies[i]
		c.fixed(t.Grant[:])
		u64(c, &t.Up)
		u64(c, &t.Down)
		u32(c, &t.Streams)
		if i > 0 && bytes.Compare(m.Tallies[i-1].Grant[:], t.Grant[:]) >= 0 {
			c.fail("has tallies out of order")
		}
	}
}

// ReceiptOffer carries a receipt's body as the relay signed it.
type ReceiptOffer struct {
	Body []byte
	Sig  [64]byte // by the relay's channel key
}

func (m ReceiptOffer) Type() Type { return TypeReceiptOffer }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m ReceiptOffer) Append(b []byte) []byte { return encode(b, &m) }

// ParseReceiptOffer reads the body of a ReceiptOffer.
func ParseReceiptOffer(b []byte) (m ReceiptOffer, err error) { err = decode(b, &m); return m, err }

func (m *ReceiptOffer) fields(c *cursor) {
	c.bytes16("body", &m.Body, MaxReceiptBody)
	c.fixed(m.Sig[:])
}

// ReceiptSign is the edge's signature over the offered receipt.
type ReceiptSign struct {
	Channel [32]byte
	Serial  uint64
	Sig     [64]byte // by the edge's channel key
}

func (m ReceiptSign) Type() Type { return TypeReceiptSign }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m ReceiptSign) Append(b []byte) []byte { return encode(b, &m) }

// ParseReceiptSign reads the body of a ReceiptSign.
func ParseReceiptSign(b []byte) (m ReceiptSign, err error) { err = decode(b, &m); return m, err }

func (m *ReceiptSign) fields(c *cursor) {
	c.fixed(m.Channel[:])
	u64(c, &m.Serial)
	c.fixed(m.Sig[:])
}

// Done closes the account of one stream: the sender's final count of the direction
// it has authority over (edge: up, relay: down).
type Done struct {
	Stream uint64 // QUIC stream id
	Bytes  uint64
}

func (m Done) Type() Type { return TypeDone }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Done) Append(b []byte) []byte { return encode(b, &m) }

// ParseDone reads the body of a Done.
func ParseDone(b []byte) (m Done, err error) { err = decode(b, &m); return m, err }

func (m *Done) fields(c *cursor) {
	u64(c, &m.Stream)
	u64(c, &m.Bytes)
}
