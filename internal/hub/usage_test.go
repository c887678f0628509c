package hub

import (
	"strings"
	"testing"

	"sward/internal/wire"
)

// What cannot be read is refused: left out, it would silently show something else.
func TestUsageQueriesAreReadWhole(t *testing.T) {
	for _, raw := range []string{"from=%zz", "from=2026-11-01;to=2026-11-02", "by=day&by=class", "form=x", "%zz", strings.Repeat("a", 2000)} {
		if q, err := usageQuery(raw); wire.CodeOf(err) != wire.BadRequest {
			t.Errorf("%.40q is read as %+v, %v; want bad_request", raw, q, err)
		}
	}
	if q, err := usageQuery("from=2026-11-01&to=2026-11-22&by=day,country"); err != nil || q.From != "2026-11-01" || q.To != "2026-11-22" || len(q.By) != 2 {
		t.Errorf("a good question is read as %+v, %v", q, err)
	}
}

func FuzzUsageQuery(f *testing.F) {
	for _, raw := range []string{"from=2026-11-01&to=2026-11-22&by=day,country", "", "by=day&by=class", "form=x", "%zz", strings.Repeat("a", 2000)} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := usageQuery(raw)
		if err != nil && wire.CodeOf(err) != wire.BadRequest {
			t.Errorf("%q: got %v, want bad_request", raw, err)
		}
		if err == nil && (q.Name != "" || len(raw) > maxQuery) {
			t.Errorf("%q is read as %+v", raw, q)
		}
	})
}
