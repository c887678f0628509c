package edge

import "testing"

func TestTrafficIsWhatMovedBothWays(t *testing.T) {
	const size = 200_000
	r := newTestRelay(t)
	e, _ := testEdge(t, r, echo(t))
	s := r.next()
	st, err := s.open(t.Context(), r.grant(), "site.example", 80)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Traffic(); got != (Traffic{}) {
		t.Errorf("before anything moved the traffic is %+v", got)
	}
	if _, err := st.exchange(t.Context(), size); err != nil {
		t.Fatal(err)
	}
	want := Traffic{Up: size, Down: size}
	eventually(t, "both directions are counted in full", func() bool { return e.Traffic() == want })
	st.end()
}
