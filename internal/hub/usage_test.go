package hub

import (
	"net/url"
	"strings"
	"testing"

	"sward/internal/wire"
)

func FuzzUsageQuery(f *testing.F) {
	for _, raw := range []string{"from=2026-11-01&to=2026-11-22&by=day,country", "", "by=day&by=class", "form=x", "%zz", strings.Repeat("a", 2000)} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		values, _ := url.ParseQuery(raw) // as http.Request does: what cannot be read is left out
		q, err := usageQuery(raw, values)
		if err != nil && wire.CodeOf(err) != wire.BadRequest {
			t.Errorf("%q: got %v, want bad_request", raw, err)
		}
		if err == nil && (q.Name != "" || len(raw) > maxQuery) {
			t.Errorf("%q is read as %+v", raw, q)
		}
	})
}
