package testnet_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sward/accounting"
	"sward/internal/testnet"
	"sward/relay"
)

// askUsage is GET /v1/usage with a key.
func askUsage(ctx context.Context, t *testing.T, n *testnet.Net, key, query string) (int, accounting.UsageAnswer, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.Info().API+"/v1/usage"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer accounting.UsageAnswer
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Errorf("the answer to %q is no JSON: %q", query, text)
	}
	return response.StatusCode, answer, string(text)
}

func TestBreakdownOfUseAddsUpToTheBill(t *testing.T) {
	testnet.Run(t, testnet.Config{Edges: 2, Relays: 2, Partners: 2, Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		p := n.Partners[0]
		client := n.Client(t, p)
		client.Transport.(*http.Transport).DisableKeepAlives = true
		for _, site := range []string{n.Info().Site, n.Info().SiteTLS} {
			for range 3 {
				if got := download(t, client, site+"/1048576"); got != 1<<20 {
					t.Fatalf("%d bytes arrived, want %d", got, 1<<20)
				}
			}
		}
		u := usage(ctx, t, n, p)
		var answer accounting.UsageAnswer
		var sum accounting.UsageCounts
		for deadline := time.Now().Add(settleWait); ; time.Sleep(200 * time.Millisecond) { // the relays report every ten seconds
			status, now, _ := askUsage(ctx, t, n, p.Key, "?by=class,country")
			if answer = now; status != http.StatusOK {
				t.Fatalf("status %d, want 200", status)
			}
			sum = accounting.UsageCounts{}
			for _, row := range answer.Breakdown {
				sum = sum.Plus(row.UsageCounts)
				if row.Class != "other" || len(row.Country) != 2 || row.Bytes != row.Up+row.Down {
					t.Errorf("row %+v, want the class other, a country, and its sum", row)
				}
			}
			if sum.Requests >= 6 || time.Now().After(deadline) {
				break
			}
		}
		if answer.Billed.Bytes != u.Up+u.Down || answer.Billed.Micro != u.Charged {
			t.Errorf("billed %+v, want %d bytes for %s", answer.Billed, u.Up+u.Down, u.Charged)
		}
		want := accounting.UsageCounts{Requests: 6, Up: u.Up, Down: u.Down}
		if diff := cmp.Diff(want, sum); diff != "" {
			t.Errorf("what the relays counted (-bill +breakdown):\n%s", diff)
		}
		if _, other, _ := askUsage(ctx, t, n, n.Partners[1].Key, "?by=class"); len(other.Breakdown) > 0 || other.Billed.Bytes > 0 {
			t.Errorf("another partner is told %+v", other)
		}
		for query, want := range map[string]int{
			"?from=yesterday": 400, "?to=2026-02-30": 400, "?from=2026-11-22&to=2026-11-01": 400, "?by=host": 400, "?by=day,day": 400,
			"?form=2026-11-01": 400, "?by=day&by=class": 400, "": 200,
		} {
			if status, _, text := askUsage(ctx, t, n, p.Key, query); status != want {
				t.Errorf("%q is answered %d %s, want %d", query, status, text, want)
			}
		}
		for _, key := range []string{"", "swd_wrong"} {
			if status, _, text := askUsage(ctx, t, n, key, ""); status != http.StatusUnauthorized {
				t.Errorf("with key %q: %d %s, want 401", key, status, text)
			}
		}
	})
}

// statuses counts the answers to n requests for address, one after the other, each on a connection of its own.
func statuses(t *testing.T, client *http.Client, address string, n int) (map[int]int, http.Header) {
	t.Helper()
	client.Transport.(*http.Transport).DisableKeepAlives = true
	counts, last := map[int]int{}, http.Header{}
	for range n {
		answer, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body) //nolint:errcheck // its status is what counts
		answer.Body.Close()
		if counts[answer.StatusCode]++; answer.StatusCode != http.StatusOK {
			last = answer.Header
		}
	}
	return counts, last
}

