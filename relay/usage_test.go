package relay

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sward/accounting"
	"sward/internal/wire"
	"sward/policy"
)

// countingHub is a hub whose line breaks: it adds up what reaches it, once for each number, and loses some of its answers.
type countingHub struct {
	Hub
	seen  map[uint64]bool
	sums  map[accounting.UsageKey]accounting.UsageCounts
	lose  func(seq uint64) (request, answer bool)
	calls int
}

func (h *countingHub) ReportUsage(_ context.Context, report accounting.UsageReport) error {
	h.calls++
	request, answer := h.lose(report.Seq)
	if request {
		return wire.Errorf(wire.HubAway, "the line is down")
	}
	if !h.seen[report.Seq] {
		h.seen[report.Seq] = true
		for _, row := range report.Rows {
			h.sums[row.UsageKey] = h.sums[row.UsageKey].Plus(row.UsageCounts)
		}
	}
	if answer {
		return wire.Errorf(wire.HubAway, "the answer is lost")
	}
	return nil
}

func TestUsageIsToldOnceOverALineThatBreaks(t *testing.T) {
	r, _, _ := limitRelay(t, NoLimits(), accounting.Terms{})
	calls := 0
	hub := &countingHub{
		seen: map[uint64]bool{}, sums: map[accounting.UsageKey]accounting.UsageCounts{},
		lose: func(uint64) (bool, bool) { calls++; return calls%3 == 0, calls%3 == 1 },
	}
	r.cfg.Hub = hub
	want := map[accounting.UsageKey]accounting.UsageCounts{}
	for n := range 3 * accounting.MaxUsageRows {
		key := r.usageKey(accounting.GrantID{byte(n), byte(n >> 8)}, policy.Target{}, "de")
		c := accounting.UsageCounts{Requests: 1, Down: uint64(n)}
		r.usage.add(key, c)
		want[key] = want[key].Plus(c)
		if n%100 == 0 {
			r.reportUsage(t.Context()) //nolint:errcheck // it is told again
		}
	}
	for range 20 {
		r.reportUsage(t.Context()) //nolint:errcheck // it is told again
	}
	if diff := cmp.Diff(want, hub.sums); diff != "" {
		t.Errorf("what the hub has (-want +got):\n%s", diff)
	}
	if before := hub.calls; r.reportUsage(t.Context()) != nil || hub.calls != before {
		t.Error("the hub is told that there is nothing to tell")
	}
}

// A hub that is away for days costs no more memory than the bound, and no byte of the sums.
func TestUsageThatWaitsStaysInItsBounds(t *testing.T) {
	u := newUsageLog()
	for n := range 2 * maxUsage {
		u.add(accounting.UsageKey{Grant: accounting.GrantID{1}, Country: string(rune('a'+n%26)) + string(rune('a'+n/26%26)), Class: string(rune('a' + n/676))},
			accounting.UsageCounts{Requests: 1})
	}
	if len(u.rows) > maxUsage+1 {
		t.Errorf("%d rows wait, want at most %d and one for the rest", len(u.rows), maxUsage)
	}
	sum := uint64(0)
	for _, c := range u.rows {
		sum += c.Requests
	}
	if sum != 2*maxUsage {
		t.Errorf("%d requests are in them, want %d", sum, 2*maxUsage)
	}
}

// Nor does one that takes no reports at all, while it goes on granting.
func TestUsageThatNobodyTakesStaysInItsBounds(t *testing.T) {
	u := newUsageLog()
	for n := range 3 * maxUsage {
		u.add(accounting.UsageKey{Grant: accounting.GrantID{byte(n), byte(n >> 8), byte(n >> 16)}, Country: "de", Class: "news"}, accounting.UsageCounts{Requests: 1})
	}
	if len(u.rows) != 2*maxUsage {
		t.Errorf("%d rows wait, want %d", len(u.rows), 2*maxUsage)
	}
}

// A relay that stops tells the hub of its use beside the one that does so all the time. An answer to one of them is not
// taken for an answer to the other, or what is under way then would be lost.
func TestAnswerToOneBatchIsNotTakenForTheNext(t *testing.T) {
	u := newUsageLog()
	row := accounting.UsageKey{Grant: accounting.GrantID{1}, Day: "2026-11-22", Class: policy.ClassOther}
	u.add(row, accounting.UsageCounts{Requests: 1})
	one, _ := u.batch()
	again, _ := u.batch() // the other one
	u.confirmed(one.Seq)
	u.add(row, accounting.UsageCounts{Requests: 2})
	two, _ := u.batch()
	u.confirmed(again.Seq)
	if next, any := u.batch(); !any || next.Seq != two.Seq || next.Rows[0].Requests != 2 {
		t.Errorf("after a late answer to batch %d the hub is told %+v, want batch %d again", again.Seq, next, two.Seq)
	}
}
