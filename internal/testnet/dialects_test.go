package testnet_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"sward/internal/testnet"
)

// Each network's login is heard by the whole of ours: it pays from the right account, its session stays at one edge, and a
// place where nobody is connected is not replaced by another one.
func TestEveryNetworksLoginFindsItsExit(t *testing.T) {
	testnet.Run(t, testnet.Config{Edges: 4, Site: blobSite}, func(ctx context.Context, n *testnet.Net) {
		p := n.Partners[0]
		get := func(user, pass string) *http.Response {
			t.Helper()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.Info().Site+"/100", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := n.Client(t, testnet.Partner{Name: user, Key: pass}).Do(request)
			if err != nil {
				t.Fatalf("%s: %v", user, err)
			}
			answer.Body.Close()
			return answer
		}
		for name, login := range map[string]struct{ user, pass, place, placePass string }{
			"Sward":       {"%-session-a1-ttl-5m", "", "%-country-is", ""},
			"Bright Data": {"brd-customer-%-zone-z1-session-b2-const", "", "brd-customer-%-zone-z1-country-is", ""},
			"Oxylabs":     {"customer-%-sessid-c3-sesstime-5", "", "customer-%-cc-IS", ""},
			"IPRoyal":     {"%", "_session-d4d4d4d4_lifetime-5m", "%", "_country-is"},
			"SOAX":        {"package-%-sessionid-e5-sessionlength-300", "", "package-%-country-is", ""},
			"NetNut":      {"%-res-any-sid-12345", "", "%-res-is", ""},
			"Geonode":     {"%-session-g7-lifetime-5", "", "%-type-residential-country-is", ""},
			"DataImpulse": {"%__sessid.h8;sessttl.5", "", "%__cr.is", ""},
		} {
			as := func(user string) string { return strings.ReplaceAll(user, "%", p.Name) }
			edges := map[string]bool{}
			for range 6 {
				answer := get(as(login.user), p.Key+login.pass)
				if answer.StatusCode != http.StatusOK || answer.Header.Get("Sward-Billable") != "?1" {
					t.Errorf("%s: %s %s, want 200", name, answer.Status, answer.Header.Get("Proxy-Status"))
				}
				edges[answer.Header.Get("Sward-Edge")] = true
			}
			if len(edges) != 1 {
				t.Errorf("%s: a session left from %d edges, want 1", name, len(edges))
			}
			answer := get(as(login.place), p.Key+login.placePass)
			if got := answer.Header.Get("Sward-Error"); got != "no_match" || answer.Header.Get("Retry-After") == "" {
				t.Errorf("%s: Iceland, where nobody is: %s %q, want no_match with Retry-After", name, answer.Status, got)
			}
		}
		edges := map[string]bool{}
		for range 24 {
			edges[get(p.Name, p.Key).Header.Get("Sward-Edge")] = true
		}
		if len(edges) < 2 {
			t.Errorf("without a session 24 requests left from %d edge", len(edges))
		}
		for user, want := range map[string]string{
			p.Name + "-country-isl": "bad_parameter", p.Name + "-contry-is": "auth_failed", "customer-" + p.Name + "-zip-1": "bad_parameter",
		} {
			answer := get(user, p.Key)
			if got := answer.Header.Get("Sward-Error"); got != want || answer.Header.Get("Sward-Billable") != "?0" {
				t.Errorf("%s: %s %q, want %s", user, answer.Status, got, want)
			}
		}
	})
}
