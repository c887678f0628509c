package accounting

import (
	"fmt"

	"sward/internal/identity"
)

// An event is something that the hub itself decided. Channels and receipts stand in the journal as their parties signed
// them; everything else is an event, signed by the hub together with the place where it stands: its sequence, the time,
// and the hash of the record before it. So each event vouches for the whole journal up to itself, and none can be
// dropped, doubled, moved or slipped in by somebody who holds the files but not the hub's key.
type event interface {
	kind() eventKind
	walk(*walker)
}

// The events. The comments are the layout after the head: numbers big-endian, str8 and bytes16 length and bytes.
type (
	// opened is the first record of every journal: network str8 | hub [32]
	openedEvent struct {
		Network string
		Hub     identity.ID
	}
	// id u32 | price per GiB, edge's part, relay's part: i64 each, in micro-points
	priceEvent struct{ Price Price }
	// id [16] | purpose u16 | SHA-256 of the key [32] | name str8
	partnerEvent struct {
		ID      PartnerID
		Purpose uint16
		Key     Hash
		Name    string
	}
	// partner [16] | bytes bought u64 | price id u32 | amount i64
	depositEvent struct {
		Partner PartnerID
		Bytes   uint64
		Price   uint32
		Amount  Micro
	}
	// SHA-256 of the code [32] | end i64 (Unix ms)
	inviteEvent struct {
		Code    Hash
		Expires int64
	}
	// SHA-256 of the code [32] | edge [32] | hash of the terms [32]
	consentEvent struct {
		Code    Hash
		Edge    identity.ID
		Consent Hash
	}
	// id [32] | proxy, tunnel, region: str8 each
	relayEvent struct{ Relay RelayInfo }
	// partner [16] | signed grant bytes16. A known id extends that grant.
	grantEvent struct {
		Partner PartnerID
		Grant   SignedGrant
	}
	// grant [16] | n u16 × (channel [32] | serial u64)
	releaseEvent struct {
		Grant  GrantID
		Finals []Final
	}
	// nothing: time has passed, and what is over is closed
	expireEvent struct{}
	// peer [32] | reason str8; an empty reason lifts a suspension
	suspendEvent struct {
		Peer   identity.ID
		Reason string
	}
	// submitter [32]: the channels and receipts that follow, up to the next event, were handed in by it at this time
	settleEvent struct{ Submitter identity.ID }
	// rule str8 | signed receipt bytes16: a receipt that contradicts the one on file, kept as proof
	evidenceEvent struct {
		Rule    Refusal
		Receipt []byte
	}
	// partner [16] | rate, burst, streams: u32 each | bytes a day u64. A field of 0 is the network's default.
	limitEvent struct {
		Partner PartnerID
		Limits  Limits
	}
	// partner [16] | source [16] | bytes counted there in all u64 | amount paid now i64, in micro-points
	refundEvent struct {
		Partner PartnerID
		Source  [16]byte
		Total   uint64
		Amount  Micro
	}
)

// eventKind is an event's record type in the journal. The numbers below it are left to what others signed.
type eventKind uint16

// Record types. The first two are the kinds of their signed bodies.
const (
	recordChannel = kindChannel
	recordReceipt = kindReceipt
)

const (
	eventOpen eventKind = 0x10 + iota
	eventPrice
	eventPartner
	eventDeposit
	eventInvite
	eventConsent
	eventRelay
	eventGrant
	eventRelease
	eventExpire
	eventSuspend
	eventSettle
	eventEvidence
	eventLimit
	eventRefund
)

// eventKinds makes an empty event of each kind. "book/" and the name is what the hub signs it as.
var eventKinds = map[eventKind]struct {
	name string
	make func() event
}{
	eventOpen:     {"open", func() event { return new(openedEvent) }},
	eventPrice:    {"price", func() event { return new(priceEvent) }},
	eventPartner:  {"partner", func() event { return new(partnerEvent) }},
	eventDeposit:  {"deposit", func() event { return new(depositEvent) }},
	eventInvite:   {"invite", func() event { return new(inviteEvent) }},
	eventConsent:  {"consent", func() event { return new(consentEvent) }},
	eventRelay:    {"relay", func() event { return new(relayEvent) }},
	eventGrant:    {"grant", func() event { return new(grantEvent) }},
	eventRelease:  {"release", func() event { return new(releaseEvent) }},
	eventExpire:   {"expire", func() event { return new(expireEvent) }},
	eventSuspend:  {"suspend", func() event { return new(suspendEvent) }},
	eventSettle:   {"settle", func() event { return new(settleEvent) }},
	eventEvidence: {"evidence", func() event { return new(evidenceEvent) }},
	eventLimit:    {"limit", func() event { return new(limitEvent) }},
	eventRefund:   {"refund", func() event { return new(refundEvent) }},
}

func (*openedEvent) kind() eventKind   { return eventOpen }
func (*priceEvent) kind() eventKind    { return eventPrice }
func (*partnerEvent) kind() eventKind  { return eventPartner }
func (*depositEvent) kind() eventKind  { return eventDeposit }
func (*inviteEvent) kind() eventKind   { return eventInvite }
func (*consentEvent) kind() eventKind  { return eventConsent }
func (*relayEvent) kind() eventKind    { return eventRelay }
func (*grantEvent) kind() eventKind    { return eventGrant }
func (*releaseEvent) kind() eventKind  { return eventRelease }
func (*expireEvent) kind() eventKind   { return eventExpire }
func (*suspendEvent) kind() eventKind  { return eventSuspend }
func (*settleEvent) kind() eventKind   { return eventSettle }
func (*evidenceEvent) kind() eventKind { return eventEvidence }
func (*limitEvent) kind() eventKind    { return eventLimit }
func (*refundEvent) kind() eventKind   { return eventRefund }

