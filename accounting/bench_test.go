package accounting

import (
	"testing"

	"sward/internal/identity"
)

// BenchmarkSettle is what the hub pays for a receipt with its two signatures: checked, journalled, synced, posted. Held
// against verify-only in the same run it says what all but the signatures costs.
func BenchmarkSettle(b *testing.B) {
	const channels = 2048
	n := newTown(b)
	n.must(n.book.Credit(b.Context(), n.owner, 1<<40))
	g, err := n.book.IssueGrant(b.Context(), n.owner, n.relay.ID(), 1<<40)
	n.must(err)
	sessions := make([]*session, channels)
	opened := make([]SignedChannel, channels)
	for i := range sessions {
		sessions[i] = n.session(n.newKey())
		opened[i] = sessions[i].channel
	}
	// The grant serves more channels than the default allows: what is measured is a whole network's settlement.
	n.book.state.grants[g.ID].MaxChannels = channels
	_, err = n.book.Settle(b.Context(), n.relay.ID(), opened, nil)
	n.must(err)
	batch := func(i int) []SignedReceipt {
		receipts := make([]SignedReceipt, channels)
		for j, s := range sessions {
			receipts[j] = s.receipt(Tally{Grant: g.ID, Up: uint64(i) * 1000, Down: uint64(i) * 65536, Streams: uint32(i)})
		}
		return receipts
	}
	b.Run("settle", func(b *testing.B) {
		b.ReportAllocs()
		i := int(sessions[0].last.Serial)
		for b.Loop() {
			b.StopTimer()
			i++
			receipts := batch(i)
			b.StartTimer()
			if _, err := n.book.Settle(b.Context(), n.relay.ID(), nil, receipts); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*channels)/b.Elapsed().Seconds(), "receipts/s")
	})
	b.Run("verify-only", func(b *testing.B) {
		receipts := batch(int(sessions[0].last.Serial) + 1)
		for b.Loop() {
			var all []identity.Signed
			for j, s := range sessions {
				pair := receipts[j].Signatures(Channel{EdgeKey: s.edge.ID(), RelayKey: s.relay.ID()})
				all = append(all, pair[:]...)
			}
			for _, valid := range verifyAll(n.cfg.Network, all) {
				if !valid {
					b.Fatal("a good signature does not verify")
				}
			}
		}
		b.ReportMetric(float64(b.N*channels)/b.Elapsed().Seconds(), "receipts/s")
	})
	n.conserved()
}

// BenchmarkAudit is the speed of a replay with all signatures.
func BenchmarkAudit(b *testing.B) {
	n := newTown(b)
	g := n.grant(gib)
	s := n.session(n.edge)
	const receipts = 2000
	for i := uint64(1); i <= receipts; i++ {
		s.receipt(Tally{Grant: g.ID, Down: i * 1000})
		s.settle(s.last)
	}
	n.must(n.book.Close())
	for b.Loop() {
		if _, err := Audit(b.Context(), n.cfg.Dir); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*receipts)/b.Elapsed().Seconds(), "receipts/s")
}
