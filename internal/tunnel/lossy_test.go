package tunnel

import (
	"testing"
	"time"
)

// N10: on a line of 20 Mbit/s and 200 ms that loses one datagram in twenty, at least six tenths of the goodput are left.
func TestLossyLongLine(t *testing.T) {
	const size, rtt = 12 << 20, 200 * time.Millisecond
	goodput := func(lose float64) (took time.Duration) {
		road := &badRoad{lose: lose, rate: 20e6 / 8}
		onBadRoad(t, road, rtt, func(t *testing.T, w world) {
			edge, relay, end := w.connected(t)
			defer end()
			if _, _, err := transfer(t, edge, relay, 4<<20); err != nil { // the rate is known then
				t.Fatal(err)
			}
			var (
				got int64
				err error
			)
			if took, got, err = transfer(t, edge, relay, size); err != nil || got != size {
				t.Fatalf("got %d bytes and %v", got, err)
			}
		})
		t.Logf("with %.0f %% lost (%d datagrams): %.1f Mbit/s", 100*lose, road.lost, 8*float64(size)/1e6/took.Seconds())
		return took
	}
	if clean, lossy := goodput(0), goodput(0.05); lossy > clean*10/6 {
		t.Errorf("%v with loss, %v without: less than six tenths are left", lossy, clean)
	}
}
