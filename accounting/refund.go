package accounting

import (
	"context"
	"errors"
	"fmt"

	"sward/internal/wire"
)

// RefundShare bounds what a partner gets back: at most one part in RefundShare of the fees that its own traffic has brought
// the network. So refunds come out of what the network keeps and of nobody else's points, and whoever trades with himself
// through pages that fail still loses: of 1000 points paid, 900 go to edge and relay and at most 50 come back.
const RefundShare = 4

// A refund is for bytes that an edge has delivered and was paid for, of which the partner had nothing: a page that failed, a
// page fetched twice to check on an edge. Whoever knows of such bytes (a crawl store) keeps a count of them for each
// partner that only grows, and names itself by a random id. The book pays the difference to the count before: said twice,
// late, or again after a crash, it is paid once, as with receipts.
type refunds struct {
	source  [16]byte // whose count
	claimed uint64   // bytes, of that source
	due     Micro    // claimed and not paid yet
	fees    Micro    // that the partner's traffic has brought since the first count
	paid    Micro    // back, ever
	open    bool     // there was a count: then the ledger has a row of it
}

// room is how much may be paid now.
func (r refunds) room() Micro { return max(0, r.fees/RefundShare-r.paid) }

// Refund gives a partner back what bytes cost, total being all that source has counted until now. What is beyond the bound
// is paid when later traffic has made room for it.
func (b *Book) Refund(ctx context.Context, name string, source [16]byte, total uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.state.byName[name]
	if p == nil {
		return errNoPartner
	}
	if total > MaxCount {
		return wire.Errorf(wire.BadRequest, "a count of %d bytes is beyond %d", total, uint64(MaxCount))
	}
	e := &refundEvent{Partner: p.id, Source: source, Total: total}
	next, err := b.state.claim(p, e)
	if err != nil {
		return err
	}
	e.Amount = min(next.due, next.room(), b.state.ledger.balances[feeAccount])
	if p.refunds.open && e.Amount == 0 && next.claimed == p.refunds.claimed && next.source == p.refunds.source {
		return nil
	}
	return b.decideLocked(ctx, e)
}

// claim is what p's row becomes by a count, before anything is paid.
func (s *state) claim(p *partner, e *refundEvent) (refunds, error) {
	r := p.refunds
	if e.Source != r.source { // another store, which has counted from nothing
		r.source, r.claimed = e.Source, 0
	}
	if e.Total < r.claimed {
		return r, wire.Errorf(wire.BadRequest, "a count of refunded bytes shrinks from %d to %d", r.claimed, e.Total)
	}
	price := s.prices[s.price]
	for more := e.Total - r.claimed; more > 0; { // in pieces that a price can be taken of
		piece := min(more, MaxGrantBytes)
		cost, err := price.Cost(piece)
		if err != nil {
			return r, err
		}
		if r.due, err = r.due.Add(cost); err != nil {
			return r, err
		}
		more -= piece
	}
	r.claimed = e.Total
	return r, nil
}

func (s *state) foldRefund(e *refundEvent) error {
	p := s.partners[e.Partner]
	if p == nil {
		return errNoPartner
	}
	next, err := s.claim(p, e)
	if err != nil {
		return err
	}
	if e.Amount < 0 || e.Amount > min(next.due, next.room()) {
		return fmt.Errorf("refund of %s: %s are due and %s may be paid", e.Amount, next.due, next.room())
	}
	if err := s.ledger.move(feeAccount, partnerAccount(p.id), e.Amount); err != nil {
		return err
	}
	next.due -= e.Amount
	next.paid += e.Amount
	next.open = true
	p.refunds = next
	s.put(tableRefund, p.id.String(), refundRow{p})
	return nil
}

// earn notes the fee that a partner's traffic has brought. The first count opens the row: a partner of whom nobody counts
// has none, and so has no ledger of the time before there were refunds.
func (s *state) earn(p *partner, fee Micro) error {
	if fee == 0 || !p.refunds.open {
		return nil
	}
	fees, err := p.refunds.fees.Add(fee)
	if err != nil {
		return errors.Join(errors.New("fees"), err)
	}
	p.refunds.fees = fees
	s.put(tableRefund, p.id.String(), refundRow{p})
	return nil
}

// refundRow is a partner's refunds in the ledger.
type refundRow struct{ *partner }

func (r refundRow) values() []any {
	x := r.refunds
	return []any{r.id.String(), x.source[:], int64(x.claimed), int64(x.due), int64(x.fees), int64(x.paid)}
}

func loadRefund(s *state, c *cells) {
	var id PartnerID
	c.hex(id[:])
	p := s.partners[id]
	if p == nil {
		c.fail("refunds of nobody")
		return
	}
	p.refunds.open = true
	c.fixed(p.refunds.source[:])
	p.refunds.claimed = uint64(c.int())
	p.refunds.due, p.refunds.fees, p.refunds.paid = Micro(c.int()), Micro(c.int()), Micro(c.int())
}