// B06: what a site stands is kept at the door whatever the dialect and whoever asks, and said with a time.
func TestSiteIsKeptFromTheNetwork(t *testing.T) {
	const burst = 5
	cfg := testnet.Config{Edges: 3, Partners: 2, Relay: func(_ int, c *relay.Config) {
		c.Limits = relay.LimitsConfig{TargetRate: 0.01, TargetBurst: burst}
	}}
	testnet.Run(t, cfg, func(ctx context.Context, n *testnet.Net) {
		counts, _ := statuses(t, n.Client(t, n.Partners[0]), n.Info().Site+"/", 3)
		if diff := cmp.Diff(map[int]int{200: 3}, counts); diff != "" {
			t.Errorf("first partner (-want +got):\n%s", diff)
		}
		counts, head := statuses(t, n.Client(t, n.Partners[1]), n.Info().Site+"/", 5)
		if diff := cmp.Diff(map[int]int{200: burst - 3, 429: 3}, counts); diff != "" {
			t.Errorf("second partner (-want +got):\n%s", diff)
		}
		if after, err := strconv.Atoi(head.Get("Retry-After")); err != nil || after < 1 || after > 100 {
			t.Errorf("Retry-After: %q, want the seconds until the next may come", head.Get("Retry-After"))
		}
		if head.Get("Sward-Billable") != "?0" {
			t.Errorf("Sward-Billable: %q, want ?0", head.Get("Sward-Billable"))
		}
		socks := socksClient(t, n, n.Partners[0])
		if answer, err := socks.Get(n.Info().Site + "/"); err == nil {
			answer.Body.Close()
			t.Errorf("over SOCKS the site is still reached: %s", answer.Status)
		}
	})
}

func socksClient(t *testing.T, n *testnet.Net, p testnet.Partner) *http.Client {
	t.Helper()
	door, err := url.Parse(n.Info().Proxy)
	if err != nil {
		t.Fatal(err)
	}
	door.Scheme, door.User = "socks5", url.UserPassword(p.Name, p.Key)
	transport := &http.Transport{Proxy: http.ProxyURL(door)}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// An account that will not last another day is told with every answer what it has left.
func TestLowBalanceIsSaid(t *testing.T) {
	const paid = 100 << 20
	testnet.Run(t, testnet.Config{}, func(ctx context.Context, n *testnet.Net) {
		key, err := n.Hub().Book.AddPartner(ctx, "small", 1)
		if err == nil {
			err = n.Hub().Book.Credit(ctx, "small", paid)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []testnet.Partner{{Name: "small", Key: key}, n.Partners[0]} {
			answer, err := n.Client(t, p).Get(n.Info().Site + "/")
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			left, said := answer.Header.Get("Sward-Balance"), p.Name == "small"
			if bytes, err := strconv.Atoi(left); said && (err != nil || bytes > paid || bytes < paid-(1<<20)) || !said && left != "" {
				t.Errorf("%s is told %q of its balance", p.Name, left)
			}
		}
	})
}

// The limits that an operator has set hold at the door, and a running download stops at the daily volume.
func TestPartnerIsHeldToItsLimits(t *testing.T) {
	const volume = 4 << 20
	testnet.Run(t, testnet.Config{Relays: 2, Edges: 2, Partners: 3, Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		book, slow, small := n.Hub().Book, n.Partners[1], n.Partners[2]
		if err := book.SetLimits(ctx, slow.Name, accounting.Limits{Rate: 1, Burst: 2}); err != nil {
			t.Fatal(err)
		}
		counts, head := statuses(t, n.Client(t, slow), n.Info().Site+"/1", 10)
		if counts[429] == 0 || counts[200] < 2 || head.Get("Retry-After") == "" {
			t.Errorf("ten requests at once on a limit of one a second: %v, Retry-After %q", counts, head.Get("Retry-After"))
		}
		if err := book.SetLimits(ctx, small.Name, accounting.Limits{Day: volume}); err != nil {
			t.Fatal(err)
		}
		client := n.Client(t, small)
		got := download(t, client, n.Info().SiteTLS+"/67108864")
		if got < volume/2 || got > volume {
			t.Errorf("%d bytes arrived on a daily volume of %d", got, volume)
		}
		if u := usage(ctx, t, n, small); u.Today > volume {
			t.Errorf("%d bytes were billed on a daily volume of %d", u.Today, volume)
		}
		answer, err := client.Get(n.Info().Site + "/1")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusTooManyRequests {
			t.Errorf("the next request is answered %d, want 429", answer.StatusCode)
		}
	})
}
