package accounting

import (
	"errors"
	"fmt"

	"sward/internal/identity"
)

// event applies one of the hub's own decisions. On error nothing has changed that matters.
func (s *state) event(p place, e event) error {
	_, proof := e.(*evidenceEvent) // stands within a settlement; every other event ends it
	if !proof {
		if err := s.endSettlement(); err != nil {
			return err
		}
	}
	switch {
	case p.Seq != s.seq+1:
		return fmt.Errorf("%s: signed for place %d", e.kind(), p.Seq)
	case p.Prev != s.head:
		return fmt.Errorf("%s: signed for another history", e.kind())
	case p.Time < s.time:
		return fmt.Errorf("%s: time runs backwards", e.kind())
	}
	if _, first := e.(*openedEvent); first != (p.Seq == 1) {
		return fmt.Errorf("%s: a journal opens once, with its first record", e.kind())
	}
	if !proof {
		s.ledger.begin(p.Seq)
	}
	if err := s.dispatch(p, e); err != nil {
		return fmt.Errorf("%s: %w", e.kind(), err)
	}
	s.forgetEarned(p.Time)
	s.time = p.Time
	if s.settler.IsZero() {
		return s.commit()
	}
	return nil
}

// endSettlement posts what the settlement at the end of the journal has moved, as one transaction.
func (s *state) endSettlement() error {
	s.settler = identity.ID{}
	return s.commit()
}

func (s *state) dispatch(p place, e event) error {
	switch e := e.(type) {
	case *openedEvent:
		s.network, s.hub = e.Network, e.Hub
		return identity.CheckNetwork(e.Network)
	case *priceEvent:
		return s.foldPrice(e)
	case *partnerEvent:
		return s.foldPartner(p, e)
	case *depositEvent:
		return s.foldDeposit(e)
	case *inviteEvent:
		return s.foldInvite(e)
	case *consentEvent:
		return s.foldConsent(p, e)
	case *relayEvent:
		return s.foldRelay(p, e)
	case *grantEvent:
		return s.foldGrant(p, e)
	case *releaseEvent:
		return s.foldRelease(e)
	case *expireEvent:
		return s.foldExpire(p.Time)
	case *suspendEvent:
		return s.foldSuspend(e)
	case *settleEvent:
		s.settler = e.Submitter
		return nil
	case *evidenceEvent:
		return s.foldEvidence(p, e)
	case *limitEvent:
		return s.foldLimits(e)
	case *refundEvent:
		return s.foldRefund(e)
	}
	return errors.New("unknown event")
}

// commit ends the running transaction of the ledger.
func (s *state) commit() error {
	lines, err := s.ledger.commit()
	if err != nil {
		return err
	}
	for _, l := range lines {
		name := l.account.String()
		if l.amount != 0 {
			s.postings = append(s.postings, l)
		}
		if l.account.kind == kindReserve && l.balance == 0 {
			delete(s.ledger.balances, l.account) // used up or returned: nobody asks for it again
			s.drop(tableAccount, name)
			continue
		}
		s.put(tableAccount, name, accountRow{name, l.balance})
	}
	return nil
}

// advance moves on to the record that was just applied; head is its link in the journal's chain.
func (s *state) advance(seq uint64, head [32]byte) {
	s.seq, s.head = seq, head
	s.put(tableBook, bookKey, bookRow{s})
}

func (s *state) foldPrice(e *priceEvent) error {
	if err := e.Price.check(); err != nil {
		return err
	}
	if _, taken := s.prices[e.Price.ID]; taken {
		return fmt.Errorf("price %d exists: grants were issued under it", e.Price.ID)
	}
	s.prices[e.Price.ID] = e.Price
	s.price = e.Price.ID
	s.put(tablePrice, decimal(uint64(e.Price.ID)), priceRow{e.Price})
	return nil
}

func (s *state) foldPartner(p place, e *partnerEvent) error {
	switch {
	case !validName(e.Name):
		return errBadName
	case s.byName[e.Name] != nil:
		return errNameTaken
	case s.partners[e.ID] != nil || s.byKey[e.Key] != nil || e.Purpose == 0:
		return errors.New("id or key is taken, or the purpose is missing")
	}
	added := &partner{id: e.ID, name: e.Name, purpose: e.Purpose, key: e.Key, created: p.Time}
	s.partners[e.ID], s.byName[e.Name], s.byKey[e.Key] = added, added, added
	s.put(tablePartner, e.ID.String(), added)
	return nil
}

func (s *state) foldDeposit(e *depositEvent) error {
	price, known := s.prices[e.Price]
	if !known || s.partners[e.Partner] == nil {
		return errors.New("unknown partner or price")
	}
	amount, err := price.Worth(e.Bytes)
	if err != nil {
		return err
	}
	if amount != e.Amount || amount == 0 {
		return fmt.Errorf("%d bytes are worth %d micro-points, not %d", e.Bytes, amount, e.Amount)
	}
	return s.ledger.move(issueAccount, partnerAccount(e.Partner), amount)
}

func (s *state) foldInvite(e *inviteEvent) error {
	if s.invites[e.Code] != nil {
		return errors.New("code exists")
	}
	i := &inviteRow{code: e.Code, expires: e.Expires}
	s.invites[e.Code] = i
	s.put(tableInvite, e.Code.String(), i)
	return nil
}

func (s *state) foldConsent(p place, e *consentEvent) error {
	i := s.invites[e.Code]
	if i == nil || !i.edge.IsZero() || p.Time >= i.expires || e.Edge.IsZero() {
		return errBadCode
	}
	i.edge = e.Edge
	s.put(tableInvite, i.code.String(), i)
	row := s.edge(e.Edge)
	row.consent, row.consented = e.Consent, p.Time
	return nil
}

