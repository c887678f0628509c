package accounting

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"sward/internal/identity"
)

// refusals runs one receipt against a channel that has two on file, and says what becomes of it.
func TestSettleTakesOnlyWhatGoesOn(t *testing.T) {
	const mib = 1 << 20
	type world struct {
		*town
		g, foreign SignedGrant
		s          *session
		first      SignedReceipt
	}
	tally := func(g SignedGrant, down uint64) Tally { return Tally{Grant: g.ID, Down: down, Streams: 1} }
	for _, c := range []struct {
		name    string
		receipt func(w world) SignedReceipt
		refused Refusal
		serial  uint64 // on file afterwards
		points  Micro  // of the edge afterwards; two MiB are on file
	}{
		{"F02: the same again", func(w world) SignedReceipt { return w.s.last }, "", 2, 1367},
		{"F03: an older one", func(w world) SignedReceipt { return w.first }, "", 2, 1367},
		{"the next", func(w world) SignedReceipt { return w.s.receipt(tally(w.g, 3*mib)) }, "", 3, 2050},
		{"F04: a gap with rising counts", func(w world) SignedReceipt {
			r := w.s.last.Receipt
			r.Serial, r.Prev, r.Tallies = 9, fill32(9), []Tally{tally(w.g, 4*mib)}
			return w.s.sign(r)
		}, "", 9, 2734},
		{"F05: a falling count", func(w world) SignedReceipt { return w.s.receipt(tally(w.g, mib)) }, ErrRegression, 2, 1367},
		{"F05: a grant's tally disappears", func(w world) SignedReceipt { return w.s.receipt() }, ErrRegression, 2, 1367},
		{"F05: an earlier serial that counted more", func(w world) SignedReceipt {
			r := w.first.Receipt
			r.Tallies = []Tally{tally(w.g, 5*mib)}
			return w.s.sign(r)
		}, ErrRegression, 2, 1367},
		{"F06: another body for the serial", func(w world) SignedReceipt {
			r := w.s.last.Receipt
			r.Tallies = []Tally{tally(w.g, 5*mib)}
			return w.s.sign(r)
		}, ErrFork, 2, 1367},
		{"F07: another time for the serial", func(w world) SignedReceipt {
			r := w.s.last.Receipt
			r.Time++
			return w.s.sign(r)
		}, ErrFork, 2, 1367},
		{"a next one that follows another", func(w world) SignedReceipt {
			r := w.s.last.Receipt
			r.Serial, r.Prev, r.Tallies = 3, fill32(9), []Tally{tally(w.g, 4*mib)}
			return w.s.sign(r)
		}, ErrPrevious, 2, 1367},
		{"F01: another edge's signature", func(w world) SignedReceipt {
			r := w.s.receipt(tally(w.g, 3*mib))
			r.EdgeSig = r.Sign(w.cfg.Network, w.edge)
			return r
		}, ErrSignature, 2, 1367},
		{"F13: of another network", func(w world) SignedReceipt {
			r := w.s.receipt(tally(w.g, 3*mib))
			r.EdgeSig, r.RelaySig = r.Sign("main", w.s.edge), r.Sign("main", w.s.relay)
			return r
		}, ErrSignature, 2, 1367},
		{"F16: the relay has not signed", func(w world) SignedReceipt {
			r := w.s.receipt(tally(w.g, 3*mib))
			r.RelaySig = make([]byte, 64)
			return r
		}, ErrHalfSigned, 2, 1367},
		{"F16: the edge has not signed", func(w world) SignedReceipt {
			r := w.s.receipt(tally(w.g, 3*mib))
			r.EdgeSig = make([]byte, 64)
			return r
		}, ErrHalfSigned, 2, 1367},
		{"nobody has signed", func(w world) SignedReceipt {
			r := w.s.receipt(tally(w.g, 3*mib))
			r.EdgeSig, r.RelaySig = make([]byte, 64), make([]byte, 64)
			return r
		}, ErrSignature, 2, 1367},
		{"the counts are not those that were signed", func(w world) SignedReceipt {
			r := w.s.receipt(tally(w.g, 3*mib))
			r.Tallies[0].Down++
			return r
		}, ErrBody, 2, 1367},
		{"half a fork contradicts nobody", func(w world) SignedReceipt {
			r := w.s.last.Receipt
			r.Time++
			signed := w.s.sign(r)
			signed.EdgeSig = make([]byte, 64)
			return signed
		}, ErrHalfSigned, 2, 1367},
		{"G02: a grant of another relay", func(w world) SignedReceipt {
			r := w.s.last.Receipt
			r.Serial, r.Prev = 3, w.s.last.Hash()
			r.Tallies = []Tally{tally(w.g, 3*mib), tally(w.foreign, mib)}
			if bytes.Compare(w.g.ID[:], w.foreign.ID[:]) > 0 {
				r.Tallies[0], r.Tallies[1] = r.Tallies[1], r.Tallies[0]
			}
			return w.s.sign(r)
		}, ErrGrant, 2, 1367},
		{"a grant that was never issued", func(w world) SignedReceipt {
			r := w.s.last.Receipt
			r.Serial, r.Prev = 3, w.s.last.Hash()
			r.Tallies = append([]Tally{{Grant: GrantID{}, Down: 1}}, r.Tallies...)
			return w.s.sign(r)
		}, ErrGrant, 2, 1367},
		{"F08: counts beyond the grant", func(w world) SignedReceipt { return w.s.receipt(tally(w.g, MaxCount)) }, "", 3, 175_000},
		{"F20: the day after the channel's end is over", func(w world) SignedReceipt {
			w.clock.add(time.Hour + lateReceipts + time.Millisecond)
			return w.s.receipt(tally(w.g, 3*mib))
		}, ErrWindowClosed, 2, 1367},
		{"the last moment of that day", func(w world) SignedReceipt {
			w.clock.add(time.Hour + lateReceipts)
			return w.s.receipt(tally(w.g, 3*mib))
		}, "", 3, 2050},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := world{town: newTown(t)}
			w.g = w.grant(gib / 4)
			other := w.newKey()
			w.must(w.book.AdmitRelay(t.Context(), RelayInfo{ID: other.ID()}))
			var err error
			w.foreign, err = w.book.IssueGrant(t.Context(), w.owner, other.ID(), gib/4)
			w.must(err)
			w.s = w.session(w.edge)
			w.first = w.s.receipt(tally(w.g, mib))
			w.s.settle(w.first)
			w.s.settle(w.s.receipt(tally(w.g, 2*mib)))

			before := w.book.state.seq
			got := w.s.settle(c.receipt(w))
			if want := (Settled{w.s.id, c.serial, c.refused}); got != want {
				t.Errorf("Settle = %+v, want %+v", got, want)
			}
			if points := w.book.PointsOf(w.edge.ID()); points != c.points {
				t.Errorf("the edge has %d micro-points, want %d", points, c.points)
			}
			proof := proofBits[c.refused] != 0 && c.name != "half a fork contradicts nobody"
			if got := len(w.book.state.evidence); got != map[bool]int{true: 1}[proof] {
				t.Errorf("%d pieces of evidence on file, want %t", got, proof)
			}
			account, err := w.book.EdgeAccount(t.Context(), w.edge.ID())
			w.must(err)
			want := string(c.refused)
			if !proof || c.refused == ErrHalfSigned {
				want = ""
			}
			if account.Suspended != want {
				t.Errorf("the edge is suspended for %q, want %q", account.Suspended, want)
			}
			if c.refused != "" && !proof && w.book.state.seq != before {
				t.Errorf("a refusal has added %d records to the journal", w.book.state.seq-before)
			}
			w.conserved()
			w.reopen()
			if points := w.book.PointsOf(w.edge.ID()); points != c.points {
				t.Errorf("the edge has %d micro-points after a restart, want %d", points, c.points)
			}
		})
	}
}

