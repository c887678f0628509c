package accounting

import (
	"context"
	"testing"
)

// A refusal is about the receipt that was offered. One that was signed while the hub was asked has not been refused, and
// as its channel's last it would otherwise wait for the next start.
func TestRefusalIsNotOfAReceiptThatCameMeanwhile(t *testing.T) {
	s := openTestSpool(t, t.TempDir())
	putChannels(t, s, 1)
	putReceipts(t, s, 0, 5)
	var offered []uint64
	left, err := s.Submit(t.Context(), func(_ context.Context, _ []SignedChannel, receipts []SignedReceipt) ([]Settled, error) {
		r := receipts[0]
		offered = append(offered, r.Serial)
		if r.Serial == 5 {
			putReceipts(t, s, 0, 6)
			return []Settled{{Channel: r.Channel, Refused: ErrSuspended}}, nil
		}
		return []Settled{{Channel: r.Channel, Serial: r.Serial}}, nil
	})
	if len(offered) != 2 || offered[1] != 6 || left != 0 {
		t.Errorf("the hub was offered serials %v, %d left (%v), want 5 and then 6", offered, left, err)
	}
}
