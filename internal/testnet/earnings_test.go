package testnet_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"sward/accounting"
	"sward/edge"
	"sward/internal/testnet"
)

// What the owner sees as earned is the hub's ledger to the last millionth, and each line of it rests on a receipt that this
// edge can show with good signatures.
func TestOwnersEarningsAreTheLedgersAndRestOnReceipts(t *testing.T) {
	const size = 1 << 20
	testnet.Run(t, testnet.Config{Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		client := n.Client(t, n.Partners[0])
		client.Transport.(*http.Transport).DisableKeepAlives = true // a connection that rests is not settled
		if got := download(t, client, n.Info().SiteTLS+"/1048576"); got != size {
			t.Fatalf("%d bytes arrived, want %d", got, size)
		}
		if _, err := n.Settled(ctx, settleWait); err != nil {
			t.Fatal(err)
		}
		e := n.Edges()[0]
		account, err := n.Hub().Book.EdgeAccount(ctx, e.ID())
		if err != nil {
			t.Fatal(err)
		}
		got := e.Earnings(ctx)
		if got.Problem != "" || got.Points != account.Points || account.Points <= 0 || got.Held != got.Points || len(got.Days) == 0 {
			t.Fatalf("the owner sees %+v, the ledger holds %+v", got, account)
		}
		var points accounting.Micro
		var bytes uint64
		for _, day := range got.Days {
			for _, line := range day.Receipts {
				if line.State != edge.EarnedSettled || line.PerGiB != got.Price.Edge {
					t.Errorf("a line is %+v, want it settled at %s a GiB", line, got.Price.Edge)
				}
				points, bytes = points+line.Points, bytes+line.Up+line.Down
				shown, err := e.Receipt(line.Channel)
				if err != nil || !line.Here || !shown.Verified || shown.Serial < line.Serial || shown.Up+shown.Down < line.Up+line.Down {
					t.Errorf("the receipt of %+v is %+v, %v", line, shown, err)
				}
			}
		}
		if points != account.Points || bytes != account.Bytes {
			t.Errorf("the lines add up to %s for %d bytes, the ledger holds %s for %d", points, bytes, account.Points, account.Bytes)
		}
		if since := time.Since(got.At); since < -time.Minute || since > time.Minute {
			t.Errorf("the statement is of %s ago", since)
		}
	})
}