// Even a hub cannot file something as a proof that is none: the fold, and so every audit, refuses it.
func TestEvidenceMustContradict(t *testing.T) {
	n := newTown(t)
	g := n.grant(gib / 4)
	s := n.session(n.edge)
	s.settle(s.receipt(Tally{Grant: g.ID, Down: 1000}))
	r := s.last.Receipt
	r.Time++
	forked, half, next := s.sign(r), s.sign(r), s.receipt(Tally{Grant: g.ID, Down: 2000})
	half.EdgeSig = make([]byte, 64)
	for _, c := range []struct {
		name    string
		rule    Refusal
		receipt SignedReceipt
		good    bool
	}{
		{"half a fork", ErrFork, half, false},
		{"a whole one as half-signed", ErrHalfSigned, forked, false},
		{"a fork as a falling count", ErrRegression, forked, false},
		{"a good receipt", ErrFork, next, false},
		{"another refusal", ErrWindowClosed, forked, false},
		{"a fork", ErrFork, forked, true},
		{"the same fork again", ErrFork, forked, false},
	} {
		n.book.mu.Lock()
		w := n.book.writeLocked()
		n.must(w.event(&settleEvent{Submitter: n.cfg.Key.ID()}))
		err := w.event(&evidenceEvent{Rule: c.rule, Receipt: c.receipt.Bytes()})
		n.must(w.commit(t.Context()))
		n.book.mu.Unlock()
		if (err == nil) != c.good {
			t.Errorf("%s filed as %s: %v, want good %t", c.name, c.rule, err, c.good)
		}
	}
	for _, id := range []identity.ID{n.edge.ID(), n.relay.ID()} {
		if e, r := n.book.state.edges[id], n.book.state.relays[id]; e != nil && e.suspended != "fork" || r != nil && r.suspended != "fork" {
			t.Errorf("%s is not suspended, want both sides of a fork suspended", id)
		}
	}
}

