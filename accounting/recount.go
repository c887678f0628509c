package accounting

import (
	"fmt"
	"math/big"

	"sward/internal/identity"
)

// recount adds the books up a second time, on its own: from the greatest receipt of each channel and in unbounded
// integers, without transactions and without the ledger's arithmetic. An audit compares the two, so that one mistake in
// one of them does not confirm itself.
type recount struct {
	network  string
	prices   map[uint32]Price
	paidIn   map[PartnerID]*big.Int
	refunded map[PartnerID]*big.Int
	grants   map[GrantID]*recountGrant
	channels map[ChannelID]*recountChannel
}

type recountGrant struct {
	grant   Grant
	partner PartnerID
	used    uint64
	finals  []Final
	waiting bool // released
	closed  bool
}

type recountChannel struct {
	edge, relay identity.ID
	serial      uint64
	grants      map[GrantID]*recountTally
}

type recountTally struct{ up, down, paid uint64 }

func newRecount() *recount {
	return &recount{
		prices:   map[uint32]Price{},
		paidIn:   map[PartnerID]*big.Int{},
		refunded: map[PartnerID]*big.Int{},
		grants:   map[GrantID]*recountGrant{},
		channels: map[ChannelID]*recountChannel{},
	}
}

// record takes the next record. The replay has checked it already; what is checked again here is that no channel has two
// receipts of one serial.
func (c *recount) record(r Record) error {
	switch r.Type {
	case recordChannel:
		signed, err := ParseSignedChannel(r.Body)
		if err != nil {
			return err
		}
		c.channels[signed.ID(c.network)] = &recountChannel{edge: signed.Edge, relay: signed.Relay, grants: map[GrantID]*recountTally{}}
		return nil
	case recordReceipt:
		signed, err := ParseSignedReceipt(r.Body)
		if err != nil {
			return err
		}
		return c.receipt(signed.Receipt)
	}
	p, e, err := parseEvent(eventKind(r.Type), r.Body)
	if err != nil {
		return err
	}
	switch e := e.(type) {
	case *openedEvent:
		c.network = e.Network
	case *priceEvent:
		c.prices[e.Price.ID] = e.Price
	case *depositEvent:
		c.partner(e.Partner).Add(c.partner(e.Partner), big.NewInt(int64(e.Amount)))
	case *refundEvent:
		if c.refunded[e.Partner] == nil {
			c.refunded[e.Partner] = new(big.Int)
		}
		c.refunded[e.Partner].Add(c.refunded[e.Partner], big.NewInt(int64(e.Amount)))
	case *grantEvent:
		if known := c.grants[e.Grant.ID]; known != nil {
			known.grant = e.Grant.Grant
		} else {
			c.grants[e.Grant.ID] = &recountGrant{grant: e.Grant.Grant, partner: e.Partner}
		}
	case *releaseEvent:
		g := c.grants[e.Grant]
		g.waiting, g.finals = true, e.Finals
		c.closeWhenComplete(g)
	case *expireEvent:
		for _, g := range c.grants {
			g.closed = g.closed || p.Time-g.grant.NotAfter >= lateGrants.Milliseconds()
		}
	}
	return nil
}

func (c *recount) partner(id PartnerID) *big.Int {
	if c.paidIn[id] == nil {
		c.paidIn[id] = new(big.Int)
	}
	return c.paidIn[id]
}

func (c *recount) receipt(r Receipt) error {
	channel := c.channels[r.Channel]
	if r.Serial <= channel.serial {
		return fmt.Errorf("channel %s has come to serial %d before", r.Channel, channel.serial)
	}
	channel.serial = r.Serial
	for _, t := range r.Tallies {
		g, counted := c.grants[t.Grant], channel.grants[t.Grant]
		if counted == nil {
			counted = new(recountTally)
			channel.grants[t.Grant] = counted
		}
		more := t.Up + t.Down - counted.up - counted.down
		counted.up, counted.down = t.Up, t.Down
		if left := g.grant.Limit - g.used; more > left {
			more = left
		}
		if !g.closed {
			g.used += more
			counted.paid += more
		}
	}
	for _, t := range r.Tallies {
		c.closeWhenComplete(c.grants[t.Grant])
	}
	return nil
}

func (c *recount) closeWhenComplete(g *recountGrant) {
	if !g.waiting {
		return
	}
	for _, f := range g.finals {
		if channel := c.channels[f.Channel]; channel == nil || channel.serial < f.Serial {
			return
		}
	}
	g.closed = true
}

// balances are what every account must hold.
func (c *recount) balances() map[account]*big.Int {
	all := map[account]*big.Int{}
	add := func(a account, m *big.Int) {
		if all[a] == nil {
			all[a] = new(big.Int)
		}
		all[a].Add(all[a], m)
	}
	for id, m := range c.paidIn {
		add(issueAccount, new(big.Int).Neg(m))
		add(partnerAccount(id), m)
	}
	for id, m := range c.refunded {
		add(feeAccount, new(big.Int).Neg(m))
		add(partnerAccount(id), m)
	}
	for _, g := range c.grants {
		if g.closed {
			continue
		}
		held := worth(g.grant.Limit, c.prices[g.grant.Price].GiB)
		add(reserveAccount(g.grant.ID), held)
		add(partnerAccount(g.partner), new(big.Int).Neg(held))
	}
	for _, channel := range c.channels {
		for id, t := range channel.grants {
			g := c.grants[id]
			price := c.prices[g.grant.Price]
			cost, edge, relay := worth(t.paid, price.GiB), worth(t.paid, price.Edge), worth(t.paid, price.Relay)
			payer := reserveAccount(id)
			if g.closed {
				payer = partnerAccount(g.partner)
			}
			add(payer, new(big.Int).Neg(cost))
			add(edgeAccount(channel.edge), edge)
			add(relayAccount(channel.relay), relay)
			add(feeAccount, cost.Sub(cost.Sub(cost, edge), relay))
		}
	}
	return all
}

// worth is bytes × rate per GiB, rounded down.
func worth(bytes uint64, rate Micro) *big.Int {
	n := new(big.Int).SetUint64(bytes)
	return n.Rsh(n.Mul(n, big.NewInt(int64(rate))), gibShift)
}

// compare holds the recount against the ledger's balances.
func (c *recount) compare(s *state) error {
	mine := c.balances()
	for a, m := range mine {
		if have := int64(s.ledger.balances[a]); m.Cmp(big.NewInt(have)) != 0 {
			return &Finding{File: ledgerFile, Why: fmt.Sprintf("%s holds %s, but adds up to %s micro-points", a, Micro(have), m)}
		}
	}
	for a, m := range s.ledger.balances {
		if mine[a] == nil && m != 0 {
			return &Finding{File: ledgerFile, Why: fmt.Sprintf("%s holds %s, but nothing was paid to it", a, m)}
		}
	}
	return nil
}
