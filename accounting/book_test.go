package accounting

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"sward/internal/identity"
)

const gib = 1 << 30

// testPrice is one point per GiB, so that amounts in tests are short and rounding shows.
var testPrice = Price{ID: 1, GiB: 1_000_000, Edge: 700_000, Relay: 100_000}

// clock is a clock that the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// town is a book with one of each party around it, all with fixed keys.
type town struct {
	t     testing.TB
	cfg   BookConfig
	clock *clock
	book  *Book
	relay identity.Key
	edge  identity.Key
	drawn uint64 // keys and nonces drawn so far
	owner string // the partner
	key   string // the partner's
}

// newTown opens a book with a relay, an edge, and a partner that has paid for a GiB.
func newTown(t testing.TB) *town {
	t.Helper()
	n := &town{t: t, clock: &clock{now: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)}, owner: "acme"}
	hub := n.newKey()
	n.relay, n.edge = n.newKey(), n.newKey()
	n.cfg = BookConfig{Dir: t.TempDir(), Network: "test", Key: hub, Price: testPrice, Clock: n.clock.Now}
	n.open()
	t.Cleanup(func() { n.must(n.book.Close()) }) // a second Close does nothing
	n.must(n.book.AdmitRelay(t.Context(), RelayInfo{ID: n.relay.ID(), Tunnel: "relay.example:443"}))
	var err error
	n.key, err = n.book.AddPartner(t.Context(), n.owner, 1)
	n.must(err)
	n.must(n.book.Credit(t.Context(), n.owner, gib))
	return n
}

func (n *town) open() {
	n.t.Helper()
	var err error
	n.book, err = OpenBook(n.cfg)
	n.must(err)
}

// reopen is a restart in good order.
func (n *town) reopen() {
	n.t.Helper()
	n.must(n.book.Close())
	n.open()
}

func (n *town) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *town) newKey() identity.Key {
	n.t.Helper()
	n.drawn++
	seed := make([]byte, 32)
	binary.BigEndian.PutUint64(seed, n.drawn)
	key, err := identity.NewKeyFrom(bytes.NewReader(seed))
	n.must(err)
	return key
}

func (n *town) grant(want uint64) SignedGrant {
	n.t.Helper()
	g, err := n.book.IssueGrant(n.t.Context(), n.owner, n.relay.ID(), want)
	n.must(err)
	return g
}

func (n *town) balance(a account) Micro {
	n.book.mu.Lock()
	defer n.book.mu.Unlock()
	return n.book.state.ledger.balances[a]
}

func (n *town) available() Micro {
	n.t.Helper()
	u, err := n.book.Usage(n.t.Context(), n.owner)
	n.must(err)
	return u.Balance
}

func (n *town) conserved() {
	n.t.Helper()
	if err := n.book.Conserve(context.Background()); err != nil {
		n.t.Errorf("Conserve: %v, want nil", err)
	}
}

// session is a channel between the relay and an edge, with the keys of both ends.
type session struct {
	n       *town
	channel SignedChannel
	id      ChannelID
	edge    identity.Key // channel keys
	relay   identity.Key
	last    SignedReceipt
}

func (n *town) session(edge identity.Key) *session { return n.sessionAt(edge, n.relay) }

func (n *town) sessionAt(edge, relay identity.Key) *session {
	n.t.Helper()
	s := &session{n: n, edge: n.newKey(), relay: n.newKey()}
	now := n.clock.Now().UnixMilli()
	c := Channel{
		Issuer: n.cfg.Key.ID(), Relay: relay.ID(), Edge: edge.ID(), RelayKey: s.relay.ID(), EdgeKey: s.edge.ID(),
		Step: MinStep, Window: MaxWindow, Opened: now, Expires: now + time.Hour.Milliseconds(),
	}
	s.channel = SignedChannel{
		Channel: c, Body: c.Append(nil),
		EdgeSig: c.Sign(n.cfg.Network, edge), RelaySig: c.Sign(n.cfg.Network, relay),
	}
	s.id = c.ID(n.cfg.Network)
	return s
}

// receipt is the next receipt of the session: the tallies are what it says in all.
func (s *session) receipt(tallies ...Tally) SignedReceipt {
	s.n.t.Helper()
	r := Receipt{Channel: s.id, Serial: s.last.Serial + 1, Time: s.n.clock.Now().UnixMilli(), Tallies: tallies}
	if r.Serial > 1 {
		r.Prev = s.last.Hash()
	}
	s.last = s.sign(r)
	return s.last
}

// sign signs any receipt with both channel keys.
func (s *session) sign(r Receipt) SignedReceipt {
	s.n.t.Helper()
	if !r.Sum() {
		s.n.t.Fatal("the counts of a receipt do not fit")
	}
	return SignedReceipt{
		Receipt: r, Body: r.Append(nil),
		EdgeSig: r.Sign(s.n.cfg.Network, s.edge), RelaySig: r.Sign(s.n.cfg.Network, s.relay),
	}
}

// settle hands the session's channel and some receipts in, as its relay, and returns what became of the channel.
func (s *session) settle(receipts ...SignedReceipt) Settled {
	s.n.t.Helper()
	settled, err := s.n.book.Settle(s.n.t.Context(), s.channel.Relay, []SignedChannel{s.channel}, receipts)
	s.n.must(err)
	if len(settled) != 1 || settled[0].Channel != s.id {
		s.n.t.Fatalf("Settle answered %v, want one answer for channel %s", settled, s.id)
	}
	return settled[0]
}

func TestReceiptPaysEdgeRelayAndNetworkFromTheReserve(t *testing.T) {
	n := newTown(t)
	g := n.grant(gib / 2)
	s := n.session(n.edge)
	got := s.settle(s.receipt(Tally{Grant: g.ID, Up: 1 << 20, Down: gib/4 - 1<<20, Streams: 3}))
	if want := (Settled{Channel: s.id, Serial: 1}); got != want {
		t.Fatalf("Settle = %+v, want %+v", got, want)
	}
	for a, want := range map[account]Micro{
		issueAccount:                 -1_000_000,
		{kindPartner, n.partnerID()}: 500_000,
		reserveAccount(g.ID):         250_000,
		edgeAccount(n.edge.ID()):     175_000,
		relayAccount(n.relay.ID()):   25_000,
		feeAccount:                   50_000,
	} {
		if got := n.balance(a); got != want {
			t.Errorf("balance of %s = %d, want %d", a, got, want)
		}
	}
	n.conserved()
	n.reopen()
	if got, want := n.book.PointsOf(n.edge.ID()), Micro(175_000); got != want {
		t.Errorf("points after a restart = %d, want %d", got, want)
	}
	n.conserved()
}

func (n *town) partnerID() string {
	n.book.mu.Lock()
	defer n.book.mu.Unlock()
	return n.book.state.byName[n.owner].id.String()
}
