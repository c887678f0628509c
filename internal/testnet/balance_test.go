package testnet_test

import (
	"context"
	"net/http"
	"testing"

	"sward/internal/testnet"
)

// A small balance is reserved as a whole at the relay that is asked first: what goes over another one later is paid from
// there, and does not end for want of money.
func TestSmallBalanceIsSpentWhereItIsReserved(t *testing.T) {
	testnet.Run(t, testnet.Config{Relays: 2, Edges: 2}, func(ctx context.Context, n *testnet.Net) {
		key, err := n.Hub().Book.AddPartner(ctx, "small", 1)
		if err == nil {
			err = n.Hub().Book.Credit(ctx, "small", 4<<20)
		}
		if err != nil {
			t.Fatal(err)
		}
		n.Partners[0] = testnet.Partner{Name: "small", Key: key}
		for i := range 12 { // each over a relay drawn anew
			var answer struct{ Error string }
			if status := call(ctx, t, n, "POST", "/v2/scrape", map[string]any{"url": n.Info().Site + "/"}, &answer); status != http.StatusOK {
				t.Fatalf("scrape %d with most of the balance left: got %d %s, want 200", i, status, answer.Error)
			}
		}
	})
}
