package accounting

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// What the book refuses of a channel or a receipt, beyond the form that its codec checks. The order is that of the
// checks, cheapest first.
const (
	ErrSubmitter      Refusal = "submitter"       // handed in by neither side of the channel
	ErrUnknownChannel Refusal = "unknown_channel" // the channel itself was never handed in, or is long over
	ErrWindowClosed   Refusal = "window_closed"   // more than a day after the channel's end
	ErrRelay          Refusal = "relay"           // a relay that is not in the network
	ErrSuspended      Refusal = "suspended"       // its edge or its relay is suspended
	ErrConsent        Refusal = "consent"         // the owner accepted other terms than today's
	ErrGrant          Refusal = "grant"           // a grant that is unknown, names another relay, or serves too many channels
	ErrFull           Refusal = "full"            // the book holds as many live channels as it may
)

// errStale is an older receipt, or the same again: nothing is wrong, and nothing changes.
var errStale = errors.New("already on file")

// checkChannel says whether a channel may be entered at now; errStale if it is on file already.
func (s *state) checkChannel(id ChannelID, c Channel, now int64) error {
	if s.channels[id] != nil {
		return errStale
	}
	relay, edge := s.relays[c.Relay], s.edges[c.Edge]
	switch {
	case c.Issuer != s.hub:
		return ErrIssuer
	case relay == nil:
		return ErrRelay
	case relay.suspended != "" || edge != nil && edge.suspended != "":
		return ErrSuspended
	case c.Opened > now+maxSkew.Milliseconds():
		return ErrEarly
	case now > c.Expires+lateReceipts.Milliseconds():
		return ErrWindowClosed
	case len(s.channels) >= maxLiveChannels:
		return ErrFull
	}
	return nil
}

// channel enters a channel. Its signatures have been checked.
func (s *state) channel(id ChannelID, c SignedChannel) error {
	if s.settler.IsZero() {
		return errors.New("channel: outside a settlement")
	}
	if err := s.checkChannel(id, c.Channel, s.time); err != nil {
		return fmt.Errorf("channel: %w", err)
	}
	s.edge(c.Edge)
	live := &liveChannel{id: id, edge: c.Edge, relay: c.Relay, edgeKey: c.EdgeKey, relayKey: c.RelayKey, expires: c.Expires}
	s.channels[id] = live
	s.put(tableChannel, id.String(), live)
	return nil
}

// checkReceipt says whether a receipt is news at now: nil if it is, errStale if it changes nothing, else the rule that it
// breaks. A receipt is news only if it goes on from the one on file: a later serial and no count that shrinks.
func (s *state) checkReceipt(r *SignedReceipt, hash [32]byte, now int64) error {
	c := s.channels[r.Channel]
	switch {
	case c == nil:
		return ErrUnknownChannel
	case c.over(now):
		return ErrWindowClosed
	case r.Serial == c.serial && hash == c.hash:
		return errStale
	case r.Serial == c.serial:
		return ErrFork
	case r.Serial < c.serial && !within(r.Tallies, c.tallies):
		return ErrRegression // it has counted more, earlier
	case r.Serial < c.serial:
		return errStale
	case !covers(r.Tallies, c.tallies):
		return ErrRegression
	case r.Serial == c.serial+1 && c.serial > 0 && r.Prev != c.hash:
		return ErrPrevious
	}
	for _, t := range r.Tallies {
		g := s.grants[t.Grant]
		if g == nil || g.Relay != c.relay {
			return ErrGrant
		}
		if _, counted := find(c.tallies, t.Grant); !counted && g.channels >= g.MaxChannels {
			return ErrGrant
		}
	}
	if unsigned(r.EdgeSig) || unsigned(r.RelaySig) {
		return ErrHalfSigned
	}
	return nil
}

// receipt credits a receipt. Its signatures have been checked.
func (s *state) receipt(r *SignedReceipt, hash [32]byte) error {
	if s.settler.IsZero() {
		return errors.New("receipt: outside a settlement")
	}
	if err := s.checkReceipt(r, hash, s.time); err != nil {
		return fmt.Errorf("receipt %d of channel %s: %w", r.Serial, r.Channel, err)
	}
	c := s.channels[r.Channel]
	tallies := make([]charged, len(r.Tallies))
	for i, t := range r.Tallies {
		before, _ := find(c.tallies, t.Grant)
		bytes, err := s.charge(c, r.Serial, before, t)
		if err != nil {
			return err
		}
		tallies[i] = charged{t, bytes}
	}
	c.gaps += r.Serial - c.serial - 1
	c.serial, c.hash, c.tallies = r.Serial, hash, tallies
	s.put(tableChannel, c.id.String(), c)
	for _, t := range tallies {
		if g := s.grants[t.Grant]; g.phase == grantClosing {
			if err := s.closeIfSettled(g); err != nil {
				return err
			}
		}
	}
	return nil
}

