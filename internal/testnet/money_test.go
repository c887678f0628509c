package testnet_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"sward/accounting"
	"sward/internal/testnet"
)

const settleWait = 30 * time.Second

// download fetches n bytes as a partner and returns how many arrived.
func download(t *testing.T, client *http.Client, address string) int64 {
	t.Helper()
	answer, err := client.Get(address)
	if err != nil {
		t.Errorf("download: %v", err)
		return 0
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil {
		t.Logf("download ended after %d bytes: %v", n, err)
	}
	return n
}

// usage waits until all receipts are in the books and returns the partner's account.
func usage(ctx context.Context, t *testing.T, n *testnet.Net, p testnet.Partner) accounting.Usage {
	t.Helper()
	if _, err := n.Settled(ctx, settleWait); err != nil {
		t.Fatal(err)
	}
	u, err := n.Hub().Book.Usage(ctx, p.Name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestEveryDeliveredByteIsPaidOnceAndTheBooksProveIt(t *testing.T) {
	const size, times = 3 << 20, 4
	dir := t.TempDir()
	testnet.Run(t, testnet.Config{Dir: dir, Edges: 2, Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		client := n.Client(t, n.Partners[0])
		client.Transport.(*http.Transport).DisableKeepAlives = true
		for range times {
			if got := download(t, client, n.Info().SiteTLS+"/3145728"); got != size {
				t.Fatalf("%d bytes arrived, want %d", got, size)
			}
		}
		u := usage(ctx, t, n, n.Partners[0])
		// What crossed the tunnel is the body, and TLS and HTTP around it: a few percent, never less than the body.
		if body := uint64(size * times); u.Down < body || u.Down > body+body/20 {
			t.Errorf("%d bytes down were charged for %d delivered", u.Down, body)
		}
		earned, err := n.Settled(ctx, settleWait)
		if err != nil {
			t.Fatal(err)
		}
		var paid accounting.Micro
		var bytes uint64
		for _, e := range earned {
			paid += e.Points
			bytes += e.Bytes
		}
		if bytes != u.Up+u.Down {
			t.Errorf("edges were credited %d bytes, the partner was charged %d", bytes, u.Up+u.Down)
		}
		if paid <= 0 || paid >= u.Charged {
			t.Errorf("edges earned %s of the %s that the partner paid", paid, u.Charged)
		}
	})
	report, err := accounting.Audit(t.Context(), filepath.Join(dir, "hub", "books"))
	if err != nil {
		t.Fatalf("audit: %v", err)
	}
	t.Log(report)
}

func TestDownloadEndsWhereTheBalanceEnds(t *testing.T) {
	const credit, window = 4 << 20, 1 << 20
	testnet.Run(t, testnet.Config{Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		key, err := n.Hub().Book.AddPartner(ctx, "small", 1)
		if err == nil {
			err = n.Hub().Book.Credit(ctx, "small", credit)
		}
		if err != nil {
			t.Fatal(err)
		}
		small := testnet.Partner{Name: "small", Key: key}
		got := download(t, n.Client(t, small), n.Info().SiteTLS+"/67108864")
		if got < credit/2 || got > credit {
			t.Errorf("%d bytes arrived on a credit of %d", got, credit)
		}
		u := usage(ctx, t, n, small)
		if used := u.Up + u.Down; used > credit || used+window < uint64(got) {
			t.Errorf("%d bytes were charged for %d delivered on a credit of %d", used, got, credit)
		}
	})
}

func TestBytesThatAStalledPartnerDidNotTakeAreNotCharged(t *testing.T) {
	testnet.Run(t, testnet.Config{Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		client := n.Client(t, n.Partners[0])
		answer, err := client.Get(n.Info().Site + "/50000000")
		if err != nil {
			t.Fatal(err)
		}
		taken, err := io.CopyN(io.Discard, answer.Body, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		client.CloseIdleConnections()
		answer.Body.Close() // goes without reading the rest
		u := usage(ctx, t, n, n.Partners[0])
		// The kernel's socket buffers of the partner count as taken; what relay and edge still held does not.
		if const16MiB := uint64(16 << 20); u.Down < uint64(taken) || u.Down > uint64(taken)+const16MiB {
			t.Errorf("%d bytes were charged to a partner that took %d of 50000000", u.Down, taken)
		}
	})
}
