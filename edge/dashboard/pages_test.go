package dashboard

import (
	"net/http"
	"net/netip"
	"testing"

	"sward/internal/portmap"
)

// TestEveryPageIsMade makes each page of an edge with a past, and of one without.
func TestEveryPageIsMade(t *testing.T) {
	for name, past := range map[string]bool{"new": false, "old": true} {
		p := startPanel(t)
		paths := []string{"/settings?ask=shop.example", "/settings?ask=%20%20", "/settings?ask=127.0.0.1", "/log?day=2026-13-45", "/log?day=2020-01-01"}
		if past {
			s := aDay(t)
			s.Mapping = portmap.State{On: true, Open: true, Protocol: "PCP", Router: "a router", External: netip.MustParseAddrPort("203.0.113.9:4433"), Problem: "behind it is one more router"}
			p.set(s)
			p.doll.settings.PortMapping = true
			paths = append(paths, "/receipt/"+p.fill(t).String())
		}
		for _, page := range pages {
			paths = append(paths, page.Path)
		}
		for _, path := range paths {
			if text := p.read(t, path); len(text) < 1000 {
				t.Errorf("%s edge, GET %s: a page of %d bytes", name, path, len(text))
			}
		}
		for path, want := range map[string]int{"/receipt/00": 400, "/receipt/" + noChannel: 404, "/api/receipt/" + noChannel: 404, "/log.csv?day=x": 400} {
			if got := p.do(t, http.MethodGet, path, "", p.cookie).StatusCode; past && got != want {
				t.Errorf("GET %s: got %d, want %d", path, got, want)
			}
		}
	}
}

const noChannel = "0000000000000000000000000000000000000000000000000000000000000000"
