package edge

import (
	"testing"

	"sward/edge/diary"
)

func TestTheDiaryIsKeptAsLongAsTheOwnerSays(t *testing.T) { // H15
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	st, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.exchange(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	st.end()
	var lines []diary.Line
	eventually(t, "the stream is written down", func() bool {
		days, err := e.Diary().Days()
		if err != nil || len(days) != 1 {
			return false
		}
		lines, _, err = e.Diary().Lines(days[0])
		return err == nil && len(lines) == 1
	})
	if l := lines[0]; l.Site != "site.example" || l.App != "proxy" || l.Purpose == "" || l.Up != 1000 || l.Down != 1000 || l.Streams != 1 {
		t.Errorf("written down: %+v", l)
	}
	change := e.Settings()
	change.KeepDays = 0
	if err := e.Change(change); err != nil {
		t.Fatal(err)
	}
	if days, err := e.Diary().Days(); len(days) != 0 || err != nil {
		t.Errorf("the owner keeps nothing, and there are %v (%v)", days, err)
	}
	if sites := e.Status(t.Context()).Sites; len(sites) != 0 {
		t.Errorf("the status still shows %v", sites)
	}
}
