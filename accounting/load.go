package accounting

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"sward/internal/identity"
)

// cells takes the values of one row, one after the other.
type cells struct {
	values []any
	err    error
}

func (c *cells) next() any {
	if len(c.values) == 0 {
		c.fail("too few columns")
		return nil
	}
	v := c.values[0]
	c.values = c.values[1:]
	return v
}

func (c *cells) fail(why string) {
	if c.err == nil {
		c.err = errors.New(why)
	}
}

func (c *cells) int() int64 {
	v, ok := c.next().(int64)
	if !ok {
		c.fail("a number is missing")
	}
	return v
}

func (c *cells) text() string {
	v, ok := c.next().(string)
	if !ok {
		c.fail("a text is missing")
	}
	return v
}

func (c *cells) blob() []byte {
	v, ok := c.next().([]byte)
	if !ok {
		c.fail("a blob is missing")
	}
	return v
}

// fixed fills into from a blob, hex from a text in hexadecimal; both must have its length.
func (c *cells) fixed(into []byte) {
	if b := c.blob(); len(b) == len(into) {
		copy(into, b)
	} else {
		c.fail("a blob has the wrong length")
	}
}

func (c *cells) hex(into []byte) {
	b, err := hex.DecodeString(c.text())
	if err != nil || len(b) != len(into) {
		c.fail("an id is malformed")
	}
	copy(into, b)
}

func (c *cells) peer() (id identity.ID) {
	if err := id.UnmarshalText([]byte(c.text())); err != nil {
		c.fail(err.Error())
	}
	return id
}

func loadBook(s *state, c *cells) {
	c.text()
	s.network, s.hub = c.text(), c.peer()
	s.seq = uint64(c.int())
	c.fixed(s.head[:])
	s.time, s.price = c.int(), uint32(c.int())
}

func loadPrice(s *state, c *cells) {
	p := Price{ID: uint32(c.int()), GiB: Micro(c.int()), Edge: Micro(c.int()), Relay: Micro(c.int())}
	s.prices[p.ID] = p
}

func loadPartner(s *state, c *cells) {
	p := new(partner)
	c.hex(p.id[:])
	p.name, p.purpose = c.text(), uint16(c.int())
	c.fixed(p.key[:])
	p.created = c.int()
	s.partners[p.id], s.byName[p.name], s.byKey[p.key] = p, p, p
}

func loadAccount(s *state, c *cells) {
	name := c.text()
	s.ledger.balances[parseAccount(name)] = Micro(c.int())
}

func loadGrant(s *state, c *cells) {
	g := new(liveGrant)
	var id GrantID
	c.hex(id[:])
	c.hex(g.partner[:])
	signed, err := ParseSignedGrant(c.blob())
	if err != nil || signed.ID != id {
		c.fail("a grant is malformed")
	}
	g.SignedGrant, g.used, g.channels, g.phase = signed, uint64(c.int()), uint32(c.int()), c.int()
	for b := c.blob(); len(b) >= 40; b = b[40:] {
		g.finals = append(g.finals, Final{ChannelID(b[:32]), binary.BigEndian.Uint64(b[32:])})
	}
	s.grants[id] = g
	holder := s.partners[g.partner]
	switch {
	case holder == nil:
		c.fail("a grant of nobody")
	case g.phase != grantClosed:
		holder.live++
		holder.held += g.Limit - g.used
	}
}

func loadChannel(s *state, c *cells) {
	l := new(liveChannel)
	c.hex(l.id[:])
	c.fixed(l.edge[:])
	c.fixed(l.relay[:])
	c.fixed(l.edgeKey[:])
	c.fixed(l.relayKey[:])
	l.expires, l.serial = c.int(), uint64(c.int())
	c.fixed(l.hash[:])
	l.gaps, l.proofs = uint64(c.int()), c.int()
	for f := fields(c.blob()); len(f) >= chargedSize; {
		l.tallies = append(l.tallies, charged{Tally{Grant: f.tag(), Up: f.u64(), Down: f.u64(), Streams: f.u32()}, f.u64()})
	}
	s.channels[l.id] = l
}

func loadEdge(s *state, c *cells) {
	e := &edgeRow{text: c.text()}
	if err := e.id.UnmarshalText([]byte(e.text)); err != nil {
		c.fail(err.Error())
	}
	c.fixed(e.consent[:])
	e.consented, e.suspended = c.int(), c.text()
	s.edges[e.id] = e
	if e.suspended != "" {
		s.barred[e.id] = true
	}
}

func loadRelay(s *state, c *cells) {
	r := &relayRow{RelayInfo: RelayInfo{ID: c.peer(), Proxy: c.text(), Tunnel: c.text(), Region: c.text()}}
	r.text, r.admitted, r.suspended = r.ID.String(), c.int(), c.text()
	s.relays[r.ID] = r
}

func loadInvite(s *state, c *cells) {
	i := new(inviteRow)
	c.hex(i.code[:])
	i.expires, i.edge = c.int(), c.peer()
	s.invites[i.code] = i
}

func loadEvidence(s *state, c *cells) {
	e := &evidenceRow{seq: uint64(c.int()), rule: Refusal(c.text())}
	c.hex(e.channel[:])
	e.edge, e.relay = c.peer(), c.peer()
	s.evidence[e.seq] = e
}
