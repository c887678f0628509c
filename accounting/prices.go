package accounting

import (
	"errors"
	"fmt"
	"math/bits"
)

const (
	gibShift = 30 // a GiB is 1<<30 bytes, so a price per GiB divides by a shift

	// maxRate bounds a price per GiB (a million points), and MaxGrantBytes the bytes it is multiplied with (64 TiB):
	// their product over a GiB is below 2^56, so that no amount of one grant can overflow.
	maxRate       = Micro(1_000_000_000_000)
	MaxGrantBytes = 1 << 46

	// The edge gets at most four fifths of what the partner pays for the same byte: whoever buys its own traffic loses
	// a fifth of it each time, so that wash trading costs more than it earns.
	maxEdgeNumerator, maxEdgeDenominator = 4, 5
)

// Price is one row of the price table. A grant names the row it was issued under and keeps it for life: a change of
// price touches only later grants.
type Price struct {
	ID    uint32 `json:"id"`
	GiB   Micro  `json:"gib"`   // what the partner pays for 1<<30 bytes
	Edge  Micro  `json:"edge"`  // the edge's part of it
	Relay Micro  `json:"relay"` // the relay's part of it; the network keeps what is left
}

// DefaultPrice is a thousand points per GiB, of which the edge gets 70 %, the relay 10 %: a page is worth a readable number.
func DefaultPrice() Price {
	return Price{ID: 1, GiB: 1_000_000_000, Edge: 700_000_000, Relay: 100_000_000}
}

func (p Price) check() error {
	switch {
	case p.ID == 0:
		return errors.New("price: id 0 is no price")
	case p.GiB <= 0 || p.GiB > maxRate:
		return fmt.Errorf("price %d: %d micro-points per GiB is not within 1 and %d", p.ID, p.GiB, maxRate)
	case p.Edge < 0 || p.Relay < 0 || p.Edge > p.GiB || p.Relay > p.GiB-p.Edge:
		return fmt.Errorf("price %d: edge and relay get more than the partner pays", p.ID)
	case p.Edge*maxEdgeDenominator > p.GiB*maxEdgeNumerator:
		return fmt.Errorf("price %d: the edge gets more than %d/%d of the price", p.ID, maxEdgeNumerator, maxEdgeDenominator)
	}
	return nil
}

// Cost is what n bytes cost, rounded down to a micro-point. Amounts are always taken of cumulative bytes, and what is
// posted is the difference to the amount before, so rounding never adds up.
func (p Price) Cost(n uint64) (Micro, error) { return portion(n, p.GiB) }

// Buys is how many bytes m pays for, rounded down: their Cost is never above m.
func (p Price) Buys(m Micro) uint64 {
	if m <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(m), 1<<gibShift)
	if hi >= uint64(p.GiB) {
		return MaxGrantBytes
	}
	n, _ := bits.Div64(hi, lo, uint64(p.GiB))
	return min(n, MaxGrantBytes)
}

// Worth is the least amount that Buys n bytes: what is credited to a partner who has paid for n bytes.
func (p Price) Worth(n uint64) (Micro, error) {
	m, err := portion(n, p.GiB)
	if err == nil && p.Buys(m) < n {
		m++
	}
	return m, err
}

// split is the cost of some bytes and who gets it.
type split struct {
	cost, edge, relay Micro
}

func (p Price) split(n uint64) (s split, err error) {
	if s.cost, err = portion(n, p.GiB); err != nil {
		return split{}, err
	}
	if s.edge, err = portion(n, p.Edge); err != nil {
		return split{}, err
	}
	s.relay, err = portion(n, p.Relay)
	return s, err
}

// portion is n × perGiB / 2^30, rounded down, with the product in 128 bits.
func portion(n uint64, perGiB Micro) (Micro, error) {
	if n > MaxGrantBytes || perGiB < 0 || perGiB > maxRate {
		return 0, fmt.Errorf("%d bytes at %d micro-points per GiB: out of range", n, perGiB)
	}
	hi, lo := bits.Mul64(n, uint64(perGiB))
	return Micro(hi<<(64-gibShift) | lo>>gibShift), nil
}
