package accounting

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sward/internal/identity"
)

// The kinds of account. Every amount in the ledger came from the network's issue account, whose balance is what
// partners have paid in, negated: the sum over all accounts is zero at all times.
const (
	kindIssue   = "network:issue"
	kindFee     = "network:fee" // what the network keeps
	kindPartner = "partner"     // what a partner may still have granted
	kindReserve = "reserve"     // what a live grant holds of it
	kindEdge    = "edge"        // what the network owes an edge's owner
	kindRelay   = "relay"       // what it owes a relay's operator
)

// account names one account; the network's own two have no id.
type account struct {
	kind string
	id   string // partner and grant ids in hex, peers as peer IDs
}

func (a account) String() string {
	if a.id == "" {
		return a.kind
	}
	return a.kind + ":" + a.id
}

// parseAccount reads what String wrote.
func parseAccount(text string) account {
	if text == kindIssue || text == kindFee {
		return account{kind: text}
	}
	kind, id, _ := strings.Cut(text, ":")
	return account{kind, id}
}

var (
	issueAccount = account{kind: kindIssue}
	feeAccount   = account{kind: kindFee}
)

func partnerAccount(id PartnerID) account { return account{kindPartner, id.String()} }
func reserveAccount(id GrantID) account   { return account{kindReserve, id.String()} }
func edgeAccount(id identity.ID) account  { return account{kindEdge, id.String()} }
func relayAccount(id identity.ID) account { return account{kindRelay, id.String()} }

// posting is one line of one transaction. The lines of a transaction add up to zero.
type posting struct {
	tx      uint64 // the journal sequence of the record that caused the transaction
	account account
	amount  Micro
	balance Micro // of the account, after the transaction
}

// errConservation means that the fold itself is wrong: no input can cause it.
var errConservation = errors.New("ledger: postings of a transaction do not add up to zero")

// ledger holds the balances and the one transaction that is being written.
type ledger struct {
	balances map[account]Micro
	total    Micro // of all balances: zero between transactions
	tx       uint64
	open     map[account]Micro // net amounts of the running transaction
}

func newLedger() ledger {
	return ledger{balances: map[account]Micro{}, open: map[account]Micro{}}
}

// begin starts a transaction, which the caller ends with commit.
func (l *ledger) begin(tx uint64) { l.tx = tx }

// post adds m to an account. Only the issue account may fall below zero: everybody else can spend what they have.
func (l *ledger) post(a account, m Micro) error {
	if m == 0 {
		return nil
	}
	balance, err := l.balances[a].Add(m)
	if err != nil {
		return fmt.Errorf("ledger: %s: %w", a, err)
	}
	if balance < 0 && m < 0 && a.kind != kindIssue {
		return fmt.Errorf("ledger: %s would fall to %d", a, balance)
	}
	total, err := l.total.Add(m)
	if err != nil {
		return fmt.Errorf("ledger: total: %w", err)
	}
	l.balances[a], l.total = balance, total
	l.open[a] += m // no overflow: a difference of two balances of one sign or of the issue account's two
	return nil
}

// move takes m from one account to another, or does nothing.
func (l *ledger) move(from, to account, m Micro) error {
	if m < 0 {
		return fmt.Errorf("ledger: move of %d", m)
	}
	if err := l.post(from, -m); err != nil {
		return err
	}
	if err := l.post(to, m); err != nil {
		return errors.Join(err, l.post(from, m))
	}
	return nil
}

// commit ends the transaction and returns its lines in the order of the accounts, one for each account that was touched.
func (l *ledger) commit() ([]posting, error) {
	if l.total != 0 {
		return nil, errConservation
	}
	lines := make([]posting, 0, len(l.open))
	for a, m := range l.open {
		lines = append(lines, posting{tx: l.tx, account: a, amount: m, balance: l.balances[a]})
	}
	clear(l.open)
	slices.SortFunc(lines, func(x, y posting) int { return compareAccounts(x.account, y.account) })
	return lines, nil
}

// sum adds up all balances of one kind.
func (l *ledger) sum(kind string) (total Micro) {
	for a, m := range l.balances {
		if a.kind == kind {
			total += m // bounded by what was issued
		}
	}
	return total
}

func compareAccounts(x, y account) int {
	return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.id, y.id))
}
