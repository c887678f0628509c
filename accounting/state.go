package accounting

import (
	"encoding/binary"
	"strconv"
	"time"

	"sward/internal/identity"
)

const (
	// lateReceipts is how long after a channel's end its receipts are taken: an edge that was offline for a day loses
	// nothing. lateGrants is how long after a grant's end its rest stays reserved for them.
	lateReceipts = 24 * time.Hour
	lateGrants   = 24 * time.Hour
	// grantMemory is how long after its end a grant is known: until no channel that may name it can still be settled.
	grantMemory = MaxChannelLife + lateReceipts + time.Hour
)

// state is what the journal says, added up. It changes only through fold.go, one record at a time and without looking at
// a clock, a file or the network, so that the book of a running hub and an auditor's replay years later are the same
// thing. The SQLite ledger holds the very same rows.
//
// What is over leaves the state: channels that can no longer be settled, grants that are closed and forgotten, used
// reserves. So its size follows what is live. The postings and the days of usage only grow; they are handed out as they
// arise and not kept here.
type state struct {
	network string
	hub     identity.ID
	seq     uint64   // of the last record
	head    [32]byte // its place in the hash chain
	time    int64    // of the last event, Unix milliseconds
	price   uint32   // the row of the price table for new grants
	settler identity.ID

	prices   map[uint32]Price
	partners map[PartnerID]*partner
	byName   map[string]*partner
	byKey    map[Hash]*partner
	grants   map[GrantID]*liveGrant
	channels map[ChannelID]*liveChannel
	edges    map[identity.ID]*edgeRow
	relays   map[identity.ID]*relayRow
	invites  map[Hash]*inviteRow
	barred   map[identity.ID]bool // the suspended edges, which every heartbeat asks for
	evidence map[uint64]*evidenceRow
	ledger   ledger

	// Not yet stored.
	dirty    map[rowID]row
	postings []posting
	usage    map[usageID]usage
	earned   map[earnedID]earned

	earnedFrom int64 // lines of days before this one are not kept; 0 until a day has begun
}

func newState() *state {
	return &state{
		prices:   map[uint32]Price{},
		partners: map[PartnerID]*partner{},
		byName:   map[string]*partner{},
		byKey:    map[Hash]*partner{},
		grants:   map[GrantID]*liveGrant{},
		channels: map[ChannelID]*liveChannel{},
		edges:    map[identity.ID]*edgeRow{},
		relays:   map[identity.ID]*relayRow{},
		invites:  map[Hash]*inviteRow{},
		barred:   map[identity.ID]bool{},
		evidence: map[uint64]*evidenceRow{},
		ledger:   newLedger(),
		dirty:    map[rowID]row{},
		usage:    map[usageID]usage{},
		earned:   map[earnedID]earned{},
	}
}

// row is one row of a table that mirrors a part of the state. Its first value is the primary key.
type row interface{ values() []any }

// rowID names a row: a table and its primary key.
type rowID struct{ table, id string }

// put marks a row as changed, drop as gone.
func (s *state) put(table, id string, r row) { s.dirty[rowID{table, id}] = r }
func (s *state) drop(table, id string)       { s.dirty[rowID{table, id}] = nil }

type partner struct {
	id      PartnerID
	name    string
	purpose uint16
	key     Hash
	created int64
	limits  Limits
	limited bool   // by an event: then the ledger has a row of it
	live    int    // grants that are not closed; counted, not stored
	held    uint64 // bytes that grants which are not closed may still deliver; counted, not stored
	pace    pace
	refunds refunds
}

func (p *partner) values() []any {
	return []any{p.id.String(), p.name, int64(p.purpose), p.key[:], p.created}
}

// The life of a grant.
const (
	grantOpen    = iota
	grantClosing // released; a receipt that the relay named is still missing
	grantClosed  // its rest has been returned
)

type liveGrant struct {
	SignedGrant
	partner  PartnerID
	used     uint64 // bytes charged
	channels uint32 // that have counted on it
	phase    int64
	finals   []Final
}

func (g *liveGrant) values() []any {
	finals := []byte{}
	for _, f := range g.finals {
		finals = append(finals, f.Channel[:]...)
		finals = binary.BigEndian.AppendUint64(finals, f.Serial)
	}
	return []any{g.ID.String(), g.partner.String(), g.Bytes(), int64(g.used), int64(g.channels), g.phase, finals}
}

