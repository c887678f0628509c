package wire

// Demand tells an edge what was asked of the relay lately and what became of it, so that an owner who earned nothing can see
// why. All counts are of requests within Period; retries are not counted. A relay sends it once a minute, if there was any.
type Demand struct {
	Period uint32 // seconds that this frame is about

	// Exact. Seen is the sum of the four that follow.
	Seen      uint64 // requests in all
	Named     uint64 // for one certain edge: those of running sessions
	Elsewhere uint64 // for a place where this edge is not
	OtherApp  uint64 // for an app that its owner does not share for
	Eligible  uint64 // that were open to an edge of this place and these apps
	Won       uint64 // of Eligible, given to this edge
	Kept      uint64 // of Named, given to this edge

	// Estimates: what was counted of all requests, times Eligible / (Seen - Named).
	Paused   uint64 // came while the edge served nothing, by its own word
	Full     uint64 // came while it carried as many streams as it may
	Capped   uint64 // came while its caps left no room
	Away     uint64 // came while the relay had no good tunnel to it, or had not opened its channel
	Barred   uint64 // came while the hub or the relay had reason to give it nothing
	Unsealed uint64 // came while the edge had not shown that its home is sealed
	Blocked  uint64 // would have been refused by its owner's rules, as others with the same rules have shown

	// How the edge stands among those that it shares the requests with.
	Fair     uint64 // thousandths of a request: what an average one of them had of Eligible
	Lines    uint32 // them, itself included: edges of its country that take streams now
	Weight   uint16 // thousandths: its share against that of an edge without fault
	Failing  uint16 // thousandths of its openings that failed lately
	Delay    uint16 // thousandths by which its openings are slower than others'; 0: as quick
	Prefix   uint16 // edges in its /24 or /48, itself included, which share one prefix's part
	Fellows  uint32 // edges in its network (ASN), itself included
	RoomLeft uint16 // thousandths: how little its caps' room lowers its share; 1000: not at all
}

func (m Demand) Type() Type { return TypeDemand }

// Append adds the body to b, or returns nil if a field breaks its limit.
func (m Demand) Append(b []byte) []byte { return encode(b, &m) }

// ParseDemand reads the body of a Demand.
func ParseDemand(b []byte) (m Demand, err error) { err = decode(b, &m); return m, err }

func (m *Demand) fields(c *cursor) {
	u32(c, &m.Period)
	for _, p := range []*uint64{
		&m.Seen, &m.Named, &m.Elsewhere, &m.OtherApp, &m.Eligible, &m.Won, &m.Kept,
		&m.Paused, &m.Full, &m.Capped, &m.Away, &m.Barred, &m.Unsealed, &m.Blocked, &m.Fair,
	} {
		u64(c, p)
	}
	u32(c, &m.Lines)
	for _, p := range []*uint16{&m.Weight, &m.Failing, &m.Delay, &m.Prefix} {
		u16(c, p)
	}
	u32(c, &m.Fellows)
	u16(c, &m.RoomLeft)
}