// String is the event's name.
func (k eventKind) String() string {
	if known, ok := eventKinds[k]; ok {
		return known.name
	}
	return "unknown event"
}

// signedAs is the type in the signature's domain.
func (k eventKind) signedAs() string { return "book/" + k.String() }

const (
	eventVersion = 1
	maxName      = 64  // bytes of a partner's name: it is the user name of a proxy login
	maxPlace     = 253 // bytes of an address or a region
	maxReason    = 200 // bytes of a suspension's reason
)

func (e *openedEvent) walk(w *walker) { w.str8(&e.Network, maxName); w.fixed(e.Hub[:]) }
func (e *priceEvent) walk(w *walker) {
	w.u32(&e.Price.ID)
	w.micro(&e.Price.GiB)
	w.micro(&e.Price.Edge)
	w.micro(&e.Price.Relay)
}
func (e *partnerEvent) walk(w *walker) {
	w.fixed(e.ID[:])
	w.u16(&e.Purpose)
	w.fixed(e.Key[:])
	w.str8(&e.Name, maxName)
}
func (e *depositEvent) walk(w *walker) {
	w.fixed(e.Partner[:])
	w.u64(&e.Bytes)
	w.u32(&e.Price)
	w.micro(&e.Amount)
}
func (e *inviteEvent) walk(w *walker)  { w.fixed(e.Code[:]); w.i64(&e.Expires) }
func (e *consentEvent) walk(w *walker) { w.fixed(e.Code[:]); w.fixed(e.Edge[:]); w.fixed(e.Consent[:]) }
func (e *relayEvent) walk(w *walker) {
	w.fixed(e.Relay.ID[:])
	w.str8(&e.Relay.Proxy, maxPlace)
	w.str8(&e.Relay.Tunnel, maxPlace)
	w.str8(&e.Relay.Region, maxPlace)
}
func (e *grantEvent) walk(w *walker) {
	w.fixed(e.Partner[:])
	signed := e.Grant.Bytes()
	w.bytes16(&signed)
	if !w.writing && w.err == nil {
		e.Grant, w.err = ParseSignedGrant(signed)
	}
}
func (e *releaseEvent) walk(w *walker) {
	w.fixed(e.Grant[:])
	n := uint16(len(e.Finals))
	if len(e.Finals) > MaxFinals {
		w.fail("too many channels")
	}
	w.u16(&n)
	if w.err != nil || n > MaxFinals {
		w.fail("too many channels")
		return
	}
	if !w.writing {
		e.Finals = make([]Final, n)
	}
	for i := range e.Finals {
		w.fixed(e.Finals[i].Channel[:])
		w.u64(&e.Finals[i].Serial)
	}
}
func (*expireEvent) walk(*walker)       {}
func (e *suspendEvent) walk(w *walker)  { w.fixed(e.Peer[:]); w.str8(&e.Reason, maxReason) }
func (e *settleEvent) walk(w *walker)   { w.fixed(e.Submitter[:]) }
func (e *evidenceEvent) walk(w *walker) { w.str8((*string)(&e.Rule), maxName); w.bytes16(&e.Receipt) }
func (e *limitEvent) walk(w *walker) {
	w.fixed(e.Partner[:])
	w.u32(&e.Limits.Rate)
	w.u32(&e.Limits.Burst)
	w.u32(&e.Limits.Streams)
	w.u64(&e.Limits.Day)
}
func (e *refundEvent) walk(w *walker) {
	w.fixed(e.Partner[:])
	w.fixed(e.Source[:])
	w.u64(&e.Total)
	w.micro(&e.Amount)
}

// place is where an event stands, the head of its body: version u16 | sequence u64 | time i64 (Unix ms) | hash of the
// record before it [32].
type place struct {
	Seq  uint64
	Time int64
	Prev [32]byte
}

func (p *place) walk(w *walker) {
	version := uint16(eventVersion)
	w.u16(&version)
	if version != eventVersion {
		w.fail("unknown version")
	}
	w.u64(&p.Seq)
	w.i64(&p.Time)
	w.fixed(p.Prev[:])
}

// eventBody is the exact bytes that the hub signs.
func eventBody(p place, e event) ([]byte, error) {
	w := walker{writing: true}
	p.walk(&w)
	e.walk(&w)
	return w.b, w.err
}

// parseEvent reads a record: a body and its signature, which stays unchecked.
func parseEvent(kind eventKind, record []byte) (p place, e event, err error) {
	known, ok := eventKinds[kind]
	if !ok {
		return p, nil, fmt.Errorf("record type %d: %w", kind, ErrType)
	}
	if len(record) < signatureSize {
		return p, nil, fmt.Errorf("event %s: %d bytes: %w", kind, len(record), ErrLength)
	}
	w := walker{b: record[:len(record)-signatureSize]}
	e = known.make()
	p.walk(&w)
	e.walk(&w)
	if w.err == nil && len(w.b) > 0 {
		w.err = ErrLength
	}
	if w.err != nil {
		return p, nil, fmt.Errorf("event %s: %w", kind, w.err)
	}
	return p, e, nil
}