// liveChannel is a channel that can still be settled, and the best receipt on file for it.
type liveChannel struct {
	id          ChannelID
	edge, relay identity.ID
	edgeKey     identity.ID
	relayKey    identity.ID
	expires     int64
	serial      uint64
	hash        [32]byte // of the receipt
	gaps        uint64   // serials that never came: allowed, counted
	proofs      int64    // kinds of evidence on file, a bit each
	tallies     []charged
}

// charged is a tally and how much of it was charged: less than it says once the grant is used up.
type charged struct {
	Tally
	bytes uint64
}

const chargedSize = 16 + 8 + 8 + 4 + 8

func (c *liveChannel) values() []any {
	tallies := make([]byte, 0, len(c.tallies)*chargedSize)
	for _, t := range c.tallies {
		tallies = append(tallies, t.Grant[:]...)
		tallies = binary.BigEndian.AppendUint64(tallies, t.Up)
		tallies = binary.BigEndian.AppendUint64(tallies, t.Down)
		tallies = binary.BigEndian.AppendUint32(tallies, t.Streams)
		tallies = binary.BigEndian.AppendUint64(tallies, t.bytes)
	}
	return []any{c.id.String(), c.edge[:], c.relay[:], c.edgeKey[:], c.relayKey[:], c.expires, int64(c.serial),
		c.hash[:], int64(c.gaps), c.proofs, tallies}
}

type edgeRow struct {
	id        identity.ID
	text      string // id as text, which is dear to make
	consent   Hash   // of the terms, when registered with a code
	consented int64  // Unix milliseconds; 0 if never
	suspended string
}

func (e *edgeRow) values() []any {
	return []any{e.text, e.consent[:], e.consented, e.suspended}
}

type relayRow struct {
	RelayInfo
	text      string // the ID as text
	admitted  int64
	suspended string
}

func (r *relayRow) values() []any {
	return []any{r.text, r.Proxy, r.Tunnel, r.Region, r.admitted, r.suspended}
}

type inviteRow struct {
	code    Hash
	expires int64
	edge    identity.ID // who redeemed it; zero: nobody yet
}

func (i *inviteRow) values() []any { return []any{i.code.String(), i.expires, i.edge.String()} }

type evidenceRow struct {
	seq     uint64
	rule    Refusal
	channel ChannelID
	edge    identity.ID
	relay   identity.ID
}

func (e *evidenceRow) values() []any {
	return []any{int64(e.seq), string(e.rule), e.channel.String(), e.edge.String(), e.relay.String()}
}

type priceRow struct{ Price }

func (p priceRow) values() []any {
	return []any{int64(p.ID), int64(p.GiB), int64(p.Edge), int64(p.Relay)}
}

type accountRow struct {
	name    string
	balance Micro
}

func (a accountRow) values() []any { return []any{a.name, int64(a.balance)} }

// bookRow says how far the ledger has got.
type bookRow struct{ s *state }

func (b bookRow) values() []any {
	s := b.s
	return []any{bookKey, s.network, s.hub.String(), int64(s.seq), s.head[:], s.time, int64(s.price)}
}

const bookKey = "book"

// usageID is an account's UTC day.
type usageID struct {
	account account
	day     string
}

type usage struct {
	up, down uint64
	amount   Micro
}

func (s *state) use(a account, up, down uint64, m Micro) {
	id := usageID{a, time.UnixMilli(s.time).UTC().Format(time.DateOnly)}
	u := s.usage[id]
	u.up, u.down, u.amount = u.up+up, u.down+down, u.amount+m
	s.usage[id] = u
}

// usePartner is use for the one who pays.
func (s *state) usePartner(p *partner, up, down uint64, m Micro) {
	s.use(partnerAccount(p.id), up, down, m)
	p.pace.add(s.time, up+down)
}

// edge returns the row of an edge, which exists from its first channel on.
func (s *state) edge(id identity.ID) *edgeRow {
	e, known := s.edges[id]
	if !known {
		e = &edgeRow{id: id, text: id.String()}
		s.edges[id] = e
	}
	s.put(tableEdge, e.text, e)
	return e
}

// suspend stops an edge, or lets it back in when the reason is empty.
func (s *state) suspend(id identity.ID, reason string) {
	s.edge(id).suspended = reason
	if s.barred[id] = true; reason == "" {
		delete(s.barred, id)
	}
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