func TestSettleRefusesChannels(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(n *town, s *session)
		by      func(n *town) identity.ID
		refused Refusal
	}{
		{"good", nil, nil, ""},
		{"a stranger hands it in", nil, func(n *town) identity.ID { return n.newKey().ID() }, ErrSubmitter},
		{"the edge hands it in", nil, func(n *town) identity.ID { return n.edge.ID() }, ""},
		{"the hub hands it in", nil, func(n *town) identity.ID { return n.cfg.Key.ID() }, ""},
		{"of another hub", func(n *town, s *session) { s.channel.Issuer = n.newKey().ID() }, nil, ErrIssuer},
		{"of an unknown relay", func(n *town, s *session) { s.channel.Relay = n.newKey().ID() }, func(n *town) identity.ID { return n.edge.ID() }, ErrRelay},
		{"of a suspended edge", func(n *town, s *session) { n.must(n.book.Suspend(n.t.Context(), n.edge.ID(), "caught")) }, nil, ErrSuspended},
		{"of a suspended relay", func(n *town, s *session) { n.must(n.book.Suspend(n.t.Context(), n.relay.ID(), "caught")) }, nil, ErrSuspended},
		{"under other terms", func(n *town, s *session) { s.channel.Consent = fill32(8) }, nil, ErrConsent},
		{"F22: opened in the future", func(n *town, s *session) {
			s.channel.Opened += maxSkew.Milliseconds() + 1
			s.channel.Expires += maxSkew.Milliseconds() + 1
		}, nil, ErrEarly},
		{"long over", func(n *town, s *session) { n.clock.add(time.Hour + lateReceipts + time.Millisecond) }, nil, ErrWindowClosed},
		{"one side has not signed", func(n *town, s *session) { s.channel.EdgeSig = make([]byte, 64) }, nil, ErrHalfSigned},
		{"the wrong one has signed", func(n *town, s *session) { s.channel.EdgeSig = s.channel.RelaySig }, nil, ErrSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newTown(t)
			n.must(n.book.Close())
			n.cfg.Consents = []Hash{{7}}
			n.open()
			g := n.grant(gib / 4)
			s := n.session(n.edge)
			s.channel.Consent = Hash{7}
			if c.change != nil {
				c.change(n, s)
			}
			s.channel.Body = s.channel.Append(nil)
			if c.refused != ErrSignature && c.refused != ErrHalfSigned {
				s.channel.EdgeSig = s.channel.Sign("test", n.edge)
				s.channel.RelaySig = s.channel.Sign("test", n.relay)
			}
			s.id = s.channel.ID("test")
			by := n.relay.ID()
			if c.by != nil {
				by = c.by(n)
			}
			got, err := n.book.Settle(t.Context(), by, []SignedChannel{s.channel}, nil)
			n.must(err)
			if want := (Settled{Channel: s.id, Refused: c.refused}); len(got) != 1 || got[0] != want {
				t.Errorf("Settle = %+v, want %+v", got, want)
			}
			got, err = n.book.Settle(t.Context(), by, nil, []SignedReceipt{s.receipt(Tally{Grant: g.ID, Down: 1 << 20})})
			n.must(err)
			if refused := got[0].Refused != ""; refused != (c.refused != "") {
				t.Errorf("its receipt: Settle = %+v, want refused %t", got[0], c.refused != "")
			}
		})
	}
}

// F02, F36: what is on file already, or belongs to nothing, costs no signature and no record.
func TestRepetitionsCostNothing(t *testing.T) {
	n := newTown(t)
	g := n.grant(gib / 4)
	s := n.session(n.edge)
	r := s.receipt(Tally{Grant: g.ID, Down: 1 << 20, Streams: 1})
	s.settle(r)
	stranger := n.session(n.newKey())
	unknown := stranger.receipt(Tally{Grant: g.ID, Down: 1 << 20})
	before := n.book.state.seq
	for range 1000 {
		s.settle(r)
	}
	n.reopen()
	s.settle(r)
	check := settlement{b: n.book, submitter: n.relay.ID(), known: map[ChannelID]Channel{}, refused: map[ChannelID]Refusal{}}
	check.screen([]SignedChannel{s.channel}, []SignedReceipt{r, unknown})
	if len(check.channels)+len(check.receipts) != 0 {
		t.Errorf("%d channels and %d receipts would be verified, want none", len(check.channels), len(check.receipts))
	}
	if check.refused[stranger.id] != ErrUnknownChannel {
		t.Errorf("a receipt of no channel is refused as %q, want %q", check.refused[stranger.id], ErrUnknownChannel)
	}
	if got := n.book.state.seq; got != before {
		t.Errorf("repetitions have added %d records to the journal", got-before)
	}
	if got, want := n.book.PointsOf(n.edge.ID()), Micro(683); got != want {
		t.Errorf("the edge has %d micro-points, want %d", got, want)
	}
}