// charge moves the price of what a tally adds out of the grant's reserve, and returns how many bytes of the tally are
// paid for now. Nothing is ever paid beyond the grant's limit, or after the grant has been closed.
func (s *state) charge(c *liveChannel, serial uint64, before charged, t Tally) (uint64, error) {
	g := s.grants[t.Grant]
	if before.Grant != t.Grant {
		g.channels++
	}
	room := uint64(0)
	if g.phase != grantClosed {
		room = g.Limit - g.used
	}
	up := min(t.Up-before.Up, room)
	down := min(t.Down-before.Down, room-up)
	paid := before.bytes + up + down
	g.used += up + down
	s.partners[g.partner].held -= up + down
	s.put(tableGrant, g.ID.String(), g)
	if up+down == 0 {
		return paid, nil
	}
	// Amounts are those of the cumulative bytes; their differences are posted, so no rounding is ever lost.
	price := s.prices[g.Price]
	was, err := price.split(before.bytes)
	if err != nil {
		return 0, err
	}
	is, err := price.split(paid)
	if err != nil {
		return 0, err
	}
	cost, edge, relay := is.cost-was.cost, is.edge-was.edge, is.relay-was.relay
	payee := account{kindEdge, s.edges[c.edge].text}
	s.use(payee, up, down, edge)
	s.earnFrom(c, serial, price.ID, up, down, edge)
	s.usePartner(s.partners[g.partner], up, down, cost)
	return paid, errors.Join(
		s.earn(s.partners[g.partner], cost-edge-relay),
		s.ledger.post(reserveAccount(g.ID), -cost),
		s.ledger.post(payee, edge),
		s.ledger.post(account{kindRelay, s.relays[c.relay].text}, relay),
		s.ledger.post(feeAccount, cost-edge-relay),
	)
}

// Kinds of evidence, the bits of liveChannel.proofs: one proof of each kind is enough.
var proofBits = map[Refusal]int64{ErrFork: 1, ErrRegression: 2, ErrPrevious: 4, ErrHalfSigned: 8}

// foldEvidence keeps a receipt that contradicts the one on file. Both sides have signed both, so both are suspended: an
// honest side never signs a channel after a restart and cannot contradict itself. A half-signed receipt proves nothing
// against anybody and is only kept.
func (s *state) foldEvidence(p place, e *evidenceEvent) error {
	r, err := ParseSignedReceipt(e.Receipt)
	if err != nil {
		return err
	}
	bit, half := proofBits[e.Rule], e.Rule == ErrHalfSigned
	if half != (unsigned(r.EdgeSig) || unsigned(r.RelaySig)) {
		return fmt.Errorf("%s with a signature too many or too few", string(e.Rule))
	}
	switch found := s.checkReceipt(&r, r.Hash(), p.Time); {
	case found == nil:
		return fmt.Errorf("filed as %s, but breaks no rule", string(e.Rule))
	case bit == 0 || !errors.Is(found, e.Rule):
		return fmt.Errorf("filed as %s, but is %w", string(e.Rule), found)
	}
	c := s.channels[r.Channel]
	if c.proofs&bit != 0 {
		return fmt.Errorf("a second proof of %s", string(e.Rule))
	}
	c.proofs |= bit
	s.put(tableChannel, c.id.String(), c)
	found := &evidenceRow{seq: p.Seq, rule: e.Rule, channel: c.id, edge: c.edge, relay: c.relay}
	s.evidence[p.Seq] = found
	s.put(tableEvidence, decimal(p.Seq), found)
	if half {
		return nil
	}
	s.suspend(c.edge, string(e.Rule))
	if relay := s.relays[c.relay]; relay != nil {
		relay.suspended = string(e.Rule)
		s.put(tableRelay, relay.text, relay)
	}
	return nil
}

// find looks a grant up in tallies, which ascend by grant.
func find(in []charged, g GrantID) (charged, bool) {
	i, found := slices.BinarySearchFunc(in, g, func(t charged, g GrantID) int { return bytes.Compare(t.Grant[:], g[:]) })
	if !found {
		return charged{}, false
	}
	return in[i], true
}

// covers reports whether no count of before is missing or smaller in after.
func covers(after []Tally, before []charged) bool {
	i := 0
	for _, b := range before {
		for i < len(after) && bytes.Compare(after[i].Grant[:], b.Grant[:]) < 0 {
			i++
		}
		if i == len(after) || !atLeast(after[i], b.Tally) {
			return false
		}
	}
	return true
}

// within reports whether no count of earlier is above the one on file.
func within(earlier []Tally, onFile []charged) bool {
	for _, t := range earlier {
		if now, found := find(onFile, t.Grant); !found || !atLeast(now.Tally, t) {
			return false
		}
	}
	return true
}

func atLeast(a, b Tally) bool {
	return a.Grant == b.Grant && a.Up >= b.Up && a.Down >= b.Down && a.Streams >= b.Streams
}
