package accounting

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	// minTolerance and toleranceShare: two honest counts of the same bytes differ by what is between a write and the
	// line of code that counts it. Up to the greater of 64 KiB and half a percent the smaller count holds, and beyond
	// that somebody lies.
	minTolerance   = 64 << 10
	toleranceShare = 200

	// A receipt for less than an eighth of a step is not worth two signatures, unless nothing was signed for a second.
	smallAdvance = 8
	signAnyway   = time.Second
)

// Side is whose view of a channel a Meter is.
type Side uint8

// The edge has authority over the bytes towards the target, the relay over those towards the partner.
const (
	EdgeSide Side = iota + 1
	RelaySide
)

// MeterConfig says which channel to meter, and for whom.
type MeterConfig struct {
	Side    Side
	Network string
	Channel Channel
	Key     identity.Key     // this side's key of the channel, not its identity
	Now     func() time.Time // nil is time.Now
}

// Meter is one side's live view of a channel: it counts what its streams move, signs receipts with the other side, and
// stops the streams when the other side does not. It does no I/O: the caller carries its messages.
//
//	edge                                    relay
//	Count (when Due, and every 2 s)  ─────▶ Offer
//	Cosign, keep the receipt         ◀───── (wire.ReceiptOffer)
//	(wire.ReceiptSign)               ─────▶ Complete, keep the receipt
//
// Messages may be lost or repeated: the relay keeps offering the same receipt until it is signed, and so never signs two
// for one serial. One more receipt may be on its way than is signed, never two. Safe for concurrent use.
type Meter struct {
	cfg MeterConfig
	id  ChannelID

	unsigned atomic.Int64  // own bytes of both directions that are neither in a receipt nor written off
	fresh    atomic.Int64  // of those, counted since the last Count
	open     atomic.Int32  // streams that this side has not closed
	grants   atomic.Int32  // that streams were registered for
	due      chan struct{} // one slot

	mu       sync.Mutex
	flows    map[uint64]*Flow // until both sides have ended the stream
	early    earlyDones
	tallies  map[GrantID]*tally
	sorted   []*tally      // the same, ascending by grant
	progress chan struct{} // closed and replaced whenever bytes leave unsigned
	last     SignedReceipt
	sent     wire.ReceiptOffer // what last was offered in; relay
	answer   wire.ReceiptSign  // what last was signed with; edge
	pending  *pendingReceipt   // offered and not signed yet; relay
	written  uint64            // bytes written off
	draining bool
	fault    error // why this side signs no more
}

// tally is this side's count of one grant.
type tally struct {
	grant    GrantID
	up, down atomic.Uint64
	unsigned atomic.Int64
	streams  uint32 // under the meter's mu
	signed   Tally  // in the last receipt; under the meter's mu
}

type pendingReceipt struct {
	Receipt
	offer wire.ReceiptOffer
}

// NewMeter begins the account of a channel that both sides have signed.
func NewMeter(cfg MeterConfig) *Meter {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m := &Meter{
		cfg: cfg, id: cfg.Channel.ID(cfg.Network), due: make(chan struct{}, 1), progress: make(chan struct{}),
		flows: map[uint64]*Flow{}, tallies: map[GrantID]*tally{},
	}
	want := cfg.Channel.EdgeKey
	if cfg.Side == RelaySide {
		want = cfg.Channel.RelayKey
	}
	if cfg.Key.ID() != want {
		m.fault = fmt.Errorf("channel %s: it names another key for this side: %w", m.id, ErrParty)
	}
	return m
}

// ID names the channel.
func (m *Meter) ID() ChannelID { return m.id }

// Window is how many unsigned bytes either side may have on the channel.
func (m *Meter) Window() uint32 { return m.cfg.Channel.Window }

// Due is signalled on the edge whenever a step of bytes has passed since the last Count.
func (m *Meter) Due() <-chan struct{} { return m.due }