func (s *state) foldRelay(p place, e *relayEvent) error {
	r := s.relays[e.Relay.ID]
	if r == nil {
		if e.Relay.ID.IsZero() {
			return errors.New("a relay without an id")
		}
		r = &relayRow{text: e.Relay.ID.String(), admitted: p.Time}
		s.relays[e.Relay.ID] = r
	}
	r.RelayInfo = e.Relay
	s.put(tableRelay, r.text, r)
	return nil
}

func (s *state) foldSuspend(e *suspendEvent) error {
	if r := s.relays[e.Peer]; r != nil {
		r.suspended = e.Reason
		s.put(tableRelay, r.text, r)
		return nil
	}
	if e.Peer.IsZero() {
		return errors.New("a peer without an id")
	}
	s.suspend(e.Peer, e.Reason)
	return nil
}

// foldGrant reserves balance: all of a new grant's limit, or the difference when a grant is extended.
func (s *state) foldGrant(p place, e *grantEvent) error {
	g, price := e.Grant, s.prices[e.Grant.Price]
	relay := s.relays[g.Relay]
	switch {
	case s.partners[e.Partner] == nil || price.ID == 0:
		return errors.New("unknown partner or price")
	case g.Issuer != s.hub || g.Issued > p.Time || g.NotAfter <= p.Time:
		return fmt.Errorf("not issued by this hub, or not now: %w", ErrGrant)
	case relay == nil || relay.suspended != "":
		return ErrRelay
	}
	limit, err := price.Cost(g.Limit)
	if err != nil {
		return err
	}
	if limit == 0 {
		return fmt.Errorf("%d bytes cost nothing: %w", g.Limit, ErrGrant)
	}
	live, held := s.grants[g.ID], Micro(0)
	if live != nil {
		same := live.Grant
		same.Limit, same.NotAfter = g.Limit, g.NotAfter
		if same != g.Grant || live.partner != e.Partner || g.Limit < live.Limit || g.NotAfter < live.NotAfter || live.phase != grantOpen {
			return fmt.Errorf("not an extension of grant %s: %w", g.ID, ErrGrant)
		}
		if held, err = price.Cost(live.Limit); err != nil {
			return err
		}
	}
	if err := s.ledger.move(partnerAccount(e.Partner), reserveAccount(g.ID), limit-held); err != nil {
		return fmt.Errorf("%w: %w", errBalance, err)
	}
	if live == nil {
		live = &liveGrant{partner: e.Partner}
		s.grants[g.ID] = live
		s.partners[e.Partner].live++
	}
	s.partners[e.Partner].held += g.Limit - live.Limit // of a new one all: its limit was 0
	live.SignedGrant = g
	s.put(tableGrant, g.ID.String(), live)
	return nil
}

func (s *state) foldRelease(e *releaseEvent) error {
	g := s.grants[e.Grant]
	if g == nil || g.phase != grantOpen {
		return ErrGrant
	}
	g.phase, g.finals = grantClosing, e.Finals
	s.put(tableGrant, g.ID.String(), g)
	return s.closeIfSettled(g)
}

// closeIfSettled returns the rest of a released grant once every receipt that its relay named is on file.
func (s *state) closeIfSettled(g *liveGrant) error {
	for _, f := range g.finals {
		if c := s.channels[f.Channel]; c == nil || c.serial < f.Serial {
			return nil
		}
	}
	return s.closeGrant(g)
}

func (s *state) closeGrant(g *liveGrant) error {
	rest := s.ledger.balances[reserveAccount(g.ID)]
	if err := s.ledger.move(reserveAccount(g.ID), partnerAccount(g.partner), rest); err != nil {
		return err
	}
	g.phase, g.finals = grantClosed, nil
	s.partners[g.partner].live--
	s.partners[g.partner].held -= g.Limit - g.used
	s.put(tableGrant, g.ID.String(), g)
	return nil
}

// over says whether the time has come to close a grant, or to forget a row.
func (g *liveGrant) over(now int64) bool {
	return g.phase != grantClosed && now >= g.NotAfter+lateGrants.Milliseconds()
}
func (g *liveGrant) forgotten(now int64) bool {
	return g.phase == grantClosed && now > g.NotAfter+grantMemory.Milliseconds()
}
func (c *liveChannel) over(now int64) bool { return now > c.expires+lateReceipts.Milliseconds() }
func (i *inviteRow) over(now int64) bool   { return now >= i.expires }

// due says whether an expire event at now would change anything.
func (s *state) due(now int64) bool {
	for _, g := range s.grants {
		if g.over(now) || g.forgotten(now) {
			return true
		}
	}
	for _, c := range s.channels {
		if c.over(now) {
			return true
		}
	}
	for _, i := range s.invites {
		if i.over(now) {
			return true
		}
	}
	return false
}

// foldExpire returns what was reserved for grants that nobody can use or settle any more, and forgets what is over. The
// order of the maps does not show: a transaction's lines are sorted.
func (s *state) foldExpire(now int64) error {
	for _, g := range s.grants {
		if g.over(now) {
			if err := s.closeGrant(g); err != nil {
				return err
			}
		}
		if g.forgotten(now) {
			delete(s.grants, g.ID)
			s.drop(tableGrant, g.ID.String())
		}
	}
	for id, c := range s.channels {
		if c.over(now) {
			delete(s.channels, id)
			s.drop(tableChannel, id.String())
		}
	}
	for code, i := range s.invites {
		if i.over(now) {
			delete(s.invites, code)
			s.drop(tableInvite, code.String())
		}
	}
	return nil
}
