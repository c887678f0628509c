package accounting

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sward/internal/wire"
)

// Random business, with restarts and the passing of days: whatever happens, money is conserved, and the audit's second
// count, which shares no arithmetic with the ledger, comes to the same balances.
func TestBookHoldsWhateverHappens(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n := newTown(t)
			random := rand.New(rand.NewPCG(seed, 1))
			var sessions []*session
			counts := map[*session]map[GrantID]Tally{}
			var grants []GrantID
			pick := func() (*session, GrantID) {
				return sessions[random.IntN(len(sessions))], grants[random.IntN(len(grants))]
			}
			expected := func(err error) {
				t.Helper()
				switch wire.CodeOf(err) {
				case wire.OK, wire.BalanceExhausted, wire.GrantInvalid:
				default:
					t.Fatal(err)
				}
			}
			for range 300 {
				if len(sessions) == 0 || len(grants) == 0 || random.IntN(8) == 0 {
					g, err := n.book.IssueGrant(t.Context(), n.owner, n.relay.ID(), random.Uint64N(gib/8))
					expected(err)
					if err == nil {
						grants = append(grants, g.ID)
					}
					s := n.session(n.newKey())
					sessions = append(sessions, s)
					counts[s] = map[GrantID]Tally{}
					continue
				}
				s, id := pick()
				switch random.IntN(12) {
				case 0:
					n.must(n.book.Credit(t.Context(), n.owner, 1+random.Uint64N(gib/4)))
				case 1:
					_, err := n.book.Renew(t.Context(), n.relay.ID(), id, random.Uint64N(gib/8))
					expected(err)
				case 2:
					_, err := n.book.Release(t.Context(), n.relay.ID(), id, []Final{{s.id, s.last.Serial + random.Uint64N(2)}})
					expected(err)
				case 3:
					n.clock.add(time.Duration(random.Int64N(int64(8 * time.Hour))))
					n.must(n.book.expireOnce(t.Context()))
				case 4:
					n.reopen()
				default: // bytes were delivered on some grants; the receipt says so, often twice
					for range 1 + random.IntN(3) {
						_, id := pick()
						c := counts[s][id]
						c.Grant, c.Up, c.Down, c.Streams = id, c.Up+random.Uint64N(1<<16), c.Down+random.Uint64N(1<<25), c.Streams+1
						counts[s][id] = c
					}
					r := s.receipt(sorted(counts[s])...)
					s.settle(r)
					s.settle(r)
				}
			}
			n.conserved()
			for _, state := range []string{"open", "closed"} {
				report, err := Audit(t.Context(), n.cfg.Dir)
				if err != nil {
					t.Fatalf("%s: Audit: %v, want nil", state, err)
				}
				if report.Receipts == 0 || report.Deposited == report.Available {
					t.Fatalf("%s: nothing happened: %s", state, report)
				}
				n.must(n.book.Close())
			}
		})
	}
}

func sorted(tallies map[GrantID]Tally) []Tally {
	var all []Tally
	for _, t := range tallies {
		all = append(all, t)
	}
	slices.SortFunc(all, func(x, y Tally) int { return bytes.Compare(x.Grant[:], y.Grant[:]) })
	return all
}