// Count is the edge's word to the relay: what each grant has used so far. False when there is nothing to sign, or the
// channel's time is over.
func (m *Meter) Count() (wire.Count, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fresh.Store(0)
	if m.cfg.Side != EdgeSide || m.fault != nil || m.unsigned.Load() <= 0 || m.over() {
		return wire.Count{}, false
	}
	c := wire.Count{Channel: m.id, Tallies: make([]wire.Tally, 0, len(m.sorted))}
	for _, t := range m.sorted {
		c.Tallies = append(c.Tallies, wire.Tally{Grant: t.grant, Up: t.up.Load(), Down: t.down.Load(), Streams: t.streams})
	}
	return c, true
}

// Offer is the relay's answer to a Count: the next receipt, with the edge's count of what went up and the relay's own of
// what went down, signed. Where both count, the smaller holds. While an offered receipt is not signed, and when there
// is nothing new worth signing, the answer is the last offer again, which costs the edge nothing. Every error ends the
// channel. Refusals: channel, expired, count, mismatch.
func (m *Meter) Offer(c wire.Count) (wire.ReceiptOffer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.cfg.Side != RelaySide || m.fault != nil:
		return wire.ReceiptOffer{}, m.refuse("offer", ErrParty)
	case c.Channel != m.id:
		return wire.ReceiptOffer{}, fmt.Errorf("count for channel %s: %w", ChannelID(c.Channel), ErrChannel)
	case m.over():
		return wire.ReceiptOffer{}, fmt.Errorf("count for channel %s: %w", m.id, ErrExpired)
	case m.pending != nil:
		return m.pending.offer, nil
	}
	tallies, err := m.agree(c.Tallies)
	if err != nil {
		return wire.ReceiptOffer{}, fmt.Errorf("count for channel %s: %w", m.id, err)
	}
	r := Receipt{Channel: m.id, Serial: m.last.Serial + 1, Tallies: tallies}
	r.Time = max(m.cfg.Now().UnixMilli(), m.last.Time, 0)
	if !r.Sum() {
		return wire.ReceiptOffer{}, fmt.Errorf("count for channel %s: %w", m.id, ErrCount)
	}
	if m.last.Serial > 0 {
		r.Prev = sha256.Sum256(m.last.Body)
		if !m.worthSigning(r) {
			return m.sent, nil
		}
	}
	if advance := r.Up + r.Down - m.last.Up - m.last.Down; m.draining && len(m.flows) == 0 && m.unsigned.Load() == int64(advance) {
		r.Flags = FlagFinal
	}
	body := r.Append(nil)
	offer := wire.ReceiptOffer{Body: body, Sig: [64]byte(m.cfg.Key.Sign(m.cfg.Network, typeReceipt, body))}
	m.pending = &pendingReceipt{Receipt: r, offer: offer}
	return offer, nil
}

// agree makes the tallies of the next receipt from the edge's counts and this relay's, none below what is signed already:
// a Count that was overtaken by later ones changes nothing.
func (m *Meter) agree(told []wire.Tally) ([]Tally, error) {
	theirs := make(map[GrantID]wire.Tally, len(told))
	for _, t := range told {
		if _, ok := AddChecked(t.Up, t.Down); !ok {
			return nil, ErrCount
		}
		if m.tallies[t.Grant] == nil && t.Up > minTolerance {
			return nil, fmt.Errorf("%d bytes up on grant %s, which it was not sent: %w", t.Up, GrantID(t.Grant), ErrMismatch)
		}
		theirs[t.Grant] = t
	}
	var agreed []Tally
	for _, t := range m.sorted {
		next := t.signed
		if their, ok := theirs[t.grant]; ok {
			up, down := t.up.Load(), t.down.Load()
			if their.Up > up+tolerance(up) {
				return nil, fmt.Errorf("%d bytes up on grant %s, %d were sent: %w", their.Up, t.grant, up, ErrMismatch)
			}
			next = Tally{
				Grant:   t.grant,
				Up:      max(next.Up, min(their.Up, up)),
				Down:    max(next.Down, min(their.Down, down)),
				Streams: max(next.Streams, min(their.Streams, t.streams)),
			}
		}
		if next != (Tally{Grant: t.grant}) && next != (Tally{}) {
			agreed = append(agreed, next)
		}
	}
	return agreed, nil
}