// G10: ten million small receipts would be too slow here; three thousand that each round down show the same.
func TestRoundingNeverAddsUp(t *testing.T) {
	n := newTown(t)
	g := n.grant(gib)
	s := n.session(n.edge)
	var receipts []SignedReceipt
	const step, count = 1111, 3000 // 1111 bytes cost 1.03 micro-points
	for i := range uint64(count) {
		receipts = append(receipts, s.receipt(Tally{Grant: g.ID, Up: (i + 1) * 11, Down: (i + 1) * 1100, Streams: 1}))
	}
	for len(receipts) > 0 { // each posted on its own
		batch := receipts[:min(10, len(receipts))]
		receipts = receipts[len(batch):]
		if got := s.settle(batch...); got.Refused != "" {
			t.Fatalf("Settle = %+v", got)
		}
	}
	n.conserved()
	price := testPrice
	want, err := price.split(step * count)
	n.must(err)
	if got := n.book.PointsOf(n.edge.ID()); got != want.edge {
		t.Errorf("the edge has %d micro-points, want %d", got, want.edge)
	}
	if got, want := n.balance(reserveAccount(g.ID)), 1_000_000-want.cost; got != want {
		t.Errorf("the reserve holds %d micro-points, want %d", got, want)
	}
	if got, want := n.balance(feeAccount), want.cost-want.edge-want.relay; got != want {
		t.Errorf("the network has %d micro-points, want %d", got, want)
	}
}

// G08: a change of price touches no grant that is out.
func TestGrantKeepsItsPrice(t *testing.T) {
	n := newTown(t)
	old := n.grant(gib / 4)
	n.must(n.book.Close())
	n.cfg.Price = Price{ID: 2, GiB: 2_000_000, Edge: 1_000_000, Relay: 100_000}
	n.open()
	dear := n.grant(gib / 4)
	a, b := n.session(n.edge), n.session(n.newKey())
	a.settle(a.receipt(Tally{Grant: old.ID, Down: gib / 8}))
	b.settle(b.receipt(Tally{Grant: dear.ID, Down: gib / 8}))
	if got, want := n.book.PointsOf(a.channel.Edge), Micro(87_500); got != want {
		t.Errorf("under the old price the edge gets %d, want %d", got, want)
	}
	if got, want := n.book.PointsOf(b.channel.Edge), Micro(125_000); got != want {
		t.Errorf("under the new price the edge gets %d, want %d", got, want)
	}
	n.must(n.book.Close())
	n.cfg.Price.Edge++
	if book, err := OpenBook(n.cfg); err == nil {
		t.Errorf("OpenBook takes other amounts for price 2, want an error")
		n.must(book.Close())
	}
	n.cfg.Price.Edge--
	n.open()
}

// G12: many at once, and no money made or lost.
func TestMoneyIsConservedUnderLoad(t *testing.T) {
	n := newTown(t)
	const edges, rounds = 6, 10
	var work sync.WaitGroup
	sessions := make([]*session, edges)
	for i := range sessions {
		sessions[i] = n.session(n.newKey())
	}
	for _, s := range sessions {
		receipts := make([]SignedReceipt, rounds)
		g := n.grant(gib / 16)
		for i := range receipts {
			receipts[i] = s.receipt(Tally{Grant: g.ID, Down: uint64(i+1) << 20, Streams: 1})
		}
		work.Go(func() {
			for i := range receipts {
				by := []identity.ID{s.channel.Edge, s.channel.Relay}[i%2]
				if _, err := n.book.Settle(t.Context(), by, []SignedChannel{s.channel}, receipts[:i+1]); err != nil {
					t.Error(err)
				}
				n.conserved()
			}
			if _, err := n.book.Release(t.Context(), n.relay.ID(), g.ID, []Final{{s.id, rounds}}); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	n.conserved()
	want, err := testPrice.split(rounds << 20)
	n.must(err)
	for _, s := range sessions {
		if got := n.book.PointsOf(s.channel.Edge); got != want.edge {
			t.Errorf("an edge has %d micro-points, want %d", got, want.edge)
		}
	}
	if got, want := n.available(), 1_000_000-edges*want.cost; got != want {
		t.Errorf("the partner has %d micro-points, want %d", got, want)
	}
}
