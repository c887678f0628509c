package accounting

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sward/internal/identity"
)

// Report is what an audit has found. Two audits of the same files print the same.
type Report struct {
	Holds  bool
	Sealed bool  // closed in good order, and every file as it was then
	Live   bool  // a hub had the book open
	Torn   int64 // bytes of a write that a crash cut short, at the end of the journal; nobody relies on them

	Network string
	Hub     identity.ID
	Records uint64 // in the journal, up to where it holds
	Head    Hash   // of the last of them: whoever keeps it can tell later that nothing before it was changed
	Last    int64  // time of the last event, Unix milliseconds

	Channels int // entered
	Receipts int // credited
	Decided  int // the hub's own records

	Deposited, Available, Reserved, Fees Micro

	Partners []AccountTotal // ascending by name
	Edges    []AccountTotal // ascending by ID, like Relays
	Relays   []AccountTotal
	Evidence []EvidenceTotal // in the order of the journal
}

// AccountTotal is one account at the end of the journal.
type AccountTotal struct {
	Name      string
	Balance   Micro
	Suspended string
}

// EvidenceTotal is one proof of a broken rule.
type EvidenceTotal struct {
	Seq         uint64
	Rule        Refusal
	Channel     ChannelID
	Edge, Relay identity.ID
}

func (r *Report) count(typ uint16) {
	switch typ {
	case recordChannel:
		r.Channels++
	case recordReceipt:
		r.Receipts++
	default:
		r.Decided++
	}
}

// fill takes the totals from the state at the end of the replay.
func (r *Report) fill(s *state) {
	r.Network, r.Hub, r.Records, r.Head, r.Last = s.network, s.hub, s.seq, s.head, s.time
	balance := func(a account) Micro { return s.ledger.balances[a] }
	r.Deposited, r.Fees = -balance(issueAccount), balance(feeAccount)
	r.Available, r.Reserved = s.ledger.sum(kindPartner), s.ledger.sum(kindReserve)
	for _, p := range s.partners {
		r.Partners = append(r.Partners, AccountTotal{Name: p.name, Balance: balance(partnerAccount(p.id))})
	}
	for id, e := range s.edges {
		r.Edges = append(r.Edges, AccountTotal{e.text, balance(edgeAccount(id)), e.suspended})
	}
	for id, relay := range s.relays {
		r.Relays = append(r.Relays, AccountTotal{id.String(), balance(relayAccount(id)), relay.suspended})
	}
	for _, all := range [][]AccountTotal{r.Partners, r.Edges, r.Relays} {
		slices.SortFunc(all, func(x, y AccountTotal) int { return cmp.Compare(x.Name, y.Name) })
	}
	for _, e := range s.evidence {
		r.Evidence = append(r.Evidence, EvidenceTotal{e.seq, e.rule, e.channel, e.edge, e.relay})
	}
	slices.SortFunc(r.Evidence, func(x, y EvidenceTotal) int { return cmp.Compare(x.Seq, y.Seq) })
}

// String is the report for people: the verdict first.
func (r Report) String() string {
	var b strings.Builder
	switch {
	case r.Holds && r.Sealed:
		b.WriteString("The book holds: every number follows from signatures, and every file is as the hub sealed it.\n")
	case r.Holds && r.Live:
		b.WriteString("The book holds: every number follows from signatures. A hub has it open: what it writes meanwhile is left out.\n")
	case r.Holds:
		b.WriteString("The book holds: every number follows from signatures. It was not closed in good order, so its files bear no seal.\n")
	default:
		b.WriteString("The book DOES NOT HOLD. The figures are those up to the last good record.\n")
	}
	if r.Torn > 0 {
		fmt.Fprintf(&b, "The last %d bytes of the journal are a write that was cut short; nothing relies on them.\n", r.Torn)
	}
	fmt.Fprintf(&b, "network   %s\nhub       %s\n", r.Network, r.Hub)
	fmt.Fprintf(&b, "records   %d (%d by the hub, %d channels, %d receipts), last at %s\n", r.Records, r.Decided, r.Channels, r.Receipts, day(r.Last))
	fmt.Fprintf(&b, "head      %s\n", r.Head)
	fmt.Fprintf(&b, "paid in   %s\navailable %s\nreserved  %s\nfees      %s\n", r.Deposited, r.Available, r.Reserved, r.Fees)
	for _, part := range []struct {
		name string
		all  []AccountTotal
	}{{"partner", r.Partners}, {"edge", r.Edges}, {"relay", r.Relays}} {
		for _, a := range part.all {
			fmt.Fprintf(&b, "%-9s %s %s", part.name, a.Name, a.Balance)
			if a.Suspended != "" {
				fmt.Fprintf(&b, " suspended: %s", a.Suspended)
			}
			b.WriteByte('\n')
		}
	}
	for _, e := range r.Evidence {
		fmt.Fprintf(&b, "evidence  record %d: %s on channel %s of edge %s and relay %s\n", e.Seq, e.Rule, e.Channel, e.Edge, e.Relay)
	}
	return b.String()
}