// worthSigning says whether r tells enough more than the last receipt.
func (m *Meter) worthSigning(r Receipt) bool {
	advance := r.Up + r.Down - m.last.Up - m.last.Down
	switch {
	case m.last.Flags&FlagFinal != 0 || advance == 0:
		return false
	case advance >= uint64(m.cfg.Channel.Step)/smallAdvance || len(m.flows) == 0:
		return true
	}
	return r.Time-m.last.Time >= signAnyway.Milliseconds()
}

// Cosign is the edge's answer to an offer: the receipt with both signatures, to keep, and the signature to send. The
// offer of the last receipt, repeated, gets the same answer again. Every error ends the channel, and is the relay's
// fault. Refusals: all of [ParseReceipt], and channel, serial, fork, previous, expired, regression, mismatch, signature.
func (m *Meter) Cosign(o wire.ReceiptOffer) (SignedReceipt, wire.ReceiptSign, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Side != EdgeSide || m.fault != nil {
		return SignedReceipt{}, wire.ReceiptSign{}, m.refuse("cosign", ErrParty)
	}
	if m.last.Serial > 0 && bytes.Equal(o.Body, m.last.Body) {
		return m.last, m.answer, nil
	}
	r, err := ParseReceipt(o.Body)
	if err != nil {
		return SignedReceipt{}, wire.ReceiptSign{}, fmt.Errorf("offer on channel %s: %w", m.id, err)
	}
	if err := m.checkNext(r); err != nil {
		return SignedReceipt{}, wire.ReceiptSign{}, fmt.Errorf("offer of receipt %d on channel %s: %w", r.Serial, m.id, err)
	}
	if !identity.ID(m.cfg.Channel.RelayKey).Verify(m.cfg.Network, typeReceipt, o.Body, o.Sig[:]) {
		return SignedReceipt{}, wire.ReceiptSign{}, fmt.Errorf("offer of receipt %d on channel %s: %w", r.Serial, m.id, ErrSignature)
	}
	sig := m.cfg.Key.Sign(m.cfg.Network, typeReceipt, o.Body)
	m.answer = wire.ReceiptSign{Channel: m.id, Serial: r.Serial, Sig: [64]byte(sig)}
	m.accept(SignedReceipt{Receipt: r, Body: o.Body, EdgeSig: sig, RelaySig: slices.Clone(o.Sig[:])})
	// What has come since the Count was not in this receipt: without this, a stream at the window waits for the timer.
	if m.unsigned.Load() >= int64(m.cfg.Channel.Step) {
		m.signalDue()
	}
	return m.last, m.answer, nil
}

// checkNext holds an offered receipt against the last one and against this edge's own counts, cheapest first.
func (m *Meter) checkNext(r Receipt) error {
	switch {
	case r.Channel != m.id:
		return ErrChannel
	case r.Serial == m.last.Serial:
		return ErrFork
	case r.Serial != m.last.Serial+1 || m.last.Flags&FlagFinal != 0:
		return fmt.Errorf("after %d: %w", m.last.Serial, ErrSerial)
	case m.last.Serial > 0 && r.Prev != sha256.Sum256(m.last.Body):
		return ErrPrevious
	case m.over():
		return ErrExpired
	}
	kept := 0
	for _, t := range r.Tallies {
		own := m.tallies[t.Grant]
		if own == nil || t.Up > own.up.Load() || t.Down > own.down.Load() || t.Streams > own.streams {
			return fmt.Errorf("more on grant %s than was carried: %w", t.Grant, ErrMismatch)
		}
		if t.Up < own.signed.Up || t.Down < own.signed.Down || t.Streams < own.signed.Streams {
			return fmt.Errorf("on grant %s: %w", t.Grant, ErrRegression)
		}
		if own.signed != (Tally{}) {
			kept++
		}
	}
	if kept != len(m.last.Tallies) {
		return fmt.Errorf("a grant is missing: %w", ErrRegression)
	}
	_, down, _, _ := m.totals()
	underWay := 2*uint64(m.cfg.Channel.Window) + 2*minAllow*uint64(len(m.flows)) // what Allow lets pass at the most
	if lag := down - r.Down; lag > underWay+tolerance(down) {
		return fmt.Errorf("%d of %d bytes down are said to be undelivered: %w", lag, down, ErrMismatch)
	}
	return nil
}

// Complete is the relay's end of a receipt: the receipt with both signatures, to keep. A signature that comes again
// gets the last receipt again. Every error ends the channel. Refusals: channel, serial, signature.
func (m *Meter) Complete(s wire.ReceiptSign) (SignedReceipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.cfg.Side != RelaySide || m.fault != nil:
		return SignedReceipt{}, m.refuse("complete", ErrParty)
	case s.Channel != m.id:
		return SignedReceipt{}, fmt.Errorf("signature for channel %s: %w", ChannelID(s.Channel), ErrChannel)
	case s.Serial > 0 && s.Serial <= m.last.Serial:
		return m.last, nil
	case m.pending == nil || s.Serial != m.pending.Serial:
		return SignedReceipt{}, fmt.Errorf("signature of receipt %d on channel %s: %w", s.Serial, m.id, ErrSerial)
	case !identity.ID(m.cfg.Channel.EdgeKey).Verify(m.cfg.Network, typeReceipt, m.pending.offer.Body, s.Sig[:]):
		return SignedReceipt{}, fmt.Errorf("signature of receipt %d on channel %s: %w", s.Serial, m.id, ErrSignature)
	}
	p := m.pending
	m.pending, m.sent = nil, p.offer
	m.accept(SignedReceipt{Receipt: p.Receipt, Body: p.offer.Body, EdgeSig: slices.Clone(s.Sig[:]), RelaySig: slices.Clone(p.offer.Sig[:])})
	return m.last, nil
}

// accept takes a receipt that both sides have signed as the last one, and lets streams go on. Called with mu held.
func (m *Meter) accept(r SignedReceipt) {
	for _, next := range r.Tallies {
		t := m.tallies[next.Grant]
		m.settled(t, next.Up+next.Down-t.signed.Up-t.signed.Down)
		t.signed = next
	}
	m.last = r
	m.wake()
}

// settled takes n bytes out of what is unsigned. Called with mu held.
func (m *Meter) settled(t *tally, n uint64) {
	t.unsigned.Add(-int64(n))
	m.unsigned.Add(-int64(n))
}

// wake lets the streams that wait in Allow look again. Called with mu held.
func (m *Meter) wake() {
	close(m.progress)
	m.progress = make(chan struct{})
}

func (m *Meter) signalDue() {
	select {
	case m.due <- struct{}{}:
	default: // it is signalled already
	}
}

// Fault is why this side signs no more on the channel, or nil. The end of a stream can bring it about, and only who asks
// hears of it: the session is then to be ended, since a new channel needs a new one.
func (m *Meter) Fault() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fault
}

// Drain takes no more streams. When the running ones have ended, the relay marks the receipt that settles them final.
func (m *Meter) Drain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.draining = true
}

// Last is the last receipt that both sides have signed; its Serial is 0 if there is none.
func (m *Meter) Last() SignedReceipt {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// Totals are this side's own counts in bytes, and those of them that both sides have signed.
func (m *Meter) Totals() (up, down, signedUp, signedDown uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.totals()
}

func (m *Meter) totals() (up, down, signedUp, signedDown uint64) {
	for _, t := range m.sorted {
		up += t.up.Load()
		down += t.down.Load()
	}
	return up, down, m.last.Up, m.last.Down
}

// Idle reports whether every stream has been ended by both sides and every byte is signed or written off: the session
// may end without loss to anybody.
func (m *Meter) Idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.flows) == 0 && m.pending == nil && m.unsigned.Load() <= 0
}

// Expired reports whether the channel takes no new streams any more. Running ones have [ChannelGrace] left from its end.
func (m *Meter) Expired(now time.Time) bool { return now.UnixMilli() >= m.cfg.Channel.Expires }

// over reports whether nothing is carried or signed on the channel any more.
func (m *Meter) over() bool { return m.Expired(m.cfg.Now().Add(-ChannelGrace)) }

// refuse is the fault this meter has, or what the caller has done wrong.
func (m *Meter) refuse(what string, r Refusal) error {
	if m.fault != nil {
		return m.fault
	}
	return fmt.Errorf("%s on channel %s: it is the other side's to do: %w", what, m.id, r)
}

// tolerance is how far another count of n bytes may be from n.
func tolerance(n uint64) uint64 { return max(minTolerance, n/toleranceShare) }
